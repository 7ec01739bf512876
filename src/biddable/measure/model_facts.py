"""What the manifests, the files and the measurement know of one model. What they do not know stays None or empty."""

import json
import math
import re
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biddable import lineage, records
from biddable.contents import contents
from biddable.lineage import SHIPPED, Made, Tracks
from biddable.measure.cost import Cost, cost
from biddable.measure.results import ReportData
from biddable.provenance import Artifact
from biddable.records import Prompt

HUB = re.compile(r"models--([\w-][\w.]*(?:-[\w.]+)*)--([\w.-]+)/snapshots/([0-9a-f]{7,64})")
HEADER = 100_000_000  # bytes that the header of a safetensors file may have, by its own rules


@dataclass(frozen=True)
class Base:
    """What the first training began with, and nobody here made."""

    name: str
    sha256: str
    hub: str | None = None  # owner/name
    revision: str | None = None


@dataclass(frozen=True)
class Given:
    """A file that a training read."""

    name: str  # by which the run knows it
    file: str  # its name, without the folders of whoever had it
    sha256: str
    counts: Mapping[str, int]  # of each kind of record; empty where the file is gone


@dataclass(frozen=True)
class Facts:
    name: str
    run: Made
    model: Artifact
    chain: tuple[Made, ...]  # each whose weights are in it or judged it, the earliest first, itself last
    given: Mapping[str, tuple[Given, ...]]  # by run
    base: Base | None
    config: Mapping[str, Any]  # the model's config.json
    parameters: int | None
    taught: Cost  # the labels that the chain learned from
    use_cases: Mapping[str, int]  # of the prompts that it was trained on
    data: ReportData | None = None  # of a measurement of this very model
    measured: Made | None = None
    data_sha256: str = ""


def facts(tracks: Tracks, run: Made, measured: Made | None) -> Facts:
    """All that is known of the model that a run left."""
    model = run.manifest.outputs["model"]
    chain = tuple(lineage.trained(tracks, run))
    folder = run.output("model")
    files = {known.sha256: path for known, path in _labels(tracks, chain)}
    data = _measurement(tracks, run, measured)
    return Facts(
        name=run.id,
        run=run,
        model=model,
        chain=chain,
        given={one.id: _given(tracks, one) for one in chain},
        base=_base(tracks, run),
        config=_config(folder),
        parameters=parameters(folder) if folder else None,
        taught=cost(files.values()),
        use_cases=_use_cases(tracks, run),
        data=data,
        measured=measured if data else None,
        data_sha256=measured.manifest.outputs["data"].sha256 if data and measured else "",
    )


def _measurement(tracks: Tracks, run: Made, measured: Made | None) -> ReportData | None:
    """Its numbers, if the measurement counted answers of these weights and not of earlier ones of that name."""
    path = measured.output("data") if measured else None
    if path is None or measured is None or run.id not in lineage.below(tracks, measured):
        return None
    return ReportData.model_validate_json(path.read_bytes())


def _labels(tracks: Tracks, chain: tuple[Made, ...]) -> list[tuple[Artifact, Path]]:
    """Files with people's labels that something in the chain learned from, not those that it was only watched by."""
    return [
        (known, path)
        for one in chain
        for name, known in one.manifest.inputs.items()
        if not name.startswith("valid") and (path := tracks.file(known)) is not None and path.suffix == ".jsonl"
    ]


def _given(tracks: Tracks, run: Made) -> tuple[Given, ...]:
    found = []
    for name, known in sorted(run.manifest.inputs.items()):
        path = tracks.file(known)
        there = contents(path) if path is not None and path.suffix == ".jsonl" else None
        found.append(Given(name, _named(tracks, known), known.sha256, dict(there.kinds) if there else {}))
    return tuple(found)


def _named(tracks: Tracks, known: Artifact) -> str:
    """Its name, and of what a run left that run's, since each leaves a `model`; not whose home it is in."""
    name, maker = Path(known.path).name, tracks.left_by(known)
    return f"{maker[0].id}/{name}" if maker is not None else name


def _base(tracks: Tracks, run: Made) -> Base | None:
    """Up the weights: from a policy to what it started from, and not to what judged it."""
    inputs = run.manifest.inputs
    known = inputs.get("start") or inputs.get("model")
    if known is None:
        return None
    maker = tracks.left_by(known)
    if maker is not None and maker[0] is not run:
        return _base(tracks, maker[0]) or Base(maker[0].id, known.sha256)
    if (found := HUB.search(known.path)) is not None:
        owner, name, revision = found.groups()
        return Base(f"{owner}/{name}", known.sha256, f"{owner}/{name}", revision)
    parts = Path(known.path).parts
    return Base("Hamlet's base, shipped with biddable" if parts[-3:] == SHIPPED else parts[-1], known.sha256)


def _config(folder: Path | None) -> Mapping[str, Any]:
    path = folder / "config.json" if folder else None
    return json.loads(path.read_bytes()) if path is not None and path.is_file() else {}


def parameters(folder: Path) -> int | None:
    """By the headers of its safetensors files, which are JSON: eight bytes tell how long."""
    total = 0
    for path in sorted(folder.glob("model*.safetensors")):
        with path.open("rb") as file:
            (long,) = struct.unpack("<Q", file.read(8))
            if long > HEADER:
                return None
            header = json.loads(file.read(long))
        total += sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    return total or None


def _use_cases(tracks: Tracks, run: Made) -> Mapping[str, int]:
    known = run.manifest.inputs.get("prompts") or run.manifest.inputs.get("demos")
    path = tracks.file(known) if known else None
    if path is None:
        return {}
    asked = (one.use_case for one in records.read(path) if isinstance(one, Prompt))
    return dict(Counter(one for one in asked if one is not None).most_common())
