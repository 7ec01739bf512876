"""The whole loop once, in Hamlet: from prompts to an aligned model and its report, on two cores, offline.

    folder = walk(Path("quickstart"), seed=0)

Run again, it goes on where it was stopped; a finished one does nothing twice and counts the same numbers.
"""

import itertools
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from biddable import hamlet, records
from biddable.config import ConfigError, Settings, load
from biddable.gather import GatherConfig
from biddable.hamlet import exam, pages
from biddable.measure import in_short
from biddable.measure.card import NAME
from biddable.measure.results import Gate, ReportData
from biddable.quickstart import gates, people, reckoning
from biddable.quickstart.machines import Stage, together, workers
from biddable.records import Completion, Page, Prompt
from biddable.runs import check_space, write_aside
from biddable.store import Store, open_store

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
    rules = load(GatherConfig, recipe=recipe, section="gather")
    out.mkdir(parents=True, exist_ok=True)
    check_space(out, SPACE)
    _project(out)
    files, made = out / "files", out / "runs"
    files.mkdir(exist_ok=True)

    with clocked(out) as clock, open_store(out / "store.db") as store, workers() as pool:
        team = people.assemble(store, seed)
        own, asked = people.collect(store, seed, config.written, config.customers, rules)
        _say(
            f"people: {len(team.hired)} hired after screening, {team.rejected} not, {len(team.outside)} held out",
            f"labelers' prompts: {_told(own.report)}",
            f"customers' prompts: {_told(asked.report)}",
        )
        here = _Here(files, made, seed, store, team, pool, _Stages(recipe, made, seed))
        some = _prompts(asked.prompts, config)
        places = _material(here, some, config)
        sft, start = _step_1(here, own.prompts, places)
        reward, passed = _step_2(here, sft, start, some, places, config.best_of)
        ppo, ptx = _step_3(here, start, reward, places)
        models = {"base": hamlet.BASE, "sft": sft, "ppo": ppo, "ppo_ptx": ptx}
        _compare(here, models, some.tested, places)

    folders = {"base": hamlet.BASE, "sft": sft, "reward": reward, "ppo": ppo, "ppo_ptx": ptx}
    data = reckoning.report(
        reckoning.Evidence(out, seed, files, made, folders, tuple(passed), clock.seconds, team.rejected)
    )
    _five(data, out)
    return out


class _Here(NamedTuple):
    """Where a walk is, and who walks."""

    files: Path
    made: Path
    seed: int
    store: Store
    team: people.Team
    pool: ProcessPoolExecutor
    stage: "_Stages"


class _Some(NamedTuple):
    """Customers' prompts by what they are for."""

    ranked: list[Prompt]
    checked: list[Prompt]
    tested: list[Prompt]
    best: list[Prompt]


Places = dict[str, Path]


def _prompts(asked: Sequence[Prompt], config: WalkConfig) -> _Some:
    train, valid, test = (_of(asked, split) for split in ("train", "valid", "test"))
    some = _Some(train[: config.ranked], valid[: config.checked], test[: config.tested], valid[-config.best_prompts :])
    for what in ("ranked", "checked", "tested"):
        many, wanted = len(getattr(some, what)), getattr(config, what)
        if not many:
            raise ConfigError(f"customers: {config.customers} leave no prompts to be {what}; ask for more")
        if many < wanted:
            _say(f"{what}: only {many} prompts are there, {wanted} were wanted")
    return some


def _material(here: _Here, some: _Some, config: WalkConfig) -> Places:
    """What stages read that nobody has to say first: prompts, pages, and questions."""
    stream = pages.pages(here.seed, "quickstart", clean=True)
    text = [Page(id=f"page-{n}", text=page) for n, page in enumerate(itertools.islice(stream, config.pages + 200))]
    return {
        "pages": _write(here.files / "pages.jsonl", text[: config.pages]),
        "valid_pages": _write(here.files / "pages-valid.jsonl", text[config.pages :]),
        "ranked": _write(here.files / "ranked.jsonl", [*some.ranked, *some.checked]),
        "tested": _write(here.files / "tested.jsonl", some.tested),
        "best": _write(here.files / "best.jsonl", some.best),
        "items": _write(here.files / "items.jsonl", exam.items(exam.TAX, config.items)),
        "gate": _write(here.files / "gate.jsonl", exam.items(exam.GATE, config.items)),
    }


