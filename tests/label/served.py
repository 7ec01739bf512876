"""The app as people meet it: uvicorn on a real port."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn


@contextmanager
def serving(app) -> Iterator[str]:
    """The address of the app, served by uvicorn in a thread."""
    door = socket.socket()
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
        thread.join(30)
        door.close()


def settled(client, path: str) -> str:
    """A page whose figures are counted beside it, when they are there."""
    for _ in range(100):
        page = client.get(path)
        assert page.status_code == 200, page.text
        if "Reload in a moment" not in page.text:
            return page.text
    raise AssertionError(f"{path}: never counted")
