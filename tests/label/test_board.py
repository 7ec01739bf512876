"""Ranking in a real browser: by keys alone, by pointer alone, by touch alone."""

import json
import re

import pytest
from desks import TEXTS, job, material
from playwright.sync_api import Page, expect

from biddable.store import open_store


@pytest.fixture
def fill(where):
    def add(**words) -> None:
        with open_store(where) as store:
            store.add_many(material(**words))

    return add


def begin(page: Page, path: str = "/work") -> Page:
    page.goto(path)
    page.wait_for_selector("[data-ready]")
    return page


def place(page: Page, letter: str, rank: int) -> None:
    page.locator(f'[name="rank.{letter}"][value="{rank}"]').check()


def handed_in(page: Page) -> None:
    expect(page.locator("#toast")).to_contain_text("Handed in")


def ranked(app) -> dict[str, int]:
    """Text → rank of the one ranking that stands in the store."""
    store = app.state.desk.store
    (ranking,) = store.rankings()
    texts = {one.id: one.text for one in store.completions()}
    return {texts[name]: rank for name, rank in ranking.ranks.items()}


def on_screen(page: Page) -> list[str]:
    return [one["text"] for one in json.loads(page.locator("#work").get_attribute("data-task") or "")["answers"]]


def watch(page: Page) -> list[str]:
    """Every key that is pressed from now on."""
    pressed: list[str] = []
    plain = page.keyboard.press
    page.keyboard.press = lambda key: (pressed.append(key), plain(key))[1]  # type: ignore[method-assign]
    return pressed


@pytest.mark.parametrize(("answers", "most"), [(4, 5), (9, 10)])
def test_keys_alone_rank_in_no_more_than_one_key_an_answer_and_one(fill, app, person, window, answers, most):
    fill(prompts=1, answers=answers)
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    texts = on_screen(page)
    keys = [str(n) for n in [2, 1, 2, *range(3, 10)][:answers]]

    pressed = watch(page)
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nothing to do now")).to_be_visible()

    assert len(pressed) - 1 <= most
    assert ranked(app) == dict(zip(texts, map(int, keys), strict=True))


def test_keys_alone_judge_each_answer_and_then_rank(fill, app, person, window):
    fill(prompts=2)
    job(app, person, "rank")
    page = begin(window("ann"))
    first = page.locator("#work").get_attribute("data-task")
    pressed = watch(page)
    for overall in "6253":
        for key in (overall, "n", "Enter"):
            page.keyboard.press(key)
    for key in "1423":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    handed_in(page)

    assert len(pressed) == 4 * 3 + 4 + 1
    expect(page.locator("#work")).not_to_have_attribute("data-task", first or "")  # the next one, on the same page
    store = app.state.desk.store
    judgements = {one.completion_id: one for one in store.judgements()}
    (ranking,) = store.rankings()
    assert [judgements[name].overall for name in ranking.shown] == [6, 2, 5, 3]
    assert [ranking.ranks[name] for name in ranking.shown] == [1, 4, 2, 3]
    assert {one.fails_task for one in judgements.values()} == {False}
    assert {one.hallucination for one in judgements.values()} == {None}  # no closed-domain prompt
    assert {one.satisfies_constraint for one in judgements.values()} == {None}  # "the rest: no": it states none


def test_pointer_alone_judges_and_ranks(fill, app, person, window):
    fill(prompts=1, use_case="summarization")
    job(app, person, "rank")
    page = begin(window("ann"))
    go = page.locator("[data-do=submit]")
    page.locator('[name="_constraint"][value="true"]').check()
    for letter in "ABCD":
        card = page.locator(f'.card[data-letter="{letter}"]')
        card.locator('[name$=".overall"][value="4"]').check()
        card.locator('[name$=".satisfies_constraint"][value="true"]').check()
        card.locator('[name$=".hallucination"][value="true"]').check()
        card.get_by_role("button", name="All the rest: no").click()
        go.click()
    for letter, rank in zip("ABCD", (3, 1, 1, 2), strict=True):
        place(page, letter, rank)
    texts = on_screen(page)
    go.click()
    expect(page.get_by_role("heading", name="Nothing to do now")).to_be_visible()

    assert ranked(app) == dict(zip(texts, (3, 1, 1, 2), strict=True))
    judgements = list(app.state.desk.store.judgements())
    assert {(one.hallucination, one.satisfies_constraint, one.sexual) for one in judgements} == {(True, True, False)}


