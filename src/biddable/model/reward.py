"""The reward model, which is also what the value network starts as: a causal LM's trunk and one scalar per place.

A = answers, T = tokens of the longest, N = tokens of a row, D = width, M = heads, J = aspects.

A reward folder is an ordinary causal-LM folder (the unembedding is kept, unused) with `reward_head.safetensors` beside
it, so that every model folder of ours loads with `AutoModelForCausalLM.from_pretrained`.
"""

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import cast

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from biddable.model import causal
from biddable.model.attention import hidden
from biddable.model.checkpoint import check_finite
from biddable.model.forest import Forest, Turns
from biddable.text.tokenizer import Tokenizer

HEAD = "reward_head.safetensors"
KNOWN = "known"  # a tensor beside the heads
WRITES = ("o_proj", "down_proj", "dense", "dense_4h_to_h", "c_proj", "out_proj", "fc2")  # a layer's last two maps


class RewardModel(nn.Module):
    """r(x, y): the trunk's last hidden state at a place, projected to one number, or to M of which r is the mean.

    Besides there may be heads for aspects, such as truthful, each a share σ(z) between 0 and 1. What an aspect is worth
    is stated and not learnt: r is the mean of the M plus Σ worth · σ(z).
    """

    def __init__(
        self,
        lm: PreTrainedModel,
        generator: torch.Generator,
        heads: int = 1,
        worth: Mapping[str, float] = MappingProxyType({}),
    ):
        super().__init__()
        self.lm = lm
        self.worth = dict(worth)
        self.known: tuple[float, float] | None = None  # between them lie 98 % of the scores that it was trained on
        width = causal.head(lm).shape[1]
        self.head = _projection(width, heads, generator)
        self.aspects = nn.ModuleDict({name: _projection(width, 1, generator) for name in self.worth})

    def forward(self, forest: Forest) -> Float[Tensor, " A"]:
        """The score of each answer, read at its last token, which is the end token if there is one."""
        return self.each(forest).mean(1)

    def each(self, forest: Forest) -> Float[Tensor, "A M"]:
        """The same by each head, aspects included."""
        return self._read(self.last(forest))

    def last(self, forest: Forest) -> Float[Tensor, "A D"]:
        """The hidden state at each answer's last token."""
        hidden_ND = hidden(self.lm, forest)
        return hidden_ND[forest.last_A.to(hidden_ND.device)]

    def values(self, forest: Forest) -> Float[Tensor, "A T"]:
        """V(s) before each answer token; 0 where an answer has none."""
        return forest.spread(self._read(causal.predicting(self.lm, forest)).mean(1))

    def aspect_logits(self, hidden_AD: Float[Tensor, "A D"]) -> Float[Tensor, "A J"]:
        """z of each aspect, in the order of `worth`."""
        none_A0 = hidden_AD.new_zeros(len(hidden_AD), 0)
        return torch.cat([none_A0, *(self.aspects[name](hidden_AD) for name in self.worth)], dim=1)

    def worthy(self, logit_AJ: Float[Tensor, "A J"]) -> Float[Tensor, " A"]:
        """Σ worth · σ(z)."""
        return logit_AJ.sigmoid() @ logit_AJ.new_tensor(list(self.worth.values()))

    def _read(self, hidden_AD: Float[Tensor, "A D"]) -> Float[Tensor, "A M"]:
        return self.head(hidden_AD) + self.worthy(self.aspect_logits(hidden_AD))[:, None]


def _projection(width: int, out: int, generator: torch.Generator) -> nn.Linear:
    """std 1/√(d+1), bias 0: small and stable first scores (paper_index, checklist 11)."""
    # skip_init, because a Linear's own first weights would be of the global luck
    made = cast(nn.Linear, nn.utils.skip_init(nn.Linear, width, out))
    with torch.no_grad():
        made.weight.normal_(0, 1 / math.sqrt(width + 1), generator=generator)
        made.bias.zero_()
    return made


