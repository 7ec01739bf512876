"""The review: what people disagree about most, ranked blind by an adjudicator, then decided with all before them."""

from collections import defaultdict
from typing import Any, NamedTuple

from fastapi import APIRouter, HTTPException, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from biddable.label.counted import Counts
from biddable.label.desk import Desk, Here, Who
from biddable.label.forms import LETTERS
from biddable.label.notice import done
from biddable.label.quality import overlap
from biddable.label.text import markdown
from biddable.measure.disputes import Dispute
from biddable.store import StoreError, informed, review
from biddable.store.review import CAUSES, Case, Tiers

router = APIRouter()

SHOWN = 30


class Waiting(NamedTuple):
    dispute: Dispute
    task: str
    stakes: bool


@router.get("/manage/review")
def queue(request: Request, desk: Here, counts: Counts):
    found = overlap(desk, counts)

    def look(connection: Connection) -> dict[str, Any]:
        rulings = review.rulings(connection)
        decided = {one.prompt_id for one in rulings}
        open_ = [one for one in (found.value.disputes if found else []) if one.prompt_id not in decided]
        names = [one.prompt_id for one in open_]
        tasks, stakes = review.tasks_of(connection, names), review.high_stakes(connection, names)
        waiting = [
            Waiting(one, tasks[one.prompt_id], one.prompt_id in stakes) for one in open_ if one.prompt_id in tasks
        ]
        return {"waiting": sorted(waiting, key=lambda one: not one.stakes), "rulings": rulings}

    values = desk.read(look)
    return desk.page(request, "review.html", counted=found, shown=SHOWN, **values)


def _case(desk: Desk, who: Who, task: str) -> Case:
    found = desk.read(review.case, who, task)
    if found is None:
        raise HTTPException(404, "no such task of rankings")
    return found


@router.get("/manage/review/{task}")
def one(request: Request, desk: Here, who: Who, task: str):
    found = _case(desk, who, task)
    letters = {c.id: LETTERS[n] for n, c in enumerate(found.completions)}
    ranks = {name: n for n, tier in enumerate(found.final or found.blind or (), start=1) for name in tier}
    said = [ranking.ranks for ranking in found.others]
    answers = [(letters[c.id], c.id, markdown(c.text)) for c in found.completions]
    before = [(turn.role, markdown(turn.text)) for turn in found.prompt.before or ()]
    why_not = None if found.blind else desk.read(informed.why_not, who.labeler, found.prompt.id, desk.now())
    return desk.page(
        request, "review_one.html", case=found, why_not=why_not, answers=answers, before=before, ranks=ranks, said=said,
        prompt=markdown(found.prompt.text), causes=CAUSES,
        blind={name: n for n, tier in enumerate(found.blind or (), start=1) for name in tier},
    )  # fmt: skip


async def _ranks(request: Request) -> dict[str, str]:
    async with request.form() as form:
        return {key: value.replace("\x00", "") for key, value in form.items() if isinstance(value, str)}


def _order(found: Case, sent: dict[str, str]) -> Tiers:
    """Rank numbers of a form as tiers, best first. Numbers may be left out: only their order counts."""
    tiers: dict[int, list[str]] = defaultdict(list)
    for n, completion in enumerate(found.completions):
        said = sent.get(f"rank-{LETTERS[n]}", "")
        if not said.isdecimal() or not 1 <= int(said) <= len(found.completions):
            raise StoreError(f"{LETTERS[n]}: has no rank yet; give each answer one, the same for a tie")
        tiers[int(said)].append(completion.id)
    return tuple(tuple(tiers[rank]) for rank in sorted(tiers))


@router.post("/manage/review/{task}/blind")
async def blind(request: Request, desk: Here, who: Who, task: str):
    sent = await _ranks(request)

    def keep():
        desk.write(review.begin, who, task, _order(_case(desk, who, task), sent), desk.now())
        return done(f"/manage/review/{task}", "")

    return await run_in_threadpool(keep)


@router.post("/manage/review/{task}/final")
async def final(request: Request, desk: Here, who: Who, task: str):
    sent = await _ranks(request)
    cause = next((cause for cause in CAUSES if cause == sent.get("cause")), None)
    if cause is None:
        raise HTTPException(400, "cause: say why people said different things")

    def keep():
        order = _order(_case(desk, who, task), sent)
        desk.write(review.decide, who, task, order, cause, sent.get("note", "")[:4000].strip(), desk.now())
        return done("/manage/review", "decided")

    return await run_in_threadpool(keep)
