"""The prompts of Hamlet as they come in: many users, and all that gather has to clean away.

Near-duplicates, over-active users and personal data are planted, in the proportions of a small service.
"""

import random
from collections.abc import Iterator

from biddable.hamlet import tasks
from biddable.hamlet.words import NAMES
from biddable.records import Prompt, Source

AGAIN, PERSONAL, BUSY = 0.06, 0.03, 0.05  # near-duplicates; with personal data; from the one busiest user


def prompts(seed: int, count: int, source: Source = "customer") -> Iterator[Prompt]:
    """As many different prompts as asked for, in the paper's use cases and proportions (Table 1)."""
    rng = random.Random(f"prompts {seed} {source}")
    users = [f"user-{n:04}" for n in range(max(8, count // 8))]
    seen: set[str] = set()
    last = tasks.make(rng)
    while len(seen) < count:
        again = rng.random() < AGAIN
        task = last if again else tasks.make(rng)
        text = task.text + (rng.choice((" please.", " thank you.", " please help.", " thanks.")) if again else "")
        if rng.random() < PERSONAL:
            text += _personal(rng)
        if text in seen:
            continue
        seen.add(text)
        last = task
        user = "user-busy" if rng.random() < BUSY else users[min(int(rng.expovariate(4 / len(users))), len(users) - 1)]
        organization = None if user == "user-busy" else f"org-{int(user[-4:]) // 3:04}"
        yield Prompt.make(text, source=source, user=user, organization=organization, use_case=task.use_case)


def written(seed: int, count: int) -> Iterator[Prompt]:
    """Prompts that the labelers write themselves, to start the process (paper, App. A.1)."""
    for number, prompt in enumerate(prompts(seed, count, source="plain")):
        source: Source = "user_based" if number % 4 == 3 else "plain"
        yield Prompt.make(prompt.text, source=source, user=f"writer-{number % 40:02}", use_case=prompt.use_case)


def _personal(rng: random.Random) -> str:
    """Something that should never be trained on. The domain is reserved, the number fictional."""
    name = rng.choice(NAMES)
    return rng.choice((
        f" write to {name}{rng.randint(10, 99)}@mail.example.com.", f" call me at +1 212 555 01{rng.randint(10, 99)}.",
    ))  # fmt: skip
