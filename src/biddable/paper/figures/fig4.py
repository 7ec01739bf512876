"""Fig. 4: what the answers are like, by the yes/no questions that people answer."""

from biddable.measure import metadata, winrate
from biddable.measure.interval import Interval
from biddable.measure.metadata import Differences
from biddable.paper.figure import Claim, Dots, Figure, Group, Theirs, Value
from biddable.paper.plan import Job, Plan
from biddable.paper.policies import final
from biddable.quickstart.gates import of
from biddable.records import Completion, Judgement

MODELS = {"base": "base", "sft": "SFT", "ppo": "PPO", "ppo_ptx": "PPO-ptx"}
RATES = {
    "fails_task": "Does not attempt the task",
    "constraint": "Follows explicit constraints",
    "hallucination": "Hallucinates (closed domain)",
    "inappropriate": "Inappropriate for an assistant",
}
# Section 1 (GPT-3 and InstructGPT), and the announcement of 2022-01-27, sizes combined.
PAPER = {
    ("hallucination", "base"): Theirs(text="41", source="section 1", value=0.41),
    ("hallucination", "sft"): Theirs(text="7.8", source="announcement, sizes combined", value=0.078),
    ("hallucination", "ppo_ptx"): Theirs(text="21", source="section 1", value=0.21),
    ("inappropriate", "base"): Theirs(text="18.9", source="announcement: 81.1 appropriate", value=0.189),
    ("inappropriate", "sft"): Theirs(text="12.0", source="announcement: 88.0 appropriate", value=0.12),
    ("inappropriate", "ppo_ptx"): Theirs(text="9.8", source="announcement: 90.2 appropriate", value=0.098),
}


def stages(_plan: Plan) -> list[Job]:
    """The walk has done them."""
    return []


def count(plan: Plan) -> Figure:
    said, answers = of(Judgement, plan.file("judgements")), of(Completion, final(plan))
    models = winrate.models_of(answers)
    rates = metadata.rates(said, answers, models)
    to_base, to_sft = (metadata.differences(said, answers, models, against) for against in ("base", "sft"))
    return figure(rates, to_base, to_sft).model_copy(update={"sources": plan.sources(final(plan).parent)})


def figure(
    rates: dict[str, dict[str, Interval]], to_base: dict[str, Differences], to_sft: dict[str, Differences]
) -> Figure:
    groups = tuple(
        Group(
            label=name,
            values=tuple(
                Value(style=model, name=shown, found=rates[rate][model], theirs=PAPER.get((rate, model)))
                for model, shown in MODELS.items()
                if model in rates[rate]
            ),
        )
        for rate, name in RATES.items()
        if rate in rates
    )
    return Figure(
        name="fig4",
        title="Fig. 4. What the answers are like",
        paper=(
            "Labelers answered yes/no questions about each answer. InstructGPT attempts the right instruction, "
            "follows explicit constraints and is fit for a customer assistant more often than GPT-3, and invents "
            "less on closed-domain prompts: 21 % against 41 % (Fig. 4, section 1). Other questions were too rare to "
            "tell.",
        ),
        tunnel=(
            "One labeler judged each model's answer to each test prompt. A question counts where it arises: "
            "invention on closed-domain prompts, constraints where there is one.",
        ),
        claims=tuple(_claims(to_base, to_sft)),
        shows=(Dots(title="Share of the answers for which it was asked", unit="share", groups=groups),),
        differs=(
            "Closed-domain prompts are a fifth of the paper's and fewer of ours, some sixty of the test prompts, "
            "hence the wide intervals. The base is small and goes on with more questions where it should answer.",
        ),
        hypothesis=(
            "The reward model does not see well whether an answer is in its text, and what it does not see, a policy "
            "gives away."
        ),
    )


def _claims(to_base: dict[str, Differences], to_sft: dict[str, Differences]) -> list[Claim]:
    told = "InstructGPT beats GPT-3 (Fig. 4)"
    wanted = (
        ("fails_task", "below", "InstructGPT attempts the right task more often than the base model.", told),
        ("constraint", "above", "It follows explicit constraints more often.", told),
        ("hallucination", "below", "It invents less on closed-domain prompts.", "21 % against 41 % (section 1)"),
        ("inappropriate", "below", "It is less often inappropriate for an assistant.", told),
    )  # fmt: skip
    made = [
        Claim(
            text=text, theirs=theirs, measure=f"{RATES[rate].lower()}, PPO-ptx less base",
            ours=to_base[rate]["ppo_ptx"], expected=expected, even=0.0, unit="points",
        )
        for rate, expected, text, theirs in wanted
        if "ppo_ptx" in to_base.get(rate, {})
    ]  # fmt: skip
    if "ppo_ptx" in to_sft.get("hallucination", {}):
        made.append(Claim(
            text="But SFT invents least of all.", theirs="7.8 % against 17.2 %, sizes combined (announcement)",
            measure="hallucinates, PPO-ptx less SFT", ours=to_sft["hallucination"]["ppo_ptx"],
            expected="above", even=0.0, unit="points",
        ))  # fmt: skip
    return made
