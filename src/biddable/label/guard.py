"""What holds for every request: whence it may come, how large it may be, what a browser may do with the answer."""

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
    """ASGI middleware. `unbounded` are paths that read their body piece by piece."""

    def __init__(self, app: ASGIApp, unbounded: frozenset[str] = frozenset()) -> None:
        self.app, self.unbounded = app, unbounded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    said.setdefault(name, value)
                kept = message["status"] == 200 and scope["path"].startswith("/static/")
                said.setdefault("cache-control", "public, max-age=31536000, immutable" if kept else "no-store")
            await send(message)

        if scope["method"] not in READING and not own(headers):
            await JSONResponse({"detail": "this request comes from another site"}, 403)(scope, receive, answer)
            return
        if scope["path"] in self.unbounded:
            await self.app(scope, receive, answer)
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST:
            await JSONResponse({"detail": f"more than {LARGEST} bytes"}, 413)(scope, receive, answer)
            return
        await self.app(scope, _counted(receive), answer)


def own(headers: Headers) -> bool:
    """Whether a request that changes something comes from our own pages, or from no browser at all.

    Every browser in use says where a request comes from (Fetch Metadata), which no script of another site can forge;
    the Origin is for those that do not."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _counted(receive: Receive) -> Receive:
    """A body that says nothing of its length is cut off where it is too large."""
    seen = 0

    async def take() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return message if seen <= LARGEST else {"type": "http.disconnect"}

    return take
