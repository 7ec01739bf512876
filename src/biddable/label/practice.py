"""A store to practise on: prompts and answers of Hamlet, a village of a few hundred words, jobs that are open, and what
a few simulated people have done in them, so that every page has something to show."""

import json
import random
from datetime import datetime, timedelta

from sqlalchemy import Connection

from biddable.hamlet import online, people, tasks
from biddable.hamlet.answers import write
from biddable.hamlet.screening import MIXED
from biddable.label import forms
from biddable.label.work import seen
from biddable.records import Completion, Prompt, Split
from biddable.store import Store, accounts, fill, jobs, work
from biddable.store.accounts import Account
from biddable.store.jobs import Job, JobPurpose, JobSettings
from biddable.store.rows import Task
from biddable.store.work import Held

PROMPTS, ANSWERS = 60, 4
RUNS = ("model-one", "model-two", "model-three", "model-four")
SETTINGS = JobSettings(doubly=0.5, fivefold=0, hourly=15)
TEAM = 4  # simulated people
EACH = {"rank": 10, "compare": 3, "write": 4}  # tasks that each of them has done: some are left for who comes
BEFORE = timedelta(hours=3)  # when they began
JOBS: tuple[tuple[Task, str, JobPurpose, tuple[str, ...]], ...] = (
    ("rank", "Practice: judge and rank", "training", ()),
    ("compare", "Practice: compare two models", "evaluation", RUNS[:2]),
    ("write", "Practice: write answers", "training", ()),
)


def set_up(store: Store, seed: int = 0) -> None:
    """Fill an empty store. Nothing in it is anybody's word: it is made by rule, and some answers bad on purpose."""
    rng = random.Random(f"practice {seed}")
    for n in range(PROMPTS):
        split: Split = "test" if n % 4 == 0 else "train"
        prompt = Prompt.make(tasks.make(rng).text, source="plain", user=f"practice-{n}", split=split)
        task = people.understood(prompt)
        texts = dict.fromkeys(write(task, rng, MIXED) for _ in range(4 * ANSWERS))
        answers = [Completion.make(prompt.id, text, run) for text, run in zip(texts, RUNS, strict=False)]
        store.add_many([prompt, *answers])
    begun = store.clock() - BEFORE
    with store.writing() as connection:
        made = []
        for nth, (kind, title, purpose, runs) in enumerate(JOBS):
            at = begun + timedelta(seconds=nth)  # the first is what somebody is given who asks for no job
            made.append(jobs.make(connection, kind, title, purpose, SETTINGS, at))
            jobs.add(connection, made[-1], fill.todos(connection, made[-1], fill.Fill(runs=runs)), at)
        for person in [people.joined(one) for one in people.crowd(seed) if one.group == "candidate"][:TEAM]:
            _at_work(connection, person, made, begun)


def _at_work(connection: Connection, person: people.Person, some: list[Job], at: datetime) -> None:
    """As over HTTP (`biddable hamlet people --url`), by the same name and in the same words."""
    account = accounts.make(connection, online.MARK + person.name, "labeler", person.group, at)
    for job in some:
        for _ in range(EACH[job.kind]):
            held = work.claim(connection, account, at, job.id)
            if held is None:
                break
            found = online.answer(person, seen(held, at))
            if found is None:
                work.leave(connection, account, held.task, "skip", "unclear", "", at)
                continue
            at = _hand_in(connection, account, held, json.dumps(found[0]), at, found[1])


def _hand_in(connection: Connection, who: Account, held: Held, body: str, at: datetime, seconds: float) -> datetime:
    at += timedelta(seconds=seconds)
    work.submit(
        connection, who, held.task, f"practice {held.task}", body, at, seconds,
        lambda held, spent: forms.records(held, forms.read(held, body), who.labeler, spent, at),
    )  # fmt: skip
    return at