@pytest.mark.parametrize("brings", [True, False])
def test_hallucination_is_asked_where_the_labeler_says_that_the_prompt_brings_its_text(
    fill, app, person, window, brings
):
    fill(prompts=1, answers=4, use_case=None)
    job(app, person, "rank")
    page = begin(window("ann"))
    page.locator(f'[name="_closed"][value="{str(brings).lower()}"]').check()
    for letter in "ABCD":
        card = page.locator(f'.card[data-letter="{letter}"]')
        card.locator('[name$=".overall"][value="4"]').check()
        asked = card.locator("[data-question=hallucination]")
        expect(asked).to_be_visible(visible=brings)
        if brings:
            asked.locator("[value=true]").check()
        card.get_by_role("button", name="All the rest: no").click()
        page.locator("[data-do=submit]").click()
    for letter in "ABCD":
        place(page, letter, 1)
    page.locator("[data-do=submit]").click()
    handed_in(page)
    assert {one.hallucination for one in app.state.desk.store.judgements()} == {True if brings else None}


def test_touch_alone_ranks_four_long_answers_on_a_phone_in_eight_taps(fill, app, person, window):
    fill(prompts=1, texts=[text + "x" * (2000 - len(text)) if len(text) < 2000 else text[:2000] for text in TEXTS])
    job(app, person, "rank", judge=False)
    page = begin(window("ann", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True))
    texts, taps = on_screen(page), 0
    for letter, rank in zip("ABCD", (2, 4, 1, 3), strict=True):
        button = page.locator(f'label:has([name="rank.{letter}"][value="{rank}"])')
        box = button.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 44
        button.tap()
        taps += 1
    page.locator("[data-do=submit]").tap()
    taps += 1
    expect(page.get_by_role("heading", name="Nothing to do now")).to_be_visible()
    assert taps <= 8
    assert ranked(app) == dict(zip(texts, (2, 4, 1, 3), strict=True))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_order_that_nobody_touched_is_not_handed_in(fill, app, person, window):
    fill(prompts=1)
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).to_have_text("A has no rank yet.")
    for key in "121":
        page.keyboard.press(key)
    expect(page.locator("#banner")).to_be_hidden()
    page.locator("[data-do=submit]").click()
    expect(page.locator("#banner")).to_have_text("D has no rank yet.")
    expect(page.locator("#banner")).to_be_in_viewport()
    assert not list(app.state.desk.store.rankings())


def announced(page: Page, text: str | re.Pattern) -> None:
    expect(page.locator("#say")).to_have_text(text)


def ranks(page: Page) -> dict[str, str]:
    return dict(page.eval_on_selector_all("[name^='rank.']:checked", "all => all.map(x => [x.name.slice(5), x.value])"))


def test_ties_moves_splits_and_undo_are_keys_and_are_said_aloud(fill, app, person, window):
    fill(prompts=1)
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    page.keyboard.press("2")
    announced(page, "A, rank 2 of 4")
    page.keyboard.press("=")  # B, as A before it
    announced(page, "B, rank 2 of 4, tied with A")
    page.keyboard.press("x")
    announced(page, "B, rank 3 of 4")
    page.keyboard.press("Shift+K")
    announced(page, "B, rank 2 of 4, tied with A")
    page.keyboard.press("Shift+K")
    assert ranks(page) == {"A": "2", "B": "1"}
    page.keyboard.press("z")
    assert ranks(page) == {"A": "2", "B": "2"}
    page.keyboard.press("j")
    page.keyboard.press("4")
    page.keyboard.press("k")  # from D, where the focus went by itself
    page.keyboard.press("Shift+J")
    assert ranks(page) == {"A": "2", "B": "2", "C": "4"}  # nothing is below the last
    page.keyboard.press("z")
    page.keyboard.press("z")
    assert ranks(page) == {"A": "2", "B": "3"}


