"""How far a run went with its reward model, from the file that `follow` leaves: the ways, and how they are drawn."""

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np

from biddable.measure.captions import number
from biddable.measure.interval import Interval
from biddable.measure.overoptimised import (
    Fit,
    Followed,
    Overoptimised,
    Way,
    curve,
    overoptimised,
    rows,
    way_of_best,
    way_of_policies,
)
from biddable.measure.plots import Line, Plot, Point, spanned
from biddable.records import AnyRecord, Completion, Score

# Whose answer it is: a policy's, by its iteration, or one of the start's among which the best is chosen.
BEST = "best"
# What is said of an answer: by the reward model that was followed, by the one that it is held against, and log π/π₀.
PROXY, GOLD, RATIO = "proxy", "gold", "log-ratio"


def followed(found: Iterable[AnyRecord], run: str, proxy: str, gold: str) -> Followed:
    return Followed(run=run, proxy=proxy, gold=gold, ways=tuple(overoptimised(way) for way in ways(found)))


def ways(found: Iterable[AnyRecord]) -> list[Way]:
    """The policies' way, and best of n where the start gave several answers to each prompt."""
    answers: dict[str, list[Completion]] = {}
    said: dict[str, dict[str, float]] = {PROXY: {}, GOLD: {}, RATIO: {}}
    for record in found:
        if isinstance(record, Completion):
            answers.setdefault(record.run_id, []).append(record)
        elif isinstance(record, Score):
            said[record.run_id][record.completion_id] = record.value
    chosen_from = answers.pop(BEST, [])
    policies = {int(iteration): some for iteration, some in answers.items()}
    made = [way_of_policies(policies, said[RATIO], said[PROXY], said[GOLD])]
    if chosen_from:
        prompts, proxy_PN = rows(chosen_from, said[PROXY])
        _, gold_PN = rows(chosen_from, said[GOLD])
        made.append(way_of_best(prompts, proxy_PN, gold_PN, counts(proxy_PN.shape[1])))
    return made


def counts(most: int) -> list[int]:
    """2, 4, 8 … up to all the answers."""
    return [2**power for power in range(1, most.bit_length())]


# How they are drawn


def line(style: str, name: str, found: Overoptimised, what: Literal["gold", "proxy"]) -> Line:
    """The gains over √KL, and the fit from the start to the farthest point."""
    points = tuple(Point(x=round(max(0.0, one.kl.value) ** 0.5, 3), found=getattr(one, what)) for one in found.points)
    fitted: Fit | None = getattr(found, what)
    if fitted is None:
        return Line(style=style, name=name, points=points)
    d = np.linspace(0, max(point.x for point in points), 41)
    gain = curve(found.kind, fitted.alpha.value, fitted.beta.value, d)
    return Line(style=style, name=name, points=points, smooth=tuple(zip(d.tolist(), gain.tolist(), strict=True)))


def over_distance(title: str, lines: Iterable[Line]) -> Plot:
    return Plot(
        title=title, x_name="√KL from the start model", unit="score", lines=tuple(lines), reference=(0.0, "the start")
    )


FITS_HEAD = ("way, by whom", "α", "β", "highest at a KL of", "off the points by")


def fits(found: Mapping[str, Overoptimised], gold: str = "the truth", proxy: str = "reward model") -> list[list[str]]:
    """α, β and the peak of each way, by gold and by the proxy."""
    told = []
    for name, one in found.items():
        for who, fitted in ((gold, one.gold), (proxy, one.proxy)):
            if fitted is not None:
                alpha, beta = _spanned_value(fitted.alpha), _spanned_value(fitted.beta)
                told.append([f"{name}, {who}", alpha, beta, peak(fitted), number(fitted.off)])
    return told


def _spanned_value(found: Interval) -> str:
    return f"{number(found.value)} ({spanned(found, 'score')})"


def peak(fitted: Fit) -> str:
    """A peak beyond what was run is none."""
    if fitted.peak is None:
        return "none within what was run"
    low, high = ("beyond" if end is None else f"{end:.2g}" for end in (fitted.peak.low, fitted.peak.high))
    return f"{fitted.peak.kl:.2g} ({low} to {high}) nats"
