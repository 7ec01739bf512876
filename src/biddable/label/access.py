"""Who may do what: one table. A route that does not stand in it makes the app refuse to start."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException, Request
from starlette.routing import Route

from biddable.store import accounts
from biddable.store.accounts import ROLES, Account, Role

Allowed = frozenset[Role] | None  # nothing: everyone, signed in or not

EVERYONE: Allowed = None
PEOPLE: Allowed = frozenset(ROLES)
WORKERS: Allowed = frozenset({"owner", "manager", "adjudicator", "labeler", "service"})
MANAGERS: frozenset[Role] = frozenset({"owner", "manager"})
REVIEWERS: Allowed = frozenset({"owner", "manager", "adjudicator"})
OVERSEERS: Allowed = frozenset({"owner", "manager", "auditor"})  # what is between a team and each of its people: pay
READERS: Allowed = frozenset({"owner", "manager", "adjudicator", "auditor"})

ACCESS: dict[tuple[str, str], Allowed] = {
    ("GET", "/sign-in"): EVERYONE,
    ("POST", "/sign-in"): EVERYONE,
    ("GET", "/join/{token}"): EVERYONE,
    ("POST", "/join/{token}"): EVERYONE,
    ("POST", "/sign-out"): PEOPLE,
    ("GET", "/password"): PEOPLE,
    ("POST", "/password"): PEOPLE,
    ("GET", "/health"): EVERYONE,
    ("GET", "/openapi.json"): READERS,
    ("GET", "/"): PEOPLE,
    ("GET", "/work"): WORKERS,
    ("GET", "/work/{task}"): WORKERS,
    ("POST", "/work/{task}"): WORKERS,
    ("POST", "/work/{task}/leave"): WORKERS,
    ("POST", "/work/{task}/preview"): WORKERS,
    ("GET", "/guidelines"): PEOPLE,
    ("GET", "/api/me"): PEOPLE,
    ("POST", "/api/claim"): WORKERS,
    ("GET", "/api/tasks/{task}"): WORKERS,
    ("PUT", "/api/tasks/{task}/draft"): WORKERS,
    ("POST", "/api/tasks/{task}/beat"): WORKERS,
    ("POST", "/api/tasks/{task}/answer"): WORKERS,
    ("POST", "/api/tasks/{task}/leave"): WORKERS,
    ("GET", "/guidelines/{version}"): PEOPLE,
    ("GET", "/manage"): READERS,
    ("GET", "/manage/prompts"): READERS,
    ("GET", "/manage/prompts/one"): READERS,
    ("POST", "/manage/prompts/paste"): MANAGERS,
    ("POST", "/manage/prompts/file"): MANAGERS,
    ("POST", "/manage/prompts/one/mend"): MANAGERS,
    ("POST", "/manage/prompts/one/out"): MANAGERS,
    ("POST", "/manage/prompts/one/close"): MANAGERS,
    ("GET", "/manage/people"): READERS,
    ("POST", "/manage/people"): MANAGERS,
    ("POST", "/manage/people/many"): MANAGERS,
    ("POST", "/manage/people/{labeler}"): MANAGERS,
    ("POST", "/manage/people/{labeler}/invite"): MANAGERS,
    ("GET", "/manage/guidelines"): READERS,
    ("POST", "/manage/guidelines"): MANAGERS,
    ("POST", "/manage/jobs"): MANAGERS,
    ("GET", "/manage/jobs/new"): MANAGERS,
    ("GET", "/manage/jobs/{job}"): READERS,
    ("POST", "/manage/jobs/{job}/settings"): MANAGERS,
    ("POST", "/manage/jobs/{job}/state"): MANAGERS,
    ("POST", "/manage/jobs/{job}/fill"): MANAGERS,
    ("POST", "/manage/jobs/{job}/checks"): MANAGERS,
    ("GET", "/manage/tasks/{task}"): READERS,
    ("POST", "/manage/tasks/{task}/read"): MANAGERS,
    ("POST", "/manage/tasks/{task}/out"): MANAGERS,
    ("POST", "/manage/tasks/{task}/back"): MANAGERS,
    ("POST", "/manage/tasks/{task}/seen"): MANAGERS,
    ("GET", "/manage/screening"): READERS,
    ("POST", "/manage/screening"): MANAGERS,
    ("POST", "/manage/screening/decide/{labeler}"): MANAGERS,
    ("GET", "/manage/screening/rate"): REVIEWERS,
    ("POST", "/manage/screening/rate/{answer}"): REVIEWERS,
    ("GET", "/manage/surveys"): READERS,
    ("GET", "/manage/quality"): READERS,
    ("GET", "/manage/checks"): READERS,
    ("POST", "/manage/checks/retire"): MANAGERS,
    ("GET", "/manage/review"): READERS,
    ("GET", "/manage/review/{task}"): REVIEWERS,
    ("POST", "/manage/review/{task}/blind"): REVIEWERS,
    ("POST", "/manage/review/{task}/final"): REVIEWERS,
    ("GET", "/manage/pay"): OVERSEERS,
    ("GET", "/manage/pay.csv"): OVERSEERS,
    ("GET", "/manage/plan"): READERS,
    ("GET", "/manage/data"): READERS,
    ("GET", "/manage/data/{what}.jsonl"): MANAGERS,
    ("POST", "/manage/data/import"): MANAGERS,
    ("GET", "/manage/history"): READERS,
    ("GET", "/screening"): PEOPLE,
    ("POST", "/screening/topics"): WORKERS,
    ("GET", "/consent"): PEOPLE,
    ("POST", "/consent"): WORKERS,
    ("GET", "/surveys"): WORKERS,
    ("POST", "/surveys/satisfaction"): WORKERS,
    ("POST", "/surveys/people"): WORKERS,
    ("GET", "/mine"): WORKERS,
    ("GET", "/api/people"): READERS,
    ("POST", "/api/people"): MANAGERS,
    ("POST", "/api/people/{labeler}/invite"): MANAGERS,
    ("PATCH", "/api/people/{labeler}"): MANAGERS,
    ("POST", "/api/jobs"): MANAGERS,
    ("PATCH", "/api/jobs/{job}"): MANAGERS,
    ("POST", "/api/guidelines"): MANAGERS,
}

COOKIE = "biddable"
AUTHOR = "x-labeler"  # whose page a script asks from: two people in one browser have one cookie


def may(account: Account | None, method: str, path: str) -> bool:
    allowed = ACCESS.get((method, path), frozenset())
    return allowed is None or (account is not None and account.role in allowed)


def cookie(secure: bool) -> str:
    """Behind TLS a browser itself keeps the cookie from other hosts and from plain HTTP."""
    return f"__Host-{COOKIE}" if secure else COOKIE


def routes(*served: Any) -> Iterator[tuple[str, str]]:
    """Every method and path of an app and its routers."""
    for route in (route for one in served for route in one.routes):
        if isinstance(route, Route):
            for method in sorted(route.methods or ()):
                if method != "HEAD":
                    yield method, route.path


def check(*served: Any) -> None:
    """Each route stands in the table, and the table names no other."""
    found = set(routes(*served))
    missing = sorted(found - ACCESS.keys())
    if missing:
        raise RuntimeError(f"{missing}: not in the table of access; say there who may")
    unknown = sorted(ACCESS.keys() - found)
    if unknown:
        raise RuntimeError(f"{unknown}: in the table of access, and no such route")


def admit(request: Request) -> None:
    """Runs before every handler: finds out who asks, and whether they may."""
    account = account_of(request)
    if account is not None and request.headers.get(AUTHOR, account.labeler) != account.labeler:
        account = None  # a page of somebody who was signed in here before
    request.state.account = account
    path = request.scope["route"].path
    if may(account, "GET" if request.method == "HEAD" else request.method, path):
        return
    if account is not None:
        raise HTTPException(403, "this is not yours to see or do")
    if path.startswith("/api/"):
        raise HTTPException(401, "sign in first")
    raise HTTPException(303, headers={"Location": f"/sign-in?to={quote(request.url.path)}"})


def account_of(request: Request) -> Account | None:
    desk = request.app.state.desk
    bearer = request.headers.get("authorization", "")
    if bearer.startswith("Bearer "):
        return desk.read(accounts.holder, bearer.removeprefix("Bearer "), "service", desk.now())
    token = request.cookies.get(cookie(desk.secure))
    return desk.read(accounts.holder, token, "session", desk.now()) if token else None
