"""A prompt's own page: what hangs on it, another text for it, taking it out, closing its tasks."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, HTTPException, Request
from pydantic import Field
from starlette.responses import RedirectResponse

from biddable.label.desk import Desk, Here, Who
from biddable.label.fields import Plain, Text
from biddable.label.notice import done
from biddable.label.prompts import FOR, FROM
from biddable.label.text import markdown
from biddable.store import catalogue
from biddable.store.catalogue import Hanging

router = APIRouter()

ONE = "/manage/prompts/one"
Name = Annotated[str, Form(max_length=200), Plain]


def _found(desk: Desk, name: str) -> Hanging:
    found = desk.read(catalogue.hanging, name)
    if found is None:
        raise HTTPException(404, "no such prompt")
    return found


@router.get(ONE)
def page(request: Request, desk: Here, id: Text = ""):
    if not id:
        return RedirectResponse("/manage/prompts", 303)
    found = _found(desk, id)
    before = [(turn.role, markdown(turn.text)) for turn in found.prompt.before or ()]
    return desk.page(
        request, "prompt.html", found=found, before=before, text=markdown(found.prompt.text), splits=FOR, sources=FROM
    )


@router.post(f"{ONE}/mend")
def mend(desk: Here, who: Who, id: Name, text: Annotated[str, Form(), Field(max_length=1_000_000), Plain]):
    plain = text.replace("\r\n", "\n").strip()
    if not plain:
        raise HTTPException(400, "text: is empty")
    made = desk.write(catalogue.mend, _found(desk, id).prompt.id, plain, desk.now(), who.labeler)
    return done(f"{ONE}?id={quote(made)}", "changed")


@router.post(f"{ONE}/out")
def take_out(desk: Here, who: Who, id: Name):
    desk.write(catalogue.take_out, _found(desk, id).prompt.id, desk.now(), who.labeler)
    return done("/manage/prompts", "gone")


@router.post(f"{ONE}/close")
def close(desk: Here, who: Who, id: Name):
    desk.write(catalogue.close, _found(desk, id).prompt.id, desk.now(), who.labeler)
    return done(f"{ONE}?id={quote(id)}", "closed")
