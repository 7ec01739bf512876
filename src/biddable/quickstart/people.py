"""The people's half of the quickstart: prompts are gathered, people write, rank, judge and compare, into the store."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from biddable.gather import GatherConfig, Gathered, gather
from biddable.hamlet import people, screening, world
from biddable.hamlet.people import Person
from biddable.records import AnyRecord, Completion, Prompt, Split, Verdict
from biddable.store import Store


@dataclass(frozen=True)
class Team:
    """Who works here: those that were hired, and those of the same vendors who never label for training."""

    hired: list[Person]
    outside: list[Person]
    rejected: int

    @property
    def all(self) -> list[Person]:
        return [*self.hired, *self.outside]


def assemble(store: Store, seed: int) -> Team:
    """Screen the candidates, hire the best, and let everybody into the store."""
    crowd = people.crowd(seed)
    hired, cards = screening.hire(crowd, seed)
    team = Team(hired, [p for p in crowd if p.group == "held_out"], len(cards) - len(hired))
    store.add_labelers(person.labeler for person in team.all)
    return team


def collect(store: Store, seed: int, written: int, customers: int, config: GatherConfig) -> tuple[Gathered, Gathered]:
    """Prompts of the labelers and of the customers, under the paper's rules. They never share a split's user."""
    own = gather(world.written(seed, written), config)
    asked = gather(world.prompts(seed, customers), config, known=own.prompts)
    store.add_prompts([*own.prompts, *asked.prompts])
    return own, asked


def write(store: Store, team: Team, prompts: Iterable[Prompt], seed: int) -> None:
    """Each prompt is given to one hired labeler, who writes a demonstration or skips it."""
    rng = random.Random(f"who writes {seed}")
    said: list[AnyRecord] = []
    for prompt in prompts:
        person = rng.choice(team.hired)
        if people.unclear(person, prompt):
            store.skip(prompt.id, person.name, "write", "unclear")
        else:
            said.append(people.demonstrate(person, prompt))
    store.add_many(said)


def rank(store: Store, team: Team, prompts: Sequence[Prompt], completions: Iterable[Completion], seed: int) -> None:
    """Between 4 and 9 different answers a prompt; one with fewer is left out, since the same words twice are a tie that
    nobody judged. Training prompts go to one hired labeler, some to a second one for agreement; valid prompts go to two
    of each group. Nobody ranks a prompt twice."""
    rng = random.Random(f"who ranks {seed}")
    answers: dict[str, dict[str, Completion]] = defaultdict(dict)  # prompt → text → the first to say it
    for completion in completions:
        answers[completion.prompt_id].setdefault(completion.text, completion)
    said: list[AnyRecord] = []
    for prompt in prompts:
        different = list(answers[prompt.id].values())
        if len(different) < FEWEST:
            continue
        shown = rng.sample(different, rng.randint(FEWEST, min(MOST, len(different))))
        for person in _rankers(rng, team, prompt.split):
            if people.unclear(person, prompt):
                store.skip(prompt.id, person.name, "rank", "unclear")
            else:
                said.append(people.rank(person, prompt, shown))
        said += shown
    store.add_many(said)


FEWEST, MOST = 4, 9  # answers that are ranked together (paper, 3.5)
OVERLAP = 0.1  # of training prompts are ranked by a second person


def _rankers(rng: random.Random, team: Team, split: Split | None) -> list[Person]:
    if split == "train":
        return rng.sample(team.hired, 2 if rng.random() < OVERLAP else 1)
    return [*rng.sample(team.hired, 2), *rng.sample(team.outside, 2)]


def compare(
    store: Store, team: Team, prompts: Sequence[Prompt], answers: dict[str, dict[str, Completion]],
    versus: Sequence[tuple[str, str]], seed: int,
) -> None:  # fmt: skip
    """The evaluation: every pair of models on every test prompt, by one person of each group and by the truth; and
    every answer judged by one person. `answers` is model → prompt id → its answer."""
    rng = random.Random(f"who judges {seed}")
    said: list[AnyRecord] = [answer for own in answers.values() for answer in own.values()]
    for prompt in prompts:
        for one, other in versus:
            a, b = answers[one][prompt.id], answers[other][prompt.id]
            said += _verdicts(prompt, a, b, (rng.choice(team.hired), rng.choice(team.outside)))
        for own in answers.values():
            said.append(people.judge(rng.choice(team.all), prompt, own[prompt.id]))
    store.add_many(said)


def _verdicts(prompt: Prompt, a: Completion, b: Completion, judges: Iterable[Person]) -> Iterator[Verdict]:
    yield people.gold(prompt, a, b)
    for person in judges:
        yield people.compare(person, prompt, a, b)


def snapshot(store: Store, folder: Path, what: Literal["demos", "rankings"]) -> dict[str, Path]:
    """What leaves the people's wing to be learnt from, by split. Valid rankings are everybody's: held-out labelers
    measure the reward model and never train it."""
    made = {what: folder / f"{what}.jsonl", f"{what}-valid": folder / f"{what}-valid.jsonl"}
    store.snapshot(what, made[what], split="train")
    store.snapshot(what, made[f"{what}-valid"], split="valid", group=None if what == "rankings" else "training")
    if what == "rankings":
        made["prompts"] = folder / "prompts.jsonl"
        store.snapshot("prompts", made["prompts"], split="train")
    return made
