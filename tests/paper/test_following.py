"""The pages on following a reward model say what was planted: on worlds where it is so, and where it is not."""

import numpy as np
import pytest

from biddable.measure.interval import Interval
from biddable.measure.leaning import Leaning
from biddable.measure.overoptimised import Changes, Way, best_of_kl, curve
from biddable.measure.reward import Margins
from biddable.paper import followed
from biddable.paper.drawing import draw
from biddable.paper.figure import DIFFERS, OPEN, SAME, Figure, Table
from biddable.paper.figures import ensemble, length, overoptimisation

PROMPTS = tuple(f"p{i:03}" for i in range(120))
D_K = np.array([0.6, 1.2, 2.0, 3.0, 4.0])


def policy(beta: float, seed: int = 0, end: float = 4.0, noise: float = 0.4) -> Way:
    """Gold along d(1 − β log d), the proxy straight up, and a prompt's own luck."""
    rng = np.random.default_rng(seed)
    d_K = D_K * end / D_K[-1]
    luck_PK = noise * rng.standard_normal((2, len(PROMPTS), 5))
    proxy_PK = 0.5 * d_K + luck_PK[0]
    return Way(
        "policy", (5, 10, 15, 20, 25), PROMPTS, np.tile(d_K**2, (120, 1)), proxy_PK,
        curve("policy", 1.0, beta, d_K) + luck_PK[1],
    )  # fmt: skip


def best(gain: float, seed: int = 0) -> Way:
    rng = np.random.default_rng(seed)
    at = (2, 4, 8, 16)
    d_K = np.sqrt([best_of_kl(n) for n in at])
    gold_PK, proxy_PK = (g * d_K + 0.3 * rng.standard_normal((120, 4)) for g in (gain, 1.0))
    return Way("best_of", at, PROMPTS, np.tile(d_K**2, (120, 1)), proxy_PK, gold_PK)


def refusing(share: float, seed: int) -> followed.Along:
    """Nobody at the start, and so many at the end."""
    refuses_P = (np.random.default_rng(seed).permutation(120) < 120 * share).astype(float)
    return followed.Along(PROMPTS, {0: np.zeros(120), 25: refuses_P})


def even(runs: int) -> list[followed.Along]:
    """As many begin to refuse as cease to."""
    turned_P = np.where(np.arange(120) < 20, 1.0, 0.0), np.where(np.arange(120) >= 100, 1.0, 0.0)
    return [followed.Along(PROMPTS, {0: turned_P[0], 25: turned_P[1]})] * runs


def verdicts(figure: Figure) -> list[str]:
    return [claim.verdict for claim in figure.claims]


def test_runs_that_fall_and_a_penalty_that_holds_are_told_as_such():
    ways = overoptimisation.Ways(
        [policy(1.0, 1), policy(1.0, 2), policy(1.0, 3)],
        {0.1: policy(1.0, 4, end=1.5)},
        {200: best(0.5, 5), 3000: best(1.0, 6)},
        [refusing(0.12, seed) for seed in (1, 2, 3)],
        {0.1: refusing(0.0, 4)},
    )
    found = overoptimisation.figure(ways)
    assert verdicts(found) == [SAME] * 5
    assert "3 of 3 runs without a penalty show gold falling" in found.tunnel[1]
    [fits] = [one for one in found.shows if isinstance(one, Table)]
    rows = {row[0]: row[1:] for row in fits.rows}
    peak = float(rows["without a KL penalty, run 1, the truth"][2].split()[0])
    assert peak == pytest.approx(1, abs=0.1)  # exp(2(1/1 − 1)) nats
    assert rows["without a KL penalty, run 1, reward model"][2] == "none within what was run"
    assert set(rows) >= {"with β = 0.1, the truth", "best of n, 200 rankings, reward model"}
    assert "svg" in draw(found)


def test_runs_that_do_not_fall_are_told_too():
    ways = overoptimisation.Ways(
        [policy(0.1, 1), policy(0.1, 2)], {}, {200: best(1.0, 5), 3000: best(0.5, 6)}, even(2), {}
    )
    found = overoptimisation.figure(ways)
    assert verdicts(found) == [
        OPEN,
        OPEN,
        OPEN,
        DIFFERS,
    ]  # it is best at the end: there is no change from there to there
    assert found.claims[0].ours.value == 0
    assert "0 of 2 runs" in found.tunnel[1]


