"""Why somebody is given no task: of each job that is their group's, what stands in the way."""

from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import Connection

from biddable.store import accounts, jobs, queue, team, work
from biddable.store.accounts import Account
from biddable.store.jobs import Job

Reason = Literal["paused", "closed", "skills", "quota", "wait", "held", "done"]


class Why(NamedTuple):
    job: Job
    reason: Reason
    skills: tuple[str, ...] = ()  # that are missing
    until: datetime | None = None  # when the test can be taken again


def why(connection: Connection, account: Account, at: datetime, job: str | None = None) -> list[Why]:
    """Of the jobs that are not closed, or of the one that was asked for."""
    named = [one for one in jobs.all_of(connection) if one.id == job or (job is None and one.state != "closed")]
    return [_why(connection, account, one, at) for one in named if account.group in one.groups]


def _why(connection: Connection, account: Account, job: Job, at: datetime) -> Why:
    if job.state != "open":
        return Why(job, job.state)
    if lacking := set(accounts.skills(job.settings.skills)) - set(account.skills):
        return Why(job, "skills", skills=tuple(sorted(lacking)))
    if work.sated(connection, job, account):
        return Why(job, "quota")
    if job.purpose == "screening":
        until = team.waits(connection, account.labeler, at)
        return Why(job, "wait" if until else "done", until=until)
    others = connection.execute(queue.first(job.kind, "leased"), {"job": job.id, "labeler": account.labeler})
    return Why(job, "held" if others.first() else "done")
