"""The verbs of the machines' wing. Their settings live with the stages; here stand only the files that they take."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import Field, create_model

from biddable import config, records, runs
from biddable.cli.people import Split, take, take_back
from biddable.cli.project import (
    look,
    model_folder,
    needed_snapshot,
    newest,
    open_store,
    readable,
    recipe_and_words,
    run_folder,
    say,
    warn,
)
from biddable.config import ConfigError, Settings
from biddable.doubt.doctor import examine
from biddable.progress import duration
from biddable.records import Completion, Item, Prompt, Record, Score
from biddable.runs import Run
from biddable.track import Name as Tracked

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE] [KEY=VALUE]...",
        help="A recipe, then what should differ from it; see --show.",
        callback=readable,
    ),
]
Show = Annotated[bool, typer.Option("--show", help="Show every key with its value and meaning, and do nothing.")]

AT = "@"  # sft@1f09a3c2: the model, and which of its samplings
FEWEST, MOST = 4, 9  # answers that a person ranks at a time (paper, 3.5)

P = TypeVar("P", bound=Settings)
S = TypeVar("S", bound=Settings)


class Places(Settings):
    out: Path | None = Field(None, description="folder of the run; runs/VERB when not said")
    seed: int = Field(0, ge=0, description="all randomness follows from it")
    track: Tracked | None = Field(None, description="where else metrics are shown: tensorboard, wandb or trackio")


class SftPlaces(Places):
    model: str = Field(description="base model: a folder, a GGUF file, a run's name, or owner/name on the hub")
    data: Path | None = Field(None, description="snapshot of demonstrations; the newest one when not said")
    valid: Path | None = Field(None, description="held-out demonstrations, to choose the epoch by")
    reward_model: str | None = Field(None, description="a reward model, to choose the epoch by its score")


class SamplePlaces(Places):
    data: Path | None = Field(None, description="snapshot of prompts; one of the store as it is when not said")
    reward_model: str | None = Field(None, description="who chooses the best where best_of is more than 1")


class StartPlaces(Places):
    model: str = Field("base", description="base model: a folder, a GGUF file, owner/name on the hub, or what sft had")
    data: Path | None = Field(None, description="snapshot of demonstrations; the newest one when not said")
    pages: Path = Field(description="pretraining text: records of kind page")
    valid: Path | None = Field(None, description="held-out demonstrations, to choose the epoch by")
    valid_pages: Path | None = Field(None, description="held-out pretraining text, to choose the epoch by")


class RewardPlaces(Places):
    model: str = Field("sft", description="model to start from: a run's name or a folder")
    data: Path | None = Field(None, description="snapshot of rankings; the newest one when not said")
    valid: Path | None = Field(None, description="held-out rankings, to watch or choose by")
    demos: Path | None = Field(None, description="demonstrations, which score 0 on average; the newest when not said")
    judgements: Path | None = Field(None, description="judgements of the ranked answers, for aspects and margins")
    folds: int = Field(0, ge=0, description="so many models, each asked about labelers that it did not learn from")


class PpoPlaces(Places):
    start: str = Field("start", description="model to start from and to stay near: a run's name or a folder")
    reward_model: str = Field("reward", description="reward model: a run's name or a folder")
    data: Path | None = Field(None, description="snapshot of prompts; the newest one when not said")
    pages: Path | None = Field(None, description="pretraining text: records of kind page")
    valid: Path | None = Field(None, description="held-out prompts, to watch or stop by")
    held_out: str | None = Field(None, description="a reward model that is not trained on, to watch or stop by")


def sft(words: Words = None, show: Show = False) -> None:
    """Teach a base model to follow instructions, from demonstrations (supervised fine-tuning).

    Example: `biddable sft recipes/small.toml model=HuggingFaceTB/SmolLM2-135M` or, with adapters in place of all
    weights, `biddable sft recipes/small.toml model=smollm2.gguf lora_rank=16`
    """
    from biddable.learn import sft as stage

    places, settings = load(SftPlaces, stage.SftConfig, words, "sft", show)
    inputs = {
        "model": model_folder(places.model),
        "demos": needed_snapshot(places.data, "data", "demos"),
        "valid": places.valid or newest("demos", "valid"),
        "reward_model": model_folder(places.reward_model, "reward_model") if places.reward_model else None,
    }
    carry_out("sft", settings, places, inputs, lambda run, given: stage.train(run, settings, **given))


def start(words: Words = None, show: Show = False) -> None:
    """Make PPO's starting point: the base model after two epochs of demonstrations with a share of pretraining text.

    Example: `biddable start recipes/small.toml pages=pages.jsonl`
    """
    from biddable.learn import start as stage

    places, settings = load(StartPlaces, stage.StartConfig, words, "start", show)
    inputs = {
        "model": model_folder(places.model),
        "demos": needed_snapshot(places.data, "data", "demos"),
        "pages": places.pages,
        "valid": places.valid or newest("demos", "valid"),
        "valid_pages": places.valid_pages,
    }
    carry_out("start", settings, places, inputs, lambda run, given: stage.train(run, settings, **given))


def reward(words: Words = None, show: Show = False) -> None:
    """Learn a reward from rankings: all pairs of a ranking in one batch element, one epoch.

    An ensemble with `heads=4`; heads for what else people said with `judgements=FILE aspects={truthful=1}`. With
    `folds=5` no model is made, but five are, each asked about a fifth of the labelers that it did not learn from.

    Example: `biddable reward recipes/small.toml model=sft`
    """
    from biddable.learn import reward as stage

    places, settings = load(RewardPlaces, stage.RewardConfig, words, "reward", show)
    inputs = {
        "model": model_folder(places.model),
        "rankings": needed_snapshot(places.data, "data", "rankings"),
        "valid": places.valid or newest("rankings", "valid"),
        "demos": places.demos or newest("demos"),
        "judgements": places.judgements,
    }

    if places.folds:
        _cross_validate(places, settings, inputs)
        return

    def train(run: Run, given: dict[str, Path]) -> Path:
        model = stage.train(run, settings, **given)
        scores = run.output("scores", run.folder / "scores.jsonl")
        records.write(scores, _scored(run, model, [given[name] for name in ("rankings", "valid") if name in given]))
        return model

    folder = carry_out("reward", settings, places, inputs, train)
    if here := look():
        take_back(here, folder / "scores.jsonl")


def _cross_validate(places: RewardPlaces, settings: Settings, inputs: Mapping[str, Path | None]) -> None:
    """k reward models, and how well they foresee labelers whom they know and whom they do not."""
    from biddable.learn import folds
    from biddable.measure.captions import span
    from biddable.measure.reward import Folds

    config_of = folds.FoldsConfig.model_validate(settings.model_dump() | {"folds": places.folds})
    given = {name: path for name, path in inputs.items() if name != "valid"}
    folder = carry_out(
        "reward-folds", config_of, places, given, lambda run, given: folds.train(run, config_of, **given)
    )
    found = Folds.model_validate_json((folder / "folds.json").read_bytes())
    for who, each, mean, error in (
        ("labelers it learnt from", found.own, found.own_mean, found.own_error),
        ("labelers it did not", found.held_out, found.held_out_mean, found.held_out_error),
    ):
        say(f"{who}: {span(mean)}; by model {', '.join(f'{one.value:.1%}' for one in each)}, ± {error:.1%}")


def ppo(words: Words = None, show: Show = False) -> None:
    """Optimise the model against the reward (PPO-ptx), near its start and with pretraining text mixed in.

    Example: `biddable ppo recipes/small.toml pages=pages.jsonl episodes=4096`
    """
    from biddable.learn import ppo as stage

    _against_reward("ppo", stage.PpoConfig, stage.train, words, show)


def rloo(words: Words = None, show: Show = False) -> None:
    """Optimise against the reward without a value network: each answer against its siblings (RLOO).

    Example: `biddable rloo recipes/small.toml pages=pages.jsonl samples=4`
    """
    from biddable.learn import group as stage

    _against_reward("rloo", stage.RlooConfig, stage.train, words, show)


def grpo(words: Words = None, show: Show = False) -> None:
    """The same, in units of a prompt's own spread (GRPO); with `scale=false divide_by=answer_tokens`, Dr. GRPO.

    Example: `biddable grpo recipes/small.toml pages=pages.jsonl samples=8`
    """
    from biddable.learn import group as stage

    _against_reward("grpo", stage.GrpoConfig, stage.train, words, show)


def reinforce(words: Words = None, show: Show = False) -> None:
    """The same, each token's rewards to come against those of the whole batch (REINFORCE++).

    Example: `biddable reinforce recipes/small.toml pages=pages.jsonl`
    """
    from biddable.learn import group as stage

    _against_reward("reinforce", stage.ReinforceConfig, stage.train, words, show)


def _against_reward(
    kind: str, config: type[Settings], train: Callable[..., Path], words: list[str] | None, show: bool
) -> None:
    """A stage that samples answers and learns from their reward."""
    places, settings = load(PpoPlaces, config, words, kind, show)
    inputs = {
        "start": model_folder(places.start, "start"),
        "reward_model": model_folder(places.reward_model, "reward_model"),
        "prompts": needed_snapshot(places.data, "data", "prompts"),
        "pages": places.pages,
        "valid": places.valid,
        "held_out": model_folder(places.held_out, "held_out") if places.held_out else None,
    }
    carry_out(kind, settings, places, inputs, lambda run, given: train(run, settings, **given))


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
    folders = {_run_name(name): model_folder(name) for name in named}
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

    def answer(run: Run, given: dict[str, Path]) -> Path:
        asked = snapshots.prompts(given["prompts"])
        with run.progress("sampling", total * settings.best_of, "answers") as bar:
            made = stage.from_sources(sources, asked, settings, seed=places.seed, judge=judge, advance=bar.advance)
            records.write(run.output("completions", run.folder / "completions.jsonl"), made)
        return run.folder / "completions.jsonl"

    folder = carry_out("sample", settings, places, inputs, answer, name=f"sample-{'-'.join(folders)}-{stamp}")
    if here := look():
        take_back(here, folder / "completions.jsonl")


def _warn_of_rankings(answers: int, split: Split) -> None:
    """Test prompts are for comparing models; answers to the others will be ranked."""
    if split != "test" and not FEWEST <= answers <= MOST:
        warn(f"{answers} answers to each prompt: to rank, {FEWEST} to {MOST} are usual (--k); to compare, any number")


def _weigh(folders: Mapping[str, Path], items: Path, places: Places) -> None:
    """The likelihood of each choice, with the items beside them: `measure` counts from this one file."""
    from biddable.sample.likelihood import likelihoods

    def weigh(run: Run, given: dict[str, Path]) -> Path:
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


def _run_name(model: str) -> str:
    """`sft` for sft and for runs/sft/model; the last name of the path else. Completions are told apart by it."""
    path = Path(model)
    return path.parent.name if path.name == "model" and path.parent.name else path.name


def load(places: type[P], settings: type[S], words: Sequence[str] | None, section: str, show: bool) -> tuple[P, S]:
    """A verb's files and its stage's settings, both from one section and one list of words."""
    recipe, rest = recipe_and_words(words)
    # One model of both, so that an unknown key is compared with all that could have been meant.
    both = create_model(section, __base__=(places, settings))
    job = config.load(both, rest, recipe=recipe, section=section)
    if show:
        for key, field in both.model_fields.items():
            typer.echo(f"{key} = {getattr(job, key)}  # {field.description}")
        raise typer.Exit
    values = job.model_dump()
    return (
        places.model_validate({key: values[key] for key in places.model_fields}),
        settings.model_validate({key: values[key] for key in settings.model_fields}),
    )


@dataclass(frozen=True)
class Job:
    """A stage with its settings and files, ready to run."""

    kind: str
    settings: Settings
    places: Places
    inputs: dict[str, Path]


# Who is handed a verb's job in place of its run: `plan` and `masks` ask the verb itself what it would do.
_hand_over: ContextVar[Callable[[Job], None] | None] = ContextVar("hand_over", default=None)


@contextmanager
def handed_to(look: Callable[[Job], None]) -> Iterator[None]:
    """While this lasts, a verb's job is looked at and not done."""
    before = _hand_over.set(look)
    try:
        yield
    finally:
        _hand_over.reset(before)


