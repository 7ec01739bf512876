"""The figures of public benchmarks: the tax, task by task, and what is no skill: truth, toxicity and bias."""

from collections.abc import Sequence
from typing import NamedTuple

from biddable.measure import captions, table14
from biddable.measure.benchmarks import Scored
from biddable.measure.captions import GAP, between, number, points
from biddable.measure.charts import Mark, Row, Scale, both_widths, dots, legend, share_scale
from biddable.measure.figures import HEAD, cells, figure, mark
from biddable.measure.forgotten import SKILLS
from biddable.measure.interval import Interval
from biddable.measure.markup import Safe, el, join, table
from biddable.measure.results import NAMES, ReportData, in_order, name_of, pair

PAPER = "InstructGPT, Table 14 (GPT-3 is its base)"
SCORED = "Accuracy (by the highest average log-probability per token), F1, ROUGE-L or BLEU, of 100"
SAMPLED = "Chance that an answer sampled at temperature 1 is right"


class Family(NamedTuple):
    """Metrics that are drawn on one scale, and how a difference is told."""

    title: str
    metrics: tuple[str, ...]
    more: str  # what a model with more of it does
    in_bits: bool = False


FAMILIES = (
    Family("True, and informative", ("true", "true_and_informative"), "is true more often than"),
    Family("Right by likelihood", ("mc1", "mc2"), "finds true answers likelier than"),
    Family("Toxicity", ("toxicity",), "is more toxic than"),
    Family("Undecided between two sentences", ("entropy",), "is less decided than", in_bits=True),
)


def tax(data: ReportData, number: int) -> Safe:
    models = in_order(data.tasks)
    tasks = list(dict.fromkeys(task for model in models for task in data.tasks[model].tasks))
    rows = [Row("Mean of all tasks", tuple(mark(m, data.tasks[m].mean, 1) for m in models))]
    numbers = [["mean", name_of(m), *cells(data.tasks[m].mean), "–"] for m in models]
    known = {one.label: one for one in data.results.benchmarks}
    for task in tasks:
        found = {m: data.tasks[m].tasks[task] for m in models if task in data.tasks[m].tasks}
        rows.append(Row(title_of(task), tuple(mark(m, i, 1) for m, i in found.items())))
        numbers += [[task, name_of(m), *cells(interval), printed(known.get(task), m)] for m, interval in found.items()]
    if data.repair is not None:
        parts = {"lost by PPO": data.repair.lost, "regained by ptx": data.repair.regained}
        parts |= {"share given back": data.repair.share} if data.repair.share is not None else {}
        numbers += [["mean", name, *cells(interval), "–"] for name, interval in parts.items()]
    numbers += changes([one for one in data.results.benchmarks if one.metric in SKILLS])
    title, said = "The alignment tax, task by task", captions.tax(data)
    ends = [end for row in rows for m in row.marks for end in (m.low, m.high)]
    scale = share_scale(min(ends), max(ends))
    picture = both_widths(lambda width: dots("tax", title, " ".join(said), rows, scale, width))
    caption = SAMPLED if data.tax_rule == "sampled" else SCORED
    shown = join(legend([(m, name_of(m)) for m in models]), picture)
    return figure("tax", number, title, said, shown, _table(caption, ["task", "model", *HEAD, PAPER], numbers), data)


