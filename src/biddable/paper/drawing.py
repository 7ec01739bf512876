"""A figure's charts as SVG and the tables under them."""

from biddable.measure import charts, plots
from biddable.measure.charts import Mark, Row, both_widths
from biddable.measure.markup import Safe, el, join, table
from biddable.measure.plots import NUMBERS, Plot, Unit, shown
from biddable.paper.figure import Dots, Figure, Group, Table, Value

FEW = 12  # numbers that stand open under a chart


def draw(figure: Figure) -> Safe:
    """Every chart with its numbers under it."""
    made = []
    for nth, one in enumerate(figure.shows, start=1):
        key = f"{figure.name}-{nth}"
        match one:
            case Dots():
                made.append(_figure(key, one, both_widths(lambda width, key=key, one=one: dots(key, one, width))))
            case Plot():
                made.append(_figure(key, one, both_widths(lambda width, key=key, one=one: plots.plot(key, one, width))))
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
        return plots.numbers(one)
    values = [(group, value) for group in one.groups for value in group.values]
    rows = [[_label(group, value), *plots.cells(value.found, one.unit)] for group, value in values]
    if not any(value.theirs for _, value in values):
        return ["", *NUMBERS], rows
    theirs = [f"{v.theirs.text} ({v.theirs.source})" if v.theirs else "–" for _, v in values]
    return ["", *NUMBERS, "the paper"], [[*row, own] for row, own in zip(rows, theirs, strict=True)]


def _label(group: Group, value: Value) -> str:
    return group.label if value.name == group.label or len(group.values) == 1 else f"{group.label}, {value.name}"


def dots(key: str, one: Dots, width: float) -> Safe:
    rows = [
        Row(group.label, tuple(m for value in group.values for m in _marks(value, one.unit))) for group in one.groups
    ]
    scale = plots.scale([end for row in rows for m in row.marks for end in (m.low, m.high)], one.unit, one.reference)
    return charts.dots(key, one.title, _told(one), rows, scale, width, one.reference)


def _marks(value: Value, unit: Unit) -> list[Mark]:
    found, theirs = value.found, value.theirs
    marks = [Mark(value.style, shown(found.value, unit), found.value, found.low, found.high)]
    if theirs is not None and theirs.value is not None:
        marks.append(Mark("paper", theirs.text, theirs.value, theirs.value - theirs.error, theirs.value + theirs.error))
    return marks


def _told(one: Dots | Plot) -> str:
    """The chart in words, for those who do not see it."""
    if isinstance(one, Dots):
        return "; ".join(
            f"{_label(group, value)} {shown(value.found.value, one.unit)}"
            for group in one.groups
            for value in group.values
        )
    return plots.told(one)
