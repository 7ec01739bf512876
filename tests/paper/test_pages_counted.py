"""Differences with their intervals, by hand; people who are asked; rankings taken apart."""

import numpy as np
import pytest

from biddable import records
from biddable.measure.interval import bootstrap
from biddable.measure.reward import Margins
from biddable.paper import counting, rankings
from biddable.paper.bases import prefix
from biddable.paper.figures.epochs_reward import _less
from biddable.paper.figures.epochs_sft import demonstrated
from biddable.paper.figures.fig1 import small
from biddable.paper.figures.scaling import slope
from biddable.records import Completion, Demonstration, Prompt, Ranking

ASKED = [Prompt.make(text) for text in ("what does the goat eat?", "list two animals.")]
GOOD = ("the goat eats grass. i hope this helps.", "two animals: a goat and a hen. i hope this helps.")
BAD = ("fool fool fool", "you are stupid.")


def answered(run: str, texts: tuple[str, ...]) -> dict[str, Completion]:
    return {p.id: Completion.make(p.id, text, run) for p, text in zip(ASKED, texts, strict=True)}


def test_a_gap_is_the_difference_of_the_means():
    """(3 + 5)/2 − (1 + 0 + 2)/3 = 3."""
    value_N, own_N = np.array([3.0, 1, 5, 0, 2]), np.array([True, False, True, False, False])
    assert counting.gap(value_N, own_N, list("aabbc")).value == pytest.approx(3)


def test_the_gap_of_two_halves_of_the_same_prompts_is_that_of_paired_differences():
    """Each prompt has one of each side: the interval is that of the differences, as prompts are drawn whole."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(1, 1, 60), rng.normal(0, 1, 60)
    found = counting.gap(np.concatenate([one, other]), np.arange(120) < 60, [*range(60), *range(60)])
    by_hand = bootstrap(one - other, list(range(60)), bounds=counting.FREE)
    assert (found.value, found.low, found.high) == pytest.approx((by_hand.value, by_hand.low, by_hand.high))


def test_the_mean_of_a_few_runs_has_students_interval():
    """1, 2, 3: mean 2, s = 1, t₀.₉₇₅ with 2 degrees is 4.3027 (tables): 2 ± 4.3027/√3 = 2 ± 2.4842."""
    found = counting.of_few([1.0, 2.0, 3.0])
    assert (found.value, found.low, found.high) == pytest.approx((2, 2 - 2.4842, 2 + 2.4842), abs=1e-4)


def test_after_a_prefix_an_answer_ends_with_its_line():
    given = answered("base", ("grass.\nlist two foods.\n", "a goat"))
    cut = counting.cut({name: one.model_copy(update={"finished": False}) for name, one in given.items()})
    assert [(one.text, one.finished) for one in cut.values()] == [("grass.", True), ("a goat", False)]


def test_better_answers_are_preferred_by_the_truth_and_by_people():
    good, bad = answered("good", GOOD), answered("bad", BAD)
    assert counting.paired(ASKED, good, bad).value == 1
    assert counting.paired(ASKED, bad, good).value == 0
    assert counting.paired(ASKED, good, answered("again", GOOD)).value == 0.5
    assert counting.rate(ASKED, good, bad, seed=0).value > 0.9
    assert counting.rate(ASKED, bad, good, seed=0, judge="gold").value == 0


def test_people_of_both_groups_and_the_truth_are_asked_of_each_prompt():
    said = counting.compared(ASKED, answered("good", GOOD), answered("bad", BAD), seed=0)
    hired, outside = ({person.name for person in some} for some in counting.team(0))
    assert [v.judge for v in said] == ["gold", "person", "person"] * 2
    assert all(v.labeler in hired for v in said[1::3])
    assert all(v.labeler in outside for v in said[2::3])


def test_an_answer_is_not_compared_with_itself():
    same = answered("one", GOOD)
    with pytest.raises(ValueError, match="compared with itself"):
        counting.compared(ASKED, same, same, seed=0)


def test_loose_pairs_are_the_strict_comparisons_each_alone():
    ranking = Ranking(prompt_id="p", labeler="ada", order=(("a",), ("b", "c"), ("d",)))
    pairs = {tuple(one.ranks) for one in rankings.loose([ranking])}
    assert pairs == {("a", "b"), ("a", "c"), ("a", "d"), ("b", "d"), ("c", "d")}
    assert all(list(one.ranks.values()) == [1, 2] for one in rankings.loose([ranking]))


def test_fewer_rankings_of_a_draw_are_a_part_of_more(tmp_path):
    made = [Ranking(prompt_id=f"p{n}", labeler="ada", order=(("a",), ("b",))) for n in range(20)]
    records.write(tmp_path / "r.jsonl", made)
    few, more = (rankings.some(tmp_path / "r.jsonl", count) for count in (5, 12))
    assert (len(few), few) == (5, more[:5])
    assert few != rankings.some(tmp_path / "r.jsonl", 5, draw=1)
    assert len(rankings.some(tmp_path / "r.jsonl", 0)) == 20


def margins(*values: float) -> Margins:
    return Margins(np.array(values), tuple(f"p{n}" for n in range(len(values))), ("ada",) * len(values))


def test_a_doublings_gain_is_the_slope_of_least_squares():
    """50, 60 and 70 % at 100, 200 and 400 rankings: ten points a doubling."""
    right = {100: np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0.0])}
    right[200], right[400] = (np.array([1.0] * n + [0.0] * (10 - n)) for n in (6, 7))
    assert slope(right, margins(*range(10))).value == pytest.approx(0.1)


def test_loss_and_accuracy_are_compared_pair_by_pair():
    """log(1 + e⁰) = log 2 against log(1 + e⁻²)."""
    found = {("whole", 1): margins(2, 2, -1), ("loose", 1): margins(2, 0, -1)}
    less = _less(found, ("loose", 1), ("whole", 1), "loss")
    assert less.value == pytest.approx((np.log(2) - np.log1p(np.exp(-2))) / 3)
    assert _less(found, ("whole", 1), ("loose", 1), "right").value == pytest.approx(1 / 3)


def test_a_prefix_is_two_short_demonstrations_of_unlike_use():
    asked = [
        Prompt.make(f"question {n}?", user=str(n), use_case=case) for n, case in enumerate(("chat", "chat", "extract"))
    ]
    demos = [Demonstration(prompt_id=p.id, text=f"answer to {p.text}", labeler="ada") for p in asked]
    wordy = [Demonstration(prompt_id=asked[0].id, text=f"{n} far too long " * 20, labeler="ada") for n in range(9)]
    demos += wordy
    lines = prefix(asked, demos, seed=1).splitlines()
    assert len(lines) == 4
    assert "question 2?" in lines
    assert all(f"answer to {question}" == answer for question, answer in zip(lines[::2], lines[1::2], strict=True))


def test_a_demonstration_is_weighed_after_its_prompt_as_the_template_writes_it():
    [item] = demonstrated(ASKED[:1], [Demonstration(prompt_id=ASKED[0].id, text="grass.", labeler="ada")])
    assert (item.context, item.choices) == ("what does the goat eat?\n", ("grass.",))


@pytest.mark.parametrize(("sizes", "which"), [([50, 70, 7000], 70), ([71, 7000], 71), ([7000], 7000)])
def test_the_small_model_is_the_largest_of_those_a_hundred_times_smaller(sizes, which):
    assert small(sizes) == which
