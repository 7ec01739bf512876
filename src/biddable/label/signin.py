"""Coming in and going out: passwords, invitations, sessions."""

import threading
import time
from collections import deque
from typing import Annotated

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import AfterValidator

from biddable.label import weak
from biddable.label.access import cookie
from biddable.label.desk import Desk, Here
from biddable.store import StoreError, accounts

router = APIRouter()

HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)  # OWASP's least for argon2id
NOBODY = HASHER.hash("nobody has this account")  # so that an unknown name takes as long as a wrong password
AT_ONCE = threading.Semaphore(4)  # a flood of sign-ins must leave a core for the people at work

Name = Annotated[str, Form(max_length=100, pattern=r"^[^\x00]*$"), AfterValidator(str.strip)]  # a phone adds a space
Password = Annotated[str, Form(max_length=1000)]


class Patience:
    """At most `most` tries a minute under one key."""

    def __init__(self, most: int) -> None:
        self.most, self._lock = most, threading.Lock()
        self._tries: dict[str, deque[float]] = {}  # in the order of the last tries

    def lost(self, key: str) -> bool:
        now = time.monotonic()
        with self._lock:
            # Only those that count no more go: a flood of names must not wash one away. They stand in front, so that a
            # flood is not looked through at each of its tries.
            while self._tries and (oldest := next(iter(self._tries.items())))[1][-1] < now - 60:
                del self._tries[oldest[0]]
            tries = self._tries[key] = self._tries.pop(key, deque())
            while tries and tries[0] < now - 60:
                tries.popleft()
            tries.append(now)
            return len(tries) > self.most

    def forgive(self, key: str) -> None:
        """The last try was right, and counts for nothing: a whole team comes in from one office's address."""
        with self._lock:
            tries = self._tries.get(key)
            if tries:
                tries.pop()
            if not tries:
                self._tries.pop(key, None)


def right(password: str, kept: str | None) -> bool:
    with AT_ONCE:
        try:
            return HASHER.verify(kept or NOBODY, password) and kept is not None
        except (VerifyMismatchError, InvalidHashError):
            return False


def hash_password(password: str) -> str:
    with AT_ONCE:
        return HASHER.hash(password)


def _within(to: str) -> str:
    """A page of ours, and never another site's (`//evil`, `/\\evil`)."""
    return to if to.startswith("/") and not to.startswith(("//", "/\\")) else "/"


def let_in(desk: Desk, labeler: str, to: str) -> Response:
    token = desk.write(accounts.open_door, labeler, "session", desk.now())
    answer = RedirectResponse(_within(to), 303)
    lasts = int(accounts.LASTS["session"].total_seconds())
    name = cookie(desk.secure)
    answer.set_cookie(name, token, lasts, path="/", secure=desk.secure, httponly=True, samesite="lax")
    return answer


@router.get("/sign-in")
def sign_in_page(request: Request, desk: Here, to: str = "/"):
    owned = desk.read(accounts.has_owner)
    return desk.page(request, "sign_in.html", to=_within(to), error=None, owned=owned)


@router.post("/sign-in")
def sign_in(request: Request, desk: Here, name: Name, password: Password, to: Annotated[str, Form()] = "/"):
    caller = request.client.host if request.client else ""
    if request.app.state.by_address.lost(caller) or request.app.state.by_name.lost(accounts.key(name)):
        return desk.page(
            request, "sign_in.html", 429, to=to, owned=True, error="Too many tries. Wait a minute, then try again."
        )
    account = desk.read(accounts.named, name)
    if not right(password, account.password if account and account.state == "active" else None):
        return desk.page(
            request, "sign_in.html", 401, to=to, owned=True, error="This name and this password are not a pair."
        )
    assert account is not None
    request.app.state.by_address.forgive(caller)
    request.app.state.by_name.forgive(accounts.key(name))
    return let_in(desk, account.labeler, to)


@router.post("/sign-out")
def sign_out(request: Request, desk: Here):
    token = request.cookies.get(cookie(desk.secure))
    if token:
        desk.write(accounts.end, token, desk.now())
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(cookie(desk.secure), path="/", secure=desk.secure, httponly=True)
    return answer


@router.get("/join/{token}")
def join_page(request: Request, desk: Here, token: str):
    account = desk.read(accounts.holder, token, "invite", desk.now())
    return desk.page(request, "join.html", 200 if account else 404, invited=account, error=None)


@router.post("/join/{token}")
def join(request: Request, desk: Here, token: str, password: Password):
    caller = request.client.host if request.client else ""
    if request.app.state.by_address.lost(caller):
        return desk.page(request, "join.html", 429, invited=None, error="Too many tries. Wait a minute.")
    invited = desk.read(accounts.holder, token, "invite", desk.now())
    try:
        weak.refuse(password, invited.name if invited else "")
        account = desk.write(accounts.join, token, hash_password(password), desk.now())
    except StoreError as error:
        return desk.page(request, "join.html", 400, invited=invited, error=str(error))
    request.app.state.by_address.forgive(caller)
    return let_in(desk, account.labeler, "/")
