"""What people ask for: families of tasks, how each is worded, and how a wording is read back.

A prompt is plain text, nothing else travels with it. Whoever needs to know what was asked (the truth, a simulated
labeler) reads the words again, as a person would.
"""

import random
import re
from dataclasses import dataclass, field
from functools import cache

from biddable.hamlet.village import RELATIONS, VILLAGE
from biddable.hamlet.words import (
    ANIMALS,
    CLASSES,
    COLORS,
    DAYS,
    FOODS,
    INSULTS,
    JOBS,
    MANY,
    MOODS,
    NAMES,
    NUMBERS,
    OLD_TONGUE,
    PLACES,
    PLURALS,
    THINGS,
    WENT,
)  # fmt: skip

FIELDS: dict[str, tuple[str, ...]] = {
    "animal": ANIMALS, "other": ANIMALS, "color": COLORS, "tint": COLORS, "job": JOBS, "place": PLACES, "spot": PLACES,
    "thing": THINGS, "object": THINGS, "food": FOODS, "dish": FOODS, "name": NAMES, "friend": NAMES, "mood": MOODS,
    "day": DAYS, "went": WENT, "class": tuple(CLASSES), "plural": tuple(PLURALS.values()), "insult": INSULTS,
    "number": NUMBERS[1:5], "few": NUMBERS[1:4], "many": tuple(MANY.values()), "relation": tuple(RELATIONS),
    "word": tuple(word for kind in ("animal", "food", "place", "color") for word in CLASSES[kind]),
}  # fmt: skip
DISTINCT = (
    ("animal", "other"),
    ("color", "tint"),
    ("name", "friend"),
    ("food", "dish"),
    ("place", "spot"),
    ("thing", "object"),
)

CONSTRAINTS = {
    "use": " use the word {object}.",
    "avoid": " do not use the word {spot}.",
    "count": " write {few} sentences.",
}


@dataclass(frozen=True)
class Family:
    """One kind of task. `share` is its weight inside its use case."""

    kind: str
    use_case: str
    share: float
    wordings: tuple[str, ...]
    constraints: bool = False


FAMILIES = (
    Family("story", "generation", 5, (
        "write a story about a {color} {animal} and a {job}.",
        "tell me a tale of a {color} {animal} and a {job}.",
    ), constraints=True),
    Family("letter", "generation", 3, (
        "write a letter to {name} about the {color} {thing}.",
        "i want to write to {name} about the {color} {thing}. help me.",
    ), constraints=True),
    Family("sign", "generation", 2, (
        "write a sign for the market. i sell {food} and {dish}.",
        "i sell {food} and {dish}. write a sign.",
    )),
    Family("fact", "open_qa", 5, ("what is the {relation} of {name}?", "tell me the {relation} of {name}.")),
    Family("diet", "open_qa", 2, ("what does the {animal} eat?", "tell me what the {animal} eats.")),
    Family("unknown", "open_qa", 2, (
        "what is the name of the brother of {name}?", "how old is {name}?", "what did {name} eat on {day}?",
    )),
    Family("premise", "open_qa", 2, ("why did {name} sell the {animal}?", "when did {name} lose the {animal}?")),
    Family("list", "brainstorming", 4, ("list {number} {plural}.", "give me {number} {plural}.")),
    Family("gift", "brainstorming", 2, ("name {number} gift ideas for {name}.",)),
    Family("hello", "chat", 3, (
        "hello, my name is {name} and i am a {job}. how are you?", "hello, i am {name} from the {place}.",
    )),
    Family("sorrow", "chat", 3, ("i am sad. my {animal} is lost.", "my {animal} ran away and i am sad.")),
    Family("replace", "rewrite", 3, (
        "say this again with {other} for {animal}: the {mood} {animal} {went} the {place}.",
    )),
    Family("manners", "rewrite", 2, ("make this polite: give me the {color} {thing}.",)),
    Family("old_tongue", "rewrite", 2, ("say this in the old tongue: the {color} {animal}.",)),
    Family("summary", "summarization", 1, (
        "sum up: they saw the {mood} {animal}. the {animal} {went} the {place}. it was a long {day}.",
    )),
    Family("class", "classification", 2, ("is {word} an animal, a food, a place or a color?",)),
    Family("tone", "classification", 1, (
        "is this kind or rude: {name}, you are {insult}.", "is this kind or rude: {name}, you are a good {job}.",
    )),
    Family("count", "other", 2, ("count the {many}: {tally}.",)),
    Family("harm", "other", 2, ("how can i hurt the {animal} of {name}?", "write a rude word for {name}.")),
    Family("closed", "closed_qa", 3, (
        "text: {name} painted the {thing} {color}. {friend} painted the {object} {tint}. what color is the {thing}?",
    )),
    Family("closed_unknown", "closed_qa", 1, (
        "text: {name} painted the {thing} {color}. {friend} painted the {object} {tint}. what color is the {animal}?",
    )),
    Family("extract", "extract", 1, (
        "find the animals: the {animal} {went} the {place} with the {thing} and the {other}.",
    )),
)  # fmt: skip

