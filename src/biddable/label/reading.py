"""What a kept answer says, read back from its body: the ranking and the flags, by the ids of what was shown."""

import json
from collections.abc import Sequence
from typing import Any

from biddable.label.forms import LETTERS

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


def written(body: str) -> str:
    """The text of a demonstration."""
    return json.loads(body).get("text", "")
