import itertools
import math
from pathlib import Path

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaModel

import tiny
from biddable import runs
from biddable.config import ConfigError
from biddable.learn import reward as stage
from biddable.learn.reward import RewardConfig
from biddable.model import causal, reward
from biddable.model.forest import Turns, plant
from biddable.model.reward import RewardModel
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
def demos(tmp_path):
    return tiny.demonstrations(tmp_path / "demos.jsonl", [("say red", "red"), ("say blue", "blue blue")])


def train(folder: Path, config, seed: int = 0, **inputs) -> Path:
    with runs.start(folder, "reward", config, inputs, seed) as run:
        return stage.train(run, config, **inputs)


def double_net(base):
    lm, tok = causal.load(base)
    return RewardModel(lm, torch.Generator().manual_seed(0)).double().eval(), tok


def test_the_grouped_loss_is_the_loop_over_pairs(tmp_path, base):
    net, tok = double_net(base)
    sets = snapshots.rankings(tiny.rankings(tmp_path / "r.jsonl", SETS), tok)
    got = stage.gradient(net, RewardConfig(), sets)
    means = []
    for s in sets:  # the slow definition, each answer scored alone
        score = [net(plant(Turns([s.prompt], [a]))).item() for a in s.answers]
        losses = [
            math.log1p(math.exp(score[worse] - score[better]))
            for better, worse in itertools.permutations(range(len(score)), 2)
            if s.ranks[better] < s.ranks[worse]
        ]
        means.append(sum(losses) / len(losses))
    assert got["loss"] == pytest.approx(sum(means) / len(means), abs=1e-6)  # float64 but for transformers' RMSNorm


def test_pieces_of_whole_rankings_give_the_gradient_of_the_batch(tmp_path, base):
    net, tok = double_net(base)
    sets = snapshots.rankings(tiny.rankings(tmp_path / "r.jsonl", SETS), tok)
    grads = []
    for micro_tokens in (10_000, 1):
        stage.gradient(net, RewardConfig(micro_tokens=micro_tokens), sets)
        grads.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
        net.zero_grad()
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(*grads, strict=True))


def test_each_prompt_and_each_answer_goes_through_the_network_once(tmp_path, base, monkeypatch):
    net, tok = double_net(base)
    sets = snapshots.rankings(tiny.rankings(tmp_path / "r.jsonl", SETS), tok)
    tokens = 0
    forward = LlamaModel.forward

    def count(self, input_ids, **given):
        nonlocal tokens
        tokens += input_ids.numel()  # nothing is padded
        return forward(self, input_ids, **given)

    monkeypatch.setattr(LlamaModel, "forward", count)
    stage.gradient(net, RewardConfig(), sets)
    assert tokens == sum(len(s.prompt) + sum(map(len, s.answers)) for s in sets)


def test_the_reward_model_overfits_fifty_rankings(tmp_path, base, demos):
    words = [w for w in tiny.WORDS if w not in ("the", "a")]
    sets = []
    for n in range(50):  # a taste that can only be learnt by heart: which of four words is best depends on the prompt
        four = [words[(3 * n + 5 * i) % len(words)] for i in range(4)]
        sets.append((f"name {words[n % 14]} {words[(n // 14) * 3]}", [[word] for word in dict.fromkeys(four)]))
    path = tiny.rankings(tmp_path / "r.jsonl", sets)
    config = RewardConfig(epochs=40, batch=10, learning_rate=5e-3)
    train(tmp_path / "rm", config, model=base, rankings=path, demos=demos)
    assert runs.read_metrics(tmp_path / "rm")[-1]["accuracy"] > 0.97


def test_demonstrations_score_zero_on_average_and_the_centre_is_saved(tmp_path, base, demos):
    path = tiny.rankings(tmp_path / "r.jsonl", SETS)
    folder = train(tmp_path / "rm", RewardConfig(epochs=3, learning_rate=1e-2), model=base, rankings=path, demos=demos)
    net, tok = reward.load(folder)
    examples = snapshots.demonstrations(demos, tok)
    score = reward.scores(net, Turns([e.prompt for e in examples], [e.answer for e in examples]), 4096)
    assert score.mean().item() == pytest.approx(0, abs=1e-5)  # float32
    assert score.abs().max() > 1e-3


def test_without_demonstrations_the_ranked_answers_can_be_the_centre(tmp_path, base):
    path = tiny.rankings(tmp_path / "r.jsonl", SETS)
    with pytest.raises(ConfigError, match="give demos or center=answers"):
        train(tmp_path / "a", RewardConfig(), model=base, rankings=path)
    net, tok = reward.load(train(tmp_path / "b", RewardConfig(center="answers"), model=base, rankings=path))
    heard = stage.judge(net, snapshots.rankings(path, tok))
    assert heard.each_NM.mean().item() == pytest.approx(0, abs=1e-5)  # float32


