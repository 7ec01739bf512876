"""biddable's side of PPO, of RLOO and of sampling: `python ours_rollout.py WORKLOAD FOLDER`. As ours_train.py says."""

import copy
import json
import math
from dataclasses import dataclass
from pathlib import Path

import protocol
import torch
from ours_train import MICRO_TOKENS, UNSHORTENED, answers_logp
from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from biddable.learn import loop, ppo
from biddable.learn.loop import OptimizerSettings, stream
from biddable.losses.group import leave_one_out
from biddable.model import causal, reward
from biddable.model.forest import Turns, forests
from biddable.model.reward import RewardModel
from biddable.sample.local import Rollout, respond

SEED = 0


def ppo_rounds(folder: Path, size: dict, rows: list[dict], name: str) -> None:
    config = ppo.PpoConfig(
        batch=len(rows), minibatch=len(rows), inner_epochs=1, learning_rate=1e-6, value_learning_rate=1e-6,
        warmup_iterations=0, beta=0.02, gamma_ptx=0, ema=0, clip_norm=UNSHORTENED, answer_tokens=size["most"],
        micro_tokens=MICRO_TOKENS,
    )  # fmt: skip
    start = folder / ("ending" if name == "ppo_ending" else "policy")
    actors = ppo.assemble(config, start, folder / "judge", [])  # no prompt is told anew: both have one tokenizer
    first_update(actors, config, rows)
    prompts = [r["prompt"] for r in rows]
    done = 0

    def some() -> float:
        nonlocal done
        for _ in range(size["updates"]):
            done += 1
            ppo.step(actors, config, prompts, [], SEED, done)
        return len(rows) * size["updates"]

    protocol.rounds(some)


def first_update(actors: ppo.Actors, config: ppo.PpoConfig, rows: list[dict]) -> None:
    """On the answers of the data file, as if they had just been sampled; none of them ends."""
    answers = [r["answers"][0] for r in rows]
    token_BT = torch.tensor(answers)
    mask_BT = torch.ones_like(token_BT, dtype=torch.bool)
    given = Rollout(
        tuple(r["prompt"] for r in rows), token_BT, torch.zeros(token_BT.shape), mask_BT,
        torch.zeros(len(rows), dtype=torch.bool),
    )  # fmt: skip
    logp_BT = causal.in_pieces(
        lambda forest: forest.spread(causal.answer_logp(actors.policy, forest)), given.turns, config.micro_tokens
    )
    credit, _ = ppo.judge(actors, config, Rollout(given.prompts, token_BT, logp_BT, mask_BT, given.finished_B))
    gradient: dict[str, dict] = {}
    notes = [
        actors.policy_optimizer.register_step_pre_hook(
            lambda *_: gradient.update(policy=protocol.gradient_of(actors.policy))
        ),
        actors.value_optimizer.register_step_pre_hook(
            lambda *_: gradient.update(value=protocol.gradient_of(actors.value))
        ),
    ]
    looks = ppo.update(actors, config, credit, [], "bench")
    for note in notes:
        note.remove()
    # TRL whitens by the standard deviation over n − 1 and Ziegler's code, and we, over n: the same to a known factor.
    known = math.sqrt((token_BT.numel() - 1) / token_BT.numel())
    policy = gradient["policy"]
    policy = {"norm": policy["norm"] * known, "entries": [x * known for x in policy["entries"]]}
    protocol.say(loss=[looks["policy_loss"] * known, looks["value_loss"]], gradient=[policy, gradient["value"]])


@dataclass(frozen=True)
class Siblings:
    """What RLOO needs: no value network."""

    policy: PreTrainedModel
    reference: PreTrainedModel
    judge: RewardModel
    optimizer: Optimizer
    config: OptimizerSettings
    samples: int


def rloo_rounds(folder: Path, size: dict, rows: list[dict], name: str) -> None:  # noqa: ARG001
    policy, tokenizer = causal.load(folder / "ending")
    config = OptimizerSettings(clip_norm=UNSHORTENED, micro_tokens=MICRO_TOKENS)
    judge = reward.load(folder / "judge")[0].requires_grad_(False)
    both = Siblings(
        policy, copy.deepcopy(policy).requires_grad_(False), judge, loop.adamw(policy, 1e-6, config), config,
        size["answers"],
    )  # fmt: skip
    prompts = [r["prompt"] for r in rows for _ in range(size["answers"])]
    given = Turns(prompts, [[*a, tokenizer.eos_token_id] for r in rows for a in r["answers"]])
    gradient: dict = {}
    note = both.optimizer.register_step_pre_hook(lambda *_: gradient.update(protocol.gradient_of(policy)))
    logp_BT = causal.in_pieces(lambda f: f.spread(causal.answer_logp(policy, f)), given, config.micro_tokens)
    loss = rloo_step(both, given, logp_BT)
    note.remove()
    protocol.say(loss=loss, gradient=gradient)
    done = 0

    def some() -> float:
        nonlocal done
        for _ in range(size["updates"]):
            done += 1
            rollout = respond(policy, tokenizer, prompts, size["most"], generator=stream(SEED, "rloo", done))
            rloo_step(both, rollout.turns, rollout.logp_BT)
        return len(prompts) * size["updates"]

    protocol.rounds(some)


def rloo_step(both: Siblings, turns: Turns, old_logp_BT: Tensor) -> float:
    """TRL's: reward less β KL, less the siblings' mean; the ratio of whole answers, clipped. Ahmadian et al. 2024."""
    config, old_B = both.config, old_logp_BT.sum(1)
    reference_B = causal.in_pieces(
        lambda forest: answers_logp(both.reference, forest)[:, None], turns, config.micro_tokens
    )[:, 0]
    reward_B = reward.scores(both.judge, turns, config.micro_tokens) - 0.05 * (old_B - reference_B)
    advantage_B = leave_one_out(reward_B.unflatten(0, (-1, both.samples))).flatten()
    total = 0.0
    for index, forest in forests(turns, config.micro_tokens):
        ratio_b = (answers_logp(both.policy, forest) - old_B[index]).exp()
        loss_b = torch.maximum(-advantage_B[index] * ratio_b, -advantage_B[index] * ratio_b.clamp(0.8, 1.2))
        loss = loss_b.sum() / len(turns)
        loss.backward()
        total += float(loss.detach())
    loop.step(both.optimizer, config, "bench")
    return total


def sample_rounds(folder: Path, size: dict, rows: list[dict], name: str) -> None:  # noqa: ARG001
    prompts = [r["prompt"] for r in rows]
    model, tokenizer = causal.load(folder / "policy")
    greedy = respond(model, tokenizer, prompts, 8, generator=stream(SEED), temperature=0)
    protocol.say(loss=float(greedy.logp_BT.mean()), gradient=[])
    model, tokenizer = causal.load(folder / "ending")
    done = 0

    def some() -> float:
        nonlocal done
        useful = 0
        for _ in range(size["updates"]):
            done += 1
            rollout = respond(model, tokenizer, prompts, size["most"], generator=stream(SEED, "sample", done))
            useful += int(rollout.mask_BT.sum())
        return useful

    some()
    protocol.rounds(some)


def main() -> None:
    name, folder, size = protocol.arguments()
    torch.set_num_threads(1)
    rows = json.loads((folder / f"{name}.json").read_text())
    {"ppo": ppo_rounds, "rloo": rloo_rounds, "sample": sample_rounds}[name.split("_")[0]](folder, size, rows, name)


if __name__ == "__main__":
    main()
