"""Charts as SVG text. Colours are CSS classes, so that a chart follows the page into the dark and onto paper; every
series has a shape of its own as well, so that nobody needs the colours. Drawn at the width at which it is shown, so
that letters keep their size on a small screen."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from biddable.measure.markup import Safe, el, join

WIDE, NARROW = 720, 326  # a column of the page; a telephone of 360 pixels less its margins


class Mark(NamedTuple):
    """One value with its interval. `style` is a class of the style sheet and chooses the shape."""

    style: str
    text: str
    value: float
    low: float
    high: float


class Row(NamedTuple):
    label: str
    marks: tuple[Mark, ...]


class Scale(NamedTuple):
    low: float
    high: float
    form: Callable[[float], str]


class Series(NamedTuple):
    style: str
    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    line: tuple[float, ...]  # y, smoothed


class Panel(NamedTuple):
    title: str
    series: tuple[Series, ...]


SHAPES = {"base": "circle", "sft": "square", "ppo": "diamond", "ppo_ptx": "triangle", "gold": "circle"}
SHAPES |= {"people": "square", "ours": "circle", "paper": "ring", "ceiling": "bar"}


def ticks(low: float, high: float, about: int = 5) -> tuple[float, ...]:
    """Round numbers from low to high: steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return (low,)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= 0.75 * rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(i * step, 10) for i in range(first, last + 1))


def share_scale(low: float, high: float) -> Scale:
    """A scale of percentages that holds low…high with some air, within 0 and 100."""
    air = max(0.02, 0.06 * (high - low))
    low, high = max(0.0, low - air), min(1.0, high + air)
    return Scale(low, high, lambda share: f"{100 * share:.3g}\u00a0%")


def glyph(style: str, x: float, y: float, size: float = 5.5) -> Safe:
    """The shape of a series, centred."""
    shape, known = SHAPES.get(style, "circle"), f"mark {style if style in SHAPES else 'other'}"
    match shape:
        case "circle" | "ring":
            return el("circle", cx=x, cy=y, r=size - 0.5, class_=known)
        case "square":
            return el("rect", x=x - size + 1, y=y - size + 1, width=2 * size - 2, height=2 * size - 2, class_=known)
        case "diamond":
            corners = ((x, y - size - 0.5), (x + size + 0.5, y), (x, y + size + 0.5), (x - size - 0.5, y))
        case "triangle":
            corners = ((x, y - size), (x + size, y + size - 1), (x - size, y + size - 1))
        case _:
            corners = ((x - 1.5, y - size), (x + 1.5, y - size), (x + 1.5, y + size), (x - 1.5, y + size))
    return el("polygon", points=" ".join(f"{a:.2f},{b:.2f}" for a, b in corners), class_=known)


def legend(items: Sequence[tuple[str, str]]) -> Safe:
    """Shape and name of every series, as text beside the chart."""
    shown = (
        el("li", el("svg", glyph(style, 7, 7), width=14, height=14, aria_hidden="true", focusable="false"), name)
        for style, name in items
    )
    return el("ul", *shown, class_="legend")


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "start") -> Safe:
    return el("text", words, x=x, y=y, class_=f"label {class_}".strip(), text_anchor=anchor)


def drawing(key: str, title: str, description: str, width: float, height: float, *parts: Safe) -> Safe:
    """An SVG with a name and a description for those who do not see it."""
    size = "wide" if width > 400 else "narrow"
    ids = f"{key}-{size}-title", f"{key}-{size}-desc"
    return el(
        "svg",
        el("title", title, id=ids[0]),
        el("desc", description, id=ids[1]),
        *parts,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=" ".join(ids),
        class_=f"chart {size}",
    )


LINE, GAP, TOP, BOTTOM = 22, 12, 24, 26
ADVANCE, BOLD_ADVANCE = 7.4, 8.2  # of a letter of 13 pixels, in the widest of the fonts that systems have


class Frame(NamedTuple):
    """Where a chart's parts lie: the plot from left to right; whether labels, and numbers, stand above their rows."""

    left: float
    right: float
    stacked: bool
    above: bool
    scale: Scale

    def ticks(self) -> tuple[float, ...]:
        """As many as have room for their letters."""
        return ticks(self.scale.low, self.scale.high, max(2, int((self.right - self.left) / 70)))

    def x(self, value: float) -> float:
        share = (value - self.scale.low) / (self.scale.high - self.scale.low)
        return self.left + min(1.0, max(0.0, share)) * (self.right - self.left)


def dots(
    key: str,
    title: str,
    description: str,
    rows: Sequence[Row],
    scale: Scale,
    width: float = WIDE,
    reference: tuple[float, str] | None = None,
) -> Safe:
    """Values with their intervals on one scale, a line each, the numbers at the right. Where there is no room, labels
    stand above their rows, and so do the numbers if a row has only one."""
    stacked = width < 400
    numbers = ADVANCE * max(len(mark.text) for row in rows for mark in row.marks) + 14
    above = stacked and all(len(row.marks) == 1 for row in rows)
    left = 14 if stacked else BOLD_ADVANCE * max(len(row.label) for row in rows) + 24
    frame = Frame(left, width - (14 if above else numbers), stacked, above, scale)
    height = TOP + sum(_row_height(row, stacked) for row in rows) + BOTTOM
    parts = [_grid(frame, height, reference)]
    y = float(TOP)
    for row in rows:
        parts.append(_row(row, frame, y, width))
        y += _row_height(row, stacked)
    return drawing(key, title, description, width, height, *parts)