def test_one_run_of_three_that_falls_is_not_three():
    """On average gold fell; the runs differ so much that nobody can tell."""
    ways = overoptimisation.Ways(
        [policy(2.0, 1), policy(0.05, 2), policy(0.05, 3)], {}, {3000: best(1.0, 6)}, even(3), {}
    )
    found = overoptimisation.figure(ways)
    assert found.claims[0].ours.value < -0.3
    assert verdicts(found)[0] == OPEN
    assert "1 of 3 runs" in found.tunnel[1]
    assert len(found.claims) == 3  # one number of rankings is no comparison


# Ensembles


def pairs(right: float, known: bool, seed: int = 0) -> Margins:
    """Pairs foreseen rightly so often; the spread is larger where they are not, or says nothing."""
    rng = np.random.default_rng(seed)
    margin_N = np.where(rng.random(len(PROMPTS) * 3) < right, 1.0, -1.0) * rng.exponential(1.0, len(PROMPTS) * 3)
    spread_N = rng.exponential(1.0, len(margin_N)) + (2.0 * (margin_N < 0) if known else 0)
    return Margins(margin_N, tuple(np.repeat(PROMPTS, 3).tolist()), ("ann",) * len(margin_N), spread_N)


def test_an_ensemble_that_helps_and_one_that_does_not():
    rng = np.random.default_rng(0)
    down_P, up_P = (0.5 * sign + 0.5 * rng.standard_normal(120) for sign in (-1, 1))
    falls, rises = ([Changes(PROMPTS, up_P, some_P) for some_P in (x_P, x_P[::-1])] for x_P in (down_P, up_P))
    helps = ensemble.Found(
        [best(0.5, 1), best(0.5, 2)], {name: best(1.0, nth) for nth, name in enumerate(ensemble.HOW, start=3)},
        [pairs(0.6, True), pairs(0.6, True)], pairs(0.9, True), falls, rises,
    )  # fmt: skip
    assert verdicts(ensemble.figure(helps)) == [SAME] * 6
    none = ensemble.Found(
        [best(1.0, 1), best(1.0, 2)], {name: best(0.5, nth) for nth, name in enumerate(ensemble.HOW, start=3)},
        [pairs(0.7, False)] * 2, pairs(0.7, False), rises, falls,
    )  # fmt: skip
    found = ensemble.figure(none)
    assert verdicts(found) == [DIFFERS, DIFFERS, OPEN, OPEN, DIFFERS, DIFFERS]
    assert "svg" in draw(found)


# Length


def leaning(model: float, people: float, correlation: float) -> Leaning:
    def of(value: float, half: float = 0.05) -> Interval:
        return Interval(value=value, low=value - half, high=value + half, n=100)

    return Leaning(
        spearman=of(correlation), pearson=of(correlation), model=of(model), people=of(people),
        more=of(model - people), right_longer=of(0.8), right_shorter=of(0.6),
    )  # fmt: skip


def said(words: float, seed: int = 0) -> followed.Along:
    rng = np.random.default_rng(seed)
    start_P = 10 + rng.standard_normal(120)
    return followed.Along(PROMPTS, {0: start_P, 5: start_P + words / 2, 10: start_P + words + rng.standard_normal(120)})


def test_a_model_that_pays_for_length_and_one_that_does_not():
    pays = length.figure(
        leaning(0.8, 0.55, 0.4), leaning(0.5, 0.5, 0.0), [said(4, 1), said(4.2, 2), said(4.1, 3)], {0.1: said(1)}
    )
    assert verdicts(pays) == [SAME] * 3
    honest = length.figure(
        leaning(0.45, 0.55, -0.4), leaning(0.5, 0.5, 0.0), [said(-4, 1), said(-4.2, 2), said(-4.1, 3)], {}
    )
    assert verdicts(honest) == [DIFFERS] * 3
    even = length.figure(leaning(0.55, 0.55, 0.0), leaning(0.5, 0.5, 0.0), [said(3, 1), said(-3, 2)], {})
    assert verdicts(even) == [OPEN] * 3
    assert "svg" in draw(pays)


def test_where_nobody_ranked_answers_of_unlike_length_only_policies_are_told():
    none = Leaning(spearman=None, pearson=None)
    found = length.figure(none, none, [said(4, 1), said(5, 2)], {})
    assert len(found.claims) == 1
