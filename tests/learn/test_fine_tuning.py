"""sft and start."""

import math
from pathlib import Path

import pytest
import torch

import tiny
from biddable import runs
from biddable.learn import sft, start
from biddable.learn.sft import SftConfig
from biddable.learn.start import StartConfig
from biddable.model import causal, reward
from biddable.model.forest import unprompted
from biddable.model.reward import RewardModel
from biddable.sample.local import respond
from biddable.text import snapshots
from biddable.text.tokenizer import prompt_ids, words

PAIRS = [(f"say {word}", f"{word} {word}") for word in ("red", "blue", "green", "yes")] + [
    ("name a cow", "the big cow")
]
FAST = {"epochs": 30, "batch": 3, "learning_rate": 1e-2, "answer_tokens": 8}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture
def base(tmp_path):
    return tiny.saved(tmp_path / "base", spread=0.1)


@pytest.fixture
def demos(tmp_path):
    return tiny.demonstrations(tmp_path / "demos.jsonl", PAIRS)


def train(stage, folder: Path, config, seed: int = 0, **inputs) -> Path:
    with runs.start(folder, "stage", config, inputs, seed) as run:
        return stage.train(run, config, **inputs)


def test_sft_learns_its_demonstrations_and_to_stop(tmp_path, base, demos):
    folder = train(sft, tmp_path / "sft", SftConfig(**FAST), model=base, demos=demos)
    lm, tok = causal.load(folder)
    rollout = respond(lm, tok, prompt_ids(tok, [p for p, _ in PAIRS]), 8, generator=torch.Generator(), temperature=0)
    assert [words(tok, a) for a in rollout.answers] == [a for _, a in PAIRS]
    assert rollout.finished_B.all()


def test_only_answers_are_learnt_unless_all_is_asked_for(tmp_path, base, demos):
    def prompt_nll(folder):
        lm, tok = causal.load(folder)
        ids = prompt_ids(tok, [p for p, _ in PAIRS])
        return sft.mean_nll(lm, unprompted(ids), 4096)

    few = FAST | {"epochs": 10}
    answer = train(sft, tmp_path / "a", SftConfig(**few), model=base, demos=demos)
    every = train(sft, tmp_path / "b", SftConfig(**few, loss_on="all"), model=base, demos=demos)
    assert prompt_nll(every) < prompt_nll(answer) - 1


def test_accumulated_pieces_equal_the_full_batch_in_float64(base, demos):
    lm, tok = causal.load(base)
    lm = lm.double()
    examples = snapshots.demonstrations(demos, tok)
    turns = sft.turns_of(SftConfig(), examples)
    grads = []
    for micro_tokens in (10_000, 8):  # all at once, and in pieces of 8 tokens: answers differ in length
        loss = sft.gradient(lm, turns, micro_tokens)
        grads.append([p.grad.clone() for p in lm.parameters()])
        lm.zero_grad()
    for one, other in zip(*grads, strict=True):
        assert torch.allclose(one, other, atol=1e-5)  # float64 but for transformers' RMSNorm
    logp = [  # the slow definition: the mean over all answer tokens of all rows
        lm(input_ids=torch.tensor([e.prompt + e.answer])).logits[0].log_softmax(-1)[len(e.prompt) - 1 + t, token]
        for e in examples
        for t, token in enumerate(e.answer)
    ]
    assert loss == pytest.approx(-torch.stack(logp).mean().item(), abs=1e-9)


def test_the_learning_rate_reaches_a_tenth_and_each_epoch_sees_all(tmp_path, base, demos, monkeypatch):
    seen, rates = [], []
    gradient, set_rate = sft.gradient, sft.loop.set_rate
    monkeypatch.setattr(sft, "gradient", lambda lm, turns, m: seen.append(len(turns)) or gradient(lm, turns, m))
    monkeypatch.setattr(sft.loop, "set_rate", lambda o, rate: rates.append(rate) or set_rate(o, rate))
    train(sft, tmp_path / "sft", SftConfig(epochs=3, batch=2, learning_rate=1e-3), model=base, demos=demos)
    assert seen == [2, 2, 1] * 3
    assert rates[0] == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-4)


def test_without_a_reward_model_the_epoch_of_the_lowest_valid_loss_is_kept(tmp_path, base, demos):
    valid = tiny.demonstrations(tmp_path / "valid.jsonl", [("say one", "one one")])
    config = SftConfig(**FAST | {"epochs": 6})
    folder = train(sft, tmp_path / "sft", config, model=base, demos=demos, valid=valid)
    losses = [line["valid_loss"] for line in runs.read_metrics(tmp_path / "sft") if "valid_loss" in line]
    assert len(losses) == 6
    assert min(losses) < losses[-1]  # it did overfit, or this test says nothing
    lm, tok = causal.load(folder)
    turns = sft.turns_of(config, snapshots.demonstrations(valid, tok))
    assert sft.mean_nll(lm, turns, 4096) == pytest.approx(min(losses), abs=1e-5)  # float32


