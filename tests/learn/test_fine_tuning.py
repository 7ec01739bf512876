"""sft and start."""

import math
import re
from pathlib import Path

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

import tiny
from biddable import records, runs
from biddable.learn import sft, start
from biddable.learn.sft import SftConfig
from biddable.learn.start import StartConfig
from biddable.model import causal, checkpoint, reward
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


def test_demonstrations_that_are_too_long_are_left_out_and_none_left_is_an_error(tmp_path, base, capsys):
    demos = tiny.demonstrations(tmp_path / "d.jsonl", [("say red", "red " * 20), ("say no", "no")])
    lm, tok = causal.load(base)
    examples = snapshots.demonstrations(demos, tok)
    assert len(sft.fitting(examples, demos, lm, 100, 21)) == 2  # 20 words and the end token
    assert capsys.readouterr().err == ""
    assert len(sft.fitting(examples, demos, lm, 100, 20)) == 1
    told = f"{demos}: 1 of 2 demonstrations fit; 1 left out (prompt_tokens=100, answer_tokens=20, "
    assert told in capsys.readouterr().err
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


ADAPTERS = {"lora_rank": 4, "lora_alpha": 8.0}


def test_sft_learns_with_adapters_and_leaves_both(tmp_path, base, demos):
    config = SftConfig(**FAST | {"epochs": 60}, **ADAPTERS)
    folder = train(sft, tmp_path / "sft", config, model=base, demos=demos)
    lm, tok = causal.load(folder)
    rollout = respond(lm, tok, prompt_ids(tok, [p for p, _ in PAIRS]), 8, generator=torch.Generator(), temperature=0)
    assert [words(tok, a) for a in rollout.answers] == [a for _, a in PAIRS]
    assert sorted(p.name for p in (tmp_path / "sft" / "adapter").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    assert set(runs.read_manifest(tmp_path / "sft").outputs) == {"model", "adapter"}
    before, _ = causal.load(base)
    same = {name for (name, a), b in zip(before.named_parameters(), lm.parameters(), strict=True) if torch.equal(a, b)}
    assert {name for name in same if "proj" in name} == set()
    assert {name for name, _ in lm.named_parameters() if "norm" in name or "embed" in name} == same


@pytest.mark.parametrize("stage", ["sft", "start"])
def test_with_adapters_a_stage_goes_on_where_it_was_stopped(tmp_path, base, demos, monkeypatch, stage):
    few = {"epochs": 4, "batch": 4, "learning_rate": 1e-2, **ADAPTERS}
    pages = tiny.pages(tmp_path / "pages.jsonl", ["two three two three"])
    valid = tiny.demonstrations(tmp_path / "valid.jsonl", [("say one", "one one")])
    inputs = {"model": base, "demos": demos, "valid": valid}
    room, config = (sft, SftConfig(**few)) if stage == "sft" else (start, StartConfig(**few, mix=0.25))
    inputs |= {} if stage == "sft" else {"pages": pages}
    whole = train(room, tmp_path / "whole" / "run", config, **inputs)
    gradient, calls = sft.gradient, []

    def stop(*given):
        if len(calls) == 5:
            raise KeyboardInterrupt
        calls.append(1)
        return gradient(*given)

    with monkeypatch.context() as patch:
        patch.setattr(sft, "gradient", stop)
        with pytest.raises(KeyboardInterrupt):
            train(room, tmp_path / "cut" / "run", config, **inputs)
    again = train(room, tmp_path / "cut" / "run", config, **inputs)
    for file in ("model/model.safetensors", "adapter/adapter_model.safetensors", "metrics.jsonl"):
        assert (again.parent / file).read_bytes() == (whole.parent / file).read_bytes(), file


def test_a_checkpoint_with_adapters_holds_nothing_else(tmp_path, base, demos, monkeypatch):
    config = SftConfig(**FAST | {"epochs": 1}, **ADAPTERS)
    kept = []
    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *given: kept.append(given[2]) or save(*given))
    train(sft, tmp_path / "sft", config, model=base, demos=demos)
    [tensors] = kept
    assert {name.rpartition(".")[2] for name in tensors if name.startswith("lm.")} == {"a_RI", "b_OR"}
    assert len([name for name in tensors if name.endswith("exp_avg")]) == 2 * 7 * 2  # A and B, seven layers, twice


