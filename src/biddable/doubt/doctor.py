"""What went wrong with a run, from what it logged: the failure by its name, what was seen, and what to do.

Each sign is a function of the run's metrics that answers with what it saw, or with None. Its limit is a number of ours
that stands beside it, far from what sound runs show, since a doctor who always finds something is not asked twice. What
is said of "late" is said of the last third of the steps, so that a bad beginning that was overcome is no finding.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from biddable import runs

FEWEST = 6  # logged numbers below which nothing is said of how they went
KL_SLACK = 0.02  # nats an answer that the estimate may be below 0 in a sound run
SCORE_OFF = 5.0  # a centred reward model's mean score of the start model's answers; σ(5) is 99.3 %
SCORE_SPAN = 30.0  # how far the mean score may move in a run
EXPLAINS = 0.05  # of the returns' variance: a constant explains 0
CLIPPED = 0.3  # the share of tokens that get no gradient
COLLAPSED = 0.2  # of the entropy that there was
LONGER = 1.5  # times as long as at the start
FAR_LONGER = 2.5  # times as long as at the start, whatever the score does
ALIKE = 0.5  # of the different runs of three tokens that there were
BEYOND = 0.5  # of the answers score higher than nearly all that the reward model learnt from
PAST = 1.5  # times the KL at which the held-out score was best
TOGETHER = 0.8  # rank correlation of score and length
ALWAYS = 0.95  # of the steps have a gradient that is too long
FAR_TOO_LONG = 4.0  # times clip_norm: a little above it is usual and does no harm under Adam
CHANCE = 0.55  # accuracy, where a coin has 0.5
OVERFIT = 0.15  # accuracy on what was learnt above accuracy on what was not
RISEN = 1.05  # times the lowest validation loss
NO_END, AT_ONCE = 0.02, 0.98  # shares of answers that end
FEW_TOKENS = 2.0  # an answer of an end token and at most one word
APART, SEEN_APART = 2.0, 0.05  # times as far as at the start; a spread below this is nothing beside a score's
RATIO_OFF = 0.01  # of the first minibatch's mean ratio from 1: rounding leaves 1e-4


@dataclass(frozen=True)
class Log:
    """What a run logged: a list of numbers a name, in the order of the steps, and what it was asked to do."""

    kind: str
    config: Mapping[str, Any]
    columns: Mapping[str, list[float]]
    steps: int

    def has(self, *names: str, least: int = FEWEST) -> bool:
        """Whether each was logged often enough to speak of."""
        return all(len(self.columns.get(name, ())) >= least for name in names)

    def early(self, name: str) -> list[float]:
        column = self.columns[name]
        return column[: math.ceil(len(column) / 3)]

    def late(self, name: str) -> list[float]:
        column = self.columns[name]
        return column[-math.ceil(len(column) / 3) :]

    def rise(self, name: str) -> float:
        return fmean(self.late(name)) - fmean(self.early(name))


@dataclass(frozen=True)
class Finding:
    name: str
    seen: str
    cure: str


Look = Callable[[Log], str | None]


def examine(folder: Path) -> list[Finding]:
    """What is wrong with the run in a folder; nothing, where nothing was seen."""
    manifest = runs.read_manifest(folder)
    cure = "mend that, and the same command goes on from the last checkpoint"
    failed = (
        [Finding("it failed", manifest.error or "it does not say why", cure)] if manifest.status == "failed" else []
    )
    return failed + diagnose(read(folder))


def read(folder: Path) -> Log:
    manifest, lines = runs.read_manifest(folder), runs.read_metrics(folder)
    return Log(manifest.kind, manifest.config, columns(lines), len(lines))


def columns(lines: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Each name's numbers; and beside the looks at held-out prompts the KL of the steps that had one."""
    names = {name: None for line in lines for name in line}
    found = {name: [line[name] for line in lines if name in line] for name in names}
    looks = [line["kl"] for line in lines if {"kl", "held_out_score"} <= line.keys()]
    return found | ({"kl_at_look": looks} if looks else {})


