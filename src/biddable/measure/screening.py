"""The figures of a screening test (paper, App. B.1) that nothing else in this room has."""

from collections.abc import Sequence


def flag_agreement(flag: bool, others: Sequence[bool]) -> float | None:
    """Whether somebody flags what the majority of the researchers flags: 1 or 0. Nothing where these are divided, or
    where none of them has looked: there is nothing to agree with."""
    yes = sum(others)
    if 2 * yes == len(others):
        return None
    return float(flag == (2 * yes > len(others)))
