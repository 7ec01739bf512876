"""A run is a folder: manifest.json, metrics.jsonl, outputs named by their sha256.

Two runs with the same kind, settings, inputs (by hash) and seed are the same run: an unfinished one is continued, a
finished one need not be done again, and a folder never silently becomes another run.
"""

import errno
import fcntl
import hashlib
import json
import math
import os
import platform
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NoReturn, SupportsFloat, TextIO

from pydantic import Field, ValidationError

from biddable.config import ConfigError, Settings, differences
from biddable.progress import Bar, note, progress
from biddable.provenance import LOCK, Artifact, Code, Environment, artifact, code, difference, environment
from biddable.records import Record, complaint, digest
from biddable.track import Name as Tracked
from biddable.track import tracking

Status = Literal["running", "done", "failed", "stopped"]

MANIFEST = "manifest.json"
METRICS = "metrics.jsonl"
KEPT = "kept"  # policies along the way, a folder an iteration


class RunManifest(Record):
    id: str
    kind: str
    config: dict[str, Any]
    inputs: dict[str, Artifact]
    outputs: dict[str, Artifact] = Field(default_factory=dict)
    code: Code
    environment: Environment
    seed: int
    started: datetime
    finished: datetime | None = None
    seconds: float = 0.0  # over all its continuations; a killed one leaves nothing to add
    status: Status
    error: str | None = None


class NotFinite(ValueError):
    """A number became NaN or infinite: where, and which."""


class Corrupt(ValueError):
    """A file that we wrote is not what we wrote, and nothing sound is left to go on from."""


class Preempted(KeyboardInterrupt):
    """The machine is being taken away (SIGTERM). What is done is on disk, and the same command goes on from there."""


