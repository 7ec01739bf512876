"""One walk through the whole loop, tiny: every part is there and fits the next. What it learns is the quickstart's."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

import tiny
import warm
from biddable import records, runs
from biddable.cli import app

MODELS = {"base", "sft", "reward", "ppo", "ppo_ptx"}
POLICIES = MODELS - {"reward"}
PAIRS = {"sft_vs_base", "ppo_ptx_vs_sft", "ppo_ptx_vs_base"}
LABELS = {"labeler", "prompt", "completion", "demonstration", "ranking", "page"}


def walk(recipe: Path, out: Path, cold: bool = False) -> subprocess.Popen:
    """A walk in a process group of its own, so that Ctrl-C reaches it and its workers, and nobody else. A cold one
    begins as a user's does."""
    words = ["quickstart", str(recipe), "best_prompts=12", "--seed", "3", "--out", str(out)]
    piped = {"start_new_session": True, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    if cold:
        return subprocess.Popen([sys.executable, "-c", warm.MAIN, *words], **piped)
    return warm.Warm(words, warm.WALK + warm.MAIN, **piped)


def ended(process: subprocess.Popen) -> str:
    told, _ = process.communicate(timeout=400)
    assert process.returncode == 0, told
    return told


def numbers(out: Path) -> dict:
    """All of results.json but how long it took and where it lies."""
    found = json.loads((out / "results.json").read_text())
    return {key: value for key, value in found.items() if key not in ("seconds", "models")}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    place.write_text(tiny.RECIPE)
    return place


@pytest.fixture(scope="module")
def walked(tmp_path_factory, recipe) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("walk") / "out"
    return out, ended(walk(recipe, out, cold=True))


@pytest.fixture(scope="module")
def results(walked) -> dict:
    return json.loads((walked[0] / "results.json").read_text())


def test_results_have_the_shape_that_others_read(results):
    assert results.keys() == {
        "seconds", "models", "gold_win_rate", "human_win_rate", "agreement", "reward_accuracy", "tax", "hallucination",
        "toxicity", "preference", "benchmarks", "repair", "tax_paid", "folds", "agreements", "alone",
        "verdict_agreement", "followed", "cost",
    }  # fmt: skip
    assert results["models"].keys() == MODELS
    assert results["gold_win_rate"].keys() >= PAIRS
    assert results["gold_win_rate"].keys() == results["human_win_rate"].keys()
    assert {one["who"] for one in results["agreements"]} >= {"training labelers", "held-out labelers"}
    assert results["reward_accuracy"].keys() == {"train_labelers", "held_out_labelers"}
    for by_model in ("tax", "hallucination", "toxicity"):
        assert results[by_model].keys() == POLICIES


def test_every_number_has_its_interval(results):
    shown = [results["agreement"], *results["reward_accuracy"].values()]
    for group in ("gold_win_rate", "human_win_rate", "tax", "hallucination", "toxicity"):
        shown += results[group].values()
    for interval in shown:
        assert interval.keys() >= {"value", "low", "high", "n"}
        assert 0 <= interval["low"] <= interval["value"] <= interval["high"] <= 1
        assert interval["n"] >= 1


def test_every_model_loads_and_generates(results):
    for name, place in results["models"].items():
        model, tokenizer = AutoModelForCausalLM.from_pretrained(place), AutoTokenizer.from_pretrained(place)
        asked = tokenizer("list two animals.", return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            made = model.generate(**asked, max_new_tokens=8, do_sample=False)
        assert made.shape[1] > asked["input_ids"].shape[1], name


def test_the_reward_model_has_its_head(results):
    assert (Path(results["models"]["reward"]) / "reward_head.safetensors").is_file()


def test_the_report_stands_alone(walked):
    page = (walked[0] / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert not re.findall(r"@import|url\(\s*['\"]?http", page)
    assert "PPO-ptx" in page
    assert "simulated" in page  # a wind tunnel says that it is one
    assert "straight into the store" in page  # and which road the labels took


def test_it_ends_with_where_the_report_is_and_five_numbers(walked):
    out, told = walked
    *five, numbers, last = told.strip().splitlines()[-7:]
    assert str(out / "results.json") in numbers
    assert str(out / "report.html") in last
    assert str(out / "model-card.md") in last
    assert f"cd {out}" in last
    assert len(five) == 5
    assert all("%" in line for line in five)


def test_its_folder_is_a_project_in_which_every_number_leads_back(walked, monkeypatch):
    monkeypatch.chdir(walked[0])
    for what in ("report.html", "results.json", "model-card.md", "report.html#figure-tax", "results.json#tax.ppo_ptx"):
        told = CliRunner().invoke(app, ["trace", what])
        assert told.exit_code == 0, told.output
        assert "run ppo_ptx: ppo, done" in told.output, what
        assert re.search(r"\d+ labelers, [\d,]+ prompts.*, [\d,]+ demonstrations", told.output), what
    labels = CliRunner().invoke(app, ["trace", "report.html#figure-labels"]).output
    assert re.search(r"\d+ labelers, .*, [\d,]+ rankings", labels)
    assert "run ppo_ptx" not in labels  # what was ranked was sampled before it was trained
    before = (walked[0] / "report.html").read_bytes()
    assert CliRunner().invoke(app, ["report"]).exit_code == 0
    assert (walked[0] / "report.html").read_bytes() == before


def test_what_is_measured_later_does_not_take_the_place_of_its_report(walked, tmp_path, monkeypatch):
    """`measure` knows of no gates, no truth and no tax of a walk."""
    shutil.copytree(walked[0], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    before = {path.name: path.read_bytes() for path in Path().iterdir() if path.suffix in (".html", ".md", ".json")}
    assert before.keys() == {"report.html", "model-card.md", "results.json"}
    assert CliRunner().invoke(app, ["measure"]).exit_code == 0
    refused = CliRunner().invoke(app, ["report"])
    assert refused.exit_code == 2
    assert "report.html: stays as it is, since it tells more than runs/measure-" in refused.output
    assert "(The tax, Gates); write beside it (biddable report --out measured.html)" in refused.output
    told = CliRunner().invoke(app, ["report", "--out", "measured.html"])
    assert told.exit_code == 0, told.output
    assert {name: Path(name).read_bytes() for name in before} == before
    assert "ppo_ptx" in Path("measured-model-card.md").read_text(encoding="utf-8")
    assert CliRunner().invoke(app, ["report", "--out", "measured.html"]).exit_code == 0  # its own may be written again


def test_no_real_project_is_walked_into(tmp_path, recipe):
    assert CliRunner().invoke(app, ["init", str(tmp_path / "mine")]).exit_code == 0
    told = CliRunner().invoke(app, ["quickstart", str(recipe), "--out", str(tmp_path / "mine")])
    assert told.exit_code == 2
    assert "is a project of real people" in told.output
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "biddable.toml", "recipes", "runs", "store.db", "store.db.lock",
    ]  # fmt: skip


def test_the_card_is_of_the_last_model(walked):
    card = ModelCard.load(walked[0] / "model-card.md")
    assert card.data.model_name == "ppo_ptx"
    assert "simulated" in card.text
    assert card.data.base_model is None  # Hamlet's base is on no hub


def test_training_reads_labels_and_pages_only(walked):
    """The road back from each trained model: what went in holds no gold, no marks and nobody held out."""
    for stage in ("sft", "start", "reward", "ppo", "ppo_ptx"):
        for name, given in runs.read_manifest(walked[0] / "runs" / stage).inputs.items():
            place = Path(given.path)
            if place.suffix != ".jsonl":
                continue
            found = list(records.read(place))
            assert {record.kind for record in found} <= LABELS, (stage, name)
            if name != "valid":
                assert {r.group for r in found if isinstance(r, records.Labeler)} <= {"training"}, (stage, name)


def test_every_stage_is_done(walked):
    stages = [place for place in (walked[0] / "runs").iterdir() if place.is_dir()]
    assert len(stages) >= 12
    assert {runs.read_manifest(place).status for place in stages} == {"done"}


def test_stopped_in_mid_training_and_run_again_it_ends_with_the_same_numbers(walked, recipe, tmp_path):
    """Ctrl-C while PPO trains, into another folder: also that the same seed gives the same numbers twice."""
    out = tmp_path / "again"
    process = walk(recipe, out, cold=True)
    metrics = out / "runs" / "ppo" / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not (metrics.exists() and metrics.read_text().count("\n") >= 1):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode not in (0, 2), told
    assert "Traceback" not in told
    assert not (out / "results.json").exists()

    ended(walk(recipe, out))
    assert numbers(out) == numbers(walked[0])
