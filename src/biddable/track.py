"""What a run logs, shown where people look: TensorBoard, Weights & Biases or trackio, each by its name.

metrics.jsonl is the truth and this a copy of it. A run that is continued has rewound its metrics to its last
checkpoint, which no tracker can do; so what is there already is made anew from the file, or passed over, and no point
is there twice.
"""

import importlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Name = Literal["tensorboard", "wandb", "trackio"]
Line = Mapping[str, float]
PROJECT = "biddable"


@dataclass(frozen=True)
class Tracker:
    """A place that is open: what to do with a line, and how to close it."""

    tell: Callable[[Line], None]
    close: Callable[[], None]


@contextmanager
def tracking(
    name: Name | None, folder: Path, identity: str, config: Mapping[str, Any], logged: Callable[[], Sequence[Line]]
) -> Iterator[Callable[[Line], None]]:
    """Something to call with each line once it is in metrics.jsonl; `logged` gives all the lines that are there."""
    if name is None:
        yield lambda _line: None
        return
    importlib.import_module(name)  # that it is not installed is said before hours of work
    opened: list[Tracker] = []

    def tell(line: Line) -> None:
        if opened:
            opened[0].tell(line)
            return
        # Opened no sooner than now: a stage rewinds its metrics after its run has begun.
        opened.append(_open(name, folder, identity, config))
        for each in logged():
            opened[0].tell(each)

    try:
        yield tell
    finally:
        for tracker in opened:
            tracker.close()


def _open(name: Name, folder: Path, identity: str, config: Mapping[str, Any]) -> Tracker:
    match name:
        case "tensorboard":
            return _tensorboard(folder / "tensorboard")
        case "wandb":
            return _wandb(folder, identity[:16], config)
        case "trackio":
            return _trackio(f"{folder.resolve().name}-{identity[:8]}", config)


def _tensorboard(folder: Path) -> Tracker:
    """An event file of its own; the one before it is deleted."""
    from tensorboard.compat.proto.event_pb2 import Event  # pyrefly: ignore  # made by protobuf, unseen by type checkers
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyrefly: ignore
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    shutil.rmtree(folder, ignore_errors=True)
    writer = EventFileWriter(str(folder))

    def tell(line: Line) -> None:
        values = [Summary.Value(tag=name, simple_value=x) for name, x in numbers(line).items()]
        writer.add_event(Event(wall_time=time.time(), step=int(line["step"]), summary=Summary(value=values)))

    return Tracker(tell, writer.close)


def _wandb(folder: Path, identity: str, config: Mapping[str, Any]) -> Tracker:
    """The same run by its id, online; offline a new copy, to be sent with `wandb sync`."""
    import wandb  # pyrefly: ignore  # an extra

    offline = os.environ.get("WANDB_MODE") == "offline"
    if offline:
        shutil.rmtree(folder / "wandb", ignore_errors=True)
    name = folder.resolve().name
    run = wandb.init(
        project=PROJECT, name=name, id=identity, dir=folder, config=dict(config), resume=None if offline else "allow"
    )
    first = run.step  # of a run that is continued, the steps before this one are there

    def tell(line: Line) -> None:
        if line["step"] >= first:
            run.log(numbers(line), step=int(line["step"]))

    return Tracker(tell, run.finish)


def _trackio(name: str, config: Mapping[str, Any]) -> Tracker:
    """A run of the local dashboard; one of the same name is written anew."""
    import trackio  # pyrefly: ignore  # an extra

    with suppress(ValueError):  # there is no such project yet
        for earlier in trackio.Api().runs(PROJECT):
            if earlier.name == name:
                earlier.delete()
    trackio.init(project=PROJECT, name=name, config=dict(config), resume="never", embed=False)

    def tell(line: Line) -> None:
        trackio.log(numbers(line), step=int(line["step"]))

    return Tracker(tell, trackio.finish)


def numbers(line: Line) -> dict[str, float]:
    return {name: x for name, x in line.items() if name != "step"}
