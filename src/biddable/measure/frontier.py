"""Over-optimisation: the proxy reward keeps rising while what it stands for falls (Gao, Schulman and Hilton 2023)."""

from collections.abc import Iterable, Mapping
from typing import Self

import numpy as np
from pydantic import model_validator

from biddable.measure.interval import Finite
from biddable.records import Record


class Curve(Record):
    """One training run over its steps: the reward model's score, the KL to the start, and the truth where known."""

    model: str
    run: str
    step: tuple[int, ...]
    proxy: tuple[Finite, ...]
    kl: tuple[Finite, ...]
    gold: tuple[Finite | None, ...] | None = None  # None where it was not measured at that step

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        for name, values in (("proxy", self.proxy), ("kl", self.kl), ("gold", self.gold or self.step)):
            if len(values) != len(self.step):
                raise ValueError(f"{name} has {len(values)} values for {len(self.step)} steps")
        if not self.step:
            raise ValueError("a curve without steps")
        return self


class Peak(Record):
    """Where gold was highest, and what happened from there to the end."""

    step: int
    kl: float
    gold: float
    last_step: int
    gold_change: float
    proxy_change: float
    gold_range: float

    @property
    def fell(self) -> bool:
        """Gold lost more than a tenth of all that it moved: less is the shake of a batch."""
        return self.gold_change < -0.1 * self.gold_range

    @property
    def overoptimised(self) -> bool:
        """The proxy went on rising after the peak while gold fell."""
        return self.fell and self.proxy_change > 0


def curve(
    metrics: Iterable[Mapping[str, float]],
    model: str,
    run: str,
    step: str = "step",
    proxy: str = "score",
    kl: str = "kl",
    gold: str = "gold",
) -> Curve:
    """A curve out of metrics rows; rows without proxy or KL (an evaluation, say) are passed over."""
    rows = [row for row in metrics if step in row and proxy in row and kl in row]
    truth = tuple(row.get(gold) for row in rows)
    return Curve(
        model=model,
        run=run,
        step=tuple(int(row[step]) for row in rows),
        proxy=tuple(float(row[proxy]) for row in rows),
        kl=tuple(float(row[kl]) for row in rows),
        gold=truth if any(value is not None for value in truth) else None,
    )


def smooth(values: Iterable[float], window: int) -> list[float]:
    """Centred running mean; the ends use what they have. One batch of answers is a noisy witness."""
    series = np.asarray(list(values), dtype=float)
    half = window // 2
    return [float(series[max(0, i - half) : i + half + 1].mean()) for i in range(len(series))]


def peak(curve: Curve, window: int = 5) -> Peak | None:
    """The highest point of gold, smoothed over `window` measured steps, and the change from there to the end."""
    if curve.gold is None:
        return None
    known = [i for i, value in enumerate(curve.gold) if value is not None]
    gold = smooth([value for value in curve.gold if value is not None], window)
    proxy = smooth([curve.proxy[i] for i in known], window)
    kl = smooth([curve.kl[i] for i in known], window)
    top = int(np.argmax(gold))
    return Peak(
        step=curve.step[known[top]],
        kl=kl[top],
        gold=gold[top],
        last_step=curve.step[known[-1]],
        gold_change=gold[-1] - gold[top],
        proxy_change=proxy[-1] - proxy[top],
        gold_range=max(gold) - min(gold),
    )
