"""What was paid for is counted: people's labels, their hours, and nobody else's."""

from pathlib import Path

import pytest

from biddable import records
from biddable.measure.cost import Work, cost
from biddable.records import Completion, Demonstration, Judgement, Labeler, Prompt, Ranking, Verdict


def test_peoples_labels_and_hours_by_hand(tmp_path: Path):
    people = [
        Labeler(id="ann", group="training"),
        Labeler(id="ben", group="held_out"),
        Labeler(id="eve", group="training"),
    ]
    prompt = Prompt(id="p", text="?")
    answers = [Completion(id=name, prompt_id="p", text=name, run_id="sft") for name in ("a", "b")]
    records.write(tmp_path / "demos.jsonl", [
        people[0], prompt, Demonstration(prompt_id="p", text="yes", labeler="ann", seconds=1800),
        Demonstration(prompt_id="p", text="no", labeler="ann"),  # came in from elsewhere: no time is known
    ])  # fmt: skip
    records.write(tmp_path / "said.jsonl", [
        *people, prompt, *answers,
        Ranking(prompt_id="p", labeler="ben", order=(("a",), ("b",)), seconds=3600),
        Judgement(completion_id="a", labeler="ann", overall=4, seconds=360),
        Verdict(prompt_id="p", a="a", b="b", better="a", judge="person", labeler="ben", seconds=720),
        Verdict(prompt_id="p", a="a", b="b", better="a", judge="model", labeler="reward"),
        Verdict(prompt_id="p", a="a", b="b", better="b", judge="gold"),
    ])  # fmt: skip
    found = cost([tmp_path / "demos.jsonl", tmp_path / "said.jsonl"])
    assert found.work == {
        "demonstrations": Work(labels=2, timed=1, hours=0.5),
        "rankings": Work(labels=1, timed=1, hours=1.0),
        "judgements": Work(labels=1, timed=1, hours=0.1),
        "verdicts": Work(labels=1, timed=1, hours=0.2),
    }
    assert list(found.work) == ["demonstrations", "rankings", "judgements", "verdicts"]
    assert found.labelers == {"held_out": 1, "training": 1}  # eve gave nothing
    assert (found.labels, found.timed) == (5, 4)
    assert found.hours == pytest.approx(1.8)
    assert found.paid is None