@dataclass
class Run:
    folder: Path
    kind: str
    seed: int
    identity: str = ""  # of kind, settings, inputs and seed: what a checkpoint must be of to be gone on with
    outputs: dict[str, Path] = field(default_factory=dict)
    scratch: list[Path] = field(default_factory=list)  # what is deleted once the run is done
    leaving: bool = False  # SIGTERM has come
    in_steps: bool = False
    tell: Callable[[Mapping[str, float]], None] = lambda _line: None  # whoever else wants to know what was logged
    bar: Bar | None = None  # of the steps that go on

    @property
    def id(self) -> str:
        return self.folder.resolve().name

    def log(self, step: int, **numbers: SupportsFloat) -> None:
        """Append a line to metrics.jsonl. No wall-clock in it: the same run twice writes the same bytes."""
        line: dict[str, float] = {"step": step}
        for name, number in numbers.items():
            value = number if isinstance(number, int) else float(number)
            if not math.isfinite(value):
                raise NotFinite(
                    f"{self.folder}: step {step}: {name} is {value}; the steps before it are in {METRICS}; "
                    "a smaller learning rate is the usual cure"
                )
            line[name] = value
        with (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.tell(line)
        if self.bar:
            self.bar.told = glance(line)

    def sync_metrics(self) -> dict[str, Any]:
        """Put what was logged on disk, and say how to know it again: a checkpoint stands on it."""
        path = self.folder / METRICS
        if not path.exists():
            return {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": file.tell()}

    def rewind_metrics(self, mark: Mapping[str, Any] | None) -> None:
        """Forget what was logged after the mark, or all: a resumed run will log it again, and the same."""
        path = self.folder / METRICS
        if mark is None:
            path.unlink(missing_ok=True)
            return
        logged = path.read_bytes() if path.exists() else b""
        kept = logged[: mark["bytes"]]
        if hashlib.sha256(kept).hexdigest() != mark["sha256"]:
            raise Corrupt(f"{path}: is not what was logged up to the checkpoint; delete {self.folder} to begin afresh")
        if len(kept) < len(logged):
            os.truncate(path, len(kept))

    @contextmanager
    def steps(self, label: str, total: int, done: int, unit: str = "steps") -> Iterator["Bar"]:
        """The steps of a stage that keeps checkpoints: while they go on, SIGTERM waits until `leave` is called."""
        self.in_steps = True
        try:
            with self.progress(label, total, unit, done) as self.bar:
                yield self.bar
        finally:
            self.in_steps, self.bar = False, None

    def leave(self, step: int) -> None:
        """After a step whose checkpoint is on disk: stop here if the machine is being taken away."""
        if self.leaving:
            raise Preempted(f"{self.folder}: stopped after step {step}")

    def output(self, name: str, path: Path) -> Path:
        """Name a file or folder that this run leaves; it is hashed when the run ends."""
        self.outputs[name] = path
        return path

    @contextmanager
    def progress(self, label: str, total: int | None = None, unit: str = "steps", before: int = 0) -> Iterator["Bar"]:
        """A bar of this run; `before` were done before it was continued."""
        with progress(self.id if label == self.id else f"{self.id}: {label}", total, unit, before) as bar:
            yield bar


@contextmanager
def start(
    folder: Path, kind: str, config: Settings, inputs: Mapping[str, Path], seed: int, track: Tracked | None = None
) -> Iterator[Run]:
    """Make the folder, or continue the unfinished run in it; on the way out hash the outputs and say how it ended.

    `track` names where else its metrics are shown; it is no part of what the run is.
    """
    _refuse_second(folder)
    manifest = _manifest(folder, kind, config, inputs, seed)
    before = _check_same(folder, manifest)
    if before:
        _say_what_may_differ(folder, before, manifest)
        manifest = manifest.model_copy(update={"started": before.started, "seconds": before.seconds})
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder) as lock:
        _sign(lock)
        _mend(folder / METRICS)
        _write_manifest(folder, manifest)
        run = Run(folder, kind, seed, identity(manifest))
        begun = time.monotonic()
        status: Status = "failed"
        try:
            shown = tracking(track, folder, run.identity, manifest.config, lambda: read_metrics(folder))
            with _hearing_signals(run), shown as run.tell:
                yield run
            outputs = {name: artifact(path, folder) for name, path in run.outputs.items()}
            manifest = manifest.model_copy(update={"outputs": outputs})
            status = "done"
        except KeyboardInterrupt:
            status = "stopped"
            raise
        finally:
            error = sys.exception()
            ended = {
                "status": status,
                "finished": datetime.now(UTC),
                "seconds": round(manifest.seconds + time.monotonic() - begun, 3),
                "error": f"{type(error).__name__}: {error}"[:2000] if status == "failed" else None,
            }
            if status == "done" or _left(folder):
                _write_manifest(folder, manifest.model_copy(update=ended))
                for path in run.scratch if status == "done" else ():
                    shutil.rmtree(path, ignore_errors=True)
            else:  # a bad input that was found at once leaves nothing half-made
                shutil.rmtree(folder)


def finished(folder: Path, kind: str, config: Settings, inputs: Mapping[str, Path], seed: int) -> bool:
    """Whether this very run is done and what it left is still what it left."""
    if not (folder / MANIFEST).exists():
        return False
    there = read_manifest(folder)
    if there.status != "done" or _difference(there, _manifest(folder, kind, config, inputs, seed)):
        return False
    return all(_sound(folder, output) for output in there.outputs.values())


def identity(manifest: RunManifest) -> str:
    """What makes a run this run and no other, as one hash."""
    inputs = {name: made.sha256 for name, made in manifest.inputs.items()}
    return digest(manifest.kind, json.dumps([manifest.config, inputs, manifest.seed], sort_keys=True))


def kept(folder: Path) -> dict[int, Path]:
    """The policies that a run kept along its way (`keep_every`), by iteration; the start is 0."""
    found = {int(place.name): place for place in (folder / KEPT).glob("*") if place.name.isdecimal()}
    return dict(sorted(found.items()))


def read_manifest(folder: Path) -> RunManifest:
    path = folder / MANIFEST
    try:
        return RunManifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; {folder} is not a run") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: is not a run's manifest: {complaint(error)}") from error


def glance(line: Mapping[str, float]) -> str:
    """The few numbers by which a person sees how it goes: `reward 0.54, kl 1.2, length 20`."""
    shown = GLANCE_EPISODES if "length" in line else GLANCE
    return ", ".join(f"{name} {line[name]:.3g}" for name in shown if name in line)


