"""What a worker says to bench/run.py. It stands on nothing but Python, since it runs in several environments.

A worker is one process, pinned to one core and to one thread. It sets itself up, does the first step, and prints one
line: what it computed there (the loss, the gradient), to be held against the other side's. Then it does one round for
each line that it reads, and prints what the round cost: CPU seconds of this process, and the highest memory it held.
So both sides can be set up once and then take turns, and neither sees the other's imports.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

WATCHED = "layers.3.self_attn.v_proj.weight"
OUT = os.fdopen(os.dup(1), "w", buffering=1)  # libraries print what they like on stdout; the driver hears this alone
os.dup2(2, 1)


def arguments() -> tuple[str, Path, dict]:
    """The workload's name, the folder of data and model, and the workload's sizes."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    return name, folder, json.loads((folder / "sizes.json").read_text())[name]


def say(**words: object) -> None:
    print(json.dumps(words), file=OUT)


def wanted() -> bool:
    """Wait for the driver: True for one more round, False when it is done."""
    return sys.stdin.readline() == "round\n"


class Clock:
    """CPU seconds, and the peak of memory since the last start."""

    def start(self) -> None:
        forget_peak()
        self.memory = resident()
        self.seconds = time.process_time()

    def stop(self, units: float) -> None:
        seconds = time.process_time() - self.seconds
        say(seconds=seconds, units=units, peak_mb=peak(), start_mb=self.memory)


def rounds(step: Callable[[], float]) -> None:
    """Time `step`, which returns the units it made, as often as the driver asks."""
    clock = Clock()
    while wanted():
        clock.start()
        clock.stop(step())


def forget_peak() -> None:
    """Set the kernel's high-water mark back to what is held now, so that imports and loading are not counted."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    return _status("VmHWM")


def resident() -> float:
    return _status("VmRSS")


def _status(key: str) -> float:
    """Megabytes."""
    lines: Iterator[str] = iter(Path("/proc/self/status").read_text().splitlines())
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key + ":"))


def gradient_of(model) -> dict:
    """What two sides must agree on before their optimiser steps: the gradient's norm, and some of its entries.

    Of one matrix: its largest entry, to which the rounding of all is to be compared, and a corner.
    """
    named = ((name, p.grad) for name, p in model.named_parameters() if p.grad is not None)
    held = {name: g for name, g in named if name != "head.bias"}  # a scalar head of TRL's has none
    norm = math.sqrt(sum(float(g.double().square().sum()) for g in held.values()))
    one = next(g for name, g in held.items() if name.endswith(WATCHED))
    return {"norm": norm, "entries": [float(one.abs().max()), *(float(x) for x in one[:4, :4].flatten())]}
