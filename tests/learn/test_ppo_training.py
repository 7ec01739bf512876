"""PPO-ptx by the checklist of its details (docs/paper_index.md), each on a real Llama."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from biddable import runs
from biddable.config import ConfigError
from biddable.learn import episodes, loop, ppo, sft
from biddable.learn.ppo import PpoConfig
from biddable.model import causal, reward
from biddable.model.reward import RewardModel
from biddable.records import Completion
from biddable.sample.local import respond
from biddable.sample.score import score
from biddable.text import snapshots
from biddable.text.tokenizer import prompt_ids, words
from biddable.text.words import word_tokenizer

PROMPTS = [[1, 50, 51, 4], [1, 60, 4], [1, 52, 53, 54, 55, 4], [1, 61, 62, 4], [1, 63, 4], [1, 64, 65, 66, 4]] * 4
PAGES = [[1, 55, 56, 57, 2], [1, 60, 61, 2], [1, 70, 71, 72, 73, 74, 2], [1, 62, 2]] * 3
PLAIN = {"episodes": 48, "batch": 24, "minibatch": 8, "answer_tokens": 10, "gamma_ptx": 0, "warmup_iterations": 0}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A start model whose answers end now and then, a reward model, prompts and pages."""
    place = tmp_path_factory.mktemp("ppo")
    tok = tiny.tokenizer()
    lm = tiny.llama(tok)
    with torch.no_grad():
        lm.get_input_embeddings().weight[tok.eos_token_id] *= 2.5
    net = RewardModel(tiny.llama(tok, seed=1), torch.Generator().manual_seed(0))
    texts = ["say red", "name a cow", "say blue", "yes", "the big dog say", "one two three"]
    return {
        "start": causal.save(lm, tok, place / "start"),
        "reward_model": reward.save(net, tok, place / "rm"),
        "prompts": tiny.prompts(place / "prompts.jsonl", texts),
        "pages": tiny.pages(place / "pages.jsonl", ["the cow say no", "the dog say yes yes", "one two three"]),
    }


@pytest.fixture
def actors(folders) -> ppo.Actors:
    return ppo.assemble(
        PpoConfig(**PLAIN), folders["start"], folders["reward_model"], snapshots.prompts(folders["prompts"])
    )


def judged(actors, config, seed: int = 0):
    rollout = respond(
        actors.policy, actors.tokenizer, PROMPTS, config.answer_tokens,
        generator=torch.Generator().manual_seed(seed), temperature=config.temperature,
    )  # fmt: skip
    return rollout, *ppo.judge(actors, config, rollout)


def train(folder: Path, config: PpoConfig, folders: dict[str, Path], seed: int = 0, **more: Path) -> Path:
    inputs = {name: path for name, path in folders.items() if name != "pages" or config.gamma_ptx > 0} | more
    with runs.start(folder, "ppo", config, inputs, seed) as run:
        return ppo.train(run, config, **inputs)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_first_minibatch_has_ratio_1_and_kl_0_and_nothing_clipped(actors, temperature):
    config = PpoConfig(**PLAIN, temperature=temperature)
    _, credit, seen = judged(actors, config)
    look = ppo.update(actors, config, credit, [], "test")
    assert look["ratio"] == pytest.approx(1, abs=1e-5)  # float32
    assert look["approx_kl"] == pytest.approx(0, abs=1e-8)
    assert look["clip_fraction"] == 0
    assert seen["kl"] == pytest.approx(0, abs=1e-4)  # the policy is the reference


def test_at_the_start_the_kl_of_each_token_is_0(actors):
    config = PpoConfig(**PLAIN | {"beta": 1.0}, whiten_advantages=False, lam=1.0, missing_end_penalty=0)
    rollout, credit, _ = judged(actors, config)
    # with λ = 1 and no KL, each token's return is the score alone
    score = reward.scores(actors.judge, rollout.turns, 4096)
    assert torch.allclose(
        credit.return_BT[rollout.mask_BT], score[:, None].expand_as(rollout.mask_BT)[rollout.mask_BT], atol=1e-3
    )


