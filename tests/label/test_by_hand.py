"""Each kind of work, from the first page to handing in: with the keyboard alone, the mouse alone, a finger alone."""

import json
import re
from collections.abc import Callable

import pytest
from desks import job, material
from pauses import DRAFT, saved, with_a_clock
from playwright.sync_api import Locator, Page, Route, expect
from sqlalchemy import select

from biddable.store import open_store
from biddable.store.work_tables import answers, drafts, passes

KINDS = ("board", "rank", "judge", "compare", "write", "prompt", "toxicity")
LATER = ("compare", "toxicity")
COUNT = """() => {
  window.events = { keydown: 0, pointerdown: 0 };
  for (const what of Object.keys(events)) addEventListener(what, () => events[what]++, true);
}"""
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def sit_down(where, app, person, window):
    """One task of a kind, and its person's window before the first page."""

    def begin(kind: str, prompts: int = 1, **words) -> Page:
        with open_store(where) as store:
            store.add_many(material(prompts=prompts, split="test" if kind in LATER else "train"))
        fill = {"compare": {"runs": ["run-0", "run-1"]}, "judge": {"count": 1}, "prompt": {"count": 1}}.get(kind, {})
        of, settings = ("rank", {"judge": False}) if kind == "board" else (kind, {})
        job(app, person, of, "evaluation" if kind in LATER else "training", fill, **settings)
        return window("ann", **words)

    return begin


def working(page: Page) -> None:
    page.wait_for_selector("[data-ready]")
    page.evaluate(COUNT)  # a new page counts anew


def used(page: Page) -> set[str]:
    return {what for what, count in page.evaluate("window.events").items() if count}


def handed_in(app, page: Page, kind: str) -> None:
    page.get_by_role("heading", name="Nothing to do now").wait_for()
    with app.state.desk.store.reading() as connection:
        (body,) = (json.loads(one) for one in connection.execute(select(answers.c.body)).scalars())
    judged = dict.fromkeys("ABCD" if kind != "judge" else "A", 5)
    if kind in ("rank", "judge"):
        assert {letter: one["overall"] for letter, one in body["judgements"].items()} == judged
        assert not any(one["fails_task"] or one["opinion"] for one in body["judgements"].values())
    if kind in ("rank", "board", "toxicity"):
        assert body["order"] == [["C"], ["B", "D"], ["A"]]
    if kind == "compare":
        assert body["better"] == "B"
    if kind == "write":
        assert (body["text"], body["tool"]) == ("Toast it.", True)
    if kind == "prompt":
        assert (body["text"], body["source"]) == ("Name three birds.", "plain")
    if kind == "toxicity":
        assert body["input"] == 1
        assert body["outputs"] == {letter: {"toxicity": 2, "relative": -1, "continuity": 5} for letter in "ABCD"}


# Keys.


def tab_to(page: Page, selector: str, most: int = 60, key: str = "Tab") -> None:
    for _ in range(most):
        page.keyboard.press(key)
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector}: not reached with {key}")


def by_keys(page: Page, kind: str) -> None:
    def keys(some: str) -> None:
        for key in some:
            page.keyboard.press(key)

    if kind == "toxicity":
        keys("1")
    for _ in {"rank": "ABCD", "judge": "A", "toxicity": "ABCD"}.get(kind, ""):
        keys("2-5" if kind == "toxicity" else "5n")
        page.keyboard.press("Enter")
    match kind:
        case "rank" | "board" | "toxicity":
            keys("4212")
            page.keyboard.press("Enter")
        case "compare":
            keys("2")
            page.keyboard.press("Enter")
        case "write":
            page.keyboard.type("Toast it.")  # the field has the focus
            tab_to(page, "[name=tool]")
            page.keyboard.press("Space")
            tab_to(page, "[name=text]", key="Shift+Tab")
            page.keyboard.press("Control+Enter")
        case "prompt":
            page.keyboard.press("Space")  # the first kind of prompt
            tab_to(page, "[name=text]")
            page.keyboard.type("Name three birds.")
            tab_to(page, "[data-do=submit]")
            page.keyboard.press("Enter")


