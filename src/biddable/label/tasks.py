"""A task as a manager reads it. What was said is behind a button: whoever reads it can no longer say it themselves."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Form, HTTPException, Request
from markupsafe import Markup
from sqlalchemy import Connection, literal, select

from biddable.label import reading
from biddable.label.desk import Desk, Here, Who
from biddable.label.fields import Plain
from biddable.label.forms import LETTERS
from biddable.label.notice import done
from biddable.label.questions import QUESTIONS
from biddable.label.text import markdown
from biddable.store import StoreError, accounts, informed, looked_up, taken_out
from biddable.store.accounts import Account
from biddable.store.looked_up import LookedUp, Word

router = APIRouter()


class Told(NamedTuple):
    """What somebody handed in, in words."""

    word: Word
    order: str  # of the answers by their letters on this page, best first
    judged: list[tuple[str, str]]
    texts: list[tuple[str, Markup]]
    note: str
    pasted: float | None  # of the characters
    tool: bool


def _order(tiers: reading.Tiers, letters: Mapping[str, str]) -> str:
    return ", then ".join(" = ".join(sorted(letters[name] for name in tier)) for tier in tiers)


def told(word: Word, letters: Mapping[str, str]) -> Told:
    said: dict[str, Any] = json.loads(word.body)
    on_screen = dict(zip(LETTERS, word.shown, strict=False))
    forms = {**said.get("judgements", {}), **said.get("outputs", {})}
    judged = sorted((letters[on_screen[letter]], _judged(form)) for letter, form in forms.items())
    texts = [(name, said[key]) for name, key in (("", "text"), ("For", "about")) if said.get(key)]
    texts += [(f"Example {n}", f"{x['query']}\n\n{x['response']}") for n, x in enumerate(said.get("examples", ()), 1)]
    share = min(1.0, said["pasted"] / len(said["text"])) if said.get("pasted") and said.get("text") else None
    return Told(
        word, _order(reading.tiers(word.body, word.shown), letters), judged,
        [(name, markdown(text)) for name, text in texts], said.get("note", ""), share, said.get("tool", False),
    )  # fmt: skip


def _judged(form: Mapping[str, Any]) -> str:
    """The ratings, and which questions were answered with yes."""
    rated = [f"{key} {value}" for key, value in form.items() if isinstance(value, int) and not isinstance(value, bool)]
    return ", ".join([*rated, *(one.name.replace("_", " ") for one in QUESTIONS if form.get(one.name))])


def _known(found: LookedUp, letters: Mapping[str, str]) -> str:
    """What is known of a hidden check."""
    said = json.loads(found.gold or "null")
    if isinstance(said, dict):
        return _judged(said)
    return _order(reading.known(found.gold or "null", tuple(letters)), letters)


def _found(desk: Desk, task: str) -> LookedUp:
    found = desk.read(looked_up.look_up, task)
    if found is None:
        raise HTTPException(404, "no such task")
    return found


def _open(connection: Connection, who: Account, found: LookedUp) -> bool:
    """Whether this person may see what was said: an auditor says nothing of their own, a prompt tells of no other."""
    if who.role == "auditor" or found.prompt is None:
        return True
    return bool(connection.execute(select(informed.informed(literal(found.prompt.id), who.labeler))).scalar())


@router.get("/manage/tasks/{task}")
def page(request: Request, desk: Here, who: Who, task: str):
    found = _found(desk, task)
    letters = {c.id: LETTERS[n] for n, c in enumerate(found.completions)}
    opened = desk.read(_open, who, found)
    blind = found.job.purpose == "screening"  # there people are numbers, so that the work is judged
    names = {} if blind else {one.labeler: one.name for one in desk.read(accounts.everyone)}
    before = [(turn.role, markdown(turn.text)) for turn in (found.prompt.before or ())] if found.prompt else []
    return desk.page(
        request, "task.html", found=found, opened=opened, names=names, before=before,
        prompt=markdown(found.prompt.text) if found.prompt else "",
        answers=[(letters[c.id], markdown(c.text), c.run_id) for c in found.completions],
        said=[told(word, letters) for word in found.words] if opened else [],
        known=_known(found, letters) if opened and found.gold else "",
    )  # fmt: skip


@router.post("/manage/tasks/{task}/read")
def read(desk: Here, who: Who, task: str):
    found = _found(desk, task)

    def keep(connection: Connection) -> None:
        if (
            found.prompt
            and connection.execute(select(informed.holds(found.prompt.id, who.labeler, desk.now()))).scalar()
        ):
            raise StoreError("you hold a task of this prompt; hand it in or skip it before you read what others said")
        informed.read(connection, task, who.labeler, desk.now())

    desk.write(keep)
    return done(f"/manage/tasks/{task}", "")


# What follows from a flag.


@router.post("/manage/tasks/{task}/out")
def take_out(desk: Here, who: Who, task: str, reason: Annotated[str, Form(max_length=500), Plain]):
    desk.write(taken_out.take_out, _found(desk, task).task, reason, desk.now(), who.labeler)
    return done(f"/manage/tasks/{task}", "out")


@router.post("/manage/tasks/{task}/back")
def give_back(desk: Here, who: Who, task: str):
    desk.write(taken_out.give_back, _found(desk, task).task, desk.now(), who.labeler)
    return done(f"/manage/tasks/{task}", "back")


@router.post("/manage/tasks/{task}/seen")
def see_flag(desk: Here, who: Who, task: str, labeler: Annotated[str, Form(max_length=200), Plain]):
    desk.write(taken_out.see, _found(desk, task).task, labeler, desk.now(), who.labeler)
    return done(f"/manage/tasks/{task}", "seen")
