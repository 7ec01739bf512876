"""How many labels a wanted interval needs, and what they cost."""

import math
from typing import NamedTuple

from scipy.special import ndtri


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
