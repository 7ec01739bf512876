"""HTML and SVG that cannot be malformed, and in which a model's words can never become tags."""

import html
import re
from collections.abc import Sequence
from typing import Final

# XML 1.0 has no place for these, and a model may emit them.
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# Right-to-left overrides and the like would let an answer rearrange what stands beside it.
_DIRECTION: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_WHOLE: Final = re.compile(r"(PPO-ptx|[−\d.]+\u00a0% \([^()]*\))")
VOID: Final = frozenset({"meta", "br", "hr", "line", "rect", "circle", "path", "polyline", "polygon", "col"})


class Safe(str):
    """Text that is markup already. Everything else is escaped by `el` and `join`."""

    __slots__ = ()


Child = str | Safe | None


def escape(text: str) -> Safe:
    if isinstance(text, Safe):
        return text
    return Safe(html.escape(_DIRECTION.sub("", _UNPRINTABLE.sub("\ufffd", text)), quote=True))


def join(*children: Child) -> Safe:
    return Safe("".join(escape(child) for child in children if child is not None))


def el(name: str, /, *children: Child, **attributes: str | float | None) -> Safe:
    """An element. `class_` is class, `stroke_width` is stroke-width; None leaves an attribute out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        assert not children, f"<{name}> holds nothing"
        return Safe(f"<{name}{written} />")
    return Safe(f"<{name}{written}>{join(*children)}</{name}>")


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def prose(words: str) -> Safe:
    """Running text in which neither the name PPO-ptx nor a number is torn from its interval by the end of a line."""
    return join(*(el("span", part, class_="whole") if _WHOLE.fullmatch(part) else part for part in _WHOLE.split(words)))


def document(title: str, style: str, policy: str, *inside: Child, facts: Child = None) -> str:
    """A whole page, which loads nothing but what its policy names. `facts` are further elements of its head."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="color-scheme", content="light dark"),
        facts,
        el("title", title),
        el("style", Safe(style)),
    )
    return "<!DOCTYPE html>\n" + el("html", head, el("body", *inside), lang="en") + "\n"


def table(caption: str, head: list[str], rows: Sequence[Sequence[Child]]) -> Safe:
    """A table whose first column names its rows; in a box that scrolls by itself on a small screen."""
    made = el(
        "table",
        el("caption", caption),
        el("thead", el("tr", *(el("th", text, scope="col") for text in head))),
        el("tbody", *(el("tr", el("th", r[0], scope="row"), *(el("td", text) for text in r[1:])) for r in rows)),
    )
    return el("div", made, class_="scroll", role="region", tabindex="0", aria_label=caption)
