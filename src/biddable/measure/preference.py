"""Who is preferred, by how much and how surely: all that verdicts say of models, for `measure` and the report."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from biddable.measure.davidson import Scale, scales
from biddable.measure.interval import DEFAULT, Bootstrap, Interval, persons
from biddable.measure.judges import Judged, Tally, judged, of_scores, pair_of
from biddable.measure.lengths import Lengths, controlled
from biddable.measure.looks import Looks, looks
from biddable.measure.metadata import Differences, differences
from biddable.measure.planning import Need, need
from biddable.measure.weighted import by_lot, pulled, weights
from biddable.measure.winrate import TieRule, by_kind, by_rule, outcome
from biddable.records import Completion, Group, Judgement, Prompt, Record, Score, Verdict

Who = Literal["people", "gold"]
GROUPS = {"training": "training labelers", "held_out": "held-out labelers", "researcher": "researchers"}


class Pairing(Record):
    """One model against another, as people or the truth say."""

    model: str
    against: str
    judge: Who
    won: int
    tied: int
    lost: int
    prompts: int
    labelers: int
    rates: dict[TieRule, Interval]
    by: dict[str, dict[str, Interval]] = Field(default_factory=dict)  # "use case" → "chat" → rate, a tie half
    looks: Looks | None = None
    need: Need | None = None
    lengths: Lengths | None = None

    @property
    def key(self) -> str:
        return f"{self.model}_vs_{self.against}"


class Preference(Record):
    baseline: str | None = None
    pairings: tuple[Pairing, ...] = ()
    scales: tuple[Scale, ...] = ()  # by people; of the truth where nobody was asked
    scaled_by: Who = "people"
    judges: tuple[Judged, ...] = ()
    differences: dict[str, Differences] = Field(default_factory=dict)  # rate or "overall" → model → minus the baseline


class Asked(Record):
    """What a reader may want otherwise."""

    baseline: str | None = None  # SFT where it was compared, or the first in the loop's order
    each: int = Field(1, ge=1)  # verdicts that a prompt gets by plan: it enters the looks when it has them
    half: float = Field(0.03, gt=0, lt=0.5)  # the half-width that is wanted
    power: float = Field(0.8, gt=0.5, lt=1)


class Evidence(NamedTuple):
    """What there is to count from."""

    verdicts: Sequence[Verdict]
    models: Mapping[str, str]  # completion → model
    completions: Sequence[Completion]
    prompts: Mapping[str, Prompt]
    groups: Mapping[str, Group] = {}  # of labelers
    judgements: Sequence[Judgement] = ()
    scores: Sequence[Score] = ()  # of reward models that are held as judges, told apart by their run
    tallies: Mapping[str, Tally] = {}  # of endpoints
    owners: Mapping[str, str] = {}  # owner of prompts → of which group, such as the customers of the old model


def preference(
    found: Evidence, order: Callable[[str], tuple[int, str]], asked: Asked, how: Bootstrap = DEFAULT
) -> Preference:
    """All of it, of what was asked by lot. Of a pair of models the later by `order` is held against the earlier."""
    found = found._replace(verdicts=by_lot(found.verdicts))
    length = {c.id: len(c.text) for c in found.completions}
    pairs = sorted(
        {pair for v in found.verdicts if (pair := pair_of_models(v, found.models, order))},
        key=lambda p: (order(p[1]), order(p[0])),
    )
    compared = sorted({model for pair in pairs for model in pair}, key=order)
    baseline = asked.baseline or ("sft" if "sft" in compared else next(iter(compared), None))
    people = [v for v in found.verdicts if v.judge == "person"]
    gold = [v for v in found.verdicts if v.judge == "gold"]
    on_one = people or gold
    both: tuple[tuple[Who, Sequence[Verdict]], ...] = (("people", people), ("gold", gold))
    told = [
        _pairing(who, pair, mine, found, asked, length, how)
        for who, some in both
        for pair in pairs
        if (mine := [v for v in some if pair_of_models(v, found.models, order) == pair])
    ]
    return Preference(
        baseline=baseline,
        pairings=tuple(told),
        scales=tuple(scales(on_one, found.models, baseline, how)) if baseline and on_one else (),
        scaled_by="people" if people else "gold",
        judges=tuple(_judges(found, people, pairs, length, how)),
        differences=differences(found.judgements, found.completions, found.models, baseline, how) if baseline else {},
    )


def pair_of_models(
    verdict: Verdict, models: Mapping[str, str], order: Callable[[str], tuple[int, str]]
) -> tuple[str, str] | None:
    """(model, against); nothing of others, or of a model against itself."""
    one, other = models.get(verdict.a), models.get(verdict.b)
    if one is None or other is None or one == other:
        return None
    return (one, other) if order(one) > order(other) else (other, one)


def _pairing(
    who: Who, pair: tuple[str, str], some: Sequence[Verdict], found: Evidence, asked: Asked, length: Mapping[str, int],
    how: Bootstrap,
) -> Pairing:  # fmt: skip
    values = [outcome(v, found.models, *pair, "half") or 0.0 for v in some]
    count = Counter(values)
    people = [v.labeler or v.judge for v in some]
    # As the win rate weighs them.
    counted = pulled(np.array(values), weights(some)).tolist()
    by = {name: by_kind(some, found.models, *pair, kind, how) for name, kind in kinds(found).items()}
    return Pairing(
        model=pair[0],
        against=pair[1],
        judge=who,
        won=count[1.0],
        tied=count[0.5],
        lost=count[0.0],
        prompts=len({v.prompt_id for v in some}),
        labelers=persons(people)[1] if who == "people" else 0,
        rates=by_rule(some, found.models, *pair, how),
        by={name: rates for name, rates in by.items() if rates},
        looks=looks(some, found.models, *pair, asked.each, how.level),
        need=need(counted, [v.prompt_id for v in some], people, asked.half, asked.power, how.level),
        lengths=controlled(some, found.models, *pair, length, how),
    )


def kinds(found: Evidence) -> dict[str, Callable[[Verdict], str | None]]:
    """By what a win rate is split, where it is known."""

    def owner(verdict: Verdict) -> str | None:
        prompt = found.prompts.get(verdict.prompt_id)
        of = found.owners
        return (of.get(prompt.organization or "") or of.get(prompt.user or "")) if prompt else None

    return {
        "labelers": lambda v: GROUPS.get(found.groups.get(v.labeler or "", "")),
        "use case": lambda v: found.prompts[v.prompt_id].use_case if v.prompt_id in found.prompts else None,
        "source": lambda v: found.prompts[v.prompt_id].source if v.prompt_id in found.prompts else None,
        "owners": owner,
    }


def _judges(
    found: Evidence,
    people: Sequence[Verdict],
    pairs: Sequence[tuple[str, str]],
    length: Mapping[str, int],
    how: Bootstrap,
) -> Iterator[Judged]:
    """Endpoints by their verdicts, reward models by their scores of the pairs that anybody was asked about."""
    by_name: dict[str, list[Verdict]] = {}
    for verdict in found.verdicts:
        if verdict.judge == "model":
            by_name.setdefault(verdict.labeler or "a model", []).append(verdict)
    for name, own in sorted(by_name.items()):
        yield judged(name, own, people, found.models, pairs, length, tally=found.tallies.get(name), how=how)
    met = sorted({pair_of(v) for v in found.verdicts if v.a in found.models and v.b in found.models})
    for name in sorted({score.run_id for score in found.scores}):
        own = of_scores((score for score in found.scores if score.run_id == name), met)
        if own:
            yield judged(name, own, people, found.models, pairs, length, sees_order=False, how=how)
