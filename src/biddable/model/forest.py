"""Prompts and answers laid out in one row: each prompt once, then its answers, and no padding.

N = tokens of the row, A = answers, M = predicted tokens of all answers, T = those of the longest.

A *tree* is a prompt with the answers that share it. A ranking of K answers costs one prompt and K answers and not K of
each; the same holds for n samples of one prompt. An answer sees its prompt and itself, at the positions it would have
alone (`model/attention.py`), so that a forest equals its answers one by one, and its gradient flows into each prompt
from all its answers. A causal model's layers besides attention look at one token at a time: they do not notice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from biddable.text.tokenizer import Ids


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


def plant(prompts: Sequence[Ids], answers: Sequence[Ids]) -> Forest:
    """One answer to each prompt; answers to equal prompts are one tree.

    Without a prompt, as in a page of text, the first token has nothing before it and is not predicted.
    """
    assert all(answers), "an answer has at least one token, be it only its end"
    row: list[int] = []
    positions: list[int] = []
    trees: list[Tree] = []
    end = [0] * len(answers)
    before: list[list[int]] = [[] for _ in answers]
    for group in groups(prompts):
        prompt, bounds = prompts[group[0]], [len(row)]
        row += prompt
        positions += range(len(prompt))
        fork = len(row)
        if len(group) > 1:
            bounds.append(fork)
        for i in group:
            before[i] = [*range(fork - 1, fork)[: len(prompt)], *range(len(row), len(row) + len(answers[i]) - 1)]
            row += answers[i]
            positions += range(len(prompt), len(prompt) + len(answers[i]))
            end[i] = len(row)
            bounds.append(end[i])
        trees.append(Tree(tuple(bounds)))
    target = [answer if prompt else answer[1:] for prompt, answer in zip(prompts, answers, strict=True)]
    return Forest(
        token_N=torch.tensor(row),
        position_N=torch.tensor(positions),
        trees=tuple(trees),
        last_A=torch.tensor(end) - 1,
        length_A=torch.tensor([len(some) for some in target]),
        before_M=torch.tensor(list(chain(*before)), dtype=torch.long),  # pages of one token leave it empty
        target_M=torch.tensor(list(chain(*target)), dtype=torch.long),
    )


def plant_pages(pages: Sequence[Ids]) -> Forest:
    """Text without a prompt."""
    return plant([[]] * len(pages), pages)


def groups(prompts: Sequence[Ids]) -> list[list[int]]:
    """Which answers share a prompt. No prompt is shared by none."""
    found: dict[tuple[int, ...] | int, list[int]] = {}
    for i, prompt in enumerate(prompts):
        found.setdefault(tuple(prompt) or i, []).append(i)
    return list(found.values())


def cut(prompts: Sequence[Ids], answers: Sequence[Ids], tokens: int) -> list[list[int]]:
    """Pieces of at most `tokens` tokens, as places in the lists given. Trees are whole where they fit into a piece."""
    parts: list[list[int]] = []
    costs: list[int] = []
    for group in groups(prompts):
        prompt = len(prompts[group[0]])
        for some in fill([len(answers[i]) for i in group], tokens - prompt):
            parts.append([group[nth] for nth in some])
            costs.append(prompt + sum(len(answers[i]) for i in parts[-1]))
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
