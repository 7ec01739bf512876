"""What a form's fields may hold, so that a database is never asked what it cannot hold."""

from typing import Annotated

from pydantic import AfterValidator, Field


def _plain(text: str) -> str:
    if "\x00" in text:
        raise ValueError("holds the character U+0000, which PostgreSQL cannot keep; take it out")
    return text


Plain = AfterValidator(_plain)
Text = Annotated[str, Plain]
Number = Annotated[int, Field(ge=0, le=2**63 - 1)]  # of a row
