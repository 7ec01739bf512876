"""The history as a page: who did what and when, and whether the chain that holds it together is whole."""

from fastapi import APIRouter, Request

from biddable.label.counted import Counts
from biddable.label.desk import Here
from biddable.label.fields import Number, Text
from biddable.store import accounts, history, verify

router = APIRouter()

ROWS = 100


@router.get("/manage/history")
def page(
    request: Request,
    desk: Here,
    counts: Counts,
    before: Number = 0,
    what: Text = "",
    who: Text = "",
    check: bool = False,
):
    found = desk.read(history.lines, before, what, who, ROWS)
    names = {one.labeler: one.name for one in desk.read(accounts.everyone)}
    number, newest = desk.read(history.newest)
    kinds = counts.get("history kinds", lambda: desk.read(history.kinds), desk.now(), fresh=600)
    checked = counts.get("history", lambda: desk.read(verify.verify), desk.now(), fresh=30) if check else None
    return desk.page(
        request, "history.html", lines=found, names=names, number=number, newest=newest, what=what, who=who, rows=ROWS,
        check=check, checked=checked, kinds=kinds.value if kinds else [],
    )  # fmt: skip
