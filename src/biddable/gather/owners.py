"""Whose a prompt is, for the cap and for the split.

The paper counts by user in Sec. 3.2 and by organization in App. A.2. We count by organization where one is known,
else by user. A user seen with an organization carries it to their other prompts, and a user of two organizations
makes the two one: otherwise somebody's prompts would be in two splits. A prompt of nobody is its own owner.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from biddable.records import Prompt

Key = Literal["organization_or_user", "organization", "user"]


def owners(prompts: Sequence[Prompt], key: Key) -> dict[str, str]:
    """Prompt id → the name of its owner. The name does not depend on the order of the prompts."""
    owner = owner_of(prompts, key)
    return {prompt.id: owner(prompt) for prompt in prompts}


def owner_of(prompts: Iterable[Prompt], key: Key) -> Callable[[Prompt], str]:
    """The same as a function. Only names that were met together are held, so there may be more prompts than memory."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := parent.get(name, name)) != name:
            parent[name] = parent.get(above, above)
            name = above
        return name

    for prompt in prompts:
        first, *others = _names(prompt, key)
        for name in others:
            # The smaller name is the root, so that it does not matter who met whom first.
            low, high = sorted((root(first), root(name)))
            if low != high:
                parent[high] = low
    return lambda prompt: root(_names(prompt, key)[0])


def place(owner: str, seed: int) -> float:
    """Where in [0, 1) an owner falls: a hash, so that those already there stay when more come."""
    digest = hashlib.blake2b(f"{seed}\x1f{owner}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def is_nobodys(owner: str) -> bool:
    """Whether this is the owner of one prompt, of which no user or organization is known."""
    return owner.startswith("prompt ")


def _names(prompt: Prompt, key: Key) -> list[str]:
    organization = [f"organization {prompt.organization}"] if prompt.organization is not None else []
    user = [f"user {prompt.user}"] if prompt.user is not None else []
    named = {"organization_or_user": organization + user, "organization": organization, "user": user}[key]
    return named or [f"prompt {prompt.id}"]
