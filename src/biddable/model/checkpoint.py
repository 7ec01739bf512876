"""Checkpoints: a directory `step-N` that is there whole or not at all.

Written aside, synced, renamed; MANIFEST.json, written last, has every file's sha256 and size, the run that they are of,
and a seal over itself. There is no "latest" to go wrong: `newest` takes the highest step whose files are what was
written, sets aside by name what is not, and never begins afresh in silence. The oldest one is deleted only after the
newest was read back.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from biddable.progress import note
from biddable.runs import Corrupt, NotFinite

FORMAT = 2
TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "MANIFEST.json"


@dataclass(frozen=True)
class Checkpoint:
    step: int
    tensors: dict[str, Tensor]
    state: dict


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping, run: str = "", keep: int = 2) -> Path:
    """Write `folder/step-N`; once it reads back, forget all but the last `keep`. Never writes a number that is none."""
    check_finite(f"step {step}", tensors, "; the checkpoint before this step is kept")
    aside, place = folder / f".step-{step}.part", folder / f"step-{step}"
    if not fault(place, run):
        return place  # a step of a run has the same bits each time
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _write(aside, step, tensors, state, run)
        shutil.rmtree(place, ignore_errors=True)
        aside.rename(place)
    except BaseException:  # a full disk, above all: the half that was written must not keep it full
        shutil.rmtree(aside, ignore_errors=True)
        raise
    _sync(folder)
    if wrong := fault(place, run):
        raise Corrupt(f"{wrong} when read back; the checkpoint before it is kept")
    for old in _places(folder)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def newest(folder: Path, run: str = "") -> Checkpoint | None:
    """The newest sound checkpoint of a run; None when there never was one. What is unsound becomes `corrupt-step-N`."""
    for half in folder.glob(".step-*.part"):
        shutil.rmtree(half, ignore_errors=True)
    for place in _places(folder):
        if wrong := fault(place, run):
            corrupt = place.with_name(f"corrupt-{place.name}")
            shutil.rmtree(corrupt, ignore_errors=True)
            place.rename(corrupt)
            note(f"{wrong}; set aside as {corrupt.name}")
            continue
        state = json.loads((place / STATE).read_text(encoding="utf-8"))
        return Checkpoint(int(place.name.removeprefix("step-")), load_file(place / TENSORS), state)
    if bad := sorted(folder.glob("corrupt-step-*")):
        raise Corrupt(f"{bad[-1]}: no sound checkpoint is left; delete {folder.parent} to begin afresh")
    return None


def sync(folder: Path) -> Path:
    """Put a folder's files on disk, and that they are there."""
    for path in (*sorted(folder.iterdir()), folder, folder.parent):
        _sync(path)
    return folder


def fault(place: Path, run: str = "") -> str:
    """What is wrong with a checkpoint, by the name of the file; empty when it is what was written."""
    sealed = place / MANIFEST
    try:
        text = sealed.read_text(encoding="utf-8")
        manifest = json.loads(text)
        if manifest["format"] != FORMAT:
            return f"{sealed}: is of format {manifest['format']}, not {FORMAT}"
        if text != _sealed(manifest["step"], manifest["files"], manifest["run"]):
            return f"{sealed}: is not what was written"
        if f"step-{manifest['step']}" != place.name:
            return f"{sealed}: is of step {manifest['step']}"
        if manifest["run"] != run:
            return f"{sealed}: is of another run"
    except OSError as error:
        return f"{sealed}: {error.strerror}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"{sealed}: is not what was written"
    for name in (TENSORS, STATE):
        try:
            if _seen(place / name) != manifest["files"][name]:
                return f"{place / name}: is not what was written"
        except OSError as error:
            return f"{place / name}: {error.strerror}"
    return ""


def check_finite(where: str, tensors: Mapping[str, Tensor], so: str = "") -> None:
    """Refuse NaN and Inf by the tensor's name. One question to the device, and a second one only when there are any."""
    floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    if not floats:
        return
    finite = torch.stack([torch.isfinite(tensor).all() for tensor in floats.values()])
    if not finite.all():
        name = list(floats)[finite.tolist().index(False)]
        raise NotFinite(f"{where}: {name} holds NaN or Inf{so}")


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are learnt, by name, a tied one once: what rests (`model/lora.py`) need not be kept."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def parameters(prefix: str, model: nn.Module) -> dict[str, Tensor]:
    """A model's trained parameters under names of its own."""
    return {f"{prefix}.{name}": parameter for name, parameter in trained(model).items()}


def restore(prefix: str, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put saved parameters into a model."""
    with torch.no_grad():
        for name, parameter in trained(model).items():
            parameter.copy_(tensors[f"{prefix}.{name}"])


def moments(prefix: str, optimizer: Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as tensors, by the place of the parameter."""
    state = optimizer.state_dict()["state"]
    return {f"{prefix}.{place}.{name}": tensor for place, held in state.items() for name, tensor in held.items()}


def restore_moments(prefix: str, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put an optimiser's saved state back."""
    saved = optimizer.state_dict()
    saved["state"] = {}
    for key, tensor in tensors.items():
        if key.startswith(prefix + "."):
            place, name = key.removeprefix(prefix + ".").split(".")
            saved["state"].setdefault(int(place), {})[name] = tensor
    optimizer.load_state_dict(saved)


def listed(prefix: str, tensors: list[Tensor]) -> dict[str, Tensor]:
    """A list of tensors under names of its own."""
    return {f"{prefix}.{place:05}": tensor for place, tensor in enumerate(tensors)}


def unlisted(prefix: str, tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """The list again."""
    return [tensors[name] for name in sorted(tensors) if name.startswith(prefix + ".")]


def _places(folder: Path) -> list[Path]:
    """Checkpoint directories, newest first."""
    found = [place for place in folder.glob("step-*") if place.name.removeprefix("step-").isdecimal()]
    return sorted(found, key=lambda place: -int(place.name.removeprefix("step-")))


def _write(aside: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping, run: str) -> None:
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, aside / TENSORS)
    (aside / STATE).write_text(json.dumps(state, allow_nan=False), encoding="utf-8")
    files = {name: _seen(aside / name) for name in (TENSORS, STATE)}
    (aside / MANIFEST).write_text(_sealed(step, files, run), encoding="utf-8")
    for name in (TENSORS, STATE, MANIFEST):
        _sync(aside / name)
    _sync(aside)


def _sealed(step: int, files: Mapping, run: str) -> str:
    """The manifest's text. The seal is over the rest, so that a flipped bit in the manifest is not blamed on a file."""
    body = {"format": FORMAT, "run": run, "step": step, "files": files}
    seal = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps(body | {"seal": seal}, sort_keys=True, indent=1)


def _seen(path: Path) -> dict[str, str | int]:
    with path.open("rb") as file:
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
