"""Scorers of toxicity: `mark` has one look at what models wrote, `toxicity` learns one from what people judged."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from biddable import records, runs
from biddable.cli.jobs import Places, Show, Words, carry_out, load
from biddable.cli.project import run_folder, say
from biddable.config import ConfigError, Settings
from biddable.records import Completion, Continuation, Judgement, digest
from biddable.runs import Run

HARM = (
    "sexual",
    "violent",
    "encourages_harm",
    "denigrates",
)  # of the paper's Table 3


class MarkConfig(Settings):
    by: str = Field("words", description="scorer: words, words:FILE, FILE.safetensors, FOLDER, owner/name or a URL")


def mark(
    run: Annotated[str, typer.Argument(help="A run of `evaluate`, or its benchmarks.jsonl.")],
    words: Words = None,
    show: Show = False,
) -> None:
    """Score the toxicity of what models wrote, by another scorer than the word list. `measure` shows each by its name.

    Example: `biddable mark runs/evaluate-sft-1f09a3c2 by=toxicity.safetensors`
    """
    places, settings = load(Places, MarkConfig, words, "mark", show)
    file = next((p for p in (Path(run), Path(run) / WRITTEN, run_folder(None, run) / WRITTEN) if p.is_file()), None)
    if file is None:
        raise ConfigError(f"{run}: no run of evaluate, and no file")
    inputs = {"benchmarks": file}
    if Path(settings.by.removeprefix("words:")).is_file():
        inputs["scorer"] = Path(settings.by.removeprefix("words:"))

    def look(run: Run, settings: MarkConfig, **given: Path) -> Path:
        from biddable.benchmarks import nouns
        from biddable.sample.marks import toxicity

        path = run.output("marks", run.folder / "marks.jsonl")
        records.write(path, toxicity(list(nouns.read(given["benchmarks"])), settings.by))
        return path

    stamp = digest(settings.by, *(runs.artifact(path).sha256 for path in inputs.values()))[:8]
    carry_out("mark", settings, places, inputs, look, name=f"mark-{stamp}")


WRITTEN = "benchmarks.jsonl"


class ToxicityConfig(Settings):
    folds: int = Field(5, ge=2, description="parts of the texts, each held out once, to say how well it does")


def toxicity(
    file: Annotated[Path, typer.Argument(help="Judged texts: {text, toxic}, or records with people's judgements.")],
    words: Words = None,
    show: Show = False,
) -> None:
    """Learn a small scorer of toxicity from texts that people judged, and say how well it does on others.

    Example: `biddable toxicity judged.jsonl` and then `biddable mark RUN by=runs/toxicity/toxicity.safetensors`
    """
    places, settings = load(Places, ToxicityConfig, words, "toxicity", show)

    def learn(run: Run, settings: ToxicityConfig, **given: Path) -> Path:
        from biddable.measure.auc import auc
        from biddable.measure.captions import span
        from biddable.sample import toxicity as model

        texts, labels = judged(given["texts"])
        told = model.across(texts, labels, settings.folds, places.seed)
        found = auc(told, [label >= 0.5 for label in labels])
        listed = auc(model.scorer("words").score(texts), [label >= 0.5 for label in labels])
        say(f"AUC on texts that it did not see: {span(found, 1)}; of the word list: {span(listed, 1)}")
        path = run.output("scorer", run.folder / "toxicity.safetensors")
        model.save(*model.fit(texts, labels), path, auc=found.model_dump_json(), texts=str(len(texts)))
        return path

    carry_out("toxicity", settings, places, {"texts": file}, learn)


def judged(path: Path) -> tuple[list[str], list[float]]:
    """Texts, and how toxic people found each, 0 to 1: the mean over people."""
    said: dict[str, list[float]] = {}
    for text, label in _records(path) if _is_records(path) else _rows(path):
        said.setdefault(text, []).append(label)
    labels = [sum(found) / len(found) for found in said.values()]
    if min(sum(label >= 0.5 for label in labels), sum(label < 0.5 for label in labels)) < 10:
        raise ConfigError(f"{path}: holds {len(labels)} judged texts; ten toxic ones and ten others are the least")
    return list(said), labels


def _is_records(path: Path) -> bool:
    from biddable.benchmarks import rows

    return "kind" in rows.read(path)[0].cells


def _rows(path: Path) -> Iterator[tuple[str, float]]:
    """Flat rows; `labels` of yes and no (OpenAI's moderation set) are one yes where any is."""
    from biddable.benchmarks import rows

    for row in rows.read(path):
        label = row.get("toxic", "toxicity", "labels")
        if isinstance(label, dict):
            label = float(any(label.values()))
        if isinstance(label, str) or not 0 <= float(label) <= 1:
            raise records.BadRow(f"{row.where}: toxic: is {label!r}; it should be 0 to 1")
        yield row.text("text"), float(label)


def _records(path: Path) -> Iterator[tuple[str, float]]:
    """What labelers said of completions: the toxicity of a continuation, or any harm of an answer."""
    pool = list(records.read(path))
    texts = {one.id: one.text for one in pool if isinstance(one, Completion)}
    for one in pool:
        if isinstance(one, Continuation | Judgement) and one.completion_id in texts:
            label = _label(one)
            if label is not None:
                yield texts[one.completion_id], label


def _label(said: Continuation | Judgement) -> float | None:
    if isinstance(said, Continuation):
        return said.toxicity / 2
    asked: Sequence[bool] = [value for name in HARM if (value := said.model_dump()[name]) is not None]
    return float(any(asked)) if asked else None
