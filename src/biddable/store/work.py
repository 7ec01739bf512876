"""Who does what: taking a task, holding it, handing it in. Each function is a part of one writer's transaction.

A lease ends when nothing is heard of its holder; then the slot is somebody else's to take, but the draft stays, and
what is handed in late is kept, and marked so.
"""

import json
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, func, or_, select, update

from biddable.records import Completion, Group, Prompt, Ranking, Record, digest
from biddable.store import history, informed, jobs, kept, overlap, queue, shared, taken_out, team, writing
from biddable.store.accounts import Account
from biddable.store.engine import StoreError
from biddable.store.history import Change
from biddable.store.jobs import Guidelines, Job
from biddable.store.queries import named
from biddable.store.rows import SHELVES, Skip, key, key_text, kind_of, said_by, sound
from biddable.store.tables import ranked
from biddable.store.work_tables import activity, answers, drafts, passes, slots, tasks

UNWATCHED = timedelta(minutes=10)  # of a task that was done without script so much counts, at most


class Refused(StoreError):
    """What is asked for was possible once or never: the task is not this person's, or was handed in otherwise."""


class Unread(Refused):
    """There is a consent text that this person has not agreed to yet."""


class Draft(NamedTuple):
    version: int
    body: str


class Held(NamedTuple):
    """A task in somebody's hands: all that they may see of it, and what they may not (gold, ids)."""

    task: str
    job: Job
    prompt: Prompt | None
    completions: tuple[Completion, ...]  # in the order in which they are shown
    gold: str | None
    guidelines: Guidelines | None
    lease: str | None  # nothing when it is not held any more
    taken: datetime
    until: datetime
    draft: Draft | None
    changeable: datetime | None = None  # until when what was handed in can be changed; nothing when nothing was
    propensity: float | None = None  # how likely the task was to be chosen; nothing where all were
    group: Group = "training"  # its holder's
    informed: bool = False  # they have read by now what others said of it
    extra: bool = False  # not by lot: asked for because others disagreed, or a hidden check
    taken_out: str | None = None  # why it was taken out


class Answer(NamedTuple):
    """An answer as it was kept."""

    id: int
    task: str
    revision: int
    late: bool
    again: bool  # it was there already: the same submission, sent twice


def shown(seed: int, task: str, labeler: str, ids: Sequence[str]) -> list[str]:
    """The order on this person's screen: another for each, always the same for one."""
    rng = np.random.Generator(np.random.Philox(key=int(digest(str(seed), task, labeler), 16)))
    return [ids[i] for i in rng.permutation(len(ids))]


# Taking.


def claim(
    connection: Connection, account: Account, at: datetime, job: str | None = None, besides: str | None = None
) -> Held | None:
    """The task that this person holds, or else the next that is theirs to do; nothing when there is none.
    `besides`: the task they are about to finish, so that the one after it can lie ready."""
    if (text := team.unread_consent(connection, account.labeler)) is not None:
        raise Unread(f"consent: read version {text.number} of it and agree at /consent first; then the work begins")
    free_expired(connection, at)
    mine = select(slots.c.task).where(slots.c.labeler == account.labeler, slots.c.state == "leased")
    if job is not None:
        mine = mine.where(slots.c.job == job)
    if besides is not None:
        mine = mine.where(slots.c.task != besides)
    if (held := connection.execute(mine.order_by(slots.c.taken, slots.c.task).limit(1)).scalar()) is not None:
        return look(connection, account, held, at)
    for one in jobs.all_of(connection, "open"):
        if (
            (job is None or one.id == job)
            and one.suits(account.group, account.skills)
            and not sated(connection, one, account)
        ):
            row = _first(connection, one, account, at)
            if row is not None:
                return _take(connection, account, one, row, at)
    return None


def _first(connection: Connection, job: Job, account: Account, at: datetime):
    """The slot that is next for this person. A hidden check comes now and then, and is everybody's; so is all of a
    screening test, which candidates and researchers do whole."""
    if job.purpose == "screening":
        return None if team.waits(connection, account.labeler, at) else shared.part_of_test(connection, job, account)
    row = connection.execute(queue.first(job.kind), {"job": job.id, "labeler": account.labeler}).first()
    if row is not None and shared.is_check(connection, job, account):
        return shared.check(connection, job, account) or row
    return row


def free_expired(connection: Connection, at: datetime) -> int:
    """Slots whose holders were not heard of are open again."""
    gone = and_(slots.c.state == "leased", slots.c.until < at)
    freed = update(slots).where(gone).values(state="open", labeler=None, lease=None, taken=None, until=None)
    return connection.execute(freed).rowcount


