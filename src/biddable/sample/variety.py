"""How unlike answers are: a policy that found one thing that pays says it again and again."""

from collections.abc import Sequence

from biddable.text.tokenizer import Ids


def distinct(answers: Sequence[Ids], n: int = 3) -> float:
    """The share of different runs of n tokens among all of the answers (distinct-n: Li et al. 2016, section 5.1). It
    falls when answers repeat one another, and when one repeats itself. A shorter answer is one run. Of batches of one
    size only: the more there is, the more is said twice."""
    runs = [tuple(ids[at : at + n]) for ids in answers for at in range(max(1, len(ids) - n + 1))]
    return len(set(runs)) / len(runs)
