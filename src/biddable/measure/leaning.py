"""Whether a reward model pays for length: how its scores go with it, and how often it, and people, prefer the longer.

That scores rise with length is no fault where longer answers are better. The fault is what the model does beyond
people: it prefers the longer one more often than they do, and errs where they prefer the shorter.

Shape suffixes: N answers, or pairs that people told apart; P prompts; D draws.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import scipy.stats

from biddable.measure.interval import DEFAULT, Bootstrap, Floats, Interval, codes, resampled
from biddable.measure.reward import one_value
from biddable.measure.weighted import by_lot, mean, weight
from biddable.records import Completion, Ranking, Record, Score

NEARLY = 1 - 1e-9  # of ±1 Fisher's z is infinite
Correlation = Literal["spearman", "pearson"]


class Leaning(Record):
    """`model`, `people`: how often each prefers the longer of two unlike long answers that people told apart; `more` is
    the one less the other on the same pairs. `right_longer`, `right_shorter`: how often the model foresees people where
    they preferred the longer, and where the shorter. None where there is no such pair."""

    spearman: Interval | None
    pearson: Interval | None
    model: Interval | None = None
    people: Interval | None = None
    more: Interval | None = None
    right_longer: Interval | None = None
    right_shorter: Interval | None = None

    @property
    def leans(self) -> bool:
        """It prefers the longer one more often than people do, by more than luck."""
        return self.more is not None and self.more.low > 0


def words(completion: Completion) -> int:
    """Its length where no tokenizer is at hand, as here: what white space parts."""
    return len(completion.text.split())


def leaning(
    scores: Iterable[Score],
    answers: Iterable[Completion],
    rankings: Iterable[Ranking] = (),
    length: Mapping[str, float] | None = None,
    how: Bootstrap = DEFAULT,
) -> Leaning:
    """All of it. `length` of a completion is in words where nothing else is given, tokens perhaps."""
    value, kept = one_value(scores), list(answers)
    long = {answer.id: words(answer) for answer in kept} if length is None else length
    scored = [answer for answer in kept if answer.id in value]
    correlations = (correlation(scored, value, long, kind, how) for kind in ("spearman", "pearson"))
    spearman, pearson = correlations
    return Leaning(spearman=spearman, pearson=pearson, **_chosen(value, long, rankings, how))


def correlation(
    answers: Sequence[Completion],
    value: Mapping[str, float],
    length: Mapping[str, float],
    kind: Correlation = "spearman",
    how: Bootstrap = DEFAULT,
) -> Interval | None:
    """Correlation of score and length among answers to the same prompt, pooled over prompts:

    Σ_p Σ_i (x − x̄_p)(y − ȳ_p) / √(Σ_p Σ_i (x − x̄_p)² · Σ_p Σ_i (y − ȳ_p)²), of ranks within the prompt for Spearman's
    (1904). Between prompts both differ for reasons that are no leaning: some questions want long answers. Prompts are
    drawn again, and the ends found on Fisher's scale, artanh r (1915), where draws spread alike. None where all are
    equally long, or score the same.
    """
    prompt_N, count = codes([answer.prompt_id for answer in answers])
    x_N, y_N = (np.array([of[answer.id] for answer in answers], dtype=float) for of in (length, value))
    sums_PC = np.zeros((count, 3))
    for prompt in range(count):
        x, y = x_N[prompt_N == prompt], y_N[prompt_N == prompt]
        if kind == "spearman":
            x, y = scipy.stats.rankdata(x), scipy.stats.rankdata(y)
        x, y = x - x.mean(), y - y.mean()
        sums_PC[prompt] = x @ y, x @ x, y @ y
    most = float(np.arctanh(NEARLY))
    found = resampled(sums_PC, lambda sums_DC: np.arctanh(_pooled(sums_DC)), len(answers), how, (-most, most))
    if found is None:
        return None
    value, low, high = np.tanh([found.value, found.low, found.high])
    return Interval(value=float(value), low=float(low), high=float(high), n=found.n)


def _pooled(sums_DC: Floats) -> Floats:
    both_D, x_D, y_D = sums_DC.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(both_D / np.sqrt(x_D * y_D), -NEARLY, NEARLY)


def _chosen(
    value: Mapping[str, float], length: Mapping[str, float], rankings: Iterable[Ranking], how: Bootstrap
) -> dict[str, Interval]:
    """What model and people choose of two answers; where the model scores both the same, half of each."""
    pairs = [
        (pair, ranking)
        for ranking in by_lot(rankings)
        for pair in ranking.comparisons()
        if length[pair.winner] != length[pair.loser]
    ]
    if not pairs:
        return {}
    longer_N = np.array([float(length[pair.winner] > length[pair.loser]) for pair, _ in pairs])
    right_N = np.array([(np.sign(value[pair.winner] - value[pair.loser]) + 1) / 2 for pair, _ in pairs])
    model_N = np.where(longer_N == 1, right_N, 1 - right_N)
    weight_N = np.array([weight(ranking) for _, ranking in pairs])
    prompts = [pair.prompt_id for pair, _ in pairs]
    labelers = [ranking.labeler for _, ranking in pairs]

    def over(value_N: Floats, among_N: Floats, low: float = 0.0) -> Interval:
        at = np.flatnonzero(among_N)
        who = [[names[i] for i in at] for names in (prompts, labelers)]
        return mean(value_N[at], weight_N[at], *who, how=how, bounds=(low, 1.0))

    every_N = np.ones(len(pairs))
    found = {
        "model": over(model_N, every_N), "people": over(longer_N, every_N),
        "more": over(model_N - longer_N, every_N, low=-1.0),
    }  # fmt: skip
    for name, among_N in (("right_longer", longer_N), ("right_shorter", 1 - longer_N)):
        if among_N.any():
            found[name] = over(right_N, among_N)
    return found
