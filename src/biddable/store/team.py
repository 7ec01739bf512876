"""What a team decides beside the work: consent, what candidates say of themselves, ratings, who is taken, surveys."""

import json
import secrets
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, delete, exists, func, select

from biddable.store import accounts, history, jobs, kept
from biddable.store.engine import StoreError
from biddable.store.history import Change
from biddable.store.jobs import Guidelines
from biddable.store.team_tables import consents, ratings, screenings, surveys, topics
from biddable.store.work_tables import answers, tasks

RETEST = timedelta(days=30)  # after which a candidate who was not taken may try again
BATCH = 5  # answers of a survey that are shown together, and never fewer

# Consent.


def unread_consent(connection: Connection, labeler: str) -> Guidelines | None:
    """The text that this person has still to agree to; nothing where none was published, or they have."""
    text = jobs.guide(connection, "consent")
    if text is None:
        return None
    given = select(consents.c.at).where(consents.c.labeler == labeler, consents.c.guidelines == text.id)
    return None if connection.execute(given).first() else text


def consent(connection: Connection, labeler: str, version: str, at: datetime) -> None:
    text = unread_consent(connection, labeler)
    if text is None:
        return
    if text.id != version:
        raise StoreError("consent: there is a newer text; read it first")
    kept.add(connection, consents, [{"labeler": labeler, "guidelines": text.id, "at": at}], at, labeler)


# Screening.


class Screening(NamedTuple):
    accepted: bool
    card: dict[str, Any]
    note: str
    who: str
    at: datetime


def decided(connection: Connection, labeler: str) -> list[Screening]:
    """What was decided of a candidate, the newest first."""
    columns = (screenings.c.accepted, screenings.c.card, screenings.c.note, screenings.c.who, screenings.c.at)
    query = select(*columns).where(screenings.c.labeler == labeler).order_by(screenings.c.id.desc())
    return [Screening(row[0], json.loads(row[1]), *row[2:]) for row in connection.execute(query)]


def waits(connection: Connection, labeler: str, at: datetime) -> datetime | None:
    """Until when a candidate who was not taken has to wait for another test."""
    last = next(iter(decided(connection, labeler)), None)
    if last is None or last.accepted or at >= last.at + RETEST:
        return None
    return last.at + RETEST


def decide(
    connection: Connection, labeler: str, accepted: bool, card: dict[str, Any], note: str, at: datetime, who: str
) -> None:  # fmt: skip
    """Take a candidate as a training labeler, or not. The cut-offs are soft: it is the manager who decides."""
    account = accounts.of(connection, labeler)
    if account is None or account.group != "candidate":
        raise StoreError(f"{labeler}: is no candidate")
    row = {
        "labeler": labeler, "accepted": accepted, "card": json.dumps(card), "note": note, "who": who, "at": at,
    }  # fmt: skip
    kept.add_numbered(connection, screenings, row, at, who)
    history.write(connection, at, [Change("screened", labeler, who, "taken" if accepted else "not taken")])
    if accepted:
        accounts.change(connection, labeler, at, who, group="training")


def say_topics(connection: Connection, labeler: str, text: str, at: datetime) -> None:
    connection.execute(delete(topics).where(topics.c.labeler == labeler))
    kept.add(connection, topics, [{"labeler": labeler, "text": text, "at": at}], at, labeler)


def topics_of(connection: Connection) -> dict[str, str]:
    return dict(connection.execute(select(topics.c.labeler, topics.c.text)).all())


class Tested(NamedTuple):
    """One answer of a screening test, the newest of its person."""

    answer: int
    task: str
    prompt_id: str
    job: str
    kind: str
    labeler: str
    body: str
    shown: tuple[str, ...]
    at: datetime


def tested(connection: Connection) -> list[Tested]:
    kinds = {job.id: job.kind for job in jobs.all_of(connection) if job.purpose == "screening"}
    columns = (answers.c.id, answers.c.task, tasks.c.prompt_id, answers.c.job, answers.c.labeler)
    query = (
        select(*columns, answers.c.body, answers.c.shown, answers.c.at)
        .join(tasks, tasks.c.id == answers.c.task)
        .where(answers.c.job.in_(kinds))
        .order_by(answers.c.id)
    )
    newest = {
        (row.task, row.labeler): Tested(*row[:4], kinds[row.job], *row[4:6], tuple(json.loads(row.shown)), row.at)
        for row in connection.execute(query)
    }
    return list(newest.values())


def rate(connection: Connection, answer: int, labeler: str, overall: int, at: datetime) -> None:
    """A researcher's rating of a demonstration of the test; said again, the last one counts."""
    if not connection.execute(select(exists().where(answers.c.id == answer))).scalar():
        raise StoreError(f"{answer}: no such answer")
    connection.execute(delete(ratings).where(ratings.c.answer == answer, ratings.c.labeler == labeler))
    row = {"answer": answer, "labeler": labeler, "overall": overall, "at": at}
    kept.add(connection, ratings, [row], at, labeler)


def rated(connection: Connection) -> list[tuple[int, str, int]]:
    """(answer, rater, rating)"""
    query = select(ratings.c.answer, ratings.c.labeler, ratings.c.overall)
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


# Surveys. Nothing of who, or of when beyond the month, is kept anywhere: no line of history either.

Survey = Literal["satisfaction", "people"]


def answer_survey(connection: Connection, kind: Survey, body: dict[str, Any], at: datetime) -> None:
    count = connection.execute(select(func.count()).where(surveys.c.kind == kind)).scalar_one()
    row = {
        "id": secrets.token_hex(16), "kind": kind, "month": at.strftime("%Y-%m"), "batch": count // BATCH,
        "body": json.dumps(body, sort_keys=True),
    }  # fmt: skip
    connection.execute(surveys.insert(), [row])


def survey(connection: Connection, kind: Survey) -> tuple[list[dict[str, Any]], int]:
    """The answers of all full batches, in no order that tells of time, and how many more wait for theirs to fill."""
    query = select(surveys.c.batch, surveys.c.body).where(surveys.c.kind == kind).order_by(surveys.c.id)
    rows = connection.execute(query).all()
    full = len(rows) // BATCH
    return [json.loads(row.body) for row in rows if row.batch < full], len(rows) - full * BATCH