def test_a_policy_that_left_its_reference_pays_for_it(actors):
    """The sign: reward falls where log π exceeds log ref. With β = 1, no score and λ = 1, the first return is −KL."""
    config = PpoConfig(**PLAIN | {"beta": 1.0}, whiten_advantages=False, lam=1.0, missing_end_penalty=0)
    with torch.no_grad():
        for parameter in actors.judge.head.parameters():
            parameter.zero_()
        for parameter in actors.policy.parameters():
            parameter.mul_(1.1)
    rollout, credit, seen = judged(actors, config)
    assert seen["kl"] > 0.1
    assert seen["reward"] == pytest.approx(-seen["kl"], rel=1e-5)
    assert credit.return_BT[:, 0].mean().item() == pytest.approx(-seen["kl"], rel=1e-4)
    assert not credit.return_BT[~rollout.mask_BT].any()


def test_the_score_is_paid_at_the_last_token_and_read_from_prompt_and_answer(actors):
    config = PpoConfig(**PLAIN, whiten_advantages=False, missing_end_penalty=0)
    rollout, credit, seen = judged(actors, config)
    with torch.no_grad():
        for row, (prompt, answer) in enumerate(zip(rollout.prompts, rollout.answers, strict=True)):
            hidden = actors.judge.lm.model(input_ids=torch.tensor([prompt + answer])).last_hidden_state[0, -1]
            score = actors.judge.head(hidden).item()  # the definition: that row alone, at its last token
            last = len(answer) - 1
            # the episode ends after the last token: its return is its own reward
            assert credit.return_BT[row, last].item() == pytest.approx(score, abs=1e-3)
    assert seen["score"] == pytest.approx(
        credit.return_BT[range(24), rollout.mask_BT.sum(1) - 1].mean().item(), abs=1e-3
    )


def test_the_missing_end_costs_and_only_there(actors):
    config = PpoConfig(**PLAIN, whiten_advantages=False, missing_end_penalty=3.0)
    free = PpoConfig(**PLAIN, whiten_advantages=False, missing_end_penalty=0.0)
    rollout, credit, seen = judged(actors, config)
    _, without, unpunished = judged(actors, free)
    assert 0 < rollout.finished_B.float().mean() < 1
    last = rollout.mask_BT.sum(1) - 1
    fall = (without.return_BT - credit.return_BT)[range(24), last]
    assert torch.allclose(fall, 3.0 * ~rollout.finished_B, atol=1e-5)
    assert seen["score"] == unpunished["score"]  # what is logged is the reward model's word


