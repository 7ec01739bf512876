"""Where a model is: a folder, a GGUF file, or a name on the hub. Only safetensors and GGUF are ever opened."""

import re
from pathlib import Path

from biddable.text.tokenizer import GGUF

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
SAFE_PARTS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")  # of a model on the hub: no pickles, no code
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def find(name: Path | str) -> Path:
    """The folder or GGUF file, with weights that may be opened; ValueError in one line when there is none."""
    path = Path(name)
    if path.suffix == GGUF:
        return _gguf(path)
    if not path.is_dir():
        if path.exists() or not HUB_NAME.fullmatch(str(name)):
            raise ValueError(f"{name}: no such model folder")
        path = from_hub(str(name))
    if not (path / "config.json").exists():
        raise ValueError(f"{name}: not a model folder (no config.json)")
    if any(path.glob("*.safetensors")):
        return path
    pickled = sorted(file.name for pattern in PICKLED for file in path.glob(pattern))
    if pickled:
        raise ValueError(
            f"{name}: only pickled weights ({pickled[0]}), which could run code when loaded; "
            "convert them to model.safetensors first"
        )
    raise ValueError(f"{name}: a model folder without weights (no model.safetensors)")


def from_hub(name: str) -> Path:
    """The folder of owner/model, fetched unless it is in the cache."""
    from huggingface_hub import snapshot_download  # a second to load, and most never need it

    try:
        return Path(snapshot_download(name, allow_patterns=list(SAFE_PARTS)))
    except (OSError, ValueError) as error:  # offline, no such name, not allowed: all are OSErrors or ValueErrors there
        why = str(error).strip().splitlines()[0]
        raise ValueError(f"{name}: no such folder here, and the hub does not give it: {why}") from error


def _gguf(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"{path}: no such GGUF file")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(f"{path}: is not a GGUF file")
    return path
