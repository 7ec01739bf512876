"""How the labeling server does at size: `make bench-label`. Results: docs/results.md.

Through a real server on SQLite: memory and start time; a million prompts brought in by `biddable gather` while people
label, and what they wait meanwhile; the next task and the manager's page with 100,000 tasks and 300,000 answers; the
export of 50,000 rankings. Times are in milliseconds unless they say seconds.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from biddable import records
from biddable.records import Completion, Prompt, Ranking
from biddable.store import Store, accounts, jobs, open_store, tables
from biddable.store.jobs import JobSettings
from biddable.store.rows import ranked_rows, to_row

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "label"))

import siege
from siege import Person, Server, Wire

PEOPLE, K, STEP = 64, 4, 5000
TEXT = "Write a short letter to a friend about what you did last summer, and ask what they will do this winter. " * 3


def said(what: str, seconds: list[float]) -> str:
    ordered = sorted(seconds)
    parts = (
        f"p{100 * q:g} {1000 * ordered[min(int(q * len(ordered)), len(ordered) - 1)]:.0f}" for q in (0.5, 0.95, 0.99, 1)
    )
    return f"{what}: {len(seconds)} times, " + ", ".join(parts)


# A store of the size that is asked for, as rows: the app would take hours.


def fill(store: Store, count: int, each: int) -> tuple[str, dict[str, str]]:
    """`count` tasks; of each, `each` people have answered, and one slot is open. Returns the job and sessions."""
    rng, at = random.Random(0), datetime(2026, 3, 1, tzinfo=UTC)
    with store.writing() as connection:
        people = [accounts.make(connection, f"n{n}", "labeler", "training", at) for n in range(PEOPLE)]
        owner = accounts.make(connection, "olga", "owner", "researcher", at)
        sessions = {
            who.labeler: accounts.open_door(connection, who.labeler, "session", store.clock())
            for who in (*people, owner)
        }
        job = jobs.make(connection, "rank", "Rank", "training", JobSettings(judge=False), at)
    for first in range(0, count, STEP):
        rows: dict[str, list[dict]] = {}
        for n in range(first, min(first + STEP, count)):
            for table, row in _task(n, job.id, rng.sample([p.labeler for p in people], each), at, rng):
                rows.setdefault(table, []).append(row)
        with store.writing() as connection:
            for table in tables.metadata.sorted_tables:
                if table.name in rows:
                    connection.execute(table.insert(), rows[table.name])
    return job.id, sessions


def _task(n: int, job: str, who: list[str], at: datetime, rng: random.Random) -> Iterator[tuple[str, dict]]:
    prompt, task, place = f"p{n:07}", f"t{n:07}", rng.random()
    names = [f"{prompt}-{letter}" for letter in "abcd"]
    yield "prompts", to_row(Prompt(id=prompt, text=f"{TEXT} ({n})", split="train"))
    for name in names:
        yield (
            "completions",
            to_row(Completion(id=name, prompt_id=prompt, text=f"{TEXT} {name}", run_id=f"run-{name[-1]}")),
        )
    yield "tasks", {
        "id": task, "job": job, "prompt_id": prompt, "completions": json.dumps(names), "place": place, "gold": None,
        "chosen_by": "random", "propensity": 1.0,
    }  # fmt: skip
    for slot, labeler in enumerate(who):
        yield "slots", {
            "task": task, "slot": slot, "job": job, "place": place, "state": "done", "labeler": labeler, "lease": None,
            "taken": at, "until": None,
        }  # fmt: skip
        ranking = Ranking(prompt_id=prompt, labeler=labeler, order=tuple((x,) for x in rng.sample(names, K)), at=at)
        yield "rankings", to_row(ranking)
        yield from (("ranked", row) for row in ranked_rows(ranking))
        body = json.dumps({"order": [["A"], ["B"], ["C"], ["D"]]})
        yield "answers", {
            "task": task, "job": job, "labeler": labeler, "revision": 1, "key": f"key-{n}-{slot}", "body": body,
            "shown": json.dumps(names), "guidelines": None, "seconds": 60.0, "wall": 60.0, "late": False, "at": at,
        }  # fmt: skip
        for what, seconds in (("taken", 0.0), ("active", 60.0)):
            yield "activity", {"labeler": labeler, "task": task, "what": what, "seconds": seconds, "at": at}
    yield "slots", {
        "task": task, "slot": len(who), "job": job, "place": place, "state": "open", "labeler": None, "lease": None,
        "taken": None, "until": None,
    }  # fmt: skip


# What is measured.


def memory(process: int) -> int:
    """MB that are in memory now."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


