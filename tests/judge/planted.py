"""A real OpenAI-shaped chat server with judges of planted character, and planted troubles on the way to them."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from biddable.hamlet import truth

Trouble = Callable[[int], Response | float | None]  # of the nth request: an answer in place of one, or seconds to wait


def parts(text: str) -> dict[str, str]:
    """The fenced texts of a question, as any reader of it finds them."""
    (code,) = set(re.findall(r"^<<<request (\w+)$", text, flags=re.M))
    return {
        name: re.search(rf"^<<<{name} {code}\n(.*)\n>>>{name} {code}$", text, flags=re.M | re.S)[1]
        for name in ("request", "first", "second")
    }


def longer(said: dict[str, str]) -> str:
    return "FIRST" if len(said["first"]) > len(said["second"]) else "SECOND"


def true(said: dict[str, str]) -> str:
    """Hamlet's own truth."""
    gap = truth.utility(said["request"], said["first"]) - truth.utility(said["request"], said["second"])
    return "TIE" if abs(gap) < 1e-9 else "FIRST" if gap > 0 else "SECOND"


JUDGES: dict[str, Callable[[dict[str, str]], str]] = {
    "truthful": lambda said: "SECOND" if "good" in said["second"] else "FIRST" if "good" in said["first"] else "TIE",
    "true": true,
    "places": lambda _said: "FIRST",
    "longer": longer,
    "ties": lambda _said: "tie.",
    "aloud": lambda said: f"The FIRST answer is plain.\nThe SECOND is long.\n\n**Verdict: {longer(said)}**\n",
    "nonsense": lambda _said: "As a language model I find FIRST and SECOND both quite interesting.",
    "mute": lambda _said: "",
    "sometimes": lambda said: "well" if "7" in said["request"] else "FIRST" if "good" in said["first"] else "SECOND",
}


class Served:
    """What the server saw; `trouble` may be changed while it serves."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.at: list[float] = []
        self.together = self.most_together = 0
        self.trouble: Trouble = lambda _nth: None
        self.lock = threading.Lock()

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/chat/completions")
        def complete(request: Request, sent: dict[str, Any]) -> Response:
            with self.lock:
                nth = len(self.asked)
                self.asked.append(sent)
                self.headers.append(dict(request.headers))
                self.at.append(time.monotonic())
                self.together += 1
                self.most_together = max(self.most_together, self.together)
            try:
                trouble = self.trouble(nth)
                if isinstance(trouble, Response):
                    return trouble
                time.sleep(trouble or 0.0)
                return JSONResponse(chat(sent))
            finally:
                with self.lock:
                    self.together -= 1

        @app.post("/elsewhere/chat/completions")
        def elsewhere() -> Response:
            return RedirectResponse(f"{self.url}/chat/completions", status_code=302)

        @app.get("/v1/chat/completions")
        def led_astray(request: Request) -> Response:
            self.headers.append(dict(request.headers))
            return JSONResponse({})

        return app


def chat(sent: dict[str, Any]) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    if sent["model"] == "refuses":
        choice["message"] = {"role": "assistant", "content": None, "refusal": "I will not compare these."}
    else:
        said = JUDGES[sent["model"]](parts(sent["messages"][-1]["content"]))
        choice["message"] = {"role": "assistant", "content": said}
    return {"id": "1", "object": "chat.completion", "model": sent["model"], "choices": [choice],
            "usage": {"prompt_tokens": 100, "completion_tokens": 3, "total_tokens": 103}}  # fmt: skip


def failed(status: int, said: str = "no", **headers: str) -> Response:
    return JSONResponse({"error": {"message": said}}, status, {key.replace("_", "-"): v for key, v in headers.items()})


@contextmanager
def serving() -> Iterator[Served]:
    """The server on a port of its own, until the block ends."""
    served = Served()
    server = uvicorn.Server(uvicorn.Config(served.app(), port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    served.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    try:
        yield served
    finally:
        server.should_exit = True
        thread.join()
