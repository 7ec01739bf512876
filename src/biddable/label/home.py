"""The first page of a person."""

from fastapi import APIRouter, Request
from sqlalchemy import Connection

from biddable.label.desk import Here, Who
from biddable.store import jobs, team

router = APIRouter()


@router.get("/")
def home(request: Request, desk: Here, account: Who):
    def look(connection: Connection):
        mine = [job for job in jobs.all_of(connection, "open") if job.suits(account.group, account.skills)]
        return [(job, jobs.left(connection, job.id)) for job in mine]

    consent = desk.read(team.unread_consent, account.labeler)
    return desk.page(
        request, "home.html", jobs=desk.read(look), consent=consent, screening=account.group == "candidate"
    )
