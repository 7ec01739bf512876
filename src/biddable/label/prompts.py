"""Prompts come in, pasted or as a file, by the rules of `gather`. The app fetches nothing by itself."""

import itertools
import tempfile
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, HTTPException, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import Response

from biddable import gather
from biddable.gather import GatherConfig
from biddable.label.desk import Desk, Here, Who
from biddable.records import BadRow, Prompt, Record, Source
from biddable.store import history, progress, writing
from biddable.store.accounts import Account
from biddable.store.history import Change
from biddable.store.rows import sound

router = APIRouter()

UPLOAD = "/manage/prompts/file"  # its body is read piece by piece, and may be large
PIECE = 2000  # prompts in one transaction: labeling goes on in between
KINDS = (".jsonl", ".ndjson", ".csv", ".tsv")


@router.get("/manage/prompts")
def page(request: Request, desk: Here):
    return _page(request, desk)


def _page(request: Request, desk: Desk, status: int = 200, **said: Any) -> Response:
    words: dict[str, Any] = {"report": None, "error": None, "pasted": ""} | said
    return desk.page(request, "prompts.html", status, stock=desk.read(progress.stock), **words)


@router.post("/manage/prompts/paste")
def paste(
    request: Request, desk: Here, who: Who, text: Annotated[str, Form(max_length=1_000_000)],
    each: Annotated[Literal["line", "paragraph"], Form()] = "line",
    source: Annotated[Source, Form()] = "plain",
):  # fmt: skip
    parts = text.replace("\r\n", "\n").split("\n" if each == "line" else "\n\n")
    came = [Prompt.make(part.strip(), source=source) for part in parts if part.strip()]
    if not came:
        return _page(request, desk, 400, error="There is nothing in it. Write a prompt on each line.")
    return _page(request, desk, report=_take(desk, who, "pasted", came))


@router.post(UPLOAD)
async def upload(request: Request, desk: Here, who: Who, name: str = "", source: Source = "customer"):
    """A file of prompts: from the form, or as the bare body of a script's request with ?name=prompts.csv."""
    with tempfile.TemporaryDirectory(prefix="biddable-") as aside:
        path, shown, source = await _receive(request, Path(aside), name, source)
        try:
            report = await run_in_threadpool(_gather, desk, who, path, shown, source)
        except (BadRow, ValueError) as error:
            said = str(error).replace(str(path), shown)
            return await run_in_threadpool(_page, request, desk, 400, error=said)
        return await run_in_threadpool(_page, request, desk, report=report)


async def _receive(request: Request, aside: Path, name: str, source: Source) -> tuple[Path, str, Source]:
    """The file on disk, never whole in memory; what it is called; and whose prompts they are."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        path = aside / f"prompts{_ending(name)}"
        with path.open("wb") as file:
            async for piece in request.stream():
                await run_in_threadpool(file.write, piece)
        return path, name, source
    async with request.form(max_files=1, max_fields=4) as form:  # a large file is spooled to disk as it comes
        sent, said = form.get("file"), form.get("source", source)
        if not isinstance(sent, UploadFile) or not sent.filename:
            raise HTTPException(400, "choose a file first")
        if said not in ("plain", "few_shot", "user_based", "customer"):
            raise HTTPException(400, "source: is none of plain, few_shot, user_based, customer")
        path = aside / f"prompts{_ending(sent.filename)}"
        with path.open("wb") as file:
            while piece := await sent.read(1 << 20):
                await run_in_threadpool(file.write, piece)
        return path, sent.filename, said


def _ending(name: str) -> str:
    ending = Path(name).suffix.lower()
    if ending not in KINDS:
        raise HTTPException(400, f"{name or 'the file'}: prompts come as {', '.join(KINDS)}; say its name")
    return ending


def _gather(desk: Desk, who: Account, path: Path, shown: str, source: Source) -> dict[str, Any]:
    return _take(desk, who, shown, gather.Again(lambda: gather.read_prompts(path, source=source)))


def _take(desk: Desk, who: Account, named: str, came: Iterable[Prompt]) -> dict[str, Any]:
    """All is read once before the first is kept, so a bad row is told of before. Stopped in the middle, the same file
    again adds the rest."""
    report: dict[str, Any] = {}
    kept = gather.sift(came, GatherConfig(), gather.Again(desk.store.prompts), report)
    while part := [sound(prompt) for prompt in itertools.islice(kept, PIECE)]:
        desk.write(_add, part, Change("prompts added", named, who.labeler, str(len(part))), desk.now())
    return report


def _add(connection: Connection, part: Sequence[Record], said: Change, at: datetime) -> None:
    writing.add(connection, part, at)
    history.write(connection, at, [said])
