"""Numbers with their intervals over a quantity: the chart, the table under it, and the same in words."""

import math
from collections.abc import Callable
from typing import Literal

from biddable.measure import charts
from biddable.measure.captions import GAP, between, number, percent
from biddable.measure.charts import Frame, Scale, glyph, text, ticks
from biddable.measure.interval import Interval
from biddable.measure.markup import Safe, el, join
from biddable.records import Record

Unit = Literal["share", "points", "score"]  # of a whole; a difference of two shares; whatever a model or a loss says
PLOT_HEIGHT, TOP, FOOT = 270, 22, 46
NUMBERS = ["value", "95 % interval", "n"]


def shown(value: float, unit: Unit, digits: int = 1) -> str:
    """One number as it is read: 71.0 %, +2.3 points, −0.414."""
    if unit == "share":
        return percent(value, digits)
    if unit == "points":
        text = f"{100 * value:+.{digits}f}".replace("-", "−")
        return f"{text}{GAP}points"
    return f"{value:.3f}".replace("-", "−") if abs(value) < 1 else number(value)


def spanned(found: Interval, unit: Unit, digits: int = 1) -> str:
    """The interval's ends."""
    if unit == "share":
        return between(found, digits)
    low, high = (shown(end, unit, digits).removesuffix(f"{GAP}points") for end in (found.low, found.high))
    return f"{low} to {high}"


class Point(Record):
    x: float
    found: Interval


class Line(Record):
    """A series over x. `smooth` is a fitted curve through or beside it, if there is one."""

    style: str
    name: str
    points: tuple[Point, ...]
    smooth: tuple[tuple[float, float], ...] = ()


class Plot(Record):
    """Series with intervals over a quantity."""

    kind: Literal["plot"] = "plot"
    title: str
    x_name: str
    unit: Unit
    lines: tuple[Line, ...]
    logarithmic: bool = False  # x
    reference: tuple[float, str] | None = None


def cells(found: Interval, unit: Unit) -> list[str]:
    return [shown(found.value, unit), spanned(found, unit), f"{found.n:,}"]


def numbers(one: Plot) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of the table under a chart."""
    points = [(line, point) for line in one.lines for point in line.points]
    rows = [[f"{line.name}, {_number(point.x)}", *cells(point.found, one.unit)] for line, point in points]
    return [f"series, {one.x_name}", *NUMBERS], rows


def told(one: Plot) -> str:
    """The chart in words, for those who do not see it."""
    return "; ".join(
        f"{line.name}: " + ", ".join(f"{shown(p.found.value, one.unit)} at {_number(p.x)}" for p in line.points)
        for line in one.lines
    )


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 1000 else f"{x:g}"


def scale(ends: list[float], unit: Unit, reference: tuple[float, str] | None) -> Scale:
    low, high = min([*ends, *(reference or ())[:1]]), max([*ends, *(reference or ())[:1]])
    if unit == "share":
        return charts.share_scale(low, high)
    air = 0.06 * (high - low) or 0.5
    return Scale(low - air, high + air, lambda value: shown(value, unit, 0) if unit == "points" else _plain(value))


def _plain(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def plot(key: str, one: Plot, width: float) -> Safe:
    """Series with whiskers over x; where they stand above one another each is moved aside a little."""
    ends = [end for line in one.lines for p in line.points for end in (p.found.low, p.found.high)]
    ends += [y for line in one.lines for _, y in line.smooth]
    upright, across = scale(ends, one.unit, one.reference), _across(one, width)
    foot = PLOT_HEIGHT - FOOT

    def up(value: float) -> float:
        return TOP + (foot - TOP) * (upright.high - value) / (upright.high - upright.low)

    place = math.log10 if one.logarithmic else float
    parts = [_grid(one, across, upright, up, foot, width)]
    for nth, line in enumerate(one.lines):
        aside = 4.0 * (nth - (len(one.lines) - 1) / 2)
        parts.append(_line(line, lambda x, aside=aside: across.x(place(x)) + aside, up))
    return charts.drawing(key, one.title, told(one), width, PLOT_HEIGHT, *parts)


def _across(one: Plot, width: float) -> Frame:
    xs = [x for line in one.lines for x in (*(point.x for point in line.points), *(x for x, _ in line.smooth))]
    xs = [math.log10(x) if one.logarithmic else x for x in xs]
    low, high = min(xs), max(xs)
    air = 0.05 * (high - low) or 0.5
    return Frame(52, width - 10, False, False, Scale(low - air, high + air, _number))


def _grid(one: Plot, across: Frame, upright: Scale, up: Callable[[float], float], foot: float, width: float) -> Safe:
    parts = []
    for tick in ticks(upright.low, upright.high):
        parts.append(el("line", x1=across.left, x2=across.right, y1=up(tick), y2=up(tick), class_="grid"))
        parts.append(text(across.left - 8, up(tick) + 4, upright.form(tick), "tick", "end"))
    if one.reference is not None:
        value, words = one.reference
        parts.append(el("line", x1=across.left, x2=across.right, y1=up(value), y2=up(value), class_="even"))
        parts.append(text(across.left + 4, up(value) - 5, words, "tick"))
    seen = sorted({point.x for line in one.lines for point in line.points})
    if one.logarithmic and len(seen) <= (10 if width > 400 else 4):
        parts += [text(across.x(math.log10(x)), foot + 18, _short(x), "tick", "middle") for x in seen]
    elif one.logarithmic:
        whole = range(math.ceil(across.scale.low), math.floor(across.scale.high) + 1)
        parts += [text(across.x(power), foot + 18, _short(10.0**power), "tick", "middle") for power in whole]
    else:
        parts += [text(across.x(x), foot + 18, _number(x), "tick", "middle") for x in across.ticks()]
    parts.append(text((across.left + across.right) / 2, PLOT_HEIGHT - 6, one.x_name, "tick", "middle"))
    return join(*parts)


def _short(x: float) -> str:
    """710K, 0.1."""
    return f"{x / 1000:.3g}K" if x >= 1000 else f"{x:g}"


def _line(line: Line, x: Callable[[float], float], up: Callable[[float], float]) -> Safe:
    drawn = line.smooth or tuple((point.x, point.found.value) for point in line.points)
    spots = " ".join(f"{x(a):.1f},{up(b):.1f}" for a, b in drawn)
    parts = [el("polyline", points=spots, class_=f"drawn {line.style}")]
    for point in line.points:
        at, found = x(point.x), point.found
        parts.append(el("line", x1=at, x2=at, y1=up(found.low), y2=up(found.high), class_=f"whisker {line.style}"))
        parts.append(glyph(line.style, at, up(found.value)))
    return join(*parts)