def sated(connection: Connection, job: Job, account: Account) -> bool:
    """Whether this person has had as many tasks of a job as one may."""
    if job.settings.quota is None:
        return False
    mine = select(func.count()).where(slots.c.job == job.id, slots.c.labeler == account.labeler)
    return connection.execute(mine).scalar_one() >= job.settings.quota


def _take(connection: Connection, account: Account, job: Job, row, at: datetime) -> Held:
    lease, until = secrets.token_urlsafe(12), at + timedelta(minutes=job.settings.lease_minutes)
    taken = update(slots).where(slots.c.task == row.task, slots.c.slot == row.slot)
    values = {"state": "leased", "labeler": account.labeler, "lease": lease, "taken": at, "until": until}
    connection.execute(taken.values(**values))
    _note(connection, account, row.task, "taken", 0, at)
    held = look(connection, account, row.task, at)
    assert held is not None
    return held


def _note(
    connection: Connection, account: Account, task: str, what: str, seconds: float, at: datetime,
    until: datetime | None = None,
) -> None:  # fmt: skip
    row = {"labeler": account.labeler, "task": task, "what": what, "seconds": seconds, "at": at, "until": until}
    connection.execute(activity.insert(), [row])


_MINE = (bindparam("task"), bindparam("labeler"))
_ANSWERED = select(func.min(answers.c.at)).where(answers.c.task == _MINE[0], answers.c.labeler == _MINE[1])
_SECONDS = select(func.sum(activity.c.seconds)).where(activity.c.task == _MINE[0], activity.c.labeler == _MINE[1])
_TOLD = select(func.count()).where(
    activity.c.task == _MINE[0], activity.c.labeler == _MINE[1], activity.c.what == "active"
)
_BEGUN = select(
    select(func.min(activity.c.at))
    .where(activity.c.task == _MINE[0], activity.c.labeler == _MINE[1], activity.c.what == "taken")
    .scalar_subquery(),
    select(activity.c.until)
    .where(activity.c.labeler == _MINE[1], activity.c.until.is_not(None))
    .order_by(activity.c.at.desc(), activity.c.id.desc())
    .limit(1)
    .scalar_subquery(),
)

# One statement for what is known of a task and a person: a page or a submission asks for it each time.
_HELD = (
    select(
        tasks.c.job, tasks.c.prompt_id, tasks.c.completions, tasks.c.gold, tasks.c.propensity,
        informed.informed(tasks.c.prompt_id, bindparam("labeler")).label("informed"),
        slots.c.state, slots.c.lease, slots.c.taken, slots.c.until, drafts.c.version, drafts.c.body,
        select(func.max(activity.c.at))
        .where(
            activity.c.task == bindparam("task"),
            activity.c.labeler == bindparam("labeler"),
            activity.c.what == "taken",
        )
        .scalar_subquery()
        .label("first"),
        taken_out.why(bindparam("task")).label("taken_out"),
    )
    .select_from(
        tasks.outerjoin(slots, and_(slots.c.task == tasks.c.id, slots.c.labeler == bindparam("labeler"))).outerjoin(
            drafts, and_(drafts.c.task == tasks.c.id, drafts.c.labeler == bindparam("labeler"))
        )
    )
    .where(tasks.c.id == bindparam("task"))
)  # fmt: skip


def look(connection: Connection, account: Account, task: str, at: datetime) -> Held | None:
    """A task that this person has or had; nothing if it was never theirs."""
    row = connection.execute(_HELD, {"task": task, "labeler": account.labeler}).first()
    if row is None or row.first is None:
        return None
    job = jobs.find(connection, row.job)
    assert job is not None
    ids = shown(job.settings.seed, task, account.labeler, json.loads(row.completions))
    found = {name: c for name, c in named(connection, "completion", ids).items() if isinstance(c, Completion)}
    prompt = named(connection, "prompt", [row.prompt_id])[row.prompt_id] if row.prompt_id else None
    assert prompt is None or isinstance(prompt, Prompt)
    return Held(
        task, job, prompt, tuple(found[name] for name in ids), row.gold,
        jobs.guide(connection, jobs.guided_by(job)),
        row.lease if row.state == "leased" else None,
        row.taken or row.first, row.until or at,
        Draft(row.version, row.body) if row.version is not None else None, _changeable(connection, account, task, job),
        row.propensity if row.propensity < 1 else None, account.group, bool(row.informed), taken_out=row.taken_out,
    )  # fmt: skip


