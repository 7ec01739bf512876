"""The whole loop once, in Hamlet: from prompts to an aligned model and its report, on two cores, offline.

    folder = walk(Path("quickstart"), seed=0)

Run again, it goes on where it was stopped; a finished one does nothing twice and counts the same numbers.
"""

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from biddable import hamlet, records
from biddable.config import ConfigError, Settings, load
from biddable.gather import GatherConfig
from biddable.hamlet import exam, pages
from biddable.measure import in_short
from biddable.measure.results import ReportData
from biddable.quickstart import gates, people, reckoning
from biddable.quickstart.machines import Stage, together, workers
from biddable.records import Completion, Page, Prompt
from biddable.runs import check_space, write_aside
from biddable.store import open_store

RECIPE = hamlet.RECIPE
SPACE = 200_000_000  # bytes that a walk leaves, generously


class WalkConfig(Settings):
    """How much of everything; the stages have their own sections in the recipe."""

    written: int = Field(2600, gt=100, description="prompts that the labelers write, for demonstrations")
    customers: int = Field(7600, gt=200, description="prompts that come in from customers")
    ranked: int = Field(4200, gt=10, description="customers' prompts that are ranked for training")
    checked: int = Field(240, gt=10, description="valid prompts that are ranked by two of each group")
    tested: int = Field(400, gt=10, description="test prompts on which the models are compared")
    items: int = Field(250, gt=4, description="questions of each tax task, where there are as many")
    pages: int = Field(4000, gt=10, description="pretraining pages that start and ptx draw from")
    best_of: int = Field(16, gt=1, description="answers among which the reward model chooses, for its gate")
    best_prompts: int = Field(150, gt=10, description="prompts of that gate")


def walk(out: Path, seed: int = 0, recipe: Path = RECIPE, words: Sequence[str] = ()) -> Path:
    """Prompts, demonstrations, rankings, reward, PPO with and without ptx, evaluation, report. Returns its place."""
    config = load(WalkConfig, words, recipe=recipe, section="walk")
    out.mkdir(parents=True, exist_ok=True)
    check_space(out, SPACE)
    _project(out)
    files, made = out / "files", out / "runs"
    files.mkdir(exist_ok=True)
    base = hamlet.BASE
    stage = _Stages(recipe, made, seed)

    with clocked(out) as clock, open_store(out / "store.db") as store, workers() as pool:
        # Prompts and people.
        team = people.assemble(store, seed)
        rules = load(GatherConfig, recipe=recipe, section="gather")
        own, asked = people.collect(store, seed, config.written, config.customers, rules)
        _say(
            f"people: {len(team.hired)} hired after screening, {team.rejected} not, {len(team.outside)} held out",
            f"labelers' prompts: {_told(own.report)}",
            f"customers' prompts: {_told(asked.report)}",
        )
        train, valid, test = (_of(asked.prompts, split) for split in ("train", "valid", "test"))
        ranked, checked, tested = train[: config.ranked], valid[: config.checked], test[: config.tested]
        best = valid[-config.best_prompts :]
        for what, some, wanted in (
            ("ranked", ranked, config.ranked), ("checked", checked, config.checked), ("tested", tested, config.tested),
        ):  # fmt: skip
            if not some:
                raise ConfigError(f"customers: {config.customers} leave no prompts to be {what}; ask for more")
            if len(some) < wanted:
                _say(f"{what}: only {len(some)} prompts are there, {wanted} were wanted")
        stream = pages.pages(seed, "quickstart", clean=True)
        text = [Page(id=f"page-{n}", text=page) for n, page in enumerate(itertools.islice(stream, config.pages + 200))]
        places = {
            "pages": _write(files / "pages.jsonl", text[: config.pages]),
            "valid_pages": _write(files / "pages-valid.jsonl", text[config.pages :]),
            "ranked": _write(files / "ranked.jsonl", [*ranked, *checked]),
            "tested": _write(files / "tested.jsonl", tested),
            "best": _write(files / "best.jsonl", best),
            "items": _write(files / "items.jsonl", exam.items(exam.TAX, config.items)),
            "gate": _write(files / "gate.jsonl", exam.items(exam.GATE, config.items)),
        }

        # Step 1: demonstrations, the supervised model, and PPO's own starting point.
        people.write(store, team, [p for p in own.prompts if p.split in ("train", "valid")], seed)
        places |= people.snapshot(store, files, "demos")
        shown = {"demos": places["demos"], "valid": places["demos-valid"]}
        text_files = {"pages": places["pages"], "valid_pages": places["valid_pages"]}
        sft, start = together(
            pool,
            stage("sft", "sft", {"model": base, **shown}),
            stage(
                "start",
                "start",
                {"model": base, **shown, **text_files},
            ),
        )

        # Step 2: rankings and the reward model.
        asking = {"prompts": places["ranked"]}  # mostly supervised policies, as in the paper
        *answers, likely = together(
            pool,
            stage("sample", "answers-sft", {**asking, "sft": sft}),
            stage("sample", "answers-start", {**asking, "start": start}),
            stage("sample", "answers-base", {**asking, "base": base}, "k=1"),
            stage("likelihood", "gate-base", {"items": places["gate"], "base": base}),
        )
        given = [answer for place in answers for answer in _completions(place)]
        people.rank(store, team, [*ranked, *checked], given, seed)
        places |= people.snapshot(store, files, "rankings")
        few = gates.fifty(places["rankings"], files / "fifty.jsonl")
        judged = {"model": sft, "demos": places["demos"]}
        reward, _ = together(
            pool,
            stage("reward", "reward", {**judged, "rankings": places["rankings"], "valid": places["rankings-valid"]}),
            stage("reward", "gate-fifty", {**judged, "rankings": few}, section="gate_fifty"),
        )
        scores, choices = together(
            pool,
            stage("score", "scores", {"model": reward, "completions": places["rankings-valid"]}),
            stage("sample", "gate-best", {"prompts": places["best"], "sft": sft}, section="gate_best"),
        )
        choosing = _write(files / "choosing.jsonl", [*best, *_completions(choices)])
        (chosen,) = together(pool, stage("score", "gate-scores", {"model": reward, "completions": choosing}))
        passed = [
            gates.base(places["gate"], likely),
            gates.overfits(made / "gate-fifty"),
            gates.near_truth(places["rankings-valid"], scores),
            gates.best_of(choosing, chosen, config.best_of),
        ]
        _say(*gates.told(passed))

        # Step 3: PPO, without and with pretraining text in the mix.
        rl = {"start": start, "reward_model": reward, "prompts": places["prompts"]}
        ppo, ptx = together(
            pool,
            stage("ppo", "ppo", rl, "gamma_ptx=0"),
            stage("ppo", "ppo_ptx", {**rl, "pages": places["pages"]}),
        )

        # What came of it: people, the truth, and the tasks of the base model.
        models = {"base": base, "sft": sft, "ppo": ppo, "ppo_ptx": ptx}
        final, _ = together(
            pool,
            stage("sample", "final", {"prompts": places["tested"], **models}, "k=1"),
            stage("likelihood", "tax", {"items": places["items"], **models}),
        )
        by_model = {name: {c.prompt_id: c for c in _completions(final) if c.run_id == name} for name in models}
        people.compare(store, team, tested, by_model, reckoning.VERSUS, seed)
        store.snapshot("verdicts", files / "verdicts.jsonl", split="test", group=None)
        store.snapshot("judgements", files / "judgements.jsonl", split="test", group=None)

    folders = {"base": base, "sft": sft, "reward": reward, "ppo": ppo, "ppo_ptx": ptx}
    data = reckoning.report(
        reckoning.Evidence(out, seed, files, made, folders, tuple(passed), clock.seconds, team.rejected)
    )
    _five(data, out)
    return out


