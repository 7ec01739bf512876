"""Several reward models instead of one: are they harder to fool? Coste, Anwar, Kirk and Krueger 2024."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from biddable.measure.ensemble import together
from biddable.measure.followed import line, over_distance
from biddable.measure.interval import Interval
from biddable.measure.overoptimised import Changes, Way, changes, over_runs, overoptimised
from biddable.measure.plots import Unit
from biddable.measure.reward import Doubt, Margins, doubt, margins
from biddable.paper import counting, followed
from biddable.paper.figure import Claim, Dots, Figure, Group, Value
from biddable.paper.plan import Job, Plan
from biddable.quickstart.gates import of
from biddable.records import Ranking, Score

CAUTION = 1.0  # c in mean − c·spread
HOW = {"mean": "their mean", "careful": "mean less spread", "worst": "the worst of them"}


class Asked(NamedTuple):
    """One reward model's scores of the answers for best of n, of the held-out rankings, and of what the runs without a
    KL penalty said along their way."""

    best: Job
    ranked: Job
    along: list[Job]

    @property
    def jobs(self) -> list[Job]:
        return [self.best, self.ranked, *self.along]


def asked(plan: Plan) -> list[Asked]:
    """The walk's model first."""
    models = {"reward": plan.model("reward")} | {job.stage.name: job.leaves for job in followed.others(plan)}
    return [
        Asked(
            followed.on_many(plan, name, model),
            followed.scored(plan, f"ranked-{name}", model, plan.file("rankings-valid"), apart=False),
            [
                followed.scored(plan, f"{run.along.stage.name}-{name}", model, run.along.leaves)
                for run in followed.free(plan)
            ],
        )
        for name, model in models.items()
    ]


def stages(plan: Plan) -> list[Job]:
    runs = [job for run in followed.free(plan) for job in run.jobs]
    return [*runs, followed.many(plan), *followed.others(plan), *(job for one in asked(plan) for job in one.jobs)]


class Found(NamedTuple):
    """Best of n by each model and by all of them, margins of the held-out rankings by the same, and how of each
    run the second opinions, and the spread, changed from the truth's best point to the end."""

    single: Sequence[Way]
    several: Mapping[str, Way]
    alone: Sequence[Margins]
    all: Margins
    second: Sequence[Changes]
    apart: Sequence[Changes]


def count(plan: Plan) -> Figure:
    several = asked(plan)
    best = [of(Score, one.best.leaves) for one in several]
    held = of(Ranking, plan.file("rankings-valid"))
    ranked = [of(Score, one.ranked.leaves) for one in several]
    along = [
        (run, [of(Score, one.along[nth].leaves) for one in several]) for nth, run in enumerate(followed.free(plan))
    ]
    found = Found(
        [followed.best(plan, scores) for scores in best],
        {name: followed.best(plan, scores) for name, scores in combined(best).items()},
        [margins(scores, held) for scores in ranked],
        margins(together(ranked, run_id="all"), held),
        [changes(followed.way(plan, run, _mean_of(scores[1:]))) for run, scores in along],
        [changes(followed.way(plan, run, _spread(scores))) for run, scores in along],
    )
    folders = [job.stage.folder for one in several for job in one.jobs]
    return figure(found).model_copy(update={"sources": plan.sources(*folders)})


def combined(models: Sequence[Sequence[Score]]) -> dict[str, list[Score]]:
    """Their scores as one, in each of the ways."""
    return {
        "mean": together(models, run_id="mean"),
        "careful": together(models, run_id="careful", c=CAUTION),
        "worst": together(models, run_id="worst", worst=True),
    }


def _mean_of(models: Sequence[Sequence[Score]]) -> Sequence[Score]:
    return together(models, run_id="others") if len(models) > 1 else models[0]


def _spread(models: Sequence[Sequence[Score]]) -> list[Score]:
    """How far the models stand apart on each answer, as if that were a score."""
    apart = together(models, run_id="spread")
    return [one.model_copy(update={"value": one.spread}) for one in apart]


