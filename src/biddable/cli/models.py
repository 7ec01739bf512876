"""The verb that hands a model on."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from biddable import runs
from biddable.cli.project import Project, look, model_folder, say
from biddable.config import ConfigError, Settings
from biddable.records import digest

README = "README.md"


class ExportConfig(Settings):
    gguf: bool
    precision: Literal["f16", "f32"]


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="A run, a folder, a GGUF file, owner/name on the hub, or hamlet: the small one that is shipped."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write, or with --gguf the file.")],
    gguf: Annotated[bool, typer.Option("--gguf", help="One file for llama.cpp; Llama's family only.")] = False,
    precision: Annotated[Literal["f16", "f32"], typer.Option(help="Of a GGUF file's matrices.")] = "f16",
) -> None:
    """Write a model as a folder of safetensors that transformers loads, or as one GGUF file.

    Example: `biddable export ppo ppo.gguf --gguf` or `biddable export smollm2.gguf smollm2`
    """
    from biddable.model import causal, reward
    from biddable.model import gguf as files

    folder = model_folder(model)
    if out.exists():
        raise ConfigError(f"{out}: is there already; say another name, or delete it")
    if gguf and out.suffix != ".gguf":
        raise ConfigError(f"{out}: a GGUF file's name ends in .gguf")
    if (folder / reward.HEAD).exists():
        raise ConfigError(f"{folder}: a reward model's head has no place in an exported model; copy the folder")
    lm, tokenizer = causal.load(folder)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)

    def write() -> Path:
        return files.write(lm, tokenizer, out, precision) if gguf else causal.save(lm, tokenizer, out)

    here = look()
    if here is None:
        say(f"{write()}: {causal.size(lm):,} parameters")
        return
    # A run, so that what was handed on leads back to the labels below it, wherever it goes and whatever form it has.
    settings = ExportConfig(gguf=gguf, precision=precision)
    place = here.runs / f"export-{digest(runs.artifact(folder).sha256, str(out.absolute()))[:8]}"
    with runs.start(place, "export", settings, {"model": folder}, 0) as run:
        made = write()
        described = not gguf and _describe(here, folder, made)
        run.output("exported", made.absolute())
    say(f"{out}: {causal.size(lm):,} parameters")
    if described:
        say(f"{out / README}: its card; its license and what it is for are yours to add")


def _describe(here: Project, folder: Path, out: Path) -> bool:
    """Put the card of a model that was trained here beside its weights, as the hub wants it."""
    from biddable.lineage import Tracks, among
    from biddable.measure.card import write_card

    tracks = Tracks.below(here.runs, here.root)
    maker = tracks.left_by(runs.artifact(folder))
    if maker is None or maker[1] != "model":
        return False
    measured = [run for run in among(tracks.made, ["measure"]) if run.manifest.status == "done"]
    return write_card(tracks, maker[0], measured[-1] if measured else None, out / README)
