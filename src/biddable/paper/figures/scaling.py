"""How the reward model grows with the number of rankings. Not in the paper itself; Stiennon et al. 2020 have it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from biddable.measure.interval import FREE, Floats, Interval, bootstrap
from biddable.measure.plots import Line, Plot, Point
from biddable.measure.reward import Margins, margins
from biddable.paper import rankings
from biddable.paper.figure import Claim, Figure
from biddable.paper.plan import Job, Plan
from biddable.quickstart.gates import ceiling, named, of
from biddable.records import Ranking, Score


def judges(plan: Plan) -> tuple[dict[int, list[Job]], list[Job]]:
    """How many rankings → the jobs that score the held-out ones, a draw each; and those that train."""
    scored, trained = {}, []
    for count in plan.config.scaling:
        scored[count] = []
        for draw in range(plan.config.draws):
            file = plan.runs / "files" / f"rankings-{count}-{draw}.jsonl"
            given = {"model": plan.model("sft"), "demos": plan.file("demos"), "rankings": file}
            judge = plan.job("reward", f"judge-{count}-{draw}", given, seconds=4 + 0.02 * count)
            asked = {"model": judge.leaves, "completions": plan.file("rankings-valid")}
            trained.append(judge)
            scored[count].append(plan.job("score", f"judge-{count}-{draw}-scores", asked, seconds=4))
    return scored, trained


def stages(plan: Plan) -> list[Job]:
    ranked = plan.file("rankings")
    for count in plan.config.scaling:
        for draw in range(plan.config.draws):
            chosen = rankings.some(ranked, count, draw)
            plan.write(f"rankings-{count}-{draw}", named(ranked, chosen))
    scored, trained = judges(plan)
    return [*trained, *(job for jobs in scored.values() for job in jobs)]


def count(plan: Plan) -> Figure:
    scored, _ = judges(plan)
    held = plan.file("rankings-valid")
    places = {number: [job.leaves for job in jobs] for number, jobs in scored.items()}
    places[len(of(Ranking, plan.file("rankings")))] = [plan.walk / "runs" / "scores" / "scores.jsonl"]
    asked = of(Ranking, held)
    right = {number: _right(some, asked) for number, some in sorted(places.items())}
    folders = [place.parent for some in places.values() for place in some]
    pairs = margins(of(Score, next(iter(places.values()))[0]), asked)
    return figure(right, pairs, ceiling(held)).model_copy(update={"sources": plan.sources(*folders)})


def _right(places: list[Path], asked: list[Ranking]) -> Floats:
    """For each strict pair, the share of the draws' models that are right about it."""
    return np.mean([margins(of(Score, place), asked).margin_N > 0 for place in places], axis=0)


def slope(right: Mapping[int, Floats], pairs: Margins) -> Interval:
    """Accuracy that a doubling adds: least squares over log₂ n, which is one sum a pair."""
    x_J = np.log2(list(right))
    weight_J = (x_J - x_J.mean()) / ((x_J - x_J.mean()) ** 2).sum()
    return bootstrap(weight_J @ np.stack(list(right.values())), pairs.prompts, bounds=FREE)


def figure(right: Mapping[int, Floats], pairs: Margins, best: Interval) -> Figure:
    """How many rankings → which strict pairs the models are right about."""
    points = tuple(Point(x=number, found=bootstrap(one, pairs.prompts)) for number, one in right.items())
    claim = Claim(
        text="More rankings make a better reward model.",
        theirs="+1.1 points a doubling (Stiennon et al. 2020, section 4.3; summaries, not this paper)",
        measure="points of accuracy a doubling",
        ours=slope(right, pairs),
        expected="above",
        even=0.0,
        unit="points",
    )
    return Figure(
        name="scaling",
        title="The reward model and the number of rankings",
        paper=(
            "The paper trains on all it has, 33,207 prompts, and prints no curve. Its predecessor does: doubling the "
            "data added about 1.1 points of accuracy on held-out comparisons (Stiennon et al. 2020, section 4.3).",
        ),
        tunnel=(
            "Reward models that learnt from part of the walk's rankings, drawn by lot, one epoch each, asked about "
            "the same held-out rankings by labelers of both groups. The line at the top is how often the truth "
            "itself foresees them: people stray, so nobody does better for long.",
        ),
        claims=(claim,),
        shows=(
            Plot(
                title="Accuracy on held-out rankings", x_name="rankings learnt from", unit="share", logarithmic=True,
                lines=(Line(style="ours", name="reward model", points=points),),
                reference=(best.value, "the truth itself"),
            ),
        ),
        differs=(
            "Intervals speak of other prompts, not of other draws of the rankings that were learnt from.",
        ),
        hypothesis="With few rankings there are few updates as well, since each is read once.",
    )  # fmt: skip
