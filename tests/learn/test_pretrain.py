"""The base model's own stage: it learns, it can be gone on with, and its pages cross no wall."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from biddable import runs
from biddable.learn import pretrain
from biddable.learn.pretrain import PretrainConfig
from biddable.text.words import word_tokenizer

SMALL = PretrainConfig(
    width=16, layers=1, heads=2, inner=16, context=16, rows=4, tokens=64 * 30, warmup=2, log_every=10, save_every=10
)


def pages() -> Iterator[str]:
    return itertools.cycle(["the goat eats grass.", "the hen eats seeds."])


def walk(folder: Path, read=pages) -> Path:
    with runs.start(folder, "pretrain", SMALL, {}, 0) as run:
        return pretrain.train(run, SMALL, word_tokenizer(["the", "goat", "hen", "eats", "grass", "seeds"]), read)


def test_it_learns_its_pages(tmp_path):
    walk(tmp_path / "base")
    losses = [line["loss"] for line in runs.read_metrics(tmp_path / "base")]
    assert len(losses) == 3
    assert losses[-1] < 0.7 * losses[0]


def test_what_was_stopped_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole = walk(tmp_path / "whole")
    calls = itertools.count()
    real = pretrain.next_token_loss

    def tired(model, token_BS):
        if next(calls) == 25:  # after the checkpoint of step 20
            raise KeyboardInterrupt
        return real(model, token_BS)

    monkeypatch.setattr(pretrain, "next_token_loss", tired)
    with pytest.raises(KeyboardInterrupt):
        walk(tmp_path / "parts")
    monkeypatch.undo()
    resumed = walk(tmp_path / "parts")
    one, other = load_file(whole / "model.safetensors"), load_file(resumed / "model.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert runs.read_metrics(tmp_path / "whole") == runs.read_metrics(tmp_path / "parts")


def test_the_schedule_rises_stays_and_falls_to_nearly_nothing():
    config = PretrainConfig(warmup=9, decay=0.5)
    assert pretrain.schedule(0, 100, config) == pytest.approx(0.1)  # the first of ten steps up
    assert pretrain.schedule(30, 100, config) == 1.0
    assert pretrain.schedule(75, 100, config) == pytest.approx(0.5)  # half way down the second half
    assert pretrain.schedule(99, 100, config) == pytest.approx(0.02)
