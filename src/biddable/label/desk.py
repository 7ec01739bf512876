"""What every handler needs: the store, its one writer, the clock, the pages; and who is asking."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import jinja2
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection

from biddable.records import digest
from biddable.store import Store
from biddable.store.accounts import Account
from biddable.store.writer import Writer

HERE = Path(__file__).parent
T = TypeVar("T")


@dataclass(frozen=True)
class Desk:
    store: Store
    writer: Writer
    readers: ThreadPoolExecutor
    pages: jinja2.Environment
    secure: bool  # behind TLS: cookies are for it alone

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
        text = self.pages.get_template(name).render(request=request, account=account, **values)
        return HTMLResponse(text, status)


def _stamp(name: str) -> str:
    """The address of a static file; it changes with its content, so that a browser may keep it for ever."""
    return f"/static/{name}?{digest((HERE / 'static' / name).read_text(encoding='utf-8'))}"


def pages() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(HERE / "templates")
    made = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    made.lstrip_blocks = True
    stamps = {path.name: _stamp(path.name) for path in (HERE / "static").iterdir()}
    made.filters["static"] = stamps.__getitem__
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
