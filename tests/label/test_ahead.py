"""The task after this one lies ready, and still nobody holds more, earns more or answers twice."""

import json
import re
from datetime import timedelta

import pytest
from desks import guidelines, job, material
from sqlalchemy import select

from biddable.label import create_app
from biddable.store import open_store
from biddable.store.keeper import now
from biddable.store.work_tables import activity, slots


@pytest.fixture
def ahead() -> list[timedelta]:
    return [timedelta()]


@pytest.fixture
def app(where, ahead):
    with open_store(where) as store:
        store.add_many(material(prompts=3))
    return create_app(where, clock=lambda: now() + ahead[0])


def shown(page) -> dict:
    return json.loads(re.search(r'data-task="([^"]*)"', page.text)[1].replace("&#34;", '"').replace("&#39;", "'"))


def held(app) -> list[str]:
    with app.state.desk.store.reading() as connection:
        return [row.task for row in connection.execute(select(slots).where(slots.c.state == "leased"))]


def order(letters="ABCD") -> str:
    return json.dumps({"order": [[letter] for letter in letters]})


def test_one_task_beside_the_one_at_hand_and_no_more(app, person):
    job(app, person, "rank", judge=False)
    ann, _ = person("ann")
    first = ann.post("/api/claim", json={}).json()["task"]["task"]
    second = shown(ann.get("/work", params={"besides": first}))["task"]
    assert second != first
    assert shown(ann.get("/work", params={"besides": first}))["task"] == second
    assert sorted(held(app)) == sorted([first, second])
    assert ann.post("/api/claim", json={}).json()["task"]["task"] == first  # the older one
    ann.post(f"/api/tasks/{first}/answer", json={"key": "first-time", "body": order()})
    assert ann.post("/api/claim", json={}).json()["task"]["task"] == second


def test_a_quota_holds_for_what_lies_ready_too(app, person):
    job(app, person, "rank", judge=False, quota=1)
    ann, _ = person("ann")
    first = ann.post("/api/claim", json={}).json()["task"]["task"]
    assert "Nothing to do now" in ann.get("/work", params={"besides": first}).text
    assert held(app) == [first]


def test_no_second_task_of_a_prompt_that_is_at_hand(app, person):
    job(app, person, "rank", judge=False, fill={"count": 1})
    owner, _ = person("olga", "owner", "researcher")
    settings = {"doubly": 0, "fivefold": 0, "judge": False}
    other = owner.post("/api/jobs", json={"kind": "rank", "title": "Again", "settings": settings, "what": {}}).json()
    assert other["tasks"] == 3  # that prompt among them
    ann, _ = person("ann")
    first = ann.post("/api/claim", json={}).json()["task"]
    others = set()
    for _ in range(2):
        ready = shown(ann.get("/work", params={"besides": first["task"]}))
        others.add(ready["prompt"]["text"])
        assert ann.post(f"/api/tasks/{ready['task']}/answer", json={"key": ready["task"], "body": order()}).is_success
    assert first["prompt"]["text"] not in others
    assert len(others) == 2
    assert "Nothing to do now" in ann.get("/work", params={"besides": first["task"]}).text
    with app.state.desk.store.reading() as connection:
        assert len(connection.execute(select(slots).where(slots.c.state == "open")).all()) == 1  # that prompt's


def test_taking_the_next_task_costs_no_seconds_of_this_one(app, person, ahead):
    job(app, person, "rank", judge=False)
    ann, _ = person("ann")
    first = ann.post("/api/claim", json={}).json()["task"]["task"]
    ahead[0] = timedelta(seconds=50)
    ann.get("/work", params={"besides": first})
    ann.post(f"/api/tasks/{first}/answer", json={"key": "first-time", "body": order(), "active": 40})
    with app.state.desk.store.reading() as connection:
        told = connection.execute(select(activity.c.seconds).where(activity.c.what == "active")).scalars().all()
    assert told == [40]


