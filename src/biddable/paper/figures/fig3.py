"""Fig. 3: who is preferred, by labelers who made the training data and by those who did not."""

import numpy as np

from biddable.measure import winrate
from biddable.measure.interval import Interval
from biddable.paper import counting
from biddable.paper.figure import Claim, Dots, Figure, Group, Value
from biddable.paper.plan import Job, Plan
from biddable.paper.policies import final
from biddable.quickstart.gates import of
from biddable.records import Completion, Labeler, Verdict
from biddable.records import Group as People

MODELS = {"base": "base", "ppo": "PPO", "ppo_ptx": "PPO-ptx"}  # against SFT
LEVEL = 0.05


def stages(_plan: Plan) -> list[Job]:
    """The walk has done them."""
    return []


def count(plan: Plan) -> Figure:
    groups = {person.id: person.group for person in of(Labeler, plan.file("verdicts"))}
    models = winrate.models_of(of(Completion, final(plan)))
    found = figure(of(Verdict, plan.file("verdicts")), models, groups)
    return found.model_copy(update={"sources": plan.sources(final(plan).parent)})


def figure(said: list[Verdict], models: dict[str, str], groups: dict[str, People]) -> Figure:
    def rate(model: str, against: str, who: People) -> Interval:
        return winrate.win_rate(said, models, model, against, judge="person", group=who, groups=groups)

    claims = (
        Claim(
            text="Labelers who made none of the training data prefer InstructGPT to the base model as well.",
            theirs="85 ± 3 % over 175B GPT-3, all labelers (section 1); held-out ones at about the same rate (4.1)",
            measure="PPO-ptx over base, held-out labelers", ours=rate("ppo_ptx", "base", "held_out"), expected="above",
        ),
        Claim(
            text="At about the same rate as the training labelers do.",
            theirs="held-out labelers prefer at about the same rate (section 4.1)",
            measure="PPO-ptx over base, training less held-out labelers, within 5 points",
            ours=difference(said, models, groups, "ppo_ptx", "base"),
            expected="level", even=0.0, margin=LEVEL, unit="points",
        ),
        Claim(
            text="And to SFT.", theirs="73.4 ± 2 % over 175B SFT, all labelers (section 1)",
            measure="PPO-ptx over SFT, held-out labelers", ours=rate("ppo_ptx", "sft", "held_out"), expected="above",
        ),
    )  # fmt: skip
    rows = tuple(
        Group(
            label=f"{name} over SFT",
            values=(
                Value(style="people", name="training labelers", found=rate(model, "sft", "training")),
                Value(style="ours", name="held-out labelers", found=rate(model, "sft", "held_out")),
                Value(style="gold", name="the truth", found=winrate.win_rate(said, models, model, "sft", judge="gold")),
            ),
        )
        for model, name in MODELS.items()
        if _met(said, models, model)
    )
    return Figure(
        name="fig3",
        title="Fig. 3. Labelers who made the training data, and others",
        paper=(
            "Win rates over 175B SFT, by labelers whose demonstrations and rankings the models learnt from and by "
            "others who made none of it: both groups put the models in the same order and prefer InstructGPT over "
            "GPT-3 at about the same rate, so the models did not merely learn their own labelers' taste (Fig. 3, "
            "section 4.1).",
        ),
        tunnel=(
            "Every test prompt's answers were compared by one hired labeler and by one who made no training data, "
            "and by the truth. A tie counts half; prompts and labelers are drawn again for the intervals.",
        ),
        claims=claims,
        shows=(Dots(title="Preferred to SFT", unit="share", groups=rows, reference=(0.5, "no preference")),),
        differs=(
            "The paper has several sizes and a second set of prompts, sent to GPT-3; here is one size and one set "
            "(sizes: Fig. 1). Simulated people share one taste, with other weights each.",
        ),
        hypothesis="Held-out labelers took no test and stray more, which draws every rate of theirs towards one half.",
    )


def difference(
    said: list[Verdict], models: dict[str, str], groups: dict[str, People], model: str, against: str
) -> Interval:
    """Training labelers' rate less held-out labelers', on the same prompts."""
    kept = [
        (v, won)
        for v in said
        if v.judge == "person" and (won := winrate.outcome(v, models, model, against, "half")) is not None
    ]
    training_N = np.array([groups[v.labeler or ""] == "training" for v, _ in kept])
    value_N = np.array([won for _, won in kept])
    return counting.gap(value_N, training_N, [v.prompt_id for v, _ in kept], [v.labeler for v, _ in kept])


def _met(said: list[Verdict], models: dict[str, str], model: str) -> bool:
    return any(winrate.outcome(v, models, model, "sft", "half") is not None for v in said)
