"""The first page of a person, and the guidelines."""

from fastapi import APIRouter, Request
from sqlalchemy import Connection

from biddable.label.desk import Here, Who
from biddable.label.text import markdown
from biddable.store import jobs

router = APIRouter()


@router.get("/")
def home(request: Request, desk: Here, account: Who):
    def look(connection: Connection):
        mine = [job for job in jobs.all_of(connection, "open") if account.group in job.groups]
        return [(job, jobs.left(connection, job.id)) for job in mine]

    return desk.page(request, "home.html", jobs=desk.read(look))


@router.get("/guidelines")
def guidelines(request: Request, desk: Here):
    found = [desk.read(jobs.guide, purpose) for purpose in ("training", "evaluation")]
    shown = [(one, markdown(one.text)) for one in found if one]
    return desk.page(request, "guidelines.html", guidelines=shown)
