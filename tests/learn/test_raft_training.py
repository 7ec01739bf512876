from pathlib import Path

import pytest
import torch

import tiny
from biddable import runs
from biddable.config import ConfigError
from biddable.learn import raft as stage
from biddable.learn.raft import RaftConfig
from biddable.model import causal, reward
from biddable.model.reward import RewardModel
from biddable.sample.local import Rollout

ASKED = [f"say {word}" for word in ("red", "blue", "green", "yes", "no", "one", "two")]
CONFIG = RaftConfig(iterations=2, batch=4, k=3, minibatch=2, answer_tokens=8, learning_rate=3e-3)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture
def base(tmp_path):
    return tiny.saved(tmp_path / "base", spread=0.3)


@pytest.fixture
def judge(tmp_path):
    net = RewardModel(tiny.llama(tiny.tokenizer(), 1), torch.Generator().manual_seed(0))
    return reward.save(net, tiny.tokenizer(), tmp_path / "judge")


@pytest.fixture
def asked(tmp_path):
    return tiny.prompts(tmp_path / "prompts.jsonl", ASKED)


def train(folder: Path, config: RaftConfig, seed: int = 0, **inputs) -> Path:
    with runs.start(folder, "raft", config, inputs, seed) as run:
        return stage.train(run, config, **inputs)


def rollout(finished: list[bool]) -> Rollout:
    count = len(finished)
    return Rollout(
        ([1],) * count, torch.ones(count, 1, dtype=torch.long), torch.zeros(count, 1),
        torch.ones(count, 1, dtype=torch.bool), torch.tensor(finished),
    )  # fmt: skip


def test_the_best_of_each_prompt_is_kept_by_hand():
    score = torch.tensor([1.0, 3.0, 2.0, 9.0, 9.0, 8.5])  # two prompts, three answers each
    whole = rollout([True] * 6)
    assert stage.best_of(CONFIG, whole, score) == [1, 3]  # of equals the first
    cut = rollout([True, False, True, False, False, True])  # 3 − 1 = 2 equals the whole one; 9 − 1 is below 8.5
    assert stage.best_of(CONFIG, cut, score) == [1, 5]
    free = CONFIG.model_copy(update={"missing_end_penalty": 0.0})
    assert stage.best_of(free, cut, score) == [1, 3]


def test_the_best_of_all_are_kept_by_hand():
    score = torch.tensor([1.0, 3.0, 2.0, 9.0, 9.0, 8.5])
    every = CONFIG.model_copy(update={"keep": "all"})
    assert stage.best_of(every, rollout([True] * 6), score) == [3, 4]  # a third of six, and none of the first prompt


def test_what_is_learnt_is_what_was_kept(tmp_path, base, judge, asked, monkeypatch):
    """Each kept answer once an inner epoch, to its own prompt, and nothing else."""
    learnt, kept = [], []
    gradient, best_of = stage.sft.gradient, stage.best_of

    def watch_gradient(lm, turns, *given):
        learnt.extend(zip(map(tuple, turns.prompts), map(tuple, turns.answers), strict=True))
        return gradient(lm, turns, *given)

    def watch_best(config, rollout, score_B):
        found = best_of(config, rollout, score_B)
        turns = rollout.turns.take(found)
        kept.extend(zip(map(tuple, turns.prompts), map(tuple, turns.answers), strict=True))
        return found

    monkeypatch.setattr(stage.sft, "gradient", watch_gradient)
    monkeypatch.setattr(stage, "best_of", watch_best)
    config = CONFIG.model_copy(update={"inner_epochs": 2})
    train(tmp_path / "run", config, start=base, reward_model=judge, prompts=asked)
    assert len(kept) == 2 * 4
    assert sorted(learnt) == sorted(kept * 2)


@pytest.mark.parametrize("keep", ["prompt", "all"])
def test_the_reward_rises(tmp_path, base, judge, asked, keep):
    config = RaftConfig(
        iterations=12, batch=21, k=6, minibatch=7, inner_epochs=2, answer_tokens=8, learning_rate=1e-2, keep=keep,
        missing_end_penalty=0.0,
    )  # fmt: skip
    train(tmp_path / "run", config, start=base, reward_model=judge, prompts=asked)
    lines = runs.read_metrics(tmp_path / "run")
    assert all(line["kept_score"] > line["score"] for line in lines)
    score = [line["score"] for line in lines]
    assert sum(score[-3:]) / 3 > score[0] + 0.2  # a mean of 126 answers that spread by 0.8 strays by 0.07
    assert (lines[0]["kept_prompts"] == 21) == (keep == "prompt")


def test_pretraining_text_joins_the_same_steps(tmp_path, base, judge, asked):
    pages = tiny.pages(tmp_path / "pages.jsonl", ["the cow say no", "the dog say yes yes"])
    config = CONFIG.model_copy(update={"gamma_ptx": 1.0, "iterations": 8})
    train(tmp_path / "run", config, start=base, reward_model=judge, prompts=asked, pages=pages)
    lines = [line["ptx_loss"] for line in runs.read_metrics(tmp_path / "run")]
    assert lines[-1] < 0.8 * lines[0]


def test_held_out_looks_stop_it_and_the_best_look_is_kept(tmp_path, base, judge, asked):
    worse = RewardModel(causal.load(base)[0], torch.Generator().manual_seed(5))
    onlooker = reward.save(worse, tiny.tokenizer(), tmp_path / "onlooker")
    config = CONFIG.model_copy(update={"iterations": 30, "valid_every": 1, "patience": 2, "learning_rate": 2e-2})
    given = {"start": base, "reward_model": judge, "prompts": asked, "valid": asked, "held_out": onlooker}
    train(tmp_path / "run", config, **given)
    scores = [line["held_out_score"] for line in runs.read_metrics(tmp_path / "run")]
    assert len(scores) < 30
    assert len(scores) == scores.index(max(scores)) + 3


def test_what_does_not_go_together_is_refused(tmp_path, base, judge, asked):
    given = {"start": base, "reward_model": judge, "prompts": asked}
    with pytest.raises(ConfigError, match="patience: needs valid_every"):
        train(tmp_path / "a", CONFIG.model_copy(update={"patience": 1}), **given)
    with pytest.raises(ConfigError, match="no pretraining text is given; give pages"):
        train(tmp_path / "b", CONFIG.model_copy(update={"gamma_ptx": 1.0}), **given)
    with pytest.raises(ConfigError, match="no prompt fits: with answer_tokens=128"):
        train(tmp_path / "c", CONFIG.model_copy(update={"answer_tokens": 128}), **given)
