"""The pages of the work. A script makes them quick; without one they are plain forms that do the same."""

import secrets
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from biddable.label import forms
from biddable.label.desk import Desk, Here, Who
from biddable.label.questions import LEAVING, QUESTIONS, SCALES, USE_CASES
from biddable.label.text import markdown
from biddable.label.work import Leaving, Written, hand_in, leave_alone, seen
from biddable.store import idle, work
from biddable.store.accounts import Account
from biddable.store.work import Held

router = APIRouter()


@router.get("/work")
def next_task(request: Request, desk: Here, account: Who, job: str | None = None, besides: str | None = None):
    held = desk.write(work.claim, account, desk.now(), job, besides)
    if held:
        return show(request, desk, held)
    return desk.page(request, "nothing.html", why=desk.read(idle.why, account, desk.now(), job))


@router.get("/work/{task}")
def one_task(request: Request, desk: Here, account: Who, task: str):
    return show(request, desk, mine(desk, account, task))


def mine(desk: Desk, account: Account, task: str) -> Held:
    held = desk.read(work.look, account, task, desk.now())
    if held is None:
        raise HTTPException(404, "no such task of yours")
    return held


def show(request: Request, desk: Desk, held: Held, status: int = 200, error: str | None = None) -> Response:
    task = seen(held, desk.now())
    guide = held.guidelines and markdown(held.guidelines.text)
    return desk.page(
        request, "work.html", status, task=task, guide=guide, questions=QUESTIONS, scales=SCALES, leaving=LEAVING,
        use_cases=USE_CASES, key=secrets.token_urlsafe(16), error=error,
    )  # fmt: skip


@router.post("/work/{task}")
async def handed_in(request: Request, desk: Here, account: Who, task: str):
    """Without a script: the page's form, as a browser sends it."""
    async with request.form(max_files=0) as sent:
        fields = {name: value for name, value in sent.items() if isinstance(value, str)}
    return await anyio.to_thread.run_sync(_hand_in, desk, account, task, fields)


def _hand_in(desk: Desk, account: Account, task: str, fields: dict[str, str]) -> Response:
    key, read = fields.get("_key", ""), fields.get("_guidelines") or None
    if not 8 <= len(key) <= 100:
        raise HTTPException(422, "_key: is the page's own, and is missing")
    hand_in(desk, account, task, key, forms.from_fields(fields), active=None, read=read)
    return RedirectResponse("/work", 303)


@router.post("/work/{task}/leave")
def left(desk: Here, account: Who, task: str, sent: Annotated[Leaving, Form()]):
    leave_alone(desk, account, task, sent)
    return RedirectResponse("/work", 303)


@router.post("/work/{task}/preview")
def preview(request: Request, desk: Here, account: Who, task: str, sent: Written):
    """What a person writes, as others will see it."""
    mine(desk, account, task)
    return desk.page(request, "preview.html", html=markdown(sent.text))
