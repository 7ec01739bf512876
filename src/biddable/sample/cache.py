"""What a sampler remembers: keys and values of prompts and of the answers so far, and attention to them.

A prompt is read once, however many answers it gets, in a forest without padding. Prompts of like lengths then lie side
by side, so that one call serves them all. All answers of a batch are equally long while they grow: they need no mask.

L = layers, A = answers still growing, a = some of them, G = heads of keys and values, R = heads of queries to each of
those, E = width of a head, S = tokens of an answer so far; P = prompts side by side, C = most answers to one of them,
W = tokens of the longest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from biddable.model.attention import Walk, partial, read
from biddable.model.forest import fill, plant, unprompted
from biddable.text.tokenizer import Ids

BLOCK = 64  # tokens by which the answers' room grows
ALIKE, SLACK = 1.25, 16  # prompts side by side are at most this much longer than the shortest, and so many tokens


@dataclass
class Shelf:
    """Prompts of like lengths: their keys and values, padded on the right, and who answers them."""

    key_LPGWE: Tensor
    value_LPGWE: Tensor
    bias_P11W: Tensor | None  # −inf on padding; None where there is none
    answers: list[list[int]]  # to each prompt, by their places among the growing ones
    take_PC: Int[Tensor, "P C"]  # the same as an index, filled up with 0
    place_A: Int[Tensor, " a"]  # where each answer stands in take_PC, one after another
    answer_A: Int[Tensor, " a"]  # and which it is

    def renumber(self, answers: list[list[int]]) -> None:
        """Other answers, such as fewer; a prompt that nobody answers any longer goes once it is worth the copy."""
        kept = [nth for nth, some in enumerate(answers) if some]
        if len(kept) <= len(answers) / 2:
            index = torch.tensor(kept, dtype=torch.long, device=self.key_LPGWE.device)
            self.key_LPGWE, self.value_LPGWE = self.key_LPGWE[:, index], self.value_LPGWE[:, index]
            self.bias_P11W = None if self.bias_P11W is None else self.bias_P11W[index]
            answers = [answers[nth] for nth in kept]
        self.answers = answers
        device, most = self.key_LPGWE.device, max(map(len, answers), default=0)
        self.take_PC = torch.tensor([some + [0] * (most - len(some)) for some in answers], device=device)
        flat = [(nth * most + c, some[c]) for nth, some in enumerate(answers) for c in range(len(some))]
        self.place_A = torch.tensor([place for place, _ in flat], dtype=torch.long, device=device)
        self.answer_A = torch.tensor([answer for _, answer in flat], dtype=torch.long, device=device)


class Past:
    """All that was read. `hear` hands it the next token of each answer."""

    def __init__(self, shelves: list[Shelf], answers: int):
        self.shelves = shelves
        self.answers = answers
        self.filled = 0
        self.longest = 0
        self.layers = 0
        self.own: list[tuple[Tensor, Tensor]] = []  # each layer's keys and values of the answers, AGSE

    def keep(self, index_a: Int[Tensor, " a"]) -> None:
        """Some answers are done: go on with these."""
        place = {old: new for new, old in enumerate(index_a.tolist())}
        for shelf in self.shelves:
            shelf.renumber([[place[i] for i in some if i in place] for some in shelf.answers])
        self.shelves = [shelf for shelf in self.shelves if any(shelf.answers)]
        index_a = index_a.to(self.own[0][0].device) if self.own else index_a
        self.own = [(key[index_a], value[index_a]) for key, value in self.own]
        self.answers = len(index_a)

    def attend(
        self,
        query: Float[Tensor, "1 H A E"],
        key: Float[Tensor, "1 G A E"],
        value: Float[Tensor, "1 G A F"],
        dropout: float,
        scaling: float | None,
    ) -> Float[Tensor, "1 H A F"]:
        """One layer: each answer's newest token looks at its answer, then at its prompt; and the two are weighed by
        their log-sum-exps, as in `model/attention.py`."""
        assert dropout == 0.0, "a sampler's model is in eval mode"
        layer, (heads, answers), groups = self.layers, query.shape[1:3], key.shape[1]
        own_key, own_value = self._remember(layer, key, value)
        query_AGRE = query[0].unflatten(0, (groups, heads // groups)).permute(2, 0, 1, 3)
        out_AGRE, lse_AGR = partial(query_AGRE, own_key, own_value, None, scaling)
        for shelf in self.shelves:
            seen, seen_lse = _ask(shelf, layer, query_AGRE, scaling)
            here = shelf.answer_A
            mine, mine_lse = out_AGRE[here], lse_AGR[here]
            share = torch.sigmoid(seen_lse - mine_lse)[..., None].to(mine.dtype)
            out_AGRE[here] = mine + share * (seen - mine)
        return out_AGRE.reshape(answers, heads, -1).transpose(0, 1)[None]

    def _remember(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put down the newest token's key and value; all of the answers' so far."""
        new = [row[0].transpose(0, 1)[:, :, None] for row in (key, value)]
        if layer == len(self.own):
            room = [row.new_empty(*row.shape[:2], BLOCK, row.shape[3]) for row in new]
            self.own.append((room[0], room[1]))
        if self.filled == self.own[layer][0].shape[2]:
            grown = [torch.cat((room, torch.empty_like(room[:, :, :BLOCK])), 2) for room in self.own[layer]]
            self.own[layer] = (grown[0], grown[1])
        for room, row in zip(self.own[layer], new, strict=True):
            room[:, :, self.filled : self.filled + 1] = row
        own_key, own_value = self.own[layer]
        return own_key[:, :, : self.filled + 1], own_value[:, :, : self.filled + 1]


