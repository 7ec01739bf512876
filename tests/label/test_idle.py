"""What a person is told when there is nothing for them, and what home offers."""

import json
from datetime import timedelta

import pytest
from desks import job, material

from biddable.label import create_app
from biddable.store import open_store
from biddable.store.keeper import now


@pytest.fixture
def ahead() -> list[timedelta]:
    return [timedelta()]


@pytest.fixture
def app(where, ahead):
    with open_store(where) as store:
        store.add_many(material(prompts=2))
    return create_app(where, clock=lambda: now() + ahead[0])


def told(client, path: str = "/work") -> str:
    page = client.get(path)
    assert page.status_code == 200
    assert "Nothing to do now" in page.text
    return page.text


def do(client) -> None:
    task = client.post("/api/claim", json={}).json()["task"]["task"]
    body = json.dumps({"order": [["A"], ["B"], ["C"], ["D"]]})
    assert client.post(f"/api/tasks/{task}/answer", json={"key": f"key-{task}", "body": body}).is_success


def test_home_offers_what_one_can_do(app, person):
    one = job(app, person, "rank", skills=["Welsh"])
    owner, _ = person("olga", "owner", "researcher")
    ann, account = person("ann")
    assert f"/work?job={one}" not in ann.get("/").text
    assert "It asks for what your account does not name: welsh." in told(ann)
    assert owner.patch(f"/api/people/{account.labeler}", json={"skills": ["welsh"]}).is_success
    assert f"/work?job={one}" in ann.get("/").text


def test_no_job_at_all(app, person):
    job(app, person, "rank")
    held_out, _ = person("hal", "labeler", "held_out")
    assert "There is no job for you now." in told(held_out)


def test_the_quota_is_reached(app, person):
    job(app, person, "rank", judge=False, quota=1)
    ann, _ = person("ann")
    do(ann)
    assert "You have done as many as one person may: 1." in told(ann)


@pytest.mark.parametrize(("state", "says"), [("paused", "It is paused."), ("closed", "It is closed.")])
def test_the_job_rests(app, person, state, says):
    one = job(app, person, "rank")
    owner, _ = person("olga", "owner", "researcher")
    ann, _ = person("ann")
    assert owner.patch(f"/api/jobs/{one}", json={"state": state}).is_success
    assert says in told(ann, f"/work?job={one}")
    assert (says in told(ann)) == (state == "paused")  # a job that is over is nobody's concern


def test_what_is_left_is_in_other_hands_and_then_all_is_done(app, person, ahead):
    job(app, person, "rank", judge=False, lease_minutes=12)
    (ann, _), (ben, _) = person("ann"), person("ben")
    do(ann)
    assert ben.post("/api/claim", json={}).json()["task"]
    assert "comes back within 12 minutes" in told(ann)
    do(ben)
    assert "You have done all that there is for you." in told(ann)


def test_a_candidate_has_done_the_test_and_waits_for_another(app, person, ahead):
    job(app, person, "rank", "screening", judge=False)
    owner, _ = person("olga", "owner", "researcher")
    cal, account = person("cal", "labeler", "candidate")
    do(cal)
    do(cal)
    assert "You have done all that there is for you." in told(cal)
    ahead[0] = timedelta(minutes=1)
    sent = {"accepted": "false", "note": "Read the prompts to their end."}
    decided = owner.post(f"/manage/screening/decide/{account.labeler}", data=sent)
    assert decided.status_code in (200, 303), decided.text
    again = (now() + ahead[0] + timedelta(days=30)).strftime("%Y-%m-%d")
    assert f"You can take the test again on {again}." in told(cal)
