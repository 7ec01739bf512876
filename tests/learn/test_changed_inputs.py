"""A run that was stopped does not go on with other data, another tokenizer or another model: of each command."""

import shutil
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

import torture
from biddable.cli import app
from biddable.learn import loop

STAGES = [stage for stage in torture.STAGES if stage != "pretrain"]  # whose pages are written and not given


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


def said(config: BaseModel) -> list[str]:
    """Settings as words."""
    words = []
    for name, value in config.model_dump(exclude_defaults=True).items():
        if isinstance(value, dict):
            value = "{" + ", ".join(f"{key}={of}" for key, of in value.items()) + "}"
        words.append(f"{name}={str(value).lower()}")
    return words


def own_copies(inputs: dict[str, Path], place: Path) -> dict[str, Path]:
    """Each input as a file or folder of its own, also where two are the same."""
    copies = {}
    for name, path in inputs.items():
        copies[name] = place / name if path.is_dir() else place / f"{name}.jsonl"
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, copies[name])
    return copies


def main_of(stage: str) -> str:
    """The input that a command calls `data`."""
    return {"sft": "demos", "start": "demos", "reward": "rankings", "dpo": "rankings"}.get(stage, "prompts")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stopped_run_is_refused_with_other_inputs_and_goes_on_with_its_own(tmp_path, jobs, monkeypatch, stage):
    inputs = own_copies(jobs[stage].inputs, tmp_path)
    given = [f"{'data' if name == main_of(stage) else name}={path}" for name, path in inputs.items()]
    words = [stage, *said(jobs[stage].config), *given]

    def ask(out: str):
        return CliRunner().invoke(app, [*words, f"out={tmp_path / out / stage}"])

    keep = loop.keep

    def keep_and_stop(*given):
        keep(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "keep", keep_and_stop)
        assert ask("cut").exit_code == 130
    left = contents(tmp_path / "cut")
    assert any("checkpoints" in name for name in left)
    for name, path in inputs.items():
        file = path / "tokenizer.json" if path.is_dir() else path
        sound = file.read_bytes()
        less = b"".join(sound.splitlines(keepends=True)[:-1])
        file.write_bytes(sound + b"\n" if path.is_dir() else less)
        refused = ask("cut")
        assert refused.exit_code == 2, name
        assert f"holds another run: its input {name} was another" in refused.stderr
        assert not path.is_dir() or "(tokenizer.json changed)" in refused.stderr
        assert contents(tmp_path / "cut") == left, "nothing of it was touched"
        file.write_bytes(sound)
    assert ask("cut").exit_code == 0
    assert ask("whole").exit_code == 0
    assert torture.prints(tmp_path / "cut" / stage) == torture.prints(tmp_path / "whole" / stage)
