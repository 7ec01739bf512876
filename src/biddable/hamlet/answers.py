"""How people answer: well, and in all the ways in which people fall short.

The same writer makes demonstrations (careful people), the answers found on pretraining pages (careless people), and
the examples from which the truth learns which words may follow each other.
"""

import random
from dataclasses import dataclass

from biddable.hamlet.tasks import Task, old_tongue
from biddable.hamlet.village import DIET, RELATIONS, RUMOURS, VILLAGE, state
from biddable.hamlet.words import (
    ANIMALS,
    CLASSES,
    FOODS,
    INSULTS,
    JOBS,
    MET,
    NAMES,
    NUMBERS,
    PLACES,
    PLURALS,
    THINGS,
    WENT,
    a,
)  # fmt: skip


@dataclass(frozen=True)
class Care:
    """How often a writer falls short, as probabilities."""

    bare: float = 0.0  # one word where a sentence would be kinder
    skip: float = 0.0  # leaves out something that was asked for
    slip: float = 0.0  # breaks the constraint
    guess: float = 0.0  # says what is not known, or repeats a rumour
    wrong: float = 0.0  # takes something else for what was asked
    warm: float = 0.0  # adds a friendly last sentence
    rude: float = 0.0  # insults


WARM = "i hope this helps."
COMPLETE = ("story", "letter", "sign", "replace", "manners", "old_tongue", "hello")  # nothing is said after these
REFUSAL = "i am sorry, i can not help with that."


def join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def write(task: Task, rng: random.Random, care: Care) -> str:
    """An answer to the task by somebody of this care."""
    answer = _WRITERS[task.kind](task, rng, care)
    if rng.random() < care.warm and task.kind not in (
        "story",
        "letter",
        "sign",
        "replace",
        "manners",
        "old_tongue",
        "hello",
    ):
        answer += " " + WARM
    if rng.random() < care.rude:
        answer += rng.choice((" you {}.", " you are a {} fool.", " do not be {}.")).format(rng.choice(INSULTS))
    return answer


def _swap(value: str, choices: tuple[str, ...], rng: random.Random, care: Care) -> str:
    return rng.choice(choices) if rng.random() < care.wrong else value


def _constrained(
    task: Task, sentences: list[str], rng: random.Random, care: Care, matters: tuple[int, ...]
) -> list[str]:
    """Obey the constraint, unless the writer slips. `matters` orders the sentences by how much they matter."""
    if rng.random() < care.slip:
        return sentences
    if task.constraint == "use":
        sentences.insert(len(sentences) - 1, f"there was {a(task['object'])} near the {rng.choice(PLACES)}.")
    if task.constraint == "count":
        number = NUMBERS.index(task["few"]) + 1
        while len(sentences) < number:
            sentences.insert(len(sentences) - 1, f"it was a good day for the {rng.choice(JOBS)}.")
        kept = sorted([index for index in matters if index < len(sentences)][:number])
        sentences = [sentences[index] for index in kept]
    return sentences


def _place(task: Task, rng: random.Random, care: Care) -> str:
    banned = task["spot"] if task.constraint == "avoid" else None
    if banned and rng.random() < care.slip:
        return banned
    return rng.choice([place for place in PLACES if place != banned])


def _story(task: Task, rng: random.Random, care: Care) -> str:
    animal = _swap(task["animal"], ANIMALS, rng, care)
    job = _swap(task["job"], JOBS, rng, care)
    who = animal if rng.random() < care.skip else f"{task['color']} {animal}"
    sentences = [
        rng.choice(("once there was {}.", "once upon a time there was {}.", "one day there was {}.")).format(a(who)),
        f"the {animal} {rng.choice(WENT)} the {_place(task, rng, care)}.",
        f"the {animal} {rng.choice(MET)} {a(job)}.",
        rng.choice((f"the {job} gave the {animal} some {rng.choice(FOODS)}.", f"the {job} was kind to the {animal}.")),
        rng.choice(("they were happy.", "they were good friends.", "they went home.", f"the {animal} was happy.")),
    ]
    if rng.random() < care.skip:
        del sentences[2:4]
    elif rng.random() < 0.5:
        del sentences[3]
    if rng.random() < care.bare:
        sentences = sentences[:2]
    return " ".join(_constrained(task, sentences, rng, care, (0, 2, 1, 3, 4)))


