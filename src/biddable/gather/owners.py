"""Whose a prompt is, for the cap and for the split.

The paper counts by user in Sec. 3.2 and by organization in App. A.2. We count by organization where one is known,
else by user. A user seen with an organization carries it to their other prompts, and a user of two organizations
makes the two one: otherwise somebody's prompts would be in two splits. A prompt of nobody is its own owner.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal

from biddable.records import Prompt

Key = Literal["organization_or_user", "organization", "user"]


def owners(prompts: Iterable[Prompt], key: Key) -> dict[str, str]:
    """Prompt id → the name of its owner. The name does not depend on the order of the prompts."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    first: dict[str, str] = {}
    for prompt in prompts:
        names = _names(prompt, key)
        first[prompt.id] = names[0]
        for name in names:
            # The smaller name is the root, so that it does not matter who met whom first.
            low, high = sorted((root(names[0]), root(name)))
            parent[high] = low
    return {prompt: root(name) for prompt, name in first.items()}


def place(owner: str, seed: int) -> float:
    """Where in [0, 1) an owner falls: a hash, so that those already there stay when more come."""
    digest = hashlib.blake2b(f"{seed}\x1f{owner}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def _names(prompt: Prompt, key: Key) -> list[str]:
    organization = [f"organization {prompt.organization}"] if prompt.organization is not None else []
    user = [f"user {prompt.user}"] if prompt.user is not None else []
    named = {"organization_or_user": organization + user, "organization": organization, "user": user}[key]
    return named or [f"prompt {prompt.id}"]
