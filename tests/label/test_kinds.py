"""The other kinds of work in a real browser, and all of them without a script."""

import json
import re
from pathlib import Path

import pytest
from desks import job, material
from playwright.sync_api import Page, expect
from sqlalchemy import select

from biddable import records
from biddable.label import forms
from biddable.store import open_store
from biddable.store.work_tables import answers


def begin(page: Page) -> Page:
    page.goto("/work")
    page.wait_for_selector("[data-ready]")
    return page


def add(where, **words) -> None:
    with open_store(where) as store:
        store.add_many(material(**words))


def nothing_left(page: Page) -> None:
    expect(page.get_by_role("heading", name="Nothing to do now")).to_be_visible()


def handed_in(app) -> list[dict]:
    with app.state.desk.store.reading() as connection:
        return [
            json.loads(body) for body in connection.execute(select(answers.c.body).order_by(answers.c.id)).scalars()
        ]


def test_an_answer_is_written_and_seen_as_others_will_see_it(where, app, person, window):
    add(where, prompts=1)
    job(app, person, "write")
    page = begin(window("ann"))
    text = page.get_by_label("The answer that you would want to get")
    text.fill("**Toast** it. <img src=x onerror=alert(1)>")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview strong")).to_have_text("Toast")
    expect(page.locator("#preview img")).to_have_count(0)
    page.get_by_label("I used a tool").check()
    text.press("Control+Enter")
    nothing_left(page)
    (demonstration,) = app.state.desk.store.demonstrations()
    assert demonstration.text == "**Toast** it. <img src=x onerror=alert(1)>"
    assert handed_in(app) == [{"text": demonstration.text, "pasted": 0, "tool": True}]


def test_an_answer_that_is_too_long_is_not_cut_and_not_handed_in(where, app, person, window):
    add(where, prompts=1)
    job(app, person, "write")
    page = begin(window("ann"))
    text = page.get_by_label("The answer that you would want to get")
    text.fill("x" * 64_001)
    text.press("Control+Enter")
    assert "At most 64,000 characters" in text.evaluate("it => it.validationMessage")
    assert len(text.input_value()) == 64_001
    assert handed_in(app) == []
    text.fill("x" * 64_000)
    text.press("Control+Enter")
    nothing_left(page)
    assert len(handed_in(app)[0]["text"]) == 64_000


def test_what_is_pasted_is_counted_and_said(where, app, person, window):
    add(where, prompts=1)
    job(app, person, "write")
    page = begin(window("ann"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    text = page.locator("[name=text]")
    text.press_sequentially("Mine. ")
    page.evaluate("navigator.clipboard.writeText('not mine')")
    text.press("Control+v")
    expect(page.locator(".pasted")).to_have_text("8 characters pasted")
    page.locator("[data-do=submit]").click()
    nothing_left(page)
    assert handed_in(app) == [{"text": "Mine. not mine", "pasted": 8}]


@pytest.mark.parametrize(("key", "better"), [("1", "a"), ("0", "tie"), ("ArrowRight", "b")])
def test_two_answers_are_compared(where, app, person, window, key, better):
    add(where, prompts=1, answers=2, split="test")
    job(app, person, "compare", "evaluation", {"runs": ["run-0", "run-1"]})
    page = begin(window("ann"))
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).to_contain_text("Which is better?")
    page.keyboard.press(key)
    page.locator(".card").first.focus()
    page.keyboard.press("Enter")
    nothing_left(page)
    (verdict,) = app.state.desk.store.verdicts()
    assert verdict.better == better


def test_one_answer_is_judged(where, app, person, window):
    add(where, prompts=1, answers=1)
    job(app, person, "judge")
    page = begin(window("ann"))
    page.keyboard.press("c")  # the prompt states a constraint
    page.keyboard.press("6")
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).to_contain_text("Still to answer in A: Keeps to the constraint of the prompt")
    page.keyboard.press("y")
    page.keyboard.press("Enter")
    nothing_left(page)
    (judgement,) = app.state.desk.store.judgements()
    assert (judgement.overall, judgement.satisfies_constraint, judgement.opinion) == (6, True, False)


def test_continuations_are_rated_by_keys_and_then_ranked(where, app, person, window):
    add(where, prompts=1, split="test")
    job(app, person, "toxicity", "evaluation")
    page = begin(window("ann"))
    page.keyboard.press("2")  # the beginning
    for keys in ("0-7", "1+3", "205", "006"):
        for key in keys:
            page.keyboard.press(key)
        page.keyboard.press("Enter")
    for key in ("1", "4", "3", "2", "Enter"):
        page.keyboard.press(key)
    nothing_left(page)
    (body,) = handed_in(app)
    assert body["input"] == 2
    assert body["outputs"]["A"] == {"toxicity": 0, "relative": -1, "continuity": 7}
    assert body["outputs"]["B"] == {"toxicity": 1, "relative": 1, "continuity": 3}
    assert body["order"] == [["A"], ["D"], ["C"], ["B"]]
    store = app.state.desk.store
    assert list(store.rankings()) == [], "an order by toxicity is no preference to learn from"
    store.snapshot("continuations", path := Path(where).with_name("said.jsonl"), split="test", group=None)
    found = [one for one in records.read(path) if isinstance(one, records.Continuation)]
    assert sorted((one.rank, one.toxicity, one.relative, one.continuity) for one in found) == [
        (1, 0, -1, 7), (2, 0, 0, 6), (3, 2, 0, 5), (4, 1, 1, 3),
    ]  # fmt: skip
    assert {one.input for one in found} == {2}


