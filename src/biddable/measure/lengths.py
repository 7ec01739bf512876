"""Whether the longer answer is preferred, and who would be preferred were both equally long.

Shape suffixes: N verdicts, F what is fitted (θ, φ).
"""

from collections.abc import Iterable, Mapping

import numpy as np
from scipy.special import expit

from biddable.measure.interval import DEFAULT, Bootstrap, Floats, Interval, bootstrap
from biddable.measure.weighted import weight
from biddable.measure.winrate import outcome
from biddable.records import Record, Verdict

FEWEST = 10  # verdicts, before a slope is fitted to them
MOST_STEPS = 60
FAR = 12.0  # log-odds that no slope comes to unless lengths alone tell who won


class Lengths(Record):
    """`equal`: the win rate at equal length. `longer`: how often the longer answer is preferred, ties left out."""

    equal: Interval | None = None
    slope: float | None = None  # φ: log-odds for an answer that is much longer
    longer: Interval | None = None
    ratio: float | None = None  # the model's answers are, in the median, so many times as long


def controlled(
    verdicts: Iterable[Verdict], models: Mapping[str, str], model: str, against: str, length: Mapping[str, int],
    how: Bootstrap = DEFAULT,
) -> Lengths:  # fmt: skip
    """logit P(model preferred) = θ + φ tanh(Δ/s), Δ the difference of lengths in characters, s its root mean square;
    the win rate at equal length is σ(θ) (Dubois, Galambosi, Liang and Hashimoto 2024, eq. 2, without their term of the
    prompt's difficulty, which many models' verdicts of each prompt would be needed for). A tie is half a win."""
    rows = [
        (v, value, own - other)
        for v in verdicts
        if (value := outcome(v, models, model, against, "half")) is not None
        for own, other in [(length[c] for c in ((v.a, v.b) if models[v.a] == model else (v.b, v.a)))]
    ]
    longer = longer_preferred((v for v, _, _ in rows), length, how)
    ratio = _ratio(rows, models, model, length)
    if len(rows) < FEWEST:
        return Lengths(longer=longer, ratio=ratio)
    value_N = np.array([value for _, value, _ in rows])
    gap_N = np.array([gap for _, _, gap in rows], dtype=float)
    column_NF = np.stack([np.ones(len(rows)), np.tanh(gap_N / (np.sqrt(np.mean(gap_N**2)) or 1.0))], axis=1)
    if np.ptp(column_NF[:, 1]) == 0:  # all equally long, or all longer by as much: no slope can be told
        return Lengths(longer=longer, ratio=ratio)
    weight_N = np.array([weight(v) for v, _, _ in rows])
    found = _logistic(column_NF, value_N, weight_N)
    if found is None:
        return Lengths(longer=longer, ratio=ratio)
    theta_F, pull_N = found
    who = [v.labeler or v.judge for v, _, _ in rows]
    wide = bootstrap(theta_F[0] + pull_N, [v.prompt_id for v, _, _ in rows], who, how, bounds=(-np.inf, np.inf))
    ends = {end: float(expit(getattr(wide, end))) for end in ("low", "high")}
    equal = Interval(value=float(expit(theta_F[0])), **ends, n=len(rows))
    return Lengths(equal=equal, slope=float(theta_F[1]), longer=longer, ratio=ratio)


def _logistic(column_NF: Floats, value_N: Floats, weight_N: Floats) -> tuple[Floats, Floats] | None:
    """θ and φ of the highest likelihood by Newton's steps, and how far each verdict pulls θ (as in `davidson.pulls`).
    Nothing where lengths alone tell who won: then there is no finite slope."""
    theta_F = np.zeros(2)
    for _ in range(MOST_STEPS):
        chance_N = expit(column_NF @ theta_F)
        score_NF = (weight_N * (value_N - chance_N))[:, None] * column_NF
        information_FF = (column_NF * (weight_N * chance_N * (1 - chance_N))[:, None]).T @ column_NF
        if np.max(np.abs(score_NF.sum(axis=0))) <= 1e-9 * weight_N.sum():
            return theta_F, len(value_N) * np.linalg.solve(information_FF, score_NF.T)[0]
        step_F = np.linalg.solve(information_FF, score_NF.sum(axis=0))
        theta_F = theta_F + step_F * min(1.0, 2.0 / np.max(np.abs(step_F)))  # a long step overshoots
        if np.max(np.abs(theta_F)) > FAR:
            return None
    return None


def longer_preferred(
    verdicts: Iterable[Verdict], length: Mapping[str, int], how: Bootstrap = DEFAULT
) -> Interval | None:
    """How often the longer of two answers is preferred, ties and equal lengths left out."""
    seen = [v for v in verdicts if v.better != "tie" and length[v.a] != length[v.b]]
    if not seen:
        return None
    values = [float((length[v.a] > length[v.b]) == (v.better == "a")) for v in seen]
    return bootstrap(values, [v.prompt_id for v in seen], [v.labeler or v.judge for v in seen], how)


def _ratio(rows: list, models: Mapping[str, str], model: str, length: Mapping[str, int]) -> float | None:
    pairs = {(v.a, v.b) if models[v.a] == model else (v.b, v.a) for v, _, _ in rows}
    ratios = [length[own] / length[other] for own, other in pairs if length[other]]
    return float(np.median(ratios)) if ratios else None
