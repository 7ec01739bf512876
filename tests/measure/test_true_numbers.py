"""In worlds whose truth is planted, intervals hold it as often as they say, and faults are found and not made up."""

import numpy as np
import pytest
import worlds

from biddable.measure.shares import share

WORLDS = 500  # of a 95 % interval, 95 ± 1.0 of 100: outside 93 to 97 once in 20, and by how much more is no accident


def test_intervals_hold_the_planted_truth():
    found = worlds.coverage(WORLDS)
    assert len(found) == 8
    assert {what: share for what, share in found.items() if not 0.93 <= share <= 0.97} == {}


def test_an_interval_for_other_people_holds_their_truth_and_one_over_prompts_alone_does_not():
    found = worlds.coverage_of_others(WORLDS)
    assert 0.93 <= found["prompts and people"] <= 0.97
    assert found["prompts alone"] < 0.85


def test_how_often_somebody_is_right_has_an_interval_that_holds_it():
    """Of 100 worlds 95 ± 2.2 of 100 at one standard error, were all people of a world right or wrong together."""
    found = worlds.coverage_of_skill(100)
    assert len(found) == len(worlds.SHAPES) + 1
    assert {what: share for what, share in found.items() if not 0.91 <= share <= 0.99} == {}


PLANTED = [fault for fault, (what, *_) in worlds.FAULTS.items() if what]


@pytest.mark.parametrize(("fault", "least"), list(zip(PLANTED, (0.95, 0.95, 0.95, 0.7, 0.8), strict=True)))
def test_a_planted_fault_is_found_in_a_thousand_rankings(fault, least):
    """Drift is told by two halves of what a person says beside others, and takes the most rankings."""
    found = worlds.finding(60, fault, 4000)
    assert found.found >= least
    assert found.false <= 0.05


@pytest.mark.parametrize("none", ["none", "none, of two"])
def test_where_nobody_has_a_fault_hardly_anyone_is_marked(none):
    assert worlds.finding(WORLDS, none, 400).anyone <= 0.05


def test_the_planted_lean_is_as_large_as_its_name_says():
    rng = np.random.default_rng(4)
    of = worlds.with_fault(worlds.team(rng, worlds.PEOPLE), pull=0.3)
    assert worlds.truth_of(rng, of, 20_000).first[0] == pytest.approx(0.58, abs=0.01)
    _, sizes, k = worlds.FAULTS["of two, prefers the first shown in 58 %"]
    two = worlds.simulate(rng, worlds.with_fault(worlds.team(rng, worlds.PEOPLE), **sizes), 100_000, worlds.EACH, k)
    assert share(worlds.first(two)[0]).value == pytest.approx(0.58, abs=0.01)
    of = worlds.with_fault(worlds.team(rng, worlds.PEOPLE), stretch=0.6)
    assert worlds.truth_of(rng, of, 20_000).longer[0] == pytest.approx(0.60, abs=0.01)
