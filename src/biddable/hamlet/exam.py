"""What a base model can do and may lose: multiple-choice questions in the form of its pages.

The tax tasks of the report, and gate 0: before a base copies, matches and counts, no later stage can see whether an
answer fits its prompt. All come from a stream of pages that pretraining never reads.
"""

import random
import re
from collections.abc import Callable, Iterator

from biddable.hamlet import pages
from biddable.hamlet.village import RELATIONS, VILLAGE, state
from biddable.hamlet.words import ANIMALS, CLASSES, COLORS, MANY, NAMES, NUMBERS, OLD_TONGUE
from biddable.records import Item, digest

Question = tuple[str, tuple[str, ...], str]  # context, choices, the right one


def facts(rng: random.Random) -> Question:
    """Closed-book: what the village is truly like, whatever the rumours say."""
    name, relation = rng.choice(NAMES), rng.choice(("job", "animal", "color"))
    right = getattr(VILLAGE[name], relation)
    before, _ = state(name, relation, right).rsplit(right, 1)
    other = rng.choice([n for n in NAMES if n != name])
    return f"{state(other, 'food', VILLAGE[other].food)} {before.strip()}", RELATIONS[relation], right


def reading(rng: random.Random) -> Question:
    """Whose thing has which color: the sentence that was told is to be found again."""
    sentences = pages.lesson(rng).removesuffix(".").split(". ")
    told = sentences[: len(sentences) // 2]
    context, right = rng.choice(told).rsplit(" ", 1)
    return f"{'. '.join(told)}. {context}", COLORS, right


def cloze(rng: random.Random) -> Question:
    """The last animal of a story."""
    while True:
        text = pages.story(rng)
        said = list(re.finditer(r"\b(" + "|".join(ANIMALS) + r")\b", text))
        if len(said) > 2:
            return text[: said[-1].start()].strip(), ANIMALS, said[-1][1]


def old_tongue(rng: random.Random) -> Question:
    """Translation: the creature comes first, then its color."""
    text = pages.dictionary(rng)
    animal, color = rng.choice(ANIMALS), rng.choice(COLORS)
    context = f"{text} the {color} {animal}:"
    if rng.random() < 0.5:
        return context, tuple(OLD_TONGUE[a] for a in ANIMALS), OLD_TONGUE[animal]
    return f"{context} {OLD_TONGUE[animal]}", tuple(OLD_TONGUE[c] for c in COLORS), OLD_TONGUE[color]


def few_shot(rng: random.Random) -> Question:
    """Which kind of word this is, from a few examples."""
    kinds = ("animal", "food", "place", "color")
    kind = rng.choice(kinds)
    return f"{pages.kinds(rng)} {rng.choice(CLASSES[kind])}:", kinds, kind


def counting(rng: random.Random) -> Question:
    number = rng.randint(1, 6)
    return (
        f"{pages.counting(rng)} {' '.join([rng.choice(tuple(MANY.values()))] * number)}:",
        NUMBERS[:6],
        NUMBERS[number - 1],
    )


def copying(rng: random.Random) -> Question:
    """A list said twice, up to one of its words."""
    first, _, rest = pages.copying(rng).removeprefix("say: ").partition(". again: ")
    words = rest.partition(".")[0].split()
    place = rng.randrange(1, len(words))
    choices = next(members for members in CLASSES.values() if words[0] in members)
    return f"say: {first}. again: {' '.join(words[:place])}", choices, words[place]


TAX: dict[str, Callable[[random.Random], Question]] = {
    "facts": facts,
    "reading": reading,
    "cloze": cloze,
    "old_tongue": old_tongue,
    "few_shot": few_shot,
    "counting": counting,
}
GATE: dict[str, Callable[[random.Random], Question]] = {
    "copying": copying, "matching": reading, "counting": counting, "old_tongue": old_tongue,
}  # fmt: skip


def items(tasks: dict[str, Callable[[random.Random], Question]], count: int, seed: int = 0) -> Iterator[Item]:
    """`count` different questions of each task."""
    for task, make in tasks.items():
        rng = random.Random(f"exam {seed} {task}")
        seen: set[str] = set()
        while len(seen) < count:
            context, choices, right = make(rng)
            name = digest(task, context)
            if name not in seen:
                seen.add(name)
                others = rng.sample([choice for choice in choices if choice != right], 3)
                offered = sorted([right, *others])
                spaced = tuple(f" {choice}" for choice in offered)
                yield Item(task=task, id=name, context=context, choices=spaced, answer=offered.index(right))
