"""Each figure of the report: what it concludes, its picture, its numbers as a table, and the road back to its run."""

from collections.abc import Iterable

from biddable.measure import captions, preferred
from biddable.measure.captions import between, number, percent, span
from biddable.measure.charts import (
    NARROW,
    Mark,
    Panel,
    Row,
    Series,
    both_widths,
    dots,
    legend,
    lines,
    share_scale,
)
from biddable.measure.curves import Curve, smooth
from biddable.measure.followed import FITS_HEAD, fits, line, over_distance
from biddable.measure.interval import Interval
from biddable.measure.markup import Safe, el, join, prose, table
from biddable.measure.overoptimised import Followed
from biddable.measure.plots import cells as plot_cells
from biddable.measure.plots import plot
from biddable.measure.results import FigureName, ReportData, Source, in_order, name_of

HEAD = ["value", "95 % interval", "n"]
SHORT = 8  # hexadecimal digits of a sha256 that a line can bear; the whole is in the table of runs


def figure(
    key: FigureName, number: int, title: str, said: list[str], shown: Safe, numbers: Safe, data: ReportData
) -> Safe:
    """A figure: title and conclusion first, then the picture, then its numbers and where they come from."""
    return el(
        "figure",
        el("h3", f"Figure {number}. {title}"),
        el("figcaption", *(el("p", prose(sentence)) for sentence in said)),
        shown,
        el("details", el("summary", "The numbers"), numbers),
        el("p", "From ", *roads(data.sources[key]), class_="road"),
        id=f"figure-{key}",
    )


def roads(sources: tuple[Source, ...]) -> list[Safe]:
    """The run, and of each thing that went in its file and its sha256; the whole is in the table of runs."""
    made = []
    for place, source in enumerate(sources):
        made.append(join("; " if place else "", "run ", el("code", source.run), " in ", el("code", source.folder)))
        for name, sha256 in sorted(source.inputs.items()):
            file = source.files.get(name)
            made.append(join(", ", name, " ", el("code", file) if file else None, " ", el("code", sha256[:SHORT])))
    return made


def cells(interval: Interval, digits: int = 1) -> list[str]:
    return [percent(interval.value, digits), between(interval, digits), f"{interval.n:,}"]


def mark(style: str, interval: Interval, digits: int = 0) -> Mark:
    return Mark(style, span(interval, digits), interval.value, interval.low, interval.high)


def scale_of(rows: Iterable[Row], *also: float):
    ends = [end for row in rows for m in row.marks for end in (m.low, m.high)]
    return share_scale(min(*ends, *also), max(*ends, *also))


def preference(data: ReportData, number: int) -> Safe:
    gold, human = data.results.gold_win_rate, data.results.human_win_rate
    rows, numbers = [], []
    for key in dict.fromkeys((*gold, *human)):
        label = captions.versus(key)
        both = [(judge, rates[key]) for judge, rates in (("gold", gold), ("people", human)) if key in rates]
        rows.append(Row(label, tuple(mark(judge, interval) for judge, interval in both)))
        numbers += [[label, {"gold": "truth"}.get(judge, judge), *cells(interval)] for judge, interval in both]
    more = data.results.preference
    if not rows and more is not None:  # only judges that are no people were asked
        said, title = preferred.sentences(more), "What judges that are no people prefer"
        return figure("preference", number, title, said, join(), preferred.tables(more), data)
    shown = [("gold", "the truth"), ("people", "simulated people" if data.world == "hamlet" else "people")]
    title, scale = "Whose answers are preferred", scale_of(rows, 0.5)
    picture = both_widths(
        lambda width: dots(
            "preference", title, " ".join(captions.preference(data)), rows, scale, width, (0.5, "no preference")
        )
    )
    used = [item for item, rates in zip(shown, (gold, human), strict=True) if rates]
    return figure(
        "preference",
        number,
        title,
        captions.preference(data) + (preferred.sentences(more) if more else []),
        join(legend(used), picture, preferred.scale_picture(more) if more else None),
        join(
            table("Win rates; a tie counts half", ["pair", "judge", *HEAD], numbers),
            preferred.tables(more) if more else None,
        ),
        data,
    )


def calibration(data: ReportData, number: int) -> Safe:
    found = data.calibration
    assert found is not None
    rows = []
    for band in found.bins:
        foreseen = Mark("paper", percent(band.predicted), band.predicted, band.predicted, band.predicted)
        rows.append(Row(f"Foreseen {percent(band.predicted)}", (mark("ours", band.observed), foreseen)))
    title, said = "Is the reward model as sure as it may be", captions.calibrated(data)
    scale = scale_of(rows, 0.5)
    shown = both_widths(lambda width: dots("calibration", title, " ".join(said), rows, scale, width))
    numbers = [[percent(band.predicted, 1), *cells(band.observed)] for band in found.bins]
    return figure(
        "calibration",
        number,
        title,
        said,
        join(legend([("ours", "came true"), ("paper", "foreseen")]), shown),
        table("Probability foreseen and share that came true", ["foreseen", *HEAD], numbers),
        data,
    )


