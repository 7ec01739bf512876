"""The loop as a small picture: what people do above, what machines make of it below."""

import math
from typing import NamedTuple

from biddable.measure.charts import NARROW, WIDE, drawing, text
from biddable.measure.markup import Safe, el, join
from biddable.measure.results import Counts


class Box(NamedTuple):
    title: str
    note: str
    people: bool


def boxes(counts: Counts) -> tuple[Box, ...]:
    """The eight stations, in the order in which the loop visits them."""
    parameters = f"{counts.parameters / 1e6:.3g}M parameters" if counts.parameters else "it only continues text"
    return (
        Box("People ask", _many(counts.prompts, "prompts"), True),
        Box("Base model", parameters, False),
        Box("People write", _many(counts.demonstrations, "answers"), True),
        Box("SFT", "learns to answer", False),
        Box("People rank", _many(counts.rankings, "rankings"), True),
        Box("Reward model", "learns the ranking", False),
        Box("PPO, PPO-ptx", "learn to please it", False),
        Box("People judge", _many(counts.verdicts, "verdicts"), True),
    )


def _many(count: int | None, what: str) -> str:
    return what if count is None else f"{count:,} {what}"


def picture(counts: Counts, width: float) -> Safe:
    stations = boxes(counts)
    told = "; ".join(f"{box.title}: {box.note}" for box in stations)
    title, description = "The loop", f"{told}; and from the verdicts round to new prompts."
    drawn = _wide(stations) if width == WIDE else _narrow(stations)
    return drawing("loop", title, description, width, 192 if width == WIDE else 8 * 46 + 8, drawn)


# Column and lane (0 people, 1 machines) of each station on a screen.
PLACES = ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 1), (3, 0))
BOX, TALL, STRIDE, MARGIN = 138.0, 54.0, 182.0, 17.0


def _corner(station: int) -> tuple[float, float]:
    column, lane = PLACES[station]
    return MARGIN + column * STRIDE, 34 + lane * 100


def _wide(stations: tuple[Box, ...]) -> Safe:
    drawn = [_box(box, *_corner(station), BOX) for station, box in enumerate(stations)]
    ask, base, write, sft, rank, reward, ppo, judge = (_corner(station) for station in range(len(stations)))
    drawn += [_across(ask, write), _across(base, sft), _across(sft, reward), _across(reward, ppo)]
    drawn += [_down(write, sft), _down(rank, reward)]
    drawn.append(_arrow((sft[0] + BOX, sft[1] + 12), (rank[0] - 2, rank[1] + TALL - 10)))  # its answers are ranked
    drawn.append(_arrow((ppo[0] + BOX / 2, ppo[1]), (ppo[0] + BOX / 2, judge[1] + TALL + 2)))  # its answers are judged
    last, first = judge[0] + BOX / 2, ask[0] + BOX / 2
    drawn.append(_arrow((last, judge[1]), (last, 14), (first, 14), (first, ask[1] - 2), class_="again"))
    return join(*drawn, text(WIDE / 2, 9, "and round again", "tick", "middle"))


def _across(one: tuple[float, float], other: tuple[float, float]) -> Safe:
    y = one[1] + TALL / 2
    return _arrow((one[0] + BOX, y), (other[0] - 2, y))


def _down(one: tuple[float, float], other: tuple[float, float]) -> Safe:
    x = one[0] + BOX / 2
    return _arrow((x, one[1] + TALL), (x, other[1] - 2))


def _narrow(stations: tuple[Box, ...]) -> Safe:
    drawn = []
    for station, box in enumerate(stations):
        y = 4 + station * 46
        x = 0 if box.people else 40
        drawn.append(_box(box, x, y, NARROW - 40, flat=True))
        if station:
            drawn.append(_arrow((NARROW / 2, y - 12), (NARROW / 2, y - 1)))
    return join(*drawn)


def _box(box: Box, x: float, y: float, width: float, flat: bool = False) -> Safe:
    height = 34 if flat else TALL
    frame = el(
        "rect", x=x, y=y, width=width, height=height, rx=8, class_="box " + ("folk" if box.people else "machine")
    )
    if flat:
        words = text(x + 12, y + 22, box.title, "strong plain"), text(x + width - 12, y + 22, box.note, "tick", "end")
    else:
        words = (
            text(x + width / 2, y + 23, box.title, "strong plain", "middle"),
            text(x + width / 2, y + 41, box.note, "tick", "middle"),
        )
    return join(frame, *words)


def _arrow(*points: tuple[float, float], class_: str = "") -> Safe:
    """A line with a head; the head is drawn, since a marker shared by two pictures dies with the hidden one."""
    (x0, y0), (x1, y1) = points[-2:]
    long = math.hypot(x1 - x0, y1 - y0)
    u, v = (x1 - x0) / long, (y1 - y0) / long
    foot = x1 - 8 * u, y1 - 8 * v
    wings = (x1, y1), (foot[0] - 4 * v, foot[1] + 4 * u), (foot[0] + 4 * v, foot[1] - 4 * u)
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in (*points[:-1], foot))
    return join(
        el("polyline", points=way, class_=f"arrow {class_}".strip()),
        el("polygon", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in wings), class_="arrow-head"),
    )
