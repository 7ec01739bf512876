"""k reward models, each asked about labelers that it did not learn from."""

import itertools
from pathlib import Path

import pytest

import tiny
from biddable import records, runs
from biddable.config import ConfigError
from biddable.learn import folds
from biddable.learn.folds import FoldsConfig, divided
from biddable.measure.interval import Bootstrap
from biddable.measure.reward import Folds, folded, margins
from biddable.records import Ranking, Score

LABELERS = tuple(f"l{n}" for n in range(6))
TEXTS = [f"{verb} {one} {two}" for verb in ("say", "name") for one, two in itertools.product(tiny.WORDS[:5], repeat=2)]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture
def rankings(tmp_path):
    return tiny.rankings(tmp_path / "r.jsonl", [(text, [["red"], ["blue"], ["no"]]) for text in TEXTS], LABELERS)


def test_nobody_is_asked_about_a_prompt_that_was_trained_on(rankings):
    plan = divided(list(records.read(rankings)), 3, seed=0)
    outside = [{r.labeler for r in others} for _, _, others in plan]
    assert set().union(*outside) == set(LABELERS)
    assert sum(map(len, outside)) == 6, "each labeler is left out once"
    for (learnt, theirs, others), out in zip(plan, outside, strict=True):
        assert not out & {r.labeler for r in [*learnt, *theirs]}
        assert not {r.prompt_id for r in learnt} & {r.prompt_id for r in [*theirs, *others]}
        assert len(theirs) <= 5  # a tenth of fifty prompts
        assert len(others) > 10
    assert plan == divided(list(records.read(rankings)), 3, seed=0)
    assert plan != divided(list(records.read(rankings)), 3, seed=1)


def test_too_few_people_cannot_be_divided(rankings):
    with pytest.raises(ConfigError, match="folds: 7 groups of labelers, and only 6 ranked"):
        divided(list(records.read(rankings)), 7, seed=0)


def test_the_models_are_trained_asked_and_not_made_again(tmp_path, rankings, monkeypatch):
    base = tiny.saved(tmp_path / "base", width=16, layers=1)
    config = FoldsConfig(folds=2, learning_rate=1e-2, batch=4, center="answers")
    inputs = {"model": base, "rankings": rankings}

    def carry_out(folder: Path) -> Path:
        with runs.start(folder, "reward-folds", config, inputs, 0) as run:
            return folds.train(run, config, **inputs)

    whole = carry_out(tmp_path / "whole")
    found = Folds.model_validate_json(whole.read_bytes())
    assert len(found.own) == len(found.held_out) == 2
    assert found.held_out_mean.value > 0.8, "all people agree here, so that strangers are foreseen too"
    train, made = folds.reward.train, []

    def stop(*given, **more):
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(1)
        return train(*given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(folds.reward, "train", stop)
        with pytest.raises(KeyboardInterrupt):
            carry_out(tmp_path / "cut")
    first = tmp_path / "cut" / "model-1" / "manifest.json"
    stamp = first.stat().st_mtime_ns
    assert carry_out(tmp_path / "cut").read_bytes() == whole.read_bytes()
    assert first.stat().st_mtime_ns == stamp, "what was done is not done again"


def test_the_means_and_errors_by_hand():
    # Three models on two pairs each, right on 2, 1 and 1: mean 4/6, standard error √(((⅓)² + 2·(⅙)²)/2)/√3 = ⅙
    def model(right: int, i: int):
        scores = [
            Score(completion_id=f"{i}{p}{ab}", run_id="r", value=(ab == "a") == (p < right))
            for p in (0, 1)
            for ab in "ab"
        ]
        rows = [Ranking(prompt_id=f"{p}", labeler=f"l{i}", order=((f"{i}{p}a",), (f"{i}{p}b",))) for p in (0, 1)]
        return margins(scores, rows)

    several = [model(right, i) for i, right in enumerate((2, 1, 1))]
    found = folded(several, several, Bootstrap(draws=100))
    assert [one.value for one in found.own] == [1, 0.5, 0.5]
    assert found.own_mean.value == pytest.approx(4 / 6)
    assert found.held_out_error == pytest.approx(1 / 6)
