"""What it cost: labels, the time of those who gave them, and what they were paid."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field

from biddable import records
from biddable.records import Demonstration, Group, Judgement, Labeler, Ranking, Record, Verdict

Label = Demonstration | Ranking | Judgement | Verdict
KINDS = {"demonstration": "demonstrations", "ranking": "rankings", "judgement": "judgements", "verdict": "verdicts"}


class Work(Record):
    """Labels of one kind. Those that came in from elsewhere may not tell how long they took."""

    labels: Annotated[int, Field(ge=0)]
    timed: Annotated[int, Field(ge=0)]
    hours: Annotated[float, Field(ge=0)]  # of those that are timed


class Paid(Record):
    """What the log of activity says was paid, for all work in the store and not only for the labels counted here."""

    amount: float  # in the money in which the jobs' hourly pay is set
    hours: float
    until: date


class Cost(Record):
    work: dict[str, Work] = Field(default_factory=dict)  # by kind, in the loop's order
    labelers: dict[Group, int] = Field(default_factory=dict)  # who gave at least one of them
    paid: Paid | None = None

    @property
    def labels(self) -> int:
        return sum(work.labels for work in self.work.values())

    @property
    def timed(self) -> int:
        return sum(work.timed for work in self.work.values())

    @property
    def hours(self) -> float:
        return sum(work.hours for work in self.work.values())


def cost(files: Iterable[Path], paid: Paid | None = None) -> Cost:
    """Count people's labels in files of records. What machines and the truth said was not paid for."""
    seconds: dict[str, list[float]] = defaultdict(list)
    groups: dict[str, Group] = {}
    gave = set[str]()
    for path in files:
        for record in records.read(path):
            if isinstance(record, Labeler):
                groups[record.id] = record.group
            elif isinstance(record, Label) and (who := _whose(record)) is not None:
                seconds[record.kind].append(record.seconds)
                gave.add(who)
    met = [groups[name] for name in sorted(gave & groups.keys())]
    return Cost(
        work={kind: _work(seconds[name]) for name, kind in KINDS.items() if seconds[name]},
        labelers={group: met.count(group) for group in sorted(set(met))},
        paid=paid,
    )


def _whose(label: Label) -> str | None:
    if isinstance(label, Verdict) and label.judge != "person":
        return None
    return label.labeler


def _work(seconds: list[float]) -> Work:
    timed = [one for one in seconds if one > 0]
    return Work(labels=len(seconds), timed=len(timed), hours=round(sum(timed) / 3600, 3))
