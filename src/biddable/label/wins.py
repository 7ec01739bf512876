"""What a job that compares came to: how often each model is preferred, and how far those who compared the same agree.

For managers alone: whoever still compares must not know which model wins, nor which answer is whose.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from biddable.measure.agreement import Agreement, agreement_if_any, of_two
from biddable.measure.interval import Interval
from biddable.measure.weighted import by_lot
from biddable.measure.winrate import win_rate
from biddable.records import Verdict
from biddable.store import quality


class Win(NamedTuple):
    """Of two models, how often the first is preferred; a tie is half."""

    model: str
    against: str
    who: str | None  # a group; nothing: everyone
    rate: Interval
    prompts: int
    ties: float  # share

    @property
    def turned(self) -> Interval:
        """How often the other is."""
        ends = {"value": 1 - self.rate.value, "low": 1 - self.rate.high, "high": 1 - self.rate.low}
        return Interval(**ends, n=self.rate.n)

    @property
    def word(self) -> str:
        if self.rate.low > 0.5:
            return f"{self.model} is preferred"
        return f"{self.against} is preferred" if self.rate.high < 0.5 else "not to be told yet"


class Wins(NamedTuple):
    rows: list[Win]
    agreement: Agreement | None  # of those who compared the same; a tie against a choice is half
    left_out: int  # not by lot


def wins_of(connection: Connection, job: str) -> Wins:
    said, models = quality.verdicts_of(connection, job)
    groups = quality.groups(connection)
    kept = by_lot(said)
    here = sorted({groups[verdict.labeler] for verdict in kept if verdict.labeler})
    rows: list[Win] = []
    for model, against in itertools.combinations(sorted(set(models.values())), 2):
        met = [one for one in kept if {models[one.a], models[one.b]} == {model, against}]
        rows += [_win(met, models, model, against, None)] if met else []
        for who in here if len(here) > 1 else ():
            mine = [one for one in met if groups[one.labeler or ""] == who]
            rows += [_win(mine, models, model, against, who)] if mine else []
    return Wins(rows, agreement_if_any(of_two(kept)), len(said) - len(kept))


def _win(said: Sequence[Verdict], models: dict[str, str], model: str, against: str, who: str | None) -> Win:
    ties = sum(verdict.better == "tie" for verdict in said) / len(said)
    prompts = len({verdict.prompt_id for verdict in said})
    return Win(model, against, who, win_rate(said, models, model, against), prompts, ties)
