import random
from typing import NamedTuple

import pytest

from biddable.hamlet import people, screening, tasks
from biddable.hamlet.answers import write
from biddable.hamlet.people import Person
from biddable.records import Completion, Prompt


class Hired(NamedTuple):
    team: list[Person]
    outside: list[Person]
    cards: list[screening.ReportCard]


@pytest.fixture(scope="session")
def hired() -> Hired:
    """One screening for the whole suite: it takes seconds."""
    crowd = people.crowd(0)
    team, cards = screening.hire(crowd, 0)
    return Hired(team, [person for person in crowd if person.group == "held_out"], cards)


@pytest.fixture(scope="session")
def sheets() -> list[tuple[Prompt, list[Completion]]]:
    """Prompts with several answers each, by writers of mixed care: what a labeler is given to rank."""
    rng = random.Random("sheets")
    made = []
    for n in range(120):
        task = tasks.make(rng)
        prompt = Prompt.make(task.text, user=f"u{n}", split="train", use_case=task.use_case)
        texts = dict.fromkeys(write(task, rng, screening.MIXED) for _ in range(7))
        made.append((prompt, [Completion.make(prompt.id, text, "writer", i) for i, text in enumerate(texts)]))
    return [(prompt, answers) for prompt, answers in made if len(answers) > 1]
