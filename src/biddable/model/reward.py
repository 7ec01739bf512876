"""The reward model, which is also what the value network starts as: a causal LM's trunk and one scalar per place.

A = answers, T = tokens of the longest, N = tokens of a row, D = width.

A reward folder is an ordinary causal-LM folder (the unembedding is kept, unused) with `reward_head.safetensors` beside
it, so that every model folder of ours loads with `AutoModelForCausalLM.from_pretrained`.
"""

import math
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from biddable.model import causal
from biddable.model.attention import hidden
from biddable.model.forest import Forest, Turns
from biddable.text.tokenizer import Tokenizer

HEAD = "reward_head.safetensors"


class RewardModel(nn.Module):
    """r(x, y): the trunk's last hidden state at a place, projected to one number."""

    def __init__(self, lm: PreTrainedModel, generator: torch.Generator):
        super().__init__()
        self.lm = lm
        width = causal.head(lm).shape[1]
        self.head = nn.Linear(width, 1)
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
    causal.save(model.lm, tokenizer, aside)
    state = {name: tensor.detach().clone().contiguous() for name, tensor in model.head.state_dict().items()}
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
    model.head.load_state_dict(state)
    return model.eval(), tokenizer
