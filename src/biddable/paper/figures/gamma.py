"""Fig. 33: how much pretraining text must be mixed in until nothing is forgotten, and what it costs."""

from biddable.measure.interval import Interval
from biddable.paper import counting
from biddable.paper.figure import Claim, Figure, sweep
from biddable.paper.plan import Job, Plan
from biddable.paper.policies import Looks, Seen, final, looks, of_recipe, ppo, seen

X = "γ, weight of pretraining text", "PPO with this γ", "ppo_ptx"


def policies(plan: Plan) -> tuple[dict[float, Looks], list[Job]]:
    """γ → its policy: the walk's own two, and those that are trained for this page."""
    trained = {gamma: ppo(plan, f"gamma-{gamma:g}", f"gamma_ptx={gamma:g}") for gamma in plan.config.gammas}
    models = {gamma: job.leaves for gamma, job in trained.items()}
    models |= {0.0: plan.model("ppo"), of_recipe(plan, "ppo", "gamma_ptx", 27.8): plan.model("ppo_ptx")}
    names = {0.0: "ppo", of_recipe(plan, "ppo", "gamma_ptx", 27.8): "ppo_ptx"}
    found = {gamma: looks(plan, names.get(gamma, f"gamma-{gamma:g}"), models[gamma]) for gamma in sorted(models)}
    return found, list(trained.values())


def stages(plan: Plan) -> list[Job]:
    found, trained = policies(plan)
    base = looks(plan, "base", plan.model("base"))
    return [*trained, *(job for one in found.values() for job in one.jobs), *base.jobs]


def count(plan: Plan) -> Figure:
    found, _ = policies(plan)
    base = looks(plan, "base", plan.model("base"))
    told = seen(plan, [*found.values(), base])
    sft = counting.answers(final(plan), "sft")
    wins = {gamma: counting.paired(told.prompts, told.answers[one.name], sft) for gamma, one in found.items()}
    folders = [folder for one in (*found.values(), base) for folder in one.folders]
    names = {gamma: one.name for gamma, one in found.items()}
    return figure(names, told, wins, of_recipe(plan, "ppo", "gamma_ptx", 27.8)).model_copy(
        update={"sources": plan.sources(*folders)}
    )


def figure(names: dict[float, str], told: Seen, wins: dict[float, Interval], chosen: float) -> Figure:
    """γ → the policy's name, what was seen of all, and how often each is truly better than SFT."""
    base = told.exam.mean("base").value, "base"
    ids = [prompt.id for prompt in told.prompts]
    top = max(names)
    exam = {gamma: told.exam.mean(name) for gamma, name in names.items()}
    score = {gamma: counting.mean(told.scores[name], ids) for gamma, name in names.items()}
    lost = counting.mean(told.scores[names[top]] - told.scores[names[0.0]], ids)
    apart = counting.paired(told.prompts, told.answers[names[chosen]], told.answers[names[0.0]])
    claims = (
        Claim(
            text="Enough pretraining text recovers what PPO forgot.",
            theirs="γ ≥ 20 recovers SQuADv2 and DROP at 1.3B (Fig. 33)",
            measure=f"tax tasks, γ = {top:g} less γ = 0",
            ours=told.exam.difference(names[top], names[0.0]),
            expected="above", even=0.0, unit="points",
        ),
        Claim(
            text="It costs some of the reward.",
            theirs="the validation reward falls as γ grows (Fig. 33)",
            measure=f"reward model's score, γ = {top:g} less γ = 0",
            ours=lost, expected="below", even=0.0, unit="score",
        ),
        Claim(
            text="Whom people prefer hardly hangs on it.",
            theirs="Likert is insensitive to γ (App. E.6)",
            measure=f"γ = {chosen:g} preferred to γ = 0 by the truth",
            ours=apart, expected="level", margin=0.05,
        ),
    )  # fmt: skip
    return Figure(
        name="gamma",
        title="Fig. 33. How much pretraining text to mix in",
        paper=(
            "PPO-ptx mixes pretraining text into each update, with weight γ. At 1.3B some γ restores SQuADv2 and "
            "DROP with little loss of validation reward; 20 is enough, and 27.8 was taken for all sizes (Fig. 33, "
            "App. E.6).",
        ),
        tunnel=(
            f"PPO from the same start model with {len(names)} values of γ, everything else as in the walk, which has "
            f"{chosen:g}. Each policy then sat the six tax tasks and answered the test prompts.",
        ),
        claims=claims,
        shows=(
            sweep("Tax tasks: the chance that a sampled answer is right", *X, "share", exam, base),
            sweep("Reward model's score on the test prompts", *X, "score", score),
            sweep("Preferred to SFT, by the truth", *X, "share", wins, (0.5, "no preference")),
        ),
        differs=(
            "The paper's γ multiplies a likelihood whose normalisation it does not print; ours multiplies a mean a "
            "token, so its 27.8 and our values are on two scales. Six tax tasks of the practice world stand for "
            "SQuADv2 and DROP, and the base answers nearly all of them, so there is little to lose.",
        ),
        hypothesis=(
            "The start model has read pretraining text besides the demonstrations and the small tasks are nearly "
            "perfect, so a run of this length forgets only a little, and what comes back is hard to tell from "
            "nothing."
        ),
    )
