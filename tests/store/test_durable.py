"""No label is lost: not among many writers, not when the writer is killed, not in the log."""

import signal
import sqlite3
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from village import LABELERS, PROMPTS, everything, ranking

import warm
from biddable.records import Completion, Labeler, Prompt
from biddable.store import Store, StoreError, open_store, queries

WRITERS, EACH = 12, 15


def crowd(count: int) -> list:
    """A prompt with two completions, and as many labelers as asked for."""
    answers = [Completion(id=f"p1-{k}", prompt_id="p1", text=k, run_id="r") for k in "ab"]
    return [PROMPTS[0], *answers, *(Labeler(id=f"l{n}", group="training") for n in range(count))]


def test_writers_side_by_side_lose_nothing(store: Store):
    store.add_many(crowd(WRITERS * EACH))
    gate = threading.Barrier(WRITERS)

    def write(writer: int) -> int:
        gate.wait()
        return sum(store.add_ranking(ranking(labeler=f"l{writer * EACH + n}", order="a b")) for n in range(EACH))

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(write, range(WRITERS))) == WRITERS * EACH
    assert store.counts()["rankings"] == WRITERS * EACH


def test_two_stores_on_one_place_lose_nothing_and_count_each_record_once(where: str):
    """Each writer has its own Store, as processes would, and all of them send the same rankings."""
    with open_store(where) as store:
        store.add_many(crowd(EACH))
    gate = threading.Barrier(WRITERS)

    def write(_: int) -> int:
        with open_store(where) as own:
            gate.wait()
            return sum(own.add_ranking(ranking(labeler=f"l{n}", order="a b")) for n in range(EACH))

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(write, range(WRITERS))) == EACH
    with open_store(where) as store:
        assert store.counts()["rankings"] == EACH


def test_of_many_who_contradict_each_other_one_wins(store: Store):
    store.add_many(crowd(1))
    gate = threading.Barrier(WRITERS)

    def write(writer: int) -> bool:
        gate.wait()
        try:
            return store.add_ranking(ranking(labeler="l0", order="a b").model_copy(update={"seconds": float(writer)}))
        except StoreError:
            return False

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(write, range(WRITERS))) == 1


def test_many_open_an_empty_place_at_once(nowhere: str):
    gate = threading.Barrier(6)

    def begin(_: int) -> int:
        gate.wait()
        with open_store(nowhere) as store:
            return store.add_prompts(PROMPTS)

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(begin, range(6))) == len(PROMPTS)


def test_reading_while_writing_sees_one_moment(store: Store, tmp_path: Path):
    store.add_many(everything())
    prompts = store.prompts()
    first = next(prompts)
    store.add_prompts([Prompt(id="p0", text="new"), Prompt(id="p9", text="new")])
    assert [first.id, *(p.id for p in prompts)] == ["p1", "p2", "p3"]


def test_a_read_of_many_statements_sees_one_moment(store: Store):
    with store._reading() as connection:
        before = queries.counts(connection)
        store.add_many(everything())
        assert queries.counts(connection) == before
    assert store.counts() != before


def test_an_sqlite_writer_is_one_from_its_first_word(tmp_path: Path):
    """BEGIN IMMEDIATE: who reads first and writes then would fail when another wrote between."""
    with open_store(tmp_path / "s.db") as store, store._writing():
        other = sqlite3.connect(tmp_path / "s.db", timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()


# One ranking a transaction, or five hundred prompts; the key is said only after the call has returned.
WRITER = """
import sys, warnings
warnings.simplefilter("error")
from biddable.records import Prompt, Ranking
from biddable.store import open_store
where, mode, start = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open_store(where) as store:
    for n in range(start, 10**6):
        if mode == "one":
            store.add_ranking(Ranking(prompt_id="p1", labeler=f"l{n}", order=(("p1-a",), ("p1-b",))))
        else:
            store.add_prompts(Prompt(id=f"{n}-{k}", text="x" * 200) for k in range(500))
        print(n, flush=True)
"""


@pytest.mark.parametrize("mode", ["one", "many"])
def test_kill_9_loses_nothing_that_was_acknowledged(where: str, mode: str):
    if mode == "one":
        with open_store(where) as store:
            store.add_many(crowd(2000))
    acknowledged: list[int] = []
    for lines in (1, 7, 30):
        start = acknowledged[-1] + 2 if acknowledged else 0  # the one in flight may have got in
        words = [where, mode, str(start)]
        with warm.Warm(words, WRITER, warm.LABEL, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged += [int(writer.stdout.readline()) for _ in range(lines)]
            writer.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
        assert writer.returncode == -signal.SIGKILL
        with open_store(where) as store:
            if mode == "one":
                kept = {int(r.labeler[1:]) for r in store.rankings()}
            else:
                ids = [p.id for p in store.prompts()]
                kept = {int(name.split("-")[0]) for name in ids}
                assert len(ids) == 500 * len(kept)  # a call is kept whole or not at all
        assert set(acknowledged) <= kept
        assert len(kept) <= len(acknowledged) + 3  # at most the one in flight at each kill
    if "://" not in where:
        with sqlite3.connect(where) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()


def raw(where: str, sql: str) -> list[tuple]:
    """What a statement of somebody else's gives."""
    if "://" not in where:
        connection = sqlite3.connect(where, isolation_level=None)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            return connection.execute(sql).fetchall()
        finally:
            connection.close()
    with psycopg.connect(where, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def test_every_new_record_leaves_one_line_in_changes(where: str):
    with open_store(where) as store:
        store.add_many([*LABELERS, *PROMPTS])
        store.add_many([*LABELERS, *PROMPTS])
        store.add_many(crowd(1))
        store.add_ranking(ranking(labeler="ann", order="a b"))
        store.skip("p2", "ann", "rank", "unclear")
        with pytest.raises(StoreError):
            store.add_ranking(ranking(labeler="zoe"))
    rows = raw(where, "SELECT what, key FROM changes ORDER BY id")
    assert rows == [
        *(("labeler", who.id) for who in LABELERS),
        *(("prompt", p.id) for p in PROMPTS),
        ("labeler", "l0"),
        ("completion", "p1-a"),
        ("completion", "p1-b"),
        ("ranking", '["p1", "ann"]'),
        ("skip", '["p2", "ann", "rank"]'),
    ]


@pytest.mark.parametrize("sql", ["UPDATE changes SET key = 'x'", "DELETE FROM changes"])
def test_nobody_rewrites_the_log(where: str, sql: str):
    with open_store(where) as store:
        store.add_prompts(PROMPTS)
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.RaiseException), match="append-only"):
        raw(where, sql)
    assert raw(where, "SELECT count(*) FROM changes") == [(3,)]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO demonstrations VALUES ('p1', 'zoe', 'x', 0, '2026-01-01', NULL, NULL, NULL)",
        "INSERT INTO ranked VALUES ('p2', 'ann', 'p1-a', 1, 0, NULL)",  # a completion of another prompt
        "INSERT INTO rankings VALUES ('p1', 'ann', 0, '2026-01-01', NULL, NULL, NULL)",  # a second one
    ],
)
def test_the_tables_themselves_refuse_what_the_store_would(where: str, sql: str):
    with open_store(where) as store:
        store.add_many(everything())
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.IntegrityError)):
        raw(where, sql)
