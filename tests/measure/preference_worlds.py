"""Simulated comparisons of models of planted strength, by people of differing taste, and what the statistics make of them.

    python tests/measure/preference_worlds.py [--worlds 500]

prints the tables of docs/results.md: how often intervals hold the planted truth, and how often a look after every
verdict finds a difference where there is none.

Shape suffixes: P prompts, E verdicts a prompt, L labelers, M models, N verdicts.
"""

import argparse
import itertools
import time
from collections.abc import Mapping

import numpy as np

from biddable.measure.davidson import scales
from biddable.measure.interval import Bootstrap
from biddable.measure.winrate import win_rate
from biddable.records import Verdict

FAST = Bootstrap(draws=400)


def tournament(
    rng: np.random.Generator, strength: Mapping[str, float], prompts: int, people: int, each: int = 2,
    of_prompt: float = 0.5, of_person: float = 0.0, tie: float = 0.5,
) -> tuple[list[Verdict], dict[str, str]]:  # fmt: skip
    """Every prompt has one answer of each model, and `each` people say of every pair which is better. An answer's worth
    is its model's strength and its own luck; people differ in what they think of a model."""
    names = list(strength)
    own_PM = np.array(list(strength.values())) + of_prompt * rng.normal(size=(prompts, len(names)))
    taste_LM = of_person * rng.normal(size=(people, len(names)))
    models = {f"{name}{p}": name for name in names for p in range(prompts)}
    made = []
    for p in range(prompts):
        for who in rng.permutation(people)[:each].tolist():
            for i, j in itertools.combinations(range(len(names)), 2):
                up = own_PM[p, i] - own_PM[p, j] + taste_LM[who, i] - taste_LM[who, j]
                weights = np.array([np.exp(up / 2), np.exp(-up / 2), tie])
                better = ("a", "b", "tie")[int(np.searchsorted(np.cumsum(weights / weights.sum()), rng.random()))]
                a, b = f"{names[i]}{p}", f"{names[j]}{p}"
                made.append(
                    Verdict.model_construct(
                        kind="verdict",
                        prompt_id=f"p{p:05}",
                        a=a,
                        b=b,
                        better=better,
                        judge="person",
                        labeler=f"l{who:02}",
                        shown="ab",
                        seconds=0.0,
                        propensity=None,
                        extra=None,
                    )  # fmt: skip
                )
    return made, models
