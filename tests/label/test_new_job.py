"""What a manager chooses on New job is what the job has, and what cannot be meant is said beside its field."""

import re

import pytest
from team import stock

from biddable.records import Prompt
from biddable.store import jobs
from biddable.store.jobs import JobSettings

BROWSER = {"accept": "text/html"}
OPEN = {"follow_redirects": True}


@pytest.fixture
def owner(person):
    return person("olga", "owner", "researcher")[0]


def all_jobs(store):
    with store.reading() as connection:
        return jobs.all_of(connection)


def test_ranking_alone_with_pay(owner, store):
    stock(store, 2)
    sent = {"kind": "rank", "rank_only": "true", "hourly": "21.5", "cap_minutes": "30"}
    assert "The job is made" in owner.post("/manage/jobs", data=sent, **OPEN).text
    (job,) = all_jobs(store)
    assert job.title == "Rank answers"
    assert job.settings == JobSettings(judge=False, hourly=21.5, cap_minutes=30)
    owner.post("/manage/jobs", data={"kind": "write", "rank_only": "true"}, **OPEN)
    assert all_jobs(store)[-1].settings == JobSettings()


def test_prompts_are_chosen_by_use_case(owner, store):
    stock(store, 1)
    store.add_prompts(
        Prompt(id=f"u{n}", text=f"Do {n}.", split="train", use_case=use)
        for n, use in enumerate(["chat", "chat", "extract", "rewrite"])
    )
    page = owner.get("/manage/jobs/new").text
    assert re.search(r'name="use_cases" value="chat"> chat&nbsp;<small>2<', page)
    assert 'value="open_qa"' not in page
    owner.post("/manage/jobs", data={"kind": "write", "use_cases": ["chat", "extract"]})
    (job,) = all_jobs(store)
    with store.reading() as connection:
        assert jobs.count_tasks(connection, job.id) == 3
    sent = {"kind": "rank", "title": "Rank", "what": {"use_cases": ["chat"]}}
    assert owner.post("/api/jobs", json=sent).status_code == 400  # of these nothing is answered


def test_a_second_job_that_is_like_an_open_one_is_asked_about(owner, store):
    stock(store, 2)
    assert owner.post("/manage/jobs", data={"kind": "write"}, **OPEN).status_code == 200
    again = owner.post("/manage/jobs", data={"kind": "write", "hourly": "7"}, headers=BROWSER)
    assert again.status_code == 400
    field = re.search(r'<input name="title"[^>]*><span class="error" role="alert">([^<]*)', again.text)
    assert field
    assert "an open job is like this one, “Write demonstrations”" in field[1]
    assert 'name="hourly" min="0" max="1000000" step="any" value="7"' in again.text
    assert len(all_jobs(store)) == 1
    assert owner.post("/manage/jobs", data={"kind": "write", "title": "More"}, **OPEN).status_code == 200
    (first, _) = all_jobs(store)
    owner.post(f"/manage/jobs/{first.id}/state", data={"state": "closed"})
    assert owner.post("/manage/jobs", data={"kind": "write"}, **OPEN).status_code == 200
    assert len(all_jobs(store)) == 3


def test_more_than_all_tasks_are_not_shared_out(owner, store):
    stock(store, 2)
    sent = {"kind": "write", "title": "Write", "settings": {"doubly": 0.7, "fivefold": 0.4}}
    said = owner.post("/api/jobs", json=sent)
    assert said.status_code == 400
    assert "are 110 % of the tasks together" in said.json()["detail"]
    owner.post("/api/jobs", json=sent | {"settings": {"doubly": 0.7, "fivefold": 0.3}})
    (job,) = all_jobs(store)
    form = {"title": "Write", "doubly": "60", "fivefold": "60"}
    again = owner.post(f"/manage/jobs/{job.id}/settings", data=form, headers=BROWSER)
    assert again.status_code == 400
    assert re.search(r'name="doubly"[^>]*value="60"[^>]*><span class="error"[^>]*>what two and what five', again.text)
    assert all_jobs(store)[0].settings.doubly == 0.7


def test_rating_continuations_says_that_it_evaluates(owner):
    page = owner.get("/manage/jobs/new").text
    assert re.search(r'value="toxicity"> Rate continuations&nbsp;<small>always to evaluate', page)
