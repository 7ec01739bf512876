"""Guidelines: what people read, its versions and what changed between two, and writing a new one."""

import difflib
import re
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Form, HTTPException, Request
from sqlalchemy import Connection

from biddable.label import shipped
from biddable.label.desk import Here, Who
from biddable.label.fields import Plain
from biddable.label.notice import done
from biddable.label.text import markdown
from biddable.store import accounts, jobs
from biddable.store.jobs import Guidelines

router = APIRouter()

Purpose = Literal["training", "evaluation", "consent"]
NAMES: dict[Purpose, str] = {
    "training": "While labeling for training",
    "evaluation": "While evaluating",
    "consent": "Consent",
}


@router.get("/guidelines")
def page(request: Request, desk: Here):
    found = [desk.read(jobs.guide, purpose) for purpose in shipped.PURPOSES]
    shown = [(one, markdown(one.text)) for one in found if one]
    return desk.page(request, "guidelines.html", guidelines=shown, names=NAMES)


@router.get("/guidelines/{version}")
def one_version(request: Request, desk: Here, version: str):
    """The text that an answer was given under."""
    found = next((one for one in desk.read(jobs.guides) if one.id == version), None)
    if found is None:
        raise HTTPException(404, "no such version")
    return desk.page(request, "guidelines.html", guidelines=[(found, markdown(found.text))], names=NAMES)


@router.get("/manage/guidelines")
def versions(request: Request, desk: Here, purpose: Purpose = "training", old: int = 0, new: int = 0):
    found = list(desk.read(jobs.guides, purpose))
    writers = {account.labeler: account.name for account in desk.read(accounts.everyone)}
    now = found[-1] if found else None
    by_number = {one.number: one for one in found}
    pair = by_number.get(old), by_number.get(new)
    if pair == (None, None) and len(found) > 1:
        pair = found[-2], found[-1]
    changed = difference(pair[0].text, pair[1].text) if pair[0] and pair[1] else None
    return desk.page(
        request, "guidelines_edit.html", purpose=purpose, names=NAMES, versions=found[::-1], now=now, pair=pair,
        changed=changed, writers=writers, offered=now.text if now else shipped.text(purpose), shown=markdown,
    )  # fmt: skip


@router.post("/manage/guidelines")
def write(
    desk: Here, who: Who, purpose: Annotated[Purpose, Form()], text: Annotated[str, Form(max_length=200_000), Plain]
):
    def new(connection: Connection) -> tuple[Guidelines | None, Guidelines]:
        clean = text.replace("\r\n", "\n").strip() + "\n"
        return jobs.guide(connection, purpose), jobs.set_guide(connection, purpose, clean, desk.now(), who.labeler)

    before, after = desk.write(new)
    return done(f"/manage/guidelines?purpose={purpose}", "same" if before == after else "guidelines")


class Piece(NamedTuple):
    kind: Literal["same", "del", "ins", "gap"]
    text: str


CONTEXT = 60  # words kept on either side of a change


def difference(old: str, new: str) -> list[Piece]:
    """Word by word what was taken out and what was put in; long stretches that are the same are left out."""
    one, other = (re.findall(r"\s*\S+\s*?(?=\s|$)|\s+$", text) for text in (old, new))
    pieces: list[Piece] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind == "equal":
            words = one[a:b]
            if len(words) > 2 * CONTEXT:
                pieces += [Piece("same", "".join(words[:CONTEXT])), Piece("gap", "")]
                words = words[-CONTEXT:]
            pieces.append(Piece("same", "".join(words)))
            continue
        if b > a:
            pieces.append(Piece("del", "".join(one[a:b])))
        if d > c:
            pieces.append(Piece("ins", "".join(other[c:d])))
    return pieces
