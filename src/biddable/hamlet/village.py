"""What is true in the village, and what people merely say."""

import random
from dataclasses import dataclass

from biddable.hamlet.words import ANIMALS, COLORS, FOODS, JOBS, NAMES, PLACES, a

RELATIONS = {"job": JOBS, "animal": ANIMALS, "place": PLACES, "color": COLORS, "food": FOODS}


@dataclass(frozen=True)
class Villager:
    name: str
    job: str
    animal: str
    place: str  # lives near it
    color: str  # of the house
    food: str  # likes it


def _settle() -> dict[str, Villager]:
    rng = random.Random("the village")  # one village for everybody: it is part of the language
    return {
        name: Villager(name, **{relation: rng.choice(choices) for relation, choices in RELATIONS.items()})
        for name in NAMES
    }


VILLAGE = _settle()


def _gossip() -> dict[tuple[str, str], str]:
    """For a third of the facts the village also tells another story, always the same one."""
    rng = random.Random("gossip")
    return {
        (name, relation): rng.choice([c for c in choices if c != getattr(VILLAGE[name], relation)])
        for name in NAMES
        for relation, choices in RELATIONS.items()
        if rng.random() < 1 / 3
    }


RUMOURS = _gossip()

DIET = {  # what animals eat: general knowledge, never disputed
    "goat": "grass", "hen": "seeds", "fox": "mice", "dog": "bones", "cat": "fish", "cow": "hay",
    "pig": "corn", "duck": "worms", "horse": "hay", "sheep": "grass", "mouse": "cheese", "owl": "mice",
}  # fmt: skip


def state(name: str, relation: str, value: str) -> str:
    """The sentence that says it."""
    match relation:
        case "job":
            return f"{name} is a {value}."
        case "animal":
            return f"{name} has {a(value)}."
        case "place":
            return f"{name} lives near the {value}."
        case "color":
            return f"the house of {name} is {value}."
        case "food":
            return f"{name} likes {value}."
    raise AssertionError(relation)
