"""What checkpoints cost, and how long a killed run takes to learn on: runs of a quickstart, done again at full size.

    python bench/resume.py --out DIR WALK [RUN]...      # WALK: what `biddable quickstart --out WALK` left

Each run is begun, killed (`kill -9`) once it has kept a checkpoint and learnt a step more, and begun again. Prints a
row of docs/design/exact.md for each: the share of its time in which checkpoints are kept, and the seconds of one core
from the new process's birth to its first new line of metrics.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "BIDDABLE_QUIET": "1"}

RUNS = ("sft", "start", "reward", "ppo_ptx")


def carry_out(told: Path, folder: Path) -> None:
    """The run of another one's manifest. Tells on stdout when each step was logged, how long each checkpoint took."""
    import torch

    from biddable import runs
    from biddable.learn import loop, ppo, reward, sft, start

    torch.set_num_threads(1)
    stages = {"sft": sft.train, "start": start.train, "reward": reward.train, "ppo": ppo.train}
    settings = {"sft": sft.SftConfig, "start": start.StartConfig, "reward": reward.RewardConfig, "ppo": ppo.PpoConfig}
    manifest = runs.read_manifest(told)
    config = settings[manifest.kind].model_validate(manifest.config)
    inputs = {name: Path(made.path) for name, made in manifest.inputs.items()}
    keep, log = loop.keep, runs.Run.log

    def timed_keep(*given) -> None:
        begun = time.time()
        keep(*given)
        print(json.dumps({"kept": time.time() - begun}), flush=True)

    def timed_log(*given, **numbers) -> None:
        log(*given, **numbers)
        print(json.dumps({"logged": time.time(), "cpu": time.process_time()}), flush=True)

    loop.keep, runs.Run.log = timed_keep, timed_log
    with runs.start(folder, manifest.kind, config, inputs, manifest.seed) as run:
        stages[manifest.kind](run, config, **inputs)


def measured(told: Path, folder: Path) -> tuple[int, float, float, float]:
    """Of the run after the kill: its checkpoints, seconds of one, their share, and a core's seconds to learn on."""
    command = [sys.executable, __file__, "--one", told, folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        kept = False
        for line in first.stdout or ():
            if kept and "logged" in line:
                break
            kept |= "kept" in line
        first.send_signal(signal.SIGKILL)
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    logged = [line for line in map(json.loads, lines) if "logged" in line]
    cost = [line["kept"] for line in map(json.loads, lines) if "kept" in line]
    took = logged[-1]["logged"] - logged[0]["logged"]
    return len(cost), sum(cost) / len(cost), sum(cost) / took, logged[0]["cpu"]


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--one", nargs=2, type=Path, help=argparse.SUPPRESS)
    given.add_argument("walk", type=Path, nargs="?")
    given.add_argument("runs", nargs="*", choices=[*RUNS, []], metavar="RUN")
    given.add_argument("--out", type=Path)
    said = given.parse_args()
    if said.one:
        carry_out(*said.one)
        return
    print("| run | checkpoints | seconds each | share of the time | CPU seconds to learn on |\n|---|---|---|---|---|")
    for name in said.runs or RUNS:
        count, each, share, back = measured(said.walk / "runs" / name, said.out / name)
        print(f"| {name} | {count} | {each:.2f} | {share:.1%} | {back:.1f} |", flush=True)


if __name__ == "__main__":
    main()
