"""Experiments two at a time: order, what waits for what, one that fails, one that is killed."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

import tiny
import warm
from biddable import hamlet, runs
from biddable.paper.plan import Job
from biddable.paper.schedule import chains, once
from biddable.quickstart.machines import Stage, run


def job(folder: Path, name: str, seconds: float, inputs: Mapping[str, Path] | None = None, *words: str) -> Job:
    return Job(Stage("sft", folder / name, "sft", words, hamlet.RECIPE, inputs or {}, 0), seconds)


def test_what_two_pages_ask_for_is_done_once(tmp_path):
    one, same = job(tmp_path, "a", 3), job(tmp_path, "a", 3)
    assert once([one, job(tmp_path, "b", 1), same]) == [one, job(tmp_path, "b", 1)]


def test_two_experiments_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="a: two different experiments have this name"):
        once([job(tmp_path, "a", 3), job(tmp_path, "a", 3, None, "epochs=2")])


def test_a_chain_is_as_long_as_all_that_wait_for_it(tmp_path):
    """a → b → d takes 3 + 5 + 2, a → c takes 3 + 4: a is worth 10."""
    a = job(tmp_path, "a", 3)
    b, c = job(tmp_path, "b", 5, {"model": a.leaves}), job(tmp_path, "c", 4, {"model": a.leaves, "x": Path("other")})
    d = job(tmp_path, "d", 2, {"model": b.leaves})
    assert chains([d, c, b, a]) == {a.leaves: 10, b.leaves: 7, c.leaves: 4, d.leaves: 2}


LONG = ("epochs=20", "checkpoint_every=4", "batch=2")
# Two models from one base, and one from the first of them: real stages, in processes of their own.
SCRIPT = f"""
import sys
from pathlib import Path
from biddable import hamlet
from biddable.paper.plan import Job
from biddable.paper.schedule import carry_out
from biddable.quickstart.machines import Stage, workers

def job(place, name, model, demos, seconds, *words):
    return Job(Stage("sft", place / name, "sft", words, hamlet.RECIPE, {{"model": model, "demos": demos}}, 0), seconds)

if __name__ == "__main__":
    place, base, demos, wrong = map(Path, sys.argv[1:])
    first = job(place, "first", base, demos, 5, *{LONG})
    second = job(place, "second", first.leaves, demos, 2)
    alone = job(place, "alone", base, demos, 1)
    bad = [job(place, "bad", base, wrong, 9)] if wrong.exists() else []
    with workers() as pool:
        carry_out(pool, [second, alone, first, *bad])
"""


@pytest.fixture
def place(tmp_path) -> Path:
    tiny.saved(tmp_path / "base")
    tiny.demonstrations(tmp_path / "demos.jsonl", [("say red", "red"), ("say blue", "blue"), ("say dog", "dog")])
    return tmp_path


def started(place: Path, out: str) -> subprocess.Popen:
    words = [place / out, place / "base", place / "demos.jsonl", place / "wrong.jsonl"]
    return warm.Warm(
        [*map(str, words)], warm.WALK + SCRIPT, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"BIDDABLE_QUIET": "1"},
    )  # fmt: skip


def models(place: Path) -> dict[str, str]:
    found = {name: runs.read_manifest(place / name) for name in ("first", "second", "alone")}
    assert {manifest.status for manifest in found.values()} == {"done"}
    return {name: manifest.outputs["model"].sha256 for name, manifest in found.items()}


def by_hand(place: Path) -> dict[str, str]:
    """The same stages one after another, here."""
    torch.set_num_threads(1)
    demos = {"demos": place / "demos.jsonl"}
    first = job(place / "whole", "first", 5, demos | {"model": place / "base"}, *LONG)
    second = job(place / "whole", "second", 2, demos | {"model": first.leaves})
    alone = job(place / "whole", "alone", 1, demos | {"model": place / "base"})
    for one in (first, second, alone):
        run(one.stage)
    return models(place / "whole")


def test_killed_in_mid_stage_and_run_again_it_leaves_the_same_bits(place, monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")
    monkeypatch.setenv("BIDDABLE_PROGRESS", "")  # a stage sets it, and here nobody else may see it
    whole = by_hand(place)
    cut = started(place, "cut")
    metrics, deadline = place / "cut" / "first" / "metrics.jsonl", time.monotonic() + 200
    while not (metrics.exists() and metrics.read_text().count("\n") >= 6):
        assert cut.poll() is None, cut.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(cut.pid, signal.SIGKILL)
    cut.communicate(timeout=60)
    assert not (place / "cut" / "second").exists()

    again = started(place, "cut")
    told, _ = again.communicate(timeout=300)
    assert again.returncode == 0, told
    assert models(place / "cut") == whole


def test_an_experiment_that_fails_is_named_and_ends_the_rest(place):
    (place / "wrong.jsonl").write_text("{}\n", encoding="utf-8")
    process = started(place, "runs")
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert f"{place / 'runs' / 'bad'}: this experiment failed" in told
    assert "wrong.jsonl, row 1: kind: is missing" in told.splitlines()[-1]
    assert not (place / "runs" / "second").exists()
