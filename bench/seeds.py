"""Walk the loop with several seeds, one after another, and print the tables of docs/results.md.

python bench/seeds.py [--seeds 10] [--first 0] [--out seeds]; a walk that is finished is read and not done again. The
last lines take the seeds together, each a witness. Exit status 1 where a seed misses what is asked of every seed."""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from biddable.measure.interval import FREE, Interval, bootstrap, resampled
from biddable.measure.results import NAMES, Results

ASKED = {"sft_vs_base": 0.80, "ppo_ptx_vs_sft": 0.60}  # gold win rates; and the whole interval above one half


def show(found: Interval | None) -> str:
    return "–" if found is None else f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def back(of: Mapping[str, float]) -> str:
    """What PPO-ptx gives back of the points that PPO lost, clearly or not; "–" where PPO lost nothing."""
    lost = of["base"] - of["ppo"]
    return f"{100 * (of['ppo_ptx'] - of['ppo']) / lost:.0f} % of {100 * lost:.1f}" if lost > 0 else "–"


def given_back(tax: Mapping[str, Interval]) -> str:
    return back({model: scores.value for model, scores in tax.items()})


def missed(results: Results) -> list[str]:
    """What this walk should have shown and did not."""
    found = [(name, results.gold_win_rate[name], least) for name, least in ASKED.items()]
    return [f"{name}: {show(rate)}" for name, rate, least in found if rate.value < least or rate.low <= 0.5]


def walked(results: Results) -> list[str]:
    gold, accuracy = results.gold_win_rate, results.reward_accuracy
    return [
        show(gold["sft_vs_base"]), show(gold["ppo_ptx_vs_sft"]), show(results.human_win_rate["ppo_ptx_vs_sft"]),
        show(accuracy["train_labelers"]), show(accuracy["held_out_labelers"]), show(results.agreement),
        f"{results.seconds:.0f}",
    ]  # fmt: skip


def taxed(results: Results) -> list[str]:
    scores = [show(results.tax.get(model)) for model in NAMES]
    return [*scores, given_back(results.tax), show(results.gold_win_rate.get("ppo_vs_sft"))]


def mean(some: Iterable[Results]) -> list[str]:
    """The last row of the tax: of what is in all walks."""
    some = list(some)
    of = {model: fmean(one.tax[model].value for one in some) for model in NAMES}
    wins = fmean(one.gold_win_rate["ppo_vs_sft"].value for one in some)
    return [*(f"{100 * value:.1f}" for value in of.values()), back(of), f"{100 * wins:.1f}"]


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")


def tell(walks: dict[int, Results]) -> None:
    """The quickstart; the tax; behaviour."""
    table(
        ("seed", "SFT over base, gold", "PPO-ptx over SFT, gold", "PPO-ptx over SFT, people",
         "reward accuracy, training labelers", "held-out labelers", "agreement", "seconds"),
        [(seed, *walked(one)) for seed, one in walks.items()],
    )  # fmt: skip
    table(
        ("seed", *NAMES.values(), "given back", "PPO over SFT, gold"),
        [*((seed, *taxed(one)) for seed, one in walks.items()), ("mean", *mean(walks.values()))],
    )
    table(
        ("", "seed", *NAMES.values()),
        [(what, seed, *(show(getattr(one, what).get(model)) for model in NAMES))
         for what in ("hallucination", "toxicity") for seed, one in walks.items()],
    )  # fmt: skip


def together(walks: Mapping[int, Results]) -> list[str]:
    """What the seeds say as so many witnesses; intervals are over seeds."""
    seeds, said = list(walks), []
    for name in ("sft_vs_base", "ppo_ptx_vs_sft", "ppo_vs_sft"):
        rates = [one.gold_win_rate[name] for one in walks.values()]
        mean = bootstrap([rate.value for rate in rates], seeds, bounds=FREE)
        clear = sum(rate.low > 0.5 for rate in rates)
        said.append(f"{name}, gold: {show(mean)}; its interval is above one half on {clear} of {len(seeds)} seeds")
    lost_back = np.array([
        (one.tax["base"].value - one.tax["ppo"].value, one.tax["ppo_ptx"].value - one.tax["ppo"].value)
        for one in walks.values()
    ])  # fmt: skip
    for what, points in zip(("PPO loses", "PPO-ptx gives back"), lost_back.T, strict=True):
        said.append(f"{what} {show(bootstrap(points, seeds, bounds=FREE))} points, some on {sum(points > 0)} seeds")
    share = resampled(lost_back, lambda sums_DC: sums_DC[:, 1] / sums_DC[:, 0], len(seeds), bounds=FREE)
    said.append(f"given back, of what is lost: {show(share)} %")
    for what in ("hallucination", "toxicity"):
        rates = [getattr(one, what) for one in walks.values()]
        if all({"sft", "ppo_ptx"} <= of.keys() for of in rates):
            more = [of["ppo_ptx"].value - of["sft"].value for of in rates]
            found = show(bootstrap(more, seeds, bounds=FREE))
            said.append(f"{what}, PPO-ptx more than SFT: {found} points, on {sum(one > 0 for one in more)} seeds")
    return said


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--out", type=Path, default=Path("seeds"))
    chosen = options.parse_args()
    walks = {}
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        folder = chosen.out / f"seed-{seed}"
        biddable = Path(sys.executable).with_name("biddable")
        command = [str(biddable), "quickstart", "--seed", str(seed), "--out", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        walks[seed] = Results.model_validate_json((folder / "results.json").read_text(encoding="utf-8"))
    tell(walks)
    if len(walks) > 1:
        print("", *together(walks), sep="\n")
    wrong = [f"seed {seed}: {line}" for seed, results in walks.items() for line in missed(results)]
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
