"""How fast the managers' pages are with 100,000 tasks and 300,000 answers, through a real server.

    python bench/label_pages.py [--tasks 100000] [--answers 300000] [--rounds 40] [--keep FOLDER]

Fills a store, serves it, and asks for each page again and again, while figures that are counted beside the pages are
counted. Prints the median, the 95th percentile and the largest time of each, in milliseconds.
"""

import argparse
import json
import random
import socket
import statistics
import tempfile
import threading
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn

from biddable.label import create_app
from biddable.store import Store, accounts, jobs, open_store, tables, work_tables
from biddable.store.jobs import JobSettings

PAGES = (
    "/manage", "/manage/jobs/{job}", "/manage/quality", "/manage/checks", "/manage/review", "/manage/people",
    "/manage/pay", "/manage/screening", "/manage/history", "/manage/prompts", "/mine", "/",
)  # fmt: skip
PEOPLE, K, STEP = 64, 4, 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--answers", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        path = (asked.keep or Path(aside)) / "store.db"
        made = path.exists()
        with open_store(path) as store:
            start = time.perf_counter()
            job = find(store) if made else fill(store, asked.tasks, asked.answers)
            print(f"store of {path.stat().st_size / 1e6:.0f} MB, filled in {time.perf_counter() - start:.0f} s")
            token = enter(store)
        measure(path, job, token, asked.rounds)


def find(store: Store) -> str:
    with store.reading() as connection:
        return jobs.all_of(connection)[0].id


def enter(store: Store) -> str:
    with store.writing() as connection:
        owner = accounts.named(connection, "olga") or accounts.make(
            connection, "olga", "owner", "researcher", store.clock()
        )
        return accounts.open_door(connection, owner.labeler, "session", store.clock())


def fill(store: Store, tasks: int, answers: int) -> str:
    """Three people to a task; everybody's taste is the answers' worth with noise. Rows as the app would write them."""
    rng, now = random.Random(0), datetime.now(UTC)
    with store.writing() as connection:
        people = [accounts.make(connection, f"person {n}", "labeler", "training", now).labeler for n in range(PEOPLE)]
        settings = JobSettings(judge=False, hourly=15)
        job = jobs.make(connection, "rank", "Rank", "training", settings, now)
    each = answers // tasks
    for first in range(0, tasks, STEP):
        rows: dict[str, list[dict]] = {}
        for n in range(first, min(first + STEP, tasks)):
            for table, row in one_task(n, job.id, rng.sample(people, each), now, rng):
                rows.setdefault(table, []).append(row)
        with store.writing() as connection:
            for table in ORDER:
                connection.execute(tables.metadata.tables[table].insert(), rows[table])
    return job.id


ORDER = ("prompts", "completions", "tasks", "slots", "rankings", "ranked", "answers", "activity", "changes")


def one_task(n: int, job: str, people: list[str], now: datetime, rng: random.Random):
    prompt, task, place = f"p{n:06}", f"t{n:06}", rng.random()
    ids = [f"{prompt}-{k}" for k in range(K)]
    yield "prompts", {"id": prompt, "text": f"Tell me of {n}. " * 5, "source": "plain", "split": "train"}
    for k, name in enumerate(ids):
        text = "An answer of some words. " * rng.randint(2, 20)
        yield "completions", {
            "id": name, "prompt_id": prompt, "text": text, "run_id": f"run-{k}", "temperature": 1.0, "finished": True,
        }  # fmt: skip
    yield "tasks", {
        "id": task, "job": job, "prompt_id": prompt, "completions": json.dumps(ids), "place": place,
        "chosen_by": "random", "propensity": 1.0,
    }  # fmt: skip
    for slot, who in enumerate(people):
        at = now - timedelta(seconds=rng.uniform(60, 30 * 86_400))
        yield "slots", {
            "task": task, "slot": slot, "job": job, "place": place, "state": "done", "labeler": who, "taken": at,
        }  # fmt: skip
        yield "rankings", {"prompt_id": prompt, "labeler": who, "seconds": 60.0, "at": at}
        worth = sorted(range(K), key=lambda k: k + rng.gauss(0, 1.5))
        shown = rng.sample(range(K), K)
        for tier, k in enumerate(worth, start=1):
            yield "ranked", {
                "prompt_id": prompt, "labeler": who, "completion_id": ids[k], "tier": tier, "place": 0,
                "shown": shown.index(k),
            }  # fmt: skip
        body = json.dumps({"judgements": {}, "order": [[chr(65 + shown.index(k))] for k in worth]})
        yield "answers", {
            "task": task, "job": job, "labeler": who, "revision": 1, "key": f"key-{task}-{slot}", "body": body,
            "shown": json.dumps([ids[k] for k in shown]), "seconds": 60.0, "wall": 70.0, "late": False, "at": at,
        }  # fmt: skip
        yield "activity", {"labeler": who, "task": task, "what": "active", "seconds": 60.0, "at": at}
        yield "changes", {"at": at, "what": "answer", "key": f"{task}/{slot}", "who": who, "detail": "x"}


def measure(path: Path, job: str, token: str, rounds: int) -> None:
    door = socket.socket(proto=socket.IPPROTO_TCP)  # or each answer waits 40 ms, as in no server of ours
    door.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(path), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    url = f"http://127.0.0.1:{door.getsockname()[1]}"
    try:
        pages = [page.format(job=job) for page in PAGES]
        counting(url, token)
        spent: dict[str, list[float]] = {page: [] for page in pages}
        for _ in range(rounds):
            for page in pages:
                spent[page].append(ask(url + page, token)[0])
        print(f"{'page':32} {'median':>8} {'p95':>8} {'largest':>8}  ms")
        for page, times in spent.items():
            p95 = statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
            print(f"{page.replace(job, '{job}'):32} {statistics.median(times):8.0f} {p95:8.0f} {max(times):8.0f}")
        every = [spent_ for times in spent.values() for spent_ in times]
        print(f"{'all of them':32} {statistics.median(every):8.0f} {statistics.quantiles(every, n=20)[-1]:8.0f}")
    finally:
        server.should_exit = True
        thread.join()


def counting(url: str, token: str) -> None:
    """How long the figures take that are counted beside the pages."""
    for page in ("/manage/quality", "/manage/review", "/manage/pay"):
        start = time.perf_counter()
        while "Reload in a moment" in ask(url + page, token)[1]:
            time.sleep(0.2)
        print(f"{page}: counted in {time.perf_counter() - start:.1f} s")


def ask(address: str, token: str) -> tuple[float, str]:
    request = urllib.request.Request(address, headers={"Cookie": f"biddable={token}"})
    start = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        text = answer.read().decode()
    return 1000 * (time.perf_counter() - start), text


if __name__ == "__main__":
    assert work_tables.metadata is tables.metadata
    main()
