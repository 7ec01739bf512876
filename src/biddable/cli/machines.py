"""The verbs of the machines' wing. Their settings live with the stages; here stand only the files that they take."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from biddable import records
from biddable.cli.jobs import Places, Show, Words, carry_out, load
from biddable.cli.people import take_back
from biddable.cli.project import look, model_folder, needed_snapshot, newest, say, warn
from biddable.config import Settings
from biddable.records import Completion, Prompt, Score
from biddable.runs import Run


class SftPlaces(Places):
    model: str = Field(description="base model: a folder, a GGUF file, a run's name, owner/name on the hub, or hamlet")
    data: Path | None = Field(None, description="snapshot of demonstrations; the newest one when not said")
    valid: Path | None = Field(None, description="held-out demonstrations, to choose the epoch by")
    reward_model: str | None = Field(None, description="a reward model, to choose the epoch by its score")


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


class RaftPlaces(PpoPlaces):
    start: str = Field("sft", description="model to start from and to stay near: a run's name or a folder")


class DpoPlaces(Places):
    model: str = Field("sft", description="model to start from and to stay near: a run's name or a folder")
    data: Path | None = Field(None, description="snapshot of rankings, the newest when not said; for kto or judgements")
    valid: Path | None = Field(None, description="held-out ones, to watch or choose the epoch by")
    pages: Path | None = Field(None, description="pretraining text: records of kind page")
    reward_model: str | None = Field(None, description="a reward model, to choose the epoch by its score")


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
    carry_out("sft", settings, places, inputs, stage.train)


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
    carry_out("start", settings, places, inputs, stage.train)


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

    def train(run: Run, settings: stage.RewardConfig, **given: Path) -> Path:
        model = stage.train(run, settings, **given)
        scores = run.output("scores", run.folder / "scores.jsonl")
        records.write(scores, _scored(run, model, [given[name] for name in ("rankings", "valid") if name in given]))
        return model

    folder = carry_out("reward", settings, places, inputs, train)
    if here := look():
        from biddable.store import StoreError

        try:
            take_back(here, folder / "scores.jsonl")
        except StoreError as error:
            if error.about is None:
                raise
            warn(f"the scores stay in their file: {error}")  # of answers from elsewhere: the model is none the worse


def _cross_validate(places: RewardPlaces, settings: Settings, inputs: Mapping[str, Path | None]) -> None:
    """k reward models, and how well they foresee labelers whom they know and whom they do not."""
    from biddable.learn import folds
    from biddable.measure.captions import span
    from biddable.measure.reward import Folds

    config_of = folds.FoldsConfig.model_validate(settings.model_dump() | {"folds": places.folds})
    given = {name: path for name, path in inputs.items() if name != "valid"}
    folder = carry_out("reward-folds", config_of, places, given, folds.train)
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


def raft(words: Words = None, show: Show = False) -> None:
    """Learn the best of the model's own answers, as the reward model has them, again and again (RAFT, best of n).

    Example: `biddable raft recipes/small.toml k=8`
    """
    from biddable.learn import raft as stage

    _against_reward("raft", stage.RaftConfig, stage.train, words, show, RaftPlaces)


def _against_reward(
    kind: str,
    config: type[Settings],
    train: Callable[..., Path],
    words: list[str] | None,
    show: bool,
    files: type[PpoPlaces] = PpoPlaces,
) -> None:
    """A stage that samples answers and learns from their reward."""
    places, settings = load(files, config, words, kind, show)
    inputs = {
        "start": model_folder(places.start, "start"),
        "reward_model": model_folder(places.reward_model, "reward_model"),
        "prompts": needed_snapshot(places.data, "data", "prompts"),
        "pages": places.pages,
        "valid": places.valid,
        "held_out": model_folder(places.held_out, "held_out") if places.held_out else None,
    }
    carry_out(kind, settings, places, inputs, train)


def dpo(words: Words = None, show: Show = False) -> None:
    """Learn from rankings directly, without a reward model: DPO, IPO, KTO, ORPO or SimPO.

    Example: `biddable dpo recipes/small.toml method=ipo`
    """
    from biddable.learn import dpo as stage

    places, settings = load(DpoPlaces, stage.DpoConfig, words, "dpo", show)
    inputs = {
        "model": model_folder(places.model),
        "rankings": needed_snapshot(places.data, "data", "rankings"),
        "valid": places.valid or newest("rankings", "valid"),
        "pages": places.pages,
        "reward_model": model_folder(places.reward_model, "reward_model") if places.reward_model else None,
    }
    carry_out("dpo", settings, places, inputs, stage.train)


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
