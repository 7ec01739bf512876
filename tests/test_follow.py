"""`biddable follow` from a run that kept its policies to a figure of the report, by real stages of a tiny model."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from biddable import records
from biddable.cli import app
from biddable.records import Completion, Score
from tiny import prompts, rankings, saved

ANSWERS = ["episodes=8", "batch=4", "minibatch=2", "prompt_tokens=32", "answer_tokens=8"]


def ask(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def carried(*words: object) -> str:
    result = ask(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def complain(*words: object) -> str:
    result = ask(*words)
    assert result.exit_code == 2, result.output
    [line] = result.stderr.splitlines()
    return line.removeprefix("biddable: ")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two reward models of other rankings, and a PPO run by the first that kept its policies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIDDABLE_QUIET", "1")
    monkeypatch.setenv("COLUMNS", "200")
    carried("init", "p")
    os.chdir("p")
    rows = ["text,user\n"] + [f"say {color} {n},user {n}\n" for n in range(8) for color in ("red", "blue")]
    Path("prompts.csv").write_text("".join(rows), encoding="utf-8")
    carried("gather", "prompts.csv", "valid=0", "test=0.4")
    base = saved(Path("base"))
    for name, best in (("reward", "yes"), ("reward-2", "no")):
        rankings(Path(f"{name}.jsonl"), [(f"is it {n}", [[best], ["well"]]) for n in range(4)])
        words = (f"model={base}", f"data={name}.jsonl", "max_tokens=64", "center=answers", f"out=runs/{name}")
        learnt = ask("reward", *words)
        assert learnt.exit_code == 0, learnt.output
        assert "the scores stay in their file" in learnt.stderr  # the store knows nothing of these answers
    prompts(Path("asked.jsonl"), ["say red", "say blue", "say yes"])
    carried("ppo", "data=asked.jsonl", f"start={base}", "ptx_ratio=0", "gamma_ptx=0", *ANSWERS, "keep_every=1")
    return Path.cwd()


def test_a_run_is_followed_counted_drawn_and_traced(project: Path):
    carried("follow", "ppo", "gold=reward-2", "best_of=4")
    [folder] = Path("runs").glob("follow-ppo-*")
    found = list(records.read(folder / "followed.jsonl"))
    tested = len({one.prompt_id for one in found if isinstance(one, Completion)})
    answers = [one.run_id for one in found if isinstance(one, Completion)]
    assert {name: answers.count(name) for name in set(answers)} == {
        "0": tested, "1": tested, "2": tested, "best": 4 * tested,
    }  # fmt: skip
    judges = [one.run_id for one in found if isinstance(one, Score)]
    assert judges.count("proxy") == judges.count("gold") == 7 * tested
    assert judges.count("log-ratio") == 3 * tested
    assert "is done already" in carried("follow", "ppo", "gold=reward-2", "best_of=4")

    assert "iteration" in carried("measure")  # where the terminal, too, says how far it may be followed
    [counted] = Path("runs").glob("measure-*/results.json")
    [one] = json.loads(counted.read_text(encoding="utf-8"))["followed"]
    assert (one["run"], one["proxy"], one["gold"]) == ("ppo", "reward", "reward-2")
    assert [way["kind"] for way in one["ways"]] == ["policy", "best_of"]
    assert [point["at"] for point in one["ways"][0]["points"]] == [1, 2]
    assert one["ways"][0]["points"][0]["gold"]["n"] == tested
    carried("report")
    road = carried("trace", "report.html#figure-followed")
    for run in ("run ppo: ppo, done", "run reward: reward, done", "run reward-2: reward, done"):
        assert run in road
    assert "over-optim" in Path("report.html").read_text(encoding="utf-8")


def test_what_cannot_be_followed_is_one_line(project: Path):
    assert complain("follow", "pppo", "gold=reward-2") == (
        "pppo: no such run; a run is a folder with manifest.json, such as runs/pppo"
    )
    assert complain("follow", "reward", "gold=reward-2").startswith("runs/reward: kept no policies along its way")
    assert complain("follow", "ppo", "gold=reward").startswith("gold: reward is what ppo was trained against")
    assert complain("follow", "ppo").startswith("gold: ")
    assert "exceed the" in complain("follow", "ppo", "gold=reward-2", "answer_tokens=5000")
    assert not list(Path("runs").glob("follow-*"))
