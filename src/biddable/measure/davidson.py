"""Many models on one scale, out of who was preferred to whom (Bradley and Terry 1952; with ties Davidson 1970).

Shape suffixes: N verdicts, M models, C pairs of models that met, O outcomes of a pair (first better, second better,
tie), T what is fitted (a score for each model but the first, then the log of ν where there are ties).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field
from scipy.optimize import linprog
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import softmax

from biddable.measure.interval import DEFAULT, Bootstrap, Floats, Interval, Ints, bootstrap
from biddable.measure.weighted import weight
from biddable.records import Record, Verdict

TOLERANCE = 1e-10  # of the gradient a verdict
MOST_STEPS = 200
Z = 1.96


class Place(Record):
    """Where a model stands: its score above the baseline's in log-odds, and how often it would be preferred to the
    baseline. The baseline itself has no interval: it is what the others are measured from."""

    score: Interval
    preferred: Interval


class Scale(Record):
    """Models that can be compared with one another, directly or by way of others."""

    baseline: str
    places: dict[str, Place]
    tie: float = 0.0  # ν: two equal models tie in ν/(2+ν) of verdicts
    foreseen: dict[str, float] = Field(default_factory=dict)  # `a_vs_b` → its win rate by the scale, a tie half
    held: bool = False  # somebody was never beaten or never won: half a win each way was added to every pair that met
    verdicts: int = 0


class Met(NamedTuple):
    """Verdicts as numbers, each about the pair `pair_N` of `pairs`, and which outcome it had."""

    models: tuple[str, ...]
    pairs: Ints  # (C, 2), the smaller code first
    pair_N: Ints
    outcome_N: Ints
    weight_N: Floats
    prompts: list[str]
    people: list[str]

    def counts(self) -> Floats:
        """(C, O), each verdict as its weight."""
        flat = self.pair_N * 3 + self.outcome_N
        counted = np.bincount(flat, weights=self.weight_N, minlength=3 * len(self.pairs))
        return counted.reshape(-1, 3).astype(np.float64)


def met(verdicts: Iterable[Verdict], models: Mapping[str, str]) -> Met:
    """Verdicts between two different models, in the order of the models' names."""
    sides = ((v, models.get(v.a), models.get(v.b)) for v in verdicts)
    # A model against itself says nothing of any other.
    kept = [(v, a, b) for v, a, b in sides if a is not None and b is not None and a != b]
    names = tuple(sorted({name for _, *both in kept for name in both}))
    place = {name: code for code, name in enumerate(names)}
    pairs = sorted({tuple(sorted((place[a], place[b]))) for _, a, b in kept})
    number = {pair: code for code, pair in enumerate(pairs)}
    pair_N, outcome_N = [], []
    for verdict, a, b in kept:
        pair = tuple(sorted((place[a], place[b])))
        pair_N.append(number[pair])
        winner = {"a": place[a], "b": place[b]}.get(verdict.better)
        outcome_N.append(2 if winner is None else pair.index(winner))
    return Met(
        names, np.array(pairs, dtype=np.intp).reshape(-1, 2), np.array(pair_N, dtype=np.intp),
        np.array(outcome_N, dtype=np.intp), np.array([weight(v) for v, _, _ in kept]),
        [v.prompt_id for v, _, _ in kept], [v.labeler or v.judge for v, _, _ in kept],
    )  # fmt: skip


def islands(names: Sequence[str], pairs: Ints) -> list[tuple[str, ...]]:
    """Models that met, directly or by way of others: only these can stand on one scale. The largest first."""
    one = np.ones(len(pairs))
    graph = coo_array((one, (pairs[:, 0], pairs[:, 1])), shape=(len(names), len(names)))
    count, label_M = connected_components(graph, directed=False)
    found = [tuple(name for name, of in zip(names, label_M, strict=True) if of == one) for one in range(count)]
    return sorted(found, key=lambda some: (-len(some), some))


