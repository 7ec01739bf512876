"""Tables 1, 3 and 6 to 11 for Hamlet's own data."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from biddable.hamlet import tasks, truth
from biddable.measure import metadata
from biddable.measure.interval import FREE, Interval, bootstrap
from biddable.measure.plots import shown, spanned
from biddable.paper import printed
from biddable.paper.figure import Claim, Dots, Figure, Group, Table, Theirs, Value
from biddable.paper.plan import Job, Plan
from biddable.paper.policies import final
from biddable.quickstart.gates import of
from biddable.records import Completion, Demonstration, Judgement, Prompt


class Data(NamedTuple):
    """Prompts of each part as the paper's tables have them, what people wrote and what they judged."""

    prompts: Mapping[str, Sequence[Prompt]]
    demos: Sequence[Demonstration]
    judgements: Sequence[Judgement]
    answers: Mapping[str, Completion]


PARTS = {
    "SFT train": "demos", "SFT valid": "demos-valid", "RM train": "rankings", "RM valid": "rankings-valid",
    "PPO train": "prompts", "test": "tested",
}  # fmt: skip


def stages(_plan: Plan) -> list[Job]:
    """The walk has done them."""
    return []


def count(plan: Plan) -> Figure:
    prompts = {part: of(Prompt, plan.file(name)) for part, name in PARTS.items()}
    demos = [*of(Demonstration, plan.file("demos")), *of(Demonstration, plan.file("demos-valid"))]
    answers = {one.id: one for one in of(Completion, final(plan))}
    found = figure(Data(prompts, demos, of(Judgement, plan.file("judgements")), answers))
    return found.model_copy(update={"sources": plan.sources(*map(Path, _runs(plan)))})


def _runs(plan: Plan) -> list[Path]:
    return [plan.walk / "runs" / name for name in ("sft", "reward", "ppo_ptx", "final")]


def figure(data: Data) -> Figure:
    ranked = [*data.prompts["RM train"], *data.prompts["RM valid"]]
    mix = {case: share(ranked, case) for case in printed.USE_CASES}
    claims = (
        Claim(
            text="Nearly half of what customers ask for is generation.", theirs="45.6 % (Table 1)",
            measure="generation among the ranked prompts, within 5 points", ours=mix["generation"],
            expected="level", even=0.456, margin=0.05,
        ),
        Claim(
            text="Demonstrations are shorter than the prompts that they answer.",
            theirs="mean 38 against 437 tokens for labelers' own prompts, 88 against 153 for customers' (Table 11)",
            measure="words of a demonstration less those of its prompt", ours=shorter(data),
            expected="below", even=0.0, unit="score",
        ),
    )  # fmt: skip
    return Figure(
        name="tables",
        title="Tables 1, 3 and 6 to 11. What the data are",
        paper=(
            "Ten use cases, generation the largest (Table 1); twelve questions about each answer (Table 3); sizes, "
            "annotations, prompts a customer and lengths of its three data sets (Tables 6 to 11).",
        ),
        tunnel=(
            "The same tables counted over the walk's prompts and labels. A length is in words and marks, which are "
            "Hamlet's tokens. The paper's values stand beside or below ours.",
        ),
        claims=claims,
        shows=(
            use_cases(mix), questions(data), sizes(data), annotations(data), customers(data), lengths(data),
            by_category(ranked), demonstrations(data),
        ),
        differs=(
            "Hamlet's mix of use cases is the paper's by construction. Its customers' prompts are one or two short "
            "sentences where the paper's go up to two thousand tokens; few-shot prompts, which make most of the "
            "paper's demonstrations' prompts long, are not in Hamlet.",
            *_also_labelers(data.prompts["PPO train"]),
        ),
        hypothesis="A demonstration in a language of short sentences is about as long as its prompt.",
    )  # fmt: skip


def _also_labelers(prompts: Sequence[Prompt]) -> list[str]:
    own = sum(one.source != "customer" for one in prompts)
    told = (
        f"PPO's prompts are customers' alone in the paper; of the walk's {len(prompts):,}, {own:,} are labelers' own."
    )
    return [told] if own else []


def share(prompts: Sequence[Prompt], case: str) -> Interval:
    """Of a use case; customers are drawn again with all their prompts."""
    return bootstrap([float(one.use_case == case) for one in prompts], [one.user or one.id for one in prompts])


def shorter(data: Data) -> Interval:
    texts = {one.id: one for part in ("SFT train", "SFT valid") for one in data.prompts[part]}
    gains = [float(_words(demo.text) - _words(texts[demo.prompt_id].text)) for demo in data.demos]
    return bootstrap(gains, [demo.prompt_id for demo in data.demos], [demo.labeler for demo in data.demos], bounds=FREE)


def _words(text: str) -> int:
    return len(truth.words_of(text))


def use_cases(mix: Mapping[str, Interval]) -> Dots:
    """Table 1."""
    groups = []
    for case, value in printed.USE_CASES.items():
        theirs = Theirs(text=f"{100 * value:.1f}", source="Table 1", value=value)
        name = case.replace("_", " ")
        groups.append(Group(label=name, values=(Value(style="ours", name="here", found=mix[case], theirs=theirs),)))
    return Dots(title="Table 1. Use cases of the ranked prompts", unit="share", groups=tuple(groups))


