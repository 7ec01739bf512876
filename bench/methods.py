"""What each policy gradient gains on a walk of the quickstart: `python bench/methods.py WALK [METHOD...]`.

WALK is the folder of a finished `biddable quickstart`. Each method starts from its start model and its reward model,
with its prompts and pages and Hamlet's recipe, and answers its test prompts, as its SFT model does: how often is it
truly better?
"""

import argparse
import time
from pathlib import Path

from biddable import hamlet, records
from biddable.hamlet import truth
from biddable.measure.interval import Interval, bootstrap
from biddable.quickstart import machines
from biddable.quickstart.machines import Stage
from biddable.records import Completion, Prompt
from biddable.runs import read_metrics

METHODS = {
    "ppo": ("ppo",),
    "rloo": ("rloo",),
    "grpo": ("grpo",),
    "dr-grpo": ("grpo", "scale=false", "divide_by=answer_tokens"),
    "reinforce": ("reinforce",),
    "reinforce-baseline": ("reinforce", "samples=4", "baseline=true"),
}


def learnt(walk: Path, out: Path, method: str, words: list[str]) -> tuple[Path, float]:
    """The method's model, and the CPU seconds that it took."""
    kind, *own = METHODS[method]
    models, files = walk / "runs", walk / "files"
    given = {
        "start": models / "start" / "model", "reward_model": models / "reward" / "model",
        "prompts": files / "prompts.jsonl", "pages": files / "pages.jsonl",
    }  # fmt: skip
    begun = time.process_time()
    model = machines.run(Stage(kind, out / method, kind, (*own, *words), hamlet.RECIPE, given, 0))
    return model, time.process_time() - begun


def over_sft(walk: Path, out: Path, method: str, model: Path) -> Interval:
    """How often the model's answer to a test prompt is better by the truth; ½ where neither is."""
    tested = walk / "files" / "tested.jsonl"
    asked = {"prompts": tested, "new": model, "sft": walk / "runs" / "sft" / "model"}
    made = machines.run(Stage("sample", out / f"{method}-answers", "sample", ("k=1",), hamlet.RECIPE, asked, 0))
    texts = {record.id: record.text for record in records.read(tested) if isinstance(record, Prompt)}
    worth: dict[str, dict[str, float]] = {"new": {}, "sft": {}}
    for answer in records.read(made):
        if isinstance(answer, Completion):
            value = truth.utility(texts[answer.prompt_id], answer.text, answer.finished)
            worth[answer.run_id][answer.prompt_id] = value
    gain = [worth["new"][name] - worth["sft"][name] for name in texts]
    return bootstrap([0.5 if abs(x) < 1e-9 else float(x > 0) for x in gain], list(texts))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("walk", type=Path)
    asked.add_argument("methods", nargs="*", metavar="METHOD", help=", ".join(METHODS))
    asked.add_argument("--out", type=Path, default=Path("methods"))
    asked.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="over the recipe")
    given = asked.parse_args()
    import torch

    torch.set_num_threads(1)
    print("| method | gold over SFT | score | KL | length | CPU seconds |\n|---|---|---|---|---|---|", flush=True)
    for method in given.methods or METHODS:
        model, seconds = learnt(given.walk, given.out, method, given.set)
        won, last = over_sft(given.walk, given.out, method, model), read_metrics(given.out / method)[-1]
        rate = f"{100 * won.value:.1f} [{100 * won.low:.1f}, {100 * won.high:.1f}]"
        seen = " | ".join(f"{last[key]:.2f}" for key in ("score", "kl", "length"))
        print(f"| {method} | {rate} | {seen} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
