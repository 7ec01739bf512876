"""From three invitations to a reward model: real browsers, a lease that ends, a line that breaks, and what was said."""

import json
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from desks import job
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from biddable import hamlet, records, runs
from biddable.hamlet import tasks
from biddable.hamlet.answers import write
from biddable.hamlet.screening import MIXED
from biddable.label import create_app
from biddable.learn import reward
from biddable.records import Completion, Prompt, Ranking
from biddable.store import open_store
from biddable.store.work_tables import answers, slots

PASSWORD = "a few words in a row"
RANKED = 5  # prompts
PEOPLE = ("ann", "ben", "cas")


@pytest.fixture
def app(where, clock):
    rng = random.Random("end to end")
    with open_store(where) as store:
        for n in range(RANKED):
            task = tasks.make(rng, "story")
            prompt = Prompt.make(task.text, user=f"u{n}", split="train", use_case=task.use_case)
            texts = list(dict.fromkeys(write(task, rng, MIXED) for _ in range(40)))[:4]
            store.add_many([prompt, *(Completion.make(prompt.id, text, "sft") for text in texts)])
    return create_app(where, clock=clock)


@pytest.fixture
def desk_of(browser: Browser, url) -> Iterator[Callable[[], Page]]:
    """A browser of somebody's own, with nothing in it. A script that fails there fails the test."""
    opened, faults = [], []

    def one() -> Page:
        context = browser.new_context(base_url=url, viewport={"width": 1280, "height": 900})
        context.set_default_timeout(60_000)
        context.on("weberror", lambda fault: faults.append(str(fault.error)))
        opened.append(context)
        return context.new_page()

    yield one
    for context in opened:
        context.close()
    assert faults == []


def come_in(owner: Page, mine: Page, name: str) -> None:
    """The owner makes a link; its person opens it and chooses a password."""
    owner.goto("/manage/people")
    owner.locator("form[action='/manage/people'] [name=name]").fill(name)
    owner.get_by_role("button", name="Make a link").click()
    link = owner.get_by_label(f"Send this link to {name}.").input_value()
    mine.goto(link)
    mine.get_by_label("Password").fill(PASSWORD)
    mine.get_by_role("button", name="Join").click()
    expect(mine.get_by_role("heading", name=f"Hello, {name}")).to_be_visible()


def begin(page: Page, name: str = "") -> None:
    """The work of this title, from the first page; or what is open already, once more."""
    if name:
        page.goto("/")
        page.get_by_role("link", name=name).click()
    else:
        page.reload()
    page.wait_for_selector("[data-ready]")


def task_of(page: Page) -> str:
    return json.loads(page.locator("#work").get_attribute("data-task") or "")["task"]


def keys(page: Page, some: str) -> None:
    for key in some:
        page.keyboard.press(key)


def judge(page: Page, overall: str) -> None:
    """Each answer gets its rating, and no to all the rest."""
    for rating in overall:
        keys(page, f"{rating}n")
        page.keyboard.press("Enter")


def hand_in(page: Page) -> None:
    before = task_of(page)
    page.keyboard.press("Enter")
    page.wait_for_function(
        """task => {
          const work = document.querySelector("#work");
          return !work || (work.dataset.ready && !work.dataset.task.includes(task));
        }""",
        arg=before,
    )


def rows(app, table) -> list:
    with app.state.desk.store.reading() as connection:
        return list(connection.execute(select(table)))


