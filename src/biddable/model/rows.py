"""Prompts and answers laid out for a forward pass.

B = rows, S = tokens of a padded row, T = tokens of the longest answer.

Rows are padded on the *right*: a causal model's real tokens never see what stands after them, so that no attention mask
and no position ids are needed, and a padded row equals the row alone. (Only the sampler pads on the left, because the
last token of a prompt must stand right before the first new one.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Each row is a prompt and then its answer. An answer token is predicted from the place before it."""

    token_BS: Int[Tensor, "B S"]
    prompt_B: Int[Tensor, " B"]  # tokens of the prompt
    length_B: Int[Tensor, " B"]  # tokens of prompt and answer

    def __len__(self) -> int:
        return len(self.token_BS)

    @property
    def answer_tokens(self) -> int:
        return int((self.length_B - self.prompt_B).sum())

    @property
    def answer_BT(self) -> Bool[Tensor, "B T"]:
        """True where row b has a t-th answer token."""
        answer_B = self.length_B - self.prompt_B
        return torch.arange(int(answer_B.max()), device=answer_B.device) < answer_B[:, None]

    @property
    def predicts_BS(self) -> Bool[Tensor, "B S"]:
        """True at the places whose next token is an answer token: prompt−1 … length−2 (paper_index, checklist 25)."""
        place_S = torch.arange(self.token_BS.shape[1], device=self.token_BS.device)
        return (place_S >= self.prompt_B[:, None] - 1) & (place_S < self.length_B[:, None] - 1)

    @property
    def target_N(self) -> Int[Tensor, " N"]:
        """The answer tokens of all rows, one after another, in the order of `predicts_BS`."""
        return self.token_BS[:, 1:][self.predicts_BS[:, :-1]]

    def take(self, index: Int[Tensor, " b"]) -> "Rows":
        """Some of the rows, no wider than they need be."""
        length_B = self.length_B[index]
        return Rows(self.token_BS[index, : int(length_B.max())], self.prompt_B[index], length_B)

    def to(self, device: torch.device) -> "Rows":
        return Rows(self.token_BS.to(device), self.prompt_B.to(device), self.length_B.to(device))


def lay(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], pad: int) -> Rows:
    """Prompts, each followed by its answer."""
    rows = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    width = max(map(len, rows))
    token_BS = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    return Rows(token_BS, torch.tensor([len(p) for p in prompts]), torch.tensor([len(row) for row in rows]))


def lay_pages(pages: Sequence[Sequence[int]], pad: int) -> Rows:
    """Text without a prompt: all is predicted but the first token, which has nothing before it."""
    return lay([page[:1] for page in pages], [page[1:] for page in pages], pad)


def buckets(lengths: Sequence[int], tokens: int, weights: Sequence[int] | None = None) -> list[Int[Tensor, " b"]]:
    """Cut items into pieces of at most `tokens` padded tokens, like lengths together, longest first.

    An item of weight w is w rows (a ranking of K answers). An item over the budget is a piece by itself.
    """
    weights = weights or [1] * len(lengths)
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    pieces: list[list[int]] = []
    rows = 0
    for i in order:
        if not pieces or (rows + weights[i]) * lengths[pieces[-1][0]] > tokens:
            pieces.append([])
            rows = 0
        pieces[-1].append(i)
        rows += weights[i]
    return [torch.tensor(piece) for piece in pieces]