def _step_1(here: _Here, own: Sequence[Prompt], places: Places) -> list[Path]:
    """Demonstrations, the supervised model, and PPO's own starting point."""
    stage = here.stage
    people.write(here.store, here.team, [p for p in own if p.split in ("train", "valid")], here.seed)
    places |= people.snapshot(here.store, here.files, "demos")
    shown = {"model": hamlet.BASE, "demos": places["demos"], "valid": places["demos-valid"]}
    text = {"pages": places["pages"], "valid_pages": places["valid_pages"]}
    return together(here.pool, stage("sft", "sft", shown), stage("start", "start", {**shown, **text}))


def _step_2(here: _Here, sft: Path, start: Path, some: _Some, places: Places, best_of: int) -> tuple[Path, list[Gate]]:
    """Rankings and the reward model, and the gates that it and what is below it must pass."""
    stage, files, asking = here.stage, here.files, {"prompts": places["ranked"]}
    *answers, likely = together(  # mostly supervised policies, as in the paper
        here.pool,
        stage("sample", "answers-sft", {**asking, "sft": sft}),
        stage("sample", "answers-start", {**asking, "start": start}),
        stage("sample", "answers-base", {**asking, "base": hamlet.BASE}, "k=1"),
        stage("likelihood", "gate-base", {"items": places["gate"], "base": hamlet.BASE}),
    )
    given = [answer for place in answers for answer in _completions(place)]
    people.rank(here.store, here.team, [*some.ranked, *some.checked], given, here.seed)
    places |= people.snapshot(here.store, files, "rankings")
    few = gates.fifty(places["rankings"], files / "fifty.jsonl")
    judged = {"model": sft, "demos": places["demos"]}
    reward, _ = together(
        here.pool,
        stage("reward", "reward", {**judged, "rankings": places["rankings"], "valid": places["rankings-valid"]}),
        stage("reward", "gate-fifty", {**judged, "rankings": few}, section="gate_fifty"),
    )
    scores, choices = together(
        here.pool,
        stage("score", "scores", {"model": reward, "completions": places["rankings-valid"]}),
        stage("sample", "gate-best", {"prompts": places["best"], "sft": sft}, section="gate_best"),
    )
    choosing = _write(files / "choosing.jsonl", [*some.best, *_completions(choices)])
    (chosen,) = together(here.pool, stage("score", "gate-scores", {"model": reward, "completions": choosing}))
    passed = [
        gates.base(places["gate"], likely),
        gates.overfits(here.made / "gate-fifty"),
        gates.near_truth(places["rankings-valid"], scores),
        gates.best_of(choosing, chosen, best_of),
    ]
    _say(*gates.told(passed))
    return reward, passed


def _step_3(here: _Here, start: Path, reward: Path, places: Places) -> list[Path]:
    """PPO, without and with pretraining text in the mix."""
    rl = {"start": start, "reward_model": reward, "prompts": places["prompts"]}
    return together(
        here.pool,
        here.stage("ppo", "ppo", rl, "gamma_ptx=0"),
        here.stage("ppo", "ppo_ptx", {**rl, "pages": places["pages"]}),
    )


def _compare(here: _Here, models: Mapping[str, Path], tested: list[Prompt], places: Places) -> None:
    """What came of it: people, the truth, and the tasks of the base model."""
    final, _ = together(
        here.pool,
        here.stage("sample", "final", {"prompts": places["tested"], **models}, "k=1"),
        here.stage("likelihood", "tax", {"items": places["items"], **models}),
    )
    by_model = {name: {c.prompt_id: c for c in _completions(final) if c.run_id == name} for name in models}
    people.compare(here.store, here.team, tested, by_model, reckoning.VERSUS, here.seed)
    here.store.snapshot("verdicts", here.files / "verdicts.jsonl", split="test", group=None)
    here.store.snapshot("judgements", here.files / "judgements.jsonl", split="test", group=None)


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
    """The five numbers that matter, as the page has them, where it is, and what to type next."""
    for line in in_short.lines(data):
        print(line)
    print(f"numbers: {out / 'results.json'}   {data.results.seconds:.0f} s")
    own = Path(sys.executable).with_name("biddable")  # `make` does not put it on the path of whoever called it
    command = own if not shutil.which("biddable") and own.exists() else "biddable"
    print(f"report: {out / 'report.html'}, with {out / NAME}; next: cd {out} && {command} trace report.html")


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