@torch.no_grad()
def hear(
    model: PreTrainedModel, past: Past, token_A: Int[Tensor, " A"], position_A: Int[Tensor, " A"]
) -> Float[Tensor, "A D"]:
    """The hidden states after one more token of each answer."""
    past.longest = int(position_A.max()) + 1
    hidden_AD = read(model, token_A, position_A, past)
    past.filled += 1
    return hidden_AD


def _ask(shelf: Shelf, layer: int, query_AGRE: Tensor, scaling: float | None) -> tuple[Tensor, Tensor]:
    """What the answers to a shelf's prompts see there, and its log-sum-exp; in the order of `answer_A`."""
    (prompts, most), (groups, shared, width) = shelf.take_PC.shape, query_AGRE.shape[1:]
    query_PCGRE = query_AGRE[shelf.take_PC.flatten()].view(prompts, most, groups, shared, width)
    query_PGME = query_PCGRE.transpose(1, 2).reshape(prompts, groups, most * shared, width)
    seen, lse = partial(query_PGME, shelf.key_LPGWE[layer], shelf.value_LPGWE[layer], shelf.bias_P11W, scaling)
    seen = seen.unflatten(2, (most, shared)).transpose(1, 2).flatten(0, 1)[shelf.place_A]
    return seen, lse.unflatten(2, (most, shared)).transpose(1, 2).flatten(0, 1)[shelf.place_A]


def prefill(model: PreTrainedModel, prompts: Sequence[Ids], tokens: int) -> tuple[Past, Float[Tensor, "A D"]]:
    """Read the prompts, `tokens` at a time and each different one once; the last hidden state of each."""
    asked: dict[tuple[int, ...], list[int]] = {}
    for place, prompt in enumerate(prompts):
        asked.setdefault(tuple(prompt), []).append(place)
    texts = sorted(asked, key=len)
    shelves, last = [], {}
    for shelf in alike([len(text) for text in texts]):
        some = [texts[i] for i in shelf]
        stored, hidden_PD = _read(model, some, tokens)
        stored.renumber([asked[text] for text in some])
        shelves.append(stored)
        last |= {place: hidden for text, hidden in zip(some, hidden_PD, strict=True) for place in asked[text]}
    return Past(shelves, len(prompts)), torch.stack([last[place] for place in range(len(prompts))])


def alike(lengths: Sequence[int]) -> list[list[int]]:
    """Ascending lengths, cut where they grow too unlike."""
    found: list[list[int]] = []
    for i, length in enumerate(lengths):
        if not found or length > ALIKE * lengths[found[-1][0]] + SLACK:
            found.append([])
        found[-1].append(i)
    return found


def _read(model: PreTrainedModel, texts: Sequence[tuple[int, ...]], tokens: int) -> tuple[Shelf, Float[Tensor, "P D"]]:
    """A shelf of prompts, nobody answering yet, and the hidden state after each."""
    lengths = [len(text) for text in texts]
    rooms: list[Tensor] = []
    found = []
    for piece in fill(lengths, tokens):
        forest = plant(unprompted([list(texts[i]) for i in piece]))
        walk = Walk(forest, keeps=True)
        found.append(read(model, forest.token_N, forest.position_N, walk)[forest.last_A.to(model.device)])
        rooms = rooms or [
            row.new_zeros(len(walk.kept), len(texts), row.shape[1], max(lengths), row.shape[3]) for row in walk.kept[0]
        ]
        for i, tree in zip(piece, forest.trees, strict=True):
            here = slice(tree.bounds[0], tree.bounds[-1])
            for layer, kept in enumerate(walk.kept):
                for room, row in zip(rooms, kept, strict=True):
                    room[layer, i, :, : lengths[i]] = row[0, :, here]
    nobody = torch.zeros(0, dtype=torch.long)
    return Shelf(rooms[0], rooms[1], _padding(lengths, rooms[0]), [], nobody[None], nobody, nobody), torch.cat(found)


def _padding(lengths: Sequence[int], like: Tensor) -> Float[Tensor, "P 1 1 W"] | None:
    """−inf where a prompt has no token."""
    if len(set(lengths)) == 1:
        return None
    padded_PW = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
    return torch.zeros(padded_PW.shape).masked_fill_(padded_PW, -torch.inf)[:, None, None].to(like)
