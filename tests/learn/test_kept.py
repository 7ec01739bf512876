"""Policies that are kept along the way: each is what a run that ended there would have left."""

import shutil
from pathlib import Path

import pytest
import torch

import tiny
from biddable import runs
from biddable.learn import episodes, group, kept, ppo, raft
from biddable.learn.episodes import EpisodeSettings
from biddable.learn.group import RlooConfig
from biddable.learn.ppo import PpoConfig
from biddable.learn.raft import RaftConfig
from biddable.model import causal, reward
from biddable.model.reward import RewardModel
from biddable.provenance import artifact
from biddable.runs import Corrupt

ROLLED = {
    "batch": 8, "minibatch": 8, "answer_tokens": 8, "gamma_ptx": 0, "learning_rate": 1e-2, "warmup_iterations": 0,
    "checkpoint_every": 3, "keep_every": 2,
}  # fmt: skip
FOUR = ROLLED | {"episodes": 32}
TRAIN = {"ppo": ppo.train, "rloo": group.train, "raft": raft.train}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("kept")
    tok = tiny.tokenizer()
    judge = RewardModel(tiny.llama(tok, seed=1, width=16, layers=1), torch.Generator().manual_seed(0))
    return {
        "start": tiny.saved(place / "start", width=16, layers=1),
        "reward_model": reward.save(judge, tok, place / "judge"),
        "prompts": tiny.prompts(place / "prompts.jsonl", [f"say {word}" for word in tiny.WORDS[:6]]),
    }


def train(folder: Path, config: EpisodeSettings, inputs: dict[str, Path]) -> Path:
    with runs.start(folder, config.stage, config, inputs, 0) as run:
        TRAIN[config.stage](run, config, **inputs)
    return folder


def sha(folder: Path) -> str:
    return artifact(folder).sha256


@pytest.mark.parametrize("more", [{}, {"lora_rank": 2}, {"save_ema": False}, {"lora_rank": 2, "ema": 0.0}], ids=str)
def test_each_is_what_a_run_that_ended_there_would_have_left(tmp_path, folders, more):
    whole = train(tmp_path / "whole", PpoConfig(**FOUR | more), folders)
    half = train(tmp_path / "half", PpoConfig(**FOUR | more | {"episodes": 16}), folders)
    found = runs.kept(whole)
    assert list(found) == [0, 2, 4]
    assert sha(found[2]) == sha(half / "model") != sha(found[0])
    assert sha(found[4]) == sha(whole / "model") != sha(found[2])


def test_the_first_is_the_start_and_all_load(tmp_path, folders):
    folder = train(tmp_path / "ppo", PpoConfig(**FOUR), folders)
    began, _ = causal.load(folders["start"])
    for iteration, place in runs.kept(folder).items():
        lm, _ = causal.load(place)
        same = [torch.equal(a, b) for a, b in zip(lm.parameters(), began.parameters(), strict=True)]
        assert all(same) == (iteration == 0)


def test_the_manifest_names_them_by_their_sha256(tmp_path, folders):
    folder = train(tmp_path / "ppo", PpoConfig(**FOUR), folders)
    outputs = runs.read_manifest(folder).outputs
    assert {name: made.path for name, made in outputs.items()} == {
        "kept-0": "kept/0", "kept-2": "kept/2", "kept-4": "kept/4", "model": "model",
    }  # fmt: skip
    assert all(sha(folder / made.path) == made.sha256 for made in outputs.values())
    shutil.rmtree(folder / "kept" / "2")
    assert not runs.finished(folder, "ppo", PpoConfig(**FOUR), folders, 0)


@pytest.mark.parametrize("config", [
    RlooConfig(**FOUR, samples=2),
    RaftConfig(
        iterations=4, batch=8, k=2, minibatch=8, answer_tokens=8, learning_rate=1e-2, keep_every=3, checkpoint_every=3
    ),
], ids=["rloo", "raft"])  # fmt: skip
def test_its_kin_keep_theirs(tmp_path, folders, config):
    folder = train(tmp_path / config.stage, config, folders)
    found = runs.kept(folder)
    assert list(found) == list(range(0, 5, config.keep_every))
    assert len({sha(place) for place in found.values()}) == len(found)


@pytest.mark.parametrize("more", [{}, {"lora_rank": 2}], ids=str)
def test_keeping_changes_nothing_else(tmp_path, folders, more):
    with_some = train(tmp_path / "with", PpoConfig(**FOUR | more), folders)
    without = train(tmp_path / "without", PpoConfig(**FOUR | more | {"keep_every": 0}), folders)
    assert sha(with_some / "model") == sha(without / "model")
    assert (with_some / "metrics.jsonl").read_bytes() == (without / "metrics.jsonl").read_bytes()
    assert not (without / "kept").exists()


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_stopped_and_gone_on_with_they_are_the_same(tmp_path, folders, monkeypatch, at):
    """Stopped in the middle of an iteration: before the checkpoint, after it, and with policies kept since."""
    config = PpoConfig(**FOUR)
    whole = train(tmp_path / "whole" / "ppo", config, folders)
    move, calls = episodes.move, []

    def stop(*given):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return move(*given)

    with monkeypatch.context() as patch:
        patch.setattr(episodes, "move", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut" / "ppo", config, folders)
    cut = train(tmp_path / "cut" / "ppo", config, folders)
    one, other = (runs.read_manifest(folder).outputs for folder in (whole, cut))
    assert one == other
    assert set(one) == {"kept-0", "kept-2", "kept-4", "model"}


def stopped_late(folder: Path, folders: dict[str, Path], monkeypatch) -> None:
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(episodes.tuning, "leave", stop)
        with pytest.raises(KeyboardInterrupt):
            train(folder, PpoConfig(**FOUR), folders)


def test_one_that_was_changed_meanwhile_is_refused_by_name(tmp_path, folders, monkeypatch):
    folder = tmp_path / "ppo"
    stopped_late(folder, folders, monkeypatch)
    (folder / "kept" / "2" / "config.json").write_text("{}")
    with pytest.raises(Corrupt, match=r"ppo/kept/2: is not what was kept there; delete .*ppo to begin afresh"):
        train(folder, PpoConfig(**FOUR), folders)


def test_one_that_is_gone_is_refused_by_name(tmp_path, folders, monkeypatch):
    folder = tmp_path / "ppo"
    stopped_late(folder, folders, monkeypatch)
    shutil.rmtree(folder / "kept" / "0")
    with pytest.raises(Corrupt, match="ppo/kept/0"):
        train(folder, PpoConfig(**FOUR), folders)


def test_what_a_kill_left_half_written_is_none(tmp_path):
    for name in ("10", "2", "0", "12.part"):
        (tmp_path / "kept" / name).mkdir(parents=True)
    assert list(runs.kept(tmp_path)) == [0, 2, 10]
    assert runs.kept(tmp_path / "elsewhere") == {}


def test_it_is_on_disk_before_a_checkpoint_stands_on_it(tmp_path, folders, monkeypatch):
    """Every file and every folder that names one is synced."""
    synced = []
    monkeypatch.setattr(kept.checkpoint, "_sync", synced.append)
    lm, tokenizer = causal.load(folders["start"])
    config = PpoConfig(**FOUR)
    with runs.start(tmp_path / "ppo", "ppo", config, folders, 0) as run:
        kept.keep(run, lm, episodes.loop.copied(lm), tokenizer, 0)
    place = tmp_path / "ppo" / "kept" / "0"
    assert {*place.iterdir(), place, place.parent} == set(synced)