def test_two_windows_are_not_two_people(app, person, ahead):
    job(app, person, "rank", judge=False)
    ann, _ = person("ann")
    task = ann.post("/api/claim", json={}).json()["task"]
    ahead[0] = timedelta(seconds=30)
    for _ in range(2):
        ann.post(f"/api/tasks/{task['task']}/beat", json={"lease": task["lease"], "active": 30})
    with app.state.desk.store.reading() as connection:
        told = connection.execute(select(activity.c.seconds).where(activity.c.what == "active")).scalars().all()
    assert sum(told) == pytest.approx(30, abs=3)  # and the time that this test itself takes


def told(app, what: str = "active") -> list[float]:
    with app.state.desk.store.reading() as connection:
        query = select(activity.c.seconds).where(activity.c.what == what).order_by(activity.c.id)
        return list(connection.execute(query).scalars())


def two_that_waited(ann, ahead) -> tuple[str, str]:
    """Two tasks, the second taken when the first is all but done; both are at hand when the connection goes."""
    first = ann.post("/api/claim", json={}).json()["task"]["task"]
    ahead[0] = timedelta(seconds=90)
    return first, shown(ann.get("/work", params={"besides": first}))["task"]


def send(ann, task: str, active: float) -> None:
    sent = {"key": f"key-{task}", "body": order(), "active": active}
    assert ann.post(f"/api/tasks/{task}/answer", json=sent).is_success


def test_answers_that_waited_together_count_all_their_seconds(app, person, ahead):
    job(app, person, "rank", judge=False)
    ann, _ = person("ann")
    first, second = two_that_waited(ann, ahead)
    ahead[0] = timedelta(seconds=280)
    send(ann, first, 100)
    send(ann, second, 180)
    assert told(app) == [100, 180]


def test_seconds_of_answers_that_waited_are_no_more_than_have_passed(app, person, ahead):
    job(app, person, "rank", judge=False)
    ann, _ = person("ann")
    first, second = two_that_waited(ann, ahead)
    ahead[0] = timedelta(seconds=280)
    send(ann, first, 200)
    send(ann, second, 3600)
    assert told(app)[0] == 200
    assert sum(told(app)) == pytest.approx(280, abs=3)


def test_no_second_before_a_task_was_taken_is_of_it(app, person, ahead):
    job(app, person, "rank", judge=False)
    ann, _ = person("ann")
    send(ann, ann.post("/api/claim", json={}).json()["task"]["task"], 0)
    ahead[0] = timedelta(hours=1)
    task = ann.post("/api/claim", json={}).json()["task"]["task"]
    ahead[0] = timedelta(hours=1, seconds=20)
    send(ann, task, 600)
    assert sum(told(app)) == pytest.approx(20, abs=3)


def test_what_was_told_before_a_sign_of_life_is_not_told_again(app, person, ahead):
    job(app, person, "rank", judge=False)
    ann, _ = person("ann")
    task = ann.post("/api/claim", json={}).json()["task"]
    ahead[0] = timedelta(seconds=600)  # ten minutes, of which half a one was work
    ann.post(f"/api/tasks/{task['task']}/beat", json={"lease": task["lease"], "active": 30})
    ahead[0] = timedelta(seconds=620)
    send(ann, task["task"], 50)  # those 30 again: their receipt was lost
    assert told(app)[0] == 30
    assert sum(told(app)) == pytest.approx(50, abs=3)


@pytest.mark.parametrize(("minutes", "counted"), [(4, 240), (25, 600)])
def test_without_script_the_clock_counts_up_to_its_bound(app, person, ahead, minutes, counted):
    job(app, person, "rank", judge=False, hourly=6)
    ann, _ = person("ann")
    task = ann.post("/api/claim", json={}).json()["task"]["task"]
    ahead[0] = timedelta(minutes=minutes)
    form = {"_key": "by-hand-1", **{f"rank.{letter}": str(n) for n, letter in enumerate("ABCD", start=1)}}
    assert ann.post(f"/work/{task}", data=form, follow_redirects=False).status_code == 303
    assert told(app, "clock") == [pytest.approx(counted, abs=3)]
    ahead[0] += timedelta(minutes=9)
    ann.post(f"/work/{task}", data=form | {"_key": "by-hand-2", "rank.A": "4"}, follow_redirects=False)
    assert sum(told(app, "clock")) == pytest.approx(600, abs=3)
    (ranking,) = app.state.desk.store.rankings()
    assert ranking.seconds == pytest.approx(600, abs=3)
    page = ann.get("/mine").text
    assert '<td class="number">10.0</td>' in page  # paid, as other minutes are
    assert "10.0 of these minutes were counted by the clock" in page


