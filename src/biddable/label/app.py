"""The application: the rooms' routes, who may use them, and what an error looks like."""

from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import anyio.to_thread
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from biddable import __version__
from biddable.label import (
    access,
    again,
    board,
    catalogue,
    data,
    guidelines,
    history,
    home,
    jobs,
    manage,
    mine,
    password,
    pay,
    people,
    plan,
    prompts,
    quality,
    review,
    screening,
    shipped,
    signin,
    surveys,
    tasks,
    work,
)
from biddable.label.counted import Counted
from biddable.label.desk import HERE, STATIC, Desk, pages
from biddable.label.guard import Guard
from biddable.store import StoreError, open_store
from biddable.store.engine import Away, Full
from biddable.store.keeper import now
from biddable.store.work import Refused, Unread
from biddable.store.writer import Writer

ROOMS = (
    signin.router, home.router, work.router, board.router, manage.router, prompts.router, catalogue.router,
    jobs.router, tasks.router,
    people.router, guidelines.router, screening.router, surveys.router, quality.router, review.router, pay.router,
    plan.router, data.router, history.router, mine.router, password.router,
)  # fmt: skip
ADMITTED = [Depends(access.admit)]
HOUSE = APIRouter(dependencies=ADMITTED)  # of all apps: what its routes take is worked out once a process
for _room in ROOMS:
    HOUSE.include_router(_room)
STATUS: dict[type[StoreError], int] = {Full: 507, Away: 503, Refused: 409}  # of what the store says; else 400
DOORS = {401, 403, 404}  # nothing that another word in the form would mend
THREADS = 64  # handlers at once; most of them wait for the disk


def create_app(
    where: str | Path, *, secure: bool = False, clock: Callable[[], datetime] = now, practice: bool = False,
    hosts: frozenset[str] | None = None, url: str | None = None,
) -> FastAPI:  # fmt: skip
    """The labeling app on the store at a path or postgresql:// URL. `secure`: it is reached over HTTPS alone;
    `practice`: every page says that nothing is kept; `hosts`: the names that it answers to, or any;
    `url`: how the links that it makes begin; else as the page is reached on which one is made."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        with (
            open_store(where, clock) as store,
            Writer(store) as writer,
            ThreadPoolExecutor(4) as readers,
        ):
            shipped.put(store)
            app.state.counted = Counted(readers)
            app.state.desk = Desk(store, writer, readers, pages(), secure, practice, url)
            yield

    app = FastAPI(
        title="biddable", version=__version__, lifespan=life, docs_url=None, redoc_url=None, openapi_url=None,
        dependencies=ADMITTED, redirect_slashes=False, routes=[*HOUSE.routes],
    )  # fmt: skip
    app.state.by_name, app.state.by_address = signin.Patience(5), signin.Patience(20)

    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> dict:
        return app.openapi()

    @app.get("/health")
    def health() -> dict:
        return {"biddable": __version__}

    app.mount(STATIC, StaticFiles(directory=HERE / "static"))
    app.add_middleware(Guard, unbounded=frozenset({prompts.UPLOAD, data.UPLOAD}), hosts=hosts)
    _say_errors(app)
    access.check(app, *ROOMS)
    return app


def _say_errors(app: FastAPI) -> None:
    """Errors as JSON to scripts, and to people as the form that was wrong, or a page; nothing of our own inside is
    shown."""

    async def say(
        request: Request, status: int, what: str, reasons: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Response:
        asks_for_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
        if not asks_for_page or status < 400:
            return JSONResponse({"detail": what}, status, headers)
        if status not in DOORS and (form := await again.page(request, status, reasons)) is not None:
            return form
        return await run_in_threadpool(page, request, status, what)

    def page(request: Request, status: int, what: str) -> Response:
        if not hasattr(request.state, "account"):  # no route, so nobody has asked who comes
            request.state.account = access.account_of(request)
        return request.app.state.desk.page(request, "error.html", status, status=status, what=what)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return await say(request, error.status_code, error.detail, again.reasons(str(error.detail)), error.headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        faults = [(fault["loc"][1:], fault["msg"].removeprefix("Value error, ")) for fault in error.errors()]
        what = "; ".join(f"{'.'.join(map(str, where))}: {why}" for where, why in faults)
        return await say(request, 422, what, {str(where[0]) if where else "": why for where, why in faults})

    @app.exception_handler(StoreError)
    async def unfit(request: Request, error: StoreError) -> Response:
        if isinstance(error, Unread) and not request.url.path.startswith("/api/"):
            return RedirectResponse("/consent", 303)
        status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 400)
        return await say(request, status, str(error), again.reasons(str(error)))
