"""Negative controls: where the labels say nothing, nothing may be gained, and the report must say so.

The answers are people's, of mixed care, so that only the reward model is on trial: the best of 16 by it, against one
more answer taken blindly. With true rankings it wins; with shuffled ones, or with a random head, it wins half.
"""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from biddable import hamlet, records, runs
from biddable.hamlet import people, tasks, truth
from biddable.hamlet.answers import Care, write
from biddable.learn import reward as stage
from biddable.learn.reward import RewardConfig
from biddable.measure.agreement import agreement
from biddable.measure.in_short import alerts
from biddable.measure.interval import Interval, bootstrap
from biddable.measure.results import ReportData, Results, Source
from biddable.model import attention, causal
from biddable.model.forest import Turns, forests
from biddable.model.reward import RewardModel
from biddable.records import Completion, Labeler, Prompt, Ranking
from biddable.sample.score import score
from biddable.text.tokenizer import answer_ids, prompt_ids

RANKED, CHOSEN, BEST_OF = 200, 100, 16
# Faults that show in the answer alone: few rankings teach them. Whether it fits its prompt takes thousands.
PLAIN = Care(bare=0.4, rude=0.5)
CONFIG = RewardConfig(learning_rate=1e-3, batch=8, center="answers")
Sheets = list[tuple[Prompt, list[Completion]]]


@pytest.fixture(autouse=True, scope="module")
def alone():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def sheets(name: str, count: int, answers: int) -> Sheets:
    """Prompts, each with answers by writers of mixed care; said twice is two answers."""
    rng = random.Random(name)
    made = []
    for n in range(count):
        task = tasks.make(rng)
        prompt = Prompt.make(task.text, user=f"{name}-{n}", split="train")
        texts = [write(task, rng, PLAIN) for _ in range(answers)]
        made.append((prompt, [Completion.make(prompt.id, text, "writer", i) for i, text in enumerate(texts)]))
    return made


def crew() -> list[people.Person]:
    """Candidates as they come: no screening here, it is tested elsewhere and takes seconds."""
    return [people.joined(person) for person in people.crowd(0) if person.group == "candidate"][:12]


def rankings(given: Sheets, team: list[people.Person], each: int = 1) -> list[Ranking]:
    rng = random.Random("who")
    return [people.rank(p, prompt, answers) for prompt, answers in given for p in rng.sample(team, each)]


def trained(folder: Path, given: Sheets, said: list[Ranking]) -> Path:
    place = folder.with_suffix(".jsonl")
    team = {ranking.labeler for ranking in said}
    everything = [r for prompt, answers in given for r in (prompt, *answers)]
    records.write(place, [*(Labeler(id=name, group="training") for name in sorted(team)), *everything, *said])
    with runs.start(folder, "reward", CONFIG, {"rankings": place}, 0) as run:
        return stage.train(run, CONFIG, model=hamlet.BASE, rankings=place)


def worth(given: Sheets) -> np.ndarray:
    """The truth, prompts × answers."""
    return np.array([[truth.utility(p.text, a.text) for a in answers] for p, answers in given])


def wins(value_PN: np.ndarray, worth_PN: np.ndarray) -> np.ndarray:
    """Whether the best of the others by value beats the first answer by the truth; ½ where neither is better."""
    best_P = worth_PN[np.arange(len(worth_PN)), 1 + value_PN[:, 1:].argmax(1)]
    return (np.sign(best_P - worth_PN[:, 0]) + 1) / 2


def judged(model: Path, given: Sheets) -> np.ndarray:
    scores = score(model, {p.id: p for p, _ in given}, [a for _, some in given for a in some], run_id="r")
    return np.array([s.value for s in scores]).reshape(len(given), -1)


@pytest.fixture(scope="module")
def given() -> Sheets:
    return sheets("train", RANKED, 5)


@pytest.fixture(scope="module")
def choosing() -> Sheets:
    return sheets("choose", CHOSEN, BEST_OF + 1)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


def gain(model: Path, choosing: Sheets) -> Interval:
    return bootstrap(wins(judged(model, choosing), worth(choosing)), [p.id for p, _ in choosing])


def test_true_rankings_gain(tmp_path, given, choosing):
    found = gain(trained(tmp_path / "true", given, rankings(given, crew())), choosing)
    assert found.low > 0.55


def test_shuffled_rankings_gain_nothing(tmp_path, given, choosing):
    rng = random.Random(0)
    lots = [people.by_lot(one, rng) for one in rankings(given, crew())]
    found = gain(trained(tmp_path / "shuffled", given, lots), choosing)
    assert found.low <= 0.5 <= found.high


def test_a_random_head_gains_nothing(choosing):
    """Many heads, since one alone may by luck dislike insults: over heads, the mean win rate is no more than a coin's.
    It may be less: the extreme in any direction is an odd answer."""
    heads, worth_PN = 24, worth(choosing)
    net, tokenizer = head(0)
    states_PND = hidden(net, tokenizer, choosing)
    rates = []
    for seed in range(heads):
        weight_D = head(seed)[0].head.weight.detach().squeeze(0)
        rates.append(wins((states_PND @ weight_D).numpy(), worth_PN).mean())
    error = np.std(rates, ddof=1) / heads**0.5
    assert np.mean(rates) - 2 * error < 0.5
    assert error < 0.06


def head(seed: int):
    lm, tokenizer = causal.load(hamlet.BASE)
    return RewardModel(lm, torch.Generator().manual_seed(seed)).eval(), tokenizer


@torch.no_grad()
def hidden(net: RewardModel, tokenizer, given: Sheets) -> torch.Tensor:
    """The trunk's last state of every answer: read one unit of the head after another would be 128 readings."""
    asked = prompt_ids(tokenizer, [p.text for p, answers in given for _ in answers])
    told = answer_ids(tokenizer, [a.text for _, answers in given for a in answers])
    found = [(index, attention.hidden(net.lm, f)[f.last_A]) for index, f in forests(Turns(asked, told), 2048)]
    state_ND = torch.cat([state for _, state in found])[
        torch.tensor([i for index, _ in found for i in index]).argsort()
    ]
    return state_ND.reshape(len(given), -1, state_ND.shape[-1])


# Labelers who answer at random


def distinct(given: Sheets) -> Sheets:
    """Each text once: two equal answers tie for everybody, even for those who do not look."""
    once = [(prompt, list({a.text: a for a in answers}.values())) for prompt, answers in given]
    return [(prompt, answers) for prompt, answers in once if len(answers) > 1]


def data(said: list[Ranking]) -> ReportData:
    found = Results(seconds=1.0, models={"base": "base"}, agreement=agreement(said))
    return ReportData(results=found, world="hamlet", sources={"labels": (Source(run="r", folder="r"),)})


def test_with_labelers_at_random_agreement_falls_to_chance_and_the_report_says_so(given):
    careless = data(rankings(distinct(given), [people.at_random(person) for person in crew()], each=2))
    assert careless.results.agreement.word == "at chance"
    assert any("no better than chance" in line for line in alerts(careless))


def test_with_labelers_who_look_it_does_not(given):
    looking = data(rankings(distinct(given), crew(), each=2))
    assert looking.results.agreement.word == "above chance"
    assert alerts(looking) == []
