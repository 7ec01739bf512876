"""The verbs that learn from preferences without PPO: RAFT from a reward model, DPO and its kin from the rankings."""

from pathlib import Path

from pydantic import Field

from biddable.cli.machines import Places, Show, Words, carry_out, load
from biddable.cli.project import model_folder, needed_snapshot, newest


class RaftPlaces(Places):
    start: str = Field("sft", description="model to start from: a run's name or a folder")
    reward_model: str = Field("reward", description="reward model: a run's name or a folder")
    data: Path | None = Field(None, description="snapshot of prompts; the newest one when not said")
    pages: Path | None = Field(None, description="pretraining text: records of kind page")
    valid: Path | None = Field(None, description="held-out prompts, to watch or stop by")
    held_out: str | None = Field(None, description="a reward model that is not trained on, to watch or stop by")


class DpoPlaces(Places):
    model: str = Field("sft", description="model to start from and to stay near: a run's name or a folder")
    data: Path | None = Field(None, description="snapshot of rankings, the newest when not said; for kto or judgements")
    valid: Path | None = Field(None, description="held-out ones, to watch or choose the epoch by")
    pages: Path | None = Field(None, description="pretraining text: records of kind page")
    reward_model: str | None = Field(None, description="a reward model, to choose the epoch by its score")


def raft(words: Words = None, show: Show = False) -> None:
    """Learn the best of the model's own answers, as the reward model has them, again and again (RAFT, best of n).

    Example: `biddable raft recipes/small.toml k=8`
    """
    from biddable.learn import raft as stage

    places, settings = load(RaftPlaces, stage.RaftConfig, words, "raft", show)
    inputs = {
        "start": model_folder(places.start, "start"),
        "reward_model": model_folder(places.reward_model, "reward_model"),
        "prompts": needed_snapshot(places.data, "data", "prompts"),
        "pages": places.pages,
        "valid": places.valid,
        "held_out": model_folder(places.held_out, "held_out") if places.held_out else None,
    }
    carry_out("raft", settings, places, inputs, lambda run, given: stage.train(run, settings, **given))


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
    carry_out("dpo", settings, places, inputs, lambda run, given: stage.train(run, settings, **given))