def _series(curve: Curve, x: tuple[float, ...], y: tuple[float, ...]) -> Series:
    line = tuple(smooth(y, captions.window_of(len(y))))
    return Series(curve.model, name_of(curve.model), x, y, line)


def training(data: ReportData, figure_number: int) -> Safe:
    panels = [
        Panel("Reward model's score", tuple(_series(c, tuple(map(float, c.step)), c.proxy) for c in data.curves)),
        Panel("KL from the start model, nats", tuple(_series(c, tuple(map(float, c.step)), c.kl) for c in data.curves)),
    ]
    title, said = "Reward and distance over training", captions.training(data)
    picture = both_widths(lambda width: lines("training", title, " ".join(said), panels, "iteration", width))
    numbers = [
        [f"{name_of(c.model)}, {c.step[i]}", number(c.proxy[i]), number(c.kl[i])]
        for c in data.curves
        for i in sampled(len(c.step))
    ]
    shown = join(legend([(c.model, name_of(c.model)) for c in data.curves]), picture)
    head = ["model, iteration", "score", "KL"]
    return figure(
        "training",
        figure_number,
        title,
        said,
        shown,
        table("Score and distance at some of the iterations", head, numbers),
        data,
    )


def sampled(count: int, most: int = 12) -> list[int]:
    """At most so many places, evenly, the first and the last among them."""
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def followed(data: ReportData, figure_number: int) -> Safe:
    """Two charts over the distance gone: what the reward model that was followed says, and what another one says."""
    made = [_way_of(one, nth) for nth, one in enumerate(data.results.followed, start=1)]
    pictures, numbers = (join(*parts) for parts in zip(*made, strict=True))
    title = "How far the reward model may be followed"
    return figure("followed", figure_number, title, captions.followed(data), pictures, numbers, data)


AT = {"policy": "iteration", "best_of": "n ="}


def _way_of(one: Followed, nth: int) -> tuple[Safe, Safe]:
    """The charts of a run, and their numbers with the fits."""
    known = {"policy": ("ppo", name_of(one.run)), "best_of": ("ours", "best of n")}
    ways = [(*known[way.kind], way) for way in one.ways]
    plots = (
        over_distance(f"Gain by {one.gold}, which it is held against", (line(*way, what="gold") for way in ways)),
        over_distance(f"Gain by {one.proxy}, which was followed", (line(*way, what="proxy") for way in ways)),
    )
    pictures = (
        join(el("h4", shown.title), both_widths(lambda width, key=key, shown=shown: plot(key, shown, width)))
        for key, shown in zip((f"followed-{nth}-gold", f"followed-{nth}-proxy"), plots, strict=True)
    )
    told = fits({name: way for _, name, way in ways}, one.gold, one.proxy)
    caption = "Fits of Gao et al. 2023: d(α − β log d) for a policy, d(α − β d) for best of n; d = √KL"
    points = [(f"{name}, {AT[way.kind]} {point.at}", point) for _, name, way in ways for point in way.points]
    rows = [
        [label, number(p.kl.value), *plot_cells(p.gold, "score")[:2], *plot_cells(p.proxy, "score")]
        for label, p in points
    ]
    head = ["way", "KL, nats", one.gold, "95 % interval", one.proxy, "95 % interval", "n"]
    gains = table("Gains over the start's answers to the same prompts", head, rows)
    styles = [(style, name) for style, name, _ in ways]
    return join(legend(styles), *pictures), join(gains, table(caption, list(FITS_HEAD), told))


def behaviour(data: ReportData, number: int) -> Safe:
    pictures, numbers = [], []
    models: dict[str, str] = {}
    for rate, by_model in data.rates.items():
        name = captions.RATE_NAMES.get(rate, (rate.replace("_", " ").capitalize(), ""))[0]
        rows = [Row(name_of(model), (mark(model, by_model[model], 1),)) for model in in_order(by_model)]
        numbers += [[f"{name}, {name_of(model)}", *cells(by_model[model])] for model in in_order(by_model)]
        models |= {model: name_of(model) for model in by_model}
        scale = scale_of(rows, 0.0)
        told = "; ".join(f"{row.label} {row.marks[0].text}" for row in rows)
        chart = dots(f"rate-{rate}", name, told, rows, scale, NARROW)
        pictures.append(el("div", el("h4", name), chart, class_="small"))
    shown = join(el("div", *pictures, class_="smalls"))
    caption = "Share of the answers for which it was asked; lower is better but for constraints met"
    return figure(
        "behaviour",
        number,
        "What the answers are like",
        captions.behaviour(data),
        shown,
        table(caption, ["rate, model", *HEAD], numbers),
        data,
    )
