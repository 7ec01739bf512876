"""A few records that know one another, for the tests of the store."""

from datetime import UTC, datetime

from biddable.records import (
    AnyRecord,
    Completion,
    Demonstration,
    Group,
    Judgement,
    Labeler,
    Prompt,
    Ranking,
    Score,
    Side,
    Turn,
    Verdict,
)

AT = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)

BEFORE = (
    Turn(role="system", text="be brief"),
    Turn(role="user", text="hello — ü"),
    Turn(role="assistant", text="hello\nto you"),
)
PROMPTS = [
    Prompt(id="p1", text="who has a goat?", user="u1", organization="o1", use_case="open_qa", split="train"),
    Prompt(id="p2", text="write a story\nabout a fox.", source="plain", split="train", before=BEFORE),
    Prompt(id="p3", text="is it so?", user="u2", split="test"),
]
LABELERS = [
    Labeler(id="ann", group="training"),
    Labeler(id="ben", group="training"),
    Labeler(id="cat", group="held_out"),
    Labeler(id="dan", group="candidate"),
    Labeler(id="eve", group="researcher"),
]
COMPLETIONS = [
    Completion(id=f"{prompt.id}-{letter}", prompt_id=prompt.id, text=f"answer {letter}", run_id="run", logp=-1.25)
    for prompt in PROMPTS
    for letter in "abc"
]
SCORES = [Score(completion_id=c.id, run_id="rm", value=0.1, spread=0.0) for c in COMPLETIONS]


def ranking(prompt: str = "p1", labeler: str = "ann", order: str = "b ca") -> Ranking:
    tiers = tuple(tuple(f"{prompt}-{letter}" for letter in tier) for tier in order.split())
    return Ranking(prompt_id=prompt, labeler=labeler, order=tiers, seconds=12.5, at=AT)


def demonstration(prompt: str = "p1", labeler: str = "ann", text: str = "anna has one.") -> Demonstration:
    return Demonstration(prompt_id=prompt, labeler=labeler, text=text, seconds=3, at=AT)


def judgement(completion: str = "p1-a", labeler: str = "ann", overall: int = 5) -> Judgement:
    return Judgement(completion_id=completion, labeler=labeler, overall=overall, hallucination=False, at=AT)


def verdict(prompt: str = "p1", labeler: str | None = "ann", better: Side = "a", **more) -> Verdict:
    values = {"a": f"{prompt}-a", "b": f"{prompt}-b", "judge": "person", "at": AT} | more
    return Verdict(prompt_id=prompt, labeler=labeler, better=better, **values)


def everything() -> list[AnyRecord]:
    """Each labeler demonstrates, ranks, judges and compares on each prompt; a model and truth compare too."""
    said = [
        make(p.id, who.id)
        for p in PROMPTS
        for who in LABELERS
        for make in (demonstration, ranking, lambda p, who: judgement(f"{p}-a", who), verdict)
    ]
    machines = [verdict(judge="gold", labeler=None), verdict(judge="model", labeler="rm")]
    return [*said, *machines, *SCORES, *COMPLETIONS, *PROMPTS, *LABELERS]


def group_of(labeler: str) -> Group:
    return next(who.group for who in LABELERS if who.id == labeler)
