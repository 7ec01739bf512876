"""What `make seeds` says of a walk."""

import importlib.util
from pathlib import Path

import pytest

from biddable.measure.interval import Interval
from biddable.measure.results import Results

PLACE = Path(__file__).parent.parent / "bench" / "seeds.py"


@pytest.fixture(scope="module")
def seeds():
    spec = importlib.util.spec_from_file_location("seeds", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def near(value: float, half: float = 0.02) -> Interval:
    return Interval(value=value, low=value - half, high=value + half, n=400)


def results(sft: Interval, ptx: Interval, ppo_tax: float = 0.96) -> Results:
    gold = {"sft_vs_base": sft, "ppo_ptx_vs_sft": ptx}
    tax = {"base": near(0.98), "ppo": near(ppo_tax), "ppo_ptx": near(0.97)}
    accuracy = {"train_labelers": near(0.72), "held_out_labelers": near(0.7)}
    return Results(seconds=300.4, gold_win_rate=gold, human_win_rate=gold, tax=tax, reward_accuracy=accuracy, models={})


def test_it_names_what_a_walk_misses(seeds):
    assert seeds.missed(results(near(0.9), near(0.65))) == []
    assert seeds.missed(results(near(0.79), near(0.65))) == ["sft_vs_base: 79.0 [77.0, 81.0]"]
    assert seeds.missed(results(near(0.9), near(0.62, half=0.13))) == ["ppo_ptx_vs_sft: 62.0 [49.0, 75.0]"]


def test_a_row_has_every_number_and_what_was_given_back(seeds):
    row = seeds.row(3, results(near(0.9), near(0.65)))
    assert row.startswith("| 3 | 90.0 [88.0, 92.0] | 65.0 [63.0, 67.0] |")
    assert row.endswith("| 50% of 2.0 | 300 |")  # (97 − 96) of (98 − 96) points
    assert seeds.given_back(results(near(0.9), near(0.65), ppo_tax=0.99)) == "–"
