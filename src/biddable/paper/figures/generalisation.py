"""Does the reward model foresee labelers that it never learnt from? (paper, section 4.1: five groups, five folds)"""

from biddable.measure.reward import Folds
from biddable.paper import counting, rankings
from biddable.paper.figure import Claim, Dots, Figure, Group, Theirs, Value
from biddable.paper.plan import Job, Plan
from biddable.quickstart.gates import named

FOLDS = 5
PAPER = {"labelers it learnt from": (0.724, 0.004), "labelers it did not": (0.696, 0.009)}  # section 4.1


def folded(plan: Plan) -> Job:
    file = plan.runs / "files" / "folded.jsonl"
    given = {"model": plan.model("sft"), "demos": plan.file("demos"), "rankings": file}
    seconds = FOLDS * (10 + 0.02 * (plan.config.folded or 3900))
    return plan.job("folds", "folds", given, f"folds={FOLDS}", section="reward", seconds=seconds)


def stages(plan: Plan) -> list[Job]:
    ranked = plan.file("rankings")
    plan.write("folded", named(ranked, rankings.some(ranked, plan.config.folded)))
    return [folded(plan)]


def count(plan: Plan) -> Figure:
    job = folded(plan)
    found = Folds.model_validate_json(job.leaves.read_bytes())
    return figure(found).model_copy(update={"sources": plan.sources(job.stage.folder)})


def figure(found: Folds) -> Figure:
    drop = [mine.value - other.value for mine, other in zip(found.own, found.held_out, strict=True)]
    claims = (
        Claim(
            text="The reward model foresees labelers whom it never learnt from.",
            theirs="69.6 ± 0.9 % on the group left out (section 4.1)",
            measure="accuracy on the group left out", ours=found.held_out_mean, expected="above",
        ),
        Claim(
            text="A little less well than those whom it learnt from.",
            theirs="72.4 ± 0.4 against 69.6 ± 0.9 %: 2.8 points (section 4.1)",
            measure="own labelers less others, over five models",
            ours=counting.of_few(drop), expected="above", even=0.0, unit="points",
        ),
    )  # fmt: skip
    groups = []
    for label, mean in (("labelers it learnt from", found.own_mean), ("labelers it did not", found.held_out_mean)):
        value, error = PAPER[label]
        theirs = Theirs(text=f"{100 * value:.1f} ± {100 * error:.1f}", source="section 4.1", value=value, error=error)
        groups.append(Group(label=label, values=(Value(style="ours", name="accuracy", found=mean, theirs=theirs),)))
    by_model = tuple(
        Group(
            label=f"model {nth}",
            values=(Value(style="people", name="labelers it learnt from", found=mine),
                    Value(style="ours", name="labelers it did not", found=other)),
        )
        for nth, (mine, other) in enumerate(zip(found.own, found.held_out, strict=True), start=1)
    )  # fmt: skip
    return Figure(
        name="generalisation",
        title="Section 4.1. A reward model and labelers that it never met",
        paper=(
            "Labelers were divided into five groups; five reward models were each trained on four of them, with "
            "three seeds. On their own labelers they were right in 72.4 ± 0.4 % of pairs, on the group left out in "
            "69.6 ± 0.9 %.",
        ),
        tunnel=(
            "The walk's hired labelers in five groups by lot, five reward models, each asked about the group that it "
            "was not shown and about its own labelers, both on prompts that it was not trained on. One seed.",
        ),
        claims=claims,
        shows=(
            Dots(title="Accuracy on strict pairs", unit="share", groups=tuple(groups), reference=(0.5, "guessing")),
            Dots(title="Model by model", unit="share", groups=by_model),
        ),
        differs=(
            "Simulated labelers differ in the weights of one and the same taste and in their care; real people "
            "differ in more. Each of ours ranks few prompts of many others', so what is personal is hardly learnt.",
        ),
        hypothesis="Hamlet's labelers may differ too little for a reward model to learn whom it judges for.",
    )
