"""A command in a process of its own, forked from one that has imported what commands need and done nothing else."""

import multiprocessing
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

_FROM = multiprocessing.get_context("forkserver")
_FROM.set_forkserver_preload(
    ["beside", "biddable.cli", "biddable.doubt.plan", "biddable.learn.ppo", "biddable.learn.raft"]
)


class Ended(NamedTuple):
    status: int | None
    told: str
    peak: float  # the most memory that the process ever had, in bytes


def command(folder: Path, *words: str) -> Ended:
    """`biddable` with these words, in this folder."""
    told = folder / "told.txt"
    process = _FROM.Process(target=_be, args=(folder, told, words))
    process.start()
    process.join(500)
    process.kill()  # or one that hangs would be waited for when the tests are over
    process.join()
    said, _, peak = told.read_text(encoding="utf-8").rpartition("peak ")
    return Ended(process.exitcode, said, float(peak) * 1024)  # counted in kilobytes


def _be(folder: Path, told: Path, words: tuple[str, ...]) -> None:
    from biddable.cli import main

    os.environ |= {"BIDDABLE_QUIET": "1"}
    os.chdir(folder)
    with told.open("w", encoding="utf-8", buffering=1) as sys.stdout:
        sys.stderr, sys.argv = sys.stdout, ["biddable", *words]
        try:
            main()
        finally:  # and not ru_maxrss, which a child inherits from the process that begat it
            print("peak", *re.findall(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text()))
