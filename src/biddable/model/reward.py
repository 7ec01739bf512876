"""The reward model, which is also what the value network starts as: a causal LM's trunk and one scalar per place.

A = answers, T = tokens of the longest, N = tokens of a row, D = width.

A reward folder is an ordinary causal-LM folder (the unembedding is kept, unused) with `reward_head.safetensors` beside
it, so that every model folder of ours loads with `AutoModelForCausalLM.from_pretrained`.
"""

import copy
import math
from pathlib import Path
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
WRITES = ("o_proj", "down_proj", "dense", "dense_4h_to_h", "c_proj", "out_proj", "fc2")  # a layer's last two maps


class RewardModel(nn.Module):
    """r(x, y): the trunk's last hidden state at a place, projected to one number."""

    def __init__(self, lm: PreTrainedModel, generator: torch.Generator):
        super().__init__()
        self.lm = lm
        width = causal.head(lm).shape[1]
        # skip_init, because a Linear's own first weights would be of the global luck
        self.head = cast(nn.Linear, nn.utils.skip_init(nn.Linear, width, 1))
        with torch.no_grad():  # std 1/√(d+1), bias 0: small and stable first scores (paper_index, checklist 11)
            self.head.weight.normal_(0, 1 / math.sqrt(width + 1), generator=generator)
            self.head.bias.zero_()

    def forward(self, forest: Forest) -> Float[Tensor, " A"]:
        """The score of each answer, read at its last token, which is the end token if there is one."""
        hidden_ND = hidden(self.lm, forest)
        return self.head(hidden_ND[forest.last_A.to(hidden_ND.device)]).squeeze(-1)

    def values(self, forest: Forest) -> Float[Tensor, "A T"]:
        """V(s) before each answer token; 0 where an answer has none."""
        return forest.spread(self.head(causal.predicting(self.lm, forest)).squeeze(-1))


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
        stack.append(layer)
    if getattr(lm.config, "layer_types", None):
        lm.config.layer_types = [*lm.config.layer_types, *lm.config.layer_types[-1:] * layers]
    lm.config.num_hidden_layers += layers
    return lm


def scores(model: RewardModel, turns: Turns, tokens: int) -> Float[Tensor, " A"]:
    """Scores of any number of answers, without gradient."""
    return causal.in_pieces(lambda forest: model(forest)[:, None], turns, tokens).squeeze(1)


@torch.no_grad()
def center(model: RewardModel, mean: float) -> None:
    """Shift all scores so that what scored `mean` on average scores 0: bias only, no scale (section 3.5)."""
    model.head.bias.sub_(mean)


def save(model: RewardModel, tokenizer: Tokenizer, folder: Path) -> Path:
    """Write the causal-LM folder and the head beside it, as one folder that is there or not."""
    aside = folder.with_name(folder.name + ".new")
    state = {name: tensor.detach().clone().contiguous() for name, tensor in model.head.state_dict().items()}
    check_finite(str(folder), {f"head.{name}": tensor for name, tensor in state.items()}, "; nothing was written")
    causal.save(model.lm, tokenizer, aside)
    save_file(state, aside / HEAD)
    causal.replace(aside, folder)
    return folder


def load(folder: Path | str) -> tuple[RewardModel, Tokenizer]:
    """A reward model, in eval mode, and its tokenizer."""
    path = Path(folder) / HEAD
    if Path(folder).is_dir() and not path.exists():
        raise ValueError(f"{folder}: not a reward model (no {HEAD}); train one with `biddable reward`")
    lm, tokenizer = causal.load(folder)
    model = RewardModel(lm, torch.Generator())
    state = load_file(path)
    if state.keys() != {"weight", "bias"} or state["weight"].shape != model.head.weight.shape:
        raise ValueError(f"{path}: not the head of this model")
    check_finite(str(path), state, "; this head is broken")
    model.head.load_state_dict(state)
    return model.eval(), tokenizer
