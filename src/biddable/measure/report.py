"""One page with every figure, in one file: no network, no script, light and dark, screen and paper."""

import re
from importlib import resources
from pathlib import Path

from biddable.lineage import DATA
from biddable.measure import captions, figures, in_short, label_figures, task_figures
from biddable.measure.captions import GAP
from biddable.measure.charts import NARROW, WIDE
from biddable.measure.loop_picture import picture
from biddable.measure.markup import Child, Safe, document, el, join, prose, table
from biddable.measure.results import NAMES, ReportData, Sample, data_sha256, in_order, name_of
from biddable.runs import write_aside

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

PRACTICE = "Simulated people and small models: every number was measured, and tells of a wind tunnel, not of opinions."
HAMLET = (
    "Hamlet is a practice world: a tiny language, small models and simulated people. The loop that ran is the real "
    "one. Because the world is built, its truth is known: the page can say what is better, and not only what was "
    "preferred."
)

WORTH = (
    "Under each answer stands what it is truly worth in the practice world: points for doing what was asked, truly and "
    "in good sentences, less for faults. More is better; compare answers to the same prompt alone."
)

SECTIONS = (
    ("summary", "In one minute"),
    ("loop", "What happened"),
    ("preferred", "Who is preferred"),
    ("judges", "Labels and reward"),
    ("trained", "Training"),
    ("manners", "Behaviour"),
    ("forgotten", "The tax"),
    ("public", "Truth, toxicity and bias"),
    ("answers", "Samples"),
    ("gates", "Gates"),
    ("method", "How it was counted"),
)


def write_report(data: ReportData, out: Path) -> Path:
    """Write the page to `out`, aside and then renamed."""
    write_aside(out, page(data))
    return out


def lacking(data: ReportData, there: Path) -> list[str]:
    """Headings of a page that is there and that this one would not have. A walk counts what no later measurement can:
    its gates, the truth, the tax."""
    if not there.is_file():
        return []
    before = re.findall(r'<section id="(\w+)"', there.read_text(encoding="utf-8", errors="replace"))
    now = body(data)
    return [heading for key, heading in SECTIONS if key in before and key not in now]


def page(data: ReportData) -> str:
    style = resources.files("biddable.measure").joinpath("report.css").read_text(encoding="utf-8")
    sections = body(data)
    names = dict(SECTIONS)
    there = el("ol", *(el("li", el("a", names[key], href=f"#{key}")) for key in sections))
    contents = el("nav", el("p", "On this page"), there, aria_label="On this page")
    main = el("main", header(data), *sections.values(), footer(data))
    made_of = el("meta", name=DATA, content=data_sha256(data))
    return document(f"{data.title} · biddable", style, POLICY, contents, main, facts=made_of)


def header(data: ReportData) -> Safe:
    facts = [
        data.made,
        in_short.time(data.results.seconds),
        f"seed {data.seed}" if data.seed is not None else "",
        f"biddable {data.version}" if data.version else "",
    ]
    return el(
        "header",
        el("p", "biddable · report", class_="brand"),
        el("h1", data.title),
        el("p", " · ".join(fact for fact in facts if fact), class_="facts"),
        el("p", el("strong", "Practice world. "), PRACTICE, class_="banner") if data.world == "hamlet" else None,
        *(el("p", el("strong", "Read this first. "), text, class_="alert") for text in in_short.alerts(data)),
    )


def section(key: str, *inside: Safe | None) -> Safe:
    return el(
        "section", el("h2", dict(SECTIONS)[key], id=f"{key}-head"), *inside, id=key, aria_labelledby=f"{key}-head"
    )


