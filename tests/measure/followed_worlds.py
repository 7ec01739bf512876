"""Simulated ways on which a reward model was followed too far, and scores that go with length; how often the intervals
hold what was planted.

    python tests/measure/followed_worlds.py [--worlds 1000]

prints the table of docs/results.md. A policy's true gains follow Gao's curve, and each prompt has a slope and a bend of
its own; of best of n, answers are drawn whose gold follows the proxy up to a point and falls beyond it.

Shape suffixes: P prompts, N answers of each, K points along the way.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from biddable.measure.interval import Bootstrap, Interval
from biddable.measure.leaning import correlation
from biddable.measure.overoptimised import (
    Fit,
    Way,
    best_by_some,
    best_of,
    curve,
    least_squares,
    overoptimised,
    peak_of,
    way_of_best,
)
from biddable.records import Completion

FAST = Bootstrap(draws=400)
D_K = np.array([0.6, 1.2, 1.8, 2.5, 3.2, 4.0, 5.0])
ALPHA, BETA = 1.0, 0.5  # the peak of d(α − β log d) is at e, which is 7.39 nats
COUNTS = (2, 4, 8, 16, 32, 64)


def policy(rng: np.random.Generator, prompts: int) -> Way:
    """Answers to `prompts` prompts along a run: slopes and bends of their own, and each answer's luck."""
    slope_P1 = ALPHA + 0.5 * rng.standard_normal((prompts, 1))
    bend_P1 = BETA + 0.3 * rng.standard_normal((prompts, 1))
    gold_PK = slope_P1 * D_K - bend_P1 * D_K * np.log(D_K)
    gold_PK += rng.standard_normal((prompts, len(D_K))) - rng.standard_normal(
        (prompts, 1)
    )  # the start's luck is shared
    kl_PK = D_K**2 + D_K * rng.standard_normal((prompts, len(D_K)))
    proxy_PK = 1.2 * D_K - 0.1 * D_K * np.log(D_K) + 0.3 * rng.standard_normal((prompts, len(D_K)))
    return Way("policy", tuple(range(1, 8)), tuple(f"p{i}" for i in range(prompts)), kl_PK, proxy_PK, gold_PK)


