"""What PPO forgets of the base model's tasks, with and without pretraining text (paper, section 4.2 and Table 14)."""

from biddable.measure import tax
from biddable.measure.interval import Interval
from biddable.measure.tax import Repair
from biddable.paper.counting import Exam
from biddable.paper.figure import Claim, Dots, Figure, Group, Value
from biddable.paper.plan import Job, Plan

MODELS = {"base": "base", "sft": "SFT", "ppo": "PPO", "ppo_ptx": "PPO-ptx"}


def stages(_plan: Plan) -> list[Job]:
    """The walk has done them."""
    return []


def count(plan: Plan) -> Figure:
    run = plan.walk / "runs" / "tax"
    exam = Exam(plan.file("items"), dict.fromkeys(MODELS, run / "likelihoods.jsonl"))
    repair = tax.repair(exam.items, exam.likely, "base", "ppo", "ppo_ptx", rule="sampled")
    return figure(exam, repair).model_copy(update={"sources": plan.sources(run)})


def figure(exam: Exam, repair: Repair) -> Figure:
    share = repair.share
    given_back = (
        f"Of what PPO lost, pretraining text gave back {100 * share.value:.0f} % ({100 * share.low:.0f} to "
        f"{100 * share.high:.0f})."
        if share is not None
        else "PPO's loss is not clearly above zero, so no share of it can be said to be given back."
    )  # fmt: skip
    claims = (
        _claim("PPO without pretraining text falls behind the base model.",
               "regresses on SQuAD, DROP, HellaSwag and translation (section 4.2)", "PPO less base",
               exam.difference("ppo", "base"), "below"),
        _claim("Pretraining text in the mix gives some of it back.",
               "PPO-ptx reduces the regressions on all data sets (section 4.2)", "PPO-ptx less PPO",
               repair.regained, "above"),
    )  # fmt: skip
    return Figure(
        name="tax",
        title="Table 14. The alignment tax, with and without pretraining text",
        paper=(
            "After PPO the models do worse than GPT-3 on public tasks such as SQuAD, DROP, HellaSwag and translation "
            "from French: an alignment tax. Mixing pretraining text into PPO (PPO-ptx) lowers it everywhere, and on "
            "HellaSwag passes GPT-3 (section 4.2; Table 14: 175B few-shot DROP 35.3, PPO 27.8, "
            "PPO-ptx 33.3).",
        ),
        tunnel=(
            "The walk's four models sat six tasks in the form of the base's own pages. A score is the chance that an "
            f"answer sampled at temperature 1 is right. {given_back}",
        ),
        claims=claims,
        shows=(_mean(exam), *_tasks(exam)),
        differs=(
            "Six small tasks stand for the public ones. The base answers nearly all of them, so the tax is counted "
            "in points where the paper's is counted in tens of points, and choosing the likeliest of the given "
            "choices, as the paper does, would show none: hence the chance of a sampled answer.",
        ),
        hypothesis=(
            "How much is forgotten hangs on how far PPO goes from its start model, which differs from walk to walk; "
            "with a short way there is no tax to give back."
        ),
    )


def _claim(text: str, theirs: str, measure: str, ours: Interval, expected) -> Claim:
    return Claim(text=text, theirs=theirs, measure=measure, ours=ours, expected=expected, even=0.0, unit="points")


def _mean(exam: Exam) -> Dots:
    groups = tuple(
        Group(label=name, values=(Value(style=model, name=name, found=exam.mean(model)),))
        for model, name in MODELS.items()
    )
    return Dots(title="Mean of the six tasks", unit="share", groups=groups)


def _tasks(exam: Exam) -> tuple[Dots, ...]:
    tasks = exam.scores["base"].tasks
    groups = tuple(
        Group(
            label=task.replace("_", " "),
            values=tuple(
                Value(style=model, name=name, found=exam.scores[model].tasks[task]) for model, name in MODELS.items()
            ),
        )
        for task in tasks
    )
    return (Dots(title="Task by task", unit="share", groups=groups),)