def test_three_people_label_through_it_all_and_a_reward_model_learns(app, person, window, desk_of, clock, tmp_path):
    owner = window("olga", "owner", "researcher")
    job(app, person, "write", fill={"count": 1})
    job(app, person, "rank")
    ann, ben, cas = (desk_of() for _ in PEOPLE)
    for name, page in zip(PEOPLE, (ann, ben, cas), strict=True):
        come_in(owner, page, name)

    # Ben signs out and in again, and writes.
    ben.get_by_role("button", name="Sign out").click()
    ben.get_by_label("Name").fill("ben")
    ben.get_by_label("Password").fill(PASSWORD)
    ben.get_by_role("button", name="Sign in").click()
    begin(ben, "Write")
    ben.locator("[name=text]").press_sequentially("once there was a goat. they were happy.")
    ben.get_by_role("button", name="Hand in").click()
    expect(ben.get_by_role("heading", name="Nothing to do now")).to_be_visible()

    # Ann judges and ranks with ties. On her second task the line breaks; what she does is kept, and sent once.
    begin(ann, "Rank answers")
    judge(ann, "6253")
    keys(ann, "1323")
    hand_in(ann)
    judge(ann, "2266")
    keys(ann, "2211")
    ann.context.set_offline(True)
    waiting = task_of(ann)
    ann.keyboard.press("Enter")
    expect(ann.locator("#banner")).to_contain_text("An answer waits here for the connection")
    assert waiting not in {row.task for row in rows(app, answers)}
    ann.context.set_offline(False)
    expect(ann.locator("#banner")).to_be_hidden()
    assert [row.task for row in rows(app, answers)].count(waiting) == 1
    ann.goto("/")  # a break

    # Ben begins, and is not heard of for half an hour. Cas is given his task, and does all that is left.
    begin(ben, "Rank answers")
    his = task_of(ben)
    judge(ben, "17")
    expect(ben.locator("#saved")).to_have_text("Saved")
    clock.ahead = timedelta(minutes=31)
    begin(cas, "Rank answers")
    done = []
    while cas.locator("#work").count():
        done.append(task_of(cas))
        judge(cas, "7531")
        keys(cas, "1234")
        hand_in(cas)
    assert his in done
    assert len(done) == RANKED - 2

    # Ben comes back: his draft is there, he goes on where he was, and what he says is kept too, as late.
    begin(ben)
    expect(ben.locator("#banner")).to_contain_text("The time for this task is over")
    assert task_of(ben) == his
    expect(ben.locator('[name$=".overall"][value="1"]').first).to_be_checked()
    judge(ben, "26")
    keys(ben, "4132")
    ben.keyboard.press("Enter")
    expect(ben.get_by_role("heading", name="Nothing to do now")).to_be_visible()

    said = rows(app, answers)
    assert len(said) == 1 + RANKED + 1
    assert [row.late for row in said if row.task == his] == [False, True]
    assert {row.state for row in rows(app, slots)} == {"done"}
    store = app.state.desk.store
    assert [one.text for one in store.demonstrations()] == ["once there was a goat. they were happy."]
    assert len(list(store.judgements())) == 4 * (RANKED + 1)

    # The owner takes the rankings out, and a reward model learns them.
    owner.goto("/manage/data")
    with owner.expect_download() as got:
        owner.locator("a[href*='rankings.jsonl'], button[formaction*='rankings.jsonl']").first.click()
    taken = tmp_path / "rankings.jsonl"
    got.value.save_as(taken)
    rankings = [one for one in records.read(taken) if isinstance(one, Ranking)]
    assert len(rankings) == RANKED + 1
    shapes = sorted(tuple(map(len, one.order)) for one in rankings)
    assert shapes == [(1, 1, 1, 1)] * 4 + [(1, 1, 2), (2, 2)]
    learns(taken, tmp_path / "reward")


def learns(rankings: Path, folder: Path) -> None:
    """A reward model of Hamlet's base puts first what the people put first. Not always: two of them may differ."""
    torch.set_num_threads(1)
    config = reward.RewardConfig(learning_rate=1e-3, batch=8, epochs=40, center="answers")
    with runs.start(folder, "reward", config, {"model": hamlet.BASE, "rankings": rankings}, 0) as run:
        made = reward.train(run, config, model=hamlet.BASE, rankings=rankings)
    told = runs.read_metrics(folder)
    assert made.is_dir()
    assert told[-1]["loss"] < 0.8 * told[0]["loss"]
    assert told[-1]["accuracy"] > 0.75
