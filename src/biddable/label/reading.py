"""What a kept answer says, read back from its body: the ranking and the flags, by the ids of what was shown."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

from biddable.label.forms import LETTERS
from biddable.store.overlap import Said

Tiers = tuple[tuple[str, ...], ...]

# What marks speech as sensitive: it may cause strong feelings (paper, App. B.1).
SENSITIVE = (
    "sexual", "violent", "encourages_harm", "denigrates", "harmful_advice", "opinion", "moral_judgement",
)  # fmt: skip


def tiers(body: str, shown: Sequence[str]) -> Tiers:
    """The order of a ranking, or of a comparison; empty for other answers."""
    said = json.loads(body)
    if "better" in said:
        return _compared(said["better"], shown)
    return tuple(tuple(shown[LETTERS.index(letter)] for letter in tier) for tier in said.get("order", ()))


def _compared(better: str | None, shown: Sequence[str]) -> Tiers:
    if better is None:
        return (tuple(shown),)
    first = shown[LETTERS.index(better)]
    return (first,), tuple(name for name in shown if name != first)


def known(gold: str, shown: Sequence[str]) -> Tiers:
    """The order that a hidden check knows."""
    said = json.loads(gold)
    if isinstance(said, list):
        return tuple(tuple(tier) for tier in said)
    return (tuple(shown),) if said is None else ((said,), tuple(name for name in shown if name != said))


def flags(body: str, shown: Sequence[str]) -> dict[str, bool]:
    """Of each answer that was judged, whether it was said to be sensitive speech."""
    said: dict[str, dict[str, Any]] = json.loads(body).get("judgements", {})
    return {shown[LETTERS.index(letter)]: any(form.get(key) for key in SENSITIVE) for letter, form in said.items()}


def apart(said: Sequence[Said]) -> float:
    """How far answers to one task lie from one another, from 0 to 1: the mean, over pairs of people, of the share of
    pairs of answers that they order differently (a tie against a choice is half), or of ratings' distance, of 6."""
    told = [(json.loads(one.body), json.loads(one.shown)) for one in said]
    met = list(itertools.combinations([_signs(body, shown) | _ratings(body, shown) for body, shown in told], 2))
    gaps = [abs(one[key] - other[key]) for one, other in met for key in one.keys() & other.keys()]
    return sum(gaps) / len(gaps) if gaps else 0.0


def _signs(body: dict[str, Any], shown: Sequence[str]) -> dict[tuple[str, ...], float]:
    """0, ½ or 1 of each pair of answers: the second is better, neither, the first."""
    order = tiers(json.dumps(body), shown)
    place = {name: n for n, tier in enumerate(order) for name in tier}
    pairs = itertools.combinations(sorted(place), 2)
    return {(a, b): ((place[b] > place[a]) - (place[b] < place[a]) + 1) / 2 for a, b in pairs}


def _ratings(body: dict[str, Any], shown: Sequence[str]) -> dict[tuple[str, ...], float]:
    """Of what is judged and not ranked: 0 to 1."""
    if "order" in body:
        return {}
    judged = body.get("judgements", {})
    return {(shown[LETTERS.index(letter)],): (form["overall"] - 1) / 6 for letter, form in judged.items()}


def judged_right(gold: str, body: str, shown: Sequence[str]) -> bool:
    """Of a hidden check to judge: the rating within a point, and the same said of whether the task was failed and
    whether it is sensitive speech."""
    known = json.loads(gold)
    ((letter, said),) = json.loads(body)["judgements"].items()
    sensitive = any(known.get(key) for key in SENSITIVE)
    return (
        abs(said["overall"] - known["overall"]) <= 1
        and bool(said["fails_task"]) == bool(known.get("fails_task"))
        and flags(body, shown)[shown[LETTERS.index(letter)]] == sensitive
    )


def written(body: str) -> str:
    """The text of a demonstration."""
    return json.loads(body).get("text", "")
