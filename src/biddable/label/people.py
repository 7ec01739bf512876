"""The people's page: who is here, inviting somebody, their role and group, closing an account."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from biddable.label.desk import Desk, Here, Who
from biddable.label.fields import Plain
from biddable.label.manage import may_make, somebody
from biddable.label.notice import done
from biddable.records import Group
from biddable.store import accounts
from biddable.store.accounts import Account, Role

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
    "service": "a program",
}


@router.get("/manage/people")
def page(request: Request, desk: Here):
    return _page(request, desk)


def _page(request: Request, desk: Desk, invited: tuple[Account, str] | None = None, status: int = 200) -> Response:
    people = desk.read(accounts.everyone)
    link = f"{str(request.base_url).rstrip('/')}{invited[1]}" if invited else None
    return desk.page(
        request, "people.html", status, people=people, invited=invited and invited[0], link=link, groups=GROUPS,
        roles=ROLES, hours=int(accounts.LASTS["invite"].total_seconds() // 3600),
    )  # fmt: skip


@router.post("/manage/people")
def add(
    request: Request, desk: Here, who: Who, name: Annotated[str, Form(max_length=100), Plain],
    role: Annotated[Role, Form()] = "labeler", group: Annotated[Group, Form()] = "training",
):  # fmt: skip
    may_make(who, role)
    made = desk.write(accounts.make, name.strip(), role, group, desk.now(), who.labeler)
    return _invite(request, desk, who, made)


@router.post("/manage/people/{labeler}/invite")
def invite(request: Request, desk: Here, who: Who, labeler: str):
    return _invite(request, desk, who, somebody(desk, who, labeler))


def _invite(request: Request, desk: Desk, who: Account, made: Account) -> Response:
    """The link is shown once, on the answer to this very request: nobody can look it up later."""
    token = desk.write(accounts.open_door, made.labeler, "invite", desk.now(), who.labeler)
    return _page(request, desk, (made, f"/join/{token}"), 201)


@router.post("/manage/people/{labeler}")
def change(
    desk: Here, who: Who, labeler: str, role: Annotated[Role, Form()], group: Annotated[Group, Form()],
    state: Annotated[Literal["active", "closed"], Form()],
):  # fmt: skip
    now = somebody(desk, who, labeler)
    values = {
        key: value
        for key, value, old in (("role", role, now.role), ("group", group, now.group), ("state", state, now.state))
        if value != old
    }
    if "role" in values:
        may_make(who, role)
    if values:
        desk.write(accounts.change, labeler, desk.now(), who.labeler, **values)
    return done("/manage/people", "changed")
