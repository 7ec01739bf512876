from pathlib import Path

import pytest
import torch

import tiny
from biddable import runs
from biddable.config import ConfigError
from biddable.learn import episodes
from biddable.learn import raft as stage
from biddable.learn.raft import RaftConfig
from biddable.model import causal, reward
from biddable.model.reward import RewardModel
from biddable.records import Completion
from biddable.sample.score import score
from biddable.text import snapshots
from biddable.text.tokenizer import prompt_ids, words
from biddable.text.words import word_tokenizer

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


def test_the_best_of_each_prompt_is_kept_by_hand():
    paid = torch.tensor([1.0, 3.0, 2.0, 9.0, 9.0, 8.5])  # two prompts, three answers each
    assert stage.best_of(CONFIG, paid) == [1, 3]  # of equals the first


def test_the_best_of_all_are_kept_by_hand():
    paid = torch.tensor([1.0, 3.0, 2.0, 9.0, 9.0, 8.5])
    every = CONFIG.model_copy(update={"keep": "all"})
    assert stage.best_of(every, paid) == [3, 4]  # a third of six, and none of the first prompt


def test_what_is_compared_is_the_score_less_the_missing_end_and_the_kl(base, judge, asked, monkeypatch):
    """By its slow definition, of a policy that has left its reference; what is kept is the best by it."""
    config = CONFIG.model_copy(update={"beta": 0.5, "missing_end_penalty": 2.0, "k": 4, "answer_tokens": 12})
    actors = episodes.assemble(config, base, judge, snapshots.prompts(asked))
    with torch.no_grad():
        for parameter in actors.policy.parameters():
            parameter.mul_(1.2)
        actors.policy.get_input_embeddings().weight[actors.tokenizer.eos_token_id] *= 4  # some answers end
    prompts = [ids for ids in prompt_ids(actors.tokenizer, snapshots.prompts(asked)) for _ in range(4)]
    rollout = episodes.sample(actors, config, prompts, 0, 0)
    score_B = reward.scores(actors.judge, rollout.turns, 4096)
    paid = []
    for i, (prompt, answer) in enumerate(zip(rollout.prompts, rollout.answers, strict=True)):
        logit_ND = actors.reference(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        reference = logit_ND.log_softmax(-1)[range(len(answer)), answer].sum()
        kl = rollout.logp_BT[i][rollout.mask_BT[i]].sum() - reference
        paid.append(float(score_B[i] - 2.0 * (not rollout.finished_B[i]) - 0.5 * kl))
    assert 0 < rollout.finished_B.sum() < len(paid)

    told = {}
    best_of = stage.best_of
    monkeypatch.setattr(stage, "best_of", lambda config, paid_B: told.setdefault("kept", best_of(config, paid_B)))
    seen = stage.step(actors, config, prompts, [], 0, 0)
    best = [max(range(at, at + 4), key=paid.__getitem__) for at in range(0, len(paid), 4)]
    assert told["kept"] == best
    assert best != [int(score_B[at : at + 4].argmax()) + at for at in range(0, len(paid), 4)]  # by the score alone
    assert seen["kept_reward"] == pytest.approx(sum(paid[i] for i in best) / len(best), rel=1e-4)  # float32
    assert seen["reward"] == pytest.approx(sum(paid) / len(paid), rel=1e-4)


def test_a_reward_model_with_another_tokenizer_judges(tmp_path, base, asked, monkeypatch):
    """Those are kept whose texts it scores highest."""
    tok = word_tokenizer(["say", "cow", "other"])
    net = RewardModel(tiny.llama(tok, seed=4, width=16, layers=3, spread=1.0), torch.Generator().manual_seed(0))
    other = reward.save(net, tok, tmp_path / "other")
    config = CONFIG.model_copy(update={"missing_end_penalty": 0.0})
    prompts, its, told = snapshots.prompts(asked), tiny.tokenizer(), {}
    actors = episodes.assemble(config, base, other, prompts)
    rows = [(prompt, ids) for prompt, ids in zip(prompts, prompt_ids(its, prompts), strict=True) for _ in range(3)]
    best_of = stage.best_of
    rollout = episodes.sample(actors, config, [ids for _, ids in rows], 0, 0)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "best_of", lambda config, paid_B: told.setdefault("kept", best_of(config, paid_B)))
        stage.step(actors, config, [ids for _, ids in rows], [], 0, 0)
    made = [
        Completion.make(prompt.id, words(its, ids), f"r{nth}", finished=bool(done))
        for nth, ((prompt, _), ids, done) in enumerate(zip(rows, rollout.answers, rollout.finished_B, strict=True))
    ]
    value = [one.value for one in score(other, {p.id: p for p in prompts}, made, run_id="r")]
    assert told["kept"] == [max(range(at, at + 3), key=value.__getitem__) for at in range(0, len(value), 3)]
    train(tmp_path / "run", config, start=base, reward_model=other, prompts=asked)
    assert len(runs.read_metrics(tmp_path / "run")) == 2


def test_what_is_learnt_is_what_was_kept(tmp_path, base, judge, asked, monkeypatch):
    """Each kept answer once an inner epoch, to its own prompt, and nothing else."""
    learnt, kept, judged = [], [], []
    gradient, best_of, judged_by = stage.sft.gradient, stage.best_of, episodes.judge

    def watch_gradient(lm, turns, *given):
        learnt.extend(zip(map(tuple, turns.prompts), map(tuple, turns.answers), strict=True))
        return gradient(lm, turns, *given)

    def watch_judge(*given):
        judged.append(judged_by(*given))
        return judged[-1]

    def watch_best(*given):
        found = best_of(*given)
        turns = judged[-1][0].turns.take(found)
        kept.extend(zip(map(tuple, turns.prompts), map(tuple, turns.answers), strict=True))
        return found

    monkeypatch.setattr(stage.sft, "gradient", watch_gradient)
    monkeypatch.setattr(stage, "best_of", watch_best)
    monkeypatch.setattr(episodes, "judge", watch_judge)
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
    assert all(line["kept_reward"] > line["reward"] for line in lines)
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
    with pytest.raises(ConfigError, match="no pretraining text is given; gamma_ptx=0 is plain RAFT"):
        train(tmp_path / "b", CONFIG.model_copy(update={"gamma_ptx": 1.0}), **given)
    with pytest.raises(ConfigError, match="answer_tokens: 128 leaves no room for a prompt"):
        train(tmp_path / "c", CONFIG.model_copy(update={"answer_tokens": 128}), **given)