GLANCE = ("loss", "accuracy")
GLANCE_EPISODES = ("reward", "kl", "length")


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl; a last line that a kill cut short does not count."""
    path = folder / METRICS
    if not path.exists():
        return []
    whole, _, _torn = path.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]


def write_aside(path: Path, text: str) -> None:
    """Write aside, sync, rename: a reader sees the old file or the new one, also after a power cut."""
    aside = path.with_name(path.name + ".part")
    try:
        with aside.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        error.filename = str(path)  # what was asked for, and not the file aside
        raise
    finally:
        aside.unlink(missing_ok=True)


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold."""
    there = next(p for p in (folder.resolve(), *folder.resolve().parents) if p.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        what = f"No space left on device: {needed / 1e9:.2f} GB are needed here and {free / 1e9:.2f} GB are free"
        raise OSError(errno.ENOSPC, what, str(folder))


def _manifest(folder: Path, kind: str, config: Settings, inputs: Mapping[str, Path], seed: int) -> RunManifest:
    """The manifest of a run that begins now."""
    for name, path in inputs.items():
        if not path.exists():
            raise ConfigError(f"{name}: {path}: no such file or folder")
    return RunManifest(
        id=folder.resolve().name,
        kind=kind,
        config=config.model_dump(mode="json"),
        inputs={name: artifact(path) for name, path in inputs.items()},
        code=code(),
        environment=environment(),
        seed=seed,
        started=datetime.now(UTC),
        status="running",
    )


def _difference(there: RunManifest, asked: RunManifest) -> str:
    """What makes two runs two, in words; empty when they are the same one."""
    if there.kind != asked.kind:
        return f"it is a run of {there.kind}, not of {asked.kind}"
    if there.seed != asked.seed:
        return f"its seed is {there.seed}, not {asked.seed}"
    config = [f"{key} was {old!r} and is now {new!r}" for key, old, new in differences(there.config, asked.config)]
    if config:
        return "; ".join(config)
    names = sorted(there.inputs.keys() | asked.inputs.keys())
    changed = [difference(name, there.inputs.get(name), asked.inputs.get(name)) for name in names]
    return "; ".join(line for line in changed if line)


def _check_same(folder: Path, asked: RunManifest) -> RunManifest | None:
    """The manifest of the unfinished run that is to be continued; None when there is nothing yet."""
    cure = "choose another out=, or delete the folder to begin afresh"
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; {cure}")
    if not (folder / MANIFEST).exists():
        if _left(folder):
            raise ConfigError(f"{folder}: is not empty and holds no run; choose another out=")
        return None
    there = read_manifest(folder)
    difference = _difference(there, asked)
    if not difference:
        return there
    if there.status == "done" or _left(folder):
        raise ConfigError(f"{folder}: holds another run: {difference}; {cure}")
    return None  # killed before it had made anything


def _left(folder: Path) -> bool:
    """Whether a run has made anything there."""
    return any(path.name not in (MANIFEST, LOCK) and path.suffix != ".part" for path in folder.iterdir())


def _say_what_may_differ(folder: Path, before: RunManifest, now: RunManifest) -> None:
    """A run's bits are those of its libraries."""
    changed = differences(before.environment.packages, now.environment.packages)
    if changed:
        what = ", ".join(f"{name} was {old} and is now {new}" for name, old, new in changed)
        note(f"{folder}: {what}: what is left of this run may differ in its last bits")


@contextmanager
def _hearing_signals(run: Run) -> Iterator[None]:
    """SIGTERM ends a run at the end of its step, or at once when it is between checkpoints' steps or comes twice;
    Ctrl-C ends it at once. A library that is cut off in the middle may say something else (of a half-made tensor, or an
    empty stack): it is told as what it is."""
    cut: list[KeyboardInterrupt] = []

    def stop(why: KeyboardInterrupt) -> NoReturn:
        cut.append(why)
        raise why

    def terminate(_number: int, _frame: object) -> None:
        at_once = run.leaving or not run.in_steps
        run.leaving = True
        if at_once:
            stop(Preempted(f"{run.folder}: stopped"))

    def interrupt(_number: int, _frame: object) -> None:
        stop(KeyboardInterrupt())

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = {signal.SIGTERM: terminate}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and not ignored, or another's
        heard[signal.SIGINT] = interrupt
    before = {number: signal.signal(number, hear) for number, hear in heard.items()}
    try:
        yield
    except Exception as error:
        if cut:
            raise cut[-1] from error
        raise
    finally:
        for number, hear in before.items():
            signal.signal(number, hear)


def _refuse_second(folder: Path) -> None:
    """Before anything is read or hashed: whoever comes second should know at once."""
    if (folder / LOCK).exists():
        with _locked(folder):
            pass


@contextmanager
def _locked(folder: Path) -> Iterator[TextIO]:
    """Two trainers in one folder would write each other's checkpoints. The kernel lets go of a killed one's lock."""
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            who = f"another process ({file.read().strip() or '?'})"
            raise ConfigError(f"{folder}: {who} is running this run; wait for it or stop it") from error
        yield file


def _sign(lock: TextIO) -> None:
    lock.truncate(0)
    lock.write(f"{os.getpid()} on {platform.node()}")
    lock.flush()


def _write_manifest(folder: Path, manifest: RunManifest) -> None:
    write_aside(folder / MANIFEST, manifest.model_dump_json(indent=2) + "\n")


def _mend(metrics: Path) -> None:
    """Cut off the half line that a kill or a full disk may have left."""
    if metrics.exists():
        whole, newline, torn = metrics.read_bytes().rpartition(b"\n")
        if torn:
            os.truncate(metrics, len(whole) + len(newline))


def _sound(folder: Path, output: Artifact) -> bool:
    path = folder / output.path  # an absolute path stays itself
    return path.exists() and artifact(path).sha256 == output.sha256