def test_the_value_network_starts_as_the_reward_model_head_included(actors):
    for mine, theirs in zip(actors.value.parameters(), actors.judge.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.data_ptr() != theirs.data_ptr()
    _, credit, _ = judged(actors, PpoConfig(**PLAIN))
    ppo.update(actors, PpoConfig(**PLAIN), credit, [], "test")
    assert not torch.equal(actors.value.head.weight, actors.judge.head.weight)


def test_reference_and_reward_model_are_frozen_and_nobody_drops_out(actors):
    before = [p.clone() for net in (actors.reference, actors.judge) for p in net.parameters()]
    ppo.step(actors, PpoConfig(**PLAIN | {"gamma_ptx": 1.0}), PROMPTS, PAGES, seed=0, k=0)
    after = [p for net in (actors.reference, actors.judge) for p in net.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert not any(p.requires_grad for p in after)
    assert not any(net.training for net in (actors.policy, actors.reference, actors.judge, actors.value))


def test_advantages_are_whitened_over_the_tokens_that_count(actors):
    rollout, credit, _ = judged(actors, PpoConfig(**PLAIN))
    counted = credit.advantage_BT[rollout.mask_BT]
    assert counted.mean().item() == pytest.approx(0, abs=1e-5)  # float32
    assert counted.var(correction=0).item() == pytest.approx(1, abs=1e-4)
    _, plain, _ = judged(actors, PpoConfig(**PLAIN, whiten_advantages=False))
    assert torch.allclose(credit.return_BT, plain.return_BT)  # returns are made before whitening


def test_what_follows_the_end_is_seen_by_nobody(actors, monkeypatch):
    """Neither loss, KL, entropy nor whitening: other padding, same numbers and same gradients."""
    config = PpoConfig(**PLAIN, micro_tokens=100_000)
    rollout, _, _ = judged(actors, config)

    def look_with(padding: int, number: float):
        after = ~rollout.mask_BT
        assert after.any()
        changed = replace(
            rollout,
            token_BT=rollout.token_BT.masked_fill(after, padding),
            logp_BT=rollout.logp_BT.masked_fill(after, number),
        )
        credit, seen = ppo.judge(actors, config, changed)
        grads = gradients_of(actors, config, credit, [], monkeypatch)
        return seen, credit, [*grads[0], *grads[1]]

    (one, one_credit, one_grads), (other, other_credit, other_grads) = look_with(0, 0.0), look_with(77, -3.0)
    assert one == other
    assert torch.equal(one_credit.advantage_BT, other_credit.advantage_BT)
    assert all(torch.equal(a, b) for a, b in zip(one_grads, other_grads, strict=True))


def gradients_of(actors, config, credit, pages, monkeypatch):
    monkeypatch.setattr(loop, "step", lambda *_: 0.0)
    ppo.update(actors, config, credit, pages, "test")
    found = [[p.grad.clone() for p in net.parameters() if p.grad is not None] for net in (actors.policy, actors.value)]
    actors.policy.zero_grad()
    actors.value.zero_grad()
    return found


def test_pieces_of_different_lengths_give_the_gradient_of_the_minibatch(folders, monkeypatch):
    actors = ppo.assemble(
        PpoConfig(**PLAIN), folders["start"], folders["reward_model"], snapshots.prompts(folders["prompts"])
    )
    _, credit, _ = judged(actors, PpoConfig(**PLAIN))
    actors.policy.double()
    actors.value.double()
    wide = ppo.Credit(
        credit.turns, *(x.double() for x in (credit.logp_BT, credit.value_BT, credit.advantage_BT, credit.return_BT))
    )
    one, other = (
        gradients_of(actors, PpoConfig(**PLAIN | {"gamma_ptx": 2.0}, micro_tokens=n), wide, PAGES, monkeypatch)
        for n in (100_000, 20)
    )
    for a, b in zip(itertools.chain(*one), itertools.chain(*other), strict=True):
        assert torch.allclose(a, b, atol=1e-5)  # float64 but for transformers' RMSNorm


def test_the_pretraining_gradient_is_added_before_the_one_step(actors, monkeypatch):
    """∇ of PPO-ptx = ∇ of PPO + γ ∇ of the mean −log π a token; and the policy's optimiser steps once."""
    config = PpoConfig(**PLAIN | {"gamma_ptx": 2.0})
    _, credit, _ = judged(actors, config)
    with monkeypatch.context() as patch:
        [plain, _] = gradients_of(actors, config, credit, [], patch)
        [both, _] = gradients_of(actors, config, credit, PAGES, patch)
    losses = [  # the slow definition
        -actors.policy(input_ids=torch.tensor([page])).logits[0, :-1].log_softmax(-1)[range(len(page) - 1), page[1:]]
        for page in PAGES
    ]
    torch.cat(losses).mean().backward()
    for with_text, without, p in zip(both, plain, actors.policy.parameters(), strict=True):
        assert torch.allclose(with_text, without + 2.0 * p.grad, atol=1e-4)  # float32
    actors.policy.zero_grad()

    steps = []
    take = actors.policy_optimizer.step
    monkeypatch.setattr(actors.policy_optimizer, "step", lambda: steps.append(1) or take())
    ppo.step(actors, config, PROMPTS, PAGES, seed=0, k=0)
    assert len(steps) == 24 // 8  # one a minibatch


def test_each_minibatch_has_its_share_of_the_pages_and_each_page_is_used_once(actors, monkeypatch):
    used = []
    monkeypatch.setattr(sft, "gradient", lambda _p, turns, _m, _g: used.append(turns.answers) or 0.0)
    pages = [[1, 50 + n, 2] for n in range(11)]
    ppo.step(actors, PpoConfig(**PLAIN), PROMPTS, pages, seed=0, k=0)
    assert [len(some) for some in used] == [3, 4, 4]
    assert [page for some in used for page in some] == pages


def test_the_average_moves_once_an_update_and_is_float32(actors):
    config = PpoConfig(**PLAIN, ema=0.9)
    _, credit, _ = judged(actors, config)
    before = [w.clone() for w in actors.average]
    ppo.update(actors, config, credit, [], "test")
    for old, now, weight in zip(before, actors.average, actors.policy.parameters(), strict=True):
        assert torch.allclose(now, 0.9 * old + 0.1 * weight, atol=1e-6)  # float32
        assert now.dtype == torch.float32


def test_the_result_is_the_average_or_the_last_weights(tmp_path, folders):
    def weights(name, **settings):
        config = PpoConfig(**PLAIN | {"learning_rate": 1e-3}, **settings)
        lm, _ = causal.load(train(tmp_path / name / "ppo", config, folders))
        return torch.cat([p.detach().flatten() for p in lm.parameters()])

    start = torch.cat([p.detach().flatten() for p in causal.load(folders["start"])[0].parameters()])
    average, last, none = weights("a"), weights("b", save_ema=False), weights("c", ema=0)
    assert torch.equal(last, none)
    assert 0 < (average - start).norm() < 0.1 * (last - start).norm()  # six updates of a 125-update window


def test_the_rate_warms_up_over_iterations(actors, monkeypatch):
    rates = []
    monkeypatch.setattr(ppo, "update", lambda *_: {"ratio": 1.0, "approx_kl": 0.0})
    config = PpoConfig(**PLAIN | {"warmup_iterations": 10}, learning_rate=1.0, value_learning_rate=2.0)
    for k in (0, 5, 10):
        ppo.step(actors, config, PROMPTS, [], seed=0, k=k)
        rates.append((actors.policy_optimizer.param_groups[0]["lr"], actors.value_optimizer.param_groups[0]["lr"]))
    assert rates == [pytest.approx(pair) for pair in [(0.1, 0.2), (0.55, 1.1), (1.0, 2.0)]]


def test_minibatches_are_a_random_split_anew_each_iteration(actors, monkeypatch):
    sizes, firsts = [], []

    def watch(_actors, _config, credit, _pages, _where):
        sizes.append(len(credit.turns))
        firsts.append(credit.turns.answers)
        return {"ratio": 1.0, "approx_kl": 0.0}

    monkeypatch.setattr(ppo, "update", watch)
    for k in (0, 1):
        ppo.step(actors, PpoConfig(**PLAIN), PROMPTS, [], seed=0, k=k)
    assert sizes == [8] * 6
    assert firsts[0] != firsts[3]


def test_ppo_raises_what_it_is_rewarded_for(tmp_path, folders, monkeypatch):
    """A reward that anyone can count: the share of the word "red" among an answer's tokens."""
    tok = tiny.tokenizer()
    red = tok.convert_tokens_to_ids("red")

    def share_of_red(_net, turns, _tokens):
        return torch.tensor([[4 * answer.count(red) / len(answer)] for answer in turns.answers])

    monkeypatch.setattr(reward, "each", share_of_red)
    config = PpoConfig(
        episodes=1536, batch=64, minibatch=16, answer_tokens=8, gamma_ptx=0, learning_rate=3e-3,
        value_learning_rate=3e-3, save_ema=False, missing_end_penalty=0,
    )  # fmt: skip
    train(tmp_path / "ppo", config, folders)
    seen = runs.read_metrics(tmp_path / "ppo")
    assert seen[0]["score"] < 0.5
    assert seen[-1]["score"] > 2.5
    assert seen[-1]["kl"] > seen[0]["kl"]
    assert all(line["first_ratio"] == pytest.approx(1, abs=1e-4) for line in seen)  # float32


def test_what_is_logged(tmp_path, folders):
    train(tmp_path / "ppo", PpoConfig(**PLAIN | {"gamma_ptx": 1.0}, ptx_ratio=0.5), folders)
    first, second = runs.read_metrics(tmp_path / "ppo")
    assert first.keys() == second.keys() == {
        "step", "reward", "score", "kl", "length", "end_rate", "value", "explained_variance", "ratio", "approx_kl",
        "clip_fraction", "entropy", "policy_loss", "value_loss", "policy_gradient", "ptx_gradient", "value_gradient",
        "ptx_loss", "first_ratio", "first_kl", "rate", "beta", "spread", "distinct",
    }  # fmt: skip


def test_ppo_goes_on_where_it_was_stopped(tmp_path, folders, monkeypatch):
    config = PpoConfig(**PLAIN | {"episodes": 120, "gamma_ptx": 1.0}, ptx_ratio=1, checkpoint_every=2)
    whole = train(tmp_path / "whole" / "ppo", config, folders)
    step = ppo.step

    def stop(*given):
        if given[-1] == 3:
            raise KeyboardInterrupt
        return step(*given)

    with monkeypatch.context() as patch:
        patch.setattr(ppo, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut" / "ppo", config, folders)
    again = train(tmp_path / "cut" / "ppo", config, folders)
    assert (again / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert runs.read_metrics(again.parent) == runs.read_metrics(whole.parent)


def test_it_stops_when_a_held_out_reward_model_has_seen_enough(tmp_path, folders, monkeypatch):
    from biddable.learn.held_out import Onlooker

    scores = iter([1.0, 3.0, 2.0, 2.5, 9.0])
    kept = []

    def look(_self, policy):
        kept.append(policy.lm_head.weight.detach().clone())
        return {"held_out_score": next(scores)}

    monkeypatch.setattr(Onlooker, "look", look)
    config = PpoConfig(**PLAIN | {"episodes": 240}, valid_every=1, patience=2, save_ema=False, learning_rate=1e-3)
    watching = {"valid": folders["prompts"], "held_out": folders["reward_model"]}
    folder = train(tmp_path / "ppo", config, folders, **watching)
    assert len(runs.read_metrics(tmp_path / "ppo")) == 4  # the best was the second, then two were no better
    lm, _ = causal.load(folder)
    assert torch.equal(lm.lm_head.weight, kept[1])


@pytest.mark.parametrize(
    ("settings", "more", "complaint"),
    [
        ({"gamma_ptx": 27.8}, {}, "gamma_ptx=0 is plain PPO"),
        ({"patience": 2}, {}, "patience: needs valid_every"),
        ({"answer_tokens": 128}, {}, "answer_tokens: 128 leaves no room"),
        ({"prompt_tokens": 1}, {}, "prompts.jsonl: all 6 prompts are longer than 1 tokens"),
        ({}, {"valid": "prompts"}, "go together"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(tmp_path, folders, settings, more, complaint):
    config = PpoConfig(**PLAIN | settings)
    inputs = {k: v for k, v in folders.items() if k != "pages"} | {k: folders[v] for k, v in more.items()}
    with (
        pytest.raises((ConfigError, ValueError), match=complaint) as caught,
        runs.start(tmp_path / "ppo", "ppo", config, inputs, 0) as run,
    ):
        ppo.train(run, config, **inputs)
    assert "\n" not in str(caught.value)


def test_a_reward_model_of_another_size_and_tokenizer_reads_the_text(tmp_path, folders):
    """Scores in PPO are those of the texts; and the whole stage runs, with a value network in the policy's tokens."""
    tok = word_tokenizer(["say", "cow", "other"])
    net = RewardModel(tiny.llama(tok, seed=4, width=16, layers=3, spread=1.0), torch.Generator().manual_seed(0))
    other = reward.save(net, tok, tmp_path / "rm")
    config = PpoConfig(**PLAIN)
    asked = snapshots.prompts(folders["prompts"])
    actors = ppo.assemble(config, folders["start"], other, asked)
    rollout = episodes.sample(actors, config, prompt_ids(actors.tokenizer, [p.text for p in asked]), 0, 0)
    judged, _ = episodes.judge(actors, config, rollout, "judging")
    made = [
        Completion.make(p.id, words(actors.tokenizer, ids), "r", finished=bool(done))
        for p, ids, done in zip(asked, rollout.answers, rollout.finished_B, strict=True)
    ]
    by_text = [s.value for s in score(other, {p.id: p for p in asked}, made, run_id="r")]
    penalty_B = config.missing_end_penalty * ~rollout.finished_B
    assert (judged.score_B + penalty_B).tolist() == pytest.approx(by_text, abs=1e-4)  # float32
    assert actors.value.lm.config.vocab_size == actors.policy.config.vocab_size
    seen = train(tmp_path / "run", config, {**folders, "reward_model": other})
    assert (seen / "model.safetensors").is_file()
