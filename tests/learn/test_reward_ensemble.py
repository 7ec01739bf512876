"""Heads on one trunk, each with its own bootstrap of the rankings."""

import math
from pathlib import Path

import pytest
import torch

import tiny
from biddable import runs
from biddable.learn import reward as stage
from biddable.learn.reward import RewardConfig
from biddable.model import causal, reward
from biddable.model.forest import Turns, plant
from biddable.model.reward import RewardModel
from biddable.sample.score import score
from biddable.text import snapshots

SETS = [
    ("say red", [["red"], ["red red", "blue"], ["no"]]),
    ("name a cow", [["the big cow"], ["cow"], ["dog"], ["no no no"]]),
    ("yes", [["yes"], ["no"]]),
]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture
def base(tmp_path):
    return tiny.saved(tmp_path / "base", spread=0.3)


@pytest.fixture
def rankings(tmp_path):
    return tiny.rankings(tmp_path / "r.jsonl", SETS)


def ensemble(base: Path, heads: int):
    lm, tok = causal.load(base)
    return RewardModel(lm, torch.Generator().manual_seed(0), heads).double().eval(), tok


def slow_loss(net: RewardModel, m: int, s: snapshots.RankedSet) -> float:
    """Of one head and one ranking, pair by pair, each answer scored alone."""
    said = [net.each(plant(Turns([s.prompt], [a])))[0, m].item() for a in s.answers]
    pairs = [(b, w) for b in range(len(said)) for w in range(len(said)) if s.ranks[b] < s.ranks[w]]
    return sum(math.log1p(math.exp(said[w] - said[b])) for b, w in pairs) / len(pairs)


def test_a_bootstrap_draws_as_many_rankings_as_there_are_with_replacement():
    weight_GM = stage.bootstraps(4000, 3, seed=5)
    assert weight_GM.sum(0).tolist() == [4000, 4000, 4000]
    never = (weight_GM == 0).float().mean(0)  # (1 − 1/n)ⁿ → 1/e = 0.368 of them, ± 4 standard deviations of 0.005
    assert all(0.348 < share < 0.388 for share in never.tolist())
    assert torch.equal(weight_GM, stage.bootstraps(4000, 3, seed=5))
    assert not torch.equal(weight_GM, stage.bootstraps(4000, 3, seed=6))
    assert torch.equal(weight_GM[:, :2], stage.bootstraps(4000, 2, seed=5)), "a head's draws are its own"
    assert not torch.equal(weight_GM[:, 0], weight_GM[:, 1])
    assert torch.equal(stage.bootstraps(5, 1, seed=5), torch.ones(5, 1))


@pytest.mark.parametrize("micro_tokens", [10_000, 1])
def test_each_head_learns_from_its_own_draw_as_if_rankings_were_repeated(base, rankings, micro_tokens):
    net, tok = ensemble(base, 2)
    sets = snapshots.rankings(rankings, tok)
    weight_GM = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
    seen = stage.gradient(net, RewardConfig(micro_tokens=micro_tokens), sets, weight_GM)
    by_head = [sum(weight_GM[g, m].item() * slow_loss(net, m, s) for g, s in enumerate(sets)) / 3 for m in range(2)]
    assert seen["loss"] == pytest.approx(sum(by_head) / 2, abs=1e-6)  # float64 but for transformers' RMSNorm
    # The heads do not hear of each other: the first one's gradient is that of its own repeated rankings.
    [weight_MD] = [p.grad.clone() for name, p in net.named_parameters() if name == "head.weight"]
    net.zero_grad()
    stage.gradient(net, RewardConfig(), [sets[0], sets[0], sets[2]])
    assert torch.allclose(net.head.weight.grad[0], weight_MD[0], atol=1e-6)
    assert not torch.allclose(net.head.weight.grad[1], weight_MD[1], atol=1e-3)


def test_an_ensemble_is_trained_saved_and_tells_its_spread(tmp_path, base, rankings):
    config = RewardConfig(heads=3, epochs=8, learning_rate=5e-3, center="answers")
    with runs.start(tmp_path / "rm", "reward", config, {}, 0) as run:
        folder = stage.train(run, config, model=base, rankings=rankings)
    assert runs.read_metrics(tmp_path / "rm")[-1]["accuracy"] > runs.read_metrics(tmp_path / "rm")[0]["accuracy"]
    net, tok = reward.load(folder)
    sets = snapshots.rankings(rankings, tok)
    each_AM = reward.each(net, stage.answers_of(sets), 4096)
    assert each_AM.shape == (10, 3)
    assert each_AM.mean(0).abs().max() < 1e-4  # float32: each head is centred
    prompts, completions = snapshots.completions(rankings)
    scores = score(folder, prompts, completions, run_id="rm")
    assert [s.value for s in scores] == pytest.approx(each_AM.mean(1).tolist(), abs=1e-4)
    assert [s.spread for s in scores] == pytest.approx(each_AM.std(1, correction=0).tolist(), abs=1e-4)
    assert min(s.spread or 0 for s in scores) > 0