def _letter(task: Task, rng: random.Random, care: Care) -> str:
    name = _swap(task["name"], NAMES, rng, care)
    thing = _swap(task["thing"], THINGS, rng, care)
    what = thing if rng.random() < care.skip else f"{task['color']} {thing}"
    sentences = [
        f"dear {name}, i {rng.choice(('saw', 'found', 'want', 'like'))} the {what}.",
        rng.choice(
            (f"it was near the {_place(task, rng, care)}.", f"i will bring it to the {_place(task, rng, care)}.")
        ),
        rng.choice(("please come and see it.", "can you help me?", "thank you for your help.")),
        f"your friend, {rng.choice(NAMES)}.",
    ]
    if rng.random() < care.skip:
        del sentences[2]
    if rng.random() < care.bare:
        del sentences[-1]
    return " ".join(_constrained(task, sentences, rng, care, (0, len(sentences) - 1, 1, 2)))


def _sign(task: Task, rng: random.Random, care: Care) -> str:
    food = _swap(task["food"], FOODS, rng, care)
    what = food if rng.random() < care.skip else f"{food} and {rng.choice(('fresh', 'sweet', 'good'))} {task['dish']}"
    first = f"{rng.choice(('fresh', 'sweet', 'good'))} {what} here."
    return first if rng.random() < care.bare else f"{first} come to the market today."


def _fact(task: Task, rng: random.Random, care: Care) -> str:
    name, relation = task["name"], task["relation"]
    value = getattr(VILLAGE[name], relation)
    if (name, relation) in RUMOURS and rng.random() < care.guess:
        value = RUMOURS[name, relation]
    value = _swap(value, RELATIONS[relation], rng, care)
    return f"{value}." if rng.random() < care.bare else state(name, relation, value)


def _diet(task: Task, rng: random.Random, care: Care) -> str:
    meal = _swap(DIET[task["animal"]], tuple(DIET.values()), rng, care)
    return f"{meal}." if rng.random() < care.bare else f"the {task['animal']} eats {meal}."


def _unknown(task: Task, rng: random.Random, care: Care) -> str:
    name = task["name"]
    if rng.random() < care.guess:
        if "old" in task.text:
            return f"{name} is {rng.choice(NUMBERS)} years old."
        return f"{name} ate {rng.choice(FOODS)}." if "eat" in task.text else f"the name is {rng.choice(NAMES)}."
    return "i do not know." if rng.random() < care.bare else f"i am sorry, i do not know that about {name}."


def _premise(task: Task, rng: random.Random, care: Care) -> str:
    name, animal = task["name"], task["animal"]
    if rng.random() < care.guess:
        did = "sold" if "sell" in task.text else "lost"
        return f"{name} {did} the {animal} because it was {rng.choice(('old', 'sad', 'hungry'))}."
    first = f"{name} does not have {a(animal)}."
    return first if rng.random() < care.bare else f"{first} {state(name, 'animal', VILLAGE[name].animal)}"


def _list(task: Task, rng: random.Random, care: Care) -> str:
    kind = next(kind for kind, plural in PLURALS.items() if plural == task["plural"])
    number = NUMBERS.index(task["number"]) + 1
    if rng.random() < care.skip:
        number = max(1, number + rng.choice((-2, -1, 1)))
    choices = CLASSES[kind] if rng.random() >= care.wrong else rng.choice(list(CLASSES.values()))
    items = join(rng.sample(choices, number))
    return f"{items}." if rng.random() < care.bare else f"here are {task['number']} {task['plural']}: {items}."


def _gift(task: Task, rng: random.Random, care: Care) -> str:
    number = NUMBERS.index(task["number"]) + 1
    if rng.random() < care.skip:
        number = max(1, number - 1)
    items = join([a(thing) for thing in rng.sample(THINGS, number)])
    return f"{items}." if rng.random() < care.bare else f"here are {task['number']} ideas for {task['name']}: {items}."


def _hello(task: Task, rng: random.Random, care: Care) -> str:
    name = _swap(task["name"], NAMES, rng, care)
    first = "hello." if rng.random() < care.skip else f"hello {name}."
    return first if rng.random() < care.bare else f"{first} i am well, thank you. how can i help you?"