TOML = """# A project of the practice world: its people are simulated, and its pages say so.
store = "store.db"
world = "hamlet"
"""


def _project(out: Path) -> None:
    """A walk's folder is a project, so that `biddable trace`, `export` and `label` work in it; no real one is walked
    into."""
    place = out / "biddable.toml"
    if not place.exists():
        write_aside(place, TOML)
    elif 'world = "hamlet"' not in place.read_text(encoding="utf-8"):
        raise ConfigError(f"{out}: is a project of real people; name another folder with --out")


@dataclass
class Clock:
    seconds: float


@contextmanager
def clocked(out: Path) -> Iterator[Clock]:
    """Counts the seconds of a long command, over all the times that it was stopped and gone on with."""
    place = out / "seconds"
    before, begun = float(place.read_text()) if place.exists() else 0.0, time.monotonic()
    clock = Clock(before)
    try:
        yield clock
    finally:
        clock.seconds = before + time.monotonic() - begun
        write_aside(place, f"{clock.seconds:.1f}\n")


def _say(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def _told(report: dict) -> str:
    dropped = ", ".join(f"{count} {rule.replace('_', ' ')}" for rule, count in report["dropped"].items() if count)
    splits = ", ".join(f"{count} {split}" for split, count in report["splits"].items())
    return f"{report['read']} read, {report['kept']} kept ({splits}); left out: {dropped or 'none'}"


def _five(data: ReportData, out: Path) -> None:
    """The five numbers that matter, as the page has them, and where it is."""
    for line in in_short.lines(data):
        print(line)
    print(f"report: {out / 'report.html'}   numbers: {out / 'results.json'}   {data.results.seconds:.0f} s")


class _Stages:
    """Stages of this walk, from the recipe's sections."""

    def __init__(self, recipe: Path, runs: Path, seed: int) -> None:
        self.recipe, self.runs, self.seed = recipe, runs, seed

    def __call__(self, kind: str, name: str, inputs: dict[str, Path], *words: str, section: str = "") -> Stage:
        return Stage(kind, self.runs / name, section or kind, tuple(words), self.recipe, inputs, self.seed)


def _of(prompts: Sequence[Prompt], split: str) -> list[Prompt]:
    return [prompt for prompt in prompts if prompt.split == split]


def _write(place: Path, some) -> Path:
    records.write(place, some)
    return place


def _completions(place: Path) -> list[Completion]:
    return [record for record in records.read(place) if isinstance(record, Completion)]
