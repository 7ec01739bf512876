"""Fig. 34: does a larger KL penalty alone undo the alignment tax? And Fig. 36: which β is best beside ptx?"""

from biddable.measure.interval import Interval
from biddable.paper import counting
from biddable.paper.figure import Claim, Figure, sweep
from biddable.paper.plan import Job, Plan
from biddable.paper.policies import Looks, Seen, asked, final, looks, of_recipe, ppo, seen

X = "β, weight of the KL penalty", "PPO with this β", "ppo"


def policies(plan: Plan) -> tuple[dict[float, Looks], list[Job]]:
    """β → its policy without ptx: the walk's own, and those that are trained for this page."""
    chosen = of_recipe(plan, "ppo", "beta", 0.02)
    trained = {beta: ppo(plan, f"beta-{beta:g}", f"beta={beta:g}", ptx=False) for beta in plan.config.betas}
    models = {beta: job.leaves for beta, job in trained.items()} | {chosen: plan.model("ppo")}
    names = {beta: "ppo" if beta == chosen else f"beta-{beta:g}" for beta in sorted(models)}
    return {beta: looks(plan, name, models[beta]) for beta, name in names.items()}, list(trained.values())


def mixed(plan: Plan) -> tuple[dict[float, Job], list[Job]]:
    """β → the answers of PPO-ptx with it; and the runs that train them."""
    trained = {beta: ppo(plan, f"beta-{beta:g}-ptx", f"beta={beta:g}") for beta in plan.config.betas_mixed}
    return {beta: asked(plan, f"beta-{beta:g}-ptx", job.leaves) for beta, job in trained.items()}, [*trained.values()]


def others(plan: Plan) -> dict[str, Looks]:
    return {name: looks(plan, name, plan.model(name)) for name in ("base", "start", "ppo_ptx")}


def stages(plan: Plan) -> list[Job]:
    found, trained = policies(plan)
    answers, more = mixed(plan)
    looked = [job for one in (*found.values(), *others(plan).values()) for job in one.jobs]
    return [*trained, *more, *looked, *answers.values()]


def count(plan: Plan) -> Figure:
    found, beside = policies(plan)[0], others(plan)
    told = seen(plan, [*found.values(), *beside.values()])
    sft = counting.answers(final(plan), "sft")
    wins = {beta: counting.paired(told.prompts, told.answers[one.name], sft) for beta, one in found.items()}
    others_wins = {}
    for beta, job in mixed(plan)[0].items():
        one = counting.answers(job.leaves, f"beta-{beta:g}-ptx")
        others_wins[beta] = counting.paired(told.prompts, one, told.answers["ppo_ptx"])
    folders = [folder for one in (*found.values(), *beside.values()) for folder in one.folders]
    folders += [job.stage.folder for job in mixed(plan)[0].values()]
    names = {beta: one.name for beta, one in found.items()}
    chosen = of_recipe(plan, "ppo", "beta", 0.02)
    return figure(names, told, wins, others_wins, chosen).model_copy(update={"sources": plan.sources(*folders)})


def figure(
    names: dict[float, str], told: Seen, wins: dict[float, Interval], mixes: dict[float, Interval], chosen: float
) -> Figure:
    """β → the policy's name, what was seen of all and of base, start and ppo_ptx, and wins by the truth: without ptx
    over SFT, with it over PPO-ptx of the usual β."""
    ids = [prompt.id for prompt in told.prompts]
    exam = {beta: told.exam.mean(name) for beta, name in names.items()}
    score = {beta: counting.mean(told.scores[name], ids) for beta, name in names.items()}
    base, start, ptx = (told.exam.mean(name) for name in ("base", "start", "ppo_ptx"))
    return Figure(
        name="beta",
        title="Figs. 34 and 36. The KL penalty, without and with pretraining text",
        paper=(
            "Without pretraining text, β was raised from 0.02 to 2.0, a hundred times the default. DROP and SQuADv2 "
            "never came back fully and the validation reward collapsed; with GPT-3 or with PPO's start as the "
            "reference alike (Fig. 34, section 4.2, App. E.6). With ptx, β = 0 and β = 2 were both poor by Likert, "
            "0.01 to 0.02 best (Fig. 36).",
        ),
        tunnel=(
            f"PPO without pretraining text from the same start model with {len(names)} values of β, everything else "
            f"as in the walk, which has {chosen:g}. The KL is measured against the start model. Beside pretraining "
            f"text, other β: {', '.join(f'{beta:g}' for beta in mixes) or 'none in this look'}.",
            f"On the tax tasks base stands at {100 * base.value:.1f} %, PPO's start model, from which it must not "
            f"stray, at {100 * start.value:.1f} %, and PPO-ptx at {100 * ptx.value:.1f} %.",
        ),
        claims=(*_claims(names, told, chosen), *(_poorer(beta, chosen, found) for beta, found in mixes.items())),
        shows=(
            sweep("Tax tasks: the chance that a sampled answer is right", *X, "share", exam, (base.value, "base")),
            sweep("Reward model's score on the test prompts", *X, "score", score),
            sweep("Preferred to SFT, by the truth", *X, "share", wins, (0.5, "no preference")),
        ),
        differs=(
            "The figure's reference is GPT-3 itself; ours is PPO's start model, which has read pretraining text "
            "besides the demonstrations. The tax of one walk is a point or two, as the base answers nearly all of "
            "these tasks.",
        ),
        hypothesis=(
            "The start model here has lost nothing of the base's tasks, so a policy that is held to it by a large β "
            "cannot have lost anything either; the paper's models were held to a reference by answers to customers' "
            "prompts alone."
        ),
    )


def _claims(names: dict[float, str], told: Seen, chosen: float) -> tuple[Claim, ...]:
    ids, top = [prompt.id for prompt in told.prompts], max(names)
    return (
        Claim(
            text="Even a hundred times the KL penalty does not give the forgotten tasks back.",
            theirs="at β = 2.0 DROP and SQuADv2 are still below GPT-3 (Fig. 34)",
            measure=f"tax tasks, β = {top:g} less base",
            ours=told.exam.difference(names[top], "base"), expected="below", even=0.0, unit="points",
        ),
        Claim(
            text="And it costs nearly all of the reward.",
            theirs="the validation reward collapses at β = 2.0 (Fig. 34)",
            measure=f"reward model's score, β = {top:g} less β = {chosen:g}",
            ours=counting.mean(told.scores[names[top]] - told.scores[names[chosen]], ids),
            expected="below", even=0.0, unit="score",
        ),
        Claim(
            text="Pretraining text, at the usual β, does better on the tasks than the large β.",
            theirs="PPO-ptx recovers what KL alone does not (Figs. 33 and 34)",
            measure=f"tax tasks, PPO-ptx less PPO with β = {top:g}",
            ours=told.exam.difference("ppo_ptx", names[top]), expected="above", even=0.0, unit="points",
        ),
    )  # fmt: skip


def _poorer(beta: float, chosen: float, found: Interval) -> Claim:
    return Claim(
        text=f"Beside pretraining text a β of {beta:g} is poorer than the usual one.",
        theirs="by Likert 0 and 2 are both poor, 0.01 to 0.02 best (Fig. 36)",
        measure=f"PPO-ptx with β = {beta:g} preferred to β = {chosen:g}, by the truth",
        ours=found,
        expected="below",
    )
