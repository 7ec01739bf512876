"""What the numbers say, in sentences. Every sentence follows from the data: an interval that holds "no difference"
is never told as one."""

from collections.abc import Collection
from typing import Literal

from biddable.measure.agreement import Agreement
from biddable.measure.curves import Curve, smooth
from biddable.measure.interval import Interval
from biddable.measure.results import LEARNT, RANKED_BY, ReportData, Results, in_order, name_of, pair
from biddable.measure.reward import Folds

GAP = "\u00a0"  # 87 % must not break before its sign
UNMEASURED = "not measured: no prompt was ranked by two people"
NEAR = 0.1  # what cannot lie ten points apart is called alike; a wider interval shows nothing
MANY = 10  # pairs of models: of more, those with the baseline are told, since sixty models make two thousand
FEW = 5  # people: fewer are counted where they are spoken of, and are called few
Direction = Literal["above", "below", "open"]

RATE_NAMES = {  # the rate, and the verb of an answer that has it
    "hallucination": ("Hallucination", "invents facts"),
    "toxicity": ("Toxicity", "is toxic"),
    "constraint": ("Constraints met", "meets the stated constraint"),
    "refusal": ("Refusal", "refuses"),
    "fails_task": ("Fails the task", "fails the task"),
    "inappropriate": ("Inappropriate", "is inappropriate for an assistant"),
}


