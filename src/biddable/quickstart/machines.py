"""The machines' half of the quickstart: each stage a run, two at a time, each in a process of its own.

The process that talks to the people never loads torch. A stage that is done and still what it was is not done again.
"""

import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from biddable import records, runs
from biddable.config import Settings, load
from biddable.progress import progress
from biddable.records import Completion, Item, Prompt

PROGRESS = "progress"  # a stage's own account of how far it has come


@dataclass(frozen=True)
class Stage:
    """One step of the loop: a folder, settings, and the files and models it reads."""

    kind: str
    folder: Path
    section: str  # of the recipe
    words: tuple[str, ...]  # key=value, over the recipe's
    recipe: Path
    inputs: Mapping[str, Path]
    seed: int

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def leaves(self) -> Path:
        """What others read of it."""
        return self.folder / _LEAVES.get(self.kind, "model")


@contextmanager
def workers() -> Iterator[ProcessPoolExecutor]:
    """Two processes with one thread each: on two cores faster than one with two, and the same bits every time."""
    pool = ProcessPoolExecutor(2, mp_context=_context(), initializer=_alone)
    try:
        yield pool
    except BaseException:
        for process in multiprocessing.active_children():  # Ctrl-C: stages are checkpointed, nobody waits for them
            process.kill()  # SIGTERM would be heard as a wish to finish the step, and the process would stay
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _context() -> BaseContext:
    """On Linux a process beside us imports what stages need, once and while people are still at work, and is forked.
    Elsewhere libraries do not outlive a fork."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["biddable.learn.ppo", "biddable.sample.likelihood", "biddable.quickstart"])
    forkserver.ensure_running()
    return context


def _alone() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends us
    threading.Thread(target=_orphaned, daemon=True).start()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch

    torch.set_num_threads(1)


def _orphaned() -> None:
    """A parent that was killed cannot end us; and while we live, our runs are locked."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def together(pool: ProcessPoolExecutor, *stages: Stage) -> list[Path]:
    """Run stages side by side and show how far they have come, in percent; returns what each leaves."""
    todo: list[Future[Path]] = [pool.submit(run, stage) for stage in stages]
    with progress(" and ".join(stage.name for stage in stages), 100, "%") as bar:
        while wait(todo, timeout=0.5, return_when=FIRST_EXCEPTION).not_done:
            for future in todo:
                if future.done():
                    future.result()  # raises what the stage raised
            shares = [1.0 if f.done() else share_done(stage) for f, stage in zip(todo, stages, strict=True)]
            bar.advance(max(0, int(100 * min(shares)) - bar.done))
        results = [future.result() for future in todo]
        bar.advance(100 - bar.done)
    return results


def share_done(stage: Stage) -> float:
    """How much of a stage is done, by its own account."""
    try:
        done, total = (stage.folder / PROGRESS).read_text(encoding="utf-8").split("\n")[0].split()
    except (OSError, ValueError):
        return 0.0
    return int(done) / max(1, int(total))


def run(stage: Stage) -> Path:
    """Do a stage, unless it is done."""
    settings = _settings(stage.kind)
    config = load(settings, stage.words, recipe=stage.recipe, section=stage.section) if settings else Settings()
    if runs.finished(stage.folder, stage.kind, config, stage.inputs, stage.seed):
        return stage.leaves
    with runs.start(stage.folder, stage.kind, config, stage.inputs, stage.seed) as folder:
        os.environ["BIDDABLE_PROGRESS"] = str(stage.folder / PROGRESS)
        _DO[stage.kind](folder, config, dict(stage.inputs))
    (stage.folder / PROGRESS).unlink(missing_ok=True)
    return stage.leaves


def _settings(kind: str) -> type[Settings] | None:
    """What may be set for a stage; scoring and likelihoods have nothing to set."""
    from biddable.learn.folds import FoldsConfig
    from biddable.learn.group import GrpoConfig, ReinforceConfig, RlooConfig
    from biddable.learn.ppo import PpoConfig
    from biddable.learn.pretrain import PretrainConfig
    from biddable.learn.reward import RewardConfig
    from biddable.learn.sft import SftConfig
    from biddable.learn.start import StartConfig
    from biddable.sample.completions import SampleConfig

    return {
        "sft": SftConfig,
        "start": StartConfig,
        "reward": RewardConfig,
        "folds": FoldsConfig,
        "pretrain": PretrainConfig,
        "ppo": PpoConfig,
        "rloo": RlooConfig,
        "grpo": GrpoConfig,
        "reinforce": ReinforceConfig,
        "sample": SampleConfig,
        "along": SampleConfig,
    }.get(kind)


def _sft(folder: runs.Run, config: Any, inputs: dict[str, Path]) -> None:
    from biddable.learn import sft

    sft.train(folder, config, **inputs)


def _start(folder: runs.Run, config: Any, inputs: dict[str, Path]) -> None:
    from biddable.learn import start

    start.train(folder, config, **inputs)


