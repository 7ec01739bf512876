"""Checkpoints: a directory `step-N` that is there whole or not at all.

Written aside, synced, renamed, the parent synced; MANIFEST.json, written last, has every file's sha256 and size. There
is no "latest" to go wrong: `newest` takes the highest step whose manifest holds, and passes over what is torn.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

FORMAT = 1
TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "MANIFEST.json"


@dataclass(frozen=True)
class Checkpoint:
    step: int
    tensors: dict[str, Tensor]
    state: dict


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping, keep: int = 2) -> Path:
    """Write `folder/step-N`; once it reads back, forget all but the last `keep`. Never writes a number that is none."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(f"step {step}: {name} holds NaN or Inf; the checkpoint before this step is kept")
    folder.mkdir(parents=True, exist_ok=True)
    aside, place = folder / f".step-{step}.part", folder / f"step-{step}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, aside / TENSORS)
    (aside / STATE).write_text(json.dumps(state), encoding="utf-8")
    files = {
        name: {"sha256": _sha256(aside / name), "bytes": (aside / name).stat().st_size} for name in (TENSORS, STATE)
    }
    (aside / MANIFEST).write_text(json.dumps({"format": FORMAT, "step": step, "files": files}), encoding="utf-8")
    for name in (TENSORS, STATE, MANIFEST):
        _sync(aside / name)
    _sync(aside)
    shutil.rmtree(place, ignore_errors=True)
    aside.rename(place)
    _sync(folder)
    if _sound(place):
        for old in _places(folder)[keep:]:
            shutil.rmtree(old, ignore_errors=True)
    return place


def newest(folder: Path) -> Checkpoint | None:
    """The newest sound checkpoint; unsound ones are set aside as `corrupt-step-N` for whoever wants to know why."""
    for place in _places(folder):
        if _sound(place):
            state = json.loads((place / STATE).read_text(encoding="utf-8"))
            return Checkpoint(int(place.name.removeprefix("step-")), load_file(place / TENSORS), state)
        corrupt = place.with_name(f"corrupt-{place.name}")
        shutil.rmtree(corrupt, ignore_errors=True)
        place.rename(corrupt)
    return None


def clear(folder: Path) -> None:
    """A finished run needs no checkpoints."""
    shutil.rmtree(folder, ignore_errors=True)


def parameters(prefix: str, model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters by name, a tied one once."""
    return {f"{prefix}.{name}": tensor for name, tensor in model.named_parameters()}


def restore(prefix: str, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put saved parameters into a model."""
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.copy_(tensors[f"{prefix}.{name}"])


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


def _sound(place: Path) -> bool:
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT or f"step-{manifest['step']}" != place.name:
            return False
        files = manifest["files"]
        whole = all(
            (place / name).stat().st_size == files[name]["bytes"] and _sha256(place / name) == files[name]["sha256"]
            for name in (TENSORS, STATE)
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return False
    return whole


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
