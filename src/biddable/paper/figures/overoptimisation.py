"""Section 3.5 and Fig. 36: how far a reward model may be followed before what it stands for falls."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from biddable.measure.followed import FITS_HEAD, fits, line, over_distance
from biddable.measure.interval import Interval
from biddable.measure.overoptimised import Overoptimised, Way, over_seeds, overoptimised
from biddable.paper import counting, followed
from biddable.paper.figure import Claim, Figure, Table
from biddable.paper.figures import scaling
from biddable.paper.followed import Along, grown, over_iterations
from biddable.paper.plan import Job, Plan
from biddable.quickstart.gates import of
from biddable.records import Ranking, Score

TOP = "β = 0 is poor (Fig. 36); Gao et al. 2023, Fig. 1: beyond a peak gold falls while the proxy rises"


class Ways(NamedTuple):
    """PPO without a penalty by several seeds, with one by β, and best of n by the number of rankings learnt from; and
    of the same runs which answers refuse."""

    free: Sequence[Way]
    held: Mapping[float, Way]
    best: Mapping[int, Way]
    free_refuse: Sequence[Along]
    held_refuse: Mapping[float, Along]


def weak(plan: Plan) -> dict[int, Job]:
    """Reward models of fewer rankings, which the page on scaling trains: how many → the first draw's."""
    trained = {job.stage.name: job for job in scaling.judges(plan)[1]}
    return {count: trained[f"judge-{count}-0"] for count in plan.config.scaling}


def judged(plan: Plan) -> dict[int, Job]:
    """How many rankings a reward model learnt from → its scores of the answers for best of n."""
    found = {count: followed.on_many(plan, f"judge-{count}", job.leaves) for count, job in weak(plan).items()}
    return found | {all_rankings(plan): followed.on_many(plan, "reward", plan.model("reward"))}


def all_rankings(plan: Plan) -> int:
    """How many rankings the walk's own reward model learnt from."""
    return len(of(Ranking, plan.file("rankings")))


def stages(plan: Plan) -> list[Job]:
    runs = [*followed.free(plan), *followed.held(plan).values()]
    return [
        *(job for one in runs for job in one.jobs), followed.many(plan), *weak(plan).values(),
        *judged(plan).values(),
    ]  # fmt: skip


def count(plan: Plan) -> Figure:
    free, held, best = followed.free(plan), followed.held(plan), judged(plan)
    ways = Ways(
        [followed.way(plan, one) for one in free],
        {beta: followed.way(plan, one) for beta, one in held.items()},
        {learnt: followed.best(plan, of(Score, job.leaves)) for learnt, job in best.items()},
        [followed.refusals(plan, one) for one in free],
        {beta: followed.refusals(plan, one) for beta, one in held.items()},
    )
    folders = [job.stage.folder for one in (*free, *held.values()) for job in one.jobs]
    folders += [job.stage.folder for job in (followed.many(plan), *best.values())]
    return figure(ways).model_copy(update={"sources": plan.sources(*folders)})


