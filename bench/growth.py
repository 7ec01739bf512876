"""How the cost of a gradient grows with K, length, batch and vocabulary: `make bench-growth`.

The model of bench/material.py, on one core. Beside each cost is the floor: the operations that the arithmetic needs,
over the rate of plain matrix products, measured in the same minute. The optimiser's step, always the same, is left out.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from floor import gradient_flops, matmul_rate, seconds
from material import policy, shape, text
from transformers import LlamaForCausalLM

from biddable.learn import reward, sft
from biddable.model.forest import Turns, plant
from biddable.model.reward import RewardModel
from biddable.text.snapshots import RankedSet

Row = tuple[str, int, Callable[[], object], float]  # what grows, how far, the work, its operations
ROOM = 100_000  # tokens of a forward pass: nothing is cut
SIZES = {
    "K": (2, 4, 9, 16),
    "answer tokens": (64, 256, 1024),
    "demonstrations": (1, 4, 16),
    "vocabulary": (1_024, 8_192, 49_152),
}
SMALL = {"K": (2, 3), "answer tokens": (4, 8), "demonstrations": (1, 2), "vocabulary": (64, 128)}


def rankings(lm: LlamaForCausalLM, answers: int, luck: random.Random, prompt: int, answer: int) -> tuple:
    """A reward model's gradient on one ranking."""
    net = RewardModel(lm, torch.Generator())
    told = RankedSet(
        text(prompt, luck), tuple(text(answer, luck) for _ in range(answers)), tuple(range(answers)), "all"
    )
    forest = plant(reward.answers_of([told]))
    config = reward.RewardConfig(micro_tokens=ROOM)
    return lambda: reward.gradient(net, config, [told]), gradient_flops(lm.config, forest, 0)


def demonstrations(lm: LlamaForCausalLM, count: int, luck: random.Random, prompt: int, answer: int) -> tuple:
    """SFT's gradient."""
    words = lm.config.vocab_size
    turns = Turns(*[[text(length, luck, words) for _ in range(count)] for length in (prompt, answer)])
    forest = plant(turns)
    return lambda: sft.gradient(lm, turns, ROOM), gradient_flops(lm.config, forest, len(forest.target_M))


def rows(sizes: dict[str, tuple[int, ...]], prompt: int, answer: int) -> Iterator[Row]:
    """One thing grows at a time."""
    luck, lm = random.Random(0), policy()
    for k in sizes["K"]:
        yield ("K", k, *rankings(lm, k, luck, prompt, answer))
    for length in sizes["answer tokens"]:
        yield ("answer tokens", length, *demonstrations(lm, 1, luck, prompt, length))
    for count in sizes["demonstrations"]:
        yield ("demonstrations", count, *demonstrations(lm, count, luck, prompt, answer))
    for words in sizes["vocabulary"]:
        config = shape()
        config.vocab_size = words
        yield ("vocabulary", words, *demonstrations(LlamaForCausalLM(config).eval(), 4, luck, prompt, answer))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="next to nothing, to see that it runs")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("growth.json"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    sizes, prompt, answer = (SMALL, 4, 4) if chosen.small else (SIZES, 200, 60)
    rate = matmul_rate()
    print(f"matrix products: {rate / 1e9:.0f} GFLOP/s; PyTorch's own: {matmul_rate(product=torch.matmul) / 1e9:.0f}\n")
    print("| | | ms | floor, ms | of the floor |\n|---|---|---|---|---|")
    found = []
    for what, size, work, flops in rows(sizes, prompt, answer):
        took, least = seconds(work), flops / rate
        found.append({"what": what, "size": size, "seconds": took, "floor": least, "flops": flops})
        print(f"| {what} | {size:,} | {1e3 * took:.0f} | {1e3 * least:.0f} | {took / least:.1f}× |", flush=True)
    chosen.out.write_text(json.dumps({"matmul_rate": rate, "rows": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
