"""An independent word and a decision are two things: nobody gives both on one prompt, and it is always decidable."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from team import rank_job, ranked, stock, team, true_worth, work_on

from biddable.store import quality, review
from biddable.store.work_tables import slots, tasks

OPEN = {"follow_redirects": True}
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def dispute(store):
    """Two people say the opposite of one prompt, and the same of two others."""
    stock(store, 3)
    job = rank_job(store, doubly=1.0)
    for turn, who in zip((1, -1), team(store, ["ann", "ben"]), strict=True):
        work_on(
            store,
            who,
            lambda held, turn=turn: ranked(
                held, lambda answer, place: (turn if held.prompt.id == "p0001" else 1) * true_worth(answer, place)
            ),
            NOON,
        )
    return job


ORDER = {f"rank-{letter}": str(n) for n, letter in enumerate("ABCD", start=1)}
SAID = {"key": "a key of mine", "body": json.dumps({"order": [["A"], ["B"], ["C"], ["D"]]})}


def test_who_has_seen_the_others_answers_ranks_the_prompt_no_more_and_decides(store, person, dispute):
    """With five slots a task, three are still open; and another job has the same prompt."""
    job = dispute
    with store.writing() as connection:
        for task in connection.execute(select(tasks.c.id)).scalars().all():
            more = [{"task": task, "slot": n, "job": job.id, "place": 0.5, "state": "open"} for n in (2, 3)]
            connection.execute(slots.insert(), more)
    rank_job(store, purpose="evaluation", split="train")
    client, ada = person("ada", "adjudicator", "training")
    with store.reading() as connection:
        task = review.tasks_of(connection, ["p0001"])["p0001"]
    assert "Person 1" in client.post(f"/manage/review/{task}/blind", data=ORDER, **OPEN).text
    met = []
    while held := client.post("/api/claim", json={}).json()["task"]:
        met.append(held["prompt"]["text"])
        client.post(f"/api/tasks/{held['task']}/answer", json=SAID | {"key": held["task"]})
    assert sorted(met) == ["Tell me something about the number 0.", "Tell me something about the number 2."]
    final = client.post(f"/manage/review/{task}/final", data=ORDER | {"cause": "slip"}, **OPEN)
    assert "Decided" in final.text
    with store.reading() as connection:
        independent = {one.prompt_id for one in quality.overlapping(connection, 100) if one.labeler == ada.labeler}
    assert independent == {"p0000", "p0002"}


def test_who_holds_a_task_begins_no_review_of_its_prompt_and_cannot_hand_it_in_after_one(store, person, dispute):
    client, _ = person("ada", "adjudicator", "training")
    with store.writing() as connection:
        task = review.tasks_of(connection, ["p0001"])["p0001"]
        job = connection.execute(select(tasks.c.job)).scalar()
        connection.execute(slots.insert(), [{"task": task, "slot": 2, "job": job, "place": 0.5, "state": "open"}])
    assert client.post("/api/claim", json={}).json()["task"]["task"] == task
    page = client.get(f"/manage/review/{task}").text
    assert "You hold a task of this prompt: skip that first" in page
    assert "Keep my ranking" not in page
    assert client.post(f"/manage/review/{task}/blind", data=ORDER).status_code == 400
    with store.writing() as connection:  # its lease runs out, and nobody else takes it
        connection.execute(update(slots).where(slots.c.slot == 2).values(until=store.clock() - timedelta(minutes=1)))
    assert "Person 1" in client.post(f"/manage/review/{task}/blind", data=ORDER, **OPEN).text
    late = client.post(f"/api/tasks/{task}/answer", json=SAID)
    assert (late.status_code, "read by now what others said" in late.text) == (409, True)
    assert "Decided" in client.post(f"/manage/review/{task}/final", data=ORDER | {"cause": "slip"}, **OPEN).text
    assert "ranked these answers yourself" not in client.get(f"/manage/review/{task}").text
