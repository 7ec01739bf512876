"""How much memory a stage will take, part by part, before it takes it.

What is there all the time is counted: weights, gradients, moments, copies. What comes and goes with the tokens of a
piece is measured on a few of them: a forward pass says what it keeps for its backward pass.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from biddable.model import causal, checkpoint
from biddable.model.forest import Forest, Turns, plant
from biddable.model.reward import RewardModel
from biddable.products import HERE, large

SAMPLE = 512  # tokens on which is measured what one of them keeps
# Bytes that oneDNN keeps of each shape of product, and of how many: measured with AVX-512 (docs/design/learning.md).
PROGRAM, PROGRAMS = 0.9e6, 600


@dataclass(frozen=True)
class Part:
    name: str
    bytes: float


@dataclass(frozen=True)
class Network:
    name: str
    module: PreTrainedModel | RewardModel
    learns: bool


@dataclass(frozen=True)
class Pass:
    """A forward pass with a backward pass to come: over which rows, and how many tokens at once at most."""

    name: str
    network: PreTrainedModel | RewardModel
    forward: Callable[[Forest], Tensor]
    sample: Turns
    tokens: int
    pieces: float  # of the whole run
    beside: float = 0.0  # bytes of other things that are there while it lasts


@dataclass(frozen=True)
class Read:
    """Forward passes alone."""

    network: PreTrainedModel | RewardModel
    tokens: int
    pieces: float


@dataclass(frozen=True)
class Need:
    """All that a stage holds at once."""

    standing: tuple[Part, ...]  # from the first step to the last
    passing: tuple[Part, ...]  # one after another: the largest counts

    @property
    def peak(self) -> float:
        return sum(part.bytes for part in self.standing) + max((part.bytes for part in self.passing), default=0.0)


def need(
    networks: list[Network], passes: list[Pass], standing: list[Part], passing: list[Part], reads: Sequence[Read] = ()
) -> Need:
    learners = [network for network in networks if network.learns]
    moving = sum(learnt_size(network.module) for network in learners)
    gradients = float(moving)
    programs = Part("oneDNN's programs, one a shape of product", min(PROGRAMS, shapes(passes, reads)) * PROGRAM)
    parts = [*weights(networks), Part("Adam's two moments", 2 * moving), *standing, programs]
    # Gradients are forgotten after each update: answers are sampled without them.
    going = [
        Part(f"{one.name}: gradients and what a piece keeps", gradients + one.beside + kept(one)) for one in passes
    ]
    largest = max((float(learnt_size(network.module)) for network in learners), default=0.0)
    going.append(Part("the update: gradients and Adam's working room", gradients + largest))
    return Need(tuple(part for part in parts if part.bytes), (*going, *passing))


def weights(networks: list[Network]) -> Iterator[Part]:
    """Each network's own; what it shares with one before it is there once."""
    met: set[int] = set()
    for network in networks:
        own = {id(p): p.numel() * p.element_size() for p in network.module.parameters() if id(p) not in met}
        met |= own.keys()
        yield Part(f"{network.name}: weights", sum(own.values()))


def shapes(passes: Sequence[Pass], reads: Sequence[Read] = ()) -> float:
    """How many shapes of product oneDNN meets: with each piece's tokens x Wᵀ of each kind of layer, on the way back
    g W, and gᵀ x where the weight is learnt. Networks of one shape read the same pieces."""
    met = {}
    for one, back in (*((one, True) for one in passes), *((one, False) for one in reads)):
        layers = {part.weight for part in one.network.modules() if isinstance(part, nn.Linear)}
        times = {w.shape: 1 + back * (1 + w.requires_grad) for w in layers if HERE and large(one.tokens, *w.shape)}
        met[frozenset(times.items()), one.tokens, one.pieces] = sum(times.values()) * one.pieces
    return sum(met.values())


def size(module: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())


def copy_size(module: nn.Module) -> int:
    """Of a copy of what is trained (`loop.copied`)."""
    return sum(p.numel() * 4 for p in checkpoint.trained(module).values())


def learnt_size(module: nn.Module) -> int:
    """Of what gets a gradient: a reward model's head never meets the unembedding, unless it is the embedding too."""
    unused = causal.head(module.lm) if isinstance(module, RewardModel) else None
    if isinstance(module, RewardModel) and module.lm.get_input_embeddings().weight is unused:
        unused = None
    return sum(p.numel() * p.element_size() for p in module.parameters() if p.requires_grad and p is not unused)


def kept(one: Pass) -> float:
    """What a piece keeps for its backward pass, in bytes, and the gradients on their way through one layer."""
    some = few(one.sample, SAMPLE)
    whole, half = saved(one, some), saved(one, few(one.sample, SAMPLE // 2))
    rise = (whole[1] - half[1]) / (whole[0] - half[0]) if whole[0] > half[0] else whole[1] / whole[0]
    fixed = max(0.0, whole[1] - rise * whole[0])
    judges = isinstance(one.network, RewardModel)
    lm = one.network.lm if isinstance(one.network, RewardModel) else one.network
    learns = not judges and causal.head(lm).requires_grad
    head = 2 * causal.head(lm).numel() * 4 if learns else 0  # its gradient, twice on its way
    return fixed + rise * one.tokens * (1 + 1 / lm.config.num_hidden_layers) + head


def few(turns: Turns, tokens: int) -> Turns:
    """The first rows, of no more than `tokens` tokens, and at least one."""
    ends = list(accumulate(len(p) + len(a) for p, a in zip(turns.prompts, turns.answers, strict=True)))
    return turns.take(range(max(1, sum(end <= tokens for end in ends))))


def saved(one: Pass, turns: Turns) -> tuple[int, int]:
    """Tokens of a forward pass, and the bytes that it keeps besides the weights."""
    forest = plant(turns)
    weights = {p.untyped_storage().data_ptr() for p in one.network.parameters()}
    held: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        one.forward(forest)
    return len(forest.token_N), sum(held.values())


def cache(lm: PreTrainedModel, rows: int, tokens: int, vocabulary: int) -> float:
    """Keys and values of a rollout, and its logits: once as they are and thrice in double precision, to draw from."""
    config = lm.config
    width = config.to_dict().get("head_dim") or config.hidden_size // config.num_attention_heads
    return rows * (tokens * config.num_hidden_layers * 2 * config.num_key_value_heads * width * 4 + vocabulary * 28)


def resident() -> float:
    """Bytes of this process now: Python, torch and the other libraries, before anything is loaded."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096.0 if statm.exists() else 0.0
