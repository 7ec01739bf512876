"""Section 3.5, footnote 5: pairs of one ranking in one batch element, against the same pairs shuffled loose."""

from typing import NamedTuple

import numpy as np

from biddable.measure.interval import Interval
from biddable.measure.plots import Line, Plot, Point, Unit
from biddable.measure.reward import Margins, accuracy, log_loss, margins
from biddable.paper import counting, rankings
from biddable.paper.figure import Claim, Figure
from biddable.paper.plan import Job, Plan
from biddable.paper.policies import of_recipe
from biddable.quickstart.gates import named, of
from biddable.records import Ranking, Score

NAMES = {"whole": "whole rankings", "loose": "loose pairs"}
STYLES = {"whole": "ours", "loose": "ppo"}


class Trained(NamedTuple):
    """A reward model and its scores of the held-out rankings."""

    model: Job
    scores: Job


def trained(plan: Plan) -> dict[tuple[str, int], Trained]:
    """(whole or loose, epochs) → the model. Loose pairs come in batches of as many pairs as a batch of rankings has."""
    chosen = rankings.some(plan.file("rankings"), plan.config.reward_rankings)
    pairs = sum(len(list(one.comparisons())) for one in chosen) / len(chosen)
    batch = round(of_recipe(plan, "reward", "batch", 64) * pairs)
    found = {}
    for how in NAMES:
        for epochs in plan.config.reward_epochs:
            name, file = f"{how}-{epochs}", plan.runs / "files" / f"rankings-{how}.jsonl"
            given = {"model": plan.model("sft"), "demos": plan.file("demos"), "rankings": file}
            words = [f"epochs={epochs}", *([f"batch={batch}"] if how == "loose" else [])]
            seconds = epochs * len(chosen) * (0.02 if how == "whole" else 0.09)
            model = plan.job("reward", name, given, *words, seconds=seconds)
            asked = {"model": model.leaves, "completions": plan.file("rankings-valid")}
            found[how, epochs] = Trained(model, plan.job("score", f"{name}-scores", asked, seconds=4))
    return found


def stages(plan: Plan) -> list[Job]:
    place = plan.file("rankings")
    chosen = rankings.some(place, plan.config.reward_rankings)
    plan.write("rankings-whole", named(place, chosen))
    plan.write("rankings-loose", [*named(place, chosen)[: -len(chosen)], *rankings.loose(chosen)])
    return [job for one in trained(plan).values() for job in one]


def count(plan: Plan) -> Figure:
    several, held = trained(plan), of(Ranking, plan.file("rankings-valid"))
    found = {key: margins(of(Score, one.scores.leaves), held) for key, one in several.items()}
    folders = [job.stage.folder for one in several.values() for job in one]
    return figure(found, plan.config.reward_rankings).model_copy(update={"sources": plan.sources(*folders)})


def figure(found: dict[tuple[str, int], Margins], learnt: int) -> Figure:
    """(whole or loose, epochs) → its margins on the same held-out pairs."""
    first, last = (end(epochs for _, epochs in found) for end in (min, max))
    claims = (
        Claim(
            text="One pass over loose pairs already overfits; whole rankings foresee new ones better.",
            theirs="loose pairs overfit in a single epoch; groups improve accuracy and log loss (section 3.5)",
            measure=f"log loss, loose pairs less whole rankings, {first} epoch{'s' if first > 1 else ''}",
            ours=_less(found, ("loose", first), ("whole", first), "loss"), expected="above", even=0.0, unit="score",
        ),
        Claim(
            text="By accuracy too.", theirs="groups improve validation accuracy (section 3.5, footnote 5)",
            measure="accuracy, whole rankings less loose pairs, as often read",
            ours=_less(found, ("whole", first), ("loose", first), "right"), expected="above", even=0.0, unit="points",
        ),
        Claim(
            text="More than one epoch soon overfits, whole rankings too.",
            theirs="more than one epoch quickly overfits, visibly worse validation loss (App. C.2)",
            measure=f"log loss of whole rankings, {last} epochs less {first}",
            ours=_less(found, ("whole", last), ("whole", first), "loss"), expected="above", even=0.0, unit="score",
        ),
    )  # fmt: skip
    return Figure(
        name="epochs_reward",
        title="Section 3.5. Whole rankings, loose pairs, and the reward model's epochs",
        paper=(
            "Pairs of one ranking are alike. Shuffled into one data set each answer is in up to K − 1 updates, and "
            "one pass over them made the reward model overfit. All pairs of a ranking as one batch element need one "
            "reading of each answer, no longer overfit, and improve accuracy and log loss (section 3.5, footnote 5). "
            "More than one epoch overfits quickly (App. C.2).",
        ),
        tunnel=(
            f"Reward models that learnt from {learnt:,} of the walk's rankings, whole, or as loose strict pairs in "
            "shuffled batches of as many pairs, so that an epoch has as many updates either way. Each number of "
            "epochs is a run of its own. Held-out rankings are the same for all. A coin has a log loss of 0.69.",
        ),
        claims=claims,
        shows=(
            _plot("Log loss on held-out pairs", "score", {key: log_loss(one) for key, one in found.items()}),
            _plot("Accuracy on held-out pairs", "share", {key: accuracy(one) for key, one in found.items()}),
        ),
        differs=(
            "The paper ranks 4 to 9 answers alike; the walk has 5 on average, since answers of the same words are "
            "shown once, so an answer is in fewer loose pairs. Loose pairs weigh each pair alike, whole rankings "
            "each prompt.",
        ),
        hypothesis=(
            "A reward model of a million parameters learning from hundreds of rankings is still far from having read "
            "enough to remember them, where the paper's six billion remembered at once: then more reading is more "
            "learning."
        ),
    )


def _less(found: dict[tuple[str, int], Margins], one: tuple[str, int], other: tuple[str, int], what: str) -> Interval:
    """The first's loss, or share of right pairs, less the second's on the same pairs."""
    values = [
        np.logaddexp(0, -found[key].margin_N) if what == "loss" else (found[key].margin_N > 0).astype(float)
        for key in (one, other)
    ]
    return counting.mean(values[0] - values[1], found[one].prompts)


def _plot(title: str, unit: Unit, by_key: dict[tuple[str, int], Interval]) -> Plot:
    lines = tuple(
        Line(
            style=STYLES[how],
            name=name,
            points=tuple(Point(x=epochs, found=found) for (of_how, epochs), found in by_key.items() if of_how == how),
        )
        for how, name in NAMES.items()
    )
    return Plot(title=title, x_name="epochs of the reward model", unit=unit, lines=lines, logarithmic=True)
