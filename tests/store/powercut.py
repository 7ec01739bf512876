"""The power goes: what SQLite had written and not yet synced is on the disk in part, in any part.

python tests/store/powercut.py --cuts 10000

With `synchronous=FULL` a commit writes its pages to the end of the write-ahead log and syncs that before it is
acknowledged; from time to time a checkpoint copies the log into the database, syncs the database, and only then may
the log be written from its beginning again. So of two copies of both files, one after each of two commits that follow
one another, the disk holds after a power cut

- during the commit, the older database, and of the log some sectors as they were and some as they became (where the log
  begins anew, SQLite syncs its head first: then that alone, or that and some of the rest);
- during a checkpoint, the newer log, and of the database some sectors as they were and some as they became.

Here such disks are put together, at random, after every commit of a team at work, opened, and held against what had
been acknowledged by then. That the syncs are asked for is another test's: `test_every_connection_waits_for_the_disk`.
"""

import argparse
import itertools
import json
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "label"))
from team import JUDGED, stock, team

from biddable.label import forms
from biddable.store import Store, StoreError, fill, jobs, open_store, verify, work
from biddable.store.jobs import JobSettings
from biddable.store.work_tables import answers
from biddable.store.writer import Writer

SECTOR = 512  # what a disk writes whole
HEAD = 32  # bytes of the log's own head; when it begins anew this is synced before what follows


class Disk(NamedTuple):
    database: bytes
    log: bytes
    acknowledged: frozenset[tuple[str, str]]  # (labeler, key) of the answers


def at_work(path: Path, commits: int, checkpoint: int = 60) -> list[Disk]:
    """Both files after each commit of three people who claim and hand in. The log is copied into the database every
    so many pages: by SQLite's usual thousand, a short story would never come to it."""
    disks, acknowledged = [], set[tuple[str, str]]()
    with open_store(path) as store, Writer(store) as writer:
        stock(store, commits)
        with store.writing() as connection:
            job = jobs.make(connection, "rank", "Rank", "training", JobSettings(), store.clock())
            jobs.add(connection, job, fill.todos(connection, job, fill.Fill()), store.clock())
        people = team(store, ["ann", "ben", "cy"])
        writer.do(lambda connection: connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint = {checkpoint}"))

        def copy() -> None:
            disks.append(Disk(path.read_bytes(), Path(f"{path}-wal").read_bytes(), frozenset(acknowledged)))

        copy()
        while len(disks) <= commits:
            held = []
            for who in people:
                held.append(writer.do(lambda c, who=who: work.claim(c, who, store.clock())))
                copy()
            with together(writer):
                asked = [
                    (who.labeler, key, writer.ask(handing_in(store, who, task.task, key)))
                    for who, task in zip(people, held, strict=True)
                    for key in [f"{task.task}-{len(disks)}"]
                ]
            for labeler, key, done in asked:
                done.result(60)
                acknowledged.add((labeler, key))
            copy()
    return disks


@contextmanager
def together(writer: Writer) -> Iterator[None]:
    """What is asked for in here is one commit: the writer waits until all of it stands in line."""
    go, busy = threading.Event(), threading.Event()
    writer.ask(lambda _: (busy.set(), go.wait(60)))
    assert busy.wait(60)
    yield
    go.set()


def handing_in(store: Store, who, task: str, key: str) -> Callable:
    body = json.dumps({"judgements": dict.fromkeys("ABCD", JUDGED), "order": [["A"], ["B", "C"], ["D"]]})
    return lambda connection: work.submit(
        connection, who, task, key, body, store.clock(), 1.0,
        lambda held, spent: forms.records(held, forms.read(held, body), who.labeler, spent, store.clock()),
    )  # fmt: skip


def torn(old: bytes, new: bytes, rng: random.Random) -> bytes:
    """Some sectors as they were and some as they became; where the file grew, it has grown by any part."""
    length = rng.randrange(min(len(old), len(new)), max(len(old), len(new)) + 1)
    share = rng.choice((0.05, 0.5, 0.95))
    made = bytearray(length)
    for start in range(0, length, SECTOR):
        source = new if rng.random() < share else old
        piece = source[start : min(start + SECTOR, length)]
        made[start : start + len(piece)] = piece
    return bytes(made)


def cut(before: Disk, after: Disk, rng: random.Random) -> Disk:
    """What the disk may hold when the power went between these two."""
    if before.database != after.database and rng.random() < 0.5:  # during the checkpoint: the commit before it is whole
        return Disk(torn(before.database, after.database, rng), after.log, after.acknowledged)
    log = before.log
    if log[:HEAD] != after.log[:HEAD]:  # it begins anew
        anew = after.log[:HEAD] + log[HEAD:]
        if rng.random() < 0.5:
            return before._replace(log=torn(log, anew, rng))
        log = anew
    return before._replace(log=torn(log, after.log, rng))


def faults(disk: Disk, folder: Path) -> list[str]:
    """What is wrong with the store that is found on this disk."""
    path = folder / "found.db"
    for old in folder.glob("found.db*"):
        old.unlink()
    path.write_bytes(disk.database)
    Path(f"{path}-wal").write_bytes(disk.log)
    try:
        return _faults(path, disk)
    except StoreError as error:
        return [f"store: {error}"]


def _faults(path: Path, disk: Disk) -> list[str]:
    with open_store(path) as store, store.reading() as connection:
        found = [f"file: {row[0]}" for row in connection.exec_driver_sql("PRAGMA integrity_check") if row[0] != "ok"]
        found += [f"key: {row}" for row in connection.exec_driver_sql("PRAGMA foreign_key_check")]
        kept = {tuple(row) for row in connection.execute(select(answers.c.labeler, answers.c.key))}
        found += [f"lost: {one}" for one in disk.acknowledged - kept]
        found += [str(fault) for fault in verify.faults(connection)]
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--cuts", type=int, default=10_000)
    asked.add_argument("--commits", type=int, default=60)
    given, rng = asked.parse_args(), random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        disks = at_work(Path(folder) / "store.db", given.commits)
        wrong = []
        for _ in range(given.cuts):
            n = rng.randrange(len(disks) - 1)
            wrong += faults(cut(disks[n], disks[n + 1], rng), Path(folder))
    checkpoints = sum(one.database != other.database for one, other in itertools.pairwise(disks))
    done = f"{given.cuts} power cuts around {len(disks) - 1} commits and {checkpoints} checkpoints: {len(wrong)} faults"
    print(done, *wrong[:10], sep="\n  ")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
