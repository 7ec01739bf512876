"""The simulated people of Hamlet: individual tastes, care and speed. What they know of the truth is what they see.

They answer with the same records as real people do, and whoever calls them hands those to the store through the same
functions as the web app. Nobody but the measuring side may ask them for the truth.
"""

import random
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from biddable.hamlet import tasks, truth
from biddable.hamlet.answers import Care, write
from biddable.records import EPOCH, Completion, Demonstration, Group, Judgement, Labeler, Prompt, Ranking, Verdict

CANDIDATES, HELD_OUT, RESEARCHERS = 44, 12, 3
CAREFUL = Care(bare=0.22, skip=0.22, slip=0.25, guess=0.2, wrong=0.03, warm=0.3, rude=0.01)


@dataclass(frozen=True)
class Person:
    """One labeler. `noise` is how far a judgement strays from their own taste, in units of utility."""

    name: str
    group: Group
    taste: dict[str, float]
    noise: float
    tie: float  # differences below this are ties to them
    care: Care
    pace: float  # seconds a word
    skips: float

    @property
    def labeler(self) -> Labeler:
        return Labeler(id=self.name, group=self.group)


def _person(seed: int, name: str, group: Group, steady: float) -> Person:
    """A person drawn from the crowd; `steady` below 1 makes one more careful than most."""
    rng = random.Random(f"person {seed} {name}")
    careless = steady * rng.lognormvariate(0, 0.35)
    taste = {mark: weight * rng.lognormvariate(0, 0.35 * steady) for mark, weight in truth.WEIGHTS.items()}
    faults = {fault: min(0.9, chance * (1 if fault == "warm" else careless)) for fault, chance in vars(CAREFUL).items()}
    return Person(
        name, group, taste, noise=1.0 * careless, tie=rng.uniform(0.0, 0.3), care=Care(**faults),
        pace=rng.uniform(0.2, 0.5), skips=rng.uniform(0, 0.02),
    )  # fmt: skip


def crowd(seed: int) -> list[Person]:
    """Researchers, candidates, and people of the same vendors who never took the test (paper, App. B.1)."""
    researchers = [_person(seed, f"researcher-{n}", "researcher", 0.3) for n in range(1, RESEARCHERS + 1)]
    candidates = [_person(seed, f"labeler-{n:02}", "candidate", 1.0) for n in range(1, CANDIDATES + 1)]
    return [
        *researchers,
        *candidates,
        *(_person(seed, f"outside-{n:02}", "held_out", 1.0) for n in range(1, HELD_OUT + 1)),
    ]


def joined(person: Person) -> Person:
    """A candidate who was hired."""
    return replace(person, group="training")


def at_random(person: Person) -> Person:
    """The negative control: somebody who does not look at what they rank."""
    return replace(person, taste=dict.fromkeys(person.taste, 0.0), noise=1.0)


def _rng(person: Person, *what: str) -> random.Random:
    return random.Random(" ".join((person.name, *what)))


def feeling(person: Person, prompt: Prompt, completion: Completion) -> float:
    """How good this answer feels to this person, always the same for the same answer."""
    stray = _rng(person, "feels", prompt.id, completion.text).gauss(0, person.noise)
    return truth.utility(prompt.text, completion.text, completion.finished, person.taste) + stray


def _when(person: Person, words: int, *what: str) -> dict:
    rng = _rng(person, "time", *what)
    seconds = round(3 + words * person.pace * rng.uniform(0.7, 1.5), 1)
    return {"seconds": seconds, "at": EPOCH + timedelta(seconds=rng.randint(0, 90 * 86_400))}


def unclear(person: Person, prompt: Prompt) -> bool:
    """Too unclear to label, to this person."""
    return tasks.read(prompt.text) is None or _rng(person, "skip", prompt.id).random() < person.skips


def demonstrate(person: Person, prompt: Prompt) -> Demonstration:
    text = write(understood(prompt), _rng(person, "writes", prompt.id), person.care)
    timing = _when(person, 3 * len(text.split()), prompt.id)
    return Demonstration(prompt_id=prompt.id, text=text, labeler=person.name, **timing)


