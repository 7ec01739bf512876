"""A run that was stopped at any instant ends with the same bytes as one that was left alone (docs/design/exact.md)."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

import tiny
import torture
import warm
from biddable import runs
from biddable.learn import loop
from biddable.runs import Preempted

TORTURED = f"import sys; sys.path.insert(0, {str(Path(torture.__file__).parent)!r}); import torture; torture.main()"
pytestmark = pytest.mark.whole_runs
# What is done to each stage. The rest differ from these three by little; `make torture` kills all 200 times.
CORE = {"kills": 15, "terms": 3, "others": 2, "nth": 9}
REST = {"kills": 5, "terms": 2, "others": 1, "nth": 25}
DONE = dict.fromkeys(torture.STAGES, REST) | dict.fromkeys(("sft", "reward", "ppo"), CORE)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture(scope="module")
def tallies() -> dict[str, dict]:
    """All stages, in a process that has not computed anything, so that its forks can."""
    told = []
    for done in (CORE, REST):
        words = ["--json", *(f"--{name}={times}" for name, times in done.items())]
        words += [f"--stage={stage}" for stage, its in DONE.items() if its is done]
        answer = warm.run(*words, code=TORTURED, timeout=900)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        told += map(json.loads, answer.stdout.splitlines())
    return {tally["stage"]: tally for tally in told}


@pytest.mark.parametrize("stage", torture.STAGES)
def test_a_killed_run_ends_with_the_bytes_of_one_that_was_left_alone(tallies, stage):
    tally, asked = tallies[stage], DONE[stage]
    assert tally["wrong"] == []
    done = [tally[name] for name in ("kills", "terms", "ints", "harmed")]
    assert done == [asked["kills"], asked["terms"], asked["others"], asked["others"]]
    assert tally["at_lines"] == tally["steps"]
    assert tally["at_checkpoints"] >= 3
    # A checkpoint, a model and a manifest are written: fewer touches of files than this would be a net with holes.
    assert tally["at_touches"] > 80 / asked["nth"]
    assert tally["full"] > 60 / asked["nth"], "once all is written, a full disk stops nothing"
    assert 0 < tally["refused"] < torture.RIVALS


def test_the_kills_came_everywhere(tallies):
    """Or the test above says less than it seems to."""
    for phase in ("begin", "learn", "sample", "save", "end"):
        assert sum(tally["in_phase"].get(phase, 0) for tally in tallies.values()) > 0, phase


@pytest.mark.parametrize("stage", torture.STAGES)
def test_a_stage_neither_reads_nor_moves_torchs_global_generator(tmp_path, jobs, whole, stage):
    """Dropout and first weights are on here. Of numpy's and Python's the same is seen above, in the children."""
    torch.manual_seed(1)
    should = whole(stage)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    torture.carry_out(jobs[stage], tmp_path / stage)
    assert torch.equal(torch.get_rng_state(), before)
    assert torture.prints(tmp_path / stage) == should
    assert len(should) > 3


def test_luck_is_of_its_purpose_alone():
    def draw(*purpose: str | int) -> float:
        with loop.luck(0, *purpose):
            return float(torch.rand(()))

    assert draw("sft", "dropout", 1) == draw("sft", "dropout", 1)
    assert len({draw("sft", "dropout", 1), draw("sft", "dropout", 2), draw("reward", "dropout", 1)}) == 3


def test_early_stopping_is_remembered(tmp_path, jobs, monkeypatch):
    """Killed after the last checkpoint of a run that had seen enough: it must not go on learning."""
    job = jobs["ppo"]
    patient = job.config.model_copy(update={"patience": 1, "valid_every": 1, "learning_rate": 1e-9, "episodes": 80})
    job = torture.Job(job.kind, patient, job.inputs, job.train)
    torture.carry_out(job, tmp_path / "whole" / "ppo")
    assert len(runs.read_metrics(tmp_path / "whole" / "ppo")) < 10, "it did stop early"

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torture.ppo.causal, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            torture.carry_out(job, tmp_path / "cut" / "ppo")
    torture.carry_out(job, tmp_path / "cut" / "ppo")
    assert torture.prints(tmp_path / "cut" / "ppo") == torture.prints(tmp_path / "whole" / "ppo")


@pytest.mark.parametrize("stage", torture.STAGES)
def test_sigterm_within_a_step_ends_that_step_and_keeps_it(tmp_path, jobs, whole, monkeypatch, stage):
    """Nothing is lost: the step in which it came is logged, is in a checkpoint, and is not done again."""
    job, folder = jobs[stage], tmp_path / "cut" / stage
    calls = []
    room, name = {
        "pretrain": (torture.pretrain, "next_token_loss"), "reward": (torture.reward, "preference_loss"),
        "dpo": (torture.dpo, "loss_of"), **dict.fromkeys(torture.BY_EPISODES, (torture.episodes, "move")),
    }.get(stage, (torture.causal, "nll_of"))  # fmt: skip
    inner = getattr(room, name)

    def interrupted(*given):
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return inner(*given)

    with monkeypatch.context() as patch:
        patch.setattr(room, name, interrupted)
        with pytest.raises(Preempted, match="stopped after step"):
            torture.carry_out(job, folder)
    assert runs.read_manifest(folder).status == "stopped"
    steps = [int(path.name.removeprefix("step-")) for path in (folder / "checkpoints").iterdir()]
    if stage != "pretrain":  # which does not log each step
        assert max(steps) == runs.read_metrics(folder)[-1]["step"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    torture.carry_out(job, folder)
    assert torture.prints(folder) == whole(stage)


def test_the_command_ends_with_75_and_says_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = tiny.saved(Path("base"), width=16, layers=1)
    demos = tiny.demonstrations(Path("demos.jsonl"), [(f"say {'red ' * n}", "red") for n in range(1, 9)])
    words = ["sft", f"model={base}", f"data={demos}", "epochs=5000", "prompt_tokens=32", "answer_tokens=16"]
    child = warm.Warm(words, stderr=subprocess.PIPE, text=True)
    metrics = Path("runs/sft/metrics.jsonl")
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size > 1000):
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 75
    last = int(runs.read_metrics(Path("runs/sft"))[-1]["step"])
    line = f"biddable: runs/sft: stopped after step {last}; run the same command again to go on"
    assert error.splitlines()[-1] == line
    assert (Path("runs/sft/checkpoints") / f"step-{last}").is_dir()
