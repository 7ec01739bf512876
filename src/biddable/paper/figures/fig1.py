"""Fig. 1: win rate against model size, and a small aligned model against a base of a hundred times its size."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from biddable.measure.interval import Interval
from biddable.measure.plots import Line, Plot, Point, shown, spanned
from biddable.paper import bases, counting
from biddable.paper.bases import Rung, prefixed, rung
from biddable.paper.counting import Answers
from biddable.paper.figure import Claim, Figure
from biddable.paper.plan import Job, Plan
from biddable.paper.policies import asked, final
from biddable.quickstart.gates import of
from biddable.records import Prompt

NAMES = {
    "base": "base", "prompted": "base, prompted", "schooled": "base, as at school",
    "sft": "SFT", "ppo": "PPO", "ppo_ptx": "PPO-ptx",
}  # fmt: skip
STYLES = {"prompted": "people", "schooled": "gold"}
TIMES = 100


def rungs(plan: Plan) -> list[Rung]:
    return [rung(plan, size) for size in plan.config.sizes]


def largest_prompted(plan: Plan) -> dict[str, Job]:
    """The shipped base after the prefix, and after one with the head of a page on which answers are careful."""
    base = plan.model("base")
    return {
        "prompted": asked(plan, "base-prompted", base, prefixed(plan)),
        "schooled": asked(plan, "base-schooled", base, prefixed(plan, "schooled")),
    }


def stages(plan: Plan) -> list[Job]:
    plan.write("prefixed", bases.with_prefix(plan))
    plan.write("schooled", bases.with_prefix(plan, bases.SCHOOL))
    made = [job for one in rungs(plan) for job in (*one.training, *one.answers.values())]
    return [*made, *largest_prompted(plan).values()]


class Measured(NamedTuple):
    """By parameters, then by model: its answers."""

    prompts: list[Prompt]
    answers: Mapping[int, Mapping[str, Answers]]
    seed: int

    def rate(self, one: tuple[int, str], other: tuple[int, str], judge: Literal["person", "gold"]) -> Interval:
        a, b = (self.answers[size][model] for size, model in (one, other))
        return counting.rate(self.prompts, a, b, self.seed, judge)


def count(plan: Plan) -> Figure:
    largest = {model: counting.answers(final(plan), model) for model in ("base", "sft", "ppo", "ppo_ptx")}
    prompted = largest_prompted(plan)
    largest |= {name: counting.cut(counting.answers(job.leaves, f"base-{name}")) for name, job in prompted.items()}
    answers: dict[int, Mapping[str, Answers]] = {bases.size(plan.model("base")): largest}
    folders = [final(plan).parent, *(job.stage.folder for job in prompted.values())]
    for size, one in zip(plan.config.sizes, rungs(plan), strict=True):
        answers[bases.size(one.base)] = _answers(f"d{size.width}", one)
        folders += [job.stage.folder for job in (*one.training, *one.answers.values())]
    measured = Measured(of(Prompt, plan.file("tested")), dict(sorted(answers.items())), plan.seed)
    return figure(measured).model_copy(update={"sources": plan.sources(*folders)})


def _answers(name: str, one: Rung) -> dict[str, Answers]:
    given = {model: counting.answers(job.leaves, f"{name}-{model}") for model, job in one.answers.items()}
    return {model: counting.cut(own) if model == "prompted" else own for model, own in given.items()}


def small(sizes: list[int]) -> int:
    """The largest of those a hundred times smaller than the largest of all; the smallest where none is."""
    few = [size for size in sizes if size * TIMES <= max(sizes)]
    return max(few, default=min(sizes))


def figure(measured: Measured) -> Figure:
    sizes = list(measured.answers)
    top, little = max(sizes), small(sizes)
    school = measured.rate((top, "schooled"), (top, "sft"), "person")
    return Figure(
        name="fig1",
        title="Fig. 1. Win rate against model size",
        paper=(
            "Win rate over the 175B SFT model on prompts of customers, for 1.3B, 6B and 175B: GPT-3 below prompted "
            "GPT-3 below SFT below PPO and PPO-ptx, which are about level. Outputs of the 1.3B InstructGPT are "
            "preferred to those of the 175B GPT-3, with a hundredth of its parameters (Fig. 1; no percentage is "
            "printed). Between 175B models: 85 ± 3 % over GPT-3, 71 ± 4 % over prompted GPT-3, 73.4 ± 2 % over SFT "
            "(section 1).",
        ),
        tunnel=(
            f"The loop at {len(sizes)} sizes, {', '.join(f'{size:,}' for size in sizes)} parameters; the largest is "
            "the shipped base. Each smaller base was pretrained here and then learnt from the same demonstrations "
            f"and the same reward model. Baseline: SFT of {top:,} parameters. “Prompted” puts {bases.SHOTS} "
            "demonstrations before the prompt and ends an answer with its line.",
            "The same prefix headed by the words with which the base's own pages of school lessons begin, where "
            f"answers are careful, is preferred to SFT in {shown(school.value, 'share')} "
            f"({spanned(school, 'share')}): the base knows more good answers than it gives, for whoever knows what to "
            "ask.",
        ),
        claims=tuple(_claims(measured, top, little)),
        shows=(
            _plot(measured, top, "person", f"Preferred to SFT of {_short(top)} parameters, by simulated people"),
            _plot(measured, top, "gold", f"Preferred to SFT of {_short(top)} parameters, by the truth"),
        ),
        differs=(
            f"{min(sizes):,} to {top:,} parameters in place of one to 175 billion; a GPU would allow larger ones (the "
            "recipe's sizes). Smaller models take larger steps, as the paper's do. One reward model judges for all "
            "sizes, as the paper's 6B. The prefix is two demonstrations drawn by lot, where the paper chose the best "
            "of four written by hand. Small bases read fewer tokens than the shipped one.",
        ),
        hypothesis=(
            "A base that goes on with more questions loses to anything that answers; and a model too small to read "
            "its prompt gains from PPO what shows in the answer alone, such as manners, so it may rise or stay more "
            "than in the paper."
        ),
    )


def _claims(measured: Measured, top: int, little: int) -> list[Claim]:
    def claim(text: str, theirs: str, one: tuple[int, str], other: tuple[int, str], measure: str) -> Claim:
        ours = measured.rate(one, other, "person")
        return Claim(text=text, theirs=theirs, measure=measure, ours=ours, expected="above")

    made = [
        claim(
            f"A small aligned model is preferred to a base {top / little:.0f} times its size.",
            "1.3B InstructGPT preferred to 175B GPT-3; no number printed (Fig. 1)",
            (little, "ppo_ptx"), (top, "base"), f"PPO-ptx of {_short(little)} over base of {_short(top)} parameters",
        ),
        claim("An aligned model is preferred to its base.", "85 ± 3 % at 175B (section 1)",
              (top, "ppo_ptx"), (top, "base"), f"PPO-ptx over base, {_short(top)}"),
        claim("And to the base with a few-shot prefix.", "71 ± 4 % at 175B (section 1)",
              (top, "ppo_ptx"), (top, "prompted"), f"PPO-ptx over prompted base, {_short(top)}"),
        claim("And to supervised fine-tuning alone.", "73.4 ± 2 % at 175B (section 1)",
              (top, "ppo_ptx"), (top, "sft"), f"PPO-ptx over SFT, {_short(top)}"),
        claim("A prefix helps the base.", "GPT-3 prompted above GPT-3 (Fig. 1)",
              (top, "prompted"), (top, "base"), f"prompted base over base, {_short(top)}"),
        claim("Fine-tuning helps more than a prefix.", "SFT above GPT-3 prompted (Fig. 1)",
              (top, "sft"), (top, "prompted"), f"SFT over prompted base, {_short(top)}"),
    ]  # fmt: skip
    return made if little < top else made[1:]


def _plot(measured: Measured, top: int, judge: Literal["person", "gold"], title: str) -> Plot:
    lines = tuple(
        Line(style=STYLES.get(model, model), name=NAMES[model], points=_points(measured, top, model, judge))
        for model in NAMES
    )
    return Plot(
        title=title, x_name="parameters", unit="share", lines=tuple(line for line in lines if line.points),
        logarithmic=True, reference=(0.5, "SFT of the largest size"),
    )  # fmt: skip


def _points(measured: Measured, top: int, model: str, judge: Literal["person", "gold"]) -> tuple[Point, ...]:
    """Every size but the baseline itself."""
    return tuple(
        Point(x=size, found=measured.rate((size, model), (top, "sft"), judge))
        for size in measured.answers
        if model in measured.answers[size] and (size, model) != (top, "sft")
    )


def _short(size: int) -> str:
    return f"{size / 1000:.3g}K"
