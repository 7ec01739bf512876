"""What hidden checks say of a person: a sequential test, which decides as soon as it can and not before."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Word = Literal["good", "doubtful", "go on"]

GOOD, BAD = 0.85, 0.65  # the share of checks that a good, and a doubtful, labeler gets right
ALPHA, BETA = 0.05, 0.1  # how often a good one is called doubtful, and a doubtful one good, at most about


class Verdict(NamedTuple):
    word: Word
    right: int
    seen: int
    decided_after: int | None


def sequential(rights: Iterable[bool]) -> Verdict:
    """Wald's sequential probability ratio test (1945) of doubtful (p₁ = 0.65) against good (p₀ = 0.85).

    After each check Λ grows by ln p₁/p₀ when right and ln (1−p₁)/(1−p₀) when wrong; Λ ≥ ln (1−β)/α says doubtful,
    Λ ≤ ln β/(1−α) says good. The first decision stands."""
    upper, lower = math.log((1 - BETA) / ALPHA), math.log(BETA / (1 - ALPHA))
    right, seen, ratio = 0, 0, 0.0
    word: Word = "go on"
    after = None
    for one in rights:
        seen += 1
        right += one
        ratio += math.log(BAD / GOOD) if one else math.log((1 - BAD) / (1 - GOOD))
        if after is None and (ratio >= upper or ratio <= lower):
            word, after = ("doubtful" if ratio >= upper else "good"), seen
    return Verdict(word, right, seen, after)


ENOUGH = 0.75  # of a ranking's decided pairs, so that it counts as right


def matches(known: Sequence[Sequence[str]], said: Sequence[Sequence[str]]) -> bool:
    """Whether a ranking orders three in four of the known one's decided pairs the same way; a tie is a half."""
    credit, pairs = overlap(known, said)
    return pairs > 0 and credit / pairs >= ENOUGH


def overlap(known: Sequence[Sequence[str]], said: Sequence[Sequence[str]]) -> tuple[float, int]:
    """Credit, and of how many pairs that are decided in `known`: 1 the same, ½ a tie, 0 turned round."""
    place = {name: n for n, tier in enumerate(said) for name in tier}
    credit, pairs = 0.0, 0
    for n, better in enumerate(known):
        for worse in known[n + 1 :]:
            for a in better:
                for b in worse:
                    if a in place and b in place:
                        pairs += 1
                        credit += 1.0 if place[a] < place[b] else 0.5 if place[a] == place[b] else 0.0
    return credit, pairs
