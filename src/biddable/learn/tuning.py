"""All weights, or adapters beside them: the settings, how a stage begins with them, and what it leaves."""

from pathlib import Path

from pydantic import Field
from transformers import PreTrainedModel

from biddable.learn.loop import OptimizerSettings, stream
from biddable.model import causal, lora
from biddable.runs import Run
from biddable.text.tokenizer import Tokenizer


class TuningSettings(OptimizerSettings):
    """What a stage has that can train adapters."""

    lora_rank: int = Field(0, ge=0, description="rank of low-rank adapters, learnt in place of the weights; 0 is none")
    lora_alpha: float = Field(16.0, gt=0, description="what adapters add is multiplied by lora_alpha / lora_rank")
    lora_targets: str = Field(lora.ALL, description="layers with an adapter: names, with commas; all but the head")


def adapt(lm: PreTrainedModel, config: TuningSettings, seed: int, stage: str) -> PreTrainedModel:
    """Put the adapters on that are asked for."""
    if config.lora_rank:
        luck = stream(seed, stage, "lora")
        lora.attach(lm, config.lora_rank, config.lora_alpha, config.lora_targets, luck)
    return lm


def leave(run: Run, lm: PreTrainedModel, tokenizer: Tokenizer) -> Path:
    """The stage's outputs: an ordinary model folder, and the adapters alone where there are any."""
    merge(run, lm)
    return run.output("model", causal.save(lm, tokenizer, run.folder / "model"))


def merge(run: Run, lm: PreTrainedModel) -> None:
    """Leave the adapters beside the run, then make them part of the weights."""
    if lora.adapters(lm):
        lora.save(lm, run.output("adapter", run.folder / "adapter"))
        lora.merge(lm)
