"""Near-duplicates by long common prefix.

The paper drops "prompts that share a long common prefix" and says neither how long nor of what (Sec. 3.2). Our
choice: a prompt's *head* is the first `prefix_share` of its characters, and at least `prefix_chars`; two prompts are
near-duplicates when the head of one begins with the head of the other. In other words, when their common prefix is
long in itself (`prefix_chars`) and most of the shorter one (`prefix_share`). That catches what customers do: the
same question with a word added at its end, a template with another last line, a chat sent again after each turn.
Prompts shorter than `prefix_chars` have no head, and are duplicates only of their equals.

Characters are counted after NFKC, case folding, and making all white space single spaces.

Of near-duplicates, the one that came first stays. The heads of those that stay are prefix-free (none begins with
another), so in sorted order a new head need be compared with its two neighbours only: n log n, where comparing all
pairs of 100,000 prompts would be five thousand million.
"""

import hashlib
import math
import sqlite3
import unicodedata
from typing import Literal

CACHE_KB = 32_000
NEIGHBOURS = "SELECT (SELECT max(head) FROM heads WHERE head < ?1), (SELECT min(head) FROM heads WHERE head >= ?1)"
UTF8 = ("utf-8", "surrogatepass")  # its bytes sort as the characters do


def normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Seen:
    """The prompts that stayed so far. They are in a file aside that goes when this does: there may be more than there
    is memory. What the system turn says stands before each, so that only prompts of one are compared."""

    def __init__(self, prefix_share: float, prefix_chars: int) -> None:
        self._share = prefix_share
        self._chars = prefix_chars
        aside = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for word in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KB}"):
            aside.execute(f"PRAGMA {word}")
        aside.execute("CREATE TABLE texts (hash BLOB PRIMARY KEY) WITHOUT ROWID")
        aside.execute("CREATE TABLE heads (head BLOB PRIMARY KEY) WITHOUT ROWID")  # prefix-free
        aside.execute("BEGIN")
        self._ask = aside.execute

    def add(self, text: str, system: str = "") -> Literal["new", "duplicate", "near_duplicate"]:
        """Whether a prompt is new, and then it stays."""
        plain, before = normal(text), _hash(system.encode(*UTF8))
        whole = (_hash(before + plain.encode(*UTF8)),)
        if not self._ask("INSERT OR IGNORE INTO texts VALUES (?)", whole).rowcount:
            return "duplicate"
        head = self._head(plain)
        if head and self._near(before + head):
            self._ask("DELETE FROM texts WHERE hash = ?", whole)
            return "near_duplicate"
        if head:
            self._ask("INSERT INTO heads VALUES (?)", (before + head,))
        return "new"

    def _head(self, plain: str) -> bytes:
        length = max(math.ceil(self._share * len(plain)), self._chars)
        return plain[:length].encode(*UTF8) if length <= len(plain) else b""

    def _near(self, head: bytes) -> bool:
        before, after = self._ask(NEIGHBOURS, (head,)).fetchone()
        return (before is not None and head.startswith(before)) or (after is not None and after.startswith(head))


def _hash(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()
