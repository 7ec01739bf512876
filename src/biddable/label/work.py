"""The work itself, as the board's script and simulated people ask for it: take a task, hold it, hand it in."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field, field_validator

from biddable.label import forms, reading
from biddable.label.desk import Desk, Here, Who
from biddable.label.forms import LETTERS
from biddable.label.text import LARGEST, markdown
from biddable.store import StoreError, work
from biddable.store.accounts import Account
from biddable.store.work import Answer, Held

router = APIRouter(prefix="/api")

NO_REASON = "no reason given"
Short = Annotated[str, Field(max_length=200)]


class Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        """SQLite takes U+0000 and PostgreSQL does not."""
        if isinstance(value, str) and "\x00" in value:
            raise ValueError("holds the character U+0000")
        return value


class Wanted(Sent):
    job: Short | None = None


class DraftSent(Sent):
    version: Annotated[int, Field(ge=1, le=2**31 - 1)]
    body: Annotated[str, Field(max_length=200_000)]


class Written(Sent):
    text: Annotated[str, Field(max_length=LARGEST)]


class Beat(Sent):
    lease: Short
    active: Annotated[float, Field(ge=0, le=3600)] = 0.0


class AnswerSent(Sent):
    """`key` is the browser's own name for this submission: sent twice, it counts once."""

    key: Annotated[str, Field(min_length=8, max_length=100)]
    active: Annotated[float, Field(ge=0, le=3600)] = 0.0
    body: Annotated[str, Field(max_length=500_000)]  # JSON of the form of the task's kind
    guidelines: Short | None = None  # the version that its author had before them; nothing: the one that holds


class Leaving(Sent):
    what: Literal["skip", "flag"]
    reason: Short = ""
    note: Annotated[str, Field(max_length=4000)] = ""


def over(held: Held) -> str | None:
    """Why a task is not its holder's any more, to be read beside their work."""
    if held.lease is not None or held.changeable is not None:
        return None
    if held.taken_out is not None:
        return (
            f"Whoever runs this job has taken the task out: “{held.taken_out}”. Nobody is given it any more. "
            "What you wrote stays here; you need not go on, and what you hand in all the same is kept."
        )
    return (
        "The time for this task is over, or whoever runs the job gave it back, and somebody else may be given it. Your "
        "draft stays; you can still hand it in."
    )


def seen(held: Held, now: datetime) -> dict[str, Any]:
    """What its holder may see of a task: no ids of completions, no models, no gold, nobody else's word."""
    prompt = held.prompt
    before = (prompt.before or ()) if prompt else ()
    return {
        "task": held.task,
        "job": held.job.id,
        "title": held.job.title,
        "kind": held.job.kind,
        "judge": held.job.kind == "judge" or (held.job.kind == "rank" and held.job.settings.judge),
        "closed_domain": forms.closed_domain(prompt),
        "lease": held.lease,
        "until": held.until.isoformat(),
        "left": max(0.0, (held.until - now).total_seconds()) if held.lease else 0.0,
        "over": over(held),
        "changeable": held.changeable and max(0.0, (held.changeable - now).total_seconds()),
        "revise": held.job.settings.revise_minutes * 60,
        "guidelines": held.guidelines and {"id": held.guidelines.id, "number": held.guidelines.number},
        "before": [{"role": turn.role, "html": markdown(turn.text)} for turn in before],
        "prompt": prompt and {"text": prompt.text, "html": markdown(prompt.text)},
        "answers": [
            {"letter": LETTERS[n], "text": c.text, "html": markdown(c.text)} for n, c in enumerate(held.completions)
        ],
        "draft": held.draft and {"version": held.draft.version, "body": held.draft.body},
    }


@router.get("/me")
def me(account: Who):
    return {"labeler": account.labeler, "name": account.name, "role": account.role, "group": account.group}


@router.post("/claim")
def claim(wanted: Wanted, desk: Here, account: Who):
    held = desk.write(work.claim, account, desk.now(), wanted.job)
    return {"task": held and seen(held, desk.now())}


@router.get("/tasks/{task}")
def task(task: str, desk: Here, account: Who):
    held = desk.read(work.look, account, task, desk.now())
    if held is None:
        raise HTTPException(404, "no such task of yours")
    return {"task": seen(held, desk.now())}


@router.put("/tasks/{task}/draft")
def draft(task: str, sent: DraftSent, desk: Here, account: Who):
    newer = desk.write(work.save_draft, account, task, sent.version, sent.body, desk.now())
    if newer is not None:
        raise HTTPException(409, {"version": newer.version, "body": newer.body})
    return {"version": sent.version}


@router.post("/tasks/{task}/beat")
def beat(task: str, sent: Beat, desk: Here, account: Who):
    held = desk.write(work.beat, account, task, sent.lease, sent.active, desk.now())
    if held is None:
        gone = desk.read(work.look, account, task, desk.now())
        return {"until": None, "left": 0.0, "guidelines": None, "over": gone and over(gone)}
    number = held.guidelines and held.guidelines.number
    return {"until": held.until.isoformat(), "left": (held.until - desk.now()).total_seconds(), "guidelines": number}


@router.post("/tasks/{task}/answer")
def answer(task: str, sent: AnswerSent, desk: Here, account: Who):
    kept = hand_in(desk, account, task, sent.key, sent.body, sent.active, sent.guidelines)
    return {"answer": kept.id, "revision": kept.revision, "late": kept.late, "again": kept.again}


def hand_in(
    desk: Desk, account: Account, task: str, name: str, body: str, active: float | None, read: str | None = None
) -> Answer:
    now = desk.now()
    return desk.write(
        work.submit, account, task, name, body, now, active,
        lambda held, seconds: forms.records(held, forms.read(held, body), account.labeler, seconds, now), read,
        reading.apart,
    )  # fmt: skip


@router.post("/tasks/{task}/leave")
def leave(task: str, sent: Leaving, desk: Here, account: Who):
    leave_alone(desk, account, task, sent)
    return {"left": task}


def leave_alone(desk: Desk, account: Account, task: str, sent: Leaving) -> None:
    """To skip needs no reason; a flag is for somebody to act on."""
    reason = sent.reason.strip() or (NO_REASON if sent.what == "skip" else "")
    if not reason:
        raise StoreError("reason: say why you flag it; whoever runs the job acts on that")
    desk.write(work.leave, account, task, sent.what, reason, sent.note, desk.now())
