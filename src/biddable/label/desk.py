"""What every handler needs: the store, its one writer, the clock, the pages; and who is asking."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import jinja2
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from sqlalchemy import Connection

from biddable.label import access
from biddable.label.notice import NOTICES
from biddable.records import digest
from biddable.store import Store
from biddable.store.accounts import Account
from biddable.store.writer import Writer

HERE = Path(__file__).parent
T = TypeVar("T")
ROOMS = (
    ("/manage", "Jobs"),
    ("/manage/prompts", "Prompts"),
    ("/manage/people", "People"),
    ("/manage/guidelines", "Guidelines"),
    ("/manage/screening", "Screening"),
    ("/manage/quality", "Quality"),
    ("/manage/checks", "Checks"),
    ("/manage/review", "Review"),
    ("/manage/pay", "Time and pay"),
    ("/manage/plan", "Plan"),
    ("/manage/data", "Data"),
    ("/manage/history", "History"),
)


@dataclass(frozen=True)
class Desk:
    store: Store
    writer: Writer
    readers: ThreadPoolExecutor
    pages: jinja2.Environment
    secure: bool  # behind TLS: cookies are for it alone
    practice: bool = False  # nothing is kept, and every page says so
    url: str | None = None  # how links to us begin, where it is not as we are asked

    def now(self) -> datetime:
        return self.store.clock()

    def read(self, query: Callable[..., T], *more: Any, **words: Any) -> T:
        with self.store.reading() as connection:
            return query(connection, *more, **words)

    def write(self, change: Callable[..., T], *more: Any, **words: Any) -> T:
        """Done and on disk when this returns."""
        return self.writer.do(lambda connection: change(connection, *more, **words))

    def page(self, request: Request, name: str, status: int = 200, /, **values: Any) -> HTMLResponse:
        account = getattr(request.state, "account", None)
        did = NOTICES.get(request.query_params.get("did", ""))
        rooms = [room for room in ROOMS if access.may(account, "GET", room[0])]
        common = {"request": request, "account": account, "did": did, "rooms": rooms, "practice": self.practice}
        text = self.pages.get_template(name).render(common | values)
        return HTMLResponse(text, status)


def _stamp() -> str:
    """A name of all static files as they are: it changes with them, so that a browser may keep them for ever. It stands
    in front of their names, so that what one of them imports from beside it bears it too."""
    files = sorted((HERE / "static").iterdir())
    return digest(*(part for path in files for part in (path.name, path.read_text(encoding="utf-8"))))


STATIC = f"/static/{_stamp()}"
IMPORTED = re.compile(r'^import .* from "\./(.+)";$', re.MULTILINE)


@cache
def _script(name: str) -> Markup:
    """A script and all that it imports, asked for at once: a browser finds out of what imports what only as each comes,
    and of a board that would be five rounds."""
    needed = [name]
    for one in needed:
        text = (HERE / "static" / one).read_text(encoding="utf-8")
        needed += [other for other in IMPORTED.findall(text) if other not in needed]
    ahead = Markup("").join(Markup('<link rel="modulepreload" href="{}/{}">').format(STATIC, one) for one in needed[1:])
    return ahead + Markup('<script type="module" src="{}/{}"></script>').format(STATIC, name)


def pages() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(HERE / "templates")
    made = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    made.lstrip_blocks = True
    names = {path.name: f"{STATIC}/{path.name}" for path in (HERE / "static").iterdir()}
    made.filters["static"] = names.__getitem__
    made.filters["script"] = _script
    return made


# async, so that they run where they are asked for: a thread for each would take longer than they do.
async def _desk(request: Request) -> Desk:
    return request.app.state.desk


async def _account(request: Request) -> Account:
    """Who asks. Only for routes that are not open to everyone: `access.admit` has let them in."""
    account = request.state.account
    assert account is not None
    return account


Here = Annotated[Desk, Depends(_desk)]
Who = Annotated[Account, Depends(_account)]
Query = Callable[[Connection], T]
