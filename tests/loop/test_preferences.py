"""Each way to learn from preferences without PPO makes the model better than its supervised start, by the truth.

One start for all: the base taught by writers of mixed care, so that it is sometimes rude or curt, faults that few
rankings can mend. Its own answers are ranked by simulated people, who disagree as people do.
"""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from biddable import hamlet, records, runs
from biddable.config import Settings
from biddable.hamlet import people, tasks, truth
from biddable.hamlet.answers import Care, write
from biddable.learn import dpo, raft, reward, sft
from biddable.learn.dpo import DpoConfig
from biddable.learn.raft import RaftConfig
from biddable.measure.interval import Interval, bootstrap
from biddable.records import Completion, Demonstration, Labeler, Prompt, Record
from biddable.sample.completions import SampleConfig, completions

SHOWN, RANKED, TESTED = 400, 400, 500
CARELESS = Care(bare=0.4, rude=0.5)
ANSWER = 56  # tokens

METHODS: dict[str, Settings] = {
    "dpo": DpoConfig(learning_rate=3e-4, batch=16, epochs=1),
    "ipo": DpoConfig(method="ipo", learning_rate=3e-4, batch=16, epochs=1),
    "hinge": DpoConfig(method="hinge", learning_rate=3e-4, batch=16, epochs=1),
    "kto": DpoConfig(method="kto", learning_rate=3e-4, batch=16, epochs=1),
    "orpo": DpoConfig(method="orpo", beta=1.0, learning_rate=3e-4, batch=16, epochs=1),
    "simpo": DpoConfig(method="simpo", learning_rate=3e-4, batch=16, epochs=1),
    "raft": RaftConfig(iterations=4, batch=64, k=8, minibatch=16, learning_rate=5e-4, answer_tokens=ANSWER),
}


@pytest.fixture(autouse=True, scope="module")
def alone():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="module")
def quiet():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIDDABLE_QUIET", "1")
        yield


def prompts(name: str, count: int) -> list[Prompt]:
    rng = random.Random(name)
    return [Prompt.make(tasks.make(rng).text, user=f"{name}-{n}", split="train") for n in range(count)]


def written(path: Path, rows: list[Record]) -> Path:
    records.write(path, rows)
    return path


def answers(model: Path, asked: list[Prompt], k: int, seed: int) -> list[Completion]:
    return completions(model, asked, SampleConfig(k=k, answer_tokens=ANSWER), run_id="policy", seed=seed)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("preferences")


@pytest.fixture(scope="module")
def start(place) -> Path:
    """The base, taught by two kinds of writers."""
    rng = random.Random("writers")
    shown = prompts("shown", SHOWN)
    said = [write(people.understood(p), rng, rng.choice((Care(), CARELESS))) for p in shown]
    rows = [Demonstration(prompt_id=p.id, text=text, labeler="ada") for p, text in zip(shown, said, strict=True)]
    demos = written(place / "demos.jsonl", [Labeler(id="ada", group="training"), *shown, *rows])
    config = sft.SftConfig(epochs=2, batch=16, learning_rate=1e-3)
    with runs.start(place / "sft", "sft", config, {"model": hamlet.BASE, "demos": demos}, 0) as run:
        return sft.train(run, config, model=hamlet.BASE, demos=demos)


@pytest.fixture(scope="module")
def rankings(place, start) -> Path:
    """Four answers of the start model to each prompt, ranked by one of twelve people."""
    team = [people.joined(person) for person in people.crowd(0) if person.group == "candidate"][:12]
    asked, rng = prompts("ranked", RANKED), random.Random("who")
    made = answers(start, asked, 4, 1)
    said = [people.rank(rng.choice(team), p, made[4 * n : 4 * n + 4]) for n, p in enumerate(asked)]
    return written(place / "rankings.jsonl", [*(person.labeler for person in team), *asked, *made, *said])


@pytest.fixture(scope="module")
def judge(place, start, rankings) -> Path:
    config = reward.RewardConfig(learning_rate=1e-3, batch=8, center="answers")
    with runs.start(place / "reward", "reward", config, {"model": start, "rankings": rankings}, 0) as run:
        return reward.train(run, config, model=start, rankings=rankings)


@pytest.fixture(scope="module")
def tested() -> list[Prompt]:
    return prompts("tested", TESTED)


@pytest.fixture(scope="module")
def before(start, tested) -> np.ndarray:
    return worth(start, tested, 2)


def worth(model: Path, tested: list[Prompt], seed: int) -> np.ndarray:
    """The truth of one answer to each prompt."""
    made = answers(model, tested, 1, seed)
    return np.array([truth.utility(p.text, a.text, a.finished) for p, a in zip(tested, made, strict=True)])


def better(after_P: np.ndarray, before_P: np.ndarray) -> Interval:
    """How often the answer is truly better than the start's; ½ where neither is."""
    gain_P = np.where(np.abs(after_P - before_P) < 1e-9, 0, np.sign(after_P - before_P))
    return bootstrap((gain_P + 1) / 2, [str(n) for n in range(len(gain_P))])


@pytest.mark.parametrize("method", METHODS)
def test_it_is_preferred_to_its_supervised_start(place, start, rankings, tested, before, method, request):
    config, folder = METHODS[method], place / method
    if isinstance(config, RaftConfig):
        asked = written(place / "asked.jsonl", [*prompts("asked", 300)])
        given = {"start": start, "reward_model": request.getfixturevalue("judge"), "prompts": asked}
        with runs.start(folder, "raft", config, given, 0) as run:
            model = raft.train(run, config, **given)
    else:
        assert isinstance(config, DpoConfig)
        given = {"model": start, "rankings": rankings}
        with runs.start(folder, "dpo", config, given, 0) as run:
            model = dpo.train(run, config, **given)
    assert better(worth(model, tested, 3), before).low > 0.5


def test_asking_the_start_again_is_no_gain(start, tested, before):
    """Or the test above would say nothing."""
    again = better(worth(start, tested, 3), before)
    assert again.low <= 0.5 <= again.high
