"""A miniature for methods that learn from people's rankings: a start that errs, rankings of its answers, a judge.

The start is the base taught by writers of two kinds, so that it is sometimes rude or curt, faults that few rankings can
mend. Its own answers are ranked by simulated people, who disagree as people do.
"""

import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from biddable import hamlet, records, runs
from biddable.hamlet import pages, people, tasks, truth
from biddable.hamlet.answers import Care, write
from biddable.learn import reward, sft
from biddable.measure.interval import Interval, bootstrap
from biddable.records import Completion, Demonstration, Labeler, Page, Prompt, Record
from biddable.sample.completions import SampleConfig, completions

SHOWN, RANKED, ASKED, TESTED = 400, 400, 600, 500
CARELESS = Care(bare=0.4, rude=0.5)
ANSWER = 56  # tokens


def prompts(name: str, count: int) -> list[Prompt]:
    rng = random.Random(name)
    return [Prompt.make(tasks.make(rng).text, user=f"{name}-{n}", split="train") for n in range(count)]


def written(path: Path, rows: list[Record]) -> Path:
    records.write(path, rows)
    return path


def answers(model: Path, asked: list[Prompt], k: int, seed: int) -> list[Completion]:
    return completions(model, asked, SampleConfig(k=k, answer_tokens=ANSWER), run_id="policy", seed=seed)


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("miniature")


@pytest.fixture(scope="session")
def start(place) -> Path:
    rng = random.Random("writers")
    shown = prompts("shown", SHOWN)
    said = [write(people.understood(p), rng, rng.choice((Care(), CARELESS))) for p in shown]
    rows = [Demonstration(prompt_id=p.id, text=text, labeler="ada") for p, text in zip(shown, said, strict=True)]
    demos = written(place / "demos.jsonl", [Labeler(id="ada", group="training"), *shown, *rows])
    config = sft.SftConfig(epochs=2, batch=16, learning_rate=1e-3)
    with runs.start(place / "sft", "sft", config, {"model": hamlet.BASE, "demos": demos}, 0) as run:
        return sft.train(run, config, model=hamlet.BASE, demos=demos)


@pytest.fixture(scope="session")
def rankings(place, start) -> Path:
    """Four answers of the start to each prompt, ranked by one of twelve people."""
    team = [people.joined(person) for person in people.crowd(0) if person.group == "candidate"][:12]
    asked, rng = prompts("ranked", RANKED), random.Random("who")
    made = answers(start, asked, 4, 1)
    said = [people.rank(rng.choice(team), p, made[4 * n : 4 * n + 4]) for n, p in enumerate(asked)]
    return written(place / "rankings.jsonl", [*(person.labeler for person in team), *asked, *made, *said])


@pytest.fixture(scope="session")
def judge(place, start, rankings) -> Path:
    config = reward.RewardConfig(learning_rate=1e-3, batch=8, center="answers")
    with runs.start(place / "reward", "reward", config, {"model": start, "rankings": rankings}, 0) as run:
        return reward.train(run, config, model=start, rankings=rankings)


@pytest.fixture(scope="session")
def asked(place) -> Path:
    """Prompts to which a policy may try answers."""
    return written(place / "asked.jsonl", [*prompts("asked", ASKED)])


@pytest.fixture(scope="session")
def text(place) -> Path:
    """What the base was pretrained on."""
    read = islice(pages.pages(0), 400)
    return written(place / "text.jsonl", [Page(id=f"p{n}", text=page) for n, page in enumerate(read)])


@pytest.fixture(scope="session")
def over_start(start) -> Callable[[Path, int], Interval]:
    """How often, by the truth, a model's answer is better than the start's; ½ where neither is."""
    tested = prompts("tested", TESTED)

    def worth(model: Path, seed: int) -> np.ndarray:
        made = answers(model, tested, 1, seed)
        return np.array([truth.utility(p.text, a.text, a.finished) for p, a in zip(tested, made, strict=True)])

    before_P = worth(start, 2)

    def over(model: Path, seed: int) -> Interval:
        gain_P = worth(model, seed) - before_P
        found = bootstrap((np.where(np.abs(gain_P) < 1e-9, 0, np.sign(gain_P)) + 1) / 2, [p.id for p in tested])
        print(f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]")  # docs/results.md: pytest -rP
        return found

    return over
