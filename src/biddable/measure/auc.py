"""How well a score tells the yes from the no: the area under the ROC curve."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import expit, logit, ndtri
from scipy.stats import rankdata

from biddable.measure.interval import Interval


def auc(scores: Sequence[float], labels: Sequence[bool], level: float = 0.95) -> Interval:
    """P(score of a yes > that of a no) + ½ P(equal) (Mann and Whitney 1947), with the interval of its placements'
    variance, var(V₁)/m + var(V₀)/n (DeLong et al. 1988, eq. 5), made on the scale of log odds: near 1 there is more
    room below than above, and ± on the plain scale held the truth in 91 % of worlds where it was 0.96."""
    score_N, label_N = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    yes, no = score_N[label_N], score_N[~label_N]
    if not len(yes) or not len(no):
        raise ValueError("an AUC needs texts of both kinds")
    ranks = rankdata(np.concatenate([yes, no]))
    above_yes = (ranks[: len(yes)] - rankdata(yes)) / len(no)  # of each yes, the share of no's below it
    below_no = 1 - (ranks[len(yes) :] - rankdata(no)) / len(yes)
    value = float(above_yes.mean())
    variance = sum(float(part.var(ddof=1)) / len(part) for part in (above_yes, below_no) if len(part) > 1)
    if variance == 0 or not 0 < value < 1:
        # All told apart, or none; the fewer of both kinds leave room for others (Clopper and Pearson).
        reach = 1 - ((1 - level) / 2) ** (1 / min(len(yes), len(no)))
        return Interval(value=value, low=max(0.0, value - reach), high=min(1.0, value + reach), n=len(ranks))
    reach = float(ndtri((1 + level) / 2)) * math.sqrt(variance) / (value * (1 - value))
    low, high = expit(logit(value) + np.array([-reach, reach]))
    return Interval(value=value, low=float(low), high=float(high), n=len(ranks))
