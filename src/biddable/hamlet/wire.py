"""One person's line to a labeling server: a kept-alive connection with their session's cookie.

The server may be killed and come back: whatever got no answer is asked again, under the same key where it must count
once, as the page's own script does.
"""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from http.cookies import SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlencode, urlsplit

from biddable.config import ConfigError

SECONDS = 60.0  # for one answer
PAUSES = (0.0, 0.1, 0.3, 1.0, 3.0)  # between tries; the last one again and again. A line that lay idle may be cut.
BROKEN = (OSError, http.client.HTTPException)


class Said(NamedTuple):
    """What the server said."""

    status: int
    text: str
    location: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def detail(self) -> str:
        """Why it refused, where it did."""
        try:
            return str(self.json["detail"])
        except (ValueError, KeyError, TypeError):
            return f"status {self.status}"


def address(url: str) -> SplitResult:
    at = urlsplit(url if "://" in url else f"http://{url}")
    if at.scheme not in ("http", "https") or not at.hostname:
        raise ConfigError(f"--url {url}: is no address of a server, such as http://localhost:8000")
    return at


class Wire:
    """A server that does not answer is asked again for `patience` seconds; `waits` is told when that begins."""

    waits: Callable[[], None]

    def __init__(self, url: str, patience: float) -> None:
        self.at, self.patience, self.waits = address(url), patience, lambda: None
        kind = http.client.HTTPSConnection if self.at.scheme == "https" else http.client.HTTPConnection
        self._line = kind(self.at.hostname or "", self.at.port, timeout=SECONDS)
        self._cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, sent: Any = None, form: Mapping[str, str] | None = None) -> Said:
        """The answer, whatever it is, but for a server that is not there or failed: that one is asked again."""
        begun, tries = time.monotonic(), 0
        while True:
            try:
                said = self._once(method, path, sent, form)
                why = f"status {said.status}"
                if said.status < 500:
                    return said
            except BROKEN as error:
                self._line.close()
                why = str(error) or type(error).__name__
            if time.monotonic() - begun >= self.patience:
                raise ConfigError(f"{self.at.geturl()}: no answer from a labeling server there ({why})")
            if tries == 1:
                self.waits()
            time.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1

    def _once(self, method: str, path: str, sent: Any, form: Mapping[str, str] | None) -> Said:
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        body = None
        if form is not None:
            headers["content-type"], body = "application/x-www-form-urlencoded", urlencode(form)
        elif sent is not None:
            headers["content-type"], body = "application/json", json.dumps(sent)
        self._line.request(method, path, body, headers)
        answer = self._line.getresponse()
        text = answer.read().decode("utf-8", "replace")
        for line in answer.headers.get_all("set-cookie") or ():
            self._cookies |= {name: found.value for name, found in SimpleCookie(line).items()}
        return Said(answer.status, text, answer.headers.get("location", ""))

    def close(self) -> None:
        self._line.close()
