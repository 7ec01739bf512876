"""The app as people meet it: uvicorn on a real port."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
import uvicorn

# Whose certificates a client trusts. To read the list anew for each client takes longer than most of what they ask.
TRUST = ssl.create_default_context()

T = TypeVar("T")
_leaving: list[threading.Thread] = []


def client_of(url: str = "", **words) -> httpx2.Client:
    return httpx2.Client(base_url=url, verify=TRUST, **({"timeout": 60} | words))


def alone(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in a thread of its own: a browser that is open has its loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@contextmanager
def serving(app, stay: bool = True) -> Iterator[str]:
    """The address of the app, served by uvicorn in a thread. Whoever does not `stay` goes on while it shuts down, which
    takes it a fifth of a second of waiting; the next to leave sees that it did."""
    # Said to be TCP, as `biddable label` says it: else each answer on a kept connection waits 40 ms.
    door = socket.socket(proto=socket.IPPROTO_TCP)
    door.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", server_header=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
    thread.start()
    try:
        until = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < until, "the server did not start in 30 s"
            time.sleep(0.01)
        yield f"http://localhost:{door.getsockname()[1]}"
    finally:
        server.should_exit = True
        see_off()
        _leaving.append(thread)
        if stay:
            see_off()


def see_off() -> None:
    """Wait for the servers that shut down."""
    while _leaving:
        thread = _leaving.pop()
        thread.join(30)
        assert not thread.is_alive(), "a server did not shut down in 30 s"


def settled(client, path: str) -> str:
    """A page whose figures are counted beside it, when they are there."""
    for _ in range(100):
        page = client.get(path)
        assert page.status_code == 200, page.text
        if "Reload in a moment" not in page.text:
            return page.text
    raise AssertionError(f"{path}: never counted")
