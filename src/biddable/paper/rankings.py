"""Some of the walk's rankings as a file of their own, whole or as loose pairs."""

import random
from collections.abc import Iterable
from pathlib import Path

from biddable.quickstart.gates import of
from biddable.records import Ranking


def some(place: Path, count: int, draw: int = 0) -> list[Ranking]:
    """So many of a file's rankings by lot, or all of them; a smaller number of one draw is part of a larger one."""
    ranked = of(Ranking, place)
    random.Random(f"rankings {draw}").shuffle(ranked)
    return ranked[: count or None]


def loose(chosen: Iterable[Ranking]) -> list[Ranking]:
    """Every strict pair as a ranking of its own: shuffled, the pairs of one prompt fall into different batches."""
    return [
        Ranking(prompt_id=ranking.prompt_id, labeler=ranking.labeler, order=((pair.winner,), (pair.loser,)))
        for ranking in chosen
        for pair in ranking.comparisons()
    ]
