"""When to stop PPO: the training reward only ever rises, so a reward model that it does not train on looks on."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from biddable.config import ConfigError
from biddable.learn.loop import stream
from biddable.model import causal, reward
from biddable.model.reader import Reader, reader
from biddable.model.reward import RewardModel
from biddable.sample.local import respond
from biddable.text import snapshots
from biddable.text.tokenizer import Ids, Tokenizer, prompt_ids


@dataclass(frozen=True)
class Onlooker:
    """Held-out prompts and the reward model that scores answers to them."""

    prompts: list[Ids]
    judge: RewardModel
    read: Reader | None
    tokenizer: Tokenizer
    answer_tokens: int
    micro_tokens: int

    @torch.no_grad()
    def look(self, policy: PreTrainedModel) -> dict[str, float]:
        """Greedy answers and their mean score (paper_index, checklist 45)."""
        rollout = respond(
            policy, self.tokenizer, self.prompts, self.answer_tokens, generator=stream(0, "look"), temperature=0
        )
        turns = self.read(rollout.turns, rollout.finished_B.tolist()) if self.read else rollout.turns
        score_B = reward.scores(self.judge, turns, self.micro_tokens)
        return {
            "held_out_score": float(score_B.mean()),
            "held_out_length": float(rollout.mask_BT.sum(1).float().mean()),
            "held_out_end_rate": float(rollout.finished_B.float().mean()),
        }


@dataclass(frozen=True)
class Best:
    """The best look so far, and how many looks ago it was."""

    score: float = float("-inf")
    iteration: int = 0
    waited: int = 0
    weights: list[Tensor] = field(default_factory=list)

    def after(self, score: float, iteration: int, weights: list[Tensor]) -> "Best":
        if score > self.score:
            return Best(score, iteration, 0, [w.clone() for w in weights])
        return replace(self, waited=self.waited + 1)

    def tired(self, patience: int) -> bool:
        """Whether enough looks in a row were no better. 0 is never."""
        return 0 < patience <= self.waited


def onlooker(
    valid: Path | None, held_out: Path | None, tokenizer: Tokenizer, answer_tokens: int, prompt_tokens: int, micro: int
) -> Onlooker | None:
    """None when nobody looks on."""
    if valid is None and held_out is None:
        return None
    if valid is None or held_out is None:
        raise ConfigError("valid: held-out prompts and a held-out reward model go together; give both or neither")
    judge, its_tokenizer = reward.load(held_out)
    asked = snapshots.prompts(valid)
    read = reader(tokenizer, its_tokenizer, asked, causal.context(judge.lm))
    ids = [p for p in prompt_ids(tokenizer, asked) if len(p) <= prompt_tokens and (read is None or read.fits(p))]
    return Onlooker(ids, judge, read, tokenizer, answer_tokens, micro)
