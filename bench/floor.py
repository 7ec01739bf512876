"""The least that arithmetic can take: counted floating-point operations, over the rate of plain matrix products."""

import time
from collections.abc import Callable

import torch
from transformers import LlamaConfig

from biddable.model.forest import Forest
from biddable.products import times

Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

BACKWARD = 2  # a product's gradient is two products of its size: one for each factor
FLASH_BACKWARD = 2.5  # attention's are five for two, since scores are made again (Dao et al. 2022)


def forward_flops(config: LlamaConfig, forest: Forest, headed: int) -> tuple[float, float]:
    """Operations of a forward pass: of all linear layers with the head at `headed` places, and of attention.

    A multiply-add is two. Attention counts the pairs that see each other, half of a square for a span.
    """
    wide, tall = config.hidden_size, config.intermediate_size
    head = config.head_dim or wide // config.num_attention_heads
    queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    layer = 2 * wide * queries + 2 * wide * keys + 3 * wide * tall
    linear = 2.0 * len(forest.token_N) * layer * config.num_hidden_layers + 2.0 * headed * wide * config.vocab_size
    pairs = 0.0
    for tree in forest.trees:
        lengths = [end - begin for begin, end in tree.spans]
        pairs += sum(length * (length + 1) / 2 for length in lengths)
        pairs += lengths[0] * sum(lengths[1:])  # answers look at their prompt
    return linear, 4.0 * pairs * queries * config.num_hidden_layers


def gradient_flops(config: LlamaConfig, forest: Forest, headed: int) -> float:
    """Forward and backward."""
    linear, attention = forward_flops(config, forest, headed)
    return (1 + BACKWARD) * linear + (1 + FLASH_BACKWARD) * attention


def matmul_rate(
    device: str = "cpu", dtype: torch.dtype = torch.float32, size: int = 1024, product: Product = times
) -> float:
    """Operations a second of square products, the best of five."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2.0 * size**3 / min(seconds(lambda: product(a, b), device) for _ in range(5))


def seconds(work: Callable[[], object], device: str = "cpu", repeats: int = 3) -> float:
    """Of one call, on average: CPU time, which neighbours on a shared machine do not stretch much; a GPU's by the
    clock on the wall."""
    work()
    wait(device)
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    for _ in range(repeats):
        work()
    wait(device)
    return (clock() - start) / repeats


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
