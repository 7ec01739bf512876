"""A command in a process of its own, forked from one that has imported what commands need and done nothing else."""

import ctypes
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


def command(folder: Path, *words: str, returned: bool = False) -> Ended:
    """`biddable` with these words, in this folder; `returned`: what is freed goes back to the system at once."""
    told = folder / "told.txt"
    process = _FROM.Process(target=_be, args=(folder, told, words, returned))
    process.start()
    process.join(500)
    process.kill()  # or one that hangs would be waited for when the tests are over
    process.join()
    said, _, peak = told.read_text(encoding="utf-8").rpartition("peak ")
    return Ended(process.exitcode, said, float(peak) * 1024)  # counted in kilobytes


def _be(folder: Path, told: Path, words: tuple[str, ...], returned: bool) -> None:
    from biddable.cli import main

    if returned:  # glibc maps each large piece by itself (M_MMAP_THRESHOLD, M_MMAP_MAX) and its heap has no holes
        libc = ctypes.CDLL(None)
        assert libc.mallopt(-3, 128 * 1024) == 1
        assert libc.mallopt(-4, 1_000_000) == 1
    os.environ |= {"BIDDABLE_QUIET": "1"}
    os.chdir(folder)
    with told.open("w", encoding="utf-8", buffering=1) as sys.stdout:
        sys.stderr, sys.argv = sys.stdout, ["biddable", *words]
        try:
            main()
        finally:  # and not ru_maxrss, which a child inherits from the process that begat it
            print("peak", *re.findall(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text()))
