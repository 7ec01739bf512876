"""`biddable sample`: let models answer, or weigh a benchmark's choices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from biddable import records, runs
from biddable.cli.jobs import Places, Show, Words, carry_out, load
from biddable.cli.people import Split, take, take_back
from biddable.cli.project import look, model_folder, needed_snapshot, open_store, readable, say, warn
from biddable.config import ConfigError, Settings
from biddable.records import Item, Prompt, Record, digest
from biddable.runs import Run

AT = "@"  # sft@1f09a3c2: the model, and which of its samplings
FEWEST, MOST = 4, 9  # answers that a person ranks at a time (paper, 3.5)


class SamplePlaces(Places):
    data: Path | None = Field(None, description="snapshot of prompts; one of the store as it is when not said")
    reward_model: str | None = Field(None, description="who chooses the best where best_of is more than 1")


def sample(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL... [RECIPE] [KEY=VALUE]...", help="Runs or folders.", callback=readable),
    ],
    k: Annotated[int | None, typer.Option("--k", help="Answers of each model: 4 to 9 to rank, 1 to compare.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="Answer only so many prompts.")] = None,
    split: Annotated[Split, typer.Option(help="Whose prompts are answered.")] = "train",
    items: Annotated[Path | None, typer.Option(help="A benchmark's items: how likely is each choice?")] = None,
    show: Show = False,
) -> None:
    """Let models answer: K answers to rank, or one of each model to compare. Or let them weigh a benchmark's choices.

    Example: `biddable sample sft --k 9` or `biddable sample ppo sft base --split test`
    """
    from biddable.sample import completions as stage
    from biddable.text import snapshots

    named = [word for word in models if "=" not in word and not word.endswith(".toml")]
    options = {"k": k, "limit": limit}
    words = [word for word in models if word not in named]
    words += [f"{key}={value}" for key, value in options.items() if value is not None]
    places, settings = load(SamplePlaces, stage.SampleConfig, words, "sample", show)
    folders = {run_name(name): model_folder(name) for name in named}
    if len(folders) < len(named) or not named:
        raise ConfigError(f"{' '.join(named) or 'no model'}: name one model or several, each once")
    if items is not None:
        _weigh(folders, items, places)
        return
    stage.check_rankable(settings.k, len(folders))
    judge = model_folder(places.reward_model, "reward_model") if places.reward_model else None
    stage.check_judge(settings, judge)
    # Before the snapshot is written: what cannot be answered leaves nothing behind.
    waiting = prompts_now(places.data, split)
    stage.check_room(folders.values(), waiting, settings)
    prompts = prompts_file(places.data, split)
    many = len(stage.chosen(waiting, settings))
    total = many * len(folders) * settings.k
    say(f"answers: {total} in all (prompts: {many}, models: {len(folders)}, k: {settings.k})")
    _warn_of_rankings(settings.k * len(folders), split)
    inputs = {"prompts": prompts, **{f"model {name}": folder for name, folder in folders.items()}}
    inputs |= {"reward_model": judge} if judge else {}
    # The same model asked again must not give new answers old names, so a source is the model and what it was asked.
    asked_of = (settings.model_dump_json(), str(places.seed), *(runs.artifact(path).sha256 for path in inputs.values()))
    stamp = records.digest(*asked_of)[:8]
    sources = {f"{name}{AT}{stamp}": folder for name, folder in folders.items()}

    def answer(run: Run, _settings: Settings, **given: Path) -> Path:
        asked = snapshots.prompts(given["prompts"])
        with run.progress("sampling", total * settings.best_of, "answers") as bar:
            made = stage.from_sources(sources, asked, settings, seed=places.seed, judge=judge, advance=bar.advance)
            records.write(run.output("completions", run.folder / "completions.jsonl"), made)
        return run.folder / "completions.jsonl"

    folder = carry_out("sample", settings, places, inputs, answer, name=f"sample-{'-'.join(folders)}-{stamp}")
    if here := look():
        take_back(here, folder / "completions.jsonl")


class ScorePlaces(Places):
    data: Path | None = Field(None, description="snapshot of completions; those of the store when not said")


def score(
    model: Annotated[str, typer.Argument(help="A reward model: a run or a folder.")],
    words: Words = None,
    split: Annotated[Split, typer.Option(help="Whose answers are scored.")] = "train",
    show: Show = False,
) -> None:
    """Let a reward model score answers, and an ensemble say how unsure it is: a job of labeling can choose by it.

    Example: `biddable score reward` after `biddable reward heads=4`
    """
    places, settings = load(ScorePlaces, Settings, words, "score", show)
    judge = model_folder(model, "model")
    if places.data is None and (here := look()):
        answers = take(here, "completions", split)
    else:
        answers = needed_snapshot(places.data, "data", "completions")
    inputs = {"reward_model": judge, "answers": answers}

    def read(run: Run, _settings: Settings, **given: Path) -> Path:
        from biddable.sample.score import score as read_by
        from biddable.text import snapshots

        prompts, completions = snapshots.completions(given["answers"])
        path = run.output("scores", run.folder / "scored.jsonl")  # not scores.jsonl: `measure` takes the run's own
        with run.progress("scoring", len(completions), "answers") as bar:
            found = read_by(
                given["reward_model"], prompts, completions, run_id=run.id, advance=bar.advance
            )  # fmt: skip
            records.write(path, found)
        return path

    # Other answers are another run, whose scores stand beside the earlier ones.
    stamp = digest(*(runs.artifact(path).sha256 for path in inputs.values()))[:8]
    folder = carry_out("score", settings, places, inputs, read, name=f"score-{run_name(model)}-{stamp}")
    if here := look():
        take_back(here, folder / "scored.jsonl")


def _warn_of_rankings(answers: int, split: Split) -> None:
    """Test prompts are for comparing models; answers to the others will be ranked."""
    if split != "test" and not FEWEST <= answers <= MOST:
        warn(f"{answers} answers to each prompt: to rank, {FEWEST} to {MOST} are usual (--k); to compare, any number")


def _weigh(folders: Mapping[str, Path], items: Path, places: Places) -> None:
    """The likelihood of each choice, with the items beside them: `measure` counts from this one file."""
    from biddable.sample.likelihood import likelihoods

    def weigh(run: Run, _settings: Settings, **given: Path) -> Path:
        asked = [record for record in records.read(given["items"]) if isinstance(record, Item)]
        if not asked:
            raise ConfigError(f"{items}: holds no items")
        found: list[Record] = list(asked)
        with run.progress("weighing", sum(len(item.choices) for item in asked) * len(folders), "choices") as bar:
            for name, folder in folders.items():
                found += likelihoods(folder, asked, run_id=name, advance=bar.advance)
        path = run.output("likelihoods", run.folder / "likelihoods.jsonl")
        records.write(path, found)
        return path

    inputs = {"items": items, **{f"model {name}": folder for name, folder in folders.items()}}
    carry_out("weigh", Settings(), places, inputs, weigh, name=f"weigh-{'-'.join(folders)}-{items.stem}")


def prompts_file(given: Path | None, split: Split) -> Path:
    """The prompts that were named, or a snapshot of the project's as they are now."""
    if given is None and (here := look()):
        return take(here, "prompts", split)
    return needed_snapshot(given, "data", "prompts")


def prompts_now(given: Path | None, split: Split) -> list[Prompt]:
    """The prompts that `prompts_file` will hold. Writes nothing."""
    from biddable.text import snapshots

    if given is None and (here := look()):
        with open_store(here) as store:
            return list(store.prompts(None if split == "all" else split))
    return snapshots.prompts(needed_snapshot(given, "data", "prompts"))


def run_name(model: str) -> str:
    """`sft` for sft and for runs/sft/model, `ppo-40` for ppo/kept/40; the last name of the path else. Completions are
    told apart by it."""
    path = Path(model)
    if path.parent.name == runs.KEPT and len(path.parts) > 2:
        return f"{path.parts[-3]}-{path.name}"
    return path.parent.name if path.name == "model" and path.parent.name else path.name
