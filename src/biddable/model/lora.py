"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685): the weights rest, and two thin matrices beside each are learnt.

h = W x + (α / r) B A x,  A: r × in, B: out × r.  B begins at 0, so that an adapted model begins as what it adapts; A
begins as a linear layer's weights do in PyTorch, and in PEFT, so that a learning rate means the same there. With its
adapters `off` a policy is its own reference: no second copy of the weights.

N = rows, I = width of a linear layer's input, O = of its output, R = rank.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from biddable.model.checkpoint import check_finite

ALL = "all"


class Adapted(nn.Module):
    """A linear layer and what is learnt beside it."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, generator: torch.Generator):
        super().__init__()
        self.base, self.alpha, self.scale, self.on = base, alpha, alpha / rank, True
        place = base.weight.device
        a_RI = torch.empty(rank, base.in_features).uniform_(-1, 1, generator=generator) / base.in_features**0.5
        self.a_RI = nn.Parameter(a_RI.to(place))
        self.b_OR = nn.Parameter(torch.zeros(base.out_features, rank, device=place))

    def forward(self, x: Tensor) -> Tensor:
        if not self.on:
            return self.base(x)
        x_NI = x.reshape(-1, x.shape[-1])
        y_NO = self.base(x_NI)
        # In place: what is added, and a sum beside both, would each be as large as the layer's output.
        y_NO.addmm_(F.linear(x_NI, self.a_RI), self.b_OR.T, alpha=self.scale)
        return y_NO.unflatten(0, x.shape[:-1])

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The layer with W + (α / r) B A for its weights."""
        self.base.weight.add_(self.b_OR @ self.a_RI, alpha=self.scale)
        return self.base


def attach(lm: PreTrainedModel, rank: int, alpha: float, targets: str, generator: torch.Generator) -> None:
    """Let a model's weights rest and put an adapter beside each target: `all` linear layers but the head, or those of
    the names that `targets` lists with commas between, such as q_proj,v_proj."""
    found = {name: part for name, part in lm.base_model.named_modules() if isinstance(part, nn.Linear)}
    chosen = _chosen(lm, found, targets)
    lm.requires_grad_(False)
    for name in chosen:
        _put(lm.base_model, name, Adapted(found[name], rank, alpha, generator))


def adapters(model: nn.Module) -> dict[str, Adapted]:
    """A model's adapters by the names of their layers."""
    return {name: part for name, part in model.named_modules() if isinstance(part, Adapted)}


@contextmanager
def off(model: nn.Module) -> Iterator[None]:
    """The model as it was before its adapters learnt anything."""
    parts = adapters(model).values()
    for part in parts:
        part.on = False
    try:
        yield
    finally:
        for part in parts:
            part.on = True


def merge(model: nn.Module) -> None:
    """Add what was learnt to the weights: an ordinary model again, all of it to be trained."""
    for name, part in adapters(model).items():
        _put(model, name, part.merged())
    model.requires_grad_(True)


def save(lm: PreTrainedModel, folder: Path) -> Path:
    """The adapters alone, in the folder that PEFT loads; written aside, then renamed."""
    parts = adapters(lm)
    tensors = {f"base_model.model.{name}.lora_A.weight": part.a_RI.detach() for name, part in parts.items()}
    tensors |= {f"base_model.model.{name}.lora_B.weight": part.b_OR.detach() for name, part in parts.items()}
    check_finite(str(folder), tensors, "; nothing was written")
    one = next(iter(parts.values()))
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": len(one.a_RI),
        "lora_alpha": one.alpha,
        "lora_dropout": 0.0,
        "target_modules": sorted({_last(name) for name in parts}),
        "bias": "none",
        "inference_mode": True,
    }
    aside = folder.with_name(folder.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, aside / "adapter_model.safetensors")
    (aside / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    return aside.rename(folder)


def _chosen(lm: PreTrainedModel, found: dict[str, nn.Linear], targets: str) -> list[str]:
    has = sorted({_last(name) for name in found})
    if not has:
        raise ValueError(f"lora_rank: {lm.config.model_type} has no linear layers of PyTorch's; set lora_rank=0")
    if targets == ALL:
        return list(found)
    wanted = [name.strip() for name in targets.split(",")]
    for name in wanted:
        if name not in has:
            raise ValueError(f"lora_targets: {lm.config.model_type} has no {name!r}; it has {', '.join(has)}")
    return [name for name in found if _last(name) in wanted]


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _put(model: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, part)
