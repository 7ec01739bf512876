"""An OpenAI-shaped chat endpoint: one question, one answer, and manners towards whoever runs it.

The key comes from the environment and goes into one header of requests to the address that was named: it is followed
to no other place, written nowhere, and shown in no complaint.
"""

import email.utils
import http.client
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit, urlunsplit

from biddable.config import ConfigError

KEY = "BIDDABLE_JUDGE_KEY"
PATH = "/chat/completions"
MOST_BYTES = 8_000_000  # of one answer
MOST_WAIT = 60.0  # between two tries, where the endpoint does not say how long
# 400, 413, 422: this question will never be taken. Others below 500 are about all of them.
NEVER = (400, 413, 422)
AGAIN = (408, 409, 425, 429)
NEWER = "max_completion_tokens"  # what some of OpenAI's models want in place of max_tokens, which most others know


class Said(NamedTuple):
    """An answer; `refused` is why there is none."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    refused: str = ""


class Unreached(ConfigError):
    """The endpoint did not answer, again and again."""


class _Again(Exception):
    """To be tried again, after so many seconds if the endpoint said how many."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


@dataclass
class Pace:
    """When the next request may go: one clock for all who ask."""

    not_before: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, seconds: float) -> None:
        with self.lock:
            self.not_before = max(self.not_before, time.monotonic() + seconds)

    def wait(self) -> None:
        while (left := self.not_before - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to a place that nobody named."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        del req, fp, code, msg, headers, newurl


@dataclass
class Endpoint:
    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 120.0
    tries: int = 8
    first_pause: float = 1.0  # doubled with each try
    pace: Pace = field(default_factory=Pace)
    limit: str = "max_tokens"  # as this endpoint calls it

    def ask(self, messages: list[dict[str, str]], tokens: int, temperature: float = 0.0) -> Said:
        """The answer to one question, however often it must be asked."""
        asked = {"model": self.model, "messages": messages, "temperature": temperature}
        why = ""
        for nth in range(self.tries):
            self.pace.wait()
            try:
                return self._once(asked | {self.limit: tokens})
            except _Again as again:
                why = str(again)
                self.pace.hold(min(MOST_WAIT, self.first_pause * 2**nth) if again.after is None else again.after)
        raise Unreached(
            f"{self.place}: asked {self.tries} times without an answer, at last {why}; what was answered is kept, "
            "and the same command asks only what is missing"
        )

    @property
    def place(self) -> str:
        return without_secrets(self.url)

    def _once(self, asked: Mapping[str, Any]) -> Said:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "biddable"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(address(self.url), json.dumps(asked).encode(), headers, method="POST")
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=self.timeout) as response:
                self._mind(response.headers)
                return answer(response.read(MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(4000).decode("utf-8", "replace")
                self._mind(error.headers)
                return self._failed(asked, error.code, said, error.headers)
        except (OSError, http.client.HTTPException, ValueError) as error:  # a cut line, or half an answer
            raise _Again(self._hidden(str(getattr(error, "reason", "") or error) or type(error).__name__)) from error

    def _failed(self, asked: Mapping[str, Any], status: int, said: str, headers: Message) -> Said:
        if status == 400 and NEWER in detail(said) and NEWER not in asked:
            self.limit = NEWER
            raise _Again(f"it wants {NEWER}", 0.0)
        if status == 400 and "temperature" in detail(said):
            self._stop(status, said)
        if status in NEVER:
            return Said("", refused=f"status {status}")
        if status >= 500 or status in AGAIN:
            raise _Again(f"status {status}", pause_of(headers))
        self._stop(status, said)

    def _stop(self, status: int, said: str) -> NoReturn:
        cure = {
            400: "say temperature=1, if it takes no other",
            401: f"is {KEY} set and right?",
            403: f"may the key in {KEY} use this model?",
            404: f"--url ends before {PATH}, and --model names what is served there",
        }
        if 300 <= status < 400:
            cure[status] = "it sends elsewhere; name that place in --url"
        reason = self._hidden(" ".join(detail(said).split())[:200])
        told = f": {reason}" if reason else ""
        raise ConfigError(
            f"--url {self.place}: status {status}{told}; {cure.get(status, 'it does not take questions')}"
        )

    def _hidden(self, text: str) -> str:
        """Some endpoints repeat the key that they were given."""
        return text.replace(self.key, "…") if self.key else text

    def _mind(self, headers: Message) -> None:
        """Where it says that nothing is left, everybody waits until it says there is more."""
        for what in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{what}") == "0":
                # Some say a moment in place of a span: nobody waits for years.
                self.pace.hold(min(MOST_WAIT, seconds(headers.get(f"x-ratelimit-reset-{what}") or "") or 0.0))


def answer(body: bytes) -> Said:
    """The text and the tokens of a chat completion. What is not of that shape is not one, and is asked for again."""
    try:
        found = json.loads(body)
        choice = found["choices"][0]
        message, usage = choice["message"], found.get("usage") or {}
        tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        text = message.get("content") or ""
        refused = "content filter" if choice.get("finish_reason") == "content_filter" else message.get("refusal") or ""
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _Again(f"no chat completion ({type(error).__name__})") from error
    if not isinstance(text, str):  # parts: text among others
        text = "".join(part.get("text", "") for part in text if isinstance(part, dict))
    return Said(text, *tokens, refused=str(refused)[:200])


def detail(said: str) -> str:
    """What an error says of itself, in OpenAI's shape or FastAPI's; else nothing, since it may be a page of HTML."""
    try:
        found = json.loads(said)
        return str(found.get("error", {}).get("message") or found.get("detail") or "")
    except (ValueError, AttributeError):
        return ""


def pause_of(headers: Message) -> float | None:
    """How long Retry-After asks for: seconds, or until a date; None where it asks for nothing."""
    if (millis := headers.get("retry-after-ms")) and millis.isdigit():
        return int(millis) / 1000
    said = headers.get("Retry-After") or headers.get("retry-after") or ""
    if (found := seconds(said)) is not None:
        return found
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def seconds(said: str) -> float | None:
    """`2`, `1.5s`, `6m0s`, `20ms` as seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", said):
        return float(said)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", said)
    if not parts or "".join(a + b for a, b in parts) != said:
        return None
    return sum(float(amount) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit] for amount, unit in parts)


def address(url: str) -> str:
    """Where questions go: `http://host:8000/v1` is `http://host:8000/v1/chat/completions`."""
    at = urlsplit(url)
    if at.scheme not in ("http", "https") or not at.hostname:
        raise ConfigError(f"--url {without_secrets(url)}: is no address, such as https://host/v1")
    if at.username or at.password:
        raise ConfigError(f"--url: has a name or password in it; a key belongs in the environment, as {KEY}")
    path = at.path.rstrip("/")
    return urlunsplit(at._replace(path=path if path.endswith(PATH) else path + PATH, fragment=""))


def without_secrets(url: str) -> str:
    """As it may be written down: without what may hold a key."""
    at = urlsplit(url)
    return urlunsplit(at._replace(netloc=at.netloc.rpartition("@")[2], query="", fragment=""))
