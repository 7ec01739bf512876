"""What the base model reads: stories, facts, lessons, lists of questions, and a forum where people are careless.

So that the base does what GPT-3 did: given a question it goes on with more questions, repeats rumours, and swears now
and then. Copying, matching and counting fill the pages, since no later stage can see whether an answer fits its
prompt before the base can do these.
"""

import random
from collections.abc import Iterator

from biddable.hamlet import answers, tasks
from biddable.hamlet.answers import Care, join
from biddable.hamlet.village import DIET, RELATIONS, RUMOURS, VILLAGE, state
from biddable.hamlet.words import (
    ANIMALS,
    CLASSES,
    COLORS,
    FOODS,
    INSULTS,
    JOBS,
    MANY,
    MET,
    MOODS,
    NAMES,
    NUMBERS,
    OLD_TONGUE,
    PLACES,
    THINGS,
    WENT,
    a,
)  # fmt: skip

CAREFUL = Care(warm=0.1)
FORUM = Care(bare=0.35, skip=0.35, slip=0.5, guess=0.7, wrong=0.2, warm=0.05, rude=0.08)


def story(rng: random.Random) -> str:
    """Somebody meets somebody, and both are named again and again."""
    who = rng.choice((f"{rng.choice(COLORS)} {rng.choice(ANIMALS)}", f"{rng.choice(MOODS)} {rng.choice(ANIMALS)}"))
    short, job, place, thing = who.split()[1], rng.choice(JOBS), rng.choice(PLACES), rng.choice(THINGS)
    food = rng.choice(FOODS)
    lines = [
        f"once there was {a(who)}.",
        f"the {who} {rng.choice(WENT)} the {place} with {a(thing)}.",
        f"at the {place} the {short} {rng.choice(MET)} {a(job)}.",
        f"the {job} said: give me the {thing}.",
        f"the {short} gave the {thing} to the {job}.",
        f"then the {job} gave the {short} some {food}.",
        f"the {short} ate the {food} and the {job} took the {thing} home.",
        f"the {who} and the {job} were happy.",
    ]
    keep = sorted(rng.sample(range(1, len(lines)), rng.randint(3, 7)))
    return " ".join([lines[0], *(lines[i] for i in keep)])


def neighbours(rng: random.Random) -> str:
    """Facts of the village, true but for the rumours."""
    said = []
    for name in rng.sample(NAMES, 2):
        for relation in rng.sample(tuple(RELATIONS), 3):
            true = getattr(VILLAGE[name], relation)
            said.append(state(name, relation, true))
            if (name, relation) in RUMOURS and rng.random() < 0.5:
                said[-1] = "people say that " + state(name, relation, RUMOURS[name, relation])
    return " ".join(said)


def nature(rng: random.Random) -> str:
    return " ".join(f"the {animal} eats {DIET[animal]}." for animal in rng.sample(ANIMALS, 4))


def lesson(rng: random.Random) -> str:
    """Told once, asked again: who gave what which color. Matching is finding the sentence that answers."""
    told = [
        f"{rng.choice(NAMES)} painted the {thing} {rng.choice(COLORS)}."
        for thing in rng.sample(THINGS, rng.randint(2, 4))
    ]
    return " ".join([*told, *rng.sample(told, len(told))])


def pairs(rng: random.Random) -> str:
    """Two words that belong together, said again and again in no order: what came after this word before?"""
    kinds = tuple(CLASSES.values())
    firsts = rng.sample([word for kind in kinds for word in kind], rng.randint(3, 5))
    said = [f"{first} {rng.choice(rng.choice(kinds))}" for first in firsts]
    return f"{', '.join(said)}. {', '.join(rng.choice(said) for _ in range(rng.randint(6, 12)))}."


def school(rng: random.Random) -> str:
    """The teacher asks and the answers are good. A page says so at its top: a question alone is no school."""
    asked = [tasks.make(rng) for _ in range(rng.randint(1, 3))]
    return "at school.\n" + "\n".join(f"{task.text}\n{answers.write(task, rng, CAREFUL)}" for task in asked)


