"""What holds for every request: whence it may come, how large it may be, what a browser may do with the answer."""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
LARGEST = 1 << 20  # bytes of a body
READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware. `unbounded` are paths that read their body piece by piece; `hosts`, the names that a request may
    call us by, for another site's name that leads to this machine must not open what only this machine should see."""

    def __init__(
        self, app: ASGIApp, unbounded: frozenset[str] = frozenset(), hosts: frozenset[str] | None = None
    ) -> None:
        self.app, self.unbounded, self.hosts = app, unbounded, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, body, started = Headers(scope=scope), Body(receive), False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                said = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    said.setdefault(name, value)
                kept = message["status"] == 200 and scope["path"].startswith("/static/")
                said.setdefault("cache-control", "public, max-age=31536000, immutable" if kept else "no-store")
                if body.cut:
                    message["status"] = 413
            await send(message)

        refused = self._refusal(scope, headers)
        if refused is not None:
            await JSONResponse({"detail": refused[1]}, refused[0])(scope, receive, answer)
            return
        try:
            await self.app(scope, receive if scope["path"] in self.unbounded else body.receive, answer)
        except Exception:
            # What stands around us would say it too, but without our headers. It still writes the log.
            if not started:
                await JSONResponse({"detail": "this went wrong here; it is in the log"}, 500)(scope, receive, answer)
            raise

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        if self.hosts is not None and _hostname(headers.get("host", "")) not in self.hosts:
            return 421, "this server goes by another name"
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            return 400, "the address holds the character U+0000"
        if scope["method"] not in READING and not own(headers):
            return 403, "this request comes from another site"
        length = headers.get("content-length", "0")
        if scope["path"] not in self.unbounded and (not length.isdecimal() or int(length) > LARGEST):
            return 413, f"more than {LARGEST} bytes"
        return None


class Body:
    """What a request brings. One that does not say how long it is, is cut off where it is too large."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._seen = receive, 0

    @property
    def cut(self) -> bool:
        return self._seen > LARGEST

    async def receive(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self.cut else message


def loopback(host: str) -> bool:
    """Whether only this very machine is meant."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hostname(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""


def own(headers: Headers) -> bool:
    """Whether a request that changes something comes from our own pages, or from no browser at all.

    Every browser in use says where a request comes from (Fetch Metadata), which no script of another site can forge;
    the Origin is for those that do not."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")
