"""How many labels a wanted interval needs, and what they cost; how many more verdicts would settle a comparison."""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

from biddable.measure.interval import Floats, codes, persons, spread
from biddable.records import Record


class Plan(NamedTuple):
    pairs: int  # that would be needed if each were its own prompt
    prompts: int  # each done by two people
    labels: int  # rankings
    hours: float
    pay: float


def plan(
    half: float, share: float = 0.73, k: int = 4, within: float = 0.2, seconds: float = 120, hourly: float = 0,
    level: float = 0.95,
) -> Plan:  # fmt: skip
    """Prompts that two people must both rank so that agreement is known to ± `half`.

    A share needs n = z² p(1−p)/h² independent pairs. A prompt's m = K(K−1)/2 pairs are alike, with correlation ρ
    (`within`), so P = n (1 + (m−1) ρ)/m prompts (the design effect: Kish 1965)."""
    if not 0 < half < 0.5:
        raise ValueError("half: is between 0 and 0.5")
    if not 0 < share < 1 or not 0 <= within <= 1 or k < 2:
        raise ValueError("share is between 0 and 1, within from 0 to 1, and K at least 2")
    z = float(ndtri((1 + level) / 2))
    pairs = z * z * share * (1 - share) / half**2
    m = k * (k - 1) / 2
    prompts = math.ceil(pairs * (1 + (m - 1) * within) / m)
    hours = 2 * prompts * seconds / 3600
    return Plan(math.ceil(pairs), prompts, 2 * prompts, hours, hours * hourly)


class Parts(NamedTuple):
    """What the variance of a mean is made of. More verdicts on new prompts shrink the first, more people the second."""

    of_verdicts: float
    of_people: float
    design: float  # times that of as many verdicts, each by a person and on a prompt of its own
    labelers: float = 0.0  # V_labeler, which holds what people add and the noise of their verdicts
    people: int = 1


class Need(Record):
    """How many more verdicts would settle it, if they come as those before did: on new prompts, `same` by the same
    people and `new` where people are more in the same measure. None: no number would, or none is needed to be named."""

    half: float  # the wanted half-width
    power: float  # the wanted chance to see the difference that was seen
    narrow_same: int | None = None
    narrow_new: int | None = None
    seen_same: int | None = None
    seen_new: int | None = None
    design: float = 1.0


def parts(values: Sequence[float] | Floats, prompts: Sequence[Hashable], people: Sequence[Hashable]) -> Parts:
    """V = V_prompt + V_labeler − V_cell, as `interval.spread` counts it. What a labeler adds beyond the noise of their
    own verdicts, V_labeler − V_cell, stays when the same people are asked about more prompts."""
    value_N = np.asarray(values, dtype=float)
    prompt_N, prompt_count = codes(prompts)
    labeler_N, people_count = persons(people)
    alone = float(value_N.var(ddof=1)) / len(value_N) if len(value_N) > 1 else 0.0
    if prompt_count < 2 or alone == 0:
        return Parts(0.0, 0.0, 1.0)
    of_prompts = spread(value_N, prompt_N, prompt_count, None, 0).variance
    if people_count < 2:
        return Parts(of_prompts, 0.0, of_prompts / alone)
    whole = spread(value_N, prompt_N, prompt_count, labeler_N, people_count).variance
    of_people = max(0.0, min(whole - of_prompts, whole))
    by_labeler = spread(value_N, labeler_N, people_count, None, 0).variance
    return Parts(whole - of_people, of_people, whole / alone, by_labeler, people_count)


def need(
    values: Sequence[float] | Floats, prompts: Sequence[Hashable], people: Sequence[Hashable], half: float = 0.03,
    power: float = 0.8, level: float = 0.95,
) -> Need:  # fmt: skip
    """More verdicts until the interval is ± `half`, and until the difference from ½ that was seen would be found with
    chance `power`: q √V ≤ h and (q + z_power) √V ≤ |d|, with V = V_verdicts n/n′ + V_people. q is t's quantile with as
    many degrees as people leave, as in `interval.spread`; of one judge, or none but prompts, it is the normal curve's.

    The difference that was seen is as likely too large as too small, so the second is a guess; the first is not."""
    found, n = parts(values, prompts, people), len(values)
    seen, beyond = abs(float(np.mean(values)) - 0.5), float(ndtri(power))
    same, new = (found.of_verdicts, found.of_people), (found.of_verdicts + found.of_people, 0.0)

    def more(shrinks: float, stays: float, wanted: float, beyond: float, grow: bool = False) -> int | None:
        """The verdicts beyond these n, by bisection: whatever shrinks, more of it is never worse."""
        if shrinks == 0 and stays == 0:
            return None  # nothing varies yet: nothing is known of how much it will

        def enough(total: int) -> bool:
            variance = shrinks * n / total + stays
            of_labelers = stays + max(0.0, found.labelers - stays) * n / total
            people_then = found.people * (total / n if grow else 1)
            doubt = of_labelers**2 / (people_then - 1) if found.people > 1 else 0.0
            q = float(stdtrit(variance**2 / doubt, (1 + level) / 2) if doubt else ndtri((1 + level) / 2))
            return (q + beyond) * math.sqrt(variance) <= wanted

        low, high = n - 1, n
        while not enough(high):
            low, high = high, 2 * high
            if high > 1e9 * n:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high - n

    return Need(
        half=half,
        power=power,
        narrow_same=more(*same, half, 0.0),
        narrow_new=more(*new, half, 0.0, grow=True),
        seen_same=more(*same, seen, beyond),
        seen_new=more(*new, seen, beyond, grow=True),
        design=found.design,
    )