def test_a_split_makes_room_for_itself(fill, app, person, window):
    fill(prompts=1)
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    for key in ("1", "1", "2", "4", "k", "k", "x"):  # B leaves A, and C makes room
        page.keyboard.press(key)
    assert ranks(page) == {"A": "1", "B": "2", "C": "3", "D": "4"}


def test_answers_that_say_the_same_tie_by_themselves(fill, app, person, window):
    fill(prompts=1, texts=["Yes.", "No.", " Yes.\n", "Perhaps."])
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    texts = [text.strip() for text in on_screen(page)]
    twins = ["ABCD"[n] for n, text in enumerate(texts) if text == "Yes."]
    place(page, twins[0], 3)
    assert ranks(page) == dict.fromkeys(twins, "3")
    expect(page.locator(f'.card[data-letter="{twins[1]}"] .hint')).to_have_text(
        f"Same text as {twins[0]}: ranked together."
    )


def test_a_rank_against_the_rating_is_asked_about_and_not_forbidden(fill, app, person, window):
    fill(prompts=1)
    job(app, person, "rank")
    page = begin(window("ann"))
    for overall in "2777":
        for key in (overall, "n", "Enter"):
            page.keyboard.press(key)
    for key in "1234":
        page.keyboard.press(key)
    expect(page.locator('.card[data-letter="A"] .hint')).to_have_text(
        "You rate B higher (7, and A 2), and rank A above it. Is that so?"
    )
    page.keyboard.press("Enter")
    handed_in(page)


def test_letters_are_dragged_to_their_ranks(fill, app, person, window):
    fill(prompts=1)
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    for letter, rank in (("B", 1), ("A", 2)):
        start = page.locator(f'.chip[data-letter="{letter}"]').bounding_box()
        goal = page.locator(f'.ladder li[data-rank="{rank}"]').bounding_box()
        assert start
        assert goal
        page.mouse.move(start["x"] + 8, start["y"] + 8)
        page.mouse.down()
        page.mouse.move(goal["x"] + goal["width"] / 2, goal["y"] + goal["height"] / 2, steps=5)
        announced(page, f"Rank {rank}")
        page.mouse.up()
        announced(page, f"{letter}, rank {rank} of 4")
    assert ranks(page) == {"A": "2", "B": "1"}


def test_keys_can_be_others_or_off(fill, app, person, window):
    fill(prompts=1)
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    page.keyboard.press("?")
    page.locator("[data-key=next]").click()
    page.keyboard.press("d")  # which was the difference's
    expect(page.locator("[data-key=diff]")).to_have_text("j")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    begin(page)
    page.keyboard.press("d")
    expect(page.locator('.card[data-letter="B"]')).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator("#diff")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("[data-do=help]").click()
    page.get_by_label("Use single keys").uncheck()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    page.locator('.card[data-letter="A"]').focus()
    page.keyboard.press("1")
    assert ranks(page) == {}


def test_keys_are_letters_in_a_text_field(fill, app, person, window):
    fill(prompts=1)
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    page.get_by_text("Add a note").click()
    page.get_by_label("Note").press_sequentially("skip? 12 = z")
    assert page.get_by_label("Note").input_value() == "skip? 12 = z"
    assert ranks(page) == {}


def test_any_two_answers_are_compared_word_by_word(fill, app, person, window):
    fill(
        prompts=1,
        texts=["the cat sat on the mat", "the dog sat on a mat", "nothing alike", "the cat sat on the mat now"],
    )
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    texts = dict(zip("ABCD", on_screen(page), strict=True))
    letter = {text: letter for letter, text in texts.items()}
    page.keyboard.press("d")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox", name="Left").select_option(letter["the cat sat on the mat"])
    dialog.get_by_role("combobox", name="Right").select_option(letter["the dog sat on a mat"])
    assert [text.strip() for text in dialog.locator("del").all_inner_texts()] == ["cat", "the"]
    assert [text.strip() for text in dialog.locator("ins").all_inner_texts()] == ["dog", "a"]
    dialog.get_by_role("button", name="Next difference").click()
    expect(dialog.get_by_role("status")).to_have_text("1 of 4")