def answers(rng: np.random.Generator, prompts: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and what is true of the answers: it rises with the score up to 1 and falls beyond."""
    proxy_PN = rng.standard_normal((prompts, n)) + rng.standard_normal((prompts, 1))
    own_PN = proxy_PN - proxy_PN.mean(axis=1, keepdims=True) if n > 1 else proxy_PN
    bend_P1 = np.exp(0.3 * rng.standard_normal((prompts, 1)))
    return proxy_PN, own_PN - bend_P1 * np.maximum(own_PN - 0.8, 0) ** 2 * 1.5 + 0.7 * rng.standard_normal((prompts, n))


def true_gains(rng: np.random.Generator, most: int) -> np.ndarray:
    """Gains of best of n over a lone answer in a world of very many prompts."""
    parts = []
    for _ in range(40):
        proxy_PN, gold_PN = answers(rng, 5000, most)
        parts.append([np.mean(best_of(proxy_PN, gold_PN, n)) - gold_PN.mean() for n in COUNTS])
    return np.mean(parts, axis=0)


def holds(interval: Interval | None, truth: float) -> bool:
    return interval is not None and interval.low <= truth <= interval.high


def peak_holds(found: Fit | None, truth: float) -> bool:
    """An end beyond all that was run is no end."""
    if found is None or found.peak is None:
        return False
    low, high = found.peak.low, found.peak.high
    return (low is None or low <= truth) and (high is None or truth <= high)


def of_policy(seed: int, prompts: int) -> dict[str, bool]:
    """Which intervals of one run hold the truth. The KL is an estimate too."""
    way = policy(np.random.default_rng(seed), prompts)
    found = overoptimised(way, FAST)
    true_K = curve("policy", ALPHA, BETA, D_K)
    assert found.gold is not None
    true_fall = float(np.mean(true_K[-1] - true_K[best_by_some(way)[0]]))
    return {
        "gold at a point": holds(found.points[3].gold, float(true_K[3])),
        "KL at a point": holds(found.points[3].kl, float(D_K[3] ** 2)),
        "α": holds(found.gold.alpha, ALPHA),
        "β": holds(found.gold.beta, BETA),
        "peak": peak_holds(found.gold, float(np.exp(2 * (ALPHA / BETA - 1)))),
        "fall": holds(found.fall, true_fall),
    }


def of_best(truth_K: np.ndarray) -> Callable[[int, int], dict[str, bool]]:
    """The same of best of n, held against α and β of the true gains."""
    d_K = np.sqrt([np.log(n) - (n - 1) / n for n in COUNTS])
    best = least_squares("best_of", d_K[None], truth_K[None])
    [top] = peak_of("best_of", best)

    def one(seed: int, prompts: int) -> dict[str, bool]:
        rng = np.random.default_rng(seed)
        way = way_of_best([f"p{i}" for i in range(prompts)], *answers(rng, prompts, 2 * COUNTS[-1]), COUNTS)
        found = overoptimised(way, FAST)
        assert found.gold is not None
        return {
            "gold at a point": holds(found.points[3].gold, float(truth_K[3])),
            "α": holds(found.gold.alpha, float(best[0, 0])),
            "β": holds(found.gold.beta, float(best[0, 1])),
            "peak": peak_holds(found.gold, float(top**2)),
        }

    return one


def of_length(seed: int, prompts: int) -> dict[str, bool]:
    """Scores of four answers to each prompt that go with length a little, prompts each with a level of their own:
    within a prompt the correlation is 0.4, where x has variance 1 and y = 0.4 x + √(1 − 0.16) e."""
    rng = np.random.default_rng(seed)
    answers = [Completion.make(f"p{p}", "x", "sft", nth) for p in range(prompts) for nth in range(4)]
    level_N = np.repeat(rng.standard_normal(prompts), 4)
    x_N = rng.standard_normal(4 * prompts)
    y_N = 0.4 * x_N + np.sqrt(0.84) * rng.standard_normal(4 * prompts)
    value, length = ({a.id: float(v) for a, v in zip(answers, z_N, strict=True)} for z_N in (y_N, x_N))
    value, length = ({a.id: of[a.id] + level_N[i] for i, a in enumerate(answers)} for of in (value, length))
    found = correlation(answers, value, length, "pearson", FAST)
    return {"correlation": holds(found, 0.4)}


def coverage(one: Callable[[int, int], dict[str, bool]], worlds: int, prompts: int) -> dict[str, float]:
    held: Counter[str] = Counter()
    for seed in range(worlds):
        held.update({name: int(yes) for name, yes in one(seed, prompts).items()})
    return {name: held[name] / worlds for name in held}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--worlds", type=int, default=1000)
    worlds = asked.parse_args().worlds
    truth_K = true_gains(np.random.default_rng(10**6), 2 * COUNTS[-1])
    print(f"{worlds} worlds each; share of 95 % intervals that hold the truth\n")
    print("| way | prompts | " + " | ".join(of_policy(0, 100)) + " |\n|---|---|" + "---|" * 6)
    for name, one in (("a policy", of_policy), ("best of n", of_best(truth_K))):
        for prompts in (100, 400):
            begun = time.monotonic()
            found = coverage(one, worlds, prompts)
            told = " | ".join(f"{100 * found[key]:.1f}" if key in found else "–" for key in of_policy(0, 100))
            print(f"| {name} | {prompts} | {told} | ({time.monotonic() - begun:.0f} s)")
    for prompts in (30, 300):
        [share] = coverage(of_length, worlds, prompts).values()
        print(f"\nscore and length, {prompts} prompts of four answers: {100 * share:.1f}")


if __name__ == "__main__":
    main()
