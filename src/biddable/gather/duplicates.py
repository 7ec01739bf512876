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

import bisect
import math
import unicodedata
from typing import Literal


def normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Seen:
    """The prompts that stayed so far."""

    def __init__(self, prefix_share: float, prefix_chars: int) -> None:
        self._share = prefix_share
        self._chars = prefix_chars
        self._texts: set[str] = set()
        self._heads: list[str] = []  # sorted, prefix-free

    def add(self, text: str) -> Literal["new", "duplicate", "near_duplicate"]:
        """Whether a prompt is new, and then it stays."""
        plain = normal(text)
        if plain in self._texts:
            return "duplicate"
        head = self._head(plain)
        place = bisect.bisect_left(self._heads, head)
        if head and self._near(head, place):
            return "near_duplicate"
        self._texts.add(plain)
        if head:
            self._heads.insert(place, head)
        return "new"

    def _head(self, plain: str) -> str:
        length = max(math.ceil(self._share * len(plain)), self._chars)
        return plain[:length] if length <= len(plain) else ""

    def _near(self, head: str, place: int) -> bool:
        before, after = self._heads[max(place - 1, 0) : place], self._heads[place : place + 1]
        return any(head.startswith(other) for other in before) or any(other.startswith(head) for other in after)
