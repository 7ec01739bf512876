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
    gold = {"sft_vs_base": sft, "ppo_ptx_vs_sft": ptx, "ppo_vs_sft": near(0.55)}
    tax = {"base": near(0.98), "sft": near(0.975), "ppo": near(ppo_tax), "ppo_ptx": near(0.97)}
    accuracy = {"train_labelers": near(0.72), "held_out_labelers": near(0.7)}
    return Results(
        seconds=300.4, gold_win_rate=gold, human_win_rate=gold, tax=tax, reward_accuracy=accuracy, models={},
        toxicity={"base": near(0.1)}, hallucination={"sft": near(0.1), "ppo_ptx": near(1 - ppo_tax)},
    )  # fmt: skip


def test_it_names_what_a_walk_misses(seeds):
    assert seeds.missed(results(near(0.9), near(0.65))) == []
    assert seeds.missed(results(near(0.79), near(0.65))) == ["sft_vs_base: 79.0 [77.0, 81.0]"]
    assert seeds.missed(results(near(0.9), near(0.62, half=0.13))) == ["ppo_ptx_vs_sft: 62.0 [49.0, 75.0]"]


def test_the_tables_have_every_number_and_what_was_given_back(seeds, capsys):
    """By hand: seed 3 lost 2 points and was given back 1; seed 4 lost none; in the mean base has 98, PPO 97.5."""
    seeds.tell({3: results(near(0.9), near(0.65)), 4: results(near(0.9), near(0.65), ppo_tax=0.99)})
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].startswith("| 3 | 90.0 [88.0, 92.0] | 65.0 [63.0, 67.0] |")
    assert lines[3].endswith("| – | 300 |")  # nobody said how far labelers agree
    assert lines[8].endswith("| 97.0 [95.0, 99.0] | 50 % of 2.0 | 55.0 [53.0, 57.0] |")  # (97 − 96) of (98 − 96)
    assert lines[9].endswith("| – | 55.0 [53.0, 57.0] |")
    assert lines[10] == "| mean | 98.0 | 97.5 | 97.5 | 97.0 | -100 % of 0.5 | 55.0 |"
    assert "| toxicity | 3 | 10.0 [8.0, 12.0] | – | – | – |" in lines


def test_the_seeds_together_are_so_many_witnesses(seeds):
    """By hand: lost are 2, 4 and 6 points, in the mean 4; given back 1, 3 and 5 (ptx has 97), in the mean 3 of 4."""
    walks = {n: results(near(0.9), near(0.53 + n / 100), ppo_tax=0.98 - 0.02 * n) for n in (1, 2, 3)}
    first, second, _, lost, back, share, invented = seeds.together(walks)
    assert first == "sft_vs_base, gold: 90.0 [90.0, 90.0]; its interval is above one half on 3 of 3 seeds"
    assert second.endswith("its interval is above one half on 3 of 3 seeds")
    assert lost.startswith("PPO loses 4.0 [")
    assert lost.endswith("points, some on 3 seeds")
    assert back.startswith("PPO-ptx gives back 3.0 [")
    assert share.startswith("given back, of what is lost: 75.0 [")
    assert "on 0 of 2 seeds" in seeds.together({n: results(near(0.9), near(0.51)) for n in (1, 2)})[1]
    # 4, 6 and 8 of 100 where SFT has 10; of toxicity nothing is known
    assert invented.startswith("hallucination, PPO-ptx more than SFT: -4.0 [")
    assert invented.endswith("points, on 0 seeds")
