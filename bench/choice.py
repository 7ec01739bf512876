"""Does labeling first what an ensemble is unsure of teach a reward model with fewer labels? `python bench/choice.py`

In Hamlet: a first ensemble learns from some rankings of prompts chosen by lot; by its spread as many again are chosen
from the pool, and by lot, and by both; a new one learns from all. Printed: how many of the true preferences between
answers to other prompts each foresees, over seeds, and the differences from choice by lot, paired by seed.
"""

import argparse
import json
import os
import random
import tempfile
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "BIDDABLE_QUIET": "1"}

import numpy as np
import scipy.stats
import torch

from biddable import hamlet, records, runs
from biddable.hamlet import people, tasks, truth
from biddable.hamlet.answers import write
from biddable.hamlet.screening import MIXED
from biddable.learn import reward
from biddable.records import Completion, Prompt, Ranking
from biddable.sample.score import score
from biddable.store.choice import choose

K = 4
ARMS = {"random": 1.0, "mixed": 0.25, "spread": 0.0}
BASE = Path(hamlet.__file__).parent / "base"
World = list[tuple[Prompt, list[Completion], Ranking]]


def world(rng: random.Random, count: int, crowd: list[people.Person], named: str) -> World:
    """Prompts with answers good and bad, and what somebody of the crowd would say of them if asked."""
    made: World = []
    while len(made) < count:
        prompt = Prompt.make(tasks.make(rng).text, source="plain", user=f"{named}-{len(made)}")
        task = people.understood(prompt)
        texts = list(dict.fromkeys(write(task, rng, MIXED) for _ in range(8 * K)))[:K]
        if len(texts) < K:
            continue
        answers = [Completion.make(prompt.id, text, "rule", n) for n, text in enumerate(texts)]
        ranking = people.rank(rng.choice(crowd), prompt, answers)
        if len(ranking.order) > 1:  # a ranking of ties alone teaches nothing
            made.append((prompt, answers, ranking))
    return made


def learnt(labeled: World, seed: int, heads: int, room: Path) -> Path:
    file = room / f"rankings-{len(list(room.iterdir()))}.jsonl"
    records.write(file, [one for prompt, answers, ranking in labeled for one in (prompt, *answers, ranking)])
    config = reward.RewardConfig(
        learning_rate=1e-3, batch=8, extra_layers=2, heads=heads, center="answers", checkpoint_every=10_000
    )
    inputs = {"model": BASE, "rankings": file}
    with runs.start(room / f"run-{file.stem}", "reward", config, inputs, seed) as run:
        return reward.train(run, config, **inputs)


def scored(model: Path, those: World) -> dict[str, records.Score]:
    prompts = {prompt.id: prompt for prompt, _, _ in those}
    answers = [answer for _, some, _ in those for answer in some]
    return {one.completion_id: one for one in score(model, prompts, answers, run_id="judge")}


def accuracy(model: Path, test: World) -> float:
    """The share of pairs that truth decides in which the better answer scores more."""
    value, right = scored(model, test), []
    for prompt, answers, _ in test:
        worth = [truth.utility(prompt.text, one.text, one.finished) for one in answers]
        for a in range(K):
            for b in range(K):
                if worth[a] > worth[b] + 1e-9:
                    right.append(value[answers[a].id].value > value[answers[b].id].value)
    return float(np.mean(right))


def of_seed(seed: int, first: int, more: int, pool: int, test: int, heads: int) -> dict[str, float]:
    rng = random.Random(f"choice {seed}")
    crowd = [people.joined(one) for one in people.crowd(seed) if one.group == "candidate"]
    every, asked = world(rng, first + pool, crowd, "pool"), world(rng, test, crowd, "test")
    begun, rest = every[:first], every[first:]
    with tempfile.TemporaryDirectory() as aside:
        room = Path(aside)
        model = learnt(begun, seed, heads, room)
        found = {f"{first} by lot": accuracy(model, asked)}
        spread = scored(model, rest)
        size_N = np.array([np.sqrt(np.mean([(spread[a.id].spread or 0) ** 2 for a in some])) for _, some, _ in rest])
        for arm, share in ARMS.items():
            chosen = choose(size_N, more, share, np.random.default_rng([seed, 1]))
            found[arm] = accuracy(learnt([*begun, *(rest[one.place] for one in chosen)], seed, heads, room), asked)
        found["twice as many by lot"] = accuracy(learnt([*begun, *rest[: 2 * more]], seed, heads, room), asked)
    return found


def main() -> None:
    said = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, usual in {"seeds": 5, "first": 150, "more": 150, "pool": 900, "test": 200, "heads": 4}.items():
        said.add_argument(f"--{name}", type=int, default=usual)
    given = said.parse_args()
    torch.set_num_threads(1)
    seen = []
    for seed in range(given.seeds):
        seen.append(of_seed(seed, given.first, given.more, given.pool, given.test, given.heads))
        print(json.dumps({"seed": seed} | seen[-1]), flush=True)
    print("\n| labels | true preferences foreseen | minus choice by lot |\n|---|---|---|")
    for name in seen[0]:
        value_S = 100 * np.array([one[name] for one in seen])
        gain_S = value_S - 100 * np.array([one["random"] for one in seen])
        half = scipy.stats.t.ppf(0.975, len(seen) - 1) * gain_S.std(ddof=1) / np.sqrt(len(seen))
        print(f"| {name} | {value_S.mean():.1f} % | {gain_S.mean():+.1f} ± {half:.1f} |")


if __name__ == "__main__":
    main()
