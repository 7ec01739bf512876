"""The people's page: who is here, inviting somebody, their role and group, closing an account."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Form, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from biddable.label.desk import Desk, Here, Who
from biddable.label.fields import Plain
from biddable.label.guard import loopback
from biddable.label.jobs import skills_of
from biddable.label.manage import invited, let_know, may_make, somebody
from biddable.label.notice import done
from biddable.records import Group
from biddable.store import StoreError, accounts, jobs
from biddable.store.accounts import Account, Role
from biddable.store.jobs import Job

router = APIRouter()

GROUPS: dict[Group, str] = {
    "training": "their labels train the model",
    "held_out": "they only evaluate, and never took the test; this cannot be changed later",
    "candidate": "they take the screening test first",
    "researcher": "they set the test and decide hard cases",
}
ROLES: dict[Role, str] = {
    "labeler": "labels",
    "adjudicator": "labels, and decides where others disagree",
    "manager": "sees and manages all work",
    "owner": "is a manager, and makes managers",
    "auditor": "sees everything, changes nothing",
    "service": "a program that works by a key and never signs in",
}

MOST = 200  # people who are invited at once
ROWS = 100  # people on a page: a browser takes long over the forms of a thousand
Told = Sequence[tuple[Account, dict[str, str]]]  # whom a secret of theirs is shown of


@router.get("/manage/people")
def page(
    request: Request, desk: Here, q: Annotated[str, Query(max_length=200), Plain] = "",
    start: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
):  # fmt: skip
    return _page(request, desk, q=q.strip(), start=start)


def _page(
    request: Request, desk: Desk, told: Told = (), status: int = 200, q: str = "", start: int = 0
) -> Response:  # fmt: skip
    people = desk.read(accounts.everyone)
    wanted = accounts.key(q)
    found = [one for one in people if _like(one, wanted)]
    here = desk.url or str(request.base_url).rstrip("/")
    secrets = [(one, said["key"] if "key" in said else f"{here}{said['invite']}") for one, said in told]
    return desk.page(
        request, "people.html", status, people=found[start : start + ROWS], secrets=secrets, groups=GROUPS, roles=ROLES,
        every=len(people), found=len(found), rows=ROWS, start=start, q=q,
        asked=desk.read(_asked, people), hours=int(accounts.LASTS["invite"].total_seconds() // 3600),
        days=accounts.LASTS["service"].days, only_here=loopback(urlsplit(here).hostname or ""),
    )  # fmt: skip


def _like(one: Account, wanted: str) -> bool:
    """Whether a word of theirs, as the page shows them, holds what is looked for, however either is written."""
    shown = (one.name, one.labeler, one.role, one.group.replace("_", " "), one.state, *one.skills)
    return any(wanted in accounts.key(word) for word in shown)


class Asked(NamedTuple):
    skill: str
    people: list[str]
    jobs: list[Job]


def _asked(connection: Connection, people: Sequence[Account]) -> list[Asked]:
    """Each skill: who has it, and which jobs that are not closed ask for it."""
    going = [(job, accounts.skills(job.settings.skills)) for job in jobs.all_of(connection, "open", "paused")]
    every = {skill for one in people for skill in one.skills} | {skill for _, some in going for skill in some}
    return [
        Asked(
            skill,
            [one.name for one in people if skill in one.skills and one.state == "active"],
            [job for job, some in going if skill in some],
        )
        for skill in sorted(every)
    ]


@router.post("/manage/people")
def add(
    request: Request, desk: Here, who: Who, name: Annotated[str, Form(max_length=100), Plain],
    role: Annotated[Role, Form()] = "labeler", group: Annotated[Group, Form()] = "training",
):  # fmt: skip
    may_make(who, role)
    return _page(request, desk, [desk.write(invited, name, role, group, desk.now(), who)], 201)


@router.post("/manage/people/many")
def add_many(
    request: Request, desk: Here, who: Who, names: Annotated[str, Form(max_length=50_000), Plain],
    role: Annotated[Role, Form()] = "labeler", group: Annotated[Group, Form()] = "training",
):  # fmt: skip
    """A name on each line; all of them, or none."""
    may_make(who, role)
    some = [name.strip() for name in names.splitlines() if name.strip()]
    if not 1 <= len(some) <= MOST:
        raise StoreError(f"names: are {len(some)}; write one on each line, and {MOST} at most")

    def invite_all(connection: Connection) -> Told:
        _refuse_taken(connection, some)
        return [invited(connection, name, role, group, desk.now(), who) for name in some]

    return _page(request, desk, desk.write(invite_all), 201)


def _refuse_taken(connection: Connection, some: Sequence[str]) -> None:
    """All that stand in the way, so that one look at the list is enough."""
    keys = Counter(accounts.key(name) for name in some)
    here = [name for name in dict.fromkeys(some) if accounts.named(connection, name)]
    twice = [name for key, name in {accounts.key(name): name for name in some}.items() if keys[key] > 1]
    told = [f"{why}: {', '.join(who)}" for who, why in ((twice, "twice in the list"), (here, "taken")) if who]
    if told:
        raise StoreError(f"names: {'; '.join(told)}. Nobody was invited yet")


@router.post("/manage/people/{labeler}/invite")
def invite(request: Request, desk: Here, who: Who, labeler: str):
    """The link is shown once, on the answer to this very request: nobody can look it up later."""
    account = somebody(desk, who, labeler)
    return _page(request, desk, [(account, desk.write(let_know, account, desk.now(), who))], 201)


@router.post("/manage/people/{labeler}")
def change(
    desk: Here, who: Who, labeler: str, role: Annotated[Role | None, Form()] = None,
    group: Annotated[Group | None, Form()] = None, state: Annotated[Literal["active", "closed"] | None, Form()] = None,
    skills: Annotated[str | None, Form(max_length=2000), Plain] = None,
    name: Annotated[str | None, Form(max_length=100), Plain] = None,
):  # fmt: skip
    """What is sent and differs."""
    now = somebody(desk, who, labeler)
    sent = {"role": role, "group": group, "state": state, "name": name}
    values = {key: value for key, value in sent.items() if value is not None and value != getattr(now, key)}
    if role is not None and "role" in values:
        may_make(who, role)

    def put(connection: Connection) -> None:
        if skills is not None and skills_of(skills) != now.skills:
            accounts.give_skills(connection, labeler, skills_of(skills), desk.now(), who.labeler)
        if values:
            accounts.change(connection, labeler, desk.now(), who.labeler, **values)

    desk.write(put)
    many = len(desk.read(accounts.everyone)) > ROWS  # then back to this one
    return done(f"/manage/people?q={quote(labeler)}" if many else "/manage/people", "changed")
