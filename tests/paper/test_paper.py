"""The whole verb, tiny: every page is there, each number with its interval, and a finished run only counts again."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tiny
import warm
from biddable import records
from biddable.paper.figure import Figure
from biddable.paper.figures import ORDER
from biddable.records import Completion, Score
from biddable.runs import read_manifest

QUIET = os.environ | {"BIDDABLE_QUIET": "1"}


def words(recipe: Path, out: Path) -> list[str]:
    return ["paper", str(recipe), "--fast", "--seed", "3", "--out", str(out)]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    often = "\ncheckpoint_every = 1\n"
    assert tiny.RECIPE.count(often) == 1
    # A run that is killed goes on elsewhere in these tests.
    place.write_text(tiny.RECIPE.replace(often, "\ncheckpoint_every = 100\n"), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def made(tmp_path_factory, recipe) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("paper") / "out"
    command = [sys.executable, "-c", warm.MAIN, *words(recipe, out)]
    done = subprocess.run(command, capture_output=True, text=True, env=QUIET, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


@pytest.fixture(scope="module")
def figures(made) -> list[Figure]:
    told = json.loads((made[0] / "paper.json").read_text(encoding="utf-8"))["figures"]
    computed = {"verdict"}  # it is in the file for whoever reads it, and follows from the rest
    for one in told:
        one["claims"] = [{key: value for key, value in c.items() if key not in computed} for c in one["claims"]]
    return [Figure.model_validate({k: v for k, v in one.items() if k not in computed}) for one in told]


def test_every_page_is_there_and_stands_alone(made):
    out = made[0]
    for name in (*ORDER, "index"):
        page = (out / f"{name}.html").read_text(encoding="utf-8")
        assert "simulated people" in page  # a wind tunnel says that it is one
        assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
        assert "<script" not in page
    index = (out / "index.html").read_text(encoding="utf-8")
    assert all(f'href="{name}.html"' in index for name in ORDER)


def test_every_number_has_its_interval_and_every_figure_its_runs(figures):
    assert [figure.name for figure in figures] == list(ORDER)
    for figure in figures:
        assert figure.claims
        assert figure.sources
        found = [claim.ours for claim in figure.claims]
        for show in figure.shows:
            if show.kind == "dots":
                found += [value.found for group in show.groups for value in group.values]
            elif show.kind == "plot":
                found += [point.found for line in show.lines for point in line.points]
        assert found
        assert all(one.low <= one.value <= one.high and one.n > 0 for one in found)


def test_every_run_behind_a_figure_is_done_and_lies_where_the_page_says(made, figures):
    for figure in figures:
        for source in figure.sources:
            assert read_manifest(made[0] / source.folder).status == "done"


def test_it_ends_with_a_verdict_a_figure_and_the_place_of_the_pages(made, figures):
    out, told = made
    *lines, last = told.strip().splitlines()[-len(figures) - 1 :]
    assert str(out / "index.html") in last
    assert lines == [f"{figure.title}: {figure.verdict}" for figure in figures]


def test_again_it_only_counts(made, recipe):
    out = made[0]

    def ended() -> dict[str, str]:
        done = [place.parent for place in out.rglob("manifest.json") if not place.parent.name.startswith("measure-")]
        return {str(folder): str(read_manifest(folder).finished) for folder in done}

    def numbers() -> dict:
        told = json.loads((out / "paper.json").read_text(encoding="utf-8"))
        return {key: value for key, value in told.items() if key != "seconds"}

    before = ended(), numbers()
    again = warm.run(*words(recipe, out), code=warm.WALK + warm.MAIN, env=QUIET, timeout=500)
    assert again.returncode == 0, again.stderr
    assert (ended(), numbers()) == before


def test_what_policies_said_along_their_way(made):
    """At the start the log ratio is none; each later policy answered the same prompts."""
    folder = made[0] / "runs-fast" / "followed-0-along"
    answers = [one for one in records.read(folder / "completions.jsonl") if isinstance(one, Completion)]
    asked = {k: {c.prompt_id for c in answers if c.run_id == k} for k in ("0", "1", "2")}
    assert asked["0"] == asked["1"] == asked["2"]
    assert len(answers) == 3 * len(asked["0"])
    ratio = {one.completion_id: one.value for one in records.read(folder / "ratios.jsonl") if isinstance(one, Score)}
    assert {ratio[c.id] for c in answers if c.run_id == "0"} == {0.0}
    assert 0.0 not in {ratio[c.id] for c in answers if c.run_id == "2"}
    assert set(ratio) == {one.completion_id for one in records.read(folder / "scores.jsonl") if isinstance(one, Score)}
    inputs = read_manifest(folder).inputs
    assert set(inputs) == {"run", "prompts", "reward_model"}
