"""The bench's own logic: what it compares, what it refuses, how it counts. The peers are not needed."""

import importlib
import json
import os
import random
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from biddable.model import attention
from biddable.model.forest import Turns, plant

BENCH = Path(__file__).parent.parent / "bench"
CORE = max(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def beside(monkeypatch):
    """The programs of bench/ import each other by name."""
    monkeypatch.syspath_prepend(str(BENCH))
    yield
    for name in ("run", "material", "sizes", "floor", "gpu", "growth"):
        sys.modules.pop(name, None)


@pytest.fixture
def run(beside):
    return importlib.import_module("run")


def test_a_difference_is_a_share_of_its_own_group(run):
    ours = {"loss": 2.0, "gradient": {"norm": 100.0, "entries": [0.011, 0.02]}}
    peer = {"loss": 2.0, "gradient": {"norm": 100.0, "entries": [0.010, 0.02]}}
    assert run.disagreement(ours, ours) == 0
    assert run.disagreement(ours, peer) == pytest.approx(0.001 / 0.02)  # and not 0.001 / 100
    assert run.disagreement({"loss": [1.0, 3.0]}, {"loss": [1.0, 4.0]}) == pytest.approx(1 / 4)


def test_what_is_not_a_number_agrees_with_nothing(run):
    nan = float("nan")
    assert run.disagreement({"loss": nan}, {"loss": 1.0}) == float("inf")
    assert run.disagreement({"loss": [0.1, nan]}, {"loss": [0.1, nan]}) == float("inf")


def told(ours_units: float, peer_units: float, memory: float = 100.0) -> dict:
    def side(units: float, peak: float) -> list[dict]:
        return [{"units": units, "seconds": s, "peak_mb": peak, "start_mb": 40.0} for s in (1.0, 2.0, 4.0)]

    return {"ours": side(ours_units, memory), "peer": side(peer_units, 300.0)}


def test_ratios_are_of_medians_with_the_range_of_the_rounds(run):
    sides = {name: run.summary(rounds) for name, rounds in told(8, 2).items()}
    sides["peer"]["rates"][0] = 8.0  # one round in which the peer was four times as fast
    line = run.LINES[0]
    found = run.ratios(line, sides["ours"], sides["peer"])
    assert sides["ours"]["rate"] == 8 / 2  # the median round took 2 seconds
    assert (found["ratio"], found["lowest"], found["highest"]) == (4.0, 1.0, 4.0)
    assert found["memory_ratio"] == pytest.approx(100 / 300)
    head = next(line for line in run.LINES if line.name == "head")
    assert run.ratios(head, sides["ours"], sides["peer"])["memory_ratio"] == pytest.approx(60 / 260)  # above the start


def test_a_line_says_when_a_goal_is_missed(run):
    line = run.LINES[0]
    for units, missed in ((9, False), (7, True)):  # the goal is 4
        sides = {name: run.summary(rounds) for name, rounds in told(units, 2).items()}
        result = {"title": line.title, "unit": line.unit, "goal": line.goal, "memory_goal": None, **sides}
        assert ("missed" in run.row(result | run.ratios(line, sides["ours"], sides["peer"]))) is missed


WORKER = """
import protocol, sys
def step():
    total = 0
    for i in range(int(sys.argv[4])):
        total += i * i
    return 1.0
protocol.say(loss=float(sys.argv[3]), gradient=[])
print("what a library prints is not heard")
protocol.rounds(step)
"""


@pytest.fixture
def line(run, tmp_path, monkeypatch):
    """A line of two real workers, of which the peer's round is ten times the work."""
    monkeypatch.setenv("PYTHONPATH", str(BENCH))
    program = tmp_path / "worker.py"
    program.write_text(WORKER, encoding="utf-8")
    return lambda loss: run.Line(
        "probe", "a probe", "steps", ("ours", str(program), loss, "3000000"), ("ours", str(program), "1.5", "300000"), 5
    )


def test_two_workers_take_turns_and_are_timed(run, line, tmp_path):
    found = run.measure(line("1.5"), tmp_path, CORE, rounds=3)
    assert len(found["ours"]["rates"]) == len(found["peer"]["rates"]) == 3
    assert 4 < found["ratio"] < 25  # ten, but for the noise of hundredths of a second
    assert found["ours"]["peak_mb"] > 1


def test_sides_that_compute_something_else_are_refused(run, line, tmp_path):
    found = run.measure(line("1.5003"), tmp_path, CORE, rounds=3)
    assert "differ by 2.0e-04" in found["refused"]
    assert "ratio" not in found
    assert "refused" in run.row(found)


def test_a_worker_that_dies_is_quoted(run, tmp_path):
    (tmp_path / "dies.py").write_text("raise KeyError('the cause')", encoding="utf-8")
    broken = ("ours", str(tmp_path / "dies.py"))
    with pytest.raises(SystemExit, match="the cause"):
        run.measure(run.Line("probe", "", "", broken, broken), tmp_path, CORE, rounds=1)


def test_lines_are_added_to_those_of_the_same_versions_only(run, tmp_path):
    same = {"scale": "quick", "versions": {"torch": "2"}}
    path = tmp_path / "results.json"
    assert run.earlier(path, same) == same | {"lines": {}}
    path.write_text(json.dumps(same | {"lines": {"sft": {}}}), encoding="utf-8")
    assert run.earlier(path, same)["lines"] == {"sft": {}}
    assert run.earlier(path, same | {"scale": "full"})["lines"] == {}
    assert run.earlier(path, same | {"versions": {"torch": "3"}})["lines"] == {}


def test_lengths_have_the_quartiles_they_are_given(beside):
    material = importlib.import_module("material")
    luck = random.Random(0)
    found = sorted(material.between(material.PROMPT_QUARTILES, luck) for _ in range(4000))
    assert found[0] >= 4
    assert found[-1] <= 640
    for place, quartile in ((1000, 19), (2000, 67), (3000, 186)):
        assert found[place] == pytest.approx(quartile, rel=0.12)  # 4,000 draws


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """The bench's model and data, next to nothing of them."""
    folder = tmp_path_factory.mktemp("material")
    sys.path.insert(0, str(BENCH))
    importlib.import_module("material").make(folder, "tiny")
    sys.path.remove(str(BENCH))
    return folder


@pytest.mark.parametrize("name", ["dpo", "reward_k4", "ppo_ending", "rloo"])
def test_our_side_runs(run, material, name):
    line = next(line for line in run.LINES if line.name == name)
    worker = run.Worker(line, line.ours, material, CORE)
    try:
        assert run.numbers(worker.first["loss"])
        assert all(abs(x) < 1e3 for x in run.numbers(worker.first))
        told = worker.round()
        assert told["units"] > 0
        assert told["seconds"] > 0
    finally:
        worker.end()


CONFIG = LlamaConfig(
    vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, head_dim=6,
)  # fmt: skip


def test_operations_are_those_that_pytorch_counts(beside):
    floor = importlib.import_module("floor")
    forest = plant(Turns([[5, 6, 7]] * 2 + [[8]], [[9, 9], [9, 9, 9], [9]]))
    linear, attended = floor.forward_flops(CONFIG, forest, headed=4)
    model = LlamaForCausalLM(CONFIG).double().eval()  # float64: its products are PyTorch's own, and counted
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.lm_head(attention.hidden(model, forest)[:4])
    counts = counter.get_flop_counts()["Global"]
    assert linear == sum(
        count for name, count in counts.items() if "attention" not in str(name) and "bmm" not in str(name)
    )
    # by definition: two products of width 6 for each of 4 heads, in 3 layers, for each pair that sees each other
    pairs = sum(int(attention.sees(tree).sum()) for tree in forest.trees)
    assert attended == 2 * 2 * 6 * 4 * 3 * pairs
    assert floor.gradient_flops(CONFIG, forest, 4) == 3 * linear + 3.5 * attended


def test_the_programs_of_growth_and_gpu_run(beside, monkeypatch, tmp_path, capsys):
    gpu, growth = (importlib.import_module(name) for name in ("gpu", "growth"))
    monkeypatch.setattr(growth, "policy", lambda: importlib.import_module("material").policy("tiny"))
    monkeypatch.setattr(growth, "text", lambda length, luck, *_: [luck.randrange(3, 50)] * length)
    for program, words in ((gpu, ["--cpu-check"]), (growth, ["--small"])):
        out = tmp_path / "found.json"
        monkeypatch.setattr(sys, "argv", ["bench", *words, "--out", str(out)])
        program.main()
        rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
        assert len(rows) == {gpu: 3, growth: 8}[program]
        assert all(row["seconds"] > 0 and row["flops"] > 0 for row in rows)
    assert "| K | 2 |" in capsys.readouterr().out