def design(pairs: Ints, models: int, ties: bool) -> Floats:
    """(C, O, T): what the log-strength of each outcome is made of. Davidson 1970, eqs. 2.3–2.4, as a softmax of
    β_i, β_j and log ν + (β_i + β_j)/2, with β of the first model 0. Without ties the third column is not used."""
    one_MT = np.eye(models, models + ties)
    first_CT, second_CT = one_MT[pairs[:, 0]], one_MT[pairs[:, 1]]
    tie_CT = (first_CT + second_CT) / 2
    if ties:
        tie_CT[:, -1] = 1
    outcomes = [first_CT, second_CT, tie_CT] if ties else [first_CT, second_CT]
    return np.stack(outcomes, axis=1)[:, :, 1:]


def is_finite(count_CO: Floats, design_COT: Floats) -> bool:
    """Whether the likelihood has its one highest point at finite scores (Ford 1957; with ties a cycle of wins is not
    enough: one who won once and tied once against another has no finite place).

    It has none when some direction makes no outcome that was seen less likely and some more so; a linear programme
    finds it (Albert and Anderson 1984)."""
    seen_CO = count_CO[:, : design_COT.shape[1]] > 0
    worse = [
        seen - other
        for c, row in enumerate(seen_CO)
        for o in np.flatnonzero(row)
        for p in range(design_COT.shape[1])
        if p != o
        for seen, other in [(design_COT[c, o], design_COT[c, p])]
    ]
    rows = np.array(worse)
    found = linprog(-rows.sum(axis=0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1), method="highs")
    assert found.status == 0, found.message  # 0 is a solution, so there is one
    return bool(-found.fun < 1e-9 and np.linalg.matrix_rank(rows) == rows.shape[1])


def fit(count_CO: Floats, design_COT: Floats) -> tuple[Floats, Floats]:
    """The scores of the highest likelihood, and the information there: Newton's steps, halved where they overshoot.

    The log-likelihood Σ n log softmax is concave, so where the gradient is 0 it is highest."""
    count_CO = count_CO[:, : design_COT.shape[1]]
    theta_T = np.zeros(design_COT.shape[2])
    total = count_CO.sum()
    for _ in range(MOST_STEPS):
        chance_CO = softmax(design_COT @ theta_T, axis=1)
        expected_CO = count_CO.sum(axis=1, keepdims=True) * chance_CO
        gradient_T = np.einsum("co,cot->t", count_CO - expected_CO, design_COT)
        information_TT = _information(expected_CO, chance_CO, design_COT)
        if np.max(np.abs(gradient_T), initial=0) <= TOLERANCE * total:
            return theta_T, information_TT
        step_T, before = np.linalg.solve(information_TT, gradient_T), _likelihood(count_CO, design_COT, theta_T)
        while _likelihood(count_CO, design_COT, theta_T + step_T) < before - 1e-12 * total:
            step_T /= 2
        theta_T = theta_T + step_T
    raise ArithmeticError(f"the scale has no highest likelihood after {MOST_STEPS} steps; is_finite was not asked")


def _information(expected_CO: Floats, chance_CO: Floats, design_COT: Floats) -> Floats:
    mean_CT = np.einsum("co,cot->ct", chance_CO, design_COT)
    second_TT = np.einsum("co,cot,cou->tu", expected_CO, design_COT, design_COT)
    return second_TT - np.einsum("c,ct,cu->tu", expected_CO.sum(axis=1), mean_CT, mean_CT)


def _likelihood(count_CO: Floats, design_COT: Floats, theta_T: Floats) -> float:
    strength_CO = design_COT @ theta_T
    highest_C = strength_CO.max(axis=1, keepdims=True)
    log_CO = strength_CO - highest_C - np.log(np.exp(strength_CO - highest_C).sum(axis=1, keepdims=True))
    return float(np.sum(count_CO * log_CO))


def rate(score: Floats | float, tie: float) -> Floats | float:
    """How often a model with this score above the other's is preferred, a tie half: p = (e^{Δ/2} + ν/2) / (e^{Δ/2} +
    e^{−Δ/2} + ν)."""
    up, down = np.exp(np.asarray(score) / 2), np.exp(-np.asarray(score) / 2)
    return (up + tie / 2) / (up + down + tie)