def _reward(folder: runs.Run, config: Any, inputs: dict[str, Path]) -> None:
    from biddable.learn import reward

    reward.train(folder, config, **inputs)


def _folds(folder: runs.Run, config: Any, inputs: dict[str, Path]) -> None:
    from biddable.learn import folds

    folds.train(folder, config, **inputs)


def _pretrain(folder: runs.Run, config: Any, _inputs: dict[str, Path]) -> None:
    """A base model of Hamlet, of another size than the shipped one."""
    from biddable.hamlet.pages import pages
    from biddable.hamlet.words import vocabulary
    from biddable.learn import pretrain
    from biddable.text.words import word_tokenizer

    pretrain.train(folder, config, word_tokenizer(vocabulary()), lambda: pages(folder.seed))


def _ppo(folder: runs.Run, config: Any, inputs: dict[str, Path]) -> None:
    from biddable.learn import ppo

    ppo.train(folder, config, **inputs)


def _group(folder: runs.Run, config: Any, inputs: dict[str, Path]) -> None:
    from biddable.learn import group

    group.train(folder, config, **inputs)


def _sample(folder: runs.Run, config: Any, inputs: dict[str, Path]) -> None:
    """Answers of every input that is a model to every prompt of the file."""
    from biddable.sample import completions as sampling

    prompts = [record for record in records.read(inputs.pop("prompts")) if isinstance(record, Prompt)]
    with folder.progress("sampling", len(sampling.chosen(prompts, config)) * config.k * len(inputs), "answers") as bar:
        made = sampling.from_sources(inputs, prompts, config, seed=folder.seed, advance=bar.advance)
        records.write(folder.folder / "completions.jsonl", made)
    folder.output("completions", folder.folder / "completions.jsonl")


def _score(folder: runs.Run, _config: Any, inputs: dict[str, Path]) -> None:
    """The reward model's scores of a file's completions; their prompts are in it, or in a file of their own."""
    from biddable.sample.score import score

    by_id, answers = {}, []
    files = [inputs[name] for name in ("prompts", "completions") if name in inputs]
    for record in itertools.chain.from_iterable(map(records.read, files)):
        if isinstance(record, Prompt):
            by_id[record.id] = record
        elif isinstance(record, Completion):
            answers.append(record)
    with folder.progress("scoring", len(answers), "answers") as bar:
        made = score(inputs["model"], by_id, answers, run_id=folder.id, advance=bar.advance)
        records.write(folder.folder / "scores.jsonl", made)
    folder.output("scores", folder.folder / "scores.jsonl")


def _likelihood(folder: runs.Run, _config: Any, inputs: dict[str, Path]) -> None:
    """How likely every input that is a model finds each choice of the items of a file."""
    from biddable.sample.likelihood import likelihoods

    items = [record for record in records.read(inputs.pop("items")) if isinstance(record, Item)]
    with folder.progress("weighing", sum(len(item.choices) for item in items) * len(inputs), "choices") as bar:
        models = inputs.items()
        made = (line for name, at in models for line in likelihoods(at, items, run_id=name, advance=bar.advance))
        records.write(folder.folder / "likelihoods.jsonl", made)
    folder.output("likelihoods", folder.folder / "likelihoods.jsonl")


def _along(folder: runs.Run, config: Any, inputs: dict[str, Path]) -> None:
    """What the policies that a run kept answer to a file's prompts, each by the number of its iteration; the reward
    model's scores of that, and how much likelier than the start each finds what it said."""
    from biddable.sample.along import along
    from biddable.sample.completions import chosen
    from biddable.sample.score import score

    prompts = [record for record in records.read(inputs["prompts"]) if isinstance(record, Prompt)]
    by_id, kept = {prompt.id: prompt for prompt in prompts}, runs.kept(inputs["run"].parent)
    answers = len(chosen(prompts, config)) * config.k * len(kept)
    with folder.progress("looking along the way", 4 * answers, "answers") as bar:
        made, ratios = along(kept, prompts, config, seed=folder.seed, advance=bar.advance)
        scores = score(inputs["reward_model"], by_id, made, run_id=folder.id, advance=bar.advance)
    for name, rows in (("completions", made), ("scores", scores), ("ratios", ratios)):
        records.write(folder.output(name, folder.folder / f"{name}.jsonl"), rows)


_DO = {
    "pretrain": _pretrain, "sft": _sft, "start": _start, "reward": _reward, "folds": _folds,
    "ppo": _ppo, "rloo": _group, "grpo": _group, "reinforce": _group,
    "sample": _sample, "score": _score, "likelihood": _likelihood, "along": _along,
}  # fmt: skip
_LEAVES = {
    "sample": "completions.jsonl", "along": "completions.jsonl", "score": "scores.jsonl",
    "likelihood": "likelihoods.jsonl", "folds": "folds.json",
}  # fmt: skip
