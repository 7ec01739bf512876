"""Who may come in: accounts, and the secrets that open the door (sessions, invitations, service keys).

A secret is 256 random bits, shown once; what is kept is its sha256, so a stolen store opens nothing. Passwords are
hashed by whoever calls (the web app), since that is slow on purpose and no work for a transaction.
"""

import hashlib
import json
import secrets
import unicodedata
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from sqlalchemy import Connection, bindparam, delete, exists, or_, select, update

from biddable.records import Group, Labeler
from biddable.store import history, kept, writing
from biddable.store.engine import StoreError
from biddable.store.history import Change
from biddable.store.tables import labelers
from biddable.store.team_tables import adjudications, screenings
from biddable.store.work_tables import accounts, answers, jobs, names, sessions

Role = Literal["owner", "manager", "adjudicator", "labeler", "auditor", "service"]
ROLES: tuple[Role, ...] = ("owner", "manager", "adjudicator", "labeler", "auditor", "service")
Purpose = Literal["session", "invite", "service"]
LASTS: dict[Purpose, timedelta] = {
    "session": timedelta(days=14),
    "invite": timedelta(hours=72),
    "service": timedelta(days=365),
}


class Account(NamedTuple):
    labeler: str  # the id that stands in the records; it tells nothing of the person
    name: str  # what they sign in with
    role: Role
    group: Group
    password: str | None
    state: str
    skills: tuple[str, ...] = ()


_COLUMNS = (
    accounts.c.labeler,
    accounts.c.name,
    accounts.c.role,
    labelers.c.group,
    accounts.c.password,
    accounts.c.state,
    accounts.c.skills,
)


def _account(row) -> Account:
    values = row._mapping
    return Account(**(dict(values) | {"skills": tuple(json.loads(values["skills"]))}))


def _select(*conditions):
    return select(*_COLUMNS).join(labelers, labelers.c.id == accounts.c.labeler).where(*conditions)


def everyone(connection: Connection) -> list[Account]:
    return [_account(row) for row in connection.execute(_select().order_by(accounts.c.made, accounts.c.labeler))]


def key(name: str) -> str:
    """What is the same of a name however it is written: maria, Maria, and ＭＡＲＩＡ from a Japanese keyboard."""
    folded = unicodedata.normalize("NFKC", " ".join(name.split())).casefold()
    return unicodedata.normalize("NFKC", folded)


def named(connection: Connection, name: str) -> Account | None:
    """Whose name this is: letter for letter, or however it is written."""
    by_key = select(names.c.labeler).where(names.c.key == key(name)).scalar_subquery()
    for its in (accounts.c.name == name, accounts.c.labeler == by_key):
        if row := connection.execute(_select(its)).first():
            return _account(row)
    return None


def _free(connection: Connection, name: str, labeler: str | None = None) -> str:
    """A name that nobody else has, without spaces around it."""
    name = name.strip()
    if not name or len(name) > 100:
        raise StoreError("name: an account needs one, of at most 100 characters")
    by_key = select(names.c.labeler).where(names.c.key == key(name)).scalar_subquery()
    others = _select(or_(accounts.c.name == name, accounts.c.labeler == by_key), accounts.c.labeler != (labeler or ""))
    if (other := connection.execute(others).first()) is not None:
        raise StoreError(f"name: {name} is taken" + (f", by {other.name}" if other.name != name else ""))
    return name


def _call(connection: Connection, labeler: str, name: str) -> None:
    connection.execute(delete(names).where(names.c.labeler == labeler))
    connection.execute(names.insert(), [{"key": key(name), "labeler": labeler}])


def of(connection: Connection, labeler: str) -> Account | None:
    row = connection.execute(_select(accounts.c.labeler == labeler)).first()
    return _account(row) if row else None


def has_owner(connection: Connection) -> bool:
    joined = select(accounts.c.labeler).where(accounts.c.role == "owner", accounts.c.password.is_not(None))
    return connection.execute(joined.limit(1)).first() is not None


def make(connection: Connection, name: str, role: Role, group: Group, at: datetime, who: str | None = None) -> Account:
    """A new account that nobody can use yet: invite its person."""
    name = _free(connection, name)
    labeler = "l-" + secrets.token_hex(6)
    writing.add(connection, [Labeler(id=labeler, group=group)], at)
    row = {"labeler": labeler, "name": name, "role": role, "password": None, "state": "active", "made": at}
    kept.add(connection, accounts, [row], at, who)
    _call(connection, labeler, name)
    history.write(connection, at, [Change("account made", labeler, who, f"{role}, {group}")])
    return Account(labeler, name, role, group, None, "active")