def diagnose(log: Log) -> list[Finding]:
    seen = [(name, look(log), cure) for name, (look, cure) in SIGNS.items()]
    return [Finding(name, what, cure) for name, what, cure in seen if what is not None]


def kl_negative(log: Log) -> str | None:
    """A KL is never negative. An estimate is, where the answers are not drawn from the policy that is compared; and by
    luck, hence two standard errors."""
    if not log.has("kl", "score"):
        return None
    late = log.late("kl")
    mean, error = fmean(late), stdev(late) / math.sqrt(len(late))
    return f"{mean:.2g} nats an answer on average of late" if mean < -max(KL_SLACK, 2 * error) else None


def ratio_off(log: Log) -> str | None:
    """Before the first update the policy is the one that sampled."""
    if not log.has("first_ratio", least=1):
        return None
    worst = max(log.columns["first_ratio"], key=lambda ratio: abs(ratio - 1))
    return f"{worst:.4g} and not 1, before anything was learnt" if abs(worst - 1) > RATIO_OFF else None


def score_off_scale(log: Log) -> str | None:
    if not log.has("score", least=1):
        return None
    score = log.columns["score"]
    if abs(score[0]) > SCORE_OFF:
        return f"the start model's answers score {score[0]:.3g} on average, and should score near 0"
    span = max(score) - min(score)
    return f"the mean score moved by {span:.3g}; a few units are much" if span > SCORE_SPAN else None


def judges_part(log: Log) -> str | None:
    """The judges of an ensemble agree on what they were taught, and on little else (Coste et al. 2024)."""
    if not log.has("spread", "score"):
        return None
    first, last = fmean(log.columns["spread"][:2]), fmean(log.late("spread"))
    steadily = rank_correlation(range(len(log.columns["spread"])), log.columns["spread"])
    if last > max(APART * first, SEEN_APART) and steadily > TOGETHER:
        return f"the judges' spread went from {first:.2g} to {last:.2g}, the mean score by {log.rise('score'):+.2g}"
    return None


def value_explains_nothing(log: Log) -> str | None:
    if log.has("explained_variance") and (best := max(log.late("explained_variance"))) < EXPLAINS:
        return f"explained variance {best:.2g} at its late best; a constant has 0, and 1 is all"
    return None


def never_ends(log: Log) -> str | None:
    if log.has("end_rate", least=2) and (rate := fmean(log.late("end_rate"))) <= NO_END:
        return f"{rate:.0%} of the answers ended before they were cut"
    return None


def ends_at_once(log: Log) -> str | None:
    """That all answers end is as it should be, unless there is nothing before the end."""
    if not log.has("end_rate", "length", least=2):
        return None
    rate, length = fmean(log.late("end_rate")), fmean(log.late("length"))
    if rate >= AT_ONCE and length <= FEW_TOKENS:
        return f"{rate:.0%} of the answers ended, after {length:.2g} tokens on average"
    return None


def clipped(log: Log) -> str | None:
    if log.has("clip_fraction") and (share := fmean(log.late("clip_fraction"))) > CLIPPED:
        return f"{share:.0%} of the tokens were beyond the clip and taught nothing"
    return None


def entropy_collapsed(log: Log) -> str | None:
    if not log.has("entropy"):
        return None
    first, last = log.columns["entropy"][0], fmean(log.late("entropy"))
    return f"from {first:.2g} to {last:.2g} nats a token" if last < COLLAPSED * first else None


def length_grows(log: Log) -> str | None:
    if not log.has("length", "score"):
        return None
    first, last = log.columns["length"][0], fmean(log.late("length"))
    together = rank_correlation(log.columns["length"], log.columns["score"])
    if last > LONGER * first and together > TOGETHER and log.rise("score") > 0:
        return f"from {first:.3g} to {last:.3g} tokens, in step with the score (rank correlation {together:.2f})"
    return None


def far_longer(log: Log) -> str | None:
    """The start model answers as its demonstrations do, so nobody asked for answers of another length."""
    if log.has("length") and (last := fmean(log.late("length"))) > FAR_LONGER * log.columns["length"][0]:
        return f"from {log.columns['length'][0]:.3g} to {last:.3g} tokens"
    return None


