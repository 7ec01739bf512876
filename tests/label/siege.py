"""Sixty-four labelers, a server that is killed again and again, and a ledger of what it said that it had kept.

    python tests/label/siege.py --submits 100000 --kills 50       (or `make torture-label`)

The server is `biddable label` in a process of its own. Each labeler takes a task, now and then keeps a draft or walks
off until the lease is gone, and hands in a ranking with its judgements under a key of its own. One in a hundred is
sent twice at once (a double click), one sent again after the answer came, and of one the connection is cut before the
answer is read. Whatever breaks is sent again under the same key, as the page's script does. At the end the store is
read and compared with the ledger.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from served import alone
from sqlalchemy import func, select

from biddable.label.forms import Judged
from biddable.records import Completion, Prompt
from biddable.store import Store, accounts, fill, history, jobs, open_store
from biddable.store.jobs import JobSettings
from biddable.store.tables import rankings
from biddable.store.work_tables import answers, drafts, slots, tasks

SERVE = "from biddable.cli import main; main()"
AWAY = (503, 507)
RARE = 0.01  # share of submissions that are sent twice at once, sent again, cut off, changed, or come late
GOOD = {name: False for name, of in Judged.model_fields.items() if of.annotation is bool} | {"overall": 5}


@dataclass
class Ledger:
    """What the server said, and how long it took to say so."""

    acknowledged: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)  # (labeler, key): what came back
    drafts: dict[tuple[str, str], int] = field(default_factory=dict)  # (task, labeler): the newest version kept
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"claim": [], "answer": []})
    wrong: list[str] = field(default_factory=list)
    kills: int = 0
    repeated: int = 0
    late: int = 0
    away: int = 0  # how often the server said that it cannot just now
    lease: float = 6.0  # seconds
    cpu: float = 0.0  # seconds of the server's processor, of its last life

    def share(self, what: str, q: float) -> float:
        """The q-th part of the times, in milliseconds."""
        ordered = sorted(self.seconds[what]) or [0.0]
        return 1000 * ordered[min(int(q * len(ordered)), len(ordered) - 1)]


# The store before.


def prepare(where: str, people: int, count: int, lease: float) -> dict[str, str]:
    """A job of at least `count` slots, and people who are signed in. Returns the session of each."""
    need = int(count / 1.4) + 10 * people
    with open_store(where) as store:
        store.add_prompts(Prompt(id=f"p{n}", text=f"Say *{n}* kindly.", split="train") for n in range(need))
        store.add_completions(
            Completion(id=f"p{n}-{letter}", prompt_id=f"p{n}", text=f"{letter}, {n} times", run_id=f"run-{letter}")
            for n in range(need)
            for letter in "abcd"
        )
        with store.writing() as connection:
            now = store.clock()
            settings = JobSettings(lease_minutes=lease / 60)
            job = jobs.make(connection, "rank", "Rank", "training", settings, now)
            jobs.add(connection, job, fill.todos(connection, job, fill.Fill()), now)
            made = [accounts.make(connection, f"n{n}", "labeler", "training", now) for n in range(people)]
            return {who.labeler: accounts.open_door(connection, who.labeler, "session", now) for who in made}


# The server.


def cold(words: list[str], **as_ever) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", SERVE, *words], **as_ever)


class Server:
    def __init__(self, folder: Path, where: str, begun: Callable[..., subprocess.Popen] = cold) -> None:
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            self.port = door.getsockname()[1]
        (folder / "biddable.toml").write_text("", encoding="utf-8")
        self.folder, self.environment, self.begun = folder, os.environ | {"BIDDABLE_STORE": where}, begun
        self.starts: list[float] = []

    async def start(self) -> None:
        began = time.monotonic()
        words = ["label", "--port", str(self.port)]
        self.process = self.begun(words, cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL)
        while True:
            with contextlib.suppress(OSError, EOFError):
                wire = Wire(self.port, "")
                await wire.ask("GET", "/health")
                wire.close()
                break
            assert self.process.poll() is None, f"the server stopped with {self.process.returncode}"
            await asyncio.sleep(0.05)
        self.starts.append(time.monotonic() - began)

    def cpu(self) -> float:
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


class Wire:
    """One kept-alive connection: as little as a client can be, for it shares the cores with the server."""

    def __init__(self, port: int, session: str) -> None:
        self.port, self.session = port, session
        self.reader: asyncio.StreamReader | None = None

    async def send(self, method: str, path: str, sent: Any = None) -> None:
        if self.reader is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)
        body = b"" if sent is None else json.dumps(sent).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncookie: biddable={self.session}\r\n"
        more = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.writer.write((head + more).encode() + body)
        await self.writer.drain()

    async def receive(self) -> tuple[int, Any]:
        assert self.reader is not None
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        return int(head.split()[1]), json.loads(await self.reader.readexactly(length))

    async def ask(self, method: str, path: str, sent: Any = None) -> tuple[int, Any]:
        await self.send(method, path, sent)
        return await self.receive()

    def close(self) -> None:
        if self.reader is not None:
            self.writer.close()
        self.reader = None


# The people.


class Person:
    def __init__(self, labeler: str, session: str, port: int, ledger: Ledger, rng: random.Random) -> None:
        self.labeler, self.ledger, self.rng, self.keys = labeler, ledger, rng, 0
        self.wire, self.other = Wire(port, session), Wire(port, session)  # two windows

    async def until(self, method: str, path: str, sent: Any, what: str = "", wire: Wire | None = None) -> Any:
        """Ask until there is an answer: the server may be dead at any moment."""
        wire = wire or self.wire
        while True:
            began = time.monotonic()
            try:
                status, said = await wire.ask(method, path, sent)
            except (OSError, EOFError):
                wire.close()
                await asyncio.sleep(self.rng.uniform(0.05, 0.2))
                continue
            if status in AWAY:  # the database is; the page's script waits and tries again too
                self.ledger.away += 1
                await asyncio.sleep(self.rng.uniform(0.05, 0.2))
                continue
            if what:
                self.ledger.seconds[what].append(time.monotonic() - began)
            if status != 200:
                self.ledger.wrong.append(f"{method} {path}: {status} {said}")
            return said

    async def work(self, goal: int, pause: float) -> None:
        while len(self.ledger.acknowledged) < goal:
            task = (await self.until("POST", "/api/claim", {}, "claim")).get("task")
            if task is None:
                await asyncio.sleep(0.2)
                continue
            await self.do(task)
            await asyncio.sleep(self.rng.uniform(0, 2 * pause))
        self.wire.close()
        self.other.close()

    async def do(self, task: dict[str, Any]) -> None:
        at = f"/api/tasks/{task['task']}"
        if self.rng.random() < 10 * RARE:
            version = (task["draft"] or {"version": 0})["version"] + 1
            await self.until("PUT", f"{at}/draft", {"version": version, "body": f"so far {version}"})
            self.ledger.drafts[task["task"], self.labeler] = version
        if self.rng.random() < 2 * RARE:
            await self.until("POST", f"{at}/beat", {"lease": task["lease"] or "", "active": 1.0})
        if self.rng.random() < RARE / 4:
            await asyncio.sleep(self.rng.uniform(0, 1.5 * self.ledger.lease))  # the lease may go meanwhile
        await self.hand_in(at)
        if self.rng.random() < RARE:
            await self.hand_in(at)  # thought better of it

    async def hand_in(self, at: str) -> None:
        order = [[letter] for letter in self.rng.sample("ABCD", 4)]
        if self.rng.random() < 0.3:
            order = [order[0] + order[1], *order[2:]]
        body = json.dumps({"judgements": dict.fromkeys("ABCD", GOOD), "order": order})
        self.keys += 1
        sent = {"key": f"{self.labeler}-{self.keys}", "body": body, "active": 1.0}
        match self.rng.random() / RARE:
            case chance if chance < 1:
                said, again = await asyncio.gather(
                    *(self.until("POST", f"{at}/answer", sent, "answer", w) for w in (self.wire, self.other))
                )
                self.compare(said, again)
            case chance if chance < 2:
                said = await self.until("POST", f"{at}/answer", sent, "answer")
                again = await self.until("POST", f"{at}/answer", sent)
                self.compare(said, again)
                if not again.get("again"):
                    self.ledger.wrong.append(f"{sent['key']}: sent again, and it was news")
            case chance if chance < 3:
                with contextlib.suppress(OSError, EOFError):
                    await self.other.send("POST", f"{at}/answer", sent)
                    self.other.close()
                    self.ledger.repeated += 1
                said = await self.until("POST", f"{at}/answer", sent, "answer")
            case _:
                said = await self.until("POST", f"{at}/answer", sent, "answer")
        if "answer" in said:
            self.ledger.acknowledged[self.labeler, sent["key"]] = said | {"body": body, "task": at.split("/")[-1]}
            self.ledger.late += said["late"]

    def compare(self, said: dict[str, Any], again: dict[str, Any]) -> None:
        self.ledger.repeated += 1
        if {**said, "again": 0} != {**again, "again": 0}:
            self.ledger.wrong.append(f"{self.labeler}: sent twice, answered {said} and {again}")


Strike = Callable[[Server], Awaitable[None]]


async def kill_server(server: Server) -> None:
    server.stop(signal.SIGKILL)
    await server.start()


async def kill(server: Server, ledger: Ledger, kills: int, goal: int, rng: random.Random, strike: Strike) -> None:
    """At random instants, evenly over the submissions that are to come."""
    at = sorted(rng.randrange(goal) for _ in range(kills))
    for mark in at:
        while len(ledger.acknowledged) < mark:
            await asyncio.sleep(0.005)
        await asyncio.sleep(rng.uniform(0, 0.2))
        ledger.kills += 1
        await strike(server)


async def storm(
    server: Server, sessions: dict[str, str], goal: int, kills: int, seed: int, pause: float, lease: float,
    strike: Strike = kill_server,
) -> Ledger:  # fmt: skip
    ledger, rng = Ledger(lease=lease), random.Random(seed)
    await server.start()
    people = [
        Person(labeler, session, server.port, ledger, random.Random(f"{seed} {n}"))
        for n, (labeler, session) in enumerate(sessions.items())
    ]
    await asyncio.gather(
        kill(server, ledger, kills, goal, rng, strike), *(person.work(goal, pause) for person in people)
    )
    ledger.cpu = server.cpu()
    if status := server.stop(signal.SIGTERM):
        ledger.wrong.append(f"the server ended with {status}")
    return ledger


# The store after.


def faults(store: Store, ledger: Ledger) -> dict[str, int]:
    """How often each of the promises was broken."""
    with store.reading() as connection:
        kept = {(row.labeler, row.key): row for row in connection.execute(select(answers))}
        lost = sum(
            (row := kept.get(name)) is None
            or (row.id, row.task, row.revision, row.late, row.body)
            != (said["answer"], said["task"], said["revision"], said["late"], said["body"])
            for name, said in ledger.acknowledged.items()
        )
        counted = (answers.c.revision == 1) & ~answers.c.late
        per_task = select(answers.c.task, func.count().label("n")).where(counted).group_by(answers.c.task).subquery()
        room = select(slots.c.task, func.count().label("n")).group_by(slots.c.task).subquery()
        over = select(func.count()).select_from(per_task.join(room, room.c.task == per_task.c.task))
        done = select(func.count()).where(slots.c.state == "done")
        same = select(tasks.c.prompt_id).join(slots, slots.c.task == tasks.c.id).where(slots.c.state == "done")
        selfs = same.add_columns(slots.c.labeler).group_by(tasks.c.prompt_id, slots.c.labeler).having(func.count() > 1)
        firsts = {(row.labeler, row.task) for row in kept.values()}
        versions = {(row.task, row.labeler): row.version for row in connection.execute(select(drafts))}

        def count(query: Any) -> int:
            return connection.execute(query).scalar_one()

        found = {
            "acknowledged answers lost": lost,
            "counted twice": len(kept) - len(ledger.acknowledged),
            "rankings without a person's answer, or answers without": abs(
                count(select(func.count()).select_from(rankings)) - len(firsts)
            ),
            "slots over-assigned": count(over.where(per_task.c.n > room.c.n))
            + abs(count(done) - sum(not row.late and row.revision == 1 for row in kept.values())),
            "people ranking twice": len(connection.execute(selfs).all()),
            "drafts lost": sum(versions.get(name, 0) < version for name, version in ledger.drafts.items()),
            "breaks in the history": len(list(history.faults(connection))),
            "unexpected answers of the server": len(ledger.wrong),
        }
        if connection.dialect.name == "sqlite":
            sound = connection.exec_driver_sql("PRAGMA integrity_check").all()
            found["damage to the file"] = (sound != [("ok",)]) + len(
                connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            )
    return found


def run(
    folder: Path,
    where: str,
    people: int,
    submits: int,
    kills: int,
    seed: int,
    pause: float = 0.0,
    lease: float = 6.0,
    strike: Strike = kill_server,
    begun: Callable[..., subprocess.Popen] = cold,
) -> tuple[Ledger, dict[str, int], Server]:
    sessions = prepare(where, people, submits, lease)
    server = Server(folder, where, begun)
    try:
        ledger = alone(storm(server, sessions, submits, kills, seed, pause, lease, strike))
    finally:
        with contextlib.suppress(AttributeError, ProcessLookupError):
            server.process.kill()
    with open_store(where) as store:
        return ledger, faults(store, ledger), server


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--people", type=int, default=64)
    asked.add_argument("--submits", type=int, default=2_000)
    asked.add_argument("--kills", type=int, default=5)
    asked.add_argument("--pause", type=float, default=0.0, help="seconds between two tasks of a person, in the mean")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--store", help="postgresql://… of an empty database; otherwise SQLite")
    given = asked.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    began = time.monotonic()
    where = given.store or str(folder / "store.db")
    ledger, found, server = run(folder, where, given.people, given.submits, given.kills, given.seed, given.pause)
    for what in ("claim", "answer"):
        times = ", ".join(f"p{100 * q:g} {ledger.share(what, q):.0f}" for q in (0.5, 0.95, 0.99, 1.0))
        print(f"{what}: {len(ledger.seconds[what])}, ms {times}")
    print(
        f"{len(ledger.acknowledged)} submissions, {ledger.kills} kills, {ledger.repeated} sent twice, "
        f"{ledger.late} late, {time.monotonic() - began:.0f} s; "
        f"starts of the server: {max(server.starts):.1f} s at most; its processor in its last life: {ledger.cpu:.1f} s"
    )
    for what, number in found.items():
        print(f"  {what}: {number}")
    for line in ledger.wrong[:10]:
        print(f"  {line}")
    if any(found.values()):
        raise SystemExit(f"not whole; see {folder}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