def percent(share: float, digits: int = 0) -> str:
    text = f"{100 * share:.{digits}f}"
    return (text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")) + GAP + "%"


def points(share: float) -> str:
    size = f"{100 * abs(share):.1f}"
    return f"{size} point{'' if size == '1.0' else 's'}"


def signed_points(share: float) -> str:
    """As it is read beside its interval: −0.3 points."""
    size = points(share)
    return f"−{size}" if round(100 * share, 1) < 0 else size


def between(interval: Interval, digits: int = 0) -> str:
    low, high = (percent(end, digits).removesuffix(GAP + "%") for end in (interval.low, interval.high))
    return f"{low} to {high}" if "−" in low + high else f"{low}–{high}"


def span(interval: Interval, digits: int = 0) -> str:
    return f"{percent(interval.value, digits)} ({between(interval, digits)})"


def short(interval: Interval) -> str:
    """With a decimal only where a whole percent would hide what there is."""
    return span(interval, 1 if interval.value < 0.1 else 0)


def number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−").replace("−0.00", "0.00")


def ranged(interval: Interval) -> str:
    """What is no share: 0.42 (0.31 to 0.53)."""
    return f"{number(interval.value)} ({number(interval.low)} to {number(interval.high)})"


def direction(interval: Interval, even: float = 0.5) -> Direction:
    if interval.low > even:
        return "above"
    return "below" if interval.high < even else "open"


def apart(one: Interval, other: Interval) -> bool:
    """Intervals that do not touch: a cautious sign of a real difference."""
    return one.low > other.high or other.low > one.high


def no_better(interval: Interval, chance: float) -> bool:
    """Surely at chance, or so near that it does not matter. Of few labels neither this nor its contrary is shown."""
    return interval.high < chance + NEAR


def asked(results: Results, *keys: str) -> int | None:
    """How many people compared these pairs, at the fewest; None where nobody counted."""
    pairings = results.preference.pairings if results.preference else ()
    return min((one.labelers for one in pairings if one.judge == "people" and one.key in keys), default=None)


def people(results: Results, *keys: str) -> str:
    """People; of few their number."""
    count = asked(results, *keys)
    return "people" if not count or count >= FEW else "one person" if count == 1 else f"{count} people"


def plural(count: int, what: str) -> str:
    """3 labelers, 1 labeler."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def learned(data: ReportData) -> list[str]:
    """By what models learned here."""
    return [kind for kind in LEARNT if kind in data.machine]


def story(data: ReportData) -> str:
    """What happened, of what happened here alone."""
    counts, kinds = data.counts, learned(data)
    taught = plural(counts.demonstrations, "answer") if counts.demonstrations else "answers"
    ranked = plural(counts.rankings, "ranking") if counts.rankings else "rankings"
    mixed = "; PPO-ptx is the same, mixed with pretraining text so that it forgets less"
    told = {
        "sft": f"A base model was fine-tuned on {taught} that people wrote (SFT).",
        "reward": f"A reward model learned what people prefer from {ranked} of sampled answers.",
        "ppo": "PPO then trained the model to please the reward model"
        + (f"{mixed}." if "ppo_ptx" in data.results.models else "."),
    }
    said = [told[kind] for kind in kinds if kind in told]
    if others := [kind.upper() for kind in kinds if kind not in (*told, "start")]:
        said.append(f"A model learned from what people prefer by {listed(others)}.")
    return " ".join(said) or "No model was trained in this project: what is told is what people said of answers."


def main_win_rates(results: Results) -> tuple[dict[str, Interval], str]:
    """Gold where the truth is known, else what people said."""
    return (results.gold_win_rate, "the truth") if results.gold_win_rate else (results.human_win_rate, "people")


def versus(key: str) -> str:
    """PPO over SFT."""
    return " over ".join(map(name_of, pair(key)))


def few_pairs(keys: Collection[str], baseline: str | None) -> list[str]:
    """Of which to speak: all, or of many those with the baseline."""
    if len(keys) <= MANY or baseline is None:
        return [*keys]
    return [key for key in keys if baseline in pair(key)]


def comparison(key: str, interval: Interval, judge: str) -> str:
    """One pair of models in a sentence."""
    model, against = (name_of(each) for each in pair(key))
    seen = f"{span(interval)} by {judge}"
    match direction(interval):
        case "above":
            return f"{model} is preferred to {against}: {seen}."
        case "below":
            return f"{model} is preferred less than {against}: {seen}."
        case "open":
            return f"Between {model} and {against} no difference is shown: {seen}."


# Captions, figure by figure


def preference(data: ReportData) -> list[str]:
    gold, human = data.results.gold_win_rate, data.results.human_win_rate
    said = []
    baseline = data.results.preference.baseline if data.results.preference else None
    for key in few_pairs(dict.fromkeys((*gold, *human)), baseline):
        if key in gold and key in human:
            said.append(_both(key, gold[key], human[key], people(data.results, key)))
        elif key in gold:
            said.append(comparison(key, gold[key], "the truth"))
        else:
            said.append(comparison(key, human[key], people(data.results, key)))
    found = data.results.verdict_agreement
    if found is not None:
        said.append(
            f"Two who compared the same answers say the same of {span(found)} of these pairs; guessing would reach "
            f"{percent(found.chance)}."
        )
    return said


def _both(key: str, gold: Interval, human: Interval, who: str) -> str:
    if direction(gold) == direction(human):
        return comparison(key, gold, "the truth").removesuffix(".") + f", {span(human)} by {who}."
    model, against = (name_of(each) for each in pair(key))
    return (
        f"On {model} against {against} the judges differ: {span(gold)} by the truth ({_plain(gold)}), "
        f"{span(human)} by {who} ({_plain(human)})."
    )


def _plain(interval: Interval) -> str:
    return {"above": "preferred", "below": "not preferred", "open": "no difference shown"}[direction(interval)]


def labels(data: ReportData) -> list[str]:
    agreement, accuracy = data.results.agreement, data.results.reward_accuracy
    both = data.results.verdict_agreement
    if agreement is None:
        said = [f"Whether labelers agree{' on rankings' if both else ''} is {UNMEASURED}."]
        said += [f"On verdicts two of them do in {span(both)}."] if both else []
    else:
        chance = percent(agreement.chance)
        said = [
            f"Two {who_agree(data.results)} say the same of {span(agreement)} of pairs; guessing would reach {chance}."
        ]
        if agreement.word != "above chance":
            said.append(
                "That is no better than chance, so no reward model can learn from them."
                if no_better(agreement, agreement.chance)
                else "That they agree better than chance is not shown: more prompts ranked by two people would tell."
            )
    for key, who in RANKED_BY.items():
        if key in accuracy:
            said.append(f"The reward model foresees {who} on {span(accuracy[key])} of pairs.")
    said += _against_agreement(agreement, accuracy.get("train_labelers"))
    if len(accuracy) == 2:
        said.append(_held_out(accuracy["train_labelers"], accuracy["held_out_labelers"]))
    if data.results.folds is not None:
        said.append(_folded(data.results.folds))
    if data.reward_ceiling is not None:
        said.append(
            f"The truth itself, the most that a reward model could learn, foresees them on {span(data.reward_ceiling)}."
        )
    return said


def who_agree(results: Results) -> str:
    """Whom the one number of agreement is of, where several groups were counted."""
    groups = [one.who for one in results.agreements if one.half == results.agreement]
    return groups[0] if groups and len(results.agreements) > 1 else "labelers"


def _against_agreement(agreement: Agreement | None, accuracy: Interval | None) -> list[str]:
    if accuracy is None or (agreement is not None and agreement.word != "above chance"):
        return []
    if direction(accuracy) != "above":
        firm = no_better(accuracy, 0.5)
        told = "That is no better than a coin" if firm else "That it is better than a coin is not shown"
        return [f"{told}: do not optimise against it."]
    if agreement is None:
        return []
    gap = accuracy.value - agreement.value
    if not apart(accuracy, agreement):
        alike = max(accuracy.high - agreement.low, agreement.high - accuracy.low) < NEAR
        return [
            "It foresees a labeler about as well as another labeler does."
            if alike
            else "Whether it foresees a labeler better or worse than another labeler does is not clear."
        ]
    return [f"That is {points(gap)} {'above' if gap > 0 else 'below'} what labelers reach with one another."]


def _held_out(training: Interval, held_out: Interval) -> str:
    if not apart(training, held_out):
        return "The two intervals overlap: it does not clearly fit its own labelers better than others."
    if held_out.value < training.value:
        return "It fits the labelers that it learned from better than others."
    return "It foresees held-out labelers better than its own, as it may when they agree more with one another."


def _folded(found: Folds) -> str:
    """The paper's own question (section 4.1): does it foresee people whom it did not learn from?"""
    own, other = (f"{percent(i.value, 1)} ({between(i, 1)})" for i in (found.own_mean, found.held_out_mean))
    lost = found.own_mean.value - found.held_out_mean.value
    seen = f"Over {len(found.own)} folds of labelers: {own} on those that a model learnt from, {other} on the others"
    clear = apart(found.own_mean, found.held_out_mean)
    told = f"{points(lost)} {'less' if lost > 0 else 'more'}" if clear else "no difference is shown"
    return f"{seen}: {told}. In the paper 72.4 and 69.6{GAP}%: 2.8 points less."


def calibrated(data: ReportData) -> list[str]:
    found = data.calibration
    if found is None:
        return []
    wide = found.error_interval
    within = f"; {points(wide.low)} to {points(wide.high)}" if wide else ""
    said = [f"On average prediction and outcome lie {points(found.error)} apart (ECE{within})."]
    loud = [b for b in found.bins if b.observed.high < b.predicted]
    shy = [b for b in found.bins if b.observed.low > b.predicted]
    if loud:
        said.append(f"In {len(loud)} of {len(found.bins)} bands fewer come true than it foresees: too sure.")
    if shy:
        said.append(f"In {len(shy)} of {len(found.bins)} bands more come true than it foresees: too shy.")
    if not loud and not shy:
        said.append("In no band does the interval leave what was foreseen.")
    if data.doubt:
        knows = (
            f"the heads stand further apart on a wrong pair than on a right one {span(data.doubt.wrong)} of the time"
        )
        said.append(f"Of its ensemble, {knows}; that scores lie closer tells as much {span(data.doubt.closeness)}.")
    coin = 0.6931
    loss = found.log_loss
    rank = "better than" if loss.high < coin else "worse than" if loss.low > coin else "not clearly different from"
    told = f"{number(loss.value)} ({number(loss.low)}–{number(loss.high)}), {rank} a coin's 0.69"
    said.append(f"Log loss, which is large where it was sure and wrong: {told}.")
    return said


def training(data: ReportData) -> list[str]:
    said = []
    for curve in data.curves:
        proxy, kl = _smoothed(curve, curve.proxy), _smoothed(curve, curve.kl)
        moved = "rose" if proxy[-1] > proxy[0] else "fell"
        said.append(
            f"{name_of(curve.model)}: the reward model's score {moved} from {number(proxy[0])} to {number(proxy[-1])}, "
            f"and how far its answers are from the start model's (KL) reached {number(kl[-1])} nats an answer."
        )
    return [*said, "One run of each, so these curves carry no interval."]


def _smoothed(curve: Curve, values: tuple[float, ...]) -> list[float]:
    return smooth(values, window_of(len(curve.step)))


def window_of(steps: int) -> int:
    """How many points the drawn line averages over: a tenth of the run, odd."""
    return max(1, steps // 10 | 1)


def followed(data: ReportData) -> list[str]:
    """What became of gold from its best point to the last, by each way, and where the fit would have stopped."""
    said = []
    for one in data.results.followed:
        for way in one.ways:
            last = way.points[-1].at
            policy = way.kind == "policy"
            name, end = (name_of(one.run), f"iteration {last}") if policy else ("Best of n", f"n = {last}")
            changed = f"from its best point to {end} {one.gold}'s score"
            how_far = f"{number(abs(way.fall.value))} ({number(way.fall.low)} to {number(way.fall.high)})"
            risen = ranged(way.rise)
            if way.shown:
                said.append(
                    f"{name}: over-optimised: {changed} falls by {how_far} while that of {one.proxy}, which is "
                    f"followed, rises by {risen}."
                )
            elif way.fall.high < 0:
                said.append(f"{name}: {changed} falls by {how_far}, and {one.proxy} does not clearly see a gain.")
            else:
                said.append(f"{name}: no over-optimisation is seen: {changed} does not clearly fall.")
            peak = way.gold.peak if way.gold is not None else None
            if peak is not None and way.fall.high < 0:
                said.append(f"The curve fitted to {one.gold}'s score is highest at a KL of {number(peak.kl)} nats.")
    return [
        *said,
        "Reward models of the same labels err alike, so this may see too little. What people say of policies that were "
        "kept along the way is surer.",
    ]


def behaviour(data: ReportData) -> list[str]:
    """For every rate: the last model of the loop against the baseline on the same prompts, or else the first."""
    said = []
    found = data.results.preference
    for rate, by_model in data.rates.items():
        models = in_order(by_model)
        if len(models) < 2:
            continue
        first, last = models[0], models[-1]
        verb = RATE_NAMES.get(rate, (rate, f"shows {rate}"))[1]
        gap = found.differences.get(rate, {}).get(last) if found else None
        if found and gap and found.baseline in by_model:
            first, more, clear = found.baseline, gap.value > 0, direction(gap, 0.0) != "open"
            told = f", a difference of {signed_points(gap.value)} ({between(gap, 1)}) on the same prompts."
        else:
            more, clear = by_model[last].value > by_model[first].value, apart(by_model[last], by_model[first])
            told = "." if clear else "; the intervals overlap."
        said.append(
            f"{'' if clear else 'It is not clear that '}{name_of(last)} {verb} {'more' if more else 'less'} often than "
            f"{name_of(first)}: {short(by_model[last])} against {short(by_model[first])}{told}"
        )
    return said


def tax(data: ReportData) -> list[str]:
    repair = data.repair
    said = []
    if repair is None:
        means = [f"{name_of(model)} {span(data.tasks[model].mean)}" for model in in_order(data.tasks)]
        told = "What ptx gives back was not measured: that takes runs named ppo (gamma_ptx=0) and ppo_ptx."
        return [f"Mean score: {listed(means)}. {told}"]
    lost, regained = repair.lost, repair.regained
    match direction(lost, 0.0):
        case "above":
            said.append(f"PPO pays a tax: {points(lost.value)} ({between(lost, 1)}) below base on average.")
        case "below":
            said.append(f"PPO pays no tax: it is {points(lost.value)} ({between(lost, 1)} lost) above base on average.")
        case "open":
            said.append(f"PPO pays no clear tax: base minus PPO is {span(lost, 1)} on average.")
    if repair.share is not None:
        more = regained.low > 0
        said.append(
            f"PPO-ptx gives back {span(repair.share)} of it."
            if more
            else f"PPO-ptx does not clearly give any of it back: {span(repair.share)}."
        )
    rates, judge = main_win_rates(data.results)
    kept = rates.get("ppo_ptx_vs_sft")
    if kept is not None and direction(kept) == "above":
        said.append(f"It keeps the preference gain: {span(kept)} against SFT, by {judge}.")
    elif kept is not None:
        shown = "is not preferred" if direction(kept) == "below" else "is not shown to be preferred"
        said.append(f"But PPO-ptx {shown} to SFT: {span(kept)}, by {judge}.")
    if data.tax_rule == "sampled":
        said.append("Counted is the chance that an answer sampled at temperature 1 is right.")
    return said
