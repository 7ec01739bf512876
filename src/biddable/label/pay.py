"""Time and pay: what each was active, what it is worth, and the same as a table for whoever pays."""

import csv
import io
import re
from datetime import UTC, date, timedelta
from typing import Literal, NamedTuple

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from biddable.label.counted import Counts
from biddable.label.desk import Desk, Here
from biddable.store import accounts, jobs, pay, work
from biddable.store.pay import Line

router = APIRouter()

HEAD = ("labeler", "name", "day", "job", "title", "tasks", "active_minutes", "paid_minutes", "hourly", "pay")


class Month(NamedTuple):
    first: date
    last: date

    @property
    def name(self) -> str:
        return f"{self.first:%Y-%m}"

    def moved(self, months: int) -> str:
        at = self.first.year * 12 + self.first.month - 1 + months
        return f"{at // 12:04}-{at % 12 + 1:02}"


def month_of(desk: Desk, name: str) -> Month:
    """YYYY-MM, or this one."""
    today = desk.now().astimezone(UTC).date()
    if not name:
        name = f"{today:%Y-%m}"
    if not re.fullmatch(r"2\d{3}-(0[1-9]|1[0-2])", name):
        raise HTTPException(400, f"month: {name[:20]!r} is not like 2026-11")
    first = date.fromisoformat(f"{name}-01")
    return Month(first, (first + timedelta(days=32)).replace(day=1) - timedelta(days=1))


class Total(NamedTuple):
    labeler: str
    days: int
    tasks: int
    active: float
    paid: float
    pay: float


def totals(lines: list[Line]) -> list[Total]:
    people = sorted({line.labeler for line in lines})
    return [
        Total(
            who, len({line.day for line in mine}), sum(line.tasks for line in mine), sum(line.active for line in mine),
            sum(line.paid for line in mine), round(sum(line.pay for line in mine), 2),
        )
        for who in people
        for mine in ([line for line in lines if line.labeler == who],)
    ]  # fmt: skip


@router.get("/manage/pay")
def page(request: Request, desk: Here, counts: Counts, month: str = "", count: Literal["now"] | None = None):
    which = month_of(desk, month)

    def all_of_it() -> tuple[list[Total], dict[str, float]]:
        return totals(desk.read(pay.sheet, *which)), desk.read(pay.by_clock, *which)

    found = counts.get(f"pay {which.name}", all_of_it, desk.now(), at_once=count == "now")
    names = {one.labeler: one.name for one in desk.read(accounts.everyone)}
    return desk.page(request, "pay.html", month=which, found=found, names=names, most=work.UNWATCHED)


@router.get("/manage/pay.csv")
def sheet(desk: Here, month: str = ""):
    which = month_of(desk, month)
    names = {one.labeler: one.name for one in desk.read(accounts.everyone)}
    titles = {job.id: job.title for job in desk.read(jobs.all_of)}
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(
        ["labeler", "name", "day", "job", "title", "tasks", "active_minutes", "paid_minutes", "hourly", "pay"]
    )
    for line in desk.read(pay.sheet, *which):
        money = (f"{line.active:.2f}", f"{line.paid:.2f}", f"{line.hourly:.2f}", f"{line.pay:.2f}")
        who = (line.labeler, _plain(names.get(line.labeler, "")), line.day.isoformat())
        table.writerow([*who, line.job, _plain(titles.get(line.job, "")), line.tasks, *money])
    name = f'attachment; filename="pay-{which.name}.csv"'
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers={"content-disposition": name})


def _plain(text: str) -> str:
    """A spreadsheet takes what begins with these for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
