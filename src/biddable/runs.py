"""A run is a folder: manifest.json, metrics.jsonl, outputs named by their sha256.

Two runs with the same kind, settings, inputs (by hash) and seed are the same run: an unfinished one is continued, a
finished one need not be done again, and a folder never silently becomes another run.
"""

import errno
import fcntl
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, SupportsFloat

from pydantic import Field, ValidationError

from biddable import __version__
from biddable.config import ConfigError, Settings, differences
from biddable.progress import Bar, progress
from biddable.records import Record, complaint

Status = Literal["running", "done", "failed", "stopped"]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

MANIFEST = "manifest.json"
METRICS = "metrics.jsonl"
LOCK = ".lock"
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "scipy", "pydantic", "sqlalchemy")


class Artifact(Record):
    path: str  # an output's is relative to its run, so that the folder may be moved
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]


class Code(Record):
    version: str
    revision: str | None = None  # of the checkout that the package runs from; None when it is installed
    dirty: bool | None = None


class Environment(Record):
    python: str
    platform: str
    cpus: int
    packages: dict[str, str]


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


@dataclass
class Run:
    folder: Path
    kind: str
    seed: int
    outputs: dict[str, Path] = field(default_factory=dict)

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

    def truncate_metrics(self, step: int) -> None:
        """Forget what was logged after `step`: a resumed run will log it again, and the same."""
        path = self.folder / METRICS
        if path.exists():
            kept = [json.dumps(line) + "\n" for line in read_metrics(self.folder) if line["step"] <= step]
            write_aside(path, "".join(kept))

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
def start(folder: Path, kind: str, config: Settings, inputs: Mapping[str, Path], seed: int) -> Iterator[Run]:
    """Make the folder, or continue the unfinished run in it; on the way out hash the outputs and say how it ended."""
    manifest = _manifest(folder, kind, config, inputs, seed)
    before = _check_same(folder, manifest)
    if before:
        manifest = manifest.model_copy(update={"started": before.started, "seconds": before.seconds})
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _mend(folder / METRICS)
        _write_manifest(folder, manifest)
        run = Run(folder, kind, seed)
        begun = time.monotonic()
        status: Status = "failed"
        try:
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


def read_manifest(folder: Path) -> RunManifest:
    path = folder / MANIFEST
    try:
        return RunManifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; {folder} is not a run") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: is not a run's manifest: {complaint(error)}") from error


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl; a last line that a kill cut short does not count."""
    path = folder / METRICS
    if not path.exists():
        return []
    whole, _, _torn = path.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]


def artifact(path: Path, relative_to: Path | None = None) -> Artifact:
    """Hash a file, or a folder as the hash of its files' names and hashes, in the order of the names."""
    if path.is_dir():
        names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file() and p.name != LOCK)
        hashes = {name: _sha256(path / name) for name in names}
        listing = "".join(f"{hashed}  {name}\n" for name, hashed in hashes.items())
        sha256 = hashlib.sha256(listing.encode()).hexdigest()
        size = sum((path / name).stat().st_size for name in names)
    else:
        sha256 = _sha256(path)
        size = path.stat().st_size
    shown = path
    if relative_to is not None and path.resolve().is_relative_to(relative_to.resolve()):
        shown = path.resolve().relative_to(relative_to.resolve())
    return Artifact(path=shown.as_posix(), sha256=sha256, bytes=size)


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
        code=_code(),
        environment=_environment(),
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
    old_hash = {name: made.sha256 for name, made in there.inputs.items()}
    new_hash = {name: made.sha256 for name, made in asked.inputs.items()}
    return "; ".join(f"its input {name} was another" for name, _, _ in differences(old_hash, new_hash))


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


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two trainers in one folder would write each other's checkpoints. The kernel lets go of a killed one's lock."""
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"{folder}: another process is running this run; wait for it or stop it") from error
        yield


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _code() -> Code:
    """The revision, when the package runs from its own checkout, not installed inside somebody's repository."""
    package = Path(__file__).resolve().parent
    top = _git(package, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() / "src" / "biddable" != package:
        return Code(version=__version__)
    revision = _git(package, "rev-parse", "HEAD")
    changed = _git(package, "status", "--porcelain", "--untracked-files=no")
    return Code(version=__version__, revision=revision, dirty=None if changed is None else bool(changed))


def _git(folder: Path, *words: str) -> str | None:
    if shutil.which("git") is None:
        return None
    answer = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


def _environment() -> Environment:
    installed = {name: version for name in PACKAGES if (version := _version(name)) is not None}
    cpus = os.cpu_count() or 1
    return Environment(python=platform.python_version(), platform=platform.platform(), cpus=cpus, packages=installed)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