def test_with_a_reward_model_the_epoch_of_the_highest_score_is_kept(tmp_path, base, demos):
    tok = tiny.tokenizer()
    net = RewardModel(tiny.llama(tok, seed=1), torch.Generator().manual_seed(0))
    judge = reward.save(net, tok, tmp_path / "rm")
    valid = tiny.demonstrations(tmp_path / "valid.jsonl", [("say one", "one one"), ("say no", "no no")])
    config = SftConfig(**FAST | {"epochs": 6})
    folder = train(sft, tmp_path / "sft", config, model=base, demos=demos, valid=valid, reward_model=judge)
    looks = [line for line in runs.read_metrics(tmp_path / "sft") if "valid_score" in line]
    scores, losses = [look["valid_score"] for look in looks], [look["valid_loss"] for look in looks]
    best = scores.index(max(scores))
    assert best not in (5, losses.index(min(losses)))  # else another rule would choose the same
    lm, tok = causal.load(folder)
    checks = snapshots.demonstrations(valid, tok)
    assert sft.look(lm, config, tok, checks, judge, 0)["valid_score"] == pytest.approx(max(scores), abs=1e-5)


def test_sft_goes_on_where_it_was_stopped(tmp_path, base, demos, monkeypatch):
    config = SftConfig(**FAST | {"epochs": 4})
    whole = train(sft, tmp_path / "whole" / "sft", config, model=base, demos=demos)

    def stop(step, *_):
        if step.calls == 5:
            raise KeyboardInterrupt
        step.calls += 1
        return gradient(*_)

    gradient = sft.gradient
    stop.calls = 0
    with monkeypatch.context() as patch:
        patch.setattr(sft, "gradient", lambda *given: stop(stop, *given))
        with pytest.raises(KeyboardInterrupt):
            train(sft, tmp_path / "cut" / "sft", config, model=base, demos=demos)
    again = train(sft, tmp_path / "cut" / "sft", config, model=base, demos=demos)
    assert (again / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert runs.read_metrics(again.parent) == runs.read_metrics(whole.parent)


def test_demonstrations_that_are_too_long_are_left_out_and_none_left_is_an_error(tmp_path, base):
    demos = tiny.demonstrations(tmp_path / "d.jsonl", [("say red", "red " * 20), ("say no", "no")])
    lm, tok = causal.load(base)
    examples = snapshots.demonstrations(demos, tok)
    assert len(sft.fitting(examples, demos, lm, 100, 21)) == 2  # 20 words and the end token
    assert len(sft.fitting(examples, demos, lm, 100, 20)) == 1
    with pytest.raises(ValueError, match=r"d\.jsonl: all 2 demonstrations are too long"):
        sft.fitting(examples, demos, lm, 2, 20)


def test_choosing_by_score_needs_something_to_answer(tmp_path, base, demos):
    with pytest.raises(ValueError, match="needs valid demonstrations"):
        train(sft, tmp_path / "sft", SftConfig(), model=base, demos=demos, reward_model=base)


def test_start_learns_both_demonstrations_and_pages(tmp_path, base, demos):
    texts = ["two three two three two three", "no no no no"]
    pages = tiny.pages(tmp_path / "pages.jsonl", texts)
    config = StartConfig(epochs=40, batch=10, mix=0.2, learning_rate=1e-2)
    folder = train(
        start, tmp_path / "start", config, model=base, demos=demos, pages=pages, valid=demos, valid_pages=pages
    )
    lines = runs.read_metrics(tmp_path / "start")
    for name in ("valid_loss", "valid_page_loss"):
        seen = [line[name] for line in lines if name in line]
        assert seen[-1] < 0.7 < math.log(100) < seen[0] + 1  # from about uniform over some 110 tokens
    causal.load(folder)


def test_a_tenth_of_a_batch_is_pages(tmp_path, base, monkeypatch):
    demos = tiny.demonstrations(tmp_path / "d.jsonl", [(f"say red {'red ' * n}", "red") for n in range(30)])
    pages = tiny.pages(tmp_path / "pages.jsonl", ["two three"])
    sizes = []
    monkeypatch.setattr(
        sft, "gradient", lambda _lm, turns, _m: sizes.append((len(turns), turns.prompts.count([]))) or 0.0
    )
    monkeypatch.setattr(start.loop, "step", lambda *_: 0.0)
    train(start, tmp_path / "start", StartConfig(epochs=1, batch=20), model=base, demos=demos, pages=pages)
    assert sizes == [(20, 2), (14, 2)]  # 18 + 2, then the 12 that are left + 2; a page has no prompt