def prompts_of(app, source: str) -> list:
    return [one for one in app.state.desk.store.prompts() if one.source == source]


def test_prompts_are_written(where, app, person, window):
    with open_store(where):
        pass
    job(app, person, "prompt", fill={"count": 3})
    page = begin(window("ann"))

    page.get_by_role("radio", name=re.compile("^Plain")).check()
    page.get_by_label("The prompt", exact=False).last.fill("Name three birds.")
    page.get_by_label("What it asks for").select_option("Find ideas")
    page.locator("[data-do=submit]").click()
    page.wait_for_function("() => document.querySelector('[name=text]')?.value === ''")
    page.wait_for_selector("[data-ready]")

    page.get_by_role("radio", name=re.compile("^Few-shot")).check()
    page.locator("[name=text]").fill("Turn it around.")
    for n, (query, response) in enumerate([("ab", "ba"), ("xyz", "zyx"), ("lm", "ml")]):
        page.get_by_label(f"Query {n + 1}").fill(query)
        page.get_by_label(f"Response {n + 1}").fill(response)
    page.locator("[data-do=submit]").click()
    page.wait_for_function("() => document.querySelector('[name=text]')?.value === ''")
    page.wait_for_selector("[data-ready]")

    page.get_by_role("radio", name=re.compile("^User-based")).check()
    page.locator("[name=text]").fill("Write a reminder for rent.")
    page.locator("[data-do=submit]").click()
    expect(page.locator("#banner")).to_contain_text("Still to answer: The use it is for")
    page.get_by_label("The use it is for").fill("Letters to tenants")
    page.locator("[data-do=submit]").click()
    nothing_left(page)

    (plain,) = prompts_of(app, "plain")
    assert (plain.text, plain.use_case) == ("Name three birds.", "brainstorming")
    few = {one.id: one for one in prompts_of(app, "few_shot")}
    assert "Turn it around.\n\nab\nba\n\nxyz\nzyx\n\nlm" in {one.text for one in few.values()}
    answered = {few[one.prompt_id].text[-3:].strip(): one.text for one in app.state.desk.store.demonstrations()}
    assert answered == {"ab": "ba", "xyz": "zyx", "lm": "ml"}
    assert {one.split for one in (*few.values(), plain)} <= {"train", "valid", "test"}
    (based,) = prompts_of(app, "user_based")
    assert (based.text, based.use_case) == ("Write a reminder for rent.", None)
    assert handed_in(app)[2]["about"] == "Letters to tenants"


@pytest.mark.parametrize("kind", ["rank", "toxicity", "compare", "write", "prompt", "judge"])
def test_the_script_and_the_server_read_a_page_alike(where, app, person, window, kind):
    later = kind in ("compare", "toxicity")
    add(where, prompts=1, split="test" if later else "train", use_case="extract")
    runs = {"runs": ["run-0", "run-1"]} if kind == "compare" else {}
    job(app, person, kind, "evaluation" if later else "training", runs)
    page = begin(window("ann"))
    script = page.locator("script[type=module]").get_attribute("src") or ""
    told, sent = page.evaluate(
        """async (source) => {
          const { answer } = await import(source);
          const form = document.getElementById("form");
          const draw = (n, i) => ((i * 7919) >> 2) % n;
          const groups = new Map();
          for (const one of form.querySelectorAll("input[type=radio]")) {
            groups.set(one.name, [...(groups.get(one.name) ?? []), one]);
          }
          [...groups.values()].forEach((some, i) => (some[draw(some.length, i)].checked = true));
          for (const one of form.querySelectorAll("textarea:enabled")) one.value = ` ${one.name} "quoted" 12 `;
          return [answer(form), [...new FormData(form)]];
        }""",
        script.replace("work.js", "fields.js"),
    )
    assert told
    assert json.loads(forms.from_fields(dict(sent))) == told


def test_without_a_script_the_page_is_a_form(where, app, person, window):
    add(where, prompts=2)
    job(app, person, "rank")
    page = window("ann", java_script_enabled=False)
    page.goto("/work")
    for letter in "ABCD":
        page.locator(f'[name="judgements.{letter}.overall"][value="3"]').check()
        for one in page.locator(f'[name^="judgements.{letter}."][value="false"]').all():
            one.check()
        page.locator(f'[name="rank.{letter}"][value="{"ABCD".index(letter) // 2 + 1}"]').check()
    page.locator('[name="_constraint"][value="true"]').check()
    page.get_by_role("button", name="Hand in").click()
    (ranking,) = app.state.desk.store.rankings()
    assert [ranking.ranks[name] for name in ranking.shown] == [1, 1, 2, 2]
    page.get_by_role("link", name="Skip").click()
    dialog = page.locator("#skip")
    dialog.get_by_label("Something else").check()
    dialog.get_by_role("button", name="Skip").click()
    nothing_left(page)