def questions(data: Data) -> Table:
    """Table 3: what is asked of each answer, how often, and how often the answer is yes."""
    rows = []
    for question, name in printed.QUESTIONS.items():
        found = metadata.rate(data.judgements, data.answers, (question,))
        yes = f"{shown(found.value, 'share')} ({spanned(found, 'share')})" if found else "–"
        rows.append((name, f"{found.n:,}" if found else "0", yes))
    likert = metadata.likert(data.judgements, data.answers)
    overall = f"mean {shown(likert.value, 'score')} ({spanned(likert, 'score')})" if likert else "–"
    first = ("Overall quality, 1 to 7", f"{likert.n:,}" if likert else "0", overall)
    return Table(
        title="Table 3. What is asked of each answer: base, SFT, PPO and PPO-ptx together",
        head=("question", "asked", "yes (95 % interval)"), rows=(first, *rows),
    )  # fmt: skip


def sizes(data: Data) -> Table:
    """Table 6."""
    rows = []
    for part, some in data.prompts.items():
        customers = sum(one.source == "customer" for one in some)
        theirs = printed.SIZES.get(part)
        paper = tuple(f"{n:,}" for n in theirs) if theirs else ("–",) * 3
        rows.append((part, f"{len(some) - customers:,}", f"{customers:,}", f"{len(some):,}", *paper))
    head = ("prompts", "labelers'", "customers'", "all", "paper: labelers'", "customers'", "all")
    return Table(title="Table 6. Sizes of the data sets, in prompts", head=head, rows=tuple(rows))


def annotations(data: Data) -> Table:
    """Table 7, of what a reader of Hamlet's prompts can tell."""
    rows = []
    for name, test, theirs in (
        ("Closed domain", lambda task: task.kind in tasks.CLOSED_DOMAIN, printed.CLOSED),
        ("Explicit constraints", lambda task: task.constraint is not None, printed.CONSTRAINTS),
        ("Sensitive content: asks for harm", lambda task: task.kind == "harm", printed.SENSITIVE),
        ("False premise", lambda task: task.kind == "premise", {}),
    ):
        for part in ("SFT train", "SFT valid", "RM train", "RM valid"):
            read = [task for one in data.prompts[part] if (task := tasks.read(one.text)) is not None]
            found = bootstrap([float(test(task)) for task in read], [one.text for one in read])
            ours = f"{shown(found.value, 'share')} ({spanned(found, 'share')})"
            rows.append((name, part, ours, f"{theirs[part]:.1f} %" if part in theirs else "–"))
    head = ("annotation", "prompts", "here (95 % interval)", "the paper")
    return Table(title="Table 7. Annotations of prompts", head=head, rows=tuple(rows))


def customers(data: Data) -> Table:
    """Table 8."""
    rows = []
    for part, some in data.prompts.items():
        users = [one.user for one in some if one.source == "customer" and one.user]
        ours = f"{len(users) / len(set(users)):.2f}" if users else "–"
        theirs = printed.A_CUSTOMER.get(part)
        rows.append((part, f"{len(set(users)):,}", ours, f"{theirs:.2f}" if theirs else "–"))
    head = ("prompts", "customers", "prompts each", "the paper")
    return Table(title="Table 8. Prompts a customer", head=head, rows=tuple(rows))


def lengths(data: Data) -> Table:
    """Table 9."""
    return _lengths(
        "Table 9. Lengths of prompts", {part: [one.text for one in some] for part, some in data.prompts.items()},
        printed.LENGTHS,
    )  # fmt: skip


def by_category(ranked: Iterable[Prompt]) -> Table:
    """Table 10."""
    some = list(ranked)
    found = {case: [one.text for one in some if one.use_case == case] for case in printed.USE_CASES}
    return _lengths("Table 10. Lengths of ranked prompts by use case", found, printed.BY_CATEGORY)


def demonstrations(data: Data) -> Table:
    """Table 11; all of the walk's demonstrations are of labelers' own prompts."""
    prompts = [one.text for part in ("SFT train", "SFT valid") for one in data.prompts[part]]
    found = {"labelers' prompts": prompts, "their demonstrations": [demo.text for demo in data.demos]}
    return _lengths("Table 11. Prompts and demonstrations", found, printed.DEMONSTRATIONS)


def _lengths(title: str, texts: Mapping[str, Sequence[str]], theirs: Mapping[str, Sequence[int]]) -> Table:
    rows = []
    for name, some in texts.items():
        label = name.replace("_", " ")
        if some:
            rows.append((label, "here", *_summary([_words(text) for text in some])))
        if name in theirs:
            rows.append((label, "paper", *(f"{n:,}" for n in theirs[name])))
    return Table(
        title=title, head=("", "whose", "count", "mean", "std", "min", "25 %", "50 %", "75 %", "max"), rows=tuple(rows)
    )


def _summary(counts: Sequence[int]) -> tuple[str, ...]:
    of_N = np.array(counts)
    numbers = (len(of_N), of_N.mean(), of_N.std(), of_N.min(), *np.quantile(of_N, (0.25, 0.5, 0.75)), of_N.max())
    return tuple(f"{number:,.0f}" for number in numbers)
