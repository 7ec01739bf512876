"""A model of 1B parameters on a CUDA machine: `make bench-gpu`. `--cpu-check` runs a tiny one here, to see it run.

The shape of Llama 3.2 1B, random weights, bfloat16. Tokens a second of SFT, of reward modelling with K = 9 and of
sampling, and the share of the machine's peak that the counted operations make up (model FLOPs utilisation): of the peak
that is given (an H100's data sheet says 989 TFLOP/s, dense), and of plain matrix products measured here.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from floor import forward_flops, gradient_flops, matmul_rate, seconds
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from biddable.learn import loop, reward, sft
from biddable.model.forest import Turns, plant
from biddable.model.reward import RewardModel
from biddable.sample.cache import hear, prefill
from biddable.text.snapshots import RankedSet

BILLION = LlamaConfig(
    vocab_size=128_256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
    num_key_value_heads=8, head_dim=64, max_position_embeddings=8192, tie_word_embeddings=True,
)  # fmt: skip
TINY = LlamaConfig(
    vocab_size=256, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True,
)  # fmt: skip
ROOM = 1_000_000  # tokens of a forward pass: nothing is cut
Work = tuple[str, int, Callable[[], object], float]  # its name, tokens, what to do, operations


def ids(count: int, config: LlamaConfig, luck: random.Random) -> list[int]:
    return [luck.randrange(3, config.vocab_size) for _ in range(count)]


def works(model: PreTrainedModel, config: LlamaConfig, device: str, scale: int) -> Iterator[Work]:
    luck = random.Random(0)
    turns = Turns(*[[ids(length * scale, config, luck) for _ in range(16)] for length in (12, 20)])
    forest = plant(turns)
    settings = sft.SftConfig()
    optimizer = loop.adamw(model, 1e-6, settings)

    def demonstrations() -> None:
        sft.gradient(model, turns, ROOM)
        loop.step(optimizer, settings, "bench")

    yield "SFT", len(forest.token_N), demonstrations, gradient_flops(config, forest, len(forest.target_M))

    net = RewardModel(model, torch.Generator()).to(device, model.dtype)
    told = [
        RankedSet(
            ids(12 * scale, config, luck), tuple(ids(4 * scale, config, luck) for _ in range(9)), tuple(range(9)), ""
        )
        for _ in range(8)
    ]
    trees = plant(reward.answers_of(told))
    judging = reward.RewardConfig(micro_tokens=ROOM)

    def rankings() -> None:
        reward.gradient(net, judging, told)
        net.zero_grad(set_to_none=True)

    yield "reward model, K = 9", len(trees.token_N), rankings, gradient_flops(config, trees, 0)

    prompts, new = [turn for turn in turns.prompts[:8] for _ in range(8)], 4 * scale
    read = plant(Turns(prompts, [[3] * new] * len(prompts)))
    linear, attention = forward_flops(config, read, len(prompts) * new)

    def answers() -> None:
        past, hidden_AD = prefill(model, prompts, ROOM)
        for t in range(new):
            token_A = (hidden_AD @ model.get_output_embeddings().weight.T).argmax(-1)
            hidden_AD = hear(model, past, token_A, torch.tensor([len(prompt) + t for prompt in prompts]))

    yield "sampling, 8 prompts × 8", len(prompts) * new, torch.no_grad()(answers), linear + attention


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu-check", action="store_true", help="a tiny model, in float32, on this CPU")
    parser.add_argument("--peak", type=float, default=989, help="TFLOP/s of the data sheet")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("gpu.json"))
    chosen = parser.parse_args()
    if not (chosen.cpu_check or torch.cuda.is_available()):
        parser.error("no CUDA device here; --cpu-check runs a tiny model on the CPU")
    config, device, dtype, scale = (
        (TINY, "cpu", torch.float32, 1) if chosen.cpu_check else (BILLION, "cuda", torch.bfloat16, 32)
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM(config).to(dtype).eval()
    rate = matmul_rate(device, dtype, 256 if chosen.cpu_check else 8192)
    name = "this CPU" if chosen.cpu_check else torch.cuda.get_device_name()
    print(f"{name}: {rate / 1e12:.3g} TFLOP/s in matrix products\n")
    print("| | tokens a second | of the peak | of matrix products |\n|---|---|---|---|")
    found = []
    for title, tokens, work, flops in works(model, config, device, scale):
        took = seconds(work, device)
        found.append({"title": title, "tokens": tokens, "seconds": took, "flops": flops})
        shares = f"{flops / took / chosen.peak / 1e12:.1%} | {flops / took / rate:.1%}"
        print(f"| {title} | {tokens / took:,.0f} | {shares} |", flush=True)
    held = None if chosen.cpu_check else torch.cuda.max_memory_allocated() / 2**30
    out = {"device": name, "matmul_rate": rate, "peak": chosen.peak * 1e12, "gib": held, "rows": found}
    chosen.out.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
