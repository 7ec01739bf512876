"""The reward model, which is also what the value network starts as: a causal LM's trunk and one scalar per place.

B = rows, S = tokens of a row, T = tokens of the longest answer, N = answer tokens of all rows, D = width.

A reward folder is an ordinary causal-LM folder (the unembedding is kept, unused) with `reward_head.safetensors` beside
it, so that every model folder of ours loads with `AutoModelForCausalLM.from_pretrained`.
"""

import math
from collections.abc import Sequence
from pathlib import Path

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


class RewardModel(nn.Module):
    """r(x, y): the trunk's last hidden state at a place, projected to one number."""

    def __init__(self, lm: PreTrainedModel, generator: torch.Generator):
        super().__init__()
        self.lm = lm
        width = causal.head(lm).shape[1]
        self.head = nn.utils.skip_init(nn.Linear, width, 1)  # whose own first weights are of the global luck
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
