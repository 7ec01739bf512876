"""Simulated comparisons of models of planted strength, by people of differing taste, and what is made of them.

    python tests/measure/preference_worlds.py [--worlds 500]

prints the tables of docs/results.md: how often intervals hold the planted truth, and how often a look after every
verdict finds a difference where there is none.

Shape suffixes: P prompts, E verdicts a prompt, L labelers, M models, N verdicts.
"""

import argparse
import itertools
import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from biddable.measure.davidson import scales
from biddable.measure.interval import Bootstrap, Interval
from biddable.measure.looks import sequence
from biddable.measure.winrate import win_rate
from biddable.records import Verdict

FAST = Bootstrap(draws=400)
ONCE = Bootstrap(draws=100)  # where the value alone is asked for
TRUTH = 8000  # prompts, each by a person of its own, of which a truth is a mean: known to half a point
STRENGTH = {"base": -0.8, "sft": 0.0, "ppo": 0.4}
FIRST_LOOK = 10  # prompts before the first look: nobody decides by two


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
                    )
                )
    return made, models


class Peeking(NamedTuple):
    """How often a look after every verdict finds a difference where there is none."""

    ours: float
    plain: float
    once: float  # the plain interval, at the end alone
    wider: float  # ours at the end, times as wide as the plain one


def peeking(worlds: int, prompts: int, each: int, seed: int, gap: float = 0.0, of_prompt: float = 1.0) -> Peeking:
    """Worlds of two models. A prompt's verdicts are alike, which the plain interval over prompts honours too."""
    rng = np.random.default_rng(seed)
    ours, plain, once, wider = [], [], [], []
    for _ in range(worlds):
        up_P = gap + of_prompt * rng.normal(size=prompts)
        below_P = np.exp(up_P / 2) + np.exp(-up_P / 2) + 0.5
        drawn_PE = rng.random((prompts, each))
        won_PE = drawn_PE < (np.exp(up_P / 2) / below_P)[:, None]
        tied_PE = ~won_PE & (drawn_PE < ((np.exp(up_P / 2) + 0.5) / below_P)[:, None])
        value_P = (won_PE + tied_PE / 2).mean(axis=1)
        low, high = sequence(value_P)
        ours.append(bool(np.any((low > 0.5) | (high < 0.5))))
        n = np.arange(1, prompts + 1)
        mean = np.cumsum(value_P) / n
        error = np.sqrt(np.maximum(np.cumsum(value_P**2) / n - mean**2, 1e-12) / np.maximum(n - 1, 1))
        out = (np.abs(mean - 0.5) > stdtrit(np.maximum(n - 1, 1), 0.975) * error)[FIRST_LOOK:]
        plain.append(bool(out.any()))
        once.append(bool(out[-1]))
        wider.append((high[-1] - low[-1]) / (2 * 1.96 * error[-1]))
    return Peeking(*(float(np.mean(some)) for some in (ours, plain, once, wider)))


# prompts, people, verdicts a prompt, how far people's tastes differ
SHAPES = ((200, 20, 1, 0.0), (100, 10, 2, 0.3), (200, 20, 2, 0.3), (60, 12, 3, 0.5))


def coverage(worlds: int, seed: int = 1, shapes: tuple = SHAPES) -> dict[str, dict[str, float]]:
    """How often intervals hold what so many prompts and people say that chance is gone."""
    found = {}
    for prompts, people, each, taste in shapes:
        rng = np.random.default_rng(seed)
        many = tournament(rng, STRENGTH, TRUTH, TRUTH, 1, of_person=taste)
        (truth,) = scales(*many, "sft", ONCE)
        rates = {m: win_rate(*many, m, "sft", how=ONCE).value for m in ("base", "ppo")}
        held: dict[str, list[bool]] = {"win rate": [], "scale": []}
        for _ in range(worlds):
            world = tournament(rng, STRENGTH, prompts, people, each, of_person=taste)
            (scale,) = scales(*world, "sft", FAST)
            for m in ("base", "ppo"):
                held["win rate"].append(holds(rates[m], win_rate(*world, m, "sft", how=FAST)))
                held["scale"].append(holds(truth.places[m].score.value, scale.places[m].score))
        name = f"{prompts} prompts, {people} people, {each} each, tastes {taste:g}"
        found[name] = {what: float(np.mean(some)) for what, some in held.items()}
    return found


def holds(truth: float, found: Interval) -> bool:
    return found.low <= truth <= found.high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=500)
    worlds = parser.parse_args().worlds
    start = time.process_time()
    print(f"{worlds} worlds of three models\n\n| a world has | win rate | scale |\n|---|---|---|")
    for what, held in coverage(worlds).items():
        print(f"| {what} | {100 * held['win rate']:.1f} % | {100 * held['scale']:.1f} % |")
    print("\n| prompts, verdicts each | looks: this one | looks: plain | plain, once | times as wide |")
    print("|---|---|---|---|---|")
    for prompts, each in ((200, 1), (1000, 1), (1000, 3)):
        p = peeking(worlds, prompts, each, seed=3)
        shares = " | ".join(f"{100 * x:.1f} %" for x in p[:3])
        print(f"| {prompts}, {each} | {shares} | {p.wider:.2f} |")
    print(f"\n{time.process_time() - start:.0f} s of one core")


if __name__ == "__main__":
    main()
