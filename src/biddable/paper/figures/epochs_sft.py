"""Section 3.5: SFT's validation loss overfits after one epoch, and people like what comes of more."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from biddable.measure.interval import FREE, Floats, Interval
from biddable.measure.plots import Line, Plot, Point
from biddable.measure.weighted import mean as weighted
from biddable.paper import counting
from biddable.paper.counting import Answers
from biddable.paper.figure import Claim, Figure
from biddable.paper.plan import Job, Plan
from biddable.paper.policies import asked
from biddable.quickstart.gates import of
from biddable.records import Demonstration, Item, Likelihood, Prompt


class Trained(NamedTuple):
    """SFT of so many epochs and what is asked of it."""

    name: str
    model: Job
    answers: Job
    scores: Job
    loss: Job

    @property
    def jobs(self) -> list[Job]:
        return [self.model, self.answers, self.scores, self.loss]


def trained(plan: Plan) -> dict[int, Trained]:
    found = {}
    for epochs in plan.config.sft_epochs:
        name = f"sft-{epochs}"
        given = {"model": plan.model("base"), "demos": plan.file("demos")}
        model = plan.job("sft", name, given, f"epochs={epochs}", seconds=5 * epochs)
        answers = asked(plan, name, model.leaves)
        score = {"model": plan.model("reward"), "prompts": plan.file("tested"), "completions": answers.leaves}
        items = {"items": plan.runs / "files" / "demos-valid.jsonl", name: model.leaves}
        scores = plan.job("score", f"{name}-scores", score, seconds=5)
        found[epochs] = Trained(name, model, answers, scores, plan.job("likelihood", f"{name}-loss", items, seconds=4))
    return found


def stages(plan: Plan) -> list[Job]:
    held = plan.file("demos-valid")
    plan.write("demos-valid", demonstrated(of(Prompt, held), of(Demonstration, held)))
    return [job for one in trained(plan).values() for job in one.jobs]


def demonstrated(prompts: list[Prompt], demos: list[Demonstration]) -> list[Item]:
    """Each demonstration as a choice of one, after its prompt as the template writes it: how likely is it?"""
    text = {prompt.id: prompt.text + "\n" for prompt in prompts}
    return [
        Item(
            task="demonstrations",
            id=f"{nth}-{demo.prompt_id}",
            context=text[demo.prompt_id],
            choices=(demo.text,),
            answer=0,
        )
        for nth, demo in enumerate(demos)
    ]


class Seen(NamedTuple):
    """By epochs: the loss of each held-out demonstration, the score and the answer of each test prompt."""

    prompts: list[Prompt]
    loss: Mapping[int, Floats]
    tokens: Floats
    demos: list[str]
    score: Mapping[int, Floats]
    answers: Mapping[int, Answers]


def count(plan: Plan) -> Figure:
    several, prompts = trained(plan), of(Prompt, plan.file("tested"))
    answers = {epochs: counting.answers(one.answers.leaves, one.name) for epochs, one in several.items()}
    lost = {epochs: of(Likelihood, one.loss.leaves) for epochs, one in several.items()}
    first = next(iter(lost.values()))
    told = Seen(
        prompts,
        {epochs: np.array([-one.logp / one.tokens for one in some]) for epochs, some in lost.items()},
        np.array([float(one.tokens) for one in first]),
        [one.item for one in first],
        {epochs: counting.scores(one.scores.leaves, answers[epochs], prompts) for epochs, one in several.items()},
        answers,
    )
    folders = [job.stage.folder for one in several.values() for job in one.jobs]
    return figure(told).model_copy(update={"sources": plan.sources(*folders)})


def figure(told: Seen) -> Figure:
    first, last = min(told.loss), max(told.loss)
    ids = [prompt.id for prompt in told.prompts]
    loss = {epochs: _loss(told, one) for epochs, one in told.loss.items()}
    score = {epochs: counting.mean(one, ids) for epochs, one in told.score.items()}
    wins = {
        epochs: counting.paired(told.prompts, told.answers[epochs], told.answers[first])
        for epochs in told.answers
        if epochs != first
    }
    best = min(loss, key=lambda epochs: loss[epochs].value)
    claims = (
        Claim(
            text="After many epochs the loss on held-out demonstrations is worse than after one.",
            theirs="the validation loss overfits after 1 epoch (section 3.5)",
            measure=f"loss a token, {last} epochs less {first}",
            ours=_loss(told, told.loss[last] - told.loss[first]), expected="above", even=0.0, unit="score",
        ),
        Claim(
            text="The reward model likes the answers better all the same.",
            theirs="more epochs help the reward score (section 3.5); 16 were taken",
            measure=f"reward model's score, {last} epochs less {first}",
            ours=counting.mean(told.score[last] - told.score[first], ids), expected="above", even=0.0, unit="score",
        ),
        Claim(
            text="And they are truly better.",
            theirs="more epochs help human preference ratings (section 3.5)",
            measure=f"{last} epochs preferred to {first}, by the truth", ours=wins[last], expected="above",
        ),
    )  # fmt: skip
    return Figure(
        name="epochs_sft",
        title="Section 3.5. Epochs of SFT: what the loss says, and what people prefer",
        paper=(
            "The supervised models overfit on validation loss after one epoch, and yet more epochs help both the "
            "reward model's score and human preference: 16 epochs were taken, chosen by the reward model's score "
            "(section 3.5).",
        ),
        tunnel=(
            f"SFT of the shipped base on the walk's demonstrations, {', '.join(map(str, told.loss))} epochs, each a "
            f"run of its own with its learning rate falling to its end. Lowest held-out loss: {best} epochs.",
        ),
        claims=claims,
        shows=(
            _plot("Loss a token on held-out demonstrations", "score", "sft", loss),
            _plot("Reward model's score on the test prompts", "score", "sft", score),
            _plot(f"Preferred to {first} epoch{'s' if first > 1 else ''}, by the truth", "share", "gold", wins, 0.5),
        ),
        differs=(
            "Some two thousand short demonstrations of a tiny language, a learning rate a hundred times the paper's, "
            "and a base of 0.7 million parameters.",
        ),
        hypothesis=(
            "The base has read pages on which questions are answered, so one epoch may teach nearly all that these "
            "demonstrations can; what is learnt after it is their wording, which costs loss on others and changes "
            "little that anybody prefers."
        ),
    )


def _loss(told: Seen, value_N: Floats) -> Interval:
    """A mean over tokens, as the trainer's; demonstrations are drawn again."""
    return weighted(value_N, told.tokens, told.demos, bounds=FREE)


def _plot(title: str, unit, style: str, by_epochs: dict[int, Interval], even: float | None = None) -> Plot:
    points = tuple(Point(x=epochs, found=found) for epochs, found in by_epochs.items())
    return Plot(
        title=title, x_name="epochs of SFT", unit=unit, logarithmic=True,
        lines=(Line(style=style, name="the truth" if style == "gold" else "SFT", points=points),),
        reference=None if even is None else (even, "no preference"),
    )  # fmt: skip
