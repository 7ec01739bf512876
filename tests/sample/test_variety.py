"""Runs of three tokens that are different, of all that were said."""

from biddable.sample.variety import distinct


def test_by_hand():
    """abca and abc: runs abc, bca and abc, two of three are different."""
    assert distinct([[1, 2, 3, 1], [1, 2, 3]]) == 2 / 3


def test_what_repeats_itself_and_what_repeats_another_are_less_distinct():
    assert distinct([[5] * 12]) == 1 / 10
    assert distinct([[1, 2, 3, 4]] * 10) == 1 / 10
    assert distinct([[n, n + 1, n + 2] for n in range(10)]) == 1


def test_a_short_answer_is_one_run_and_not_the_same_as_a_longer_one():
    assert distinct([[1], [1], [1, 2], [1, 2, 3]]) == 3 / 4
    assert distinct([[]]) == 1