def grow_alike(log: Log) -> str | None:
    """Answers repeat one another, or each itself; entropy may still be high where the end of an answer is open."""
    if not log.has("distinct"):
        return None
    first, last = fmean(log.columns["distinct"][:2]), fmean(log.late("distinct"))
    return f"different runs of three tokens went from {first:.0%} to {last:.0%}" if last < ALIKE * first else None


def beyond_known(log: Log) -> str | None:
    """Of what it learnt from one answer in a hundred scores so high; there nobody has said what is better."""
    if log.has("beyond") and (share := fmean(log.late("beyond"))) > BEYOND:
        return f"{share:.0%} of the answers score above 99 % of those that the reward model learnt from"
    return None


def past_the_peak(log: Log) -> str | None:
    """By the fit of Gao et al. 2023 of the held-out score to the KL, and by more than the looks scatter about it."""
    if not log.has("held_out_score", "kl_at_look"):
        return None
    from biddable.measure.overoptimised import turn  # numpy, which the other signs do without

    found = turn(log.columns["kl_at_look"], log.columns["held_out_score"])
    if found is None:
        return None
    last = fmean(log.columns["kl_at_look"][-2:])
    if last > PAST * found.kl and found.fall > 2 * found.off:
        return (
            f"the held-out score is highest at a KL of about {found.kl:.2g} nats; the run is at {last:.2g}, where it "
            f"is lower by {found.fall:.2g}"
        )
    return None


def overoptimised(log: Log) -> str | None:
    """The held-out judge fell by at least half of what it had won, or by more than its usual jump where it won nothing,
    while the one that is trained against went up (Gao et al. 2023)."""
    if not log.has("score") or not log.has("held_out_score", least=4) or log.rise("score") <= 0:
        return None
    look = log.columns["held_out_score"]
    best, last = max(look), fmean(look[-2:])
    jump = median(abs(b - a) for a, b in pairwise(look))
    if best - last > max((best - look[0]) / 2, jump):
        return f"score up by {log.rise('score'):.2g}, held-out score from {best:.2g} at its best to {last:.2g}"
    return None


def always_shortened(log: Log) -> str | None:
    longest = log.config.get("clip_norm")
    for name in ("gradient", "policy_gradient", "ptx_gradient", "value_gradient"):
        if longest and log.has(name):
            late = log.late(name)
            if sum(length > FAR_TOO_LONG * longest for length in late) >= ALWAYS * len(late):
                return f"{name.replace('_', ' ')} {median(late):.3g} where clip_norm is {longest:g}, step after step"
    return None


def at_chance(log: Log) -> str | None:
    for name in ("valid_accuracy", "accuracy"):
        if log.has(name, least=1 if name == "valid_accuracy" else FEWEST):
            late = log.columns[name][-1] if name == "valid_accuracy" else fmean(log.late(name))
            return f"{name.replace('_', ' ')} {late:.2f}; a coin has 0.50" if late < CHANCE else None
    return None


def overfit(log: Log) -> str | None:
    """Sure of what it was taught, and worse than before on what it was not."""
    if not log.has("accuracy") or not log.has("valid_accuracy", "valid_loss", least=1):
        return None
    here, there = fmean(log.late("accuracy")), log.columns["valid_accuracy"][-1]
    losses = log.columns["valid_loss"]
    known = [*losses, math.log(2)] if log.kind == "reward" else losses  # log 2: what saying nothing costs
    if here - there > OVERFIT and losses[-1] > RISEN * min(known):
        return f"accuracy {here:.2f} on what it learns from and {there:.2f} on valid, valid loss {losses[-1]:.3g}"
    return None