def figure(ways: Ways) -> Figure:
    free = [overoptimised(way) for way in ways.free]
    held = {beta: overoptimised(way) for beta, way in ways.held.items()}
    best = {learnt: overoptimised(way) for learnt, way in ways.best.items()}
    most = max(best)
    named = {f"without a KL penalty, run {nth}": one for nth, one in enumerate(free, start=1)}
    named |= {f"with β = {beta:g}": one for beta, one in held.items()}
    styled = [("ppo", name, one) for name, one in named.items() if "without" in name]
    styled += [("ppo_ptx", name, one) for name, one in named.items() if "without" not in name]
    styled += [("ours", "best of n", best[most])]
    of_n = {f"best of n, {learnt:,} rankings": one for learnt, one in best.items()}
    colours = itertools.cycle(("base", "sft", "ppo", "ppo_ptx"))
    refuse = [("ppo", name, one) for name, one in zip(named, ways.free_refuse, strict=False)]
    refuse += [("ppo_ptx", f"with β = {beta:g}", one) for beta, one in ways.held_refuse.items()]
    by_labels = [
        ("ours" if learnt == most else next(colours), f"{learnt:,} rankings", one) for learnt, one in best.items()
    ]
    return Figure(
        name="overoptimisation",
        title="Section 3.5. How far a reward model may be followed",
        paper=(
            "A KL penalty a token is in PPO's reward “to mitigate over-optimization of the reward model” (section "
            "3.5). β = 0 and β = 2 are both poor, 0.01 to 0.02 best (Fig. 36, with ptx). It prints no curve of "
            "what happens "
            "without: Gao, Schulman and Hilton 2023 do, with d = √KL from the start: the truth follows d(α − β d) for "
            "best of n and d(α − β log d) for RL, and falls beyond a peak while the reward model sees nothing but "
            "gain.",
        ),
        tunnel=(
            f"PPO without pretraining text from the walk's start model against its reward model, {len(free)} "
            f"run{'s' if len(free) > 1 else ''} without a KL penalty and {len(held)} with one, policies kept along "
            f"the way; and best of n up to {best[most].points[-1].at} answers of the start model. Each policy "
            "answered the test prompts; the reward model scored the answers, and the truth says what they are worth. "
            "Gains are over the start's answers to the same prompts.",
            *_shown(free),
        ),
        claims=_claims(ways, best),
        shows=(
            over_distance("What it is worth, by the truth", (line(*one, "gold") for one in styled)),
            over_distance("What the reward model says", (line(*one, "proxy") for one in styled)),
            over_distance(
                "Best of n by the truth, by reward models of fewer and of all rankings",
                (line(*one, "gold") for one in by_labels),
            ),
            over_iterations("Answers that refuse", "share", refuse),
            Table(title="The fits", head=FITS_HEAD, rows=tuple(map(tuple, fits(named | of_n)))),
        ),
        differs=(
            "Gao et al. train on what a large reward model says and take that for the truth; here the truth is "
            "known and "
            "the reward model learnt from people who stray from it. Runs are short and models small, so the KL is "
            "of tens of nats on answers of some twenty tokens.",
            "The KL of best of n is log n − (n−1)/n, which is a bound from above where answers score alike.",
        ),
        hypothesis=(
            "Best of so few answers stays near its start, where the reward model is mostly right; and a run that ends "
            "before the peak has nothing to lose yet."
        ),
    )


def _shown(free: Sequence[Overoptimised]) -> list[str]:
    """Which of the runs show it by themselves, each told; no average hides one that does not."""
    alone = sum(one.shown for one in free)
    return [
        f"By themselves {alone} of {len(free)} runs without a penalty show gold falling and the proxy rising, each "
        f"with "
        "an interval that excludes none."
    ]


def _claims(ways: Ways, best: Mapping[int, Overoptimised]) -> tuple[Claim, ...]:
    fall, rise = over_seeds(ways.free)
    few, most = min(best), max(best)
    made = [
        _claim("Without a KL penalty what answers are worth falls in the end.", TOP,
               "the truth, from its best point to the last", fall, "below"),
        _claim("The reward model sees the opposite.", TOP,
               "its score, from the truth's best point to the last", rise, "above"),
    ]  # fmt: skip
    for beta, way in ways.held.items():
        without_P = sum(one.gold_PK[:, -1] for one in ways.free) / len(ways.free)
        made.append(_claim(
            f"A KL penalty holds it back, at β = {beta:g}.", "it is there to mitigate over-optimization (section 3.5)",
            "the truth at the end, with the penalty less without",
            counting.mean(way.gold_PK[:, -1] - without_P, way.prompts), "above",
        ))  # fmt: skip
    made.append(Claim(
        text="What such a run finds is to hedge: it refuses what it could answer.",
        theirs="over-hedging simple questions is among its models' mistakes (section 4.3)",
        measure="answers that refuse, the last policies less the start", ours=grown(ways.free_refuse),
        expected="above", even=0.0, unit="points",
    ))  # fmt: skip
    if few < most:
        gain_P = ways.best[most].gold_PK[:, -1] - ways.best[few].gold_PK[:, -1]
        made.append(_claim(
            "A reward model of more rankings can be followed to more.",
            "prints none; Gao et al. 2023: more comparisons, more gold and less over-optimisation",
            f"the truth of the best of {ways.best[most].at[-1]}, {most:,} rankings less {few:,}",
            counting.mean(gain_P, ways.best[most].prompts), "above",
        ))  # fmt: skip
    return tuple(made)


def _claim(text: str, theirs: str, measure: str, ours: Interval, expected) -> Claim:
    return Claim(text=text, theirs=theirs, measure=measure, ours=ours, expected=expected, even=0.0, unit="score")
