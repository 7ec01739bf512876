"""Nothing that was acknowledged is lost or counted twice: not by kills, cut lines, double clicks or a full disk."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import siege
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from biddable.store import StoreError, history, open_store
from biddable.store.tables import prompts
from biddable.store.work_tables import answers
from biddable.store.writer import Writer


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_kills_retries_and_double_clicks(engine: str, tmp_path, request):
    """The small sister of `make torture-label`."""
    where = str(tmp_path / "store.db") if engine == "sqlite" else request.getfixturevalue("database")
    ledger, found, _ = siege.run(tmp_path, where, people=8, submits=80, kills=2, seed=1, lease=1.5)
    assert ledger.wrong == []
    assert not any(found.values()), found
    assert ledger.kills == 2
    assert len(ledger.acknowledged) >= 80


def test_the_ledger_notices(tmp_path):
    """What the torture would say of a store that has lost, doubled or damaged something."""
    where = str(tmp_path / "store.db")
    ledger, found, _ = siege.run(tmp_path, where, people=2, submits=6, kills=0, seed=2)
    assert not any(found.values())
    one = next(iter(ledger.acknowledged))
    ledger.acknowledged[one[0], "never-kept"] = ledger.acknowledged[one]
    ledger.drafts["t-none", one[0]] = 1
    with open_store(where) as store:
        with store.writing() as connection:
            connection.exec_driver_sql("UPDATE slots SET state = 'done', labeler = NULL WHERE state = 'open'")
            connection.exec_driver_sql("DELETE FROM ranked WHERE labeler = ?", (one[0],))
            connection.exec_driver_sql("DELETE FROM rankings WHERE labeler = ?", (one[0],))
        found = siege.faults(store, ledger)
    assert found["acknowledged answers lost"] == 1
    assert found["drafts lost"] == 1
    assert found["slots over-assigned"] > 0
    assert found["rankings without a person's answer, or answers without"] > 0


# Many changes in one commit.


def add(name: str):
    return lambda connection: connection.execute(prompts.insert(), [{"id": name, "text": name, "source": "plain"}])


def held(writer: Writer) -> threading.Event:
    """The writer waits for this, so that what is asked meanwhile goes into one commit."""
    go, busy = threading.Event(), threading.Event()
    writer.ask(lambda _: (busy.set(), go.wait(30)))
    assert busy.wait(30)
    return go


def test_one_that_is_refused_takes_no_other_with_it(tmp_path):
    with open_store(tmp_path / "s.db") as store, Writer(store) as writer:
        go = held(writer)
        asked = [writer.ask(add(name)) for name in ("p1", "p1", "p2")]
        go.set()
        assert [future.exception(30) is None for future in asked] == [True, False, True]
        assert [p.id for p in store.prompts()] == ["p1", "p2"]


def test_when_the_transaction_is_gone_nobody_is_told_that_theirs_was_kept(tmp_path):
    """SQLite rolls the whole transaction back when the disk is full, savepoints and all. What came before in the same
    commit is gone then, and what comes after would be a transaction of its own."""

    def fails(connection) -> None:
        connection.exec_driver_sql("ROLLBACK")
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    with open_store(tmp_path / "s.db") as store, Writer(store) as writer:
        go = held(writer)
        asked = [writer.ask(work) for work in (add("p1"), fails, add("p2"))]
        go.set()
        assert all(isinstance(future.exception(30), StoreError) for future in asked)
        assert list(store.prompts()) == []
        writer.do(add("p3"))  # and the writer goes on
        assert [p.id for p in store.prompts()] == ["p3"]


# A full disk.


def test_a_full_disk_says_so_keeps_the_store_sound_and_is_over_when_there_is_room(filled, app, person, where):
    owner, _ = person("olga", "owner", "researcher")
    ann, _ = person("ann")
    assert owner.post("/api/jobs", json={"kind": "write", "title": "Write"}).status_code == 201
    limit = 0  # pages; none

    @event.listens_for(app.state.desk.store._engine, "begin")
    def _limit(connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {min(pages, limit) if limit else 2**31 - 2}")

    limit, acknowledged, refused = 1, 0, 0
    while True:
        task = ann.post("/api/claim", json={})
        if task.status_code == 507 or task.json()["task"] is None:
            break
        at = f"/api/tasks/{task.json()['task']['task']}/answer"
        sent = {"key": f"key-{acknowledged:08}", "body": json.dumps({"text": "word " * 9000})}
        said = ann.post(at, json=sent)
        refused += said.status_code == 507
        if said.status_code != 200:
            break
        acknowledged += 1
    assert refused == 1, said.text
    assert "full" in said.json()["detail"]
    limit = 0
    again = ann.post(at, json=sent)  # the same server, the same words
    assert (again.status_code, again.json()["again"]) == (200, False)
    with app.state.desk.store.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").all() == [("ok",)]
        assert connection.execute(select(func.count()).select_from(answers)).scalar_one() == acknowledged + 1
        assert list(history.faults(connection)) == []


def test_full_is_said_of_the_disk_alone(app, person):
    owner, _ = person("helpful", "owner", "researcher")
    said = owner.post("/api/people", json={"name": "helpful"})
    assert (said.status_code, said.json()["detail"]) == (400, "name: helpful is taken")


# Lines that break.


def test_an_answer_whose_acknowledgement_was_lost_is_sent_again_and_counts_once(filled, app, person):
    owner, _ = person("olga", "owner", "researcher")
    ann, _ = person("ann")
    owner.post("/api/jobs", json={"kind": "write", "title": "Write"})
    task = ann.post("/api/claim", json={}).json()["task"]["task"]
    sent = {"key": "key-00000001", "body": json.dumps({"text": "my words"})}

    def send(_: int):
        return ann.post(f"/api/tasks/{task}/answer", json=sent)

    with ThreadPoolExecutor(8) as pool:
        said = [answer.json() for answer in pool.map(send, range(8))]
    assert len({answer["answer"] for answer in said}) == 1
    assert sorted(answer["again"] for answer in said) == [False] + 7 * [True]
    other = ann.post(f"/api/tasks/{task}/answer", json=sent | {"body": json.dumps({"text": "others"})})
    assert other.status_code == 409
    assert [d.text for d in app.state.desk.store.demonstrations()] == ["my words"]
