"""Near-duplicates: cases by hand, and the definition as it is written, over all pairs."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biddable.gather.duplicates import Seen, normal


def verdicts(texts: list[str], share: float = 0.8, chars: int = 10) -> list[str]:
    seen = Seen(share, chars)
    return [seen.add(text) for text in texts]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("Who has a goat?", "who  has\na GOAT?", "duplicate"),  # but for case and white space
        ("ﬁne goats, ｙｅｓ", "fine goats, yes", "duplicate"),  # NFKC
        ("write a story about a fox", "write a story about a fox, please.", "near_duplicate"),  # all of the shorter one
        ("write a story about a fox, please.", "write a story about a fox", "near_duplicate"),
        ("0123456789", "01234567xx", "new"),  # 8 of 10 are shared: most of it, but fewer than 10 characters
        ("0123456789ab", "0123456789cd", "near_duplicate"),  # 10 of 12 ≥ 0.8
        ("0123456789abc", "0123456789def", "new"),  # 10 of 13 < 0.8
        ("0123456789abc", "0123456789", "near_duplicate"),  # 10 of the shorter one's 10
        ("goat", "goats", "new"),  # too short to be near anything
        ("goat", "goat", "duplicate"),
        ("a fox who writes a story", "write a story about a fox", "new"),  # only the beginning counts
    ],
)
def test_by_hand(first, second, expected):
    assert verdicts([first, second]) == ["new", expected]


def test_the_first_stays_and_what_went_does_not_count():
    # The third is near the second alone (30 of 33 characters), which went.
    one, two, three = "a" * 20, "a" * 20 + "b" * 13, "a" * 19 + "c" * 20
    assert verdicts([one, two]) == ["new", "near_duplicate"]
    assert verdicts([two, three]) == ["new", "new"]
    assert verdicts([one, two, three])[2] == "near_duplicate"  # 19 of the first one's 20
    assert verdicts([two, one, three]) == ["new", "near_duplicate", "new"]


def by_definition(texts: list[str], share: float, chars: int) -> list[str]:
    """The definition, all pairs: common prefix ≥ chars, and ≥ share of the shorter one."""
    kept: list[str] = []
    said = []
    for text in map(normal, texts):
        if text in kept:
            said.append("duplicate")
            continue
        shared = [
            (
                len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(text, other, strict=False)))),
                min(len(text), len(other)),
            )
            for other in kept
        ]
        near = any(common >= max(math.ceil(share * shorter), chars) for common, shorter in shared)
        said.append("near_duplicate" if near else "new")
        if not near:
            kept.append(text)
    return said


@given(
    st.lists(st.text("ab", max_size=9), max_size=25),
    st.sampled_from([0.3, 0.5, 0.75, 0.9, 1.0]),
    st.integers(1, 5),
)
def test_as_it_is_defined(texts, share, chars):
    assert verdicts(texts, share, chars) == by_definition(texts, share, chars)


def test_as_it_is_defined_on_longer_texts():
    rng = random.Random(0)
    templates = ["".join(rng.choices("abc ", k=rng.randint(5, 40))) for _ in range(12)]
    texts = [rng.choice(templates) + "".join(rng.choices("abc", k=rng.randint(0, 12))) for _ in range(400)]
    said = verdicts(texts, 0.8, 10)
    assert said == by_definition(texts, 0.8, 10)
    assert len(set(said)) == 3  # else this test says little
