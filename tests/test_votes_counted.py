"""From a file of votes to win rates and their page, by commands alone, in a project in which nothing was trained."""

import itertools
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from biddable.cli import app
from biddable.measure.results import Results
from biddable.store import open_store


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIDDABLE_QUIET", "1")
    monkeypatch.delenv("BIDDABLE_STORE", raising=False)
    carried("init", "p")
    monkeypatch.chdir("p")


def ask(*words: str):
    return CliRunner().invoke(app, words)


def carried(*words: str) -> str:
    result = ask(*words)
    assert result.exit_code == 0, result.output
    return result.output


def lines(path: str, *rows: dict) -> str:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def vote(n: int, winner: str, labeler: str | None = "ann", **more: str) -> dict:
    """About prompt n; of the two models now one, now the other is called a."""
    sides = ("new", "old") if n % 2 else ("old", "new")
    answers = {f"answer_{place}": f"{side} {n}" for place, side in zip("ab", sides, strict=True)}
    models = {f"model_{place}": side for place, side in zip("ab", sides, strict=True)}
    return {"prompt": f"say {n}", **answers, **models, "winner": winner, "labeler": labeler} | more


# Of new against old: five wins, a tie that is half, two losses. 5.5 of 8.
VOTES = [vote(n, winner) for n, winner in enumerate(["new"] * 5 + ["tie", "old", "old"])]


def counted() -> Results:
    (found,) = Path("runs").glob("measure-*/results.json")
    return Results.model_validate_json(found.read_bytes())


def test_votes_alone_come_to_win_rates_and_their_page():
    told = carried("import", lines("votes.jsonl", *VOTES))
    assert told == (
        "votes.jsonl: 1 new labelers, 8 new prompts, 16 new completions, 8 new verdicts in the store\n"
    )  # fmt: skip
    assert "known already: 1 labelers, 8 prompts, 16 completions, 8 verdicts" in carried("import", "votes.jsonl")
    out = carried("measure")
    assert re.search(r"^old over new, by one person +31\s%  \[\d+–\d+\]", out, flags=re.MULTILINE)
    assert "no win rates" not in out
    assert "not counted" not in out
    rate = counted().human_win_rate["old_vs_new"]
    assert (rate.value, rate.n) == (1 - 5.5 / 8, 8)
    assert rate.low < rate.value < rate.high
    assert "report.html: the report of runs/measure-" in carried("report")
    page = Path("report.html").read_text(encoding="utf-8")
    assert "old" in page
    assert "31\u00a0%" in page
    assert re.search(
        r"^new over old, by one person +69\s%", carried("measure", "--baseline", "old"), flags=re.MULTILINE
    )
    carried("snapshot", "verdicts")
    with open_store("store.db") as store:
        assert {one.shown for one in store.verdicts()} == {"unknown"}


def test_a_table_of_votes_comes_to_the_same():
    header = "prompt,response_a,response_b,model_a,model_b,winner,labeler"
    rows = [",".join(str(row[key]) for key in row) for row in VOTES]
    Path("votes.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    carried("import", "votes.csv")
    carried("measure")
    assert counted().human_win_rate["old_vs_new"].value == 1 - 5.5 / 8


def test_votes_that_are_not_counted_are_told_of_with_the_command_that_counts_them():
    carried("import", lines("some.jsonl", *VOTES[:3]), "--valid", "0")
    result = ask("measure")
    assert result.exit_code == 2
    assert result.stderr.endswith(
        ": nothing to measure; there are verdicts on train prompts: biddable measure --split train\n"
    )
    pair = {"prompt": "say 0", "chosen": "x", "rejected": "y", "labeler": "ann"}
    carried("import", lines("pairs.jsonl", pair))
    told = "no win rates, for there are verdicts on train prompts: biddable measure --split train"
    assert told in carried("measure").splitlines()
    carried("import", lines("votes.jsonl", *VOTES))
    told = "not counted are verdicts on train prompts: biddable measure --split all"
    assert told in carried("measure").splitlines()
    assert "verdicts on" not in carried("measure", "--split", "all")


def test_of_many_models_those_pairs_are_told_that_have_the_baseline():
    """Six models are fifteen pairs; sixty would be two thousand lines."""
    names = "abcdef"
    rows = [
        {"prompt": f"say {n}", "answer_a": f"{one} {n}", "answer_b": f"{other} {n}", "model_a": one, "model_b": other,
         "winner": "model_a", "labeler": "ann"}
        for n, (one, other) in enumerate(itertools.combinations(names, 2))
    ]  # fmt: skip
    carried("import", lines("votes.jsonl", *rows))
    told = carried("measure", "--baseline", "c")
    assert {*re.findall("[a-f] over [a-f]", told)} == {"a over c", "b over c", "d over c", "e over c", "f over c"}
    assert "10 more pairs, without c, are in the report's table." in told
    assert len(counted().human_win_rate) == 15
    carried("report")
    page = Path("report.html").read_text(encoding="utf-8")
    assert "Between c and a" not in page
    assert "Between a and c" in page or "a is preferred to c" in page


def test_that_nobody_signed_is_told_once():
    note = (
        'biddable: note: v.jsonl: no row names who said it: all is put down to "someone", so how far people agree '
        "cannot be told, and intervals know of prompts alone; name people in a column labeler (user is whose prompt "
        "it is)\n"
    )

    def notes(*rows: dict) -> str:
        result = ask("import", lines("v.jsonl", *rows))
        assert result.exit_code == 0, result.output
        return result.stderr

    unsigned = [vote(n, "tie", None) for n in range(3)]
    assert notes(*unsigned) == note
    assert notes(*unsigned, vote(9, "a")) == ""
    assert notes({"prompt": "p", "chosen": "x", "rejected": "y", "user": "ann"}) == note
    assert notes({"prompt": "p", "completion": "x", "label": True}) == note
    assert notes({"prompt": "p", "completion": "x"}) == "", "of demonstrations nobody asks how far people agree"
    assert notes({"prompt": "p", "answer": "x", "model": "m"}) == ""


def test_unsigned_votes_are_no_two_peoples():
    """The second words on the same answers are put down to someone-2, who is no person to be drawn again."""
    carried("import", lines("votes.jsonl", *(vote(n, "new", None) for n in range(6)), vote(0, "old", None)))
    carried("measure")
    (pairing,) = counted().preference.pairings
    assert pairing.labelers == 1
    with open_store("store.db") as store:
        assert {one.labeler for one in store.verdicts()} == {"someone", "someone-2"}


def test_of_a_file_with_a_bad_vote_nothing_is_taken():
    result = ask("import", lines("votes.jsonl", *VOTES, vote(8, "nobody")))
    assert result.exit_code == 2
    says = 'votes.jsonl, row 9: winner: is "nobody"; it should be a, b, tie, or the name of one of the two models'
    assert result.stderr == f"biddable: {says}\n"
    carried("import", lines("votes.jsonl", VOTES[0]))
    changed = lines("changed.jsonl", VOTES[1], VOTES[0] | {"winner": "old"})
    result = ask("import", changed)
    assert result.exit_code == 2
    assert "changed.jsonl, row 2: verdict v-" in result.stderr
    assert "is already there with another better; what is stored stays" in result.stderr
    with open_store("store.db") as store:
        assert [one.prompt_id for one in store.verdicts()] == [prompt.id for prompt in store.prompts()]
        assert store.counts()["verdicts"] == 1
