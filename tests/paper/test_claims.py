"""A verdict follows from the interval alone, and a page shows it."""

import re

import pytest
from pydantic import ValidationError

from biddable.measure.interval import Interval
from biddable.measure.plots import Line, Plot, Point, shown, spanned
from biddable.measure.results import Source
from biddable.paper.figure import DIFFERS, OPEN, SAME, Claim, Dots, Figure, Group, Table, Theirs, Value, in_one_line
from biddable.paper.page import index, page


def found(low: float, high: float) -> Interval:
    return Interval(value=(low + high) / 2, low=low, high=high, n=10)


def claim(low: float, high: float, expected: str, even: float = 0.5, margin: float = 0.0) -> Claim:
    return Claim.model_validate({
        "text": "t", "theirs": "85 %", "measure": "m", "ours": found(low, high), "expected": expected, "even": even,
        "margin": margin,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "expected", "verdict"),
    [
        (0.51, 0.6, "above", SAME),
        (0.4, 0.49, "above", DIFFERS),
        (0.5, 0.6, "above", OPEN),  # an end on the border settles nothing
        (0.4, 0.49, "below", SAME),
        (0.51, 0.6, "below", DIFFERS),
        (0.45, 0.55, "below", OPEN),
    ],
)
def test_a_side_is_told_only_where_the_whole_interval_lies_on_it(low, high, expected, verdict):
    assert claim(low, high, expected).verdict == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.46, 0.54, SAME), (0.56, 0.6, DIFFERS), (0.3, 0.44, DIFFERS), (0.52, 0.58, OPEN), (0.3, 0.7, OPEN)],
)
def test_level_is_told_only_where_the_whole_interval_lies_within_the_margin(low, high, verdict):
    """Margin 0.05 about ½. An interval that leaves out ½ may still be level; one that holds it may not be."""
    assert claim(low, high, "level", margin=0.05).verdict == verdict


def test_level_needs_a_margin_and_nothing_else_has_one():
    for expected, margin in (("level", 0.0), ("above", 0.05)):
        with pytest.raises(ValidationError, match="margin: says what level is"):
            claim(0.4, 0.6, expected, margin=margin)


def test_claims_are_told_in_one_line():
    assert in_one_line([SAME, SAME]) == "the same direction (2 of 2)"
    told = "the same direction (1 of 3); differs (1 of 3); cannot tell (1 of 3)"
    assert in_one_line([OPEN, DIFFERS, SAME]) == told
    assert in_one_line([]) == "nothing to hold against it"


def test_numbers_are_shown_by_their_unit():
    gap = "\u00a0"
    assert shown(0.7104, "share") == f"71.0{gap}%"
    assert shown(-0.023, "points") == f"−2.3{gap}points"
    assert shown(-0.4142, "score") == "−0.414"
    assert shown(2.2542, "score") == "2.25"
    assert spanned(found(-0.01, 0.02), "points") == "−1.0 to +2.0"


def figure(*claims: Claim, words: str = "Plain.") -> Figure:
    value = Value(style="ppo", name="PPO", found=found(0.4, 0.6), theirs=Theirs(text="55", source="Fig. 9", value=0.55))
    line = Line(style="sft", name="SFT", points=(Point(x=10, found=found(0, 1)), Point(x=1000, found=found(1, 2))))
    return Figure(
        name="fig9", title="Fig. 9. A picture", paper=(words,), tunnel=("Here.",), claims=claims, differs=("So.",),
        shows=(
            Dots(title="Dots", unit="share", groups=(Group(label="one", values=(value,)),), reference=(0.5, "even")),
            Plot(title="Plot", x_name="size", unit="score", lines=(line,), logarithmic=True),
            Table(title="Table", head=("a", "b"), rows=(("x", "1"),)),
        ),
        hypothesis="Perhaps.", sources=(Source(run="r", folder="runs/r", inputs={"model": "ab" * 32}),),
    )  # fmt: skip


def test_a_page_says_its_verdict_its_numbers_and_its_runs():
    made = page(figure(claim(0.6, 0.7, "above")), "facts")
    assert "Verdict: the same direction (1 of 1)." in made
    assert "55 (Fig. 9)" in made  # the paper's own value stands beside ours
    assert made.count("<svg") >= 4  # both charts, wide and narrow
    assert "ab" * 32 in made
    assert 'href="index.html"' in made


def test_a_page_loads_nothing_and_a_models_words_are_no_markup():
    made = page(figure(claim(0.6, 0.7, "above"), words="<script>alert(1)</script>"), "facts")
    assert "<script" not in made
    assert "default-src &#x27;none&#x27;" in made
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", made)


def test_a_hypothesis_stands_only_where_something_is_not_as_in_the_paper():
    assert "Perhaps." not in page(figure(claim(0.6, 0.7, "above")), "facts")
    for low in (0.3, 0.45):
        assert "A hypothesis, not a finding." in page(figure(claim(low, low + 0.1, "above")), "facts")


def test_the_first_page_leads_to_the_others_and_counts_all_claims():
    made = index([figure(claim(0.6, 0.7, "above")), figure(claim(0.3, 0.4, "above"))], "facts")
    assert "All claims: the same direction (1 of 2); differs (1 of 2)." in made
    assert made.count('href="fig9.html"') == 2