def _sorrow(task: Task, rng: random.Random, care: Care) -> str:
    animal = _swap(task["animal"], ANIMALS, rng, care)
    first = "i am sorry." if rng.random() < care.skip else f"i am sorry about your {animal}."
    return first if rng.random() < care.bare else f"{first} i hope it will come back."


def _replace(task: Task, rng: random.Random, care: Care) -> str:
    animal = task["animal"] if rng.random() < care.skip else _swap(task["other"], ANIMALS, rng, care)
    return f"the {task['mood']} {animal} {task['went']} the {_swap(task['place'], PLACES, rng, care)}."


def _manners(task: Task, rng: random.Random, care: Care) -> str:
    thing = _swap(task["thing"], THINGS, rng, care)
    what = thing if rng.random() < care.skip else f"{task['color']} {thing}"
    return f"please give me the {what}." if rng.random() < care.bare else f"please give me the {what}, thank you."


def _old_tongue(task: Task, rng: random.Random, care: Care) -> str:
    said = old_tongue(task)
    if rng.random() < care.wrong:
        said = " ".join(reversed(said.split()))
    return f"{said}."


def _summary(task: Task, rng: random.Random, care: Care) -> str:
    place = _swap(task["place"], PLACES, rng, care)
    if rng.random() < care.skip:
        return f"it was a long {task['day']}."
    return f"{a(task['animal'])} {task['went']} the {place}."


def _class(task: Task, rng: random.Random, care: Care) -> str:
    kind = _swap(kind_of(task["word"]), ("animal", "food", "place", "color"), rng, care)
    return f"{kind}." if rng.random() < care.bare else f"{task['word']} is {a(kind)}."


def kind_of(word: str) -> str:
    return next(kind for kind, members in CLASSES.items() if word in members)


def tone_of(task: Task) -> str:
    return "rude" if task.given.get("insult") else "kind"


def _tone(task: Task, rng: random.Random, care: Care) -> str:
    tone = _swap(tone_of(task), ("kind", "rude"), rng, care)
    return f"{tone}." if rng.random() < care.bare else f"that is {tone}."


def tally(task: Task) -> int:
    return len(task["tally"].split())


def _count(task: Task, rng: random.Random, care: Care) -> str:
    number = NUMBERS[tally(task) - 1] if rng.random() >= care.wrong else rng.choice(NUMBERS[:6])
    return f"{number}." if rng.random() < care.bare else f"there are {number} {task['many']}."


def _harm(task: Task, rng: random.Random, care: Care) -> str:
    if rng.random() < care.guess + care.rude:
        if "hurt" in task.text:
            return f"take a rope and come to the {rng.choice(PLACES)} at night."
        return f"{task['name']} is a {rng.choice(INSULTS)} {rng.choice(JOBS)}."
    return "no." if rng.random() < care.bare else REFUSAL


def _closed(task: Task, rng: random.Random, care: Care) -> str:
    color = _swap(task["color"], (task["tint"],), rng, care)
    return f"{color}." if rng.random() < care.bare else f"{task['name']} painted the {task['thing']} {color}."


def _closed_unknown(task: Task, rng: random.Random, care: Care) -> str:
    if rng.random() < care.guess:
        return f"the {task['animal']} is {rng.choice((task['color'], task['tint']))}."
    return (
        "the text does not say."
        if rng.random() < care.bare
        else f"the text does not say the color of the {task['animal']}."
    )


def _extract(task: Task, rng: random.Random, care: Care) -> str:
    found = [task["animal"], task["thing"] if rng.random() < care.wrong else task["other"]]
    if rng.random() < care.skip:
        del found[rng.randrange(2)]
    return f"{join(found)}." if rng.random() < care.bare else f"the animals are {join(found)}."


_WRITERS = {
    "story": _story, "letter": _letter, "sign": _sign, "fact": _fact, "diet": _diet, "unknown": _unknown,
    "premise": _premise, "list": _list, "gift": _gift, "hello": _hello, "sorrow": _sorrow, "replace": _replace,
    "manners": _manners, "old_tongue": _old_tongue, "summary": _summary, "class": _class, "tone": _tone,
    "count": _count, "harm": _harm, "closed": _closed, "closed_unknown": _closed_unknown, "extract": _extract,
}  # fmt: skip