TALKS = [  # what was said before, the prompt, the answer
    ([("user", "say red"), ("assistant", "red dog")], "say blue", "blue"),
    ([], "name a cow", "the big cow"),
    ([("system", "yes"), ("user", "no"), ("assistant", "one"), ("user", "two"), ("assistant", "a cat")], "three", "no"),
]


def talks(path: Path) -> Path:
    rows: list[records.Record] = [records.Labeler(id="anna", group="training")]
    for before, text, answer in TALKS:
        turns = tuple(records.Turn(role=role, text=said) for role, said in before)
        asked = records.Prompt.make(text, split="train", **({"before": turns} if turns else {}))
        rows += [asked, records.Demonstration(prompt_id=asked.id, text=answer, labeler="anna")]
    records.write(path, rows)
    return path


def family(name: str, vocabulary: int):
    if name == "llama":
        return tiny.llama(tiny.byte_tokenizer()).double()
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = Qwen2Config(**small, vocab_size=vocabulary, num_key_value_heads=2, initializer_range=0.1)
        return Qwen2ForCausalLM(config).eval().double()


def alone(lm, tok, said: list[dict], learnt: set[str]) -> list[torch.Tensor]:
    """The definition: one conversation in a row of its own, by transformers; −log p of what `learnt` says."""
    text = tok.apply_chat_template(said, tokenize=False)
    pieces = re.split(r"(?<=assistant\n)(.*?<\|end\|>)", text)  # words, answer, words, answer, …
    ids, counts = [], []
    for nth, piece in enumerate(pieces[:-1]):
        more = tok(piece, add_special_tokens=False)["input_ids"]
        ids += more
        last = nth == len(pieces) - 2
        counts += [(nth % 2 == 1 and ("all" in learnt or last)) or "words" in learnt] * len(more)
    logp = lm(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return [-logp[t - 1, ids[t]] for t in range(1, len(ids)) if counts[t]]


@pytest.mark.parametrize("name", ["llama", "qwen2"])
@pytest.mark.parametrize(("loss_on", "learnt"), [("answer", {"all"}), ("last", set()), ("all", {"all", "words"})])
@pytest.mark.parametrize("micro_tokens", [10_000, 40])
def test_conversations_packed_in_one_row_are_each_alone_in_float64(tmp_path, name, loss_on, learnt, micro_tokens):
    """No packed conversation sees another: the loss and every gradient are those of rows of their own."""
    tok = tiny.byte_tokenizer()
    lm = family(name, len(tok))
    examples = snapshots.demonstrations(talks(tmp_path / "talks.jsonl"), tok)
    loss = sft.gradient(lm, sft.turns_of(SftConfig(loss_on=loss_on), examples), micro_tokens)
    packed = [p.grad.clone() for p in lm.parameters()]
    lm.zero_grad()
    said = [
        [{"role": role, "content": text} for role, text in [*before, ("user", asked), ("assistant", answer)]]
        for before, asked, answer in TALKS
    ]
    costs = [cost for one in said for cost in alone(lm, tok, one, learnt)]
    mean = torch.stack(costs).mean()
    mean.backward()
    assert loss == pytest.approx(mean.item(), abs=1e-5)  # float64 but for transformers' RMSNorm
    for mine, p in zip(packed, lm.parameters(), strict=True):
        assert torch.allclose(mine, p.grad, atol=1e-5)


def test_start_learns_all_answers_of_a_conversation_too(tmp_path, base, monkeypatch):
    pages = tiny.pages(tmp_path / "pages.jsonl", ["two three"])
    seen = []
    monkeypatch.setattr(sft, "gradient", lambda _lm, turns, _m: seen.append(turns) or 0.0)
    monkeypatch.setattr(start.loop, "step", lambda *_: 0.0)
    config = StartConfig(epochs=1, batch=4, mix=0.25)
    train(start, tmp_path / "start", config, model=base, demos=talks(tmp_path / "d.jsonl"), pages=pages)
    [turns] = seen
    # Answers and their end tokens: 3 + 2, 4, 2 + 3 + 2; and a page of begin, two words and end, but for its first.
    assert turns.predicted == 5 + 4 + 7 + 3
