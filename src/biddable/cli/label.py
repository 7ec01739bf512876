"""The verb that serves the labeling app."""

import contextlib
import gc
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from biddable.cli import project
from biddable.cli.project import say, warn
from biddable.config import ConfigError

EVERYWHERE = ("0.0.0.0", "::")  # all addresses of this machine


def label(
    host: Annotated[
        str, typer.Option(help="The address to listen on; others than this machine's need an owner.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy in front speaks HTTPS: cookies are for it alone.")
    ] = False,
    practice: Annotated[
        bool, typer.Option("--practice", help="Try it: a store of its own with something to do, gone afterwards.")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(
            help="The address by which people reach it, for the links that it makes; https:// means --behind-proxy."
        ),
    ] = None,
    owner_link: Annotated[
        bool,
        typer.Option("--owner-link", help="Print a link for an owner who forgot the password; serve nothing."),
    ] = False,
) -> None:
    """Serve the labeling app: people write, judge, rank and compare in their browsers.

    The first time it prints a link by which the owner joins. Example: `biddable label --port 8080`; to look around,
    `biddable label --practice`
    """
    there = None if practice else _project()  # before what takes seconds to load
    try:
        import uvicorn  # noqa: F401 (to say in one line what is not installed)

        import biddable.label  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(f"the labeling app needs {error.name}; pip install 'biddable[label]'") from error
    url = url and _public(url)
    if owner_link:
        _link_for_owner(there or _project(), url or _address("localhost" if host in EVERYWHERE else host, port))
        return
    with contextlib.ExitStack() as kept:
        here = there or _practice(kept)
        _serve(here, host, port, behind_proxy or (url or "").startswith("https:"), practice, url)


def _project() -> project.Project:
    here = project.look()
    if here is None:
        raise ConfigError(
            f"no {project.NAME} in this folder or above it; make a project with `biddable init DIR` and label in it, "
            "or look around first with `biddable label --practice`"
        )
    return here


def _practice(kept: contextlib.ExitStack) -> project.Project:
    from biddable.label.practice import set_up

    aside = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="biddable-practice-")))
    here = project.Project(aside, str(aside / "store.db"))
    with project.open_store(here) as store:
        set_up(store)
    say("practice: answers are made by rule, people called hamlet are simulated, and all is gone when this stops")
    return here


def _serve(
    here: project.Project, host: str, port: int, behind_proxy: bool, practice: bool, url: str | None
) -> None:  # fmt: skip
    import uvicorn

    from biddable.label import create_app
    from biddable.label.guard import loopback

    # An exception would be lost where one is dropped (a finaliser, say), and the server go on serving.
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    address = _listen(host, port)
    _owner(here, host, url or _address(host, address.getsockname()[1]), behind_proxy)
    # A page of another site can have its name lead here; then its own name still stands in what it asks.
    named = {"localhost", "127.0.0.1", "::1", host, urlsplit(url or "").hostname or host}
    hosts = frozenset(named) if loopback(host) and not behind_proxy else None
    if not behind_proxy and not loopback(host):
        warn(
            f"--host {host}: passwords travel unencrypted; put an HTTPS proxy in front, with --behind-proxy (or --url "
            "https://…)"
        )
    app = create_app(here.store, secure=behind_proxy, hosts=hosts, practice=practice, url=url)
    # Of a proxy elsewhere than on this machine, FORWARDED_ALLOW_IPS says the address; anybody else could lie.
    settings = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, proxy_headers=behind_proxy
    )
    server = uvicorn.Server(settings)
    _settle()
    signal.signal(signal.SIGTERM, server.handle_exit)
    server.should_exit = stopped.is_set()
    with contextlib.suppress(KeyboardInterrupt):  # raised again when all who were being served have been
        server.run(sockets=[address])


def _settle() -> None:
    """What is loaded by now stays for ever: looking through it for garbage again and again took a quarter of the
    server's time under load, in pauses that people wait for."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Said to be TCP, asyncio lets what is small go out at once; else each answer on a kept connection waits 40 ms.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        raise ConfigError(f"{host}:{port}: cannot listen there: {error.strerror}; say --port another") from error
    return made


def _owner(here: project.Project, host: str, at: str, behind_proxy: bool) -> None:
    """Whose house this is. Without an owner only this very machine may knock."""
    from biddable.label.guard import loopback
    from biddable.store import accounts

    with project.open_store(here) as store:
        with store.reading() as connection:
            owned = accounts.has_owner(connection)
        if owned:
            say(f"labeling at {at} (Ctrl-C stops it; nothing is lost)")
            return
        if behind_proxy or not loopback(host):
            raise ConfigError(
                f"--host {host}: there is no owner yet, and whoever came first would be it; "
                "run `biddable label` without --host once, join by its link, then come back"
            )
        with store.writing() as connection:
            now = store.clock()
            made = accounts.named(connection, "owner") or accounts.make(connection, "owner", "owner", "researcher", now)
            accounts.end_all(connection, made.labeler, now)
            invite = accounts.open_door(connection, made.labeler, "invite", now)
    say(f"labeling at {at}; open this link, good for one use, to become its owner:\n\n    {at}/join/{invite}\n")


def _link_for_owner(here: project.Project, at: str) -> None:
    """For who forgot the password, and has nobody to ask: whoever has this machine has the store in any case."""
    from biddable.store import accounts

    with project.open_store(here) as store, store.writing() as connection:
        everyone = accounts.everyone(connection)
        owners = [one for one in everyone if one.role == "owner" and one.state == "active" and one.password]
        if not owners:
            raise ConfigError("there is no owner yet; `biddable label` prints the link by which the first one joins")
        invite = accounts.open_door(connection, owners[0].labeler, "invite", store.clock())
    say(
        f"a new password for {owners[0].name}, by this link, good for one use within three days, while "
        f"`biddable label` serves (say --host, --port and --url as there):\n\n    {at}/join/{invite}\n"
    )


def _public(url: str) -> str:
    """As links begin: a scheme and a host."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ConfigError(f"--url {url}: is not like https://label.example.org")
    return f"{parts.scheme}://{parts.netloc}"


def _address(host: str, port: int) -> str:
    """Where others find it. All of a machine's addresses are none that a browser knows: its name is, or one of them."""
    if host in EVERYWHERE:
        return " or ".join(
            f"http://{name}:{port}" for name in dict.fromkeys((socket.gethostname(), _outward())) if name
        )
    return f"http://{'localhost' if host == '127.0.0.1' else f'[{host}]' if ':' in host else host}:{port}"


def _outward() -> str | None:
    """This machine's address on the way to others. Nothing is sent: a UDP socket only looks up its way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # of a net that is nobody's (RFC 5737)
            return asked.getsockname()[0]
        except OSError:
            return None
