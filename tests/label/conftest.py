"""A real server on a real port, and people who are signed in to it."""

import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from biddable.label import app as application
from biddable.label import create_app, desk
from biddable.records import Completion, Group, Prompt
from biddable.store import accounts, open_store
from biddable.store.accounts import Account, Role
from biddable.store.keeper import now

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

import served
from moulds import Moulds, spared_the_disk


@pytest.fixture(scope="session")
def moulds(tmp_path_factory: pytest.TempPathFactory) -> Moulds:
    return Moulds(tmp_path_factory.mktemp("moulds"))


@pytest.fixture
def where(tmp_path: Path, moulds: Moulds) -> str:
    """Where an empty store is."""
    return moulds.file(tmp_path / "store.db")


# Of the module, and not of the session: the store's own tests see that it does wait.
@pytest.fixture(scope="module", autouse=True)
def spared() -> Iterator[None]:
    with spared_the_disk():
        yield


@pytest.fixture(scope="session", autouse=True)
def house() -> Iterator[None]:
    """A program makes its pages' templates once, however many apps these tests make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(application, "pages", functools.cache(desk.pages))
        yield
        served.see_off()


@pytest.fixture
def app(where: str):
    return create_app(where)


class Clock:
    """Where an app is made with it, it goes `ahead` of the true time as far as a test says."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return now() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def url(app) -> Iterator[str]:
    with served.serving(app, stay=False) as address:
        yield address


@pytest.fixture
def store(app, url):
    """Of the app that serves."""
    return app.state.desk.store


@pytest.fixture
def person(url: str, app) -> Iterator[Callable[..., tuple[httpx2.Client, Account]]]:
    """person("ann", "labeler", "training"): somebody who is signed in, and their account. Passwords cost a tenth of
    a second each, so sessions are opened in the store; test_signin signs in as people do."""
    clients = []

    def make(name: str, role: Role = "labeler", group: Group = "training") -> tuple[httpx2.Client, Account]:
        desk = app.state.desk
        account = desk.write(accounts.make, name, role, group, desk.now())
        token = desk.write(accounts.open_door, account.labeler, "session", desk.now())
        client = served.client_of(url, cookies={"biddable": token})
        clients.append(client)
        return client, account

    yield make
    for client in clients:
        client.close()


PROMPTS = [Prompt(id=f"p{n}", text=f"say *{n}* kindly", use_case="generation", split="train") for n in range(6)]
ANSWERS = [
    Completion(id=f"{one.id}-{letter}", prompt_id=one.id, text=f"answer {letter} to {one.id}", run_id=f"run-{letter}")
    for one in PROMPTS
    for letter in "abcd"
]


@pytest.fixture
def filled(where: str) -> None:
    with open_store(where) as store:
        store.add_many([*PROMPTS, *ANSWERS])


# A real browser.

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
)  # it goes nowhere but to us


PATIENCE = 60_000  # milliseconds; a machine that does much else at once is slow, not wrong
expect.set_options(timeout=PATIENCE)


def chromium() -> str:
    named = os.environ.get("BIDDABLE_CHROMIUM")
    found = named or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("there is no Chromium; `apt-get install chromium`, or name one in BIDDABLE_CHROMIUM")
    return found


# Of the module: while it runs, its loop is this thread's, and no other runs beside it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        one = play.chromium.launch(executable_path=chromium(), args=list(QUIET))
        yield one
        one.close()


@pytest.fixture
def window(url: str, person, browser: Browser) -> Iterator[Callable[..., Page]]:
    """window("ann") is a page of a browser in which Ann is signed in. A script that fails there fails the test."""
    opened, faults = [], []

    def open_one(name: str, role: Role = "labeler", group: Group = "training", **words) -> Page:
        client, _ = person(name, role, group)
        context = browser.new_context(base_url=url, **({"viewport": {"width": 1280, "height": 900}} | words))
        context.set_default_timeout(PATIENCE)
        context.add_cookies([{"name": "biddable", "value": client.cookies["biddable"], "url": url}])
        page = context.new_page()
        context.on("weberror", lambda fault: faults.append(str(fault.error)))
        opened.append(context)
        return page

    yield open_one
    for context in opened:
        context.close()
    assert not faults
