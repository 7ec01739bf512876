"""Data in and out: a snapshot of the labels as a file, and labels that were made elsewhere."""

import hashlib
import tempfile
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from biddable.label.desk import Desk, Here, Who
from biddable.label.notice import done
from biddable.records import Group, Split
from biddable.store import StoreError, history
from biddable.store.accounts import Account
from biddable.store.history import Change
from biddable.store.snapshot import What

router = APIRouter()

UPLOAD = "/manage/data/import"  # its body is read piece by piece, and may be large
NAMES: dict[What, str] = {
    "prompts": "Prompts", "completions": "Answers of models", "demos": "Demonstrations", "rankings": "Rankings",
    "judgements": "Judgements", "continuations": "Continuations", "verdicts": "Verdicts",
}  # fmt: skip
TRAINING = ("prompts", "demos", "rankings")


@router.get("/manage/data")
def page(request: Request, desk: Here):
    return desk.page(request, "data.html", names=NAMES, training=TRAINING, counts=desk.store.counts())


@router.get("/manage/data/{what}.jsonl")
def export(
    desk: Here, who: Who, what: What, split: Literal["train", "valid", "test", "all"] = "train",
    group: Literal["training", "held_out", "candidate", "researcher", "all"] = "training",
):  # fmt: skip
    """The same file as `biddable snapshot` writes: by default what may train."""
    of_split: Split | None = None if split == "all" else split
    of_group: Group | None = None if group == "all" else group
    aside = tempfile.TemporaryDirectory(prefix="biddable-")
    path = Path(aside.name) / f"{what}.jsonl"
    try:
        made = desk.store.snapshot(what, path, split=of_split, group=of_group)
    except StoreError:
        aside.cleanup()
        raise
    said = f"{what}, {split}, {group}: sha256 {made.sha256}"
    desk.write(history.write, desk.now(), [Change("export", path.name, who.labeler, said)])
    name = f"{what}-{made.sha256[:8]}.jsonl"
    return FileResponse(
        path, media_type="application/x-ndjson", filename=name, background=BackgroundTask(aside.cleanup)
    )


def _import(desk: Desk, who: Account, path: Path, name: str) -> None:
    """Each record is a line of the history under its author's name; this one says who brought them."""
    with path.open("rb") as file:
        said = f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}"
    try:
        new = desk.store.add_file(path)
    except ValueError as error:
        rest = str(error).replace(str(path), name)
        desk.write(history.write, desk.now(), [Change("import stopped", name, who.labeler, f"{said}: {rest}")])
        raise
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(new.items()) if count) or "nothing new"
    desk.write(history.write, desk.now(), [Change("import", name, who.labeler, f"{said}: {told}")])


@router.post(UPLOAD)
async def take(request: Request, desk: Here, who: Who):
    """A file of records, as `biddable import` takes it: all of it, or nothing."""
    with tempfile.TemporaryDirectory(prefix="biddable-") as aside:
        async with request.form(max_files=1, max_fields=2) as form:
            sent = form.get("file")
            if not isinstance(sent, UploadFile) or not sent.filename:
                raise HTTPException(400, "choose a file first")
            path = Path(aside) / "labels.jsonl"
            with path.open("wb") as file:
                while piece := await sent.read(1 << 20):
                    await run_in_threadpool(file.write, piece)
            name = sent.filename
        try:
            await run_in_threadpool(_import, desk, who, path, name)
        except ValueError as error:
            raise StoreError(str(error).replace(str(path), name)) from error
    return done("/manage/data", "imported")
