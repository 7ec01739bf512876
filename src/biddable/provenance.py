"""What went in and came out, by its sha256, and by which code and whose versions."""

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from biddable import __version__
from biddable.config import differences
from biddable.records import Record

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "scipy", "pydantic", "sqlalchemy")
LOCK = ".lock"
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Artifact(Record):
    path: str  # an output's is relative to its run, so that the folder may be moved
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]
    files: dict[str, Sha256] = Field(default_factory=dict)  # of a folder, so that what changed in it can be named


class Code(Record):
    version: str
    revision: str | None = None  # of the checkout that the package runs from; None when it is installed
    dirty: bool | None = None


class Environment(Record):
    python: str
    platform: str
    cpus: int
    packages: dict[str, str]


def artifact(path: Path, relative_to: Path | None = None) -> Artifact:
    """Hash a file, or a folder as the hash of its files' names and hashes, in the order of the names."""
    if path.is_dir():
        names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file() and p.name != LOCK)
        hashes = {name: _sha256(path / name) for name in names}
        listing = "".join(f"{hashed}  {name}\n" for name, hashed in hashes.items())
        sha256 = hashlib.sha256(listing.encode()).hexdigest()
        size = sum((path / name).stat().st_size for name in names)
    else:
        hashes = {}
        sha256 = _sha256(path)
        size = path.stat().st_size
    shown = path
    if relative_to is not None and path.resolve().is_relative_to(relative_to.resolve()):
        shown = path.resolve().relative_to(relative_to.resolve())
    return Artifact(path=shown.as_posix(), sha256=sha256, bytes=size, files=hashes)


def difference(name: str, there: Artifact | None, asked: Artifact | None) -> str:
    """How an input differs; of a folder, which of its files."""
    if there is None or asked is None:
        return f"its input {name} was {'not given' if there is None else 'given'}"
    if there.sha256 == asked.sha256:
        return ""
    files = [file for file, _, _ in differences(there.files, asked.files)] if there.files and asked.files else []
    return f"its input {name} was another" + (f" ({', '.join(files)} changed)" if files else "")


@cache
def code() -> Code:
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
    command = ["git", "--no-optional-locks", "-C", str(folder), *words]  # stopped midway, it leaves no lock there
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


@cache
def environment() -> Environment:
    installed = {name: version for name in PACKAGES if (version := _version(name)) is not None}
    cpus = os.cpu_count() or 1
    return Environment(python=platform.python_version(), platform=platform.platform(), cpus=cpus, packages=installed)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
