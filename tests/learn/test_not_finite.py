"""NaN and Inf at every place of every stage: named in the step in which they come, never saved, and status 70."""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import tiny
import torture
from biddable import runs
from biddable.cli import app
from biddable.learn import dpo, episodes, group, loop, ppo, pretrain, reward
from biddable.model import causal, checkpoint
from biddable.model import reward as reward_model
from biddable.runs import NotFinite

pytestmark = pytest.mark.whole_runs
BAD = [math.nan, math.inf, -math.inf]
# What comes, and in which call: before there is a checkpoint, and after; they are kept every 2 steps.
CASES = [(math.nan, 1), (math.inf, 3), (-math.inf, 3), (math.nan, 4)]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


def poisoned(inner: Callable, bad: float, at: int, harm: Callable | None = None) -> Callable:
    """A function whose call number `at` gives a number that is none."""
    calls = itertools.count(1)

    @functools.wraps(inner)
    def outer(*given, **named):
        made = inner(*given, **named)
        if next(calls) != at:
            return made
        return harm(made) if harm else made * bad  # a zero times Inf is NaN, so either way it is none

    return outer


def first_place(bad: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Only one number of many is bad, and not the last."""

    def harm(tensor: torch.Tensor) -> torch.Tensor:
        spoilt = tensor.clone()
        spoilt.view(-1)[0] = bad
        return spoilt

    return harm


def spoil_loss(patch, stage: str, bad: float, at: int) -> str:
    room, name = {
        "pretrain": (pretrain, "next_token_loss"), "sft": (causal, "nll_of"), "start": (causal, "nll_of"),
        "reward": (reward, "preference_loss"), "ppo": (ppo, "policy_loss"), "rloo": (group, "policy_loss"),
        "grpo": (group, "grpo_loss"), "reinforce": (group, "policy_loss"), "dpo": (dpo, "loss_of"),
        "raft": (causal, "nll_of"),
    }[stage]  # fmt: skip
    # DPO's valid rankings are asked by the same function, and RAFT's pages: every second call.
    which = 2 * at - 1 if stage in ("dpo", "raft") else at
    patch.setattr(room, name, poisoned(getattr(room, name), bad, which))
    return r": (policy_|valid_)?loss is (nan|-?inf)"  # SFT and the reward model look at what is held out, too


def spoil_value_loss(patch, stage: str, bad: float, at: int) -> str:
    patch.setattr(ppo, "value_loss", poisoned(ppo.value_loss, bad, at))
    return r"value_loss is (nan|-?inf)"


def spoil_ptx_loss(patch, stage: str, bad: float, at: int) -> str:
    which = 2 * at if stage == "raft" else at  # which learns its answers by the same function, before the pages
    patch.setattr(causal, "nll_of", poisoned(causal.nll_of, bad, which))
    return r"ptx_loss is (nan|-?inf)"


def spoil_gradient(patch, stage: str, bad: float, at: int) -> str:
    """One number of the gradient of one parameter in the middle of the network."""
    calls, clip = itertools.count(1), loop.clip

    def spoilt(named, longest, where):
        if next(calls) == at:
            middle = next(p for name, p in named.items() if "layers.0.mlp.up_proj." in name)  # or of its adapter
            middle.grad[0, 0] = bad
        return clip(named, longest, where)

    patch.setattr(loop, "clip", spoilt)
    return r"the gradient of \S*layers\.0\.mlp\.up_proj\.(weight|a_RI|b_OR) holds NaN or Inf; nothing was updated"


def spoil_weights(patch, stage: str, bad: float, at: int) -> str:
    """The update itself goes wrong, in one number."""
    calls, check = itertools.count(1), loop.check_weights

    def spoilt(named, where):
        if next(calls) == at:
            one = next(p for name, p in named.items() if "layers.0.mlp.down_proj." in name)
            one.data[1, 1] = bad
        check(named, where)

    patch.setattr(loop, "check_weights", spoilt)
    return r"after the update: \S*layers\.0\.mlp\.down_proj\.(weight|a_RI|b_OR) holds NaN or Inf"


def spoil_score(patch, stage: str, bad: float, at: int) -> str:
    def harm(found):
        return first_place(bad)(found[0]), found[1]

    patch.setattr(reward_model, "scores_and_spread", poisoned(reward_model.scores_and_spread, bad, at, harm))
    return "score (holds NaN or Inf|is)"


def spoil_value(patch, stage: str, bad: float, at: int) -> str:
    def harm(value_BT: torch.Tensor) -> torch.Tensor:
        return value_BT + torch.zeros_like(value_BT).index_fill(1, torch.tensor([0]), bad)

    patch.setattr(reward_model.RewardModel, "values", poisoned(reward_model.RewardModel.values, bad, at, harm))
    return "value(_loss)? (holds NaN or Inf|is)"


def spoil_logp(patch, stage: str, bad: float, at: int) -> str:
    def harm(rollout):
        return replace(rollout, logp_BT=first_place(bad)(rollout.logp_BT))

    patch.setattr(episodes, "respond", poisoned(episodes.respond, bad, at, harm))
    return rf"iteration {at}: logp holds NaN or Inf"


def spoil_reference(patch, stage: str, bad: float, at: int) -> str:
    def harm(logp_BT: torch.Tensor) -> torch.Tensor:
        return first_place(bad)(logp_BT)

    patch.setattr(causal, "answer_logp", poisoned(causal.answer_logp, bad, at, harm))
    return rf"iteration {at}: reference_logp holds NaN or Inf"


def spoil_start_logp(patch, stage: str, bad: float, _at: int) -> str:
    """What the start model says of one answer, before anything is learnt."""
    patch.setattr(causal, "answer_logp", poisoned(causal.answer_logp, bad, 1, first_place(bad)))
    return r"step 1: reference_logp holds NaN or Inf"


def spoil_drift(patch, stage: str, bad: float, at: int) -> str:
    patch.setattr(dpo, "drift", poisoned(dpo.drift, bad, at))
    return r"(kl|loss) is (nan|-?inf)"


EVERYWHERE = (spoil_loss, spoil_gradient, spoil_weights)
IN_EPISODES = (spoil_ptx_loss, spoil_score, spoil_logp, spoil_reference)
IN_PPO = (spoil_value_loss, spoil_value)
PLACES = [
    *((stage, spoil) for stage in torture.STAGES for spoil in EVERYWHERE),
    *((stage, spoil) for stage in torture.BY_EPISODES for spoil in IN_EPISODES),
    *(("ppo", spoil) for spoil in IN_PPO),
    *(("dpo", spoil) for spoil in (spoil_start_logp, spoil_drift, spoil_ptx_loss)),
]


@pytest.mark.parametrize(("bad", "at"), CASES)
@pytest.mark.parametrize(("stage", "spoil"), PLACES, ids=lambda x: getattr(x, "__name__", x))
def test_a_number_that_is_none_is_named_in_its_step_and_never_saved(
    tmp_path, jobs, whole, monkeypatch, stage, spoil, at, bad
):
    """And the run goes on from what it had kept, as one that it never came to."""
    job, folder = jobs[stage], tmp_path / stage
    finite = []

    def watched(tensors: dict[str, torch.Tensor], path: Path) -> None:
        finite.append(all(torch.isfinite(tensor).all() for tensor in tensors.values()))
        save_file(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", watched)
        named = spoil(patch, stage, bad, at)
        with pytest.raises(NotFinite, match=named) as caught:
            torture.carry_out(job, folder)
    assert "\n" not in str(caught.value)
    logged = [int(line["step"]) for line in runs.read_metrics(folder)] if folder.exists() else []
    if stage != "pretrain":  # which does not log each step
        assert f" {max(logged, default=0) + 1}: " in f" {caught.value}", "the step after the last one that was logged"
    assert not (folder / "model").exists()
    assert all(finite)
    if math.isnan(bad):  # what is on disk is the same after an Inf
        torture.carry_out(job, folder)
        assert torture.prints(folder) == whole(stage)


@pytest.mark.parametrize("bad", BAD, ids=str)
@pytest.mark.parametrize(
    ("stage", "which", "file"),
    [
        ("sft", "model", "model.safetensors"),
        ("start", "model", "model.safetensors"),
        ("reward", "model", "model.safetensors"),
        ("dpo", "model", "model.safetensors"),
        ("raft", "start", "model.safetensors"),
        ("raft", "reward_model", reward_model.HEAD),
        ("ppo", "start", "model.safetensors"),
        ("ppo", "reward_model", "model.safetensors"),
        ("ppo", "reward_model", reward_model.HEAD),
        ("rloo", "start", "model.safetensors"),
        ("grpo", "reward_model", "model.safetensors"),
        ("reinforce", "reward_model", reward_model.HEAD),
    ],
)
def test_weights_that_come_in_broken_are_named_before_anything_is_learnt(tmp_path, stage, which, file, bad):
    job = torture.jobs(tmp_path)[stage]
    path = job.inputs[which] / file
    tensors = load_file(path)
    name = sorted(tensors)[-1]
    tensors[name].view(-1)[0] = bad
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(NotFinite) as caught:
        torture.carry_out(job, tmp_path / "run")
    assert str(caught.value).startswith(str(job.inputs[which]))
    assert f"{name} holds NaN or Inf" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_command_ends_with_70_and_what_was_learnt_before_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = tiny.saved(Path("base"), width=16, layers=1)
    demos = tiny.demonstrations(Path("demos.jsonl"), [("say red", "red"), ("say blue", "blue")])
    spoil_loss(monkeypatch, "sft", math.nan, 4)
    words = [f"model={base}", f"data={demos}", "epochs=4", "batch=1", "answer_tokens=16", "prompt_tokens=32"]
    result = CliRunner().invoke(app, ["sft", *words])
    assert result.exit_code == 70
    assert result.stderr.splitlines()[-1].startswith("biddable: step 4: loss is nan; ")
    assert runs.read_manifest(Path("runs/sft")).status == "failed"
    assert [path.name for path in Path("runs/sft/checkpoints").iterdir()] == ["step-2"]
