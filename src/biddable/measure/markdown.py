"""Markdown in which nothing that came from a file can become a heading, a link or a tag."""

import re
from collections.abc import Sequence

_MEANT = re.compile(r"([\\`*_\[\]<>|#~])")
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def said(text: str) -> str:
    """Words as words, on one line."""
    return _MEANT.sub(r"\\\1", _HIDDEN.sub(" ", text))


def code(text: str) -> str:
    return f"`{_HIDDEN.sub(' ', text).replace('`', chr(39)).replace('|', '/')}`"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are markup already. Nothing where there are no rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
