"""From an empty store to labels: an owner makes a job, people do it, and what they said stands in the store."""

import json

from biddable.store.work import shown

GOOD = {
    "overall": 5, "fails_task": False, "inappropriate": False, "sexual": False, "violent": False,
    "encourages_harm": False, "denigrates": False, "harmful_advice": False, "opinion": False, "moral_judgement": False,
}  # fmt: skip


def test_people_rank_and_the_store_has_what_they_said(filled, app, person):
    owner, _ = person("olga", "owner", "researcher")
    ann, account = person("ann")
    made = owner.post("/api/jobs", json={"kind": "rank", "title": "Rank", "settings": {"doubly": 0, "fivefold": 0}})
    assert made.status_code == 201, made.text
    assert made.json()["tasks"] == 6

    task = ann.post("/api/claim", json={}).json()["task"]
    assert [answer["letter"] for answer in task["answers"]] == ["A", "B", "C", "D"]
    assert "run-" not in json.dumps(task)  # which model said what is nobody's business here

    body = {"judgements": dict.fromkeys("ABCD", GOOD), "order": [["B"], ["A", "D"], ["C"]]}
    sent = {"key": "first-time", "body": json.dumps(body)}
    kept = ann.post(f"/api/tasks/{task['task']}/answer", json=sent).json()
    again = ann.post(f"/api/tasks/{task['task']}/answer", json=sent).json()
    assert (kept["answer"], kept["again"], again["again"]) == (again["answer"], False, True)

    store = app.state.desk.store
    (ranking,) = store.rankings()
    ids = shown(0, task["task"], account.labeler, sorted(ranking.ranks))
    texts = {c.id: c.text for c in store.completions()}
    assert [texts[name] for name in ids] == [answer["text"] for answer in task["answers"]]
    assert ranking.order == ((ids[1],), (ids[0], ids[3]), (ids[2],))
    assert ranking.shown == tuple(ids)
    assert len(list(store.judgements())) == 4