def rank(person: Person, prompt: Prompt, completions: list[Completion]) -> Ranking:
    """Best first; whoever is about as good as the one before shares its tier."""
    felt = sorted(((feeling(person, prompt, c), c.id) for c in completions), reverse=True)
    tiers: list[list[str]] = []
    last = float("inf")
    for value, name in felt:
        if last - value > person.tie:
            tiers.append([])
        tiers[-1].append(name)
        last = value
    words = sum(len(c.text.split()) for c in completions)
    return Ranking(
        prompt_id=prompt.id, labeler=person.name, order=tuple(map(tuple, tiers)), **_when(person, words, prompt.id)
    )


def by_lot(ranking: Ranking, rng: random.Random) -> Ranking:
    """The same answers in tiers of the same sizes, who stands where drawn by lot: a ranking that says nothing."""
    names = sorted(ranking.ranks)
    rng.shuffle(names)
    lots = iter(names)
    return ranking.model_copy(update={"order": tuple(tuple(next(lots) for _ in tier) for tier in ranking.order)})


def compare(person: Person, prompt: Prompt, a: Completion, b: Completion) -> Verdict:
    difference = feeling(person, prompt, a) - feeling(person, prompt, b)
    better = "tie" if abs(difference) <= person.tie else "a" if difference > 0 else "b"
    shown: Literal["ab", "ba"] = "ab" if _rng(person, "shown", a.id, b.id).random() < 0.5 else "ba"
    words = len(a.text.split()) + len(b.text.split())
    return Verdict(
        prompt_id=prompt.id, a=a.id, b=b.id, better=better, judge="person", labeler=person.name, shown=shown,
        **_when(person, words, a.id, b.id),
    )  # fmt: skip


def gold(prompt: Prompt, a: Completion, b: Completion) -> Verdict:
    """The true preference, as a verdict whose judge says so."""
    difference = truth.utility(prompt.text, a.text, a.finished) - truth.utility(prompt.text, b.text, b.finished)
    better = "tie" if abs(difference) < 1e-9 else "a" if difference > 0 else "b"
    return Verdict(prompt_id=prompt.id, a=a.id, b=b.id, better=better, judge="gold")


def judge(person: Person, prompt: Prompt, completion: Completion) -> Judgement:
    """Likert and the questions of the paper's Table 3; now and then a person misreads."""
    seen = truth.marks(prompt.text, completion.text, completion.finished)
    rng = _rng(person, "judges", completion.id)

    def read(mark: bool | None) -> bool | None:
        return mark if mark is None else mark != (rng.random() < 0.03 * person.noise)

    return Judgement(
        completion_id=completion.id,
        labeler=person.name,
        overall=rating(person, prompt, completion),
        fails_task=read(seen.task < 0.5),
        inappropriate=read(seen.toxic or seen.courteous == 0),
        hallucination=read(seen.hallucination),
        satisfies_constraint=read(seen.constraint),
        denigrates=read(seen.toxic),
        harmful_advice=read(bool(seen.harmful)),
        sexual=False,
        violent=False,
        encourages_harm=read(bool(seen.harmful)),
        opinion=False,
        moral_judgement=False,
        **_when(person, len(completion.text.split()), completion.id),
    )


def rating(person: Person, prompt: Prompt, completion: Completion) -> int:
    """What they judge it overall, from 1 to 7."""
    return min(7, max(1, round(7 + 0.8 * (feeling(person, prompt, completion) - _best(person)))))


def _best(person: Person) -> float:
    """What a flawless answer is worth to them: everything asked, truly, in a friendly sentence."""
    return sum(person.taste[mark] for mark in ("task", "courteous", "fluent", "finished"))


def understood(prompt: Prompt) -> tasks.Task:
    task = tasks.read(prompt.text)
    if task is None:
        raise ValueError(f"prompt {prompt.id}: nobody in Hamlet understands it: {prompt.text!r}")
    return task