def carry_out(
    kind: str,
    settings: Settings,
    places: Places,
    inputs: Mapping[str, Path | None],
    work: Callable[[Run, dict[str, Path]], Path],
    name: str | None = None,
) -> Path:
    """Run a stage in its folder, or continue it, or say that it is done. Returns the folder."""
    given = {name: path for name, path in inputs.items() if path is not None}
    for key, path in given.items():
        say(f"{key}: {path}")
    if look_at := _hand_over.get():
        look_at(Job(kind, settings, places, given))
        raise typer.Exit
    folder = run_folder(places.out, name or kind)
    if runs.finished(folder, kind, settings, given, places.seed):
        say(f"{folder}: is done already, with these very settings and inputs")
        return folder
    # Weights and two moments, in two checkpoints that are kept and one that is written aside, and the result.
    runs.check_space(folder, 10 * sum(_weights(path) for path in given.values()))
    with runs.start(folder, kind, settings, given, places.seed, places.track) as run:
        made = work(run, given)
    say(f"{made}: made in {duration(runs.read_manifest(folder).seconds)}")
    for finding in examine(folder):
        warn(f"{finding.name}: {finding.seen}; to do: {finding.cure}")
    return folder


def _scored(run: Run, model: Path, files: Sequence[Path]) -> Iterator[Score]:
    """The reward model's scores of all that was ranked: its accuracy and calibration are counted from them."""
    from biddable.sample.score import score
    from biddable.text import snapshots

    prompts: dict[str, Prompt] = {}
    completions: dict[str, Completion] = {}
    for file in files:
        its_prompts, its_completions = snapshots.completions(file)
        prompts |= its_prompts
        completions |= {completion.id: completion for completion in its_completions}
    with run.progress("scoring", len(completions), "completions") as bar:
        yield from score(model, prompts, list(completions.values()), run_id=run.id, advance=bar.advance)


def _weights(path: Path) -> int:
    if path.suffix == ".gguf":
        return 8 * path.stat().st_size  # four bits or more a weight, and four bytes here
    return sum(file.stat().st_size for file in path.glob("*.safetensors")) if path.is_dir() else 0
