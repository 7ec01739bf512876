"""The YAML that stands at the head of a model card: mappings, lists and scalars, nothing else.

A string is written as JSON writes it, which YAML 1.1 and 1.2 read alike: no `no` becomes false, no 1.0 a number.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

Value = str | int | float | bool | None | Mapping[str, "Value"] | list["Value"] | tuple["Value", ...]
_KEY = re.compile(r"[a-z_][a-z0-9_-]+", re.ASCII)
WORDS = ("true", "false", "yes", "no", "on", "off", "null")  # which YAML does not take for words
# What YAML has no place for unless it is escaped; JSON escapes only what stands below the space.
_HIDDEN = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def front_matter(head: Mapping[str, Value], comments: Sequence[str] = ()) -> str:
    """The block between two lines of ---, comments first."""
    lines = [*(f"# {comment}" for comment in comments), *_mapping(head)]
    return "\n".join(["---", *lines, "---", ""])


def _mapping(some: Mapping[str, Value]) -> Iterator[str]:
    for key, value in some.items():
        plain = _KEY.fullmatch(key) and key not in WORDS
        yield from _entry(f"{key if plain else scalar(key)}:", value)


def _entry(head: str, value: Value) -> Iterator[str]:
    """`key:` or `-`, and what belongs to it, further in."""
    if isinstance(value, Mapping):
        inner, empty = list(_mapping(value)), "{}"
    elif isinstance(value, list | tuple):
        inner, empty = [line for one in value for line in _entry("-", one)], "[]"
    else:
        yield f"{head} {scalar(value)}"
        return
    if not inner:
        yield f"{head} {empty}"
    elif head == "-":
        yield f"- {inner[0]}"
        yield from (f"  {line}" for line in inner[1:])
    else:
        yield head
        yield from (f"  {line}" for line in inner)


def scalar(value: Value) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, float) and "." not in text:
        text = text.replace("e", ".0e")  # 1e-05 is a word to YAML 1.1
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
