"""A form that was wrong comes again: its page, with what was typed in it and the reason beside the field.

A handler only says what is wrong, by an HTTPException or a StoreError: one that begins with a field's name ("count: is
0; …") stands beside that field, any other above the form. What FastAPI finds wrong says the field by itself. Where the
form stands is said in `PAGES`. Files and passwords a browser lets nobody fill in.
"""

import html
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from fastapi import Request
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.types import Message, Scope

# Where the form stands that is sent to a route. Names in braces are of its path, or hidden fields.
PAGES = {
    "/manage/prompts/paste": "/manage/prompts",
    "/manage/prompts/file": "/manage/prompts",
    "/manage/prompts/one/mend": "/manage/prompts/one?id={id}",
    "/manage/prompts/one/out": "/manage/prompts/one?id={id}",
    "/manage/prompts/one/close": "/manage/prompts/one?id={id}",
    "/manage/people": "/manage/people",
    "/manage/people/many": "/manage/people",
    "/manage/people/{labeler}": "/manage/people",
    "/manage/people/{labeler}/invite": "/manage/people",
    "/manage/guidelines": "/manage/guidelines",
    "/manage/jobs": "/manage/jobs/new",
    "/manage/jobs/{job}/settings": "/manage/jobs/{job}",
    "/manage/jobs/{job}/state": "/manage/jobs/{job}",
    "/manage/jobs/{job}/fill": "/manage/jobs/{job}",
    "/manage/jobs/{job}/checks": "/manage/jobs/{job}",
    "/manage/tasks/{task}/out": "/manage/tasks/{task}",
    "/manage/tasks/{task}/back": "/manage/tasks/{task}",
    "/manage/tasks/{task}/seen": "/manage/tasks/{task}",
    "/manage/screening": "/manage/screening",
    "/manage/checks/retire": "/manage/checks",
    "/manage/data/import": "/manage/data",
}
LEAVE_OUT = {b"content-length", b"content-type", b"transfer-encoding"}  # of the headers: a GET has no body

Sent = Mapping[str, Sequence[str]]


async def page(request: Request, status: int, reasons: Mapping[str, str]) -> HTMLResponse | None:
    """The page with its form, for a request that sent one; nothing where no page is known to hold it. `reasons` are by
    field; by "", of the form as a whole."""
    route = request.scope.get("route")
    where = PAGES.get(route.path) if route and request.method == "POST" else None
    if where is None:
        return None
    sent = await _sent(request)
    known = {key: quote(some[0]) for key, some in sent.items() if some} | request.path_params
    text = await _get(request, where.format_map(defaultdict(str, known)))
    filled = text and refill(text, request.url.path, sent, reasons)
    return HTMLResponse(filled, status) if filled else None


def reasons(what: str) -> dict[str, str]:
    """Of one line: by the field that it begins with, if it does."""
    field, found, why = what.partition(": ")
    return {field: why} if found and re.fullmatch(r"[a-z_]+", field) else {"": what}


async def _sent(request: Request) -> Sent:
    try:
        form: FormData = await request.form()  # which the handler has read: it is kept
    except (RuntimeError, HTTPException):  # and broken off, since it was no form
        return {}
    return {key: [one for one in form.getlist(key) if isinstance(one, str)] for key in form}


async def _get(request: Request, path: str) -> str | None:
    """A page as the app itself answers for it, to the same person."""
    kept: Scope = {key: request.scope[key] for key in ("type", "asgi", "http_version", "scheme", "server", "client")}
    headers = [(name, value) for name, value in request.headers.raw if name not in LEAVE_OUT]
    path, _, query = path.partition("?")
    asked = {"method": "GET", "path": path, "raw_path": path.encode(), "root_path": "", "query_string": query.encode()}
    parts: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        parts.append(message)

    await request.app({**kept, **asked, "headers": headers}, receive, send)
    if parts[0]["status"] != 200:
        return None
    return b"".join(part.get("body", b"") for part in parts).decode()


# Our own pages are read here, and no others: a `>` within an attribute is always written &gt;.
FORM = re.compile(r"<form\b([^>]*)>(.*?)</form>", re.DOTALL)
FIELD = re.compile(r"<(textarea)\b([^>]*)>(.*?)</textarea>|<(input|select|option)\b([^>]*)>([^<]*)", re.DOTALL)
ATTRIBUTE = re.compile(r'([\w-]+)(?:="([^"]*)")?')
AS_IT_WAS = ("hidden", "password", "file")
CHOICES = ("checkbox", "radio")

