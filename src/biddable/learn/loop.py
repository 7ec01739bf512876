"""What the stages share: random streams, data order, learning rates, the guarded optimiser step, accumulation.

No state lives here. The order of the data and every random draw follow from (seed, stage, purpose, step), so that a
resumed run has nothing to restore but tensors.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from biddable.config import Settings
from biddable.model import checkpoint
from biddable.model.checkpoint import Checkpoint
from biddable.progress import note
from biddable.runs import NotFinite, Run

CURE = "a smaller learning rate is the usual cure"
Positive = Field(gt=0)


class OptimizerSettings(Settings):
    """What all stages' optimisers have in common. β from the paper, App. C; the rest it does not state."""

    beta1: float = Field(0.9, ge=0, lt=1, description="Adam β₁")
    beta2: float = Field(0.95, ge=0, lt=1, description="Adam β₂")
    adam_eps: float = Field(1e-8, gt=0, description="Adam ε, added outside the bias correction's root as PyTorch does")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decay, on matrices only")
    micro_tokens: int = Field(4096, gt=0, description="tokens of a forward pass: speed and memory, not results")
    clip_norm: float = Field(1.0, gt=0, description="gradients longer than this are shortened to it")


def stream(seed: int, *purpose: str | int) -> torch.Generator:
    """A random stream of its own for one purpose, such as stream(seed, "ppo", "rollout", 7)."""
    return torch.Generator().manual_seed(_number(seed, *purpose))


@contextmanager
def luck(seed: int, *purpose: str | int) -> Iterator[None]:
    """For what takes no generator, such as dropout: torch's global one begins here where the purpose says, and is put
    back as it was found."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(_number(seed, *purpose))
        yield


def _number(seed: int, *purpose: str | int) -> int:
    name = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) % 2**63


def shuffled(size: int, generator: torch.Generator) -> list[int]:
    """A permutation."""
    return torch.randperm(size, generator=generator).tolist()


def endless(size: int, start: int, count: int, seed: int, *purpose: str | int) -> list[int]:
    """Places start … start+count−1 of an endless sequence of permutations of `size` items: each once, then again."""
    places = []
    while len(places) < count:
        epoch, offset = divmod(start + len(places), size)
        order = shuffled(size, stream(seed, *purpose, epoch))
        places += order[offset : offset + count - len(places)]
    return places


def adamw(model: nn.Module, learning_rate: float, config: OptimizerSettings) -> Optimizer:
    """AdamW over a model's parameters; the decay leaves vectors (norms, biases) alone.

    Fused: one walk over weights and moments, measured six times as fast on a CPU as one an operation.
    """
    decayed = [(name, p) for name, p in checkpoint.trained(model).items() if p.ndim > 1]
    free = [(name, p) for name, p in checkpoint.trained(model).items() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    return AdamW(groups, lr=learning_rate, betas=(config.beta1, config.beta2), eps=config.adam_eps, fused=True)


def cosine(step: int, steps: int, floor: float = 0.1) -> float:
    """The share of the peak at a step: from 1 down to `floor` along half a cosine, no warmup (paper, App. C)."""
    progress = step / max(steps - 1, 1)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def warmup(iteration: int, iterations: int = 10, start: float = 0.1) -> float:
    """The share of the peak: from 1/10 up to 1 over the first ten iterations, then constant (paper, App. C.4)."""
    return 1.0 if iteration >= iterations else start + (1 - start) * iteration / iterations


def set_rate(optimizer: Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def step(optimizer: Optimizer, config: OptimizerSettings, where: str) -> float:
    """One update from the gathered gradients, which are then forgotten. Returns their norm before clipping."""
    named = _named(optimizer)
    length = clip(named, config.clip_norm, where)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    check_weights(named, where)
    return length


def clip(named: Mapping[str, Tensor], longest: float, where: str) -> float:
    """Shorten the gradient to `longest` and return its norm before; NaN and Inf are told by the parameter's name."""
    held = {name: p for name, p in named.items() if p.grad is not None}
    total = nn.utils.get_total_norm([p.grad for p in held.values() if p.grad is not None], foreach=True)
    if not math.isfinite(total):
        # What goes wrong in a layer goes on backwards, so the last of the broken ones is the nearest to the cause.
        grads = {f"the gradient of {name}": p.grad for name, p in reversed(held.items()) if p.grad is not None}
        checkpoint.check_finite(where, grads, f"; nothing was updated; {CURE}")
        raise NotFinite(f"{where}: the gradient is too long for a float; nothing was updated; {CURE}")
    if total > longest:
        nn.utils.clip_grads_with_norm_(held.values(), longest, total, foreach=True)
    return float(total)


def check_weights(named: Mapping[str, Tensor], where: str) -> None:
    """After an update: one norm over all, and a closer look only when it is not finite."""
    if not math.isfinite(norm([p.detach() for p in named.values()])):
        checkpoint.check_finite(f"{where}: after the update", named, f"; {CURE}")


def finite(where: str, **seen: Tensor | float) -> None:
    """Refuse NaN and Inf by name, in the step in which they come."""
    floats = {name: x for name, x in seen.items() if not isinstance(x, Tensor)}
    for name, x in floats.items():
        if not math.isfinite(x):
            raise NotFinite(f"{where}: {name} is {x}; {CURE}")
    checkpoint.check_finite(where, {name: x for name, x in seen.items() if isinstance(x, Tensor)}, f"; {CURE}")


def keep(run: Run, step: int, tensors: Mapping[str, Tensor], state: Mapping) -> None:
    """The checkpoint of a step that was logged. Then leave, if the machine is being taken away."""
    told = dict(state) | {"metrics": run.sync_metrics()}
    checkpoint.save(run.folder / "checkpoints", step, tensors, told, run.identity)
    run.leave(step)


def resume(run: Run) -> Checkpoint | None:
    """The checkpoint to go on from. What was logged after it is forgotten."""
    saved = checkpoint.newest(run.folder / "checkpoints", run.identity)
    run.rewind_metrics(saved.state["metrics"] if saved else None)
    return saved


def _named(optimizer: Optimizer) -> dict[str, Tensor]:
    """An optimiser's parameters by name."""
    groups = optimizer.param_groups
    return {name: p for group in groups for name, p in zip(group["param_names"], group["params"], strict=True)}


def gradients(model: nn.Module) -> list[Tensor]:
    return [p.grad for p in model.parameters() if p.grad is not None]


def norm(tensors: Sequence[Tensor]) -> float:
    """The Euclidean norm over several tensors."""
    return float(torch.stack(torch._foreach_norm(list(tensors))).norm()) if tensors else 0.0


def batches(order: Sequence[int], size: int) -> list[Sequence[int]]:
    """Consecutive pieces of `size`; a last smaller one is kept, so that every item is seen."""
    return [order[at : at + size] for at in range(0, len(order), size)]


def copied(model: nn.Module) -> list[Tensor]:
    """The trained parameters as they are now, in float32."""
    return [p.detach().float().clone() for p in checkpoint.trained(model).values()]


@torch.no_grad()
def put(model: nn.Module, values: Iterable[Tensor]) -> None:
    """Set a model's trained parameters."""
    for parameter, value in zip(checkpoint.trained(model).values(), values, strict=True):
        parameter.copy_(value)


def tell_left_out(path: Path, what: str, kept: int, every: int, why: str) -> None:
    """A setting that is too small should not throw data away in silence."""
    if kept < every:
        note(f"{path}: {kept:,} of {every:,} {what}; {every - kept:,} left out ({why})")
