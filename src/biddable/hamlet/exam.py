"""What a base model can do and may lose: multiple-choice questions in the form of its pages.

The tax tasks of the report, and gate 0: before a base copies, matches and counts, no later stage can see whether an
answer fits its prompt. What must be worked out (reading, cloze, copying) comes from a stream of pages that pretraining
never reads; what can only be known (facts, the old tongue, kinds, counts) is asked without examples beside it.
"""

import random
import re
from collections.abc import Callable, Iterator

from biddable.hamlet import pages
from biddable.hamlet.village import DIET, RELATIONS, VILLAGE, state
from biddable.hamlet.words import ANIMALS, CLASSES, COLORS, MANY, NAMES, NUMBERS, OLD_TONGUE, PLACES
from biddable.records import Item, digest

Question = tuple[str, tuple[str, ...], str]  # context, choices, the right one


def facts(rng: random.Random) -> Question:
    """Closed-book: what the village is truly like, whatever the rumours say, and what animals eat."""
    if rng.random() < 0.15:
        animal = rng.choice(ANIMALS)
        return f"the {animal} eats", tuple(dict.fromkeys(DIET.values())), DIET[animal]
    name, relation = rng.choice(NAMES), rng.choice(tuple(RELATIONS))
    right = getattr(VILLAGE[name], relation)
    before, _ = state(name, relation, right).rsplit(right, 1)
    return before.strip(), RELATIONS[relation], right


def reading(rng: random.Random) -> Question:
    """Who painted what: the sentence that was told is to be found again, among four."""
    while True:
        sentences = pages.lesson(rng).removesuffix(".").split(". ")
        told = sentences[: len(sentences) // 2]
        if len(told) == 4:
            context, right = rng.choice(told).rsplit(" ", 1)
            return f"{'. '.join(told)}. {context}", COLORS, right


def cloze(rng: random.Random) -> Question:
    """Where the story was going."""
    while True:
        text = pages.story(rng)
        went, there = re.search(r" the (\w+) with ", text), re.search(r" at the (\w+) the ", text)
        if went and there:
            return text[: there.start(1)].strip(), PLACES, there[1]


def old_tongue(rng: random.Random) -> Question:
    """Translation: the creature comes first, then its color."""
    animal, color = rng.choice(ANIMALS), rng.choice(COLORS)
    context = f"in the old tongue. the {color} {animal}:"
    if rng.random() < 0.5:
        return context, tuple(OLD_TONGUE[a] for a in ANIMALS), OLD_TONGUE[animal]
    return f"{context} {OLD_TONGUE[animal]}", tuple(OLD_TONGUE[c] for c in COLORS), OLD_TONGUE[color]


def few_shot(rng: random.Random) -> Question:
    """Which kind of word this is, from two examples."""
    kinds = ("animal", "food", "place", "color")
    shown = " ".join(f"{rng.choice(CLASSES[kind])}: {kind}." for kind in rng.sample(kinds, 2))
    kind = rng.choice(kinds)
    return f"{shown} {rng.choice(CLASSES[kind])}:", kinds, kind


def counting(rng: random.Random) -> Question:
    number = rng.randint(1, 6)
    return f"{' '.join([rng.choice(tuple(MANY.values()))] * number)}:", NUMBERS[:6], NUMBERS[number - 1]


def copying(rng: random.Random) -> Question:
    """A list said twice, up to one of its words."""
    first, _, rest = pages.copying(rng).removeprefix("say: ").partition(". again: ")
    words = rest.partition(".")[0].split()
    place = rng.randrange(1, len(words))
    choices = next(members for members in CLASSES.values() if words[0] in members)
    return f"say: {first}. again: {' '.join(words[:place])}", choices, words[place]


def after(page: Callable[[random.Random], str], ask: Callable[[random.Random], Question]) -> Callable:
    """The question at the end of a page that pretraining never read."""

    def asked(rng: random.Random) -> Question:
        read = page(rng)
        context, choices, right = ask(rng)
        return f"{read} {context.removeprefix('in the old tongue. ')}", choices, right

    return asked


TAX: dict[str, Callable[[random.Random], Question]] = {
    "facts": facts,
    "reading": reading,
    "cloze": cloze,
    "old_tongue": old_tongue,
    "few_shot": few_shot,
    "counting": counting,
}
GATE: dict[str, Callable[[random.Random], Question]] = {
    "copying": copying,
    "matching": reading,
    "counting": after(pages.counting, counting),
    "old_tongue": after(pages.dictionary, old_tongue),
}


def items(tasks: dict[str, Callable[[random.Random], Question]], count: int, seed: int = 0) -> Iterator[Item]:
    """`count` different questions of each task, or as many as there are; each with three wrong choices of its kind."""
    for task, make in tasks.items():
        rng = random.Random(f"exam {seed} {task}")
        seen: set[str] = set()
        for _ in range(30 * count):
            context, choices, right = make(rng)
            name = digest(task, context)
            if len(seen) < count and name not in seen:
                seen.add(name)
                offered = sorted([right, *rng.sample([choice for choice in choices if choice != right], 3)])
                spaced = tuple(f" {choice}" for choice in offered)
                yield Item(task=task, id=name, context=context, choices=spaced, answer=offered.index(right))