def test_whoever_told_their_seconds_gets_none_from_the_clock(app, person, ahead):
    job(app, person, "rank", judge=False)
    ann, _ = person("ann")
    task = ann.post("/api/claim", json={}).json()["task"]
    ahead[0] = timedelta(seconds=30)
    ann.post(f"/api/tasks/{task['task']}/beat", json={"lease": task["lease"], "active": 30})
    ahead[0] = timedelta(minutes=9)
    form = {"_key": "by-hand-1", **{f"rank.{letter}": str(n) for n, letter in enumerate("ABCD", start=1)}}
    ann.post(f"/work/{task['task']}", data=form, follow_redirects=False)
    assert (told(app), told(app, "clock")) == ([30], [0])


def test_an_answer_names_the_guidelines_that_were_read(app, person):
    read = guidelines(person)
    other = guidelines(person, "evaluation")
    job(app, person, "rank", judge=False)
    owner, _ = person("olga", "owner", "researcher")
    owner.post("/api/guidelines", json={"purpose": "training", "text": "Another."})
    ann, _ = person("ann")
    task = ann.post("/api/claim", json={}).json()["task"]["task"]
    sent = {"key": "first-time", "body": order()}
    refused = ann.post(f"/api/tasks/{task}/answer", json=sent | {"guidelines": other})
    assert (refused.status_code, "no version" in refused.text) == (400, True)
    assert ann.post(f"/api/tasks/{task}/answer", json=sent | {"guidelines": read}).status_code == 200
    (ranking,) = app.state.desk.store.rankings()
    assert ranking.guidelines == read


def test_pages_of_tasks_are_their_holders_alone(app, person):
    job(app, person, "rank", judge=False)
    (ann, _), (bob, _) = person("ann"), person("bob")
    task = ann.post("/api/claim", json={}).json()["task"]["task"]
    fields = {"_key": "first-time"} | {f"rank.{letter}": "1" for letter in "ABCD"}
    assert bob.get(f"/work/{task}").status_code == 404
    assert bob.post(f"/work/{task}", data=fields).status_code == 409
    assert bob.post(f"/work/{task}/leave", data={"what": "skip", "reason": "x"}).status_code == 409
    assert bob.post(f"/work/{task}/preview", json={"text": "x"}).status_code == 404
    assert not list(app.state.desk.store.rankings())


def test_a_form_that_says_nonsense_is_refused_in_words(app, person):
    job(app, person, "rank", judge=False)
    ann, _ = person("ann")
    task = ann.post("/api/claim", json={}).json()["task"]["task"]
    for fields, status in (
        ({}, 422), ({"_key": "first-time"}, 400), ({"_key": "first-time", "rank.A": "x"}, 400),
        ({"_key": "first-time", "order.A": "1", "order": "2"}, 400), ({"_key": "first-time", "order": "[" * 5000}, 400),
    ):  # fmt: skip
        sent = ann.post(f"/work/{task}", data=fields, headers={"accept": "text/html"})
        assert sent.status_code == status, fields
        assert 'role="alert"' in sent.text
    told = {"_key": "first-time"} | {f"rank.{letter}": str(n) for n, letter in enumerate("ABCD", 1)}
    assert ann.post(f"/work/{task}", data=told).status_code == 303
    assert ann.post(f"/work/{task}", data=told).status_code == 303  # a second click counts once
    assert len(list(app.state.desk.store.rankings())) == 1