async def at_size(server: Server, sessions: dict[str, str], job: str, rounds: int) -> None:
    people = list(itertools.islice(sessions.items(), PEOPLE))
    ledger = siege.Ledger()
    for nth in range(rounds):
        labeler, session = people[nth % len(people)]
        one = Person(labeler, session, server.port, ledger, random.Random(nth))
        task = (await one.until("POST", "/api/claim", {"job": job}, "claim"))["task"]
        sent = {"key": f"at-size-{nth}", "body": json.dumps({"order": [["A"], ["B", "C"], ["D"]]})}
        await one.until("POST", f"/api/tasks/{task['task']}/answer", sent, "answer")
        one.wire.close()
    print(said("next task, one asks at a time", ledger.seconds["claim"]))
    print(said("answer, one at a time", ledger.seconds["answer"]))
    for path in ("/manage", f"/manage/jobs/{job}", "/manage/people"):
        seconds = []
        for _ in range(max(rounds // 5, 5)):
            wire = Wire(server.port, list(sessions.values())[-1])
            began = time.monotonic()
            await wire.send("GET", path)
            assert wire.reader is not None
            assert b" 200 " in await wire.reader.readline()
            await wire.reader.readuntil(b"</html>")
            seconds.append(time.monotonic() - began)
            wire.close()
        print(said(f"the manager's {path.replace(job, 'JOB')}", seconds))
    assert not ledger.wrong, ledger.wrong[0]


async def while_importing(server: Server, sessions: dict[str, str], folder: Path, file: Path, people: int) -> None:
    """`people` label, five seconds to a task, while the file goes in."""
    ledger = siege.Ledger()
    command = [sys.executable, "-c", siege.SERVE, "gather", str(file)]
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=server.environment, stdout=subprocess.DEVNULL
    )

    async def label(nth: int, labeler: str, session: str) -> None:
        one = Person(labeler, session, server.port, ledger, random.Random(nth))
        while process.returncode is None:
            task = (await one.until("POST", "/api/claim", {}, "claim"))["task"]
            await asyncio.sleep(one.rng.uniform(0, 10))
            sent = {
                "key": f"{labeler}-{time.monotonic_ns()}",
                "body": json.dumps({"order": [["A"], ["B", "C"], ["D"]]}),
            }
            await one.until("POST", f"/api/tasks/{task['task']}/answer", sent, "answer")

    those = itertools.islice(sessions.items(), people)
    largest = [0]

    async def watch() -> None:
        while process.returncode is None:
            largest.append(memory(process.pid) if Path(f"/proc/{process.pid}/status").exists() else 0)
            await asyncio.sleep(0.2)

    await asyncio.gather(process.wait(), watch(), *(label(n, *one) for n, one in enumerate(those)))
    assert process.returncode == 0
    assert not ledger.wrong, ledger.wrong[0]
    print(f"gather: {time.monotonic() - began:.0f} s, {max(largest)} MB at most, beside {people} people at work")
    print(said("next task meanwhile", ledger.seconds["claim"]))
    print(said("answer meanwhile", ledger.seconds["answer"]))


def export(folder: Path, environment: dict[str, str], kept: int) -> None:
    command = [sys.executable, "-c", siege.SERVE, "snapshot", "rankings"]
    began = time.monotonic()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    print(f"export of {kept} rankings with all that they name: {time.monotonic() - began:.1f} s")


async def main(asked: argparse.Namespace) -> None:
    folder = Path(asked.keep or tempfile.mkdtemp(prefix="bench-label-"))
    small, large = folder / "small", folder / "large"
    for place in (small, large):
        place.mkdir(exist_ok=True, parents=True)

    server = Server(small, str(small / "store.db"))
    open_store(small / "store.db").close()
    await server.start()
    await asyncio.sleep(1)
    print(f"start: {server.starts[0]:.1f} s; idle: {memory(server.process.pid)} MB")
    server.stop(signal.SIGTERM)

    began = time.monotonic()
    with open_store(large / "store.db") as store:
        job, sessions = fill(store, asked.tasks, 3)
    size = (large / "store.db").stat().st_size / 1e6
    print(f"({asked.tasks} tasks, {3 * asked.tasks} answers, {size:.0f} MB, made in {time.monotonic() - began:.0f} s)")
    server = Server(large, str(large / "store.db"))
    await server.start()
    print(f"start with that: {server.starts[0]:.1f} s")
    await at_size(server, sessions, job, asked.rounds)
    file = folder / "prompts.jsonl"
    records.write(
        # No two alike, and none more than its owner may have: all of them stay, which takes the longest.
        file,
        (Prompt(id=f"new{n:07}", text=f"{n} times: {TEXT}", user=f"u{n // 150}") for n in range(asked.prompts)),
    )
    print(f"({asked.prompts} prompts, {file.stat().st_size / 1e6:.0f} MB)")
    await while_importing(server, sessions, large, file, asked.people)
    print(f"the server after all this: {memory(server.process.pid)} MB")
    server.stop(signal.SIGTERM)

    with open_store(small / "store.db") as store:
        fill(store, asked.rankings, 1)
    export(small, os.environ | {"BIDDABLE_STORE": str(small / "store.db")}, asked.rankings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--prompts", type=int, default=1_000_000)
    parser.add_argument("--rankings", type=int, default=50_000)
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--keep", help="a folder for what is made; otherwise it is temporary")
    asyncio.run(main(parser.parse_args()))