def body(data: ReportData) -> dict[str, Safe]:
    """The sections that there is something to say in."""
    shown = data.shown()
    number = {key: place for place, key in enumerate((k for k in shown if k != "samples"), start=1)}
    made = {"summary": summary(data), "loop": loop(data)}
    if "preference" in shown:
        made["preferred"] = section("preferred", figures.preference(data, number["preference"]))
    if "labels" in shown:
        judges = [label_figures.labels(data, number["labels"])]
    else:
        judges = [el("p", prose(text)) for text in captions.labels(data)]
    if "calibration" in shown:
        judges.append(figures.calibration(data, number["calibration"]))
    made["judges"] = section("judges", *judges)
    trained = []
    if "training" in shown:
        trained.append(figures.training(data, number["training"]))
    if "followed" in shown:
        trained.append(figures.followed(data, number["followed"]))
    if trained:
        made["trained"] = section("trained", *trained)
    if "behaviour" in shown:
        made["manners"] = section("manners", figures.behaviour(data, number["behaviour"]))
    if "tax" in shown:
        made["forgotten"] = section("forgotten", task_figures.tax(data, number["tax"]))
    if "benchmarks" in shown:
        made["public"] = section("public", task_figures.benchmarks(data, number["benchmarks"]))
    if "samples" in shown:
        made["answers"] = answers(data)
    if data.gates:
        made["gates"] = gates(data)
    return made | {"method": method(data)}


def summary(data: ReportData) -> Safe:
    """What somebody with one minute came for: four answers, and the five numbers that the terminal told too."""
    told = [
        el("div", el("dt", one.question), el("dd", el("strong", one.short), " ", prose(one.more)))
        for one in in_short.answers(data)
    ]
    cards = [
        el(
            "li",
            el("span", headline.label, class_="what"),
            el("span", value(headline.value), class_="number"),
            el("span", f"95{GAP}%: {headline.interval}" if headline.interval else "", class_="interval"),
            el("span", prose(headline.meaning), class_="meaning"),
        )
        for headline in in_short.headlines(data)
    ]
    return section("summary", el("dl", *told, class_="asked"), el("ul", *cards, class_="cards"))


def value(said: str) -> Safe:
    """A number, and small beside it a unit that is a word: 0.3 points."""
    number, space, unit = said.partition(" ")
    return join(number, el("small", space + unit) if unit else None)


def loop(data: ReportData) -> Safe:
    counts = data.counts
    people = f"{captions.plural(counts.labelers, 'labeler')} took part." if counts.labelers else ""
    more = " ".join(part for part in (people, data.road) if part)
    both = join(*(picture(counts, width) for width in (WIDE, NARROW))) if captions.learned(data) else None
    spent = [_work(data), _machine(data)]
    return section(
        "loop",
        el("p", prose(captions.story(data))),
        el("p", more) if more else None,
        el("div", both, class_="picture") if both else None,
        *(one for one in spent if one is not None),
    )


def _work(data: ReportData) -> Safe | None:
    spent = data.results.cost
    if spent is None or not spent.labels:
        return None
    rows = [
        [kind, f"{work.labels:,}", f"{work.hours:,.1f}" if work.timed else "not recorded", f"{work.timed:,}"]
        for kind, work in spent.work.items()
    ]
    groups = ", ".join(f"{count} {group.replace('_', '-')}" for group, count in spent.labelers.items())
    caption = "What people gave" + (f"; labelers by group: {groups}" if groups else "")
    return table(caption, ["labels", "how many", "hours", "that tell their hours"], rows)


def _machine(data: ReportData) -> Safe | None:
    if not data.machine:
        return None
    rows = [[kind, in_short.time(seconds)] for kind, seconds in data.machine.items()]
    rows.append(["all", in_short.time(sum(data.machine.values()))])
    cores = f", on a machine of {data.cores} cores" if data.cores else ""
    return table(f"What machines took, by stage{cores}; stages may run side by side", ["runs of", "time"], rows)


def answers(data: ReportData) -> Safe:
    told = "The same prompts, answered by each model, as they came."
    if any(one.worth for one in data.samples):
        told += f" {WORTH}"
    return section(
        "answers",
        el("p", told),
        *(sample(one, place) for place, one in enumerate(data.samples, start=1)),
        el("p", "From ", *figures.roads(data.sources["samples"]), class_="road"),
    )