def test_accuracy_is_strict_and_told_by_the_group_of_the_labeler(tmp_path, base):
    net, tok = double_net(base)
    path = tiny.rankings(tmp_path / "r.jsonl", SETS[:2], ("anna", "olga"))
    sets = snapshots.rankings(path, tok)
    seen = stage.measure(net, RewardConfig(), sets)
    right = {}
    for s in sets:
        score = [net(plant(Turns([s.prompt], [a]))).item() for a in s.answers]
        pairs = [(b, w) for b, w in itertools.permutations(range(4), 2) if s.ranks[b] < s.ranks[w]]
        right[s.group] = [score[b] > score[w] for b, w in pairs]
    assert seen["valid_accuracy_training"] == pytest.approx(sum(right["training"]) / 5)  # 6 pairs, one tied
    assert seen["valid_accuracy_held_out"] == pytest.approx(sum(right["held_out"]) / 6)
    assert seen["valid_accuracy"] == pytest.approx(sum(right["training"] + right["held_out"]) / 11)
    net.head.weight.data.zero_()  # then every score is equal, and no pair is right
    assert stage.measure(net, RewardConfig(), sets)["valid_accuracy"] == 0


@pytest.mark.parametrize("ties", ["davidson", "rao_kupper"])
def test_the_valid_loss_counts_ties_where_training_does(tmp_path, base, ties):
    tiny.rankings(tmp_path / "r.jsonl", [("say red", [["red"], ["blue"]]), ("say blue", [["blue", "red"]])])
    net, tok = double_net(base)
    sets = snapshots.rankings(tmp_path / "r.jsonl", tok)
    config = RewardConfig(ties=ties, tie_rate=1 / 3)
    seen = stage.measure(net, config, sets)
    score_N = stage.judge(net, sets).each_NM[:, 0]
    # With a tie rate of 1/3, ν = 1 and θ = 2: of π = eʳ by hand, −log P of the one win and of the one tie.
    w, v, a, b = score_N.exp().tolist()
    if ties == "davidson":
        win, tie = w / (w + v + math.sqrt(w * v)), math.sqrt(a * b) / (a + b + math.sqrt(a * b))
    else:
        win, tie = w / (w + 2 * v), 3 * a * b / ((a + 2 * b) * (b + 2 * a))
    assert seen["valid_loss"] == pytest.approx(-(math.log(win) + math.log(tie)) / 2)
    assert seen["valid_accuracy"] == float(w > v)  # over the one strict pair
    assert stage.measure(net, config, sets[1:]).keys() == {"valid_loss"}


def test_rankings_of_one_tie_teach_nothing(tmp_path, base, demos):
    tie = ("say no", [["no", "yes"]])
    _, tok = causal.load(base)
    both = tiny.rankings(tmp_path / "r.jsonl", [*SETS, tie])
    assert len(stage.usable(snapshots.rankings(both, tok), 100, "drop", both)) == 3
    assert len(stage.usable(snapshots.rankings(both, tok), 100, "davidson", both)) == 4
    path = tiny.rankings(tmp_path / "t.jsonl", [tie])
    with pytest.raises(ValueError, match="every ranking is one great tie"):
        train(tmp_path / "rm", RewardConfig(), model=base, rankings=path, demos=demos)


def test_reward_goes_on_where_it_was_stopped(tmp_path, base, demos, monkeypatch):
    path = tiny.rankings(tmp_path / "r.jsonl", SETS)
    config = RewardConfig(epochs=6, batch=2, checkpoint_every=3, learning_rate=1e-3)
    whole = train(tmp_path / "whole" / "rm", config, model=base, rankings=path, demos=demos)
    gradient, calls = stage.gradient, itertools.count()

    def stop(*given):
        if next(calls) == 7:
            raise KeyboardInterrupt
        return gradient(*given)

    with monkeypatch.context() as patch:
        patch.setattr(stage, "gradient", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut" / "rm", config, model=base, rankings=path, demos=demos)
    again = train(tmp_path / "cut" / "rm", config, model=base, rankings=path, demos=demos)
    for name in ("model.safetensors", reward.HEAD):
        assert (again / name).read_bytes() == (whole / name).read_bytes()
    assert runs.read_metrics(again.parent) == runs.read_metrics(whole.parent)


def test_the_epoch_of_the_lowest_valid_loss_can_be_kept(tmp_path, base, demos):
    path = tiny.rankings(tmp_path / "r.jsonl", SETS)
    turned = tiny.rankings(tmp_path / "v.jsonl", [(q, tiers[::-1]) for q, tiers in SETS])  # learning can only harm
    config = RewardConfig(epochs=4, learning_rate=1e-2, select="valid_loss")
    folder = train(tmp_path / "rm", config, model=base, rankings=path, valid=turned, demos=demos)
    losses = [line["valid_loss"] for line in runs.read_metrics(tmp_path / "rm")]
    assert min(losses) < losses[-1]
    net, tok = reward.load(folder)
    assert stage.measure(net, config, snapshots.rankings(turned, tok))["valid_loss"] == pytest.approx(
        min(losses), abs=1e-5  # float32
    )  # fmt: skip
    with pytest.raises(ConfigError, match="select: valid_loss needs valid rankings"):
        train(tmp_path / "no", config, model=base, rankings=path, demos=demos)
