"""One page with every figure, in one file: no network, no script, light and dark, screen and paper."""

from importlib import resources
from pathlib import Path

from biddable.measure import captions, figures, task_figures
from biddable.measure.captions import GAP
from biddable.measure.charts import NARROW, WIDE
from biddable.measure.loop_picture import picture
from biddable.measure.markup import Safe, el, join, prose, table
from biddable.measure.results import NAMES, ReportData, Sample, in_order, name_of
from biddable.runs import write_aside

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

HAMLET = (
    "This is Hamlet, a practice world: a tiny language, small models and simulated people. The loop that ran is the "
    "real one and every number below was measured, but they tell of a wind tunnel, not of anyone's opinions. "
    "Because the world is built, its truth is known: the page can say what is better, and not only what was preferred."
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


def page(data: ReportData) -> str:
    style = resources.files("biddable.measure").joinpath("report.css").read_text(encoding="utf-8")
    sections = body(data)
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{data.title} · biddable"),
        el("style", Safe(style)),
    )
    names = dict(SECTIONS)
    there = el("ol", *(el("li", el("a", names[key], href=f"#{key}")) for key in sections))
    contents = el("nav", el("p", "On this page"), there, aria_label="On this page")
    main = el("main", header(data), *sections.values(), footer(data))
    return "<!DOCTYPE html>\n" + el("html", head, el("body", contents, main), lang="en") + "\n"


def header(data: ReportData) -> Safe:
    facts = [
        data.made,
        f"{data.results.seconds / 60:.1f} minutes",
        f"seed {data.seed}" if data.seed is not None else "",
        f"biddable {data.version}" if data.version else "",
    ]
    return el(
        "header",
        el("p", "biddable · report", class_="brand"),
        el("h1", data.title),
        el("p", " · ".join(fact for fact in facts if fact), class_="facts"),
        el("p", el("strong", "Practice world. "), HAMLET, class_="banner") if data.world == "hamlet" else None,
        *(el("p", el("strong", "Read this first. "), text, class_="alert") for text in captions.alerts(data)),
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
        judges = [figures.labels(data, number["labels"])]
    else:
        judges = [el("p", prose(text)) for text in captions.labels(data)]
    if "calibration" in shown:
        judges.append(figures.calibration(data, number["calibration"]))
    made["judges"] = section("judges", *judges)
    if "training" in shown:
        trained = [figures.training(data, number["training"])]
        trained += [figures.frontier(data, number["frontier"])] if "frontier" in shown else []
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
    cards = [
        el(
            "li",
            el("span", headline.label, class_="what"),
            el("span", headline.value, class_="number"),
            el("span", f"95{GAP}%: {headline.interval}" if headline.interval else "", class_="interval"),
            el("span", headline.meaning, class_="meaning"),
        )
        for headline in captions.headlines(data)
    ]
    said = [el("p", prose(text)) for text in captions.summary(data)]
    return section("summary", el("ul", *cards, class_="cards"), *said)


def loop(data: ReportData) -> Safe:
    counts = data.counts
    told = (
        "What people do stands above, what machines make of it below. Each model starts from the one before it; all "
        "that it learns from people is what they wrote or how they ranked."
    )
    people = f" {counts.labelers} labelers took part." if counts.labelers else ""
    road = f" {data.road}" if data.road else ""
    both = join(*(picture(counts, width) for width in (WIDE, NARROW)))
    return section("loop", el("p", told + people + road), el("div", both, class_="picture"))


def answers(data: ReportData) -> Safe:
    told = "The same prompts, answered by each model, as they came."
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
        said.append(
            "The truth is a function that the world was built with. It measures; no model was trained on it, and the "
            "labelers see it only through their own taste and carelessness."
        )
    seen = {source.folder: source for sources in data.sources.values() for source in sources}
    rows = [
        [source.run, source.folder, name, sha]
        for source in seen.values()
        for name, sha in (sorted(source.inputs.items()) or [("–", "–")])
    ]
    models = [[name_of(model), data.results.models[model]] for model in in_order(data.results.models)]
    return section(
        "method",
        *(el("p", text) for text in said),
        el("h3", "The runs behind the figures"),
        table("Every number: figure → run → snapshot", ["run", "folder", "input", "sha256"], rows),
        el("h3", "The models"),
        table("Each loads with transformers", ["model", "folder"], models) if models else None,
    )


def footer(data: ReportData) -> Safe:
    return el("footer", el("p", f"Made by biddable {data.version}. This page loads nothing and sends nothing."))
