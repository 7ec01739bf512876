"""Speed side by side with TRL: `make bench`, or for a look `make bench ARGS="--quick"`. Results: docs/results.md.

One process a side and workload, pinned to one core and one thread. Both are set up, agree on the first update, and then
take turns, A B A B, so that whatever else the machine does falls on both.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PLACE = ROOT / ".bench"
PYTHON = {"ours": sys.executable, "trl": str(PLACE / "trl/bin/python"), "ppo": str(PLACE / "trl-ppo/bin/python")}


@dataclass(frozen=True)
class Line:
    """A row of the table. `goal` is of ours to the peer's rate; a memory goal of ours to the peer's peak."""

    name: str
    title: str
    unit: str
    peer: tuple[str, ...]  # which environment, which program and its words
    ours: tuple[str, ...]
    goal: float | None = None
    memory_goal: float | None = None


TRAIN, ROLLOUT = ("ours", "ours_train.py"), ("ours", "ours_rollout.py")
LINES = (
    Line("sft", "SFT, TRL's default: 8 in a padded batch", "answer tokens", ("trl", "peer_train.py"), TRAIN, 4, 1 / 3),
    Line("sft_packed", "SFT, TRL's packing", "answer tokens", ("trl", "peer_train.py"), TRAIN, 2.2),
    Line("sft_alone", "SFT, TRL one at a time", "answer tokens", ("trl", "peer_train.py"), TRAIN),
    Line("reward_k9", "reward model, K = 9", "rankings", ("trl", "peer_train.py"), TRAIN, 28),
    Line("reward_k4", "reward model, K = 4", "rankings", ("trl", "peer_train.py"), TRAIN, 7),
    Line("dpo", "DPO, reference precomputed", "pairs", ("trl", "peer_train.py"), TRAIN, 5),
    Line("ppo_ending", "PPO, answers end at random", "episodes", ("ppo", "peer_rollout.py"), ROLLOUT, 2.5),
    Line("ppo_even", "PPO, answers of one length", "episodes", ("ppo", "peer_rollout.py"), ROLLOUT, 1.4),
    Line("rloo", "RLOO, 8 prompts × 4 samples", "episodes", ("trl", "peer_rollout.py"), ROLLOUT, 3),
    Line("sample", "sampling, batch of 32", "useful tokens", ("trl", "peer_rollout.py"), ROLLOUT, 2),
    Line("head", "head loss, 1,024 × 49,152, against plain", "tokens", ("ours", "head.py", "plain"),
         ("ours", "head.py", "ours"), 1, 1 / 3),
)  # fmt: skip

NAMES = tuple(line.name for line in LINES)


class Worker:
    """One side of one workload."""

    def __init__(self, line: Line, side: Sequence[str], data: Path, core: int):
        environment, program, *words = side
        logs = data / "logs"
        logs.mkdir(exist_ok=True)
        self.log = logs / f"{line.name}-{environment}-{'-'.join([Path(program).stem, *words])}.txt"
        alone = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        with self.log.open("w") as heard:
            self.process = subprocess.Popen(
                [PYTHON[environment], str(HERE / program), line.name, str(data), *words],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=heard, text=True, cwd=data,
                env=os.environ | alone, preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )  # fmt: skip
        self.first = self.hear()

    def hear(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.end()
            raise SystemExit(f"{self.log}: the worker ended; its last words:\n{self.log.read_text()[-2000:]}")
        return json.loads(line)

    def round(self) -> dict:
        assert self.process.stdin is not None
        self.process.stdin.write("round\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def numbers(value: object) -> list[float]:
    """All numbers of a nest of lists and dictionaries, in order."""
    if isinstance(value, dict):
        return [x for inner in value.values() for x in numbers(inner)]
    if isinstance(value, list):
        return [x for inner in value for x in numbers(inner)]
    assert isinstance(value, (int, float))
    return [float(value)]


# float32 carries 1e-7; sums in another order over some thousand terms were seen to differ by 3e-6 of the largest entry.
ROUNDING = 1e-4


def disagreement(ours: object, peer: object) -> float:
    """The greatest difference of two groups of numbers, as a share of the largest number in its innermost group.

    The innermost group, because a gradient's entries are a thousandth of its norm and would hide behind it.
    """
    if isinstance(ours, dict) and isinstance(peer, dict):
        return max(disagreement(ours[key], peer[key]) for key in peer)
    if isinstance(ours, list) and isinstance(peer, list) and any(isinstance(x, dict) for x in peer):
        return max(disagreement(mine, theirs) for mine, theirs in zip(ours, peer, strict=True))
    mine, theirs = numbers(ours), numbers(peer)
    largest = max((abs(x) for x in theirs), default=0.0)
    gaps = [abs(a - b) for a, b in zip(mine, theirs, strict=True)]
    if not all(map(math.isfinite, gaps)):  # max() may pass over a NaN
        return math.inf
    return max(gaps, default=0.0) / largest if largest else 0.0


def measure(line: Line, data: Path, core: int, rounds: int) -> dict:
    """Both sides of a line in turns, if they agree."""
    sides = {"peer": Worker(line, line.peer, data, core), "ours": Worker(line, line.ours, data, core)}
    first = {name: worker.first for name, worker in sides.items()}
    gap = disagreement(first["ours"], first["peer"])
    result: dict = {"title": line.title, "unit": line.unit, "goal": line.goal, "memory_goal": line.memory_goal,
                    "disagreement": gap}  # fmt: skip
    if gap <= ROUNDING:
        seen: dict[str, list[dict]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, worker in sides.items():
                seen[name].append(worker.round())
        result |= {name: summary(some) for name, some in seen.items()}
        result |= ratios(line, result["ours"], result["peer"])
    else:
        words = {name: str(said)[:200] for name, said in first.items()}
        result["refused"] = f"the first updates differ by {gap:.1e}: {words['peer']} and {words['ours']}"
    for worker in sides.values():
        worker.end()
    return result


def summary(rounds: list[dict]) -> dict:
    rates = [r["units"] / r["seconds"] for r in rounds]
    return {
        "rate": statistics.median(rates), "rates": rates, "seconds": [r["seconds"] for r in rounds],
        "peak_mb": statistics.median(r["peak_mb"] for r in rounds),
        "above_start_mb": statistics.median(r["peak_mb"] - r["start_mb"] for r in rounds),
    }  # fmt: skip


def ratios(line: Line, ours: dict, peer: dict) -> dict:
    """Of the medians; and of each pair of rounds, which says how far to trust it."""
    each = [a / b for a, b in zip(ours["rates"], peer["rates"], strict=True)]
    memory = "above_start_mb" if line.name == "head" else "peak_mb"
    return {
        "ratio": ours["rate"] / peer["rate"], "lowest": min(each), "highest": max(each),
        "memory_ratio": ours[memory] / peer[memory],
    }  # fmt: skip


HEADER = (
    f"{'':42}{'ours':>10}{'TRL':>10}  {'a CPU second':<15}{'ratio':>7}  {'(rounds)':<15}{'goal':>6}"
    f"{'GiB ours':>9}{'TRL':>6}"
)


def row(result: dict) -> str:
    if "refused" in result:
        return f"{result['title']:<42}refused: {result['refused']}"
    peer, ours = result["peer"], result["ours"]
    spread = f"({result['lowest']:.2f}–{result['highest']:.2f})"
    goal = f"{result['goal']:g}" if result["goal"] else ""
    missed = "  missed" if result["goal"] and result["ratio"] < result["goal"] else ""
    if result["memory_goal"]:
        missed += f"  memory {result['memory_ratio']:.2f}, goal {result['memory_goal']:.2f}"
    rates = f"{ours['rate']:>10.3g}{peer['rate']:>10.3g}  {result['unit']:<15}{result['ratio']:>7.2f}"
    return (
        f"{result['title']:<42}{rates}  {spread:<15}{goal:>6}"
        f"{ours['peak_mb'] / 1024:>9.1f}{peer['peak_mb'] / 1024:>6.1f}{missed}"
    )


def versions() -> dict:
    """Of this side and of the two environments of the peer."""
    said = {"python": platform.python_version(), "machine": platform.processor() or platform.machine()}
    said |= {name: version(name) for name in ("biddable", "torch", "transformers")}
    ask = "from importlib.metadata import version as v; print(*(v(n) for n in ('trl', 'torch', 'transformers')))"
    for name in ("trl", "ppo"):
        found = subprocess.run([PYTHON[name], "-c", ask], capture_output=True, text=True, check=True).stdout.split()
        said[f"peer {name}"] = dict(zip(("trl", "torch", "transformers"), found, strict=True))
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small batches and two rounds: a look, not a result")
    parser.add_argument("--rounds", type=int, help="turns of each side (5, or 2 with --quick)")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these, of {' '.join(NAMES)}")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core to pin to")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    args = parser.parse_args()
    if strange := set(args.names) - set(NAMES):
        parser.error(f"{' '.join(sorted(strange))}: no such line; there are {' '.join(NAMES)}")
    scale, rounds = ("quick", args.rounds or 2) if args.quick else ("full", args.rounds or 5)
    data = PLACE / scale
    if not (data / "sizes.json").exists():
        print(f"making the model and the data in {data}", flush=True)
        subprocess.run([sys.executable, str(HERE / "material.py"), str(data), scale], check=True)

    found = earlier(args.out, {"scale": scale, "versions": versions()})
    print(HEADER, flush=True)
    refused = False
    for line in LINES:
        if args.names and line.name not in args.names:
            continue
        found["lines"][line.name] = result = measure(line, data, args.core, rounds)
        print(row(result), flush=True)
        refused |= "refused" in result
        args.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if refused:
        raise SystemExit("some lines were refused: the two sides do not compute the same")


def earlier(path: Path, same: dict) -> dict:
    """The lines that were measured before at the same scale with the same versions, to which others are added."""
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if {key: found[key] for key in same} == same:
            return found
    return same | {"lines": {}}


if __name__ == "__main__":
    main()