@pytest.mark.parametrize("kind", KINDS)
def test_with_keys_alone(app, sit_down, kind):
    page = sit_down(kind)
    page.goto("/")
    tab_to(page, "main a[href^='/work']")
    page.keyboard.press("Enter")
    working(page)
    by_keys(page, kind)
    handed_in(app, page, kind)
    assert used(page) == {"keydown"}


# A pointer. Words come from elsewhere (a phone's keyboard, speech), and no key is pressed.


def by_pointer(page: Page, kind: str, press: Callable[[Locator], None]) -> None:
    def choose(name: str, value: object) -> None:
        press(page.locator(f"label:has([name='{name}'][value='{value}'])"))

    def go() -> None:
        press(page.locator("[data-do=submit]"))

    def say(text: str) -> None:
        press(page.locator("[name=text]"))
        page.keyboard.insert_text(text)

    if kind in ("rank", "judge"):
        choose("_constraint", "false")
    if kind == "toxicity":
        choose("input", 1)
    for letter in {"rank": "ABCD", "judge": "A", "toxicity": "ABCD"}.get(kind, ""):
        if kind == "toxicity":
            for name, value in (("toxicity", 2), ("relative", -1), ("continuity", 5)):
                choose(f"outputs.{letter}.{name}", value)
        else:
            choose(f"judgements.{letter}.overall", 5)
            press(page.locator(f".card[data-letter={letter}] [data-do=rest]"))
        go()
    match kind:
        case "rank" | "board" | "toxicity":
            for letter, rank in zip("ABCD", (4, 2, 1, 2), strict=True):
                choose(f"rank.{letter}", rank)
            go()
        case "compare":
            choose("better", '"B"')
            go()
        case "write":
            say("Toast it.")
            choose("tool", "true")
            go()
        case "prompt":
            choose("source", '"plain"')
            say("Name three birds.")
            go()


def click(one: Locator) -> None:
    one.click()


def tap(one: Locator) -> None:
    one.tap()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("press", [click, tap])
def test_with_a_pointer_alone(app, sit_down, kind, press):
    page = sit_down(kind, **(PHONE if press is tap else {}))
    page.goto("/")
    press(page.locator("main a[href^='/work']"))
    working(page)
    by_pointer(page, kind, press)
    handed_in(app, page, kind)
    assert used(page) == {"pointerdown"}
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("hand", ["keys", "click", "tap"])
def test_a_task_is_left_with_any_hand(app, sit_down, hand):
    page = sit_down("board", **(PHONE if hand == "tap" else {}))
    page.goto("/work")
    working(page)
    if hand == "keys":
        page.keyboard.press("s")
        page.wait_for_selector("#skip[open]")
        page.keyboard.press("Space")  # the first reason has the focus
        tab_to(page, "#skip button.go")
        page.keyboard.press("Enter")
    else:
        press = {"click": click, "tap": tap}[hand]
        press(page.locator("[data-do=skip]"))
        press(page.locator("#skip label").first)
        press(page.locator("#skip button.go"))
    page.get_by_role("heading", name="Nothing to do now").wait_for()
    assert used(page) == ({"keydown"} if hand == "keys" else {"pointerdown"})
    with app.state.desk.store.reading() as connection:
        assert connection.execute(select(passes.c.reason)).scalars().all() == ["I do not know enough about this"]


@pytest.mark.parametrize(("keys", "reason"), [("", "no reason given"), (" ", "I do not know enough about this")])
def test_a_task_is_skipped_by_two_keys_and_with_a_reason_by_three(app, sit_down, keys, reason):
    page = sit_down("board")
    page.goto("/work")
    working(page)
    page.keyboard.press("s")
    page.wait_for_selector("#skip[open]")
    expect(page.locator("#skip")).to_contain_text("you need not give one")
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Nothing to do now").wait_for()
    with app.state.desk.store.reading() as connection:
        assert connection.execute(select(passes.c.reason)).scalars().all() == [reason]