def _changeable(connection: Connection, account: Account, task: str, job: Job) -> datetime | None:
    first = connection.execute(_ANSWERED, {"task": task, "labeler": account.labeler}).scalar()
    return first and first + timedelta(minutes=job.settings.revise_minutes)


# Holding.


def beat(connection: Connection, account: Account, task: str, lease: str, active: float, at: datetime) -> Held | None:
    """A sign of life, with the active seconds since the last one. Returns nothing when the lease is not theirs now."""
    held = look(connection, account, task, at)
    if held is None:
        return None
    _active(connection, account, task, active, at, all_told=True)
    if held.lease is None or not secrets.compare_digest(held.lease.encode(), lease.encode()) or held.until < at:
        return None
    settings = held.job.settings
    last = held.taken + timedelta(hours=settings.longest_hours)
    until = min(at + timedelta(minutes=settings.lease_minutes), last)
    connection.execute(
        update(slots).where(slots.c.task == task, slots.c.labeler == account.labeler).values(until=until)
    )
    return held._replace(until=until)


def _active(
    connection: Connection, account: Account, task: str, seconds: float | None, at: datetime, all_told: bool = False
) -> None:
    """Note the seconds of a task: none before it was taken, and none twice, so that two tabs are not two people.

    Answers that waited for a connection arrive together. Each claim is laid behind the one before, as early as it can
    have been, so that all of them together never claim more than has passed. After a sign of life nothing is left to
    claim of the time before it (`all_told`). No seconds: nothing counts them, and the clock does, up to a bound."""
    mine = {"task": task, "labeler": account.labeler}
    first, before = connection.execute(_BEGUN, mine).one()
    start = max(first, before) if before else first
    passed = max(0.0, (at - start).total_seconds())
    what = "active"
    if seconds is None:
        what, told = "clock", connection.execute(_TOLD, mine).scalar_one()
        noted = connection.execute(_SECONDS, mine).scalar() or 0.0
        seconds = 0.0 if told else max(0.0, UNWATCHED.total_seconds() - noted)
    counted = min(seconds, passed)
    until = (at if all_told else start + timedelta(seconds=counted)) if counted else None
    _note(connection, account, task, what, counted, at, until)


def save_draft(
    connection: Connection, account: Account, task: str, version: int, body: str, at: datetime
) -> Draft | None:
    """Keep what is written so far. Returns the stored draft instead when it is newer: another window's."""
    if look(connection, account, task, at) is None:
        raise Refused(f"{task}: was never yours")
    mine = and_(drafts.c.task == task, drafts.c.labeler == account.labeler)
    row = connection.execute(select(drafts.c.version, drafts.c.body).where(mine)).first()
    if row is None:
        values = {"task": task, "labeler": account.labeler, "version": version, "body": body, "at": at}
        connection.execute(drafts.insert(), [values])
    elif version > row.version:
        connection.execute(update(drafts).where(mine).values(version=version, body=body, at=at))
    elif body != row.body:
        return Draft(*row)
    return None


def leave(connection: Connection, account: Account, task: str, what: str, reason: str, note: str, at: datetime) -> None:
    """Skip or flag: the slot is open for others, and this person is not given the task again."""
    held = look(connection, account, task, at)
    if held is None:
        raise Refused(f"{task}: was never yours")
    left = and_(passes.c.task == task, passes.c.labeler == account.labeler)
    if connection.execute(select(passes.c.task).where(left)).first():
        return
    free = update(slots).where(slots.c.task == task, slots.c.labeler == account.labeler, slots.c.state == "leased")
    connection.execute(free.values(state="open", labeler=None, lease=None, taken=None, until=None))
    row = {"task": task, "labeler": account.labeler, "what": what, "reason": reason, "note": note, "at": at}
    kept.add(connection, passes, [row], at, account.labeler)
    if held.prompt is not None:
        skip = Skip(prompt_id=held.prompt.id, labeler=account.labeler, task=held.job.kind, reason=reason, at=at)
        writing.add(connection, [sound(skip)], at)


# Handing in.