def change(connection: Connection, labeler: str, at: datetime, who: str | None = None, **values: str | None) -> None:
    """Set the role, the state, the password or the name of an account; its sessions end, since they were another's,
    but not for another name: whoever is at work is the same."""
    said = ", ".join(f"{key}={'…' if key in ('password', 'name') else value}" for key, value in values.items())
    another, new_name = values.keys() != {"name"}, values.get("name")
    if new_name is not None:
        values["name"] = _free(connection, new_name, labeler)
    if "group" in values:
        _refuse_training(connection, labeler, values["group"])
        moved = Labeler.model_validate({"id": labeler, "group": values.pop("group")})
        connection.execute(update(labelers).where(labelers.c.id == labeler).values(group=moved.group))
        history.write(connection, at, [Change("labeler", labeler, who, history.content(moved))])
    if values.get("role", "owner") != "owner" or values.get("state", "active") != "active":
        _refuse_last_owner(connection, labeler)
    if values:
        kept.change(connection, accounts, (labeler,), values, at, who)
    if new_name is not None:
        _call(connection, labeler, new_name)
    if another:
        end_all(connection, labeler, at)
    history.write(connection, at, [Change("account changed", labeler, who, said)])


def give_skills(
    connection: Connection, labeler: str, some: Iterable[str], at: datetime, who: str | None = None
) -> None:
    """What this person can do beyond the usual, in place of what was said before: languages, fields."""
    told = json.dumps(skills(some), ensure_ascii=False)
    kept.change(connection, accounts, (labeler,), {"skills": told}, at, who)
    history.write(connection, at, [Change("skills", labeler, who, told)])


def skills(some: Iterable[str]) -> tuple[str, ...]:
    """As they are compared: in small letters, each once, in order."""
    found = sorted({" ".join(one.split()).casefold() for one in some} - {""})
    if len(found) > 50 or any(len(one) > 50 for one in found):
        raise StoreError("skills: at most 50, of at most 50 characters each")
    return tuple(found)


def _refuse_last_owner(connection: Connection, labeler: str) -> None:
    owners = select(accounts.c.labeler).where(accounts.c.role == "owner", accounts.c.state == "active")
    if connection.execute(owners).scalars().all() == [labeler]:
        raise StoreError(f"{labeler}: is the only owner; make another owner first, or nobody could manage this")


def _refuse_training(connection: Connection, labeler: str, group: str | None) -> None:
    """Held out is held out for ever: what they said for evaluation would become training data with their group. And who
    is, has never been anything else at work: they judge a model that learned nothing of them (paper, App. B.1)."""
    now = connection.execute(select(labelers.c.group).where(labelers.c.id == labeler)).scalar()
    if now == "held_out" and group != "held_out":
        raise StoreError(
            f"group: {labeler} is held out, and stays so: their labels may never train; make another account"
        )
    if group == "held_out" and now != "held_out" and _has_trained(connection, labeler):
        raise StoreError(
            f"group: {labeler} has made training data or taken the test, so nobody could call them held out; "
            "invite somebody else"
        )


def _has_trained(connection: Connection, labeler: str) -> bool:
    """Whether they handed in anything but for evaluation, were screened, or decided a review."""
    at_work = (answers.c.labeler == labeler, jobs.c.id == answers.c.job, jobs.c.purpose != "evaluation")
    conditions = (
        exists().where(*at_work),
        exists().where(screenings.c.labeler == labeler),
        exists().where(adjudications.c.labeler == labeler),
    )
    return any(connection.execute(select(condition)).scalar() for condition in conditions)


# Secrets.


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def open_door(connection: Connection, labeler: str, purpose: Purpose, at: datetime, who: str | None = None) -> str:
    """A new secret for one purpose. It is returned here and can be read nowhere."""
    secret = secrets.token_urlsafe(32)
    row = {
        "token": hashed(secret), "labeler": labeler, "purpose": purpose, "made": at, "until": at + LASTS[purpose],
        "ended": None,
    }  # fmt: skip
    connection.execute(sessions.insert(), [row])
    history.write(connection, at, [Change(f"{purpose} opened", labeler, who or labeler)])
    return secret


# Asked at every request.
_HOLDER = _select(
    sessions.c.token == bindparam("token"),
    sessions.c.purpose == bindparam("purpose"),
    sessions.c.ended.is_(None),
    sessions.c.until > bindparam("at"),
    accounts.c.state == "active",
).join(sessions, sessions.c.labeler == accounts.c.labeler)


def holder(connection: Connection, secret: str, purpose: Purpose, at: datetime) -> Account | None:
    """Whose secret this is, if it is good."""
    row = connection.execute(_HOLDER, {"token": hashed(secret), "purpose": purpose, "at": at}).first()
    return _account(row) if row else None


def end(connection: Connection, secret: str, at: datetime) -> bool:
    """Whether it was open until now."""
    mine = (sessions.c.token == hashed(secret), sessions.c.ended.is_(None))
    return connection.execute(update(sessions).where(*mine).values(ended=at)).rowcount == 1


def end_all(connection: Connection, labeler: str, at: datetime) -> None:
    mine = (sessions.c.labeler == labeler, sessions.c.ended.is_(None))
    connection.execute(update(sessions).where(*mine).values(ended=at))


def join(connection: Connection, invite: str, password: str, at: datetime) -> Account:
    """Take up an invitation: once, and every older door of the account is shut. `password` is the hash."""
    account = holder(connection, invite, "invite", at)
    if account is None:
        raise StoreError("this invitation is used, too old or unknown; ask for a new one")
    change(connection, account.labeler, at, account.labeler, password=password)
    return account._replace(password=password)
