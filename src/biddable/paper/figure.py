"""What a page says, as records: claims of the paper held against our intervals, charts, tables, and the runs behind."""

from collections.abc import Mapping
from typing import Literal

from pydantic import computed_field, model_validator

from biddable.measure.interval import Interval
from biddable.measure.plots import Line, Plot, Point, Unit
from biddable.measure.results import Source
from biddable.records import Record

Verdict = Literal["the same direction", "differs", "cannot tell: the interval holds both"]
SAME: Verdict = "the same direction"
DIFFERS: Verdict = "differs"
OPEN: Verdict = "cannot tell: the interval holds both"


class Claim(Record):
    """Something that the paper found, and the number of ours that would show it: `ours` lies above or below `even`, or
    level with it, which is no further away than `margin`."""

    text: str
    theirs: str  # what the paper prints, and where
    measure: str  # what ours is
    ours: Interval
    expected: Literal["above", "below", "level"]
    even: float = 0.5
    margin: float = 0.0
    unit: Unit = "share"

    @model_validator(mode="after")
    def _lawful(self) -> "Claim":
        if (self.expected == "level") != (self.margin > 0):
            raise ValueError("margin: says what level is, and nothing else")
        return self

    @computed_field
    @property
    def verdict(self) -> Verdict:
        """From the interval alone. Two things that are level are never shown to be equal: they are shown to be no
        further apart than the margin."""
        low, high = self.ours.low - self.even, self.ours.high - self.even
        match self.expected:
            case "above":
                return SAME if low > 0 else DIFFERS if high < 0 else OPEN
            case "below":
                return SAME if high < 0 else DIFFERS if low > 0 else OPEN
            case "level":
                inside, outside = -self.margin <= low and high <= self.margin, low > self.margin or high < -self.margin
                return SAME if inside else DIFFERS if outside else OPEN


class Theirs(Record):
    """The paper's own number. `value` is missing where it prints a picture alone, or words."""

    text: str
    source: str
    value: float | None = None
    error: float = 0.0


class Value(Record):
    """One of our numbers, whose it is, and the paper's beside it."""

    style: str  # of the chart: base, sft, ppo, ppo_ptx, gold, people, ours
    name: str
    found: Interval
    theirs: Theirs | None = None


class Group(Record):
    label: str
    values: tuple[Value, ...]


class Dots(Record):
    """Values with their intervals, one under another, on one scale."""

    kind: Literal["dots"] = "dots"
    title: str
    unit: Unit
    groups: tuple[Group, ...]
    reference: tuple[float, str] | None = None


def sweep(
    title: str, name: str, of: str, style: str, unit: Unit, found: Mapping[float, Interval],
    reference: tuple[float, str] | None = None,
) -> Plot:  # fmt: skip
    """A number over a setting, on a logarithmic scale; 0 has no place there and stands ten times below the least."""
    least = min(x for x in found if x > 0) / 10
    points = tuple(Point(x=x or least, found=one) for x, one in found.items())
    shown = f"{name} (0 stands at {least:g})" if 0 in found else name
    lines = (Line(style=style, name=of, points=points),)
    return Plot(title=title, x_name=shown, unit=unit, lines=lines, reference=reference, logarithmic=True)


class Table(Record):
    """Facts that are no estimates, such as counts and lengths."""

    kind: Literal["table"] = "table"
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Figure(Record):
    """A page of the paper in the wind tunnel."""

    name: str
    title: str
    paper: tuple[str, ...]  # what it found, each with its source
    tunnel: tuple[str, ...]  # what was done here
    claims: tuple[Claim, ...]
    shows: tuple[Dots | Plot | Table, ...]
    differs: tuple[str, ...]  # what is not alike by construction
    hypothesis: str = ""  # why a result may differ; shown only where one does
    sources: tuple[Source, ...] = ()

    @computed_field
    @property
    def verdict(self) -> str:
        """The claims in one line."""
        return in_one_line([claim.verdict for claim in self.claims])


def in_one_line(verdicts: list[Verdict]) -> str:
    """`the same direction (3 of 3)`, or how many of each."""
    counts = {verdict: verdicts.count(verdict) for verdict in (SAME, DIFFERS, OPEN)}
    told = [f"{verdict.partition(':')[0]} ({n} of {len(verdicts)})" for verdict, n in counts.items() if n]
    return "; ".join(told) if told else "nothing to hold against it"
