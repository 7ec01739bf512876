"""Each way to learn from preferences without PPO, at full size: from a quickstart's start model and its rankings.

    python bench/preferences.py WALK --out DIR [METHOD]...      # WALK: what `biddable quickstart --out WALK` left

Prints a row of docs/results.md for each method: how often its answer to a test prompt is truly better than SFT's, and
of what held-out rankings its own reward is right.
"""

import argparse
import os
import time
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

import numpy as np
import torch

from biddable import config, hamlet, records, runs
from biddable.hamlet import truth
from biddable.learn import dpo, raft
from biddable.measure.interval import bootstrap
from biddable.records import Prompt
from biddable.sample.completions import SampleConfig, completions

METHODS = ("dpo", "ipo", "hinge", "kto", "orpo", "simpo", "raft")


def trained(walk: Path, method: str, out: Path) -> Path:
    """The model of a method, with the settings of Hamlet's recipe."""
    made, files = walk / "runs", walk / "files"
    if method == "raft":
        stage, settings = raft, config.load(raft.RaftConfig, recipe=hamlet.RECIPE, section="raft")
        inputs = {"reward_model": made / "reward/model", "prompts": files / "prompts.jsonl"}
        inputs["start"] = made / "start/model"
    else:
        words = [f"method={method}", *(["beta=1"] if method == "orpo" else [])]  # 0.1 is little beside its likelihood
        stage, settings = dpo, config.load(dpo.DpoConfig, words, recipe=hamlet.RECIPE, section="dpo")
        inputs = {"model": made / "start/model", "rankings": files / "rankings.jsonl"}
        inputs["valid"] = files / "rankings-valid.jsonl"
    with runs.start(out / method, "raft" if method == "raft" else "dpo", settings, inputs, 0) as run:
        return stage.train(run, settings, **inputs)


def worth(model: Path, asked: list[Prompt], seed: int) -> np.ndarray:
    """The truth of one answer to each prompt."""
    made = completions(model, asked, SampleConfig(answer_tokens=56), run_id="model", seed=seed)
    return np.array([truth.utility(p.text, a.text, a.finished) for p, a in zip(asked, made, strict=True)])


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("walk", type=Path)
    given.add_argument("methods", nargs="*", choices=[*METHODS, []], metavar="METHOD")
    given.add_argument("--out", type=Path, required=True)
    said = given.parse_args()
    torch.set_num_threads(1)
    asked = [record for record in records.read(said.walk / "files/tested.jsonl") if isinstance(record, Prompt)]
    before_P = worth(said.walk / "runs/sft/model", asked, 8)
    print("| method | over SFT, gold | accuracy on held-out rankings | CPU seconds |\n|---|---|---|---|")
    for method in said.methods or METHODS:
        begun = time.process_time()
        model = trained(said.walk, method, said.out)
        seconds = time.process_time() - begun
        gain_P = worth(model, asked, 7) - before_P
        won_P = np.where(np.abs(gain_P) < 1e-9, 0.5, gain_P > 0)
        found = bootstrap(won_P, [prompt.id for prompt in asked])
        right = runs.read_metrics(said.out / method)[-1].get("valid_accuracy")  # RAFT has none: it reads no rankings
        rate = f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
        print(f"| {method} | {rate} | {'–' if right is None else f'{100 * right:.1f}'} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
