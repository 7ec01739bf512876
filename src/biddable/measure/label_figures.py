"""The figure on labels: do people agree, each with the others, and does the reward model foresee them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from biddable.measure import captions
from biddable.measure.agreed import Agreed, Alone
from biddable.measure.captions import percent, ranged, span
from biddable.measure.charts import Mark, Row, both_widths, dots, legend
from biddable.measure.figures import HEAD, cells, figure, mark, scale_of
from biddable.measure.interval import Interval
from biddable.measure.markup import Safe, join, table
from biddable.measure.results import RANKED_BY, ReportData
from biddable.measure.reward import Folds

# Ouyang et al. 2022, 4.1: five-fold accuracy on labelers inside and outside the training groups, value ± error.
PAPER_ACCURACY = {"training labelers": (0.724, 0.004), "held-out labelers": (0.696, 0.009)}


def labels(data: ReportData, number: int) -> Safe:
    rows, numbers = [], []
    overall = data.results.agreement
    for label, interval, paper in _foreseen(data):
        marks = [mark("ceiling" if label == TRUTH else "ours", interval)]
        if paper is not None:
            value, error = paper
            text = f"{100 * value:.1f} ± {100 * error:.1f}"
            marks.append(Mark("paper", text, value, value - error, value + error))
        rows.append(Row(label, tuple(marks)))
        numbers.append([label, *cells(interval), marks[-1].text + captions.GAP + "%" if paper else "–"])
    title, chance = "Do labelers agree, and does the reward model foresee them", overall.chance if overall else 0.5
    reference = (chance, f"guessing, {percent(chance)}")
    scale = scale_of(rows, chance)
    said = captions.labels(data)
    picture = both_widths(lambda width: dots("labels", title, " ".join(said), rows, scale, width, reference))
    shown = join(legend([("ours", "this run"), ("paper", "InstructGPT, as printed")]), picture)
    caption = "Agreement (a tie against a choice counts half), accuracy on strict pairs; intervals over prompts alone"
    whole = table(caption, ["what", *HEAD, "paper"], numbers)
    more = (_folds(data.results.folds), *_coefficients(data.results.agreements), *_alone(data.results.alone))
    return figure("labels", number, title, said, shown, join(whole, *more), data)


TRUTH = "Truth itself"


def _foreseen(data: ReportData) -> list[tuple[str, Interval, tuple[float, float] | None]]:
    """Label, ours, and the paper's value ± error where it has one."""
    overall, folds, found = data.results.agreement, data.results.folds, data.results.reward_accuracy
    made: list[tuple[str, Interval, tuple[float, float] | None]] = [
        (f"Agreement, {one.who}", one.half, one.paper) for one in data.results.agreements
    ]
    if overall is not None and not made:
        made.append(("Agreement, labelers", overall, None))
    for key, who in RANKED_BY.items():
        if key in found:  # the paper's values are of folds: beside those they stand, if there are any
            made.append((f"Reward model, {who}", found[key], None if folds else PAPER_ACCURACY[who]))
    if folds is not None:
        many = f"{len(folds.own)} folds"
        made.append((f"{many}, labelers it knows", folds.own_mean, PAPER_ACCURACY["training labelers"]))
        made.append((f"{many}, labelers it does not", folds.held_out_mean, PAPER_ACCURACY["held-out labelers"]))
    if data.reward_ceiling is not None:
        made.append((TRUTH, data.reward_ceiling, None))
    return made


def _folds(found: Folds | None) -> Safe | None:
    """Each of the models, and mean ± standard error over them, as the paper prints it."""
    if found is None:
        return None
    rows = [[f"{n}", *cells(own), *cells(other)] for n, (own, other) in enumerate(_pairs(found), start=1)]
    means = ((found.own_mean, found.own_error), (found.held_out_mean, found.held_out_error))
    rows.append(["mean ± error", *(cell for mean, error in means for cell in _pooled(mean, error))])
    caption = "Reward models, each asked about the labelers that it learnt from and about the fold that it did not see"
    head = ["reward model", "labelers it knows", "95 % interval", "n", "labelers it does not", "95 % interval", "n"]
    return table(caption, head, rows)


def _pairs(found: Folds) -> Iterable[tuple[Interval, Interval]]:
    return zip(found.own, found.held_out, strict=True)


def _pooled(mean: Interval, error: float) -> list[str]:
    value, *rest = cells(mean)
    return [f"{value.removesuffix(captions.GAP + '%')} ± {100 * error:.1f}{captions.GAP}%", *rest]


def _coefficients(found: Sequence[Agreed]) -> Iterator[Safe]:
    """The same agreement in the words of the literature."""
    shares = [
        [
            one.who, span(one.half, 1), span(one.strict, 1), span(one.decided, 1) if one.decided else "–",
            percent(one.half.chance, 1), span(one.others, 1) if one.others else "–",
        ]
        for one in found
    ]  # fmt: skip
    head = ["among", "a tie half", "three answers", "no tie", "half, guessing", "half, for other people too"]
    if shares:
        yield table("Agreement with ties counted three ways, intervals over prompts", head, shares)
    points = [[one.who, *map(_point, (one.alpha, one.fleiss, one.tau, one.w))] for one in found if one.alpha or one.tau]
    head = ["among", "Krippendorff's α", "Fleiss' κ", "Kendall's τ", "Kendall's W"]
    if points:
        yield table("The same as coefficients: 1 is full agreement, 0 what chance would reach", head, points)


def _point(found: Interval | None) -> str:
    return ranged(found) if found else "–"


def _alone(found: Mapping[str, Sequence[Alone]]) -> Iterator[Safe]:
    """Each person beside the others. Names are for those who lead the team, and not for a page that is passed on."""
    for who, people in found.items():
        rows = [
            [f"{place}", f"{one.prompts:,}", span(one.agrees, 1), span(one.skill, 1) if one.skill else "–"]
            for place, one in enumerate(people, start=1)
        ]
        caption = f"Each of the {who}, without names, those who agree least with the others first"
        yield table(caption, ["labeler", "prompts shared", "agrees with the others", "right, by Dawid and Skene"], rows)
