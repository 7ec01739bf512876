"""Does the reward model pay for length, and does PPO find out? Singhal et al. 2023."""

from collections.abc import Mapping, Sequence

from biddable.measure.interval import Interval
from biddable.measure.leaning import Leaning, leaning, words
from biddable.paper import followed
from biddable.paper.figure import Claim, Dots, Figure, Group, Value
from biddable.paper.followed import Along, over_iterations
from biddable.paper.plan import Job, Plan
from biddable.quickstart.gates import of, truth_scores
from biddable.records import Completion, Ranking, Score

THEIRS = "does not ask; Singhal et al. 2023: much of what RLHF gains goes with length, in three settings"


def stages(plan: Plan) -> list[Job]:
    return [job for run in (*followed.free(plan), *followed.held(plan).values()) for job in run.jobs]


def count(plan: Plan) -> Figure:
    place, scored = plan.file("rankings-valid"), plan.walk / "runs" / "scores"
    answers, rankings = of(Completion, place), of(Ranking, place)
    model = leaning(of(Score, scored / "scores.jsonl"), answers, rankings)
    truth = leaning(truth_scores(place), answers, rankings)
    free, held = followed.free(plan), followed.held(plan)
    folders = [scored, *(run.along.stage.folder for run in (*free, *held.values()))]
    runs = [_along(run) for run in free], {beta: _along(run) for beta, run in held.items()}
    return figure(model, truth, *runs).model_copy(update={"sources": plan.sources(*folders)})


def _along(run: followed.Run) -> Along:
    return followed.number_along(run, lambda c: float(words(c)))


def figure(model: Leaning, truth: Leaning, free: Sequence[Along], held: Mapping[float, Along]) -> Figure:
    """How the reward model and the truth lean, of the same answers, and how long policies' answers are."""
    styled = [("ppo", f"without a KL penalty, run {nth}", run) for nth, run in enumerate(free, start=1)]
    styled += [("ppo_ptx", f"with β = {beta:g}", run) for beta, run in held.items()]
    return Figure(
        name="length",
        title="Does the reward model pay for length?",
        paper=(
            "The paper prints lengths of demonstrations (Table 11) and does not ask. Singhal, Goyal, Xu and "
            "Durrett 2023 "
            "do, of open reward models: scores go with length, PPO makes answers longer, and much of what it gains "
            "is that.",
        ),
        tunnel=(
            "Scores and lengths in words of the answers that were ranked on held-out prompts, compared among "
            "answers to the "
            "same prompt. Which of two unlike long answers people preferred, which the reward model scores higher, and "
            "which is truly better. And the length of what policies said along the runs of the page on following a "
            "reward model.",
        ),
        claims=_claims(model, free),
        shows=(
            _preferred(model, truth),
            _correlations(model, truth),
            over_iterations("Words an answer along the way", "score", styled),
        ),
        differs=(
            "That longer answers score higher is no fault where they are better: so the truth, which knows what was "
            "asked for, stands beside. Hamlet's tasks want answers of a line or two.",
        ),
        hypothesis=(
            "Hamlet's answers are short and what is wrong with them is mostly what they say, so length tells a reward "
            "model little that people did not mean."
        ),
    )


def _claims(model: Leaning, free: Sequence[Along]) -> tuple[Claim, ...]:
    made = []
    if model.spearman is not None:
        made.append(Claim(
            text="The longer an answer, the higher its score.", theirs=THEIRS,
            measure="rank correlation of score and length among answers to one prompt", ours=model.spearman,
            expected="above", even=0.0, unit="score",
        ))  # fmt: skip
    if model.more is not None:
        made.append(Claim(
            text="It prefers the longer of two answers more often than people do.",
            theirs="does not ask; Singhal et al. 2023: reward models lean to length beyond what people prefer",
            measure="how often the longer is preferred, the model less people", ours=model.more,
            expected="above", even=0.0, unit="points",
        ))  # fmt: skip
    made.append(Claim(
        text="PPO without a KL penalty makes answers longer.", theirs=THEIRS,
        measure="words an answer, the last policies less the start", ours=followed.grown(free),
        expected="above", even=0.0, unit="score",
    ))  # fmt: skip
    return tuple(made)


def _preferred(model: Leaning, truth: Leaning) -> Dots:
    rows = {
        "The longer preferred, by people": ("people", "people", model.people),
        "… by the reward model": ("ours", "reward model", model.model),
        "… by the truth": ("gold", "the truth", truth.model),
        "Reward model right, people took the longer": ("ours", "reward model", model.right_longer),
        "… people took the shorter": ("ours", "reward model", model.right_shorter),
        "Truth right, people took the longer": ("gold", "the truth", truth.right_longer),
        "… the shorter": ("gold", "the truth", truth.right_shorter),
    }
    return Dots(title="Of two unlike long answers", unit="share", groups=_groups(rows), reference=(0.5, "either"))


def _correlations(model: Leaning, truth: Leaning) -> Dots:
    rows = {
        "Score, by ranks (Spearman)": ("ours", "reward model", model.spearman),
        "Score (Pearson)": ("ours", "reward model", model.pearson),
        "Truth, by ranks (Spearman)": ("gold", "the truth", truth.spearman),
        "Truth (Pearson)": ("gold", "the truth", truth.pearson),
    }
    return Dots(title="Correlation with length", unit="score", groups=_groups(rows), reference=(0.0, "none"))


def _groups(rows: Mapping[str, tuple[str, str, Interval | None]]) -> tuple[Group, ...]:
    return tuple(
        Group(label=label, values=(Value(style=style, name=name, found=found),))
        for label, (style, name, found) in rows.items()
        if found is not None
    )
