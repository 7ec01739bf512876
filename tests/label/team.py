"""A small team at work through the functions that the app's handlers call: quick, and with known tastes."""

import json
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from biddable.label import forms
from biddable.records import AnyRecord, Completion, Prompt
from biddable.store import Store, accounts, fill, jobs, work
from biddable.store.accounts import Account
from biddable.store.jobs import Job, JobSettings
from biddable.store.work import Held

JUDGED = {
    "overall": 5, "fails_task": False, "inappropriate": False, "sexual": False, "violent": False,
    "encourages_harm": False, "denigrates": False, "harmful_advice": False, "opinion": False, "moral_judgement": False,
}  # fmt: skip

Worth = Callable[[Completion, int], float]  # of an answer, and of its place on the screen


def stock(store: Store, count: int, split: str = "train", start: int = 0) -> None:
    """Prompts with four answers each, of known worth: a is best."""
    records: list[AnyRecord] = []
    for n in range(start, start + count):
        prompt = Prompt(id=f"p{n:04}", text=f"Tell me something about the number {n}.", split=split)
        records.append(prompt)
        records += [
            Completion(id=f"{prompt.id}-{x}", prompt_id=prompt.id, text=f"{n} is a number. " * times, run_id=f"run-{x}")
            for times, x in enumerate("abcd", start=1)
        ]  # fmt: skip
    store.add_many(records)


def hire(store: Store, name: str, group: str = "training", role: str = "labeler") -> Account:
    with store.writing() as connection:
        return accounts.make(connection, name, role, group, store.clock())


def rank_job(store: Store, purpose: str = "training", split: str | None = None, **settings) -> Job:
    settings = {"judge": False, "doubly": 0, "fivefold": 0} | settings
    with store.writing() as connection:
        job = jobs.make(connection, "rank", "Rank", purpose, JobSettings(**settings), store.clock())
        jobs.add(connection, job, fill.todos(connection, job, fill.Fill(split=split)), store.clock())
        return job


def true_worth(answer: Completion, _place: int) -> float:
    return -"abcd".index(answer.run_id[-1])


def taste(rng: random.Random, noise: float = 1.0, pull: float = 0.0) -> Worth:
    """Worth with noise, and a pull to whatever is shown first."""
    return lambda answer, place: true_worth(answer, place) + rng.gauss(0, noise) - pull * place


def ranked(held: Held, worth: Worth, flag: Callable[[Completion], bool] | None = None) -> str:
    """The body of an answer that ranks by worth; the judgements where the job asks for them."""
    found = [(worth(answer, n), forms.LETTERS[n]) for n, answer in enumerate(held.completions)]
    order = [[letter] for _, letter in sorted(found, key=lambda one: -one[0])]
    judged = {}
    if held.job.settings.judge:
        flags = [flag is not None and flag(answer) for answer in held.completions]
        judged = {forms.LETTERS[n]: JUDGED | {"denigrates": flagged} for n, flagged in enumerate(flags)}
    return json.dumps({"judgements": judged, "order": order})


def work_on(
    store: Store, who: Account, say: Callable[[Held], str], at: datetime, job: Job | None = None, most: int = 10_000,
    seconds: float = 60,
) -> int:  # fmt: skip
    """Take and hand in tasks until there are none. Returns how many; each takes so many seconds."""
    for count in range(most):
        with store.writing() as connection:
            held = work.claim(connection, who, at, job.id if job else None)
        if held is None:
            return count
        at += timedelta(seconds=seconds)
        body = say(held)
        with store.writing() as connection:
            work.submit(
                connection, who, held.task, f"{who.labeler}-{held.task}", body, at, seconds,
                lambda held, spent, body=body, at=at: forms.records(
                    held, forms.read(held, body), who.labeler, spent, at
                ),
            )  # fmt: skip
    return most


def team(store: Store, names: Sequence[str], group: str = "training") -> list[Account]:
    return [hire(store, name, group) for name in names]
