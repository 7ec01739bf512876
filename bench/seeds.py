"""Walk the loop with several seeds, one after another, and print the tables of docs/results.md.

python bench/seeds.py [--seeds 5] [--out seeds]; a walk that is finished is read and not done again. The last lines take
the seeds together, each seed a witness. Exit status 1 where a seed misses what is asked of every seed."""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from biddable.measure.interval import FREE, Interval, bootstrap, resampled
from biddable.measure.results import NAMES, Results

ASKED = {"sft_vs_base": 0.80, "ppo_ptx_vs_sft": 0.60}  # gold win rates; and the whole interval above one half
Walks = Mapping[int, Results]


def show(found: Interval | None) -> str:
    return "–" if found is None else f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def lost_and_regained(results: Results) -> tuple[float, float]:
    """What PPO lost of base's mean over the tax tasks, and what PPO-ptx has more than PPO."""
    mean = {model: scores.value for model, scores in results.tax.items()}
    return mean["base"] - mean["ppo"], mean["ppo_ptx"] - mean["ppo"]


def given_back(results: Results) -> str:
    """What PPO-ptx gives back of the points that PPO lost, clearly or not; "–" where PPO lost nothing."""
    lost, regained = lost_and_regained(results)
    return f"{regained / lost:.0%} of {100 * lost:.1f}" if lost > 0 else "–"


def missed(results: Results) -> list[str]:
    """What this walk should have shown and did not."""
    found = [(name, results.gold_win_rate[name], least) for name, least in ASKED.items()]
    return [f"{name}: {show(rate)}" for name, rate, least in found if rate.value < least or rate.low <= 0.5]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def tables(walks: Walks) -> None:
    table(
        ("seed", "SFT over base, gold", "PPO-ptx over SFT, gold", "PPO-ptx over SFT, people",
         "reward accuracy, training labelers", "held-out labelers", "agreement", "seconds"),
        ((f"{seed}", show(found.gold_win_rate["sft_vs_base"]), show(found.gold_win_rate["ppo_ptx_vs_sft"]),
          show(found.human_win_rate["ppo_ptx_vs_sft"]), show(found.reward_accuracy["train_labelers"]),
          show(found.reward_accuracy["held_out_labelers"]), show(found.agreement), f"{found.seconds:.0f}")
         for seed, found in walks.items()),
    )  # fmt: skip
    table(
        ("seed", *NAMES.values(), "given back", "PPO over SFT, gold"),
        (
            (
                f"{seed}",
                *(show(found.tax[m]) for m in NAMES),
                given_back(found),
                show(found.gold_win_rate["ppo_vs_sft"]),
            )
            for seed, found in walks.items()
        ),
    )
    table(
        ("", "seed", *NAMES.values()),
        (
            (what, f"{seed}", *(show(rates[m]) for m in NAMES))
            for what in ("hallucination", "toxicity")
            for seed, rates in ((seed, getattr(found, what)) for seed, found in walks.items())
        ),
    )


def together(walks: Walks) -> None:
    """What the seeds say as so many witnesses: intervals are over seeds."""
    seeds = list(walks)
    print()
    for name in (*ASKED, "ppo_vs_sft"):
        rates = [found.gold_win_rate[name] for found in walks.values()]
        clear = sum(rate.low > 0.5 for rate in rates)
        mean = bootstrap([rate.value for rate in rates], seeds)
        print(f"{name}, gold: above one half, interval and all, on {clear} of {len(seeds)} seeds; mean {show(mean)}")
    change = np.array([lost_and_regained(found) for found in walks.values()])
    for what, values in zip(("PPO lost", "PPO-ptx gave back"), change.T, strict=True):
        print(
            f"tax: {what} {show(bootstrap(values, seeds, bounds=FREE))} points, more than 0 on {sum(values > 0)} seeds"
        )
    share = resampled(change, lambda sums: sums[:, 1] / sums[:, 0], len(seeds), bounds=FREE)
    print(f"tax: given back, of what was lost: {show(share)} %")


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--out", type=Path, default=Path("seeds"))
    chosen = options.parse_args()
    walks = {}
    for seed in range(chosen.seeds):
        folder = chosen.out / f"seed-{seed}"
        biddable = Path(sys.executable).with_name("biddable")
        command = [str(biddable), "quickstart", "--seed", str(seed), "--out", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        walks[seed] = Results.model_validate_json((folder / "results.json").read_text(encoding="utf-8"))
    tables(walks)
    if len(walks) > 1:
        together(walks)
    wrong = [f"seed {seed}: {line}" for seed, results in walks.items() for line in missed(results)]
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
