"""How far a walk's reward model may be followed: PPO whose policies are kept along the way, each measured by the truth.

python bench/followed.py WALK [--seeds 0,1,2] [--beta 0] [--episodes 10240] [--every 5]

WALK is the folder of a finished quickstart. Without pretraining text, everything else as in the recipe. Printed: each
policy's KL to the start, the reward model's score, what its answers are truly worth, their words, how many refuse; then
of each run, and of all, what became of truth and score from the truth's best point to the last (docs/design/
overoptimisation.md), and the fits. Runs that are done are not done again.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from biddable import hamlet
from biddable.hamlet import truth
from biddable.measure.captions import number
from biddable.measure.followed import peak
from biddable.measure.interval import Interval
from biddable.measure.leaning import words
from biddable.measure.overoptimised import Way, over_seeds, overoptimised, way_of_policies
from biddable.paper.followed import along, gold
from biddable.quickstart.gates import of
from biddable.quickstart.machines import Stage, together, workers
from biddable.records import Prompt, Score


def told(found: Interval) -> str:
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def way_of(folder: Path, tested: Path, seed: int) -> Way:
    """A run's way, and a line a policy of it."""
    answers, text = along(folder), {prompt.id: prompt.text for prompt in of(Prompt, tested)}
    proxy, ratio = (
        {one.completion_id: one.value for one in of(Score, folder / f"{name}.jsonl")} for name in ("scores", "ratios")
    )
    worth = gold(tested, (c for some in answers.values() for c in some))
    for iteration, some in sorted(answers.items()):
        refuse = np.mean([truth.marks(text[c.prompt_id], c.text, c.finished).refuses for c in some])
        means = [float(np.mean([of_each[c.id] for c in some])) for of_each in (ratio, proxy, worth)]
        long = float(np.mean([words(c) for c in some]))
        print(f"| {seed} | {iteration} | {' | '.join(f'{x:.2f}' for x in (*means, long))} | {100 * refuse:.1f} |")
    return way_of_policies(answers, ratio, proxy, worth)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("walk", type=Path)
    options.add_argument("--out", type=Path, help="where the runs go; WALK/followed unless told")
    options.add_argument("--seeds", default="0,1,2")
    options.add_argument("--beta", type=float, default=0.0)
    options.add_argument("--episodes", type=int, default=10_240)
    options.add_argument("--every", type=int, default=5, help="iterations between the policies that are kept")
    chosen = options.parse_args()
    files, runs, out = chosen.walk / "files", chosen.walk / "runs", chosen.out or chosen.walk / "followed"
    if not (runs / "reward" / "model").is_dir():
        print(
            f"{chosen.walk}: no finished quickstart is there: biddable quickstart --out {chosen.walk}", file=sys.stderr
        )
        return 2
    rl = {"start": runs / "start/model", "reward_model": runs / "reward/model", "prompts": files / "prompts.jsonl"}
    told_to = ("gamma_ptx=0", f"beta={chosen.beta:g}", f"episodes={chosen.episodes}", f"keep_every={chosen.every}")
    seeds = [int(seed) for seed in chosen.seeds.split(",")]

    def name(seed: int) -> str:
        return f"beta-{chosen.beta:g}-seed-{seed}"

    with workers() as pool:
        learnt = [Stage("ppo", out / name(seed), "ppo", told_to, hamlet.RECIPE, rl, seed) for seed in seeds]
        made = together(pool, *learnt)
        asked = {"reward_model": rl["reward_model"], "prompts": files / "tested.jsonl"}
        looks = [
            Stage("along", out / f"{name(seed)}-along", "sample", ("k=1",), hamlet.RECIPE, asked | {"run": place}, seed)
            for seed, place in zip(seeds, made, strict=True)
        ]
        together(pool, *looks)
    print("| seed | iteration | KL | score | truth | words | refuse, % |\n|---|---|---|---|---|---|---|")
    ways = [way_of(look.folder, files / "tested.jsonl", look.seed) for look in looks]
    for seed, way in zip(seeds, ways, strict=True):
        found = overoptimised(way)
        where = "no fit" if found.gold is None else f"the fit's peak {peak(found.gold)}, off by {found.gold.off:.2f}"
        print(f"seed {seed}: truth {told(found.fall)}, score {told(found.rise)}; {where}")
    fall, rise = over_seeds(ways)
    print(f"all: truth {told(fall)}, score {told(rise)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