@torch.no_grad()
def deepen(lm: PreTrainedModel, layers: int, generator: torch.Generator) -> PreTrainedModel:
    """Put `layers` more on top of a model's own, which add nothing yet to what passes through them.

    A judge must see where an answer departs from its prompt *and* weigh all such places at its last token, which takes
    more depth than to write the answer. The untrained scores stay what they were, as in Net2Net (Chen et al. 2016), but
    the layers' inner weights are fresh: copies of the last layer learnt less (LOG.md).
    """
    stack = next(
        some
        for some in lm.base_model.modules()
        if isinstance(some, nn.ModuleList) and len(some) == lm.config.num_hidden_layers
    )
    for _ in range(layers):
        layer = copy.deepcopy(stack[-1])
        for parameter in layer.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, parameter.shape[1] ** -0.5, generator=generator)
        writes = [part for name, part in layer.named_modules() if name.rpartition(".")[2] in WRITES]
        if len(writes) != 2:
            raise ValueError(f"extra_layers: {lm.config.model_type} has layers of a shape that cannot be added to yet")
        for parameter in (p for part in writes for p in part.parameters()):
            parameter.zero_()
        for part in layer.modules():
            if hasattr(part, "layer_idx"):
                part.layer_idx = len(stack)  # pyrefly: ignore
            if hasattr(part, "config"):
                part.config = lm.config  # pyrefly: ignore  # not a copy: it says which attention is called
        stack.append(layer)
    if getattr(lm.config, "layer_types", None):
        lm.config.layer_types = [*lm.config.layer_types, *lm.config.layer_types[-1:] * layers]
    lm.config.num_hidden_layers += layers
    return lm


def scores(model: RewardModel, turns: Turns, tokens: int) -> Float[Tensor, " A"]:
    """Scores of any number of answers, without gradient."""
    return scores_and_spread(model, turns, tokens)[0]


def scores_and_spread(model: RewardModel, turns: Turns, tokens: int) -> tuple[Float[Tensor, " A"], Float[Tensor, " A"]]:
    """Scores and how far the heads stand apart on each: their standard deviation, 0 for one head. Without gradient."""
    each_AM = each(model, turns, tokens)
    return each_AM.mean(1), each_AM.std(1, correction=0)


def each(model: RewardModel, turns: Turns, tokens: int) -> Float[Tensor, "A M"]:
    """Every head's scores of any number of answers, without gradient."""
    return causal.in_pieces(model.each, turns, tokens)


@torch.no_grad()
def center(model: RewardModel, mean_M: Float[Tensor, " M"]) -> None:
    """Shift all scores so that what scored `mean_M` on average scores 0: bias only, no scale (section 3.5).

    Each head by itself: a ranking fixes no head's zero, so what heads differ in there is no doubt about any answer.
    """
    model.head.bias.sub_(mean_M)


@torch.no_grad()
def remember(model: RewardModel, score_A: Float[Tensor, " A"]) -> None:
    """Keep between which scores the answers lay that it learnt from: beyond them nobody has said what is better."""
    low, high = score_A.double().quantile(torch.tensor([0.01, 0.99], dtype=torch.float64)).tolist()
    model.known = low, high


def save(model: RewardModel, tokenizer: Tokenizer, folder: Path) -> Path:
    """Write the causal-LM folder and the heads beside it, as one folder that is there or not."""
    aside = folder.with_name(folder.name + ".new")
    state = {name: tensor.detach().clone().contiguous() for name, tensor in _heads(model).items()}
    check_finite(str(folder), {f"head.{name}": tensor for name, tensor in state.items()}, "; nothing was written")
    causal.save(model.lm, tokenizer, aside)
    save_file(state, aside / HEAD)
    causal.replace(aside, folder)
    return folder


def _heads(model: RewardModel) -> dict[str, Tensor]:
    """All but the trunk: `weight` and `bias` of the rankings' heads, and of an aspect besides what it is worth."""
    state = dict(model.head.state_dict())
    for name, worth in model.worth.items():
        parts = {**model.aspects[name].state_dict(), "worth": torch.tensor(worth, dtype=torch.float64)}
        state |= {f"{name}.{part}": tensor for part, tensor in parts.items()}
    if model.known is not None:
        state[KNOWN] = torch.tensor(model.known, dtype=torch.float64)
    return state


def load(folder: Path | str) -> tuple[RewardModel, Tokenizer]:
    """A reward model, in eval mode, and its tokenizer."""
    path = Path(folder) / HEAD
    if Path(folder).exists() and not path.exists():
        raise ValueError(f"{folder}: not a reward model (no {HEAD}); train one with `biddable reward`")
    lm, tokenizer = causal.load(folder)
    state = load_file(path)
    aspects = sorted(name.removesuffix(".worth") for name in state if name.endswith(".worth"))
    model = RewardModel(
        lm, torch.Generator(), max(1, *state.get("bias", torch.ones(1)).shape), dict.fromkeys(aspects, 0.0)
    )
    if KNOWN in state:  # models of earlier versions have none
        low, high = state[KNOWN].tolist()
        model.known = low, high
    if {name: x.shape for name, x in _heads(model).items()} != {name: x.shape for name, x in state.items()}:
        raise ValueError(f"{path}: not the head of this model")
    model.worth = {name: float(state[f"{name}.worth"]) for name in aspects}
    check_finite(str(path), state, "; this head is broken")
    for name, tensor in _heads(model).items():
        tensor.copy_(state[name])  # a worth, or what is known, is copied to nowhere, and stands above
    return model.eval(), tokenizer