def submit(
    connection: Connection, account: Account, task: str, name: str, body: str, at: datetime, active: float | None,
    make: Callable[[Held, float], Sequence[Record]], read: str | None = None, apart: overlap.Apart | None = None,
) -> Answer:  # fmt: skip
    """Keep an answer and the records that `make` finds in it. `name` is the browser's own for this submission; `read`
    the guidelines that its author had before them, where others hold by now; `apart` how far answers to it differ.

    What this person has said of the same thing in another task stays; the answer itself is kept whole either way."""
    mine = and_(answers.c.labeler == account.labeler, answers.c.key == name)
    if known := connection.execute(select(answers).where(mine)).first():
        if known.body != body or known.task != task:
            raise Refused(f"{name}: was handed in before with other words")
        return Answer(known.id, known.task, known.revision, known.late, again=True)
    held = look(connection, account, task, at)
    if held is None:
        raise Refused(f"{task}: was never yours")
    if held.informed:
        raise Refused(f"{task}: you have read by now what others said of it, so your own word would be no other one")
    if read is not None:
        held = held._replace(guidelines=_version(connection, held.job, read))
    earlier = _earlier(connection, account, held, at) if held.changeable else ()
    _active(connection, account, task, active, at)
    late = not earlier and not _fill(connection, account, held, at)
    seconds = _seconds(connection, account, held)
    extra = held.gold is not None or overlap.is_extra(connection, held.job, task, account.labeler)
    held = held._replace(extra=extra)
    found = [sound(record) for record in make(held, seconds)]
    said = found if held.job.purpose != "screening" else []  # a test is kept as it was answered, and trains nothing
    if earlier:
        _take_back(connection, said, earlier, at)
    # All that these name stands in the task that was just read; the foreign keys are there in any case.
    writing.add(connection, said, at, first_stays=True, all_known=True)
    row = {
        "task": task, "job": held.job.id, "labeler": account.labeler, "revision": len(earlier) + 1, "key": name,
        "body": body,
        "shown": json.dumps([c.id for c in held.completions]), "guidelines": held.guidelines and held.guidelines.id,
        "seconds": seconds, "wall": (at - held.taken).total_seconds(), "late": late, "at": at,
    }  # fmt: skip
    number = kept.add_numbered(connection, answers, row, at, account.labeler)
    if apart is not None:
        overlap.ask_again(connection, held.job, task, apart)
    return Answer(number, task, len(earlier) + 1, late, again=False)


def _version(connection: Connection, job: Job, name: str) -> Guidelines:
    purpose = jobs.guided_by(job)
    for one in jobs.guides(connection, purpose):
        if one.id == name:
            return one
    raise StoreError(f"guidelines: {name} is no version of those for {purpose}")


def _earlier(connection: Connection, account: Account, held: Held, at: datetime) -> Sequence[datetime]:
    """When the revisions were handed in that this answer changes."""
    mine = and_(answers.c.task == held.task, answers.c.labeler == account.labeler)
    moments = connection.execute(select(answers.c.at).where(mine).order_by(answers.c.revision)).scalars().all()
    if moments and at - moments[0] > timedelta(minutes=held.job.settings.revise_minutes):
        raise Refused(f"{held.task}: was handed in, and can no more be changed")
    return moments


def _fill(connection: Connection, account: Account, held: Held, at: datetime) -> bool:
    """Mark this person's slot done, or one that is free; False when all have gone to others."""
    done = update(slots).values(state="done", labeler=account.labeler, lease=None, until=None)
    done = done.where(slots.c.task == held.task)
    if connection.execute(done.where(slots.c.labeler == account.labeler)).rowcount:
        return True
    free = or_(slots.c.state == "open", and_(slots.c.state == "leased", slots.c.until < at))
    slot = connection.execute(select(slots.c.slot).where(slots.c.task == held.task, free).limit(1)).scalar()
    return slot is not None and connection.execute(done.where(slots.c.slot == slot)).rowcount == 1


def _seconds(connection: Connection, account: Account, held: Held) -> float:
    return float(connection.execute(_SECONDS, {"task": held.task, "labeler": account.labeler}).scalar() or 0.0)


def _take_back(connection: Connection, said: Sequence[Record], moments: Sequence[datetime], at: datetime) -> None:
    """Remove the records that this task's earlier revisions left under the same keys; the answers themselves stay."""
    gone = []
    for record in said:
        shelf = SHELVES[kind_of(record)]
        if "at" not in shelf.table.c:
            continue  # a prompt that somebody wrote may be in use
        those = _under(shelf.table, shelf.key, key(record))
        if connection.execute(select(shelf.table.c.at).where(those)).scalar() not in moments:
            continue
        if shelf.model is Ranking:
            connection.execute(delete(ranked).where(_under(ranked, shelf.key, key(record))))
        connection.execute(delete(shelf.table).where(those))
        gone.append(Change(f"{kind_of(record)} taken back", key_text(record), said_by(record)))
    history.write(connection, at, gone)


def _under(table: Table, columns: Sequence[str], values: Sequence[str]) -> ColumnElement[bool]:
    return and_(*(table.c[column] == value for column, value in zip(columns, values, strict=True)))