def test_the_difference_is_as_short_as_can_be(fill, app, person, window):
    """Against the table of longest common subsequences, which is slow and plain."""
    fill(prompts=1)
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    script = page.locator("script[type=module]").get_attribute("src")
    found = page.evaluate(
        """async (source) => {
          const { diff } = await import(source);
          let seed = 1;
          const draw = (n) => (seed = (seed * 48271) % 2147483647) % n;
          const words = () => Array.from({ length: draw(14) }, () => "abcdef"[draw(2 + draw(4))]);
          const common = (a, b) => {
            const t = Array.from({ length: a.length + 1 }, () => new Array(b.length + 1).fill(0));
            for (let i = 1; i <= a.length; i++)
              for (let j = 1; j <= b.length; j++)
                t[i][j] = a[i - 1] === b[j - 1] ? t[i - 1][j - 1] + 1 : Math.max(t[i - 1][j], t[i][j - 1]);
            return t[a.length][b.length];
          };
          const split = ([, text]) => text.split(" ").filter(Boolean);
          const of = (pieces, not) => pieces.filter(([which]) => which !== not).flatMap(split);
          let wrong = 0;
          for (let n = 0; n < 5000; n++) {
            const [a, b] = [words(), words()];
            const pieces = diff(a.join(" "), b.join(" "));
            const same = of(pieces.filter(([w]) => w === "same"));
            const whole = of(pieces, "new").join() === a.join() && of(pieces, "gone").join() === b.join();
            wrong += !whole || same.length !== common(a, b);
          }
          return wrong;
        }""",
        (script or "").replace("work.js", "diff.js"),
    )
    assert found == 0


def test_the_difference_of_long_texts_is_whole_and_soon_there(fill, app, person, window):
    """Of two that are unlike it is not the shortest any more; of two that are much alike it still is."""
    fill(prompts=1)
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    script = page.locator("script[type=module]").get_attribute("src")
    took, lacking, whole = page.evaluate(
        """async (source) => {
          const { diff } = await import(source);
          let seed = 1;
          const draw = (n) => (seed = (seed * 48271) % 2147483647) % n;
          const words = (count, from) => Array.from({ length: count }, () => "w" + draw(from));
          const of = (pieces, not) => pieces.filter(([which]) => which !== not).map(([, text]) => text);
          const bare = (text) => text.split(/\\s+/).join(" ").trim();
          const whole = (a, b, pieces) =>
            bare(of(pieces, "new").join("")) === a.join(" ") && bare(of(pieces, "gone").join("")) === b.join(" ");
          const alike = words(12000, 3000);
          const changed = alike.map((word, n) => (n % 60 ? word : "other" + n)); // 200 words of 12,000
          const same = diff(alike.join(" "), changed.join(" ")).filter(([which]) => which === "same");
          const lacking = 11800 - same.flatMap(([, text]) => text.split(" ").filter(Boolean)).length;
          const took = [];
          let all = whole(alike, changed, diff(alike.join(" "), changed.join(" ")));
          for (const from of [3000, 100, 3]) {
            const [a, b] = [words(12000, from), words(12000, from)];
            const begun = performance.now();
            const pieces = diff(a.join(" "), b.join(" "));
            took.push(performance.now() - begun);
            all &&= whole(a, b, pieces);
          }
          return [Math.min(...took.slice(0, 2)), lacking, all];
        }""",
        (script or "").replace("work.js", "diff.js"),
    )
    assert whole
    assert lacking == 0
    assert took < 500  # a tenth of it where nothing else goes on; the shortest edit takes seconds
