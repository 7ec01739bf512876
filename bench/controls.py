"""Negative controls of a whole walk: PPO-ptx against a judge that learnt nothing must win nothing.

python bench/controls.py WALK, WALK being the folder of a finished quickstart. Three judges: the walk's own; one trained
on its rankings with each one's tiers dealt out by lot; one whose head is as it was first drawn. For each, PPO-ptx by
the walk's recipe and seed, and its gold win rate over the walk's SFT model. Exit status 1 where a control's whole
interval lies above one half, or the true judge's does not.
"""

import argparse
import random
import sys
from pathlib import Path

import torch

from biddable import hamlet, records
from biddable.hamlet import people, truth
from biddable.measure.interval import Interval, bootstrap
from biddable.model import causal, reward
from biddable.model.reward import RewardModel
from biddable.quickstart.gates import of
from biddable.quickstart.machines import Stage, together, workers
from biddable.records import Completion, Prompt, Ranking
from biddable.runs import read_manifest


def shuffled(place: Path, to: Path, seed: int) -> Path:
    """The same rankings, who stands where drawn by lot."""
    rng = random.Random(seed)
    records.write(to, [people.by_lot(one, rng) if isinstance(one, Ranking) else one for one in records.read(place)])
    return to


def random_head(model: Path, to: Path, seed: int) -> Path:
    lm, tokenizer = causal.load(model)
    return reward.save(RewardModel(lm, torch.Generator().manual_seed(seed)), tokenizer, to)


def gold(prompts: Path, answers: Path, model: str) -> Interval:
    """How often the model's answer is truly better than SFT's to the same prompt; ½ where neither is."""
    asked = {prompt.id: prompt.text for prompt in of(Prompt, prompts)}
    worth: dict[str, dict[str, float]] = {model: {}, "sft": {}}
    for answer in of(Completion, answers):
        if answer.run_id in worth:
            worth[answer.run_id][answer.prompt_id] = truth.utility(
                asked[answer.prompt_id], answer.text, answer.finished
            )
    gains = [worth[model][prompt] - worth["sft"][prompt] for prompt in asked]
    return bootstrap([0.5 if abs(gain) < 1e-9 else float(gain > 0) for gain in gains], list(asked))


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("walk", type=Path)
    options.add_argument("--out", type=Path, help="where the runs go; WALK/controls unless told")
    chosen = options.parse_args()
    walk, out = chosen.walk, chosen.out or chosen.walk / "controls"
    files, runs = walk / "files", walk / "runs"
    if not (walk / "results.json").exists():
        print(f"{walk}: no finished quickstart is there; make one: biddable quickstart --out {walk}", file=sys.stderr)
        return 2
    seed = read_manifest(runs / "ppo_ptx").seed
    out.mkdir(parents=True, exist_ok=True)

    def stage(kind: str, name: str, inputs: dict[str, Path], *words: str) -> Stage:
        return Stage(kind, out / name, kind, words, hamlet.RECIPE, inputs, seed)

    sft, start = runs / "sft" / "model", runs / "start" / "model"
    with workers() as pool:
        blind = {
            "model": sft, "demos": files / "demos.jsonl", "valid": files / "rankings-valid.jsonl",
            "rankings": shuffled(files / "rankings.jsonl", out / "rankings.jsonl", seed),
        }  # fmt: skip
        (confused,) = together(pool, stage("reward", "shuffled-judge", blind))
        judges = {"shuffled": confused, "random": random_head(sft, out / "random-judge", seed)}
        rl = {"start": start, "prompts": files / "prompts.jsonl", "pages": files / "pages.jsonl"}
        made = together(pool, *(stage("ppo", name, {**rl, "reward_model": judge}) for name, judge in judges.items()))
        models = {"true": runs / "ppo_ptx" / "model", **dict(zip(judges, made, strict=True))}
        tested = files / "tested.jsonl"
        (answers,) = together(pool, stage("sample", "final", {"prompts": tested, "sft": sft, **models}, "k=1"))
    rates = {name: gold(tested, answers, name) for name in models}
    print("| judge | PPO-ptx over SFT, gold |\n|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {100 * rate.value:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}] |")
    return int(rates["true"].low <= 0.5 or any(rates[name].low > 0.5 for name in judges))


if __name__ == "__main__":
    sys.exit(main())
