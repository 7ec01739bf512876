"""What PPO offers beyond the paper, each by hand on a real Llama."""

import json
from pathlib import Path

import pytest
import torch

import tiny
from biddable import config, runs
from biddable.config import ConfigError
from biddable.learn import episodes, group, ppo
from biddable.learn.group import RlooConfig
from biddable.learn.ppo import PpoConfig
from biddable.losses.kl import AdaptiveKL
from biddable.model import causal, checkpoint, reward
from biddable.model.reward import RewardModel
from biddable.text import snapshots

PROMPTS = [[1, 50, 51, 4], [1, 60, 4], [1, 52, 53, 54, 55, 4], [1, 61, 62, 4]] * 4
PLAIN = {
    "episodes": 64, "batch": 16, "minibatch": 8, "answer_tokens": 10, "gamma_ptx": 0, "warmup_iterations": 0,
    "missing_end_penalty": 0, "learning_rate": 1e-3, "value_learning_rate": 1e-3,
}  # fmt: skip


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("extras")
    tok = tiny.tokenizer()
    net = RewardModel(tiny.llama(tok, seed=1), torch.Generator().manual_seed(0))
    return {
        "start": causal.save(tiny.llama(tok), tok, place / "start"),
        "reward_model": reward.save(net, tok, place / "rm"),
        "prompts": tiny.prompts(place / "prompts.jsonl", ["say red", "name a cow", "say blue", "yes"]),
    }


def actors_of(folders, settings, moved: float = 1.0) -> ppo.Actors:
    actors = ppo.assemble(settings, folders["start"], folders["reward_model"], snapshots.prompts(folders["prompts"]))
    with torch.no_grad():
        for parameter in actors.policy.parameters():
            parameter.mul_(moved)
    return actors


def judged(actors, settings):
    rollout = episodes.sample(actors, settings, PROMPTS, seed=0, k=0)
    return rollout, *ppo.judge(actors, settings, rollout)


def weights(net) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


# β that moves


@pytest.mark.parametrize(("kind", "train"), [(PpoConfig, ppo.train), (RlooConfig, group.train)], ids=["ppo", "rloo"])
def test_beta_follows_the_kl_that_was_seen(tmp_path, folders, kind, train):
    settings = {key: value for key, value in PLAIN.items() if key in kind.model_fields}
    settings = kind(**settings | {"samples": 4}, beta=0.1, kl_target=0.05, kl_horizon=40.0, checkpoint_every=3)
    folder = tmp_path / settings.stage
    with runs.start(folder, settings.stage, settings, folders, 0) as run:
        train(run, settings, **folders)
        saved = checkpoint.newest(folder / "checkpoints", run.identity)
    by_hand, beta = AdaptiveKL(0.1, 0.05, 40.0), 0.1
    for line in runs.read_metrics(folder):
        assert line["beta"] == pytest.approx(beta, rel=1e-6)  # float32
        assert line["reward"] == pytest.approx(line["score"] - beta * line["kl"], abs=1e-5)
        beta = by_hand.update(line["kl"], 16)
    assert beta != pytest.approx(0.1, rel=1e-3)
    assert saved.state["controller"]["beta"] == pytest.approx(beta, rel=1e-6)
    assert json.loads(json.dumps(saved.state["controller"])) == saved.state["controller"]


def test_a_fixed_beta_stays(tmp_path, folders):
    settings = PpoConfig(**PLAIN)
    with runs.start(tmp_path / "ppo", "ppo", settings, folders, 0) as run:
        ppo.train(run, settings, **folders)
    assert {line["beta"] for line in runs.read_metrics(tmp_path / "ppo")} == {0.02}


def test_beta_is_the_one_that_is_paid(folders):
    settings = PpoConfig(**PLAIN, kl_target=6, beta=0.3, lam=1.0, whiten_advantages=False)
    actors = actors_of(folders, settings, moved=1.2)
    rollout, dear, _ = judged(actors, settings)
    actors.controller.beta = 0.0
    _, free, _ = judged(actors, settings)
    fall_B = (free.return_BT - dear.return_BT)[:, 0]  # with λ = γ = 1 the first return is score − β KL
    ref_BT = causal.in_pieces(lambda f: f.spread(causal.answer_logp(actors.reference, f)), rollout.turns, 4096)
    kl_B = ((rollout.logp_BT - ref_BT) * rollout.mask_BT).sum(1)
    assert kl_B.abs().max() > 0.1
    assert torch.allclose(fall_B, 0.3 * kl_B, atol=1e-4)  # float32


# Rewards in units of their spread


