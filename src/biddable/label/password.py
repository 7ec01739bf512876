"""One's own password: who knows the old one sets a new one, and is signed in nowhere else afterwards."""

from fastapi import APIRouter, Request

from biddable.label import weak
from biddable.label.desk import Here, Who
from biddable.label.signin import Password, hash_password, let_in, right
from biddable.store import StoreError, accounts

router = APIRouter()


@router.get("/password")
def page(request: Request, desk: Here):
    return desk.page(request, "password.html", error=None)


@router.post("/password")
def change(request: Request, desk: Here, account: Who, old: Password, password: Password):
    def again(status: int, error: str):
        return desk.page(request, "password.html", status, error=error)

    name = accounts.key(account.name)
    if request.app.state.by_name.lost(name):  # whoever finds a browser open must not guess its password
        return again(429, "Too many tries. Wait a minute, then try again.")
    if not right(old, account.password):
        return again(400, "This is not your password of now.")
    try:
        weak.refuse(password, account.name)
        hashed = hash_password(password)
    except StoreError as error:
        return again(400, str(error))
    request.app.state.by_name.forgive(name)
    desk.write(accounts.change, account.labeler, desk.now(), account.labeler, password=hashed)
    return let_in(desk, account.labeler, "/?did=password")
