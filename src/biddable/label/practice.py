"""A store to practise on: prompts and answers of Hamlet, a village of a few hundred words, and jobs that are open."""

import random

from biddable.hamlet import people, tasks
from biddable.hamlet.answers import write
from biddable.hamlet.screening import MIXED
from biddable.records import Completion, Prompt, Split
from biddable.store import Store, fill, jobs
from biddable.store.jobs import JobPurpose, JobSettings
from biddable.store.rows import Task

PROMPTS, ANSWERS = 60, 4
RUNS = ("model-one", "model-two", "model-three", "model-four")
SETTINGS = JobSettings(doubly=0, fivefold=0)
JOBS: tuple[tuple[Task, str, JobPurpose, tuple[str, ...]], ...] = (
    ("rank", "Practice: judge and rank", "training", ()),
    ("compare", "Practice: compare two models", "evaluation", RUNS[:2]),
    ("write", "Practice: write answers", "training", ()),
)


def set_up(store: Store, seed: int = 0) -> None:
    """Fill an empty store. Nothing in it is anybody's word: the answers are made by rule, some bad on purpose."""
    rng = random.Random(f"practice {seed}")
    for n in range(PROMPTS):
        split: Split = "test" if n % 4 == 0 else "train"
        prompt = Prompt.make(tasks.make(rng).text, source="plain", user=f"practice-{n}", split=split)
        task = people.understood(prompt)
        texts = dict.fromkeys(write(task, rng, MIXED) for _ in range(4 * ANSWERS))
        answers = [Completion.make(prompt.id, text, run) for text, run in zip(texts, RUNS, strict=False)]
        store.add_many([prompt, *answers])
    with store.writing() as connection:
        for kind, title, purpose, runs in JOBS:
            job = jobs.make(connection, kind, title, purpose, SETTINGS, store.clock())
            jobs.add(connection, job, fill.todos(connection, job, fill.Fill(runs=runs)), store.clock())
