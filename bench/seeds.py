"""Walk the loop with several seeds, one after another, and print the tables of docs/results.md.

python bench/seeds.py [--seeds 5] [--out seeds]; a walk that is finished is read and not done again. Exit status 1 where
a seed misses what is asked of every seed."""

import argparse
import subprocess
import sys
from pathlib import Path

from biddable.measure.interval import Interval
from biddable.measure.results import Results

ASKED = {"sft_vs_base": 0.80, "ppo_ptx_vs_sft": 0.60}  # gold win rates; and the whole interval above one half


def show(found: Interval | None) -> str:
    return "–" if found is None else f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def given_back(results: Results) -> str:
    """What PPO-ptx gives back of the points that PPO lost, clearly or not; "–" where PPO lost nothing."""
    mean = {model: scores.value for model, scores in results.tax.items()}
    lost = mean["base"] - mean["ppo"]
    return f"{(mean['ppo_ptx'] - mean['ppo']) / lost:.0%} of {100 * lost:.1f}" if lost > 0 else "–"


def missed(results: Results) -> list[str]:
    """What this walk should have shown and did not."""
    found = [(name, results.gold_win_rate[name], least) for name, least in ASKED.items()]
    return [f"{name}: {show(rate)}" for name, rate, least in found if rate.value < least or rate.low <= 0.5]


def row(seed: int, results: Results) -> str:
    gold, accuracy, tax = results.gold_win_rate, results.reward_accuracy, results.tax
    cells = [
        show(gold["sft_vs_base"]), show(gold["ppo_ptx_vs_sft"]), show(results.human_win_rate["ppo_ptx_vs_sft"]),
        show(accuracy["train_labelers"]), show(accuracy["held_out_labelers"]), show(results.agreement),
        *(show(tax[model]) for model in ("base", "ppo", "ppo_ptx")), given_back(results), f"{results.seconds:.0f}",
    ]  # fmt: skip
    return f"| {seed} | {' | '.join(cells)} |"


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
    heads = (
        "seed", "SFT over base, gold", "PPO-ptx over SFT, gold", "PPO-ptx over SFT, people",
        "reward, training labelers", "held-out labelers", "agreement", "tax: base", "PPO", "PPO-ptx", "given back",
        "seconds",
    )  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for seed, results in walks.items():
        print(row(seed, results))
    wrong = [f"seed {seed}: {line}" for seed, results in walks.items() for line in missed(results)]
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
