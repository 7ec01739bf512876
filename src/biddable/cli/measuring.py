"""From the store's labels to numbers and their page: `measure` and `report`."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from biddable import config, records, runs
from biddable.cli import project
from biddable.cli.people import Split, What, take
from biddable.cli.project import Project, say
from biddable.config import ConfigError
from biddable.lineage import Tracks
from biddable.records import Prompt

FIRST_DAY = date(2000, 1, 1)  # before any store
PAGE = "report.html"
ONLINE = ("ppo", "rloo", "grpo", "reinforce", "raft")  # stages that log a score and a KL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biddable.measure.cost import Paid
    from biddable.measure.interval import Interval


def measure(
    split: Annotated[Split, typer.Option(help="Labels on whose prompts are counted.")] = "test",
    baseline: Annotated[
        str | None, typer.Option(help="The model that all others are held against; sft, or the first of the loop.")
    ] = None,
    each: Annotated[int, typer.Option(min=1, help="Verdicts that a prompt gets by plan, before looks count it.")] = 1,
    within: Annotated[
        float,
        typer.Option(
            min=0.001, max=0.49, help="To plan how many more verdicts: 0.03 is a win rate known to ± 3 points."
        ),
    ] = 0.03,
    power: Annotated[
        float, typer.Option(min=0.51, max=0.999, help="And the chance to find a difference as large as was seen.")
    ] = 0.8,
    owners: Annotated[
        Path | None, typer.Option(help="CSV of owner,group: win rates by whose prompts they are, too.")
    ] = None,
) -> None:
    """Count what people said: win rates with intervals, agreement, reward-model accuracy, rates of faults, the tax.

    Example: `biddable measure --split test`
    """
    from biddable.measure import counting
    from biddable.measure.results import COUNTED_FROM, among, data_text, write_results

    here = project.find()
    settings = config.load(
        counting.MeasureConfig, [f"split={split}", f"each={each}", f"half={within}", f"power={power}"]
    )
    settings = settings.model_copy(update={"baseline": baseline})
    inputs = evidence(here, split) | ({"owners": owners} if owners else {})
    counting.groups_of_owners(owners)  # a fault in it is told before anything is counted
    folder = here.runs / counting.name_of_run(inputs, settings)
    if not runs.finished(folder, "measure", settings, inputs, 0):
        with runs.start(folder, "measure", settings, inputs, 0) as run:
            ground = counting.Ground(here.runs, here.root, inputs, settings, here.world, paid_until_now(here))
            data = counting.count(run, ground)
            write_results(data.results, run.output("results", folder / "results.json"))
            runs.write_aside(run.output("data", folder / "report.json"), data_text(data))
    _tell(folder / "report.json", baseline)
    counted = among(inputs, COUNTED_FROM["human_win_rate"])
    if others := _voted_elsewhere(here, split):
        say(f"{'not counted are' if counted else 'no win rates, for there are'} {others}")
    elif not counted:
        say("no win rates: nobody was asked which of two models' answers is better; rankings teach a reward model")
    say(f"{folder}: these and more numbers; next: biddable report")


def report(
    out: Annotated[Path | None, typer.Option(help="The page; report.html in the project when not said.")] = None,
) -> None:
    """Write the latest measurement as one self-contained page with every figure, and the model's card beside it.

    A page that tells more, and a card that somebody has edited, are left as they are.

    Example: `biddable report` or `biddable report --out march.html`, whose card is march-model-card.md
    """
    from biddable.measure.card import NAME
    from biddable.measure.in_short import subject
    from biddable.measure.report import lacking, write_report
    from biddable.measure.results import ReportData

    here = project.find()
    measured = [path for path in here.runs.glob("measure-*/report.json") if _status(path.parent) == "done"]
    if not measured:
        raise ConfigError(f"{here.runs}: nothing is measured yet; say first: biddable measure")
    latest = max(measured, key=lambda path: runs.read_manifest(path.parent).started)
    data = ReportData.model_validate_json(latest.read_bytes())
    page = out or here.root / PAGE
    if missed := lacking(data, page):
        raise ConfigError(
            f"{page}: stays as it is, since it tells more than {latest.parent} counted ({', '.join(missed)}); write "
            "beside it (biddable report --out measured.html), or move it away"
        )
    write_report(data, page)
    say(f"{page}: the report of {latest.parent}")
    card = NAME if page.name == PAGE else f"{page.stem}-{NAME}"
    say(_card(here, subject(data.results), latest.parent, page.with_name(card)))


def _card(here: Project, model: str | None, measured: Path, place: Path) -> str:
    """Write the card of the model that the report speaks of."""
    from biddable.measure.card import write_card

    if model is None:
        return "no model card: the report speaks of no model"
    tracks = Tracks.below(here.runs, here.root)
    run = tracks.run(model)
    if run is None or run.output("model") is None:
        return f"no model card: {model} was not trained here"
    if write_card(tracks, run, tracks.run(measured.name), place):
        return f"{place}: the card of {run.id}"
    return f"{place}: was edited, so it stays as it is; for a new one, move it away"


def evidence(here: Project, split: Split) -> dict[str, Path]:
    """Snapshots of what people said, and what the machines left: scores, likelihoods and training metrics."""
    chosen = None if split == "all" else split
    with project.open_store(here) as store:
        said: dict[What, bool] = {
            "verdicts": store.holds("verdict", chosen),
            "judgements": store.holds("judgement", chosen),
            "rankings": store.holds("ranking"),
        }
        wrote = store.holds("demonstration")
    there = [what for what, any_of in said.items() if any_of]
    judged = [path for path in here.runs.glob("judge-*/verdicts.jsonl") if _on(path, split)]
    written = [*here.runs.glob("evaluate-*/benchmarks.jsonl"), *here.runs.glob("*/marks.jsonl")]
    written += here.runs.glob("follow-*/followed.jsonl")
    if not (there or judged or written):
        others = _voted_elsewhere(here, split)
        raise ConfigError(
            f"{here.store}: no verdicts or judgements on {split} prompts, rankings or benchmarks: nothing to measure"
            + (f"; there are {others}" if others else "")
        )
    # Agreement is a matter of all who ranked, on whichever prompts.
    found = {what: take(here, what, "all" if what == "rankings" else split, "all") for what in there}
    if wrote:
        found["demos"] = take(here, "demos", "all", "all")  # for what it cost, and nothing else
    left = [*judged, *here.runs.glob("score-*/scored.jsonl"), *here.runs.glob("*/folds.json"), *written]
    left += [*here.runs.glob("*/scores.jsonl"), *here.runs.glob("weigh-*/likelihoods.jsonl"), *_training(here)]
    done = [path for path in sorted(left) if _status(path.parent) == "done"]
    return {str(what): path for what, path in found.items()} | {
        f"{path.parent.name} {path.stem}": path for path in done
    }


def _voted_elsewhere(here: Project, split: Split) -> str:
    """On which other prompts there are verdicts, and the command that counts these; nothing where all are counted."""
    with project.open_store(here) as store:
        there = [one for one in get_args(records.Split) if split != "all" and store.holds("verdict", one)]
    others = [one for one in there if one != split]
    if not others:
        return ""
    which = others[0] if [others[0]] == there else "all"
    return f"verdicts on {' and '.join(others)} prompts: biddable measure --split {which}"


def paid_until_now(here: Project) -> "Paid | None":
    """What the log of activity says until now; nothing where no job has a pay, or nobody was active."""
    from biddable.measure.cost import Paid
    from biddable.store import pay

    today = datetime.now(UTC).date()
    with project.open_store(here) as store, store.reading() as connection:
        sheet = pay.sheet(connection, FIRST_DAY, today)
    amount = sum(line.pay for line in sheet)
    return Paid(amount=round(amount, 2), hours=sum(line.paid for line in sheet) / 60, until=today) if amount else None


def _on(verdicts: Path, split: Split) -> bool:
    """Whether a judge was asked about prompts of this split."""
    return split == "all" or any(isinstance(one, Prompt) and one.split == split for one in records.read(verdicts))


def _tell(path: Path, asked: str | None) -> None:
    """The numbers that a person wants at once: those of the page's first screen, then those beside them. `asked` is the
    baseline that was named."""
    from biddable.measure.captions import few_pairs, followed, people, span, versus
    from biddable.measure.in_short import headlines, lines
    from biddable.measure.preferred import in_short
    from biddable.measure.results import NAMES, RANKED_BY, ReportData

    data = ReportData.model_validate_json(path.read_bytes())
    results, told = data.results, {one.label for one in headlines(data)}
    for line in lines(data):
        say(line)
    baseline = results.preference.baseline if results.preference else None
    few = few_pairs(results.human_win_rate, baseline)
    wins = {f"{versus(key)}, by {people(results, key)}": results.human_win_rate[key] for key in few}
    rates = {
        **{label: rate for label, rate in wins.items() if label not in told},
        **{f"reward model, {RANKED_BY[key]}": rate for key, rate in results.reward_accuracy.items()},
        **_each("hallucination", results.hallucination),
        **_each("toxicity", results.toxicity),
        **_each("mean of the tasks", results.tax),
    }
    for what, rate in rates.items():
        say(f"{what}: {span(rate)}")
    if results.preference is not None:
        if asked is None and baseline not in (None, *NAMES):
            say(f"held against {baseline}, the first by name; against another: biddable measure --baseline NAME")
        for line in in_short(results.preference):
            say(line)
    if results.followed:
        for line in followed(data):
            say(line)


def _each(what: str, by_model: "Mapping[str, Interval]") -> "dict[str, Interval]":
    from biddable.measure.results import in_order, name_of

    return {f"{what}, {name_of(model)}": by_model[model] for model in in_order(dict(by_model))}


def _training(here: Project) -> list[Path]:
    return [path for path in here.runs.glob(f"*/{runs.METRICS}") if runs.read_manifest(path.parent).kind in ONLINE]


def _status(folder: Path) -> str:
    return runs.read_manifest(folder).status if (folder / runs.MANIFEST).is_file() else "no run"
