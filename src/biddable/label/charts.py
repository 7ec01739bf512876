"""Charts of the manager's pages, drawn on the server with the same pen as the report's. A table stands beside each."""

from collections.abc import Sequence
from datetime import date

from markupsafe import Markup

from biddable.measure import charts
from biddable.measure.charts import Mark, Row, both_widths
from biddable.measure.interval import Interval
from biddable.measure.markup import Safe, el

HEIGHT, FOOT, HEAD = 120, 22, 18


def columns(key: str, title: str, days: Sequence[tuple[date, int]]) -> Markup:
    """A column a day."""
    said = ", ".join(f"{day.isoformat()}: {count}" for day, count in days)

    def draw(width: float) -> Safe:
        most, step = max(1, *(count for _, count in days)), width / len(days)
        parts = []
        for n, (day, count) in enumerate(days):
            tall, middle = HEIGHT * count / most, (n + 0.5) * step
            top = HEAD + HEIGHT - tall
            parts.append(el("rect", x=n * step + 2, y=top, width=step - 4, height=tall, class_="column"))
            if count:
                parts.append(charts.text(middle, top - 4, f"{count}", "value", "middle"))
            if width > 400 or n % 2 == len(days) % 2:
                parts.append(charts.text(middle, HEAD + HEIGHT + 16, f"{day:%d.%m.}", "tick", "middle"))
        base = HEAD + HEIGHT
        parts.append(el("line", x1=0, x2=width, y1=base, y2=base, class_="base"))
        return charts.drawing(key, title, said, width, HEAD + HEIGHT + FOOT, *parts)

    return Markup(both_widths(draw))


def percent(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f}\u00a0% ({100 * low:.1f}–{100 * high:.1f})"


def intervals(
    key: str, title: str, rows: Sequence[tuple[str, Sequence[tuple[str, Interval]]]],
    reference: tuple[float, str] | None = None,
) -> Markup:  # fmt: skip
    """Shares with their intervals, a line each; of a row, each (style, interval)."""
    drawn = [
        Row(label, tuple(Mark(style, percent(i.value, i.low, i.high), i.value, i.low, i.high) for style, i in marks))
        for label, marks in rows
    ]
    ends = [x for row in drawn for mark in row.marks for x in (mark.low, mark.high)]
    ends += [reference[0]] if reference else []
    scale = charts.share_scale(min(ends), max(ends))
    said = "; ".join(f"{row.label}: {', '.join(mark.text for mark in row.marks)}" for row in drawn)
    return Markup(both_widths(lambda width: charts.dots(key, title, said, drawn, scale, width, reference)))