def sample(one: Sample, place: int) -> Safe:
    """One prompt and its answers side by side; whatever a model wrote is text here, never markup."""
    cards = [
        el(
            "li",
            el("h4", name_of(model)),
            el(
                "p",
                one.answers[model] or "(nothing)",
                class_="said" if one.answers[model] else "said empty",
                dir="auto",
            ),
            el("p", f"worth {captions.number(one.worth[model])}", class_="worth") if model in one.worth else None,
            class_=f"from {model if model in NAMES else 'other'}",
        )
        for model in in_order(one.answers)
    ]
    kind = el("span", one.use_case.replace("_", " "), class_="kind") if one.use_case else None
    title = el("h3", f"Prompt {place} ", kind)
    return el("article", title, el("p", one.prompt, class_="prompt", dir="auto"), el("ul", *cards, class_="answers"))


def gates(data: ReportData) -> Safe:
    failed = sum(not gate.passed for gate in data.gates)
    told = "Each stage must pass before the next may be believed. " + (
        f"{failed} of {len(data.gates)} did not." if failed else f"All {len(data.gates)} passed."
    )
    rows = [
        el(
            "li",
            el("strong", "Passed" if gate.passed else "Failed", class_="mark-word"),
            el("span", gate.question, class_="question"),
            el("span", prose(f"Needed {gate.needed}; found {gate.found}."), class_="found"),
            class_="passed" if gate.passed else "failed",
        )
        for gate in data.gates
    ]
    return section("gates", el("p", told), el("ul", *rows, class_="gates"))


def method(data: ReportData) -> Safe:
    said = [
        "Every interval is a 95 % bootstrap interval. Where people judge, prompts and labelers are drawn again "
        "together, so it speaks of other prompts and other labelers too; where there is one judge, prompts alone; on "
        "tasks, their items.",
        "Pairs of one ranking are never counted as independent. A tie counts half in a win rate; in agreement, a tie "
        "against a choice counts half; reward accuracy is on strict pairs and needs a strictly higher score.",
        "Hallucination is counted only where it was asked (closed-domain prompts), constraints only where there was "
        "one. A zero has an upper end above zero: none seen is not none there.",
    ]
    if data.world == "hamlet":
        said.append(HAMLET)
        said.append(
            "The truth is a function that the world was built with. It measures; no model was trained on it, and the "
            "labelers see it only through their own taste and carelessness."
        )
    inputs: dict[str, dict[str, tuple[str, str]]] = {}
    for source in (source for sources in data.sources.values() for source in sources):
        there = inputs.setdefault(source.folder, {})
        there |= {name: (source.files.get(name, ""), sha256) for name, sha256 in source.inputs.items()}
    rows: list[list[Child]] = [
        [folder, name, file or "–", el("code", sha256)]
        for folder, there in inputs.items()
        for name, (file, sha256) in sorted(there.items() or [("–", ("", "–"))])
    ]
    # A page is passed on: of a model that lies elsewhere it says the name, and not whose home it is in.
    lie = {name: Path(at).name if Path(at).is_absolute() else at for name, at in data.results.models.items()}
    models = [[name_of(model), lie[model]] for model in in_order(lie)]
    known = el("code", data_sha256(data))
    walk = el("code", "biddable trace report.html"), el("code", "biddable trace report.html#figure-labels")
    return section(
        "method",
        *(el("p", text) for text in said),
        el("h3", "The runs behind the figures"),
        el(
            "p", "From this page, or from one of its figures, to the runs, snapshots, labels and labelers below it: ",
            walk[0], " or ", walk[1], ". The page was made of the data ", known, ".",
        ),
        table("Every number: figure → run → snapshot", ["run", "input", "file", "sha256"], rows),
        el("h3", "The models") if models else None,
        table("Each loads with transformers", ["model", "folder"], models) if models else None,
    )  # fmt: skip


def footer(data: ReportData) -> Safe:
    return el("footer", el("p", f"Made by biddable {data.version}. This page loads nothing and sends nothing."))
