"""The reward model, which is also what the value network starts as: a causal LM's trunk and one scalar per place.

B = rows, S = tokens of a row, T = tokens of the longest answer, N = answer tokens of all rows, D = width.

A reward folder is an ordinary causal-LM folder (the unembedding is kept, unused) with `reward_head.safetensors` beside
it, so that every model folder of ours loads with `AutoModelForCausalLM.from_pretrained`.
"""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from biddable.model import causal
from biddable.model.checkpoint import check_finite
from biddable.model.rows import Rows, buckets
from biddable.model.tree import last_hidden
from biddable.text.tokenizer import Ids, Tokenizer

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

    def forward(self, rows: Rows) -> Float[Tensor, " B"]:
        """The score of each row, read at its last token, which is the end token if there is one."""
        hidden_BSD = causal.hidden(self.lm, rows)
        last_BD = hidden_BSD[torch.arange(len(rows), device=hidden_BSD.device), rows.length_B - 1]
        return self.head(last_BD).squeeze(-1)

    def branches(
        self, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]], pad: int, tokens: int
    ) -> Float[Tensor, " N"]:
        """The scores of several answers to each prompt, prompt by prompt: as `forward`, with each prompt read once."""
        return self.head(last_hidden(self.lm, prompts, answers, pad, tokens)).squeeze(-1)

    def values(self, rows: Rows) -> Float[Tensor, "B T"]:
        """V(s) before each answer token; 0 where a row has none."""
        return causal.spread(self.head(causal.predicting(self.lm, rows)).squeeze(-1), rows)


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


@torch.no_grad()
def scores(model: RewardModel, rows: Rows, tokens: int) -> Float[Tensor, " B"]:
    """Scores of any number of rows, in pieces of like length."""
    score_B = torch.zeros(len(rows), device=rows.token_BS.device)
    for index_b in buckets(rows.length_B.tolist(), tokens):
        score_B[index_b] = model(rows.take(index_b)).float()
    return score_B


@torch.no_grad()
def branch_scores(
    model: RewardModel, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]], pad: int, tokens: int
) -> list[list[float]]:
    """Scores of several answers to each of any number of prompts, some trees at a time."""
    found: list[list[float]] = [[] for _ in prompts]
    for index in buckets([tree_tokens(p, some) for p, some in zip(prompts, answers, strict=True)], tokens):
        here = index.tolist()
        score_N = model.branches([prompts[i] for i in here], [answers[i] for i in here], pad, tokens // 4)
        for i, part in zip(here, score_N.split([len(answers[i]) for i in here]), strict=True):
            found[i] = part.tolist()
    return found


def tree_tokens(prompt: Ids, answers: Sequence[Ids]) -> int:
    """What a prompt and its answers cost."""
    return len(prompt) + sum(map(len, answers))


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
