"""What people disagree about most, so that somebody may decide it."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from biddable.measure.agreement import meetings
from biddable.records import Ranking


class Dispute(NamedTuple):
    prompt_id: str
    people: int
    disagreement: float  # the mean of |a − b|/2 over pairs of people and of answers, each −1, 0 (a tie) or 1
    surprise: float | None  # of the reward model: the mean of −log σ(Δr) over the pairs that people decided

    @property
    def weight(self) -> float:
        """Disagreement, and at most half as much again for surprise: the order of the queue (ours)."""
        return self.disagreement + (min(self.surprise, 3) / 6 if self.surprise is not None else 0.0)


def disputes(rankings: Sequence[Ranking], rewards: Mapping[str, float]) -> list[Dispute]:
    """Prompts of which people said different things, those that most need a word first."""
    apart: dict[str, list[float]] = defaultdict(list)
    for met in meetings(rankings):
        apart[met.prompt_id].append(abs(met.one - met.other) / 2)
    by_prompt: dict[str, list[Ranking]] = defaultdict(list)
    for ranking in rankings:
        by_prompt[ranking.prompt_id].append(ranking)
    found = [
        Dispute(name, len(by_prompt[name]), sum(some) / len(some), surprise(by_prompt[name], rewards))
        for name, some in apart.items()
        if any(some)
    ]
    return sorted(found, key=lambda one: (-one.weight, one.prompt_id))


def surprise(rankings: Sequence[Ranking], rewards: Mapping[str, float]) -> float | None:
    """Mean −log σ(r_winner − r_loser); nothing where no pair has two scores."""
    gaps = [
        rewards[pair.winner] - rewards[pair.loser]
        for ranking in rankings
        for pair in ranking.comparisons()
        if pair.winner in rewards and pair.loser in rewards
    ]
    if not gaps:
        return None
    # −log σ(x) = log(1 + e^−x), written so that no exponential overflows
    return sum(max(-gap, 0.0) + math.log1p(math.exp(-abs(gap))) for gap in gaps) / len(gaps)