def valid_rises(log: Log) -> str | None:
    """In demonstrations. Rising loss alone is no fault where the epoch is chosen by score (Ouyang et al., 3.5)."""
    if "accuracy" in log.columns or "valid_score" in log.columns or not log.has("valid_loss", least=2):
        return None
    losses = log.columns["valid_loss"]
    if losses[-1] > RISEN * min(losses):
        best = losses.index(min(losses)) + 1
        return f"valid loss {min(losses):.3g} after epoch {best} and {losses[-1]:.3g} after epoch {len(losses)}"
    return None


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's, 1904: Pearson's correlation of the ranks; 0 where one of them does not move."""
    a, b = _ranks(x), _ranks(y)
    middle = (len(a) - 1) / 2
    over = sum((i - middle) * (j - middle) for i, j in zip(a, b, strict=True))
    under = math.sqrt(sum((i - middle) ** 2 for i in a) * sum((j - middle) ** 2 for j in b))
    return over / under if under else 0.0


def _ranks(x: Sequence[float]) -> list[float]:
    """Places in order, from 0; equals share their mean place."""
    order = sorted(x)
    return [(bisect_left(order, a) + bisect_right(order, a) - 1) / 2 for a in x]


# name: what is looked for, and what to do when it is seen
SIGNS: dict[str, tuple[Look, str]] = {
    "KL is negative": (
        kl_negative,
        "the answers are not drawn from the policy whose log-probabilities are compared: look at the temperature, the "
        "masks and the reference",
    ),
    "the first ratio is not 1": (
        ratio_off,
        "sampler and trainer disagree about log-probabilities: same weights, same temperature, no dropout?",
    ),
    "the score is off scale": (
        score_off_scale,
        "train the reward model again with center=demonstrations; beta and value_clip are in units of its score",
    ),
    "the ensemble's judges part": (
        judges_part,
        "the policy has left the answers that the judges know: set pessimism=1 or raise beta, keep an earlier "
        "checkpoint, and have the new answers ranked",
    ),
    "the value network explains nothing": (
        value_explains_nothing,
        "raise value_learning_rate, or start the value network from a better reward model",
    ),
    "answers never end": (
        never_ends,
        "check that demonstrations end with the end token (`biddable masks sft`), raise answer_tokens or "
        "missing_end_penalty",
    ),
    "answers end at once": (
        ends_at_once,
        "the reward likes empty answers: read some (`biddable sample`), rank such answers, raise beta",
    ),
    "the clip stops most tokens": (clipped, "lower learning_rate, or inner_epochs, or raise minibatch"),
    "the policy says one thing only": (
        entropy_collapsed,
        "raise beta, lower learning_rate, and read the answers: some phrase may be overpaid",
    ),
    "length grows with the reward": (
        length_grows,
        "the reward model may pay for length: rank long bad answers below short good ones, or raise beta",
    ),
    "answers are far longer than at the start": (
        far_longer,
        "the start model's are as long as the demonstrations; read some (`biddable sample`): if nobody wants them so "
        "long, rank long ones, or raise beta",
    ),
    "answers grow alike": (
        grow_alike,
        "one thing pays whatever is asked: read some answers (`biddable sample`), rank what is repeated, raise beta, "
        "and keep an earlier policy (keep_every)",
    ),
    "scores are beyond what the reward model knows": (
        beyond_known,
        "it never learnt which of such answers is better: have this policy's answers ranked and train it again, or "
        "raise beta",
    ),
    "the KL is past the best": (
        past_the_peak,
        "keep an earlier policy (keep_every), or hold the KL there: kl_target with a beta above 0",
    ),
    "over-optimised": (
        overoptimised,
        "keep an earlier checkpoint: valid_every with patience stops in time; then a larger beta or more rankings",
    ),
    "every gradient is shortened": (
        always_shortened,
        "the step hangs on clip_norm and not on the gradient: raise clip_norm; or lower gamma_ptx, if the mix is it",
    ),
    "accuracy is at chance": (
        at_chance,
        "nothing was learnt from the rankings: raise learning_rate or epochs, check that labelers agree "
        "(`biddable measure`), and that 50 rankings can be learnt by heart",
    ),
    "it learns its rankings by heart": (overfit, "fewer epochs, select=valid_loss, or more rankings"),
    "valid loss rises": (
        valid_rises,
        "fewer epochs or a smaller learning_rate; or give a reward_model, to choose the epoch by score as in the paper",
    ),
}  # fmt: skip
