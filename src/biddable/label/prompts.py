"""Prompts come in, pasted or as a file, by the rules of `gather`. The app fetches nothing by itself."""

import itertools
import tempfile
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Form, HTTPException, Query, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from biddable import gather
from biddable.gather import GatherConfig
from biddable.label.desk import Desk, Here, Who
from biddable.label.fields import Plain, Text
from biddable.label.upload import received
from biddable.records import Prompt, Record, Source, Split, UseCase
from biddable.store import catalogue, history, progress, writing
from biddable.store.accounts import Account
from biddable.store.catalogue import Wanted
from biddable.store.history import Change
from biddable.store.rows import sound

router = APIRouter()

UPLOAD = "/manage/prompts/file"  # its body is read piece by piece, and may be large
PIECE = 2000  # prompts in one transaction: labeling goes on in between
ROWS = 50  # prompts on a page
FOR: dict[str | None, str] = {"train": "to train on", "valid": "to validate", "test": "to evaluate"}
FROM: dict[Source, str] = {
    "customer": "users of a model", "plain": "labelers: plain", "few_shot": "labelers: few-shot",
    "user_based": "labelers: by use case",
}  # fmt: skip
SOURCES: dict[str, Source] = {one: one for one in get_args(Source)}


@router.get("/manage/prompts")
def page(
    request: Request, desk: Here, q: Annotated[str, Query(max_length=1000), Plain] = "",
    split: Split | Literal[""] = "", source: Source | Literal[""] = "", use_case: UseCase | Literal[""] = "",
    after: Text = "",
):  # fmt: skip
    return _page(request, desk, wanted=Wanted(q.strip(), split or None, source or None, use_case or None), after=after)


def _page(
    request: Request, desk: Desk, report: dict[str, Any] | None = None, wanted: Wanted | None = None, after: str = ""
) -> Response:  # fmt: skip
    wanted = wanted or Wanted()
    found = desk.read(catalogue.some, wanted, after, ROWS + 1)
    return desk.page(
        request, "prompts.html", stock=desk.read(progress.stock), report=report, wanted=wanted, after=after,
        found=found[:ROWS], more=len(found) > ROWS, use_cases=get_args(UseCase), sources=FROM, splits=FOR,
        personal=list(gather.still_personal(report).items()) if report else [],
    )  # fmt: skip


@router.post("/manage/prompts/paste")
def paste(
    request: Request, desk: Here, who: Who, text: Annotated[str, Form(max_length=1_000_000)],
    each: Annotated[Literal["line", "paragraph"], Form()] = "line",
    source: Annotated[Source, Form()] = "plain",
):  # fmt: skip
    parts = text.replace("\r\n", "\n").split("\n" if each == "line" else "\n\n")
    came = [Prompt.make(part.strip(), source=source) for part in parts if part.strip()]
    if not came:
        raise HTTPException(400, "text: there is nothing in it; write a prompt on each line")
    return _page(request, desk, _take(desk, who, "pasted", came))


@router.post(UPLOAD)
async def upload(request: Request, desk: Here, who: Who, name: str = "", source: Source = "customer"):
    """A file of prompts: from the form, or as the bare body of a script's request with ?name=prompts.csv."""
    with tempfile.TemporaryDirectory(prefix="biddable-") as aside:
        file = await received(request, Path(aside), name)
        said = file.fields.get("source", source)
        if said not in SOURCES:
            raise HTTPException(400, f"source: is none of {', '.join(SOURCES)}")
        try:
            report = await run_in_threadpool(_gather, desk, who, file.path, file.name, SOURCES[said])
        except ValueError as error:
            raise file.refusal(error) from error
        return await run_in_threadpool(_page, request, desk, report)


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
