"""Data in and out: a snapshot of the labels as a file, and labels that were made elsewhere."""

import hashlib
import tempfile
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, Response
from pydantic import ValidationError
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from biddable.gather import UNNAMED, Brought, GatherConfig, bring
from biddable.label.desk import Desk, Here, Who
from biddable.label.upload import Upload, received
from biddable.records import Group, Split, complaint
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
    return _page(request, desk)


def _page(request: Request, desk: Desk, brought: Brought | None = None, name: str = "") -> Response:
    return desk.page(
        request, "data.html", names=NAMES, training=TRAINING, counts=desk.store.counts(), brought=brought, name=name,
        unnamed=UNNAMED,
    )  # fmt: skip


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


def _bring(desk: Desk, who: Account, file: Upload, config: GatherConfig | None) -> Brought:
    """Each record is a line of the history under its author's name; this one says who brought them."""
    with file.path.open("rb") as opened:
        said = f"sha256 {hashlib.file_digest(opened, 'sha256').hexdigest()}"
    try:
        brought = bring(desk.store, file.path, config)
    except ValueError as error:
        rest = str(error).replace(str(file.path), file.name)
        desk.write(history.write, desk.now(), [Change("import stopped", file.name, who.labeler, f"{said}: {rest}")])
        raise
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(brought.new.items()) if count) or "nothing new"
    desk.write(history.write, desk.now(), [Change("import", file.name, who.labeler, f"{said}: {told}")])
    return brought


@router.post(UPLOAD)
async def take(request: Request, desk: Here, who: Who):
    """A file, as `biddable import` takes it: all of it, or nothing."""
    with tempfile.TemporaryDirectory(prefix="biddable-") as aside:
        file = await received(request, Path(aside))
        shares = [_share(file.fields.get(name, ""), name) for name in ("valid", "test")]
        said = any(share is not None for share in shares)
        try:
            config = GatherConfig(valid=shares[0] or 0.0, test=shares[1] or 0.0) if said else None
            brought = await run_in_threadpool(_bring, desk, who, file, config)
        except ValidationError as error:
            raise HTTPException(400, complaint(error)) from error
        except ValueError as error:
            raise file.refusal(error) from error
    return await run_in_threadpool(_page, request, desk, brought, file.name)


def _share(text: str, name: str) -> float | None:
    """Percent, as a form has them."""
    try:
        return float(text) / 100 if text else None
    except ValueError as error:
        raise HTTPException(400, f"{name}: {text[:40]!r} is no number") from error