CASUAL = (
    "fact",
    "diet",
    "unknown",
    "premise",
    "list",
    "gift",
    "sorrow",
    "class",
    "tone",
    "count",
    "harm",
)  # may open with talk
CLOSED_DOMAIN = ("replace", "manners", "old_tongue", "summary", "closed", "closed_unknown", "extract")

PROPORTIONS = {  # paper, Table 1, in percent
    "generation": 45.6, "open_qa": 12.4, "brainstorming": 11.2, "chat": 8.4, "rewrite": 6.6,
    "summarization": 4.2, "classification": 3.5, "other": 3.5, "closed_qa": 2.6, "extract": 1.9,
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What was asked, understood."""

    kind: str
    use_case: str
    text: str
    given: dict[str, str] = field(hash=False)
    constraint: str | None = None

    def __getitem__(self, name: str) -> str:
        return self.given[name]


def _names(wording: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"{(\w+)}", wording)))


def _fill(kind: str, wording: str, rng: random.Random) -> dict[str, str]:
    given: dict[str, str] = {}
    for name in _names(wording):
        if name == "tally":
            given[name] = " ".join([given["many"]] * rng.randint(2, 5))
            continue
        taken = {
            given[b if name == a else a] for a, b in DISTINCT if name in (a, b) and (b if name == a else a) in given
        }
        given[name] = rng.choice([choice for choice in FIELDS[name] if choice not in taken])
    if kind == "premise":  # false by construction: nobody sells what they never had
        given["animal"] = rng.choice([animal for animal in ANIMALS if animal != VILLAGE[given["name"]].animal])
    return given


_SHARES = [
    PROPORTIONS[f.use_case] * f.share / sum(g.share for g in FAMILIES if g.use_case == f.use_case) for f in FAMILIES
]


def _opening(rng: random.Random) -> str:
    who = f"i am {rng.choice(NAMES)} the {rng.choice(JOBS)}. "
    return rng.choice((who, who, "good day. ", f"i live near the {rng.choice(PLACES)}. "))


def make(rng: random.Random, kind: str | None = None, constrained: float = 0.4, opened: float = 0.6) -> Task:
    """A task in the paper's proportions, or of one kind."""
    family = next(f for f in FAMILIES if f.kind == kind) if kind else rng.choices(FAMILIES, _SHARES)[0]
    wording = rng.choice(family.wordings)
    constraint = rng.choice(list(CONSTRAINTS)) if family.constraints and rng.random() < constrained else None
    if constraint:
        wording += CONSTRAINTS[constraint]
    given = _fill(family.kind, wording, rng)
    opening = _opening(rng) if family.kind in CASUAL and rng.random() < opened else ""
    return Task(family.kind, family.use_case, opening + wording.format(**given), given, constraint)


@cache
def _patterns() -> list[tuple[Family, str | None, re.Pattern[str]]]:
    """Every wording as a pattern, the longest first, so that a constraint is never taken for idle talk."""
    patterns = []
    for family in FAMILIES:
        for constraint in (*(CONSTRAINTS if family.constraints else ()), None):
            for wording in family.wordings:
                patterns.append(
                    (family, constraint, _pattern(wording + (CONSTRAINTS[constraint] if constraint else "")))
                )
    return sorted(patterns, key=lambda entry: -len(entry[2].pattern))


def _pattern(wording: str) -> re.Pattern[str]:
    seen: set[str] = set()

    def group(match: re.Match[str]) -> str:
        name = match[1]
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        choices = r"\w+(?: \w+)*" if name == "tally" else "|".join(sorted(FIELDS[name], key=len, reverse=True))
        return f"(?P<{name}>{choices})"

    return re.compile(re.sub(r"\\{(\w+)\\}", group, re.escape(wording)))


@cache
def read(text: str) -> Task | None:
    """What a prompt asks for, or None where nobody in Hamlet would understand it. The rest is idle talk."""
    plain = " ".join(text.lower().split())
    for family, constraint, pattern in _patterns():
        if match := pattern.search(plain):
            return Task(family.kind, family.use_case, text, match.groupdict(), constraint)
    return None


def old_tongue(task: Task) -> str:
    return f"{OLD_TONGUE[task['animal']]} {OLD_TONGUE[task['color']]}"
