"""A file that somebody sends: on disk piece by piece, never whole in memory."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile


class Upload(NamedTuple):
    path: Path
    name: str  # as its owner calls it
    fields: Mapping[str, str]  # what was said beside it

    def refusal(self, error: ValueError) -> HTTPException:
        """What is wrong with the file, by its owner's name for it, beside its field."""
        return HTTPException(400, f"file: {str(error).replace(str(self.path), self.name)}")


async def received(request: Request, aside: Path, name: str = "") -> Upload:
    """Of a form with a field `file`; or the bare body of a script's request, which says its name elsewhere."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        path = aside / f"rows{_ending(name)}"
        with path.open("wb") as file:
            async for piece in request.stream():
                await run_in_threadpool(file.write, piece)
        return Upload(path, name or "the file", {})
    async with request.form(max_files=1, max_fields=8) as form:  # a large file is spooled to disk as it comes
        sent = form.get("file")
        if not isinstance(sent, UploadFile) or not sent.filename:
            raise HTTPException(400, "file: choose one first")
        path = aside / f"rows{_ending(sent.filename)}"
        with path.open("wb") as file:
            while piece := await sent.read(1 << 20):
                await run_in_threadpool(file.write, piece)
        return Upload(path, sent.filename, {key: value for key, value in form.items() if isinstance(value, str)})


def _ending(name: str) -> str:
    ending = Path(name).suffix.lower()
    return ending if re.fullmatch(r"\.[a-z0-9]{1,10}", ending) else ""
