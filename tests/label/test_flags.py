"""What a manager does about a flag: see it, take the task out, give it back; and nobody loses a word by it."""

import json
import re

import pytest
from playwright.sync_api import expect
from sqlalchemy import select
from team import rank_job, ranked, stock, true_worth, work_on
from test_looked_up import made, text_of

from biddable.records import Prompt
from biddable.store import history, progress, verify
from biddable.store.work_tables import answers, drafts, slots

OPEN = {"follow_redirects": True}
FLAG = {"what": "flag", "reason": "It names or describes a private person", "note": "line 2"}


@pytest.fixture
def owner(person):
    return person("olga", "owner", "training")[0]


def states(store, task: str) -> list[str]:
    with store.reading() as connection:
        return list(connection.execute(select(slots.c.state).where(slots.c.task == task)).scalars())


def open_flags(owner) -> list[str]:
    """Of each job on the list of jobs."""
    return re.findall(r"(\d+) open flags of", owner.get("/manage").text)


def test_an_open_flag_is_counted_until_a_manager_has_seen_it(owner, store, person):
    stock(store, 2)
    job = rank_job(store)
    ann, account = person("ann")
    person("ben")
    task = ann.post("/api/claim", json={}).json()["task"]["task"]
    assert open_flags(owner) == []
    ann.post(f"/api/tasks/{task}/leave", json=FLAG)
    other = ann.post("/api/claim", json={}).json()["task"]["task"]
    ann.post(f"/api/tasks/{other}/leave", json={"what": "skip", "reason": "Something else"})
    assert open_flags(owner) == ["1"]
    page = owner.get(f"/manage/jobs/{job.id}").text
    assert page.index("open flag</strong>") < page.index("<td>skip</td>"), "what waits comes first"
    page = owner.post(f"/manage/tasks/{task}/seen", data={"labeler": account.labeler}, **OPEN).text
    assert "The flag is marked as seen." in page
    assert "<td>seen</td>" in page
    assert open_flags(owner) == []
    assert states(store, task) == ["open"], "somebody else will do it"
    with store.reading() as connection:
        assert verify.verify(connection).sound


def test_a_task_is_taken_out_for_everyone_and_given_back(owner, store, person, app):
    stock(store, 1)
    job = rank_job(store, doubly=1.0)
    (_, one), (ben, _) = person("ann"), person("ben")
    work_on(store, one, lambda held: ranked(held, true_worth), store.clock(), job)
    task = ben.post("/api/claim", json={}).json()["task"]["task"]
    assert ben.put(f"/api/tasks/{task}/draft", json={"version": 1, "body": "half"}).status_code == 200
    assert owner.post(f"/manage/tasks/{task}/out", data={"reason": " "}).status_code == 400
    page = owner.post(f"/manage/tasks/{task}/out", data={"reason": "It names somebody"}, **OPEN)
    assert "Taken out by olga" in text_of(page.text)
    assert sorted(states(store, task)) == ["done", "out"]
    assert ben.post("/api/claim", json={}).json()["task"] is None
    beat = ben.post(f"/api/tasks/{task}/beat", json={"lease": "any"}).json()
    assert (beat["until"], "taken the task out: “It names somebody”" in beat["over"]) == (None, True)
    with store.reading() as connection:
        found = progress.of(connection, job, store.clock())
        assert (found.done, found.left, found.out) == (1, 0, 1)
        assert connection.execute(select(drafts.c.body)).scalars().all() == ["half"]
        said = history.lines(connection, 0, "task taken out", "", 5)
        assert [(line.key, line.detail) for line in said] == [(task, "It names somebody")]
        assert verify.verify(connection).sound
    back = owner.post(f"/manage/tasks/{task}/back", **OPEN).text
    assert "in the queue again" in back
    assert "Taken out by" not in back
    held = ben.post("/api/claim", json={}).json()["task"]
    assert (held["task"], held["draft"]["body"]) == (task, "half")
    page = text_of(owner.get(f"/manage/tasks/{task}").text)
    assert "ben holds it now" in page
    owner.post(f"/manage/tasks/{task}/back")
    assert sorted(states(store, task)) == ["done", "open"]
    beat = ben.post(f"/api/tasks/{task}/beat", json={"lease": held["lease"]}).json()
    assert "whoever runs the job gave it back" in beat["over"]


def test_checks_and_tests_that_are_taken_out_are_given_to_nobody(owner, store, person):
    stock(store, 2, "valid")
    rank_job(store, purpose="screening", split="valid")
    (cal, _), (dee, _) = person("cal", group="candidate"), person("dee", group="candidate")
    task = cal.post("/api/claim", json={}).json()["task"]["task"]
    owner.post(f"/manage/tasks/{task}/out", data={"reason": "broken"})
    for one in (cal, dee):
        assert one.post("/api/claim", json={}).json()["task"]["task"] != task
    assert "1 part" in text_of(dee.get("/screening").text) or "of 1" in text_of(dee.get("/screening").text)


def test_who_holds_it_reads_why_keeps_the_text_and_what_they_hand_in_is_kept(owner, store, window, app):
    store.add_prompts([Prompt(id="p", text="Why is the sea salt?", split="train")])
    made(store, "write")
    page = window("ann")
    page.goto("/work")
    page.wait_for_selector("[data-ready]")
    page.keyboard.type("Rivers carry salt to it.")
    expect(page.locator("#saved")).to_have_text("Saved")
    task = json.loads(page.locator("#work").get_attribute("data-task") or "")["task"]
    owner.post(f"/manage/tasks/{task}/out", data={"reason": "It names somebody"})
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # a sign of life
    expect(page.locator("#banner")).to_contain_text("taken the task out: “It names somebody”")
    expect(page.locator("[name=text]")).to_have_value("Rivers carry salt to it.")
    page.reload()
    expect(page.locator("#banner")).to_contain_text("taken the task out")
    expect(page.locator("[name=text]")).to_have_value("Rivers carry salt to it.")
    page.locator("[data-do=submit]").click()
    expect(page.get_by_role("heading", name="Nothing to do now")).to_be_visible()
    with store.reading() as connection:
        (said,) = connection.execute(select(answers.c.body, answers.c.late)).all()
    assert ("Rivers carry salt to it." in said.body, said.late) == (True, True)


def test_nobody_is_asked_again_about_a_task_that_is_out(owner, store, person):
    """Also where somebody changes what they said after it was taken out."""
    stock(store, 1)
    rank_job(store, doubly=1.0, disagree=0.1)
    for name in ("ann", "ben"):
        client, _ = person(name)
        task = client.post("/api/claim", json={}).json()["task"]
        order = sorted(task["answers"], key=lambda answer: len(answer["text"]))
        body = {"order": [[answer["letter"]] for answer in order]}
        at = f"/api/tasks/{task['task']}/answer"
        client.post(at, json={"key": "the first word", "body": json.dumps(body)})
    owner.post(f"/manage/tasks/{task['task']}/out", data={"reason": "broken"})
    said = client.post(at, json={"key": "another word", "body": json.dumps({"order": body["order"][::-1]})}).json()
    assert said["revision"] == 2
    assert states(store, task["task"]) == ["done", "done"]
