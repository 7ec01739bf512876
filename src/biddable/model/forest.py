"""Prompts and answers laid out in one row: each prompt once, then its answers, and no padding.

N = tokens of the row, A = answers, M = predicted tokens of all answers, T = those of the longest.

A *tree* is a prompt with the answers that share it. A ranking of K answers costs one prompt and K answers and not K of
each; the same holds for n samples of one prompt. An answer sees its prompt and itself, at the positions it would have
alone (`model/attention.py`), so that a forest equals its answers one by one, and its gradient flows into each prompt
from all its answers. A causal model's layers besides attention look at one token at a time: they do not notice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from biddable.text.tokenizer import Ids


@dataclass(frozen=True)
class Turns:
    """Prompts, each with one answer. Where there is no prompt, as in a page of text, the first token is given."""

    prompts: Sequence[Ids]
    answers: Sequence[Ids]

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def predicted(self) -> int:
        """How many tokens are predicted: those of the answers, but for a first one with nothing before it."""
        return sum(len(answer) - (not prompt) for prompt, answer in zip(self.prompts, self.answers, strict=True))

    def take(self, index: Sequence[int]) -> "Turns":
        """Some of them."""
        return Turns([self.prompts[i] for i in index], [self.answers[i] for i in index])


def unprompted(texts: Sequence[Ids]) -> Turns:
    """Text that answers nobody."""
    return Turns([[]] * len(texts), texts)


@dataclass(frozen=True)
class Tree:
    """Where in the row a tree begins, where its prompt ends, and where each answer ends.

    A lone answer needs no fork: then the bounds are where the tree begins and ends.
    """

    bounds: tuple[int, ...]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The prompt and each answer; or both as one. Within a span a token sees the earlier ones."""
        return list(pairwise(self.bounds))

    @property
    def forks(self) -> bool:
        """Whether the first span is seen by all the others."""
        return len(self.bounds) > 2


@dataclass(frozen=True)
class Forest:
    """The row, and where its answers are. What is said of answers is in the order in which they were given."""

    token_N: Int[Tensor, " N"]
    position_N: Int[Tensor, " N"]
    trees: tuple[Tree, ...]
    last_A: Int[Tensor, " A"]  # the place of each answer's last token
    length_A: Int[Tensor, " A"]  # how many tokens of each answer are predicted
    before_M: Int[Tensor, " M"]  # the place from which each of them is predicted: that of the token before it
    target_M: Int[Tensor, " M"]  # and the tokens themselves

    def __len__(self) -> int:
        return len(self.last_A)

    @property
    def answer_AT(self) -> Bool[Tensor, "A T"]:
        """True where answer a has a t-th predicted token."""
        return torch.arange(int(self.length_A.max())) < self.length_A[:, None]

    def spread(self, x_M: Float[Tensor, " M"]) -> Float[Tensor, "A T"]:
        """Numbers of the predicted tokens, one after another → one row per answer, zeros after its end."""
        mask_AT = self.answer_AT.to(x_M.device)
        return torch.zeros(mask_AT.shape, dtype=x_M.dtype, device=x_M.device).masked_scatter(mask_AT, x_M)


def plant(turns: Turns) -> Forest:
    """Lay turns out; answers to equal prompts are one tree."""
    assert all(turns.answers), "an answer has at least one token, be it only its end"
    row: list[int] = []
    positions: list[int] = []
    trees: list[Tree] = []
    end = [0] * len(turns)
    before: list[list[int]] = [[] for _ in end]
    for group in groups(turns):
        prompt, bounds = turns.prompts[group[0]], [len(row)]
        row += prompt
        positions += range(len(prompt))
        fork = len(row)
        if len(group) > 1:
            bounds.append(fork)
        for i in group:
            answer = turns.answers[i]
            before[i] = [*range(fork - 1, fork)[: len(prompt)], *range(len(row), len(row) + len(answer) - 1)]
            row += answer
            positions += range(len(prompt), len(prompt) + len(answer))
            end[i] = len(row)
            bounds.append(end[i])
        trees.append(Tree(tuple(bounds)))
    target = [answer if prompt else answer[1:] for prompt, answer in zip(turns.prompts, turns.answers, strict=True)]
    return Forest(
        token_N=torch.tensor(row),
        position_N=torch.tensor(positions),
        trees=tuple(trees),
        last_A=torch.tensor(end) - 1,
        length_A=torch.tensor([len(some) for some in target]),
        before_M=torch.tensor(list(chain(*before)), dtype=torch.long),  # pages of one token leave it empty
        target_M=torch.tensor(list(chain(*target)), dtype=torch.long),
    )


def forests(turns: Turns, tokens: int) -> Iterator[tuple[list[int], Forest]]:
    """Turns in pieces of at most `tokens` tokens: which ones, and the forest of them."""
    for index in cut(turns, tokens):
        yield index, plant(turns.take(index))


def groups(turns: Turns) -> list[list[int]]:
    """Which turns share a prompt. No prompt is shared by none."""
    found: dict[tuple[int, ...] | int, list[int]] = {}
    for i, prompt in enumerate(turns.prompts):
        found.setdefault(tuple(prompt) or i, []).append(i)
    return list(found.values())


def cut(turns: Turns, tokens: int) -> list[list[int]]:
    """Pieces of at most `tokens` tokens. A tree is whole where it fits into a piece."""
    parts: list[list[int]] = []
    costs: list[int] = []
    for group in groups(turns):
        prompt = len(turns.prompts[group[0]])
        for some in fill([len(turns.answers[i]) for i in group], tokens - prompt):
            parts.append([group[nth] for nth in some])
            costs.append(prompt + sum(len(turns.answers[i]) for i in parts[-1]))
    return [[i for nth in piece for i in parts[nth]] for piece in fill(costs, tokens)]


def fill(costs: Sequence[int], room: int) -> list[list[int]]:
    """Items, in order, into pieces that cost at most `room`. One that costs more is a piece by itself."""
    pieces: list[list[int]] = []
    left = 0
    for i, cost in enumerate(costs):
        if not pieces or cost > left:
            pieces.append([])
            left = room
        pieces[-1].append(i)
        left -= cost
    return pieces
