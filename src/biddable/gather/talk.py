"""Conversations in the shapes that people have them: messages with role and content (OpenAI, Hugging Face), with from
and value (ShareGPT), and one text of "Human:" and "Assistant:" (Bai et al. 2022, HH)."""

import json
import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from biddable.records import BadRow, Turn, complaint

FORM = '[{"role": "user", "content": "…"}, …]'
ROLES = {"human": "user", "gpt": "assistant"}  # ShareGPT's names; the others are ours
SPEAKER = re.compile(r"\n\n(Human|Assistant):")


def turns(where: str, said: Any) -> tuple[Turn, ...]:
    """Messages as turns; BadRow when they are none."""
    parts = said if isinstance(said, list) else []
    pairs = [_pair(part) for part in parts]
    if not pairs or None in pairs:
        raise BadRow(f"{where}: is {json.dumps(said)[:40]}; it should be {FORM}")
    return tuple(_turn(where, *pair) for pair in pairs if pair)


def transcript(text: str) -> list[dict[str, str]]:
    """The messages of a text that is written as one "Human:" and "Assistant:" after the other; none of another text."""
    if not SPEAKER.match(text):
        return []
    _, *parts = SPEAKER.split(text)
    roles = {"Human": "user", "Assistant": "assistant"}
    return [
        {"role": roles[who], "content": said.removeprefix(" ")}
        for who, said in zip(parts[::2], parts[1::2], strict=True)
    ]


def written(talk: Sequence[Turn]) -> str:
    """The same text of what was said; the answer with which it begins stands without a name before it."""
    names = {"user": "Human", "assistant": "Assistant"}
    text = "".join(f"\n\n{names.get(turn.role, turn.role)}: {turn.text}" for turn in talk)
    return text.removeprefix("\n\nAssistant: ")


def check_text(where: str, value: str) -> None:
    """Refuse what a store could not keep."""
    if "\x00" in value:
        raise BadRow(f"{where}: holds the character U+0000; take it out")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = ord(value[error.start])
        raise BadRow(f"{where}: holds half a character (the lone surrogate U+{half:04X}); take it out") from error


def _pair(part: Any) -> tuple[Any, Any] | None:
    """Who said it and what."""
    for who, what in (("role", "content"), ("from", "value")):
        if isinstance(part, dict) and part.keys() >= {who, what}:
            return part[who], part[what]
    return None


def _turn(where: str, role: Any, content: Any) -> Turn:
    pieces = content if isinstance(content, list) else []
    if pieces and all(isinstance(piece, dict) and piece.get("type") == "text" for piece in pieces):
        content = "".join(str(piece.get("text", "")) for piece in pieces)  # OpenAI's content of several parts
    if not isinstance(content, str):
        raise BadRow(f"{where}: content: is {json.dumps(content)[:40]}; only text can be learnt, so leave the row out")
    check_text(where, content)
    try:
        return Turn.model_validate({"role": ROLES.get(str(role), role), "text": content})
    except ValidationError as error:
        raise BadRow(f"{where}: {complaint(error)}") from error