Attributes = dict[str, str | None]


def refill(text: str, action: str, sent: Sent, reasons: Mapping[str, str]) -> str | None:
    """A page with the form that goes to `action` filled in anew; nothing where it has none. Of several, it is the one
    that has most of the fields."""
    forms = [one for one in FORM.finditer(text) if html.unescape(_attributes(one[1]).get("action") or "") == action]
    if not forms:
        return None
    form = max(forms, key=lambda one: len(sent.keys() & _names(one[2])))
    start, end = form.span(2)
    inside = _said(FIELD.sub(_Filler(sent, reasons), form[2]), reasons)
    return _unfolded(text[:start]) + inside + text[end:]


def _unfolded(before: str) -> str:
    """What stands before a reason, so that it is seen: not within closed <details>."""
    folded = before.rfind("<details")
    if folded <= before.rfind("</details>"):
        return before
    return f"{before[:folded]}<details open{before[folded + len('<details') :]}"


def _attributes(tag: str) -> Attributes:
    return {match[1]: match[2] for match in ATTRIBUTE.finditer(tag)}


def _field(match: re.Match[str]) -> tuple[str, Attributes, str]:
    """Its tag, what stands in that, and what after it: the text of a textarea, or of an option."""
    tag, said, text = match.groups()[:3] if match[1] else match.groups()[3:]
    return tag, _attributes(said), text


def _names(form: str) -> set[str]:
    return {_field(one)[1].get("name") or "" for one in FIELD.finditer(form)}


class _Filler:
    """Each field of a form as it is to stand. An option belongs to the select before it."""

    def __init__(self, sent: Sent, reasons: Mapping[str, str]) -> None:
        self._sent, self._reasons, self._select = sent, reasons, ""

    def __call__(self, match: re.Match[str]) -> str:
        tag, has, text = _field(match)
        kind = has.get("type")
        name = self._select if tag == "option" else has.get("name") or ""
        said = self._sent.get(name)
        if tag == "option":
            has = has if said is None else _marked(has, "selected", _value(has, text) in said)
        elif kind in CHOICES:
            has = _marked(has, "checked", _value(has, "on") in (said or ()))
        elif name in self._reasons and kind != "hidden":
            has |= {"aria-invalid": "true", "autofocus": None}
        if tag == "select":
            self._select = name
        if tag == "input" and said and kind not in (*CHOICES, *AS_IT_WAS):
            has |= {"value": html.escape(said[0])}
        if tag == "textarea":
            # A browser leaves out the end of a first line that is empty, and sends each as two characters.
            text = ("\n" + html.escape(said[0].replace("\r\n", "\n")) if said else text) + "</textarea>"
        bare = "".join(f" {key}" if value is None else f' {key}="{value}"' for key, value in has.items())
        return f"<{tag}{bare}>{text}"


def _value(has: Attributes, otherwise: str) -> str:
    value = has.get("value", otherwise)
    return html.unescape(value or "")


def _marked(has: Attributes, mark: str, on: bool) -> Attributes:
    return {key: value for key, value in has.items() if key != mark} | ({mark: None} if on else {})


def _said(form: str, reasons: Mapping[str, str]) -> str:
    """The reasons, each after its field, or after the legend of a choice; what is of no field stands above."""
    above = []
    for name, why in reasons.items():
        place = _after(form, name) if name else None
        if place is None:
            above.append(f"{name}: {why}" if name else why)
        else:
            said = f'<span class="error" role="alert">{html.escape(why)}</span>'
            form = _unfolded(form[:place]) + said + form[place:]
    lines = "".join(f'<p class="warn" role="alert" tabindex="-1" autofocus>{html.escape(why)}</p>' for why in above)
    return lines + form


def _after(form: str, name: str) -> int | None:
    """Where the reason of a field stands."""
    for one in FIELD.finditer(form):
        tag, has, text = _field(one)
        if has.get("name") != name or has.get("type") == "hidden":
            continue
        if tag == "select":
            return form.index("</select>", one.end()) + len("</select>")
        if has.get("type") in CHOICES:
            legend = form.rfind("</legend>", 0, one.start())
            return legend + len("</legend>") if legend >= 0 else None
        return one.end() - len(text) if tag == "input" else one.end()
    return None
