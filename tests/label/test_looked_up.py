"""A manager reads a task: who said what, what was pasted, noted, flagged; and is then no witness of it."""

import html
import json
import re

import pytest
from team import JUDGED, rank_job, ranked, stock, team, true_worth, work_on

from biddable.records import Prompt
from biddable.store import fill, golds, jobs, quality
from biddable.store.jobs import JobSettings

OPEN = {"follow_redirects": True}


@pytest.fixture
def owner(person):
    return person("olga", "owner", "training")[0]


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page)))


def made(store, kind: str, count: int = 1, **settings) -> jobs.Job:
    with store.writing() as connection:
        job = jobs.make(connection, kind, kind, "training", JobSettings(fivefold=0, **settings), store.clock())
        jobs.add(connection, job, fill.todos(connection, job, fill.Fill(count=count)), store.clock())
        return job


def task_of(client, page: str) -> str:
    return re.search(r'href="/manage/tasks/([^"]+)"', client.get(page).text).group(1)


def test_what_was_written_with_what_was_pasted_and_the_tool(owner, store, person):
    store.add_prompts([Prompt(id="p", text="Why is the *sea* salt?", split="train", use_case="open_qa")])
    job = made(store, "write", doubly=1)
    for name, said in (
        ("ann", {"text": "Rivers carry salt to it.", "pasted": 6, "tool": True}),
        ("ben", {"text": "It never rains salt."}),
    ):
        client, _ = person(name)
        task = client.post("/api/claim", json={}).json()["task"]["task"]
        client.post(f"/api/tasks/{task}/answer", json={"key": f"key of {name}", "body": json.dumps(said)})
    assert task_of(owner, f"/manage/jobs/{job.id}") == task
    closed = owner.get(f"/manage/tasks/{task}").text
    assert "<em>sea</em>" in closed
    assert "2 answers were handed in" in closed
    assert "Rivers" not in closed
    page = text_of(owner.post(f"/manage/tasks/{task}/read", **OPEN).text)
    assert "Rivers carry salt to it." in page
    assert "It never rains salt." in page
    assert "25\xa0% was pasted." in page  # 6 of 24 characters
    assert page.count("Says that a tool was used.") == 1
    assert page.index("ann") < page.index("Rivers") < page.index("ben") < page.index("It never")


def test_rankings_judgements_notes_and_flags_and_then_no_word_of_one_s_own(owner, store, person):
    stock(store, 1)
    job = rank_job(store, judge=True, fivefold=1.0)
    (ann, _), (ben, _) = person("ann"), person("ben")
    held = ann.post("/api/claim", json={}).json()["task"]
    task = held["task"]
    worth = {answer["letter"]: len(answer["text"]) for answer in held["answers"]}
    order = sorted(worth, key=worth.__getitem__)
    judged = {x: JUDGED | {"violent": x == order[0]} for x in order}
    body = {"order": [[order[0]], order[1:3], [order[3]]], "judgements": judged, "note": "B and C say the same."}
    assert (
        ann.post(f"/api/tasks/{task}/answer", json={"key": "key of ann", "body": json.dumps(body)}).status_code == 200
    )
    assert ben.post("/api/claim", json={}).json()["task"]["task"] == task
    flag = {"what": "flag", "reason": "It names a private person", "note": "in line 2"}
    ben.post(f"/api/tasks/{task}/leave", json=flag)
    assert task_of(owner, f"/manage/jobs/{job.id}") == task
    closed = text_of(owner.get(f"/manage/tasks/{task}").text)
    assert "It names a private person: in line 2" in closed
    assert "say the same" not in closed
    assert "run-" not in closed, "who may still be given it sees no model's name"
    assert owner.post("/api/claim", json={}).json()["task"]["task"] == task
    early = owner.post(f"/manage/tasks/{task}/read")
    assert (early.status_code, "hand it in or skip it" in early.text) == (400, True)
    owner.post(f"/api/tasks/{task}/leave", json={"what": "skip", "reason": "unclear"})
    page = text_of(owner.post(f"/manage/tasks/{task}/read", **OPEN).text)
    # The letters of this page are the answers in the order of their ids, of which the first is the shortest.
    assert "A, then B = C, then D" in page
    assert "A: overall 5, violent" in page
    assert "B: overall 5C: overall 5D" in page
    assert "Note: B and C say the same." in page
    assert "run-a" in page
    again = rank_job(store, purpose="evaluation", split="train")
    assert owner.post("/api/claim", json={"job": again.id}).json() == {"task": None}
    answer = {"key": "key of olga", "body": json.dumps(body)}
    assert owner.post(f"/api/tasks/{task}/answer", json=answer).status_code == 409
    assert "You have read what others said of it" in owner.get(f"/manage/review/{task}").text


def test_others_see_what_is_theirs(owner, store, person):
    stock(store, 1)
    rank_job(store)
    (ann,) = team(store, ["ann"])
    work_on(store, ann, lambda held: ranked(held, true_worth), store.clock())
    with store.reading() as connection:
        (task,) = connection.exec_driver_sql("SELECT id FROM tasks").scalars()
    auditor, adjudicator = person("aud", "auditor")[0], person("ada", "adjudicator")[0]
    assert "A, then B, then C, then D" in text_of(auditor.get(f"/manage/tasks/{task}").text)
    page = text_of(adjudicator.get(f"/manage/tasks/{task}").text)
    assert "A manager can read it; you see it in a review" in page
    assert "then" not in page.partition("What was said")[2]
    assert adjudicator.post(f"/manage/tasks/{task}/read").status_code == 403
    assert owner.get("/manage/tasks/t-none").status_code == 404


def test_a_hidden_check_can_be_looked_at(owner, store, person):
    stock(store, 1)
    _, rita = person("rita", "labeler", "researcher")
    key = rank_job(store)
    work_on(store, rita, lambda held: ranked(held, true_worth), store.clock(), key)
    job = rank_job(store, purpose="evaluation", split="train")
    with store.writing() as connection:
        assert jobs.add(connection, job, golds.checks(connection, job, 5), store.clock()) == 1
        (check,) = quality.checks(connection)
    for _ in range(50):
        if check.task in (listed := owner.get("/manage/checks").text):
            break
    assert f'href="/manage/tasks/{check.task}"' in listed
    assert "Known" not in owner.get(f"/manage/tasks/{check.task}").text
    page = text_of(owner.post(f"/manage/tasks/{check.task}/read", **OPEN).text)
    assert "A hidden check. Known: A, then B, then C, then D." in page


def test_of_a_test_people_are_numbers(owner, store, person):
    stock(store, 1)
    job = rank_job(store, purpose="screening", split="train")
    _, gus = person("gus", "labeler", "candidate")
    work_on(store, gus, lambda held: ranked(held, true_worth), store.clock())
    page = owner.post(f"/manage/tasks/{task_of(owner, f'/manage/jobs/{job.id}')}/read", **OPEN).text
    assert gus.labeler in page
    assert "gus" not in text_of(page)
