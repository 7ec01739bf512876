"""RAFT (Dong et al. 2023): sample, keep the best by the reward model, learn them as if they were demonstrations.

B = answers of an iteration, k of them to each prompt.

An iteration asks the policy for k answers to each of some prompts, ranks them by what they are paid, and takes
supervised steps on those that are kept: the best one of each prompt (best of n), or the best 1/k of all answers, where
hard prompts may have none. There is no value network and no ratio. What keeps the policy near its start is that it
learns only what it said itself, the pretraining text, if there is any, and β: with it what an answer is paid is
r − β log(π/π_ref), as the paper also has it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, Unpack

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from biddable.learn import episodes, loop, sft
from biddable.learn.episodes import Actors, EpisodeSettings, Files, Rounds
from biddable.model.forest import Turns
from biddable.runs import Run
from biddable.text.tokenizer import Ids


class RaftConfig(EpisodeSettings):
    stage: ClassVar[str] = "raft"

    iterations: int = Field(20, gt=0, description="times that the policy is asked anew")
    batch: int = Field(512, gt=0, description="prompts an iteration, and answers that are kept")
    k: int = Field(8, gt=1, description="answers to each prompt")
    keep: Literal["prompt", "all"] = Field(
        "prompt", description="the best answer of each prompt, or the best 1/k of all"
    )
    minibatch: int = Field(64, gt=0, description="answers an update; a random split of those that are kept")
    inner_epochs: int = Field(1, gt=0, description="passes over those that are kept")
    learning_rate: float = Field(2e-5, gt=0, description="peak; along a cosine to 10 % over the iterations, no warmup")
    beta: float = Field(0.0, ge=0, description="β, the KL penalty a token, in what is compared; 0 compares scores")
    gamma_ptx: float = Field(0.0, ge=0, description="on pretraining text's mean log-likelihood a token; 0 is none")
    ptx_ratio: float = Field(1.0, ge=0, description="pretraining examples an answer that is kept")
    temperature: float = Field(1.0, gt=0, description="of sampling, and of the KL; answers are learnt at 1")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of the averaged weights, an update; 0 keeps none")
    checkpoint_every: int = Field(1, gt=0, description="iterations")

    @property
    def rounds(self) -> Rounds:
        return Rounds(self.iterations, self.batch, self.k)


def step(actors: Actors, config: RaftConfig, prompts: Sequence[Ids], pages: Sequence[Ids], seed: int, k: int) -> dict:
    """Iteration k: ask, judge, keep the best, learn them."""
    where = f"iteration {k + 1}"
    rollout = episodes.sample(actors, config, prompts, seed, k)
    judged, seen = episodes.judge(actors, config, rollout, where)
    paid_B = judged.paid(actors.beta(config))
    kept = best_of(config, paid_B)

    share, turns = loop.cosine(k, config.iterations), judged.turns.take(kept)
    loop.set_rate(actors.policy_optimizer, config.learning_rate * share)
    looks = [
        update(actors, config, turns.take(index), text, where)
        for index, text in episodes.minibatches(config, len(turns), 1, pages, seed, k)
    ]
    episodes.steer(actors, seen["kl"], len(prompts))
    seen |= {"kept_reward": float(paid_B[kept].mean()), "kept_prompts": len({i // config.k for i in kept})}
    return seen | episodes.together(looks) | {"rate": share}


def best_of(config: RaftConfig, paid_B: Float[Tensor, " B"]) -> list[int]:
    """The places of the answers that are kept: as many as there are prompts. Of equals the first."""
    if config.keep == "prompt":
        first_P = torch.arange(0, len(paid_B), config.k)
        return (first_P + paid_B.view(-1, config.k).argmax(1)).tolist()
    return sorted(paid_B.argsort(descending=True, stable=True)[: len(paid_B) // config.k].tolist())


def update(actors: Actors, config: RaftConfig, turns: Turns, pages: Sequence[Ids], where: str) -> dict[str, float]:
    """One supervised step, pretraining text's gradient added to it."""
    seen = {"loss": sft.gradient(actors.policy, turns, config.micro_tokens)}
    loop.finite(where, **seen)
    return seen | episodes.move(actors, config, pages, where)


def train(run: Run, config: RaftConfig, **files: Unpack[Files]) -> Path:
    """The whole stage; returns the folder of the trained policy."""
    return episodes.train(run, config, episodes.assemble, step, files)
