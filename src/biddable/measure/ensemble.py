"""Several whole reward models as one: their mean, less what they differ by (Coste, Anwar, Kirk and Krueger 2024).

Models that began from other seeds err in other places, where heads on one trunk err together (LOG.md). The paper's
uncertainty-weighted optimisation takes mean − λ·variance; here it is the standard deviation, which is in the unit of
the scores, as `pessimism` is in PPO. The worst of them all is its worst-case optimisation.
"""

from collections.abc import Sequence

import numpy as np

from biddable.measure.interval import Floats
from biddable.measure.reward import one_value
from biddable.records import Score


def together(models: Sequence[Sequence[Score]], *, run_id: str, c: float = 0.0, worst: bool = False) -> list[Score]:
    """mean − c·spread over the models' scores of each completion, or the lowest; the spread (over M − 1) beside it.

    Scores are taken as they are: each model is centred on the same demonstrations, and trained on the same margins.
    """
    if len(models) < 2:
        raise ValueError("an ensemble is of two reward models or more")
    value = [one_value(scores) for scores in models]
    names = [score.completion_id for score in models[0]]
    for nth, one in enumerate(value[1:], start=2):
        if one.keys() != value[0].keys():
            raise ValueError(f"reward model {nth} of the ensemble scored other completions than the first")
    score_MN: Floats = np.array([[one[name] for name in names] for one in value])
    mean_N, spread_N = score_MN.mean(axis=0), score_MN.std(axis=0, ddof=1)
    value_N = score_MN.min(axis=0) if worst else mean_N - c * spread_N
    said = zip(names, value_N.tolist(), spread_N.tolist(), strict=True)
    return [Score(completion_id=name, run_id=run_id, value=value, spread=spread) for name, value, spread in said]
