"""A figure's charts as SVG and the tables under them."""

import math
from collections.abc import Callable

from biddable.measure import charts
from biddable.measure.charts import Frame, Mark, Row, Scale, both_widths, glyph, text, ticks
from biddable.measure.interval import Interval
from biddable.measure.markup import Safe, el, join, table
from biddable.paper.figure import Dots, Figure, Group, Line, Plot, Table, Unit, Value, shown, spanned

PLOT_HEIGHT, TOP, FOOT = 270, 22, 46
FEW = 12  # numbers that stand open under a chart
NUMBERS = ["value", "95 % interval", "n"]


def draw(figure: Figure) -> Safe:
    """Every chart with its numbers under it."""
    made = []
    for nth, one in enumerate(figure.shows, start=1):
        key = f"{figure.name}-{nth}"
        match one:
            case Dots():
                made.append(_figure(key, one, both_widths(lambda width, key=key, one=one: dots(key, one, width))))
            case Plot():
                made.append(_figure(key, one, both_widths(lambda width, key=key, one=one: plot(key, one, width))))
            case Table():
                made.append(el("figure", el("h3", one.title), table(one.title, list(one.head), _rows(one)), id=key))
    return join(*made)


def _rows(one: Table) -> list[list[str]]:
    return [list(row) for row in one.rows]


def _figure(key: str, one: Dots | Plot, picture: Safe) -> Safe:
    head, rows = _numbers(one)
    opened = "open" if len(rows) <= FEW else None
    numbers = el("details", el("summary", "The numbers"), table(one.title, head, rows), open=opened)
    return el("figure", el("h3", one.title), charts.legend(_legend(one)), picture, numbers, id=key)


def _legend(one: Dots | Plot) -> list[tuple[str, str]]:
    """Every series once; the paper's own values have a ring."""
    if isinstance(one, Plot):
        return [(line.style, line.name) for line in one.lines]
    values = [value for group in one.groups for value in group.values]
    found = list(dict.fromkeys((value.style, value.name) for value in values))
    theirs = any(value.theirs and value.theirs.value is not None for value in values)
    return found + ([("paper", "InstructGPT, as printed")] if theirs else [])


def _numbers(one: Dots | Plot) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of the table under a chart."""
    if isinstance(one, Plot):
        points = [(line, point) for line in one.lines for point in line.points]
        rows = [[f"{line.name}, {_number(point.x)}", *_cells(point.found, one.unit)] for line, point in points]
        return [f"series, {one.x_name}", *NUMBERS], rows
    values = [(group, value) for group in one.groups for value in group.values]
    rows = [[_label(group, value), *_cells(value.found, one.unit)] for group, value in values]
    if not any(value.theirs for _, value in values):
        return ["", *NUMBERS], rows
    theirs = [f"{v.theirs.text} ({v.theirs.source})" if v.theirs else "–" for _, v in values]
    return ["", *NUMBERS, "the paper"], [[*row, own] for row, own in zip(rows, theirs, strict=True)]


def _label(group: Group, value: Value) -> str:
    return group.label if value.name == group.label or len(group.values) == 1 else f"{group.label}, {value.name}"


def _cells(found: Interval, unit: Unit) -> list[str]:
    return [shown(found.value, unit), spanned(found, unit), f"{found.n:,}"]


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 1000 else f"{x:g}"


def dots(key: str, one: Dots, width: float) -> Safe:
    rows = [
        Row(group.label, tuple(m for value in group.values for m in _marks(value, one.unit))) for group in one.groups
    ]
    scale = _scale([end for row in rows for m in row.marks for end in (m.low, m.high)], one.unit, one.reference)
    return charts.dots(key, one.title, _told(one), rows, scale, width, one.reference)


def _marks(value: Value, unit: Unit) -> list[Mark]:
    found, theirs = value.found, value.theirs
    marks = [Mark(value.style, shown(found.value, unit), found.value, found.low, found.high)]
    if theirs is not None and theirs.value is not None:
        marks.append(Mark("paper", theirs.text, theirs.value, theirs.value - theirs.error, theirs.value + theirs.error))
    return marks


def _scale(ends: list[float], unit: Unit, reference: tuple[float, str] | None) -> Scale:
    low, high = min([*ends, *(reference or ())[:1]]), max([*ends, *(reference or ())[:1]])
    if unit == "share":
        return charts.share_scale(low, high)
    air = 0.06 * (high - low) or 0.5
    return Scale(low - air, high + air, lambda value: shown(value, unit, 0) if unit == "points" else _plain(value))


def _plain(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _told(one: Dots | Plot) -> str:
    """The chart in words, for those who do not see it."""
    if isinstance(one, Dots):
        return "; ".join(
            f"{_label(group, value)} {shown(value.found.value, one.unit)}"
            for group in one.groups
            for value in group.values
        )
    return "; ".join(
        f"{line.name}: " + ", ".join(f"{shown(p.found.value, one.unit)} at {_number(p.x)}" for p in line.points)
        for line in one.lines
    )


def plot(key: str, one: Plot, width: float) -> Safe:
    """Series with whiskers over x; where they stand above one another each is moved aside a little."""
    ends = [end for line in one.lines for p in line.points for end in (p.found.low, p.found.high)]
    ends += [y for line in one.lines for _, y in line.smooth]
    upright, across = _scale(ends, one.unit, one.reference), _across(one, width)
    foot = PLOT_HEIGHT - FOOT

    def up(value: float) -> float:
        return TOP + (foot - TOP) * (upright.high - value) / (upright.high - upright.low)

    place = math.log10 if one.logarithmic else float
    parts = [_grid(one, across, upright, up, foot, width)]
    for nth, line in enumerate(one.lines):
        aside = 4.0 * (nth - (len(one.lines) - 1) / 2)
        parts.append(_line(line, lambda x, aside=aside: across.x(place(x)) + aside, up))
    return charts.drawing(key, one.title, _told(one), width, PLOT_HEIGHT, *parts)


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
