"""Training runs over their steps, as their metrics tell them."""

from collections.abc import Iterable, Mapping
from typing import Self

import numpy as np
from pydantic import model_validator

from biddable.measure.interval import Finite
from biddable.records import Record


class Curve(Record):
    """One training run over its steps: the reward model's score, and the KL to the start."""

    model: str
    run: str
    step: tuple[int, ...]
    proxy: tuple[Finite, ...]
    kl: tuple[Finite, ...]

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        for name, values in (("proxy", self.proxy), ("kl", self.kl)):
            if len(values) != len(self.step):
                raise ValueError(f"{name} has {len(values)} values for {len(self.step)} steps")
        if not self.step:
            raise ValueError("a curve without steps")
        return self


def curve(metrics: Iterable[Mapping[str, float]], model: str, run: str) -> Curve:
    """A curve out of metrics rows; rows without score or KL (an evaluation, say) are passed over."""
    rows = [row for row in metrics if row.keys() >= {"step", "score", "kl"}]
    return Curve(
        model=model,
        run=run,
        step=tuple(int(row["step"]) for row in rows),
        proxy=tuple(float(row["score"]) for row in rows),
        kl=tuple(float(row["kl"]) for row in rows),
    )


def smooth(values: Iterable[float], window: int) -> list[float]:
    """Centred running mean; the ends use what they have. One batch of answers is a noisy witness."""
    series = np.asarray(list(values), dtype=float)
    half = window // 2
    return [float(series[max(0, i - half) : i + half + 1].mean()) for i in range(len(series))]