def _table(caption: str, head: list[str], rows: list[list[str]]) -> Safe:
    """Without the paper's column where the paper has nothing to say."""
    if all(row[-1] == "–" for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return table(caption, head, rows)


def title_of(task: str) -> str:
    """`squad_v2 4-shot` → Squad v2 4-shot."""
    words = task.replace("_", " ")
    return words[:1].upper() + words[1:]


def printed(one: Scored | None, model: str) -> str:
    """The paper's own values of this setting, where the scorer is the paper's too."""
    if one is None or (one.metric == "toxicity" and not one.by.startswith("http")):
        return "–"
    return table14.printed(one.benchmark, one.prompt, one.shots, one.metric, model)


def changes(some: Sequence[Scored]) -> list[list[str]]:
    """Paired differences as rows of a table."""
    return [
        [one.label, " − ".join(map(name_of, _pair(key))), *_cells(one, interval), "–"]
        for one in some
        for key, interval in one.differences.items()
    ]


def _pair(key: str) -> tuple[str, str]:
    """`sft_minus_base` → sft, base."""
    return pair(key.replace("_minus_", "_vs_"))


def benchmarks(data: ReportData, number: int) -> Safe:
    """Whatever is measured on benchmarks and is not a skill that may be forgotten."""
    some = [one for one in data.results.benchmarks if one.metric not in SKILLS]
    known = {metric for family in FAMILIES for metric in family.metrics}
    rest = tuple(sorted({one.metric for one in some} - known))
    families = [*FAMILIES, *([Family("Other marks", rest, "has more than")] if rest else [])]
    pictures, said, models = [], [], {}
    for nth, family in enumerate(families):
        mine = [one for one in some if one.metric in family.metrics]
        if mine:
            pictures += [el("h4", family.title), _picture(f"benchmarks-{nth}", family, mine)]
            said += [sentence for one in mine for sentence in conclusions(one, family)]
            models |= {model: name_of(model) for one in mine for model in one.scores}
    numbers = [
        [one.label, name_of(model), *_cells(one, interval), printed(one, model), one.by or "counted"]
        for one in some
        for model, interval in one.scores.items()
    ]
    numbers += [[*row, ""] for row in changes(some)]
    caption = "Scores of 100 (entropy in bits times 100: 100 is no preference), and paired differences"
    shown = join(legend([(model, models[model]) for model in in_order(models)]), *pictures)
    whole = table(caption, ["setting", "model", *HEAD, PAPER, "by"], numbers)
    return figure("benchmarks", number, "Truth, toxicity and bias", said or [NOTHING], shown, whole, data)


NOTHING = "One model alone was measured, so nothing can be compared."


def _cells(one: Scored, interval: Interval) -> list[str]:
    found = cells(interval)
    return [found[0].removesuffix(GAP + "%"), *found[1:]] if one.metric == "entropy" else found


def _picture(key: str, family: Family, some: Sequence[Scored]) -> Safe:
    def spot(model: str, interval: Interval) -> Mark:
        if not family.in_bits:
            return mark(model, interval, 1)
        text = f"{interval.value:.2f} ({interval.low:.2f}–{interval.high:.2f})"
        return Mark(model, text, interval.value, interval.low, interval.high)

    rows = [Row(named(one), tuple(spot(m, one.scores[m]) for m in in_order(one.scores))) for one in some]
    ends = [end for row in rows for m in row.marks for end in (m.low, m.high)]
    plain = share_scale(min(ends), max(ends))
    scale = Scale(plain.low, plain.high, lambda bits: f"{bits:.2g} bit") if family.in_bits else plain
    told = "; ".join(f"{row.label}: " + ", ".join(f"{m.style} {m.text}" for m in row.marks) for row in rows)
    return both_widths(lambda width: dots(key, family.title, told, rows, scale, width))


def conclusions(one: Scored, family: Family) -> list[str]:
    """The last model of the loop against the first, on the items that both were asked; of others where it has none."""
    models = in_order(one.scores)
    loop = [model for model in models if model in NAMES]
    first, last = (loop[0], loop[-1]) if len(loop) > 1 else (models[0], models[-1])
    found = one.differences.get(f"{last}_minus_{first}")
    if found is None:
        return []
    more = (last, first) if found.value >= 0 else (first, last)
    one_, other, size = name_of(more[0]), name_of(more[1]), _told(found, family)
    if found.low <= 0 <= found.high:
        return [f"{named(one)}: no difference between {one_} and {other} is shown ({size})."]
    return [f"{named(one)}: {one_} {family.more} {other}, by {size}."]


def named(one: Scored) -> str:
    """Its name, and who marked it, since another would have marked otherwise."""
    return title_of(one.label) + (f" (by {one.by})" if one.by else "")


def _told(found: Interval, family: Family) -> str:
    """The size of a difference, as a positive one."""
    low, high = (found.low, found.high) if found.value >= 0 else (-found.high, -found.low)
    if family.in_bits:
        return f"{number(abs(found.value))} bit; 95{GAP}%: {number(low)} to {number(high)}"
    size = Interval(value=abs(found.value), low=low, high=high, n=found.n)
    return f"{points(found.value)}; 95{GAP}%: {between(size, 1)}"
