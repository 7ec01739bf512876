"""TensorBoard's own reader finds what metrics.jsonl has, once each, also where a run was stopped and went on."""

import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

import tiny
from biddable import runs, track
from biddable.cli import app
from biddable.config import Settings
from biddable.learn import sft
from biddable.learn.sft import SftConfig

PAIRS = [("say red", "red"), ("name a cow", "the big cow"), ("yes", "no no"), ("one two", "three")]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


def found(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and numbers by name, as the library reads them. It holds numbers in single precision."""
    reader = EventAccumulator(str(folder / "tensorboard"))
    reader.Reload()
    return {tag: [(one.step, one.value) for one in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def logged(folder: Path) -> dict[str, list[tuple[int, float]]]:
    names = {name: None for line in runs.read_metrics(folder) for name in line if name != "step"}
    return {
        name: [(line["step"], pytest.approx(line[name])) for line in runs.read_metrics(folder) if name in line]
        for name in names
    }


def train(folder: Path, inputs: dict[str, Path], name: track.Name | None = "tensorboard") -> None:
    config = SftConfig(batch=2, epochs=3, checkpoint_every=2, learning_rate=1e-3)
    with runs.start(folder, "sft", config, inputs, 0, name) as run:
        sft.train(run, config, **inputs)


@pytest.fixture
def inputs(tmp_path) -> dict[str, Path]:
    demos = tiny.demonstrations(tmp_path / "demos.jsonl", PAIRS)
    return {"model": tiny.saved(tmp_path / "base", layers=1), "demos": demos, "valid": demos}


def test_tensorboard_reads_what_was_logged(tmp_path, inputs):
    train(tmp_path / "sft", inputs)
    there = found(tmp_path / "sft")
    assert there == logged(tmp_path / "sft")
    assert [step for step, _ in there["loss"]] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in there["valid_loss"]] == [2, 4, 6]


def test_a_run_that_was_stopped_and_went_on_has_no_point_twice(tmp_path, inputs, monkeypatch):
    """Stopped in step 4: step 3 is logged, and after step 2 there is a checkpoint, from which it goes on."""
    steps = iter([False] * 3 + [True])
    gradient = sft.gradient

    def stop(*given):
        if next(steps, False):
            raise KeyboardInterrupt
        return gradient(*given)

    with monkeypatch.context() as patch:
        patch.setattr(sft, "gradient", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "sft", inputs)
    assert [step for step, _ in found(tmp_path / "sft")["loss"]] == [1, 2, 3]
    train(tmp_path / "sft", inputs)
    assert found(tmp_path / "sft") == logged(tmp_path / "sft")
    assert [step for step, _ in found(tmp_path / "sft")["loss"]] == [1, 2, 3, 4, 5, 6]


def test_where_it_is_shown_is_no_part_of_what_a_run_is(tmp_path, inputs):
    train(tmp_path / "a" / "sft", inputs)
    train(tmp_path / "b" / "sft", inputs, None)
    assert not (tmp_path / "b" / "sft" / "tensorboard").exists()
    for name in ("metrics.jsonl", "model/model.safetensors"):
        assert (tmp_path / "a" / "sft" / name).read_bytes() == (tmp_path / "b" / "sft" / name).read_bytes()
    one, other = (runs.identity(runs.read_manifest(tmp_path / side / "sft")) for side in "ab")
    assert one == other


def test_a_tracker_that_is_not_installed_is_said_before_anything_is_made(tmp_path, inputs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "trackio", None)
    words = [f"model={inputs['model']}", f"data={inputs['demos']}", "epochs=1", "track=trackio"]
    told = CliRunner().invoke(app, ["sft", *words])
    assert told.exit_code == 2
    assert told.stderr == "biddable: this needs trackio, which is not installed: pip install 'biddable[trackio]'\n"
    assert not (tmp_path / "runs" / "sft").exists()


def test_an_unknown_tracker_is_refused(tmp_path, inputs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["sft", f"model={inputs['model']}", f"data={inputs['demos']}", "track=mlflow"])
    assert told.exit_code == 2
    assert "track: Input should be 'tensorboard', 'wandb' or 'trackio'" in told.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            {"step": 3, "reward": 0.5412, "score": 0.6, "kl": 1.234, "length": 20.31},
            "reward 0.541, kl 1.23, length 20.3",
        ),
        ({"step": 3, "epoch": 0.5, "loss": 0.4864, "accuracy": 0.71}, "loss 0.486, accuracy 0.71"),
        ({"step": 3}, ""),
    ],
)
def test_the_progress_line_has_the_numbers_that_tell_most(tmp_path, line, told):
    assert runs.glance(line) == told
    with runs.start(tmp_path / "r", "sft", Settings(), {}, 0) as run, run.steps("sft", 4, 0) as bar:
        run.log(**line)
        assert bar.told == told
    assert run.bar is None