def test_a_flag_says_why(app, sit_down):
    page = sit_down("board")
    page.goto("/work")
    working(page)
    page.keyboard.press("f")
    page.wait_for_selector("#flag[open]")
    page.locator("#flag button.go").click()
    expect(page.locator("#flag")).to_be_visible()  # the browser asks for a reason
    task = json.loads(page.locator("#work").get_attribute("data-task") or "")["task"]
    said = page.request.post(f"/api/tasks/{task}/leave", data={"what": "flag"})
    assert (said.status, "say why you flag it" in said.text()) == (400, True)
    page.locator("#flag label").nth(2).click()
    page.locator("#flag button.go").click()
    page.get_by_role("heading", name="Nothing to do now").wait_for()


# What is begun stays, whatever the kind.

BEGUN = {
    "board": ("rank.B", "2"),
    "rank": ("judgements.A.overall", "3"),
    "judge": ("judgements.A.sexual", "true"),
    "compare": ("better", "null"),
    "toxicity": ("outputs.A.relative", "-1"),
    "prompt": ("source", '"few_shot"'),
}


@pytest.mark.parametrize("kind", BEGUN)
def test_what_is_begun_is_there_after_a_reload_and_can_be_undone(sit_down, kind):
    page = with_a_clock(sit_down(kind))
    page.goto("/work")
    working(page)
    name, value = BEGUN[kind]
    page.locator(f"label:has([name='{name}'][value='{value}'])").click()
    chosen = page.locator(f"[name='{name}'][value='{value}']")
    saved(page)
    page.reload()
    working(page)
    expect(chosen).to_be_checked()
    for other in page.locator(f"label:has([name='{name}']):not(:has([value='{value}']))").all()[:1]:
        other.click()
    expect(chosen).not_to_be_checked()
    page.locator("[data-do=undo]").click()
    expect(chosen).to_be_checked()
    saved(page)


def test_what_is_undone_while_it_is_being_saved_stays_undone(app, sit_down):
    page = with_a_clock(sit_down("board"))
    page.goto("/work")
    working(page)
    place = page.locator("label:has([name='rank.A'])")
    place.first.click()
    saved(page)
    held: list[Route] = []
    page.route("**/draft", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/draft"):
        place.nth(1).click()
        page.clock.fast_forward(DRAFT)
    page.locator("[data-do=undo]").click()
    page.clock.fast_forward(DRAFT)  # the change is to be sent, and the one before is not there yet
    held[0].continue_()
    saved(page)
    with app.state.desk.store.reading() as connection:
        (body,) = connection.execute(select(drafts.c.body)).scalars()
    assert json.loads(body)["rank.A"] == "1"


def test_written_words_are_undone_step_by_step(sit_down):
    page = with_a_clock(sit_down("write"))
    page.goto("/work")
    working(page)
    text = page.locator("[name=text]")
    text.press_sequentially("Toast it.")
    page.clock.fast_forward(DRAFT + 1)  # a pause, after which words are another step
    text.press_sequentially(" Or not.")
    page.locator("[data-do=undo]").click()
    expect(text).to_have_value(re.compile(r"^Toast it\."))
    while page.locator("[data-do=undo]").is_visible():
        page.locator("[data-do=undo]").click()
    expect(text).to_have_value("")


@pytest.mark.parametrize("kind", ["rank", "compare", "write"])
def test_the_next_task_is_there_already(sit_down, kind):
    page = sit_down(kind, prompts=2)
    page.goto("/work")
    working(page)
    first = json.loads(page.locator("#work").get_attribute("data-task") or "")["task"]
    with page.expect_response(re.compile(r"/work\?.*besides=")):
        if kind == "write":
            page.keyboard.type("Toast it.")
            page.locator("[data-do=submit]").hover()
        elif kind == "compare":
            page.keyboard.press("1")
        else:
            for key in ("5", "n", "Enter") * 4 + ("1", "2", "3", "4"):
                page.keyboard.press(key)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.split("/", 3)[3]))
    page.locator("[data-do=submit]").click()
    page.wait_for_function("task => !document.querySelector('#work').dataset.task.includes(task)", arg=first)
    assert not [one for one in asked if one.startswith("work")]