def scales(
    verdicts: Iterable[Verdict], models: Mapping[str, str], baseline: str, how: Bootstrap = DEFAULT
) -> list[Scale]:
    """One scale for all models that met; several where some cannot be compared with others, the largest first. Each
    stands above `baseline`, or above its first model where the baseline is not among them."""
    seen = list(verdicts)
    found = met(seen, models)
    return [
        _scale([v for v in seen if models.get(v.a) in names and models.get(v.b) in names], models,
               baseline if baseline in names else names[0], how)
        for names in islands(found.models, found.pairs)
    ]  # fmt: skip


def _scale(verdicts: Sequence[Verdict], models: Mapping[str, str], baseline: str, how: Bootstrap) -> Scale:
    # "" sorts first, so that the baseline is the model whose score is 0.
    found = met(verdicts, {c: "" if name == baseline else name for c, name in models.items()})
    counts_CO = found.counts()
    ties = bool(counts_CO[:, 2].any())
    columns_COT = design(found.pairs, len(found.models), ties)
    held = not is_finite(counts_CO, columns_COT)
    if held:
        counts_CO = counts_CO + np.array([0.5, 0.5, 0.5 if ties else 0.0])
    theta_T, information_TT = fit(counts_CO, columns_COT)
    pull_NT = pulls(found, columns_COT, theta_T, information_TT)
    tie = float(np.exp(theta_T[-1])) if ties else 0.0
    places = {baseline: _at(0.0, 0.0, 0.0, tie, len(pull_NT))}
    error_T = np.sqrt(np.diag(np.linalg.inv(information_TT)))
    for t, name in enumerate(found.models[1:]):
        own_N = theta_T[t] + pull_NT[:, t] - pull_NT[:, t].mean()
        wide = bootstrap(own_N, found.prompts, found.people, how, bounds=(-np.inf, np.inf))
        low, high = wide.low, wide.high
        if held:  # what is seen hardly varies, which is no certainty
            low, high = min(low, theta_T[t] - Z * error_T[t]), max(high, theta_T[t] + Z * error_T[t])
        n = int(np.count_nonzero(found.pairs[found.pair_N] == t + 1))
        places[name] = _at(float(theta_T[t]), float(low), float(high), tie, n)
    score_M = np.concatenate([[0.0], theta_T[: len(found.models) - 1]])
    names = (baseline, *found.models[1:])
    foreseen = {f"{names[a]}_vs_{names[b]}": float(rate(score_M[a] - score_M[b], tie)) for a, b in found.pairs.tolist()}
    return Scale(
        baseline=baseline, places=places, tie=tie, foreseen=foreseen, held=held, verdicts=len(found.pair_N)
    )  # fmt: skip


def pulls(found: Met, columns_COT: Floats, theta_T: Floats, information_TT: Floats) -> Floats:
    """N · I⁻¹ s_n: how far each verdict pulls what is fitted. θ + pull is one number a verdict whose mean is θ, so
    `bootstrap` draws prompts and labelers again as it does for any mean (a bootstrap of one Newton step: Kline and
    Santos 2012), and no draw in which somebody never loses sends a score to infinity."""
    chance_CO = softmax(columns_COT @ theta_T, axis=1)
    mean_CT = np.einsum("co,cot->ct", chance_CO, columns_COT)
    score_NT = columns_COT[found.pair_N, found.outcome_N] - mean_CT[found.pair_N]
    return len(found.pair_N) * np.linalg.solve(information_TT, (found.weight_N[:, None] * score_NT).T).T


def _at(score: float, low: float, high: float, tie: float, n: int) -> Place:
    """Both ways to say it: `rate` rises with the score, so the ends of the one are those of the other."""
    ends = [float(rate(x, tie)) for x in (score, low, high)]
    return Place(
        score=Interval(value=score, low=low, high=high, n=n),
        preferred=Interval(value=ends[0], low=ends[1], high=ends[2], n=n),
    )
