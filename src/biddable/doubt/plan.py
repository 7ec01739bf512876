"""What a stage will take, in words, before it takes it: parameters, arithmetic, memory, time, and whether the data fit.

Its numbers are of the user's own files and the trainers' own functions (`work.py`). Memory is foretold (`memory.py`);
time is measured on a few real steps, beside the floor that this machine's matrix products set.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

from biddable.config import Settings
from biddable.doubt import memory
from biddable.doubt.memory import Need, Part
from biddable.doubt.work import Work, lay_out
from biddable.model import places
from biddable.progress import duration
from biddable.text import tokenizer as tokenizers

MEGA = 1e6
SIDE, TIMES = 768, 5  # of the matrix products that are timed


def plan(config: Settings, inputs: Mapping[str, Path], seed: int, tries: int) -> Iterator[str]:
    """Line by line, the cheap ones first; at last `tries` real steps, whose results are thrown away."""
    base = settled(inputs["start"] if "start" in inputs else inputs["model"])
    work = lay_out(config, inputs, seed)
    yield from work.says
    yield from work.scale
    yield from memory_lines(work.need, base)
    yield from time_lines(work, tries)


def memory_lines(need: Need, base: float) -> Iterator[str]:
    yield "memory, at its fullest:"
    largest = max(need.passing, key=lambda part: part.bytes)
    for part in (Part("Python and its libraries", base), *need.standing, largest):
        yield f"  {part.bytes / MEGA:>10,.0f} MB  {part.name}"
    yield f"  {(base + need.peak) / MEGA:>10,.0f} MB  in all"


def time_lines(work: Work, tries: int) -> Iterator[str]:
    rates = matmul_rates()
    rate, low, high = (pick(rates) / 1e9 for pick in (statistics.median, min, max))
    yield (
        f"time, by arithmetic: {duration(work.operations / rate / 1e9)} for {work.operations:.2g} operations"
        f"{work.at_most} at {rate:.0f} GFLOP/s ({low:.0f} to {high:.0f}, on products of {SIDE} × {SIDE} here)"
    )
    if tries:
        work.step(0)  # the first is slower than the rest
        took = sorted(timed(lambda i=i: work.step(i)) for i in range(1, tries + 1))
        low, middle, high = (duration(work.steps * x) for x in (took[0], statistics.median(took), took[-1]))
        yield (
            f"time, by trying: {middle} for {work.steps:,} {work.unit} ({low} to {high}): {tries} real ones took "
            f"{took[0]:.2g} to {took[-1]:.2g} s; looks and checkpoints come on top"
        )


def matmul_rates() -> list[float]:
    """Operations a second of float32 matrix products here, a few times over."""
    x = torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    x @ x
    return [2 * SIDE**3 / timed(lambda: x @ x) for _ in range(TIMES)]


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def settled(folder: Path) -> float:
    """What this process takes once torch has done its first product, and the model's family is imported."""
    place, which = tokenizers.named(places.find(folder))
    MODEL_FOR_CAUSAL_LM_MAPPING[type(AutoConfig.from_pretrained(place, **which, trust_remote_code=False))]
    x = torch.ones(64, 64, requires_grad=True)
    (x @ x).sum().backward()
    return memory.resident()
