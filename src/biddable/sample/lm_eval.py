"""Tasks of lm-eval, EleutherAI's harness, asked by it and kept as our lines: `biddable evaluate --lm-eval`."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from biddable.benchmarks.nouns import AnyLine, Mark, Question, Setting
from biddable.config import ConfigError
from biddable.model import causal
from biddable.records import digest

# What lm-eval calls its scores → what we call them. Of accuracies the one that counts a choice's length is the paper's.
OURS = {"acc_norm": "accuracy", "acc": "accuracy", "exact_match": "exact"}


def lines(model: Path, tasks: Sequence[str], *, run_id: str, shots: int, limit: int, seed: int) -> list[AnyLine]:
    """One model's scores, item by item."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    lm, tokenizer = causal.load(model)
    known: Any = tokenizer  # HFLM names only some of the classes that it takes
    asked = HFLM(pretrained=lm, tokenizer=known, batch_size=8)
    seeds = {f"{name}random_seed": seed for name in ("", "numpy_", "torch_")} | {"fewshot_random_seed": seed}
    try:
        found = lm_eval.simple_evaluate(
            model=asked, tasks=list(tasks), num_fewshot=shots,
            limit=limit or None, log_samples=True, bootstrap_iters=0, verbosity="ERROR", **seeds,
        )  # fmt: skip
    except KeyError as error:
        raise ConfigError(f"--lm-eval {' '.join(tasks)}: lm-eval has no task {error}") from error
    assert found is not None
    made: list[AnyLine] = []
    for name, samples in found["samples"].items():
        config = {key: value for key, value in found["configs"][name].items() if key != "metadata"}
        told = Setting(
            benchmark=f"lm-eval {name}", metric="mark", prompt="plain", shots=shots, seed=seed,
            form=digest(str(found["versions"].get(name)), repr(sorted(config.items(), key=str)))[:12], file="lm-eval",
            asked=len({sample["doc_id"] for sample in samples}),
        )  # fmt: skip
        made += [told, *_of(told, samples, run_id)]
    return made


def _of(told: Setting, samples: Sequence[dict[str, Any]], run_id: str) -> list[AnyLine]:
    by = f"lm-eval {version('lm_eval')}"
    made: list[AnyLine] = []
    for sample in samples:
        item = str(sample["doc_id"])
        made.append(Question(task=told.id, id=item, context=_context(sample)))
        scores = {name: sample[name] for name in sample["metrics"] if isinstance(sample[name], int | float)}
        for name, value in scores.items():
            if name == "acc" and "acc_norm" in scores:
                continue
            what = OURS.get(name, name)
            made.append(Mark(task=told.id, item=item, run_id=run_id, what=what, value=float(value), by=by))
    return made


def _context(sample: dict[str, Any]) -> str:
    """What was asked, of the first choice where there are several."""
    arguments = sample["arguments"]
    first = next(iter(arguments.values())) if isinstance(arguments, dict) else arguments[0]
    return str(next(iter(first.values())) if isinstance(first, dict) else first[0])