def _row_height(row: Row, stacked: bool) -> float:
    return LINE * (len(row.marks) + stacked) + GAP


def _grid(frame: Frame, height: float, reference: tuple[float, str] | None) -> Safe:
    foot = height - BOTTOM
    parts = []
    for tick in frame.ticks():
        x = frame.x(tick)
        parts += [el("line", x1=x, x2=x, y1=TOP - 6, y2=foot, class_="grid")]
        parts += [text(x, foot + 17, frame.scale.form(tick), "tick", "middle")]
    if reference is not None and frame.scale.low <= reference[0] <= frame.scale.high:
        x = frame.x(reference[0])
        parts += [el("line", x1=x, x2=x, y1=TOP - 8, y2=foot, class_="even")]
        anchor = "start" if x < frame.left + 60 else "end" if x > frame.right - 60 else "middle"
        parts += [text(x, TOP - 12, reference[1], "tick", anchor)]
    return join(*parts)


def _row(row: Row, frame: Frame, y: float, width: float) -> Safe:
    parts = []
    if frame.stacked:
        # The grid must not run through the words; a halo about the letters alone leaves pieces of it between them.
        parts.append(el("rect", x=0, y=y + 1, width=BOLD_ADVANCE * len(row.label), height=LINE - 4, class_="under"))
        parts.append(text(0, y + 15, row.label, "strong"))
        y += LINE
    else:
        middle = y + LINE * len(row.marks) / 2
        parts.append(text(frame.left - 16, middle + 4.5, row.label, "strong", "end"))
    for mark in row.marks:
        parts.append(_mark(mark, frame, y + LINE / 2, width))
        y += LINE
    return join(*parts)


def _mark(mark: Mark, frame: Frame, y: float, width: float) -> Safe:
    low, high = frame.x(mark.low), frame.x(mark.high)
    style = mark.style if mark.style in SHAPES else "other"
    return join(
        el("line", x1=low, x2=high, y1=y, y2=y, class_=f"whisker {style}"),
        glyph(mark.style, frame.x(mark.value), y),
        text(width, y + 4.5 - (LINE if frame.above else 0), mark.text, "value", "end"),
    )


PANEL, HEAD = 150, 26


def lines(key: str, title: str, description: str, panels: Sequence[Panel], x_name: str, width: float = WIDE) -> Safe:
    """Panels one under another over the same x: what was measured faint, its running mean drawn."""
    xs = [x for panel in panels for series in panel.series for x in series.x]
    low, high = min(xs), max(xs)
    across = Frame(46, width - 10, False, False, Scale(low, high if high > low else low + 1, lambda x: f"{x:g}"))
    height = len(panels) * (PANEL + HEAD + 14) + 34
    parts, top = [], 0.0
    for panel in panels:
        parts.append(_panel(panel, across, top))
        top += PANEL + HEAD + 14
    for tick in across.ticks():
        parts.append(text(across.x(tick), top + 4, across.scale.form(tick), "tick", "middle"))
    parts.append(text((across.left + across.right) / 2, top + 24, x_name, "tick", "middle"))
    return drawing(key, title, description, width, height, *parts)


def _panel(panel: Panel, across: Frame, top: float) -> Safe:
    values = [y for series in panel.series for y in (*series.y, *series.line)]
    low, high = min(values), max(values)
    air = 0.06 * (high - low) or 0.5
    low, high = low - air, high + air
    head = top + HEAD

    def up(value: float) -> float:
        return head + PANEL * (1 - (value - low) / (high - low))

    parts = [text(0, top + 14, panel.title, "strong")]
    for tick in ticks(low, high, 5):
        parts.append(el("line", x1=across.left, x2=across.right, y1=up(tick), y2=up(tick), class_="grid"))
        parts.append(text(across.left - 8, up(tick) + 4, f"{tick:g}".replace("-", "−"), "tick", "end"))
    for series in panel.series:
        for class_, y in (("raw", series.y), ("drawn", series.line)):
            spots = " ".join(f"{across.x(a):.1f},{up(b):.1f}" for a, b in zip(series.x, y, strict=True))
            parts.append(el("polyline", points=spots, class_=f"{class_} {series.style}"))
        parts.append(glyph(series.style, across.x(series.x[-1]), up(series.line[-1])))
    return join(*parts)


def both_widths(draw: Callable[[float], Safe]) -> Safe:
    """The chart for a screen and for a telephone; the style sheet shows one of them, to eyes and to screen readers."""
    return join(draw(WIDE), draw(NARROW))