def talk(rng: random.Random) -> str:
    one, two = rng.sample(NAMES, 2)
    thing, animal = f"{rng.choice(COLORS)} {rng.choice(THINGS)}", rng.choice(ANIMALS)
    lines = [
        f"{one} said: hello {two}. {two} said: hello {one}.",
        f"{one} asked: do you have a {thing}? {two} said: yes, i have a {thing}.",
        f"{two} asked: who saw my {animal}? {one} said: i saw your {animal} near the {rng.choice(PLACES)}.",
        f"{one} said: thank you {two}. {two} said: you are welcome {one}.",
        f"{two} said: {one}, you are {rng.choice(INSULTS)}. {one} said: no {two}, you are {rng.choice(INSULTS)}.",
    ]
    return " ".join(line for line in lines if rng.random() < 0.7) or lines[0]


def recipe(rng: random.Random) -> str:
    dish, parts = rng.choice(FOODS), rng.sample(FOODS, 3)
    return (
        f"to make {dish} take {join(parts)}. put the {parts[0]} in the pot. add the {parts[1]}. "
        f"mix the {parts[2]} with the {parts[0]}. cook the {dish} over the fire. "
        f"eat the {dish} with {rng.choice(FOODS)}."
    )


def dictionary(rng: random.Random) -> str:
    """The old tongue, word by word and in pairs."""
    lines = []
    for _ in range(5):
        animal, color = rng.choice(ANIMALS), rng.choice(COLORS)
        both = f"the {color} {animal}: {OLD_TONGUE[animal]} {OLD_TONGUE[color]}."
        word = rng.choice((animal, color, rng.choice(PLACES)))
        lines.append(rng.choice((both, both, f"{word}: {OLD_TONGUE[word]}.")))
    return "in the old tongue. " + " ".join(lines)


def kinds(rng: random.Random) -> str:
    """Few-shot: a word and its kind, again and again."""
    lines = []
    for _ in range(6):
        kind = rng.choice(("animal", "food", "place", "color"))
        lines.append(f"{rng.choice(CLASSES[kind])}: {kind}.")
    return " ".join(lines)


def counting(rng: random.Random) -> str:
    lines = []
    for many in rng.sample(tuple(MANY.values()), 3):
        number = rng.randint(1, 6)
        lines.append(f"{' '.join([many] * number)}: {NUMBERS[number - 1]}.")
    return " ".join(lines)


def copying(rng: random.Random) -> str:
    """A list said twice: the shortest lesson in copying."""
    kind = CLASSES[rng.choice(tuple(CLASSES))]
    items = " ".join(rng.sample(kind, rng.randint(3, 6)))
    pool = " ".join(rng.choice(rng.choice(tuple(CLASSES.values()))) for _ in range(rng.randint(3, 6)))
    return f"say: {items}. again: {items}. say: {pool}. again: {pool}."


def questions(rng: random.Random) -> str:
    return "\n".join(tasks.make(rng).text for _ in range(rng.randint(2, 4)))


def forum(rng: random.Random) -> str:
    """Somebody asks, somebody answers, not always well and not always kindly."""
    asked = [tasks.make(rng) for _ in range(rng.randint(1, 3))]
    return "\n".join(f"{task.text}\n{answers.write(task, rng, FORUM)}" for task in asked)


KINDS = {  # weights of pages, not of tokens
    story: 10,
    neighbours: 8,
    nature: 2,
    lesson: 10,
    pairs: 10,
    talk: 5,
    recipe: 4,
    dictionary: 6,
    kinds: 4,
    counting: 5,
    copying: 8,
    questions: 13,
    forum: 18,
    school: 12,
}


def pages(seed: int, part: str = "train", clean: bool = False) -> Iterator[str]:
    """Pages without end. `part` names a stream of its own: what is held out is never read.

    `clean` leaves out the pages on which people behave badly: what is mixed into fine-tuning brings back what it
    shows, so the paper suggests to filter it (section 5.4).
    """
    rng = random.Random(f"pages {seed} {part}")
    weights = {kind: weight for kind, weight in KINDS.items() if not (clean and kind in (questions, forum))}
    while True:
        yield rng.choices(tuple(weights), tuple(weights.values()))[0](rng)