def figure(found: Found) -> Figure:
    best = {name: overoptimised(way) for name, way in found.several.items()}
    lone = [overoptimised(way) for way in found.single]
    most, models = found.single[0].at[-1], len(found.single)
    known = doubt(found.all)
    styled = [("people", f"model {nth} alone", one) for nth, one in enumerate(lone, start=1)]
    styled += [(style, HOW[name], best[name]) for style, name in (("ours", "mean"), ("ppo", "careful"))]
    groups = [_group(f"Model {nth} alone", way) for nth, way in enumerate(found.single, start=1)]
    groups += [_group(HOW[name].capitalize(), way) for name, way in found.several.items()]
    return Figure(
        name="ensemble",
        title="Several reward models instead of one",
        paper=(
            "The paper trains one reward model. Coste, Anwar, Kirk and Krueger 2024 train several from different "
            "seeds and "
            "optimise their mean less what they differ by, or the worst of them: best of n then hardly "
            "over-optimises, and "
            "PPO with a small KL penalty not at all.",
        ),
        tunnel=(
            f"{models} whole reward models of the walk's rankings by as many seeds, the walk's own among them. "
            f"They chose "
            f"among {most} answers of PPO's start to each test prompt, each by itself and all as one; they foresaw "
            "held-out rankings; and they were asked, as second opinions, about the runs without a KL penalty, "
            "which were "
            "trained against the first of them.",
        ),
        claims=_claims(found, most, known),
        shows=(
            over_distance("Best of n by the truth", (line(*one, "gold") for one in styled)),
            Dots(title=f"Best of {most} over a lone answer, by the truth", unit="score", groups=tuple(groups)),
            _doubts(known),
        ),
        differs=(
            "All models start from the same SFT model and read the same rankings; what differs is their heads, the "
            "layers "
            "on top and the order of the data. PPO here takes one reward model (of several heads, if asked), so the "
            "ensemble chooses among answers and trains no policy.",
        ),
        hypothesis=(
            "What these models misread they misread alike: they began from one SFT model and learnt from the same "
            "people, "
            "so their spread is small where all are wrong, and a second opinion is hardly a second one."
        ),
    )  # fmt: skip


def _claims(found: Found, most: int, known: Doubt) -> tuple[Claim, ...]:
    prompts = found.single[0].prompts
    lone_P = sum(way.gold_PK[:, -1] for way in found.single) / len(found.single)
    careful = counting.mean(found.several["careful"].gold_PK[:, -1] - lone_P, prompts)
    worst = counting.mean(found.several["worst"].gold_PK[:, -1] - lone_P, prompts)
    single_N = np.mean([pairs.margin_N > 0 for pairs in found.alone], axis=0)
    right = counting.mean((found.all.margin_N > 0) - single_N, found.all.prompts)
    (_, seconds), (_, parted) = over_runs(found.second), over_runs(found.apart)
    coste = "trains one; Coste et al. 2024: an ensemble's best of n is better than a single model's"
    return (
        _claim("A careful ensemble chooses better answers than one model.", coste,
               f"the truth of the best of {most}, mean less spread, less single models", careful, "above"),
        _claim("So does taking the worst of their scores.", coste,
               f"the truth of the best of {most}, the worst, less single models", worst, "above"),
        _claim("Together they foresee people better.", "trains one model, and prints nothing of several",
               "accuracy on held-out pairs, their mean less single models", right, "above", "points"),
        Claim(text="Their spread knows where they err.", theirs="trains one model; Coste et al. 2024 rest on it",
              measure="a pair foreseen wrongly has more spread than one foreseen rightly", ours=known.wrong,
              expected="above", even=0.5),
        _claim("Second opinions fall where the truth does, while the model that is followed goes on rising.",
               "trains one model; Coste et al. 2024: models of other seeds do not share its errors",
               "their score of runs without a penalty, from the truth's best point to the last", seconds, "below"),
        _claim("The models part where one of them is followed too far.", "trains one; Coste et al. 2024 rest on it",
               "spread of their scores, from the truth's best point to the last", parted, "above"),
    )  # fmt: skip


def _claim(text: str, theirs: str, measure: str, ours: Interval, expected, unit: Unit = "score") -> Claim:
    return Claim(text=text, theirs=theirs, measure=measure, ours=ours, expected=expected, even=0.0, unit=unit)


def _group(label: str, way: Way) -> Group:
    gain = counting.mean(way.gold_PK[:, -1], way.prompts)
    return Group(label=label, values=(Value(style="gold", name="the truth", found=gain),))


def _doubts(known: Doubt) -> Dots:
    told = {"The spread of the models": known.wrong, "How close their mean's two scores are": known.closeness}
    groups = tuple(
        Group(label=text, values=(Value(style="ours", name=text, found=found),)) for text, found in told.items()
    )
    return Dots(
        title="What tells pairs that are foreseen wrongly from those that are foreseen rightly", unit="share",
        groups=groups, reference=(0.5, "nothing"),
    )  # fmt: skip