def test_whitened_rewards_have_variance_1_and_their_own_mean(folders):
    settings = PpoConfig(**PLAIN | {"beta": 0.5}, lam=0.0, gamma=0.0, whiten_advantages=False)
    actors = actors_of(folders, settings, moved=1.2)
    rollout, plain, _ = judged(actors, settings)  # with γ = λ = 0 a return is that token's reward
    _, white, seen = judged(actors, settings.model_copy(update={"whiten_rewards": True}))
    was_n, is_n = plain.return_BT[rollout.mask_BT], white.return_BT[rollout.mask_BT]
    slow_n = (was_n - was_n.mean()) / was_n.std(correction=0) + was_n.mean()
    assert torch.allclose(is_n, slow_n, atol=1e-4)  # float32
    assert is_n.std(correction=0).item() == pytest.approx(1, abs=1e-3)
    assert is_n.mean().item() == pytest.approx(was_n.mean().item(), abs=1e-4)
    _, _, before = judged(actors, settings)
    assert seen["reward"] == before["reward"]  # what is logged is in the reward model's units


# A critic's head start


def test_while_it_warms_up_the_value_network_alone_learns(folders):
    settings = PpoConfig(**PLAIN | {"warmup_iterations": 10}, value_warmup=2, kl_target=1, kl_horizon=100, ema=0.9)
    actors = actors_of(folders, settings)
    rates = []
    for k in range(4):
        policy, value, average = weights(actors.policy), weights(actors.value), [w.clone() for w in actors.average]
        seen = ppo.step(actors, settings, PROMPTS, [], seed=0, k=k)
        waits = k < 2
        assert torch.equal(weights(actors.policy), policy) == waits
        assert all(torch.equal(w, a) for w, a in zip(average, actors.average, strict=True)) == waits
        assert not torch.equal(weights(actors.value), value)
        assert ("policy_loss" in seen) != waits
        assert (actors.controller.beta == settings.beta) == waits
        assert "value_loss" in seen
        rates.append((seen["rate"], actors.value_optimizer.param_groups[0]["lr"]))
    assert rates == [pytest.approx(pair) for pair in [(0, 1e-4), (0, 1.9e-4), (0.1, 2.8e-4), (0.19, 3.7e-4)]]


def test_the_head_start_lowers_the_value_loss(folders):
    settings = PpoConfig(**PLAIN | {"learning_rate": 1e-9}, value_warmup=12)
    actors = actors_of(folders, settings)
    losses = [ppo.step(actors, settings, PROMPTS, [], seed=0, k=k)["value_loss"] for k in range(12)]
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])


# A judge of several heads


def test_the_conservative_reward_is_the_mean_less_the_spread(folders, monkeypatch):
    settings = PpoConfig(**PLAIN | {"beta": 0}, pessimism=2.0, lam=1.0, whiten_advantages=False)
    actors = actors_of(folders, settings)

    def two_heads(_net, turns, _tokens):
        return torch.arange(float(len(turns))), torch.full((len(turns),), 0.25)

    monkeypatch.setattr(reward, "scores_and_spread", two_heads)
    rollout, credit, seen = judged(actors, settings)
    last = rollout.mask_BT.sum(1) - 1
    assert torch.allclose(credit.return_BT[range(16), last], torch.arange(16.0) - 0.5, atol=1e-4)  # n − 2 · 0.25
    assert seen["score"] == pytest.approx(7.5)
    assert seen["spread"] == pytest.approx(0.25)
    assert seen["reward"] == pytest.approx(7.0)


def test_one_judge_has_no_spread_to_be_wary_of(folders):
    settings = PpoConfig(**PLAIN, pessimism=1.0)
    with pytest.raises(ConfigError, match="pessimism: the reward model has one judge"):
        judged(actors_of(folders, settings), settings)


# Several samples a prompt


def test_ppo_takes_several_samples_and_keeps_them_together(folders, monkeypatch):
    asked, learnt = [], []
    settings = PpoConfig(**PLAIN, samples=4)

    def watch(_actors, _config, credit, _pages, _where):
        learnt.append(credit.turns.prompts)
        return {"ratio": 1.0, "approx_kl": 0.0}

    step = ppo.step

    def listen(actors, settings, prompts, *rest):
        asked.append(list(prompts))
        return step(actors, settings, prompts, *rest)

    monkeypatch.setattr(ppo, "step", listen)
    monkeypatch.setattr(ppo, "update", watch)
    place = folders["start"].parent / "several" / "ppo"
    with runs.start(place, "ppo", settings, folders, 0) as run:
        ppo.train(run, settings, **folders)
    assert [len(some) for some in asked] == [16] * 4
    for prompts in (*asked, *learnt):
        assert all(prompts[i : i + 4] == [prompts[i]] * 4 for i in range(0, len(prompts), 4))
    assert len({tuple(p) for p in asked[0]}) == 4  # each of the four prompts


def test_a_setting_that_cannot_be_is_said_in_one_line():
    for words, complaint in (
        (["samples=3"], "say batch=513"),
        (["kl_target=6", "beta=0"], "a β of 0 stays 0"),
        (["kl_target=6", "kl_horizon=102"], "say 512 or more"),
    ):
        with pytest.raises(ConfigError, match=complaint) as caught:
            config.load(PpoConfig, words)
        assert "\n" not in str(caught.value)
