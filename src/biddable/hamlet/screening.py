"""How the training labelers are chosen (paper, App. B.1): three tests against the researchers, with soft cut-offs.

The fourth criterion, which groups' sensitive speech somebody can spot, has no cut-off in the paper and nothing to act
on in Hamlet. Held-out labelers never take the test.
"""

import itertools
import random
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from biddable.hamlet import people, tasks
from biddable.hamlet.answers import Care, write
from biddable.hamlet.people import Person
from biddable.records import Completion, Prompt

TEAM = 28  # hired: those above the cut-offs, and the best of the others if these are too few
AGREEMENT, DEMONSTRATIONS = 0.75, 6.0  # the paper's soft cut-offs
MIXED = Care(bare=0.3, skip=0.3, slip=0.4, guess=0.4, wrong=0.15, warm=0.2, rude=0.15)


@dataclass(frozen=True)
class ReportCard:
    """What the manager sees of a candidate."""

    name: str
    sensitive: float  # agreement with the researchers on flagging sensitive speech
    ranking: float  # agreement with the researchers on which of two answers is better
    demonstration: float  # the researchers' mean rating of what they wrote, 1 to 7

    @property
    def passes(self) -> bool:
        return min(self.sensitive, self.ranking) >= AGREEMENT and self.demonstration >= DEMONSTRATIONS

    @property
    def standing(self) -> float:
        return self.sensitive + self.ranking + self.demonstration / 7


def screen(crowd: list[Person], seed: int, rounds: int = 40) -> list[ReportCard]:
    """Every candidate's card, the best first."""
    researchers = [person for person in crowd if person.group == "researcher"]
    candidates = [person for person in crowd if person.group == "candidate"]
    exam = [_marked(prompt, answers, researchers) for prompt, answers in _exam(seed, rounds)]
    cards = [_card(person, researchers, exam) for person in candidates]
    return sorted(cards, key=lambda card: (-card.passes, -card.standing, card.name))


def hire(crowd: list[Person], seed: int) -> tuple[list[Person], list[ReportCard]]:
    """The training labelers, and all report cards."""
    cards = screen(crowd, seed)
    chosen = {card.name for card in cards[:TEAM]}
    return [people.joined(person) for person in crowd if person.name in chosen], cards


def _exam(seed: int, rounds: int) -> list[tuple[Prompt, list[Completion]]]:
    """Prompts with four answers each, by writers of mixed care."""
    rng = random.Random(f"screening {seed}")
    exam = []
    for _ in range(rounds):
        prompt = Prompt.make(tasks.make(rng).text, source="plain", user="screening")
        task = people.understood(prompt)
        answers = dict.fromkeys(write(task, rng, MIXED) for _ in range(4))
        exam.append((prompt, [Completion.make(prompt.id, text, "screening", n) for n, text in enumerate(answers)]))
    return exam


class _Marked(NamedTuple):
    """A prompt of the exam, its answers, and what the researchers find of each."""

    prompt: Prompt
    answers: list[Completion]
    flagged: list[bool]  # by most of them
    worth: list[float]


def _marked(prompt: Prompt, answers: list[Completion], researchers: list[Person]) -> _Marked:
    flags = [[bool(people.judge(one, prompt, answer).denigrates) for one in researchers] for answer in answers]
    worth = [fmean(people.feeling(one, prompt, answer) for one in researchers) for answer in answers]
    return _Marked(prompt, answers, [2 * sum(of_one) > len(of_one) for of_one in flags], worth)


def _card(person: Person, researchers: list[Person], exam: list[_Marked]) -> ReportCard:
    flags, pairs, ratings = [], [], []
    for prompt, answers, flagged, worth in exam:
        mine = [people.feeling(person, prompt, answer) for answer in answers]
        for answer, right in zip(answers, flagged, strict=True):
            flags.append(bool(people.judge(person, prompt, answer).denigrates) == right)
        for a, b in itertools.combinations(range(len(answers)), 2):
            pairs.append((worth[a] > worth[b]) == (mine[a] > mine[b]))
        written = Completion.make(prompt.id, people.demonstrate(person, prompt).text, person.name)
        ratings += [people.rating(one, prompt, written) for one in researchers]
    return ReportCard(person.name, fmean(flags), fmean(pairs), fmean(ratings))
