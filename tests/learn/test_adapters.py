"""Adapters in each stage that learns from what people prefer: it begins as without them, changes only what they stand
beside, is its own reference, keeps nothing else, and goes on where it was stopped. (`sft` and `start`:
test_fine_tuning.py.)"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tiny
from biddable import runs
from biddable.config import ConfigError
from biddable.learn import dpo, loop, reward, tuning
from biddable.learn.dpo import DpoConfig, Known
from biddable.learn.reward import RewardConfig
from biddable.learn.tuning import TuningSettings
from biddable.model import causal, checkpoint, lora
from biddable.model import reward as reward_model
from biddable.text import snapshots

ADAPTERS = {"lora_rank": 2, "lora_alpha": 8.0}
WORDS = ("red", "blue", "green", "yes", "no", "one", "two", "three")
FAST = {"epochs": 3, "batch": 3, "learning_rate": 1e-2, "checkpoint_every": 2}
PREFERRED = ["dpo", "ipo", "hinge", "kto", "orpo", "simpo"]
STAGES = ["reward", *PREFERRED]


@dataclass(frozen=True)
class Stage:
    """How one is run here: its name, settings without adapters, files, and its function."""

    kind: str
    config: TuningSettings
    inputs: dict[str, Path]
    train: Callable[..., Path]

    def run(self, folder: Path, **changed) -> Path:
        config = self.config.model_copy(update=changed)
        with runs.start(folder, self.kind, config, self.inputs, 0) as run:
            return self.train(run, config, **self.inputs)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("adapters")
    ranked = [(f"say {word}", [[word], ["cow"], ["the", "big dog"]]) for word in WORDS]
    return {
        "base": tiny.saved(place / "base", spread=0.3),
        "rankings": tiny.rankings(place / "rankings.jsonl", ranked),
        "demos": tiny.demonstrations(place / "demos.jsonl", [(f"say {word}", word) for word in WORDS]),
    }


@pytest.fixture
def stage(files, request) -> Stage:
    learns = {"model": files["base"], "rankings": files["rankings"]}
    match request.param:
        case "reward":
            return Stage("reward", RewardConfig(**FAST, heads=2), learns | {"demos": files["demos"]}, reward.train)
        case method:
            return Stage("dpo", DpoConfig(**FAST, method=method), learns, dpo.train)


def learnt(lm, seed: int = 1) -> None:
    """As if something had been learnt: B is 0 only at the beginning."""
    for part in lora.adapters(lm).values():
        with torch.no_grad():
            part.b_OR.normal_(0, 0.1, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_the_first_update_begins_with_the_numbers_of_all_weights(stage, tmp_path):
    """B is 0, so every number is the same bit by bit, but for the gradients' lengths and what they led to."""
    for name, rank in (("all", 0), ("adapters", 2)):
        stage.run(tmp_path / name, lora_rank=rank)
    (one, *_), (other, *_) = (runs.read_metrics(tmp_path / name) for name in ("all", "adapters"))
    led_to = {name for name in one if "gradient" in name or "held_out" in name}
    assert {name: x for name, x in other.items() if name not in led_to} == {
        name: x for name, x in one.items() if name not in led_to
    }
    assert any(one[name] != other[name] for name in led_to)


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_an_ordinary_folder_is_left_in_which_only_adapted_matrices_moved(stage, tmp_path, files):
    folder = stage.run(tmp_path / "run", **ADAPTERS)
    before, _ = causal.load(files["base"])
    after, _ = causal.load(folder)
    names = [name for name, _ in before.named_parameters()]
    pairs = zip(names, before.parameters(), after.parameters(), strict=True)
    assert {name for name, a, b in pairs if not torch.equal(a, b)} == {name for name in names if "proj" in name}
    assert set(runs.read_manifest(tmp_path / "run").outputs) == {"model", "adapter"}
    kept = load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    assert len(kept) == 2 * 7 * 2  # A and B of seven linear layers, in two layers


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_a_checkpoint_holds_what_is_learnt(stage, tmp_path, monkeypatch):
    kept = []
    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *given: kept.append(given[2]) or save(*given))
    stage.run(tmp_path / "run", **ADAPTERS)
    heads = {"net.head.weight", "net.head.bias"}
    networks = [name for name in kept[-1] if name.partition(".")[0] in ("lm", "net")]
    assert {name for name in networks if not name.endswith(("a_RI", "b_OR"))} == (
        heads if stage.kind == "reward" else set()
    )
    assert len(networks) == 2 * 7 * 2 + (2 if stage.kind == "reward" else 0)


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_it_goes_on_where_it_was_stopped(stage, tmp_path, monkeypatch):
    whole = stage.run(tmp_path / "whole" / "run", **ADAPTERS)
    step, calls = loop.step, []

    def stop(*given):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return step(*given)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            stage.run(tmp_path / "cut" / "run", **ADAPTERS)
    assert list((tmp_path / "cut" / "run" / "checkpoints").glob("step-*"))
    again = stage.run(tmp_path / "cut" / "run", **ADAPTERS)
    names = ["model/model.safetensors", "adapter/adapter_model.safetensors", "metrics.jsonl"]
    for name in names + (["model/reward_head.safetensors"] if stage.kind == "reward" else []):
        assert (again.parent / name).read_bytes() == (whole.parent / name).read_bytes(), name


@pytest.mark.parametrize("method", PREFERRED)
def test_whatever_was_learnt_the_start_model_is_dpos_reference(files, method):
    config = DpoConfig(method=method, **ADAPTERS)
    lm, tok = causal.load(files["base"])
    sets = snapshots.rankings(files["rankings"], tok)
    apart = copy.deepcopy(lm)
    learnt(tuning.adapt(lm, config, 0, "dpo"))
    ref_N = dpo.reference(lm, config, sets)
    assert torch.equal(ref_N, dpo.reference(apart, config, sets))
    now_N = dpo.see(lm, [Known(s, torch.zeros(len(s.answers))) for s in sets]).logp_N.detach()
    assert (now_N - ref_N).abs().min() > 1e-3


def test_a_reward_model_with_adapters_is_merged_before_it_is_centred(files, tmp_path):
    """Demonstrations score 0 by the saved weights."""
    folder = tmp_path / "run"
    config = RewardConfig(**FAST, **ADAPTERS)
    inputs = {"model": files["base"], "rankings": files["rankings"], "demos": files["demos"]}
    model = Stage("reward", config, inputs, reward.train).run(folder)
    net, tok = reward_model.load(model)
    examples = snapshots.demonstrations(files["demos"], tok)
    turns = reward.Turns([e.prompt for e in examples], [e.answer for e in examples])
    score_A = reward_model.scores(net, turns, 4096)
    assert score_A.mean().item() == pytest.approx(0, abs=1e-6)  # float32
    assert score_A.abs().max() > 1e-2


def test_new_layers_and_adapters_do_not_go_together():
    with pytest.raises(ConfigError, match="extra_layers: new layers learn all their weights; say extra_layers=0"):
        reward.check(RewardConfig(extra_layers=1, **ADAPTERS), None, Path("demos.jsonl"), None)
