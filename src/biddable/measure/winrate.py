"""How often one model's answer is preferred to another's (paper, section 4.1 and Fig. 1)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import numpy as np

from biddable.measure.interval import DEFAULT, Bootstrap, Interval, bootstrap
from biddable.measure.weighted import by_lot, mean, weight
from biddable.records import Completion, Group, Judge, Verdict

TieRule = Literal["half", "drop", "loss", "win"]
RULES: tuple[TieRule, ...] = ("half", "drop", "loss", "win")


def models_of(completions: Iterable[Completion], names: Mapping[str, str] | None = None) -> dict[str, str]:
    """Completion → model: the name given to its run, or the run itself. Runs that are not named are left out."""
    if names is None:
        return {c.id: c.run_id for c in completions}
    return {c.id: names[c.run_id] for c in completions if c.run_id in names}


def win_rate(
    verdicts: Iterable[Verdict],
    models: Mapping[str, str],
    model: str,
    against: str,
    judge: Judge | None = None,
    group: Group | None = None,
    groups: Mapping[str, Group] | None = None,
    ties: TieRule = "half",
    how: Bootstrap = DEFAULT,
) -> Interval:
    """Mean over verdicts of 1 if `model` is preferred to `against`, 0 if not, and for a tie what `ties` says.

    The paper does not say how ties enter; ½ keeps rate(A, B) + rate(B, A) = 1. `drop` leaves them out, `loss` asks for
    a strict win, and `win` for one of the other side. Where some prompts were likelier to be asked about, each counts
    1/π. Who was asked because others disagreed is left out. Prompts and labelers are resampled together; prompts alone
    where the judge is one (gold, a model).
    """
    if group is not None and groups is None:
        raise ValueError("a win rate by group needs to know the group of each labeler")
    values: list[float] = []
    prompts: list[str] = []
    people: list[str] = []
    weights: list[float] = []
    for verdict in by_lot(verdicts):
        if judge is not None and verdict.judge != judge:
            continue
        if group is not None and groups is not None and groups.get(verdict.labeler or "") != group:
            continue
        value = outcome(verdict, models, model, against, ties)
        if value is not None:
            values.append(value)
            prompts.append(verdict.prompt_id)
            people.append(verdict.labeler or verdict.judge)
            weights.append(weight(verdict))
    if not values:
        raise ValueError(f"no {judge or 'such'} verdict compares {model} with {against}")
    return mean(values, np.array(weights), prompts, people, how)


def by_rule(
    verdicts: Iterable[Verdict], models: Mapping[str, str], model: str, against: str, how: Bootstrap = DEFAULT
) -> dict[TieRule, Interval]:
    """The win rate by each rule of ties: where these say different things, ties decide and not the models.

    With w wins, t ties and l losses: half (w + t/2)/n, drop w/(w + l), loss w/n, win (w + t)/n. Where all are ties,
    drop says nothing.
    """
    seen = by_lot(verdicts)
    strict = any(outcome(v, models, model, against, "drop") is not None for v in seen)
    rules = [rule for rule in RULES if rule != "drop" or strict]
    return {rule: win_rate(seen, models, model, against, ties=rule, how=how) for rule in rules}


def by_kind(
    verdicts: Iterable[Verdict],
    models: Mapping[str, str],
    model: str,
    against: str,
    kind: Callable[[Verdict], str | None],
    how: Bootstrap = DEFAULT,
) -> dict[str, Interval]:
    """The win rate, a tie half, among the verdicts of each kind: a use case, a source, a group of people. Of one kind
    alone nothing is said: it is the whole. Many kinds are many chances: one interval in twenty misses."""
    kinds: dict[str, list[Verdict]] = {}
    for verdict in by_lot(verdicts):
        if outcome(verdict, models, model, against, "half") is not None and (name := kind(verdict)) is not None:
            kinds.setdefault(name, []).append(verdict)
    if len(kinds) < 2:
        return {}
    return {name: win_rate(kinds[name], models, model, against, how=how) for name in sorted(kinds)}


def outcome(verdict: Verdict, models: Mapping[str, str], model: str, against: str, ties: TieRule) -> float | None:
    """What one verdict gives `model` against `against`; None when it is about others, or a tie that is dropped."""
    sides = models.get(verdict.a), models.get(verdict.b)
    if sides == (model, against):
        won = verdict.better == "a"
    elif sides == (against, model):
        won = verdict.better == "b"
    else:
        return None
    if verdict.better == "tie":
        return {"half": 0.5, "drop": None, "loss": 0.0, "win": 1.0}[ties]
    return float(won)


def first_shown_rate(verdicts: Iterable[Verdict], how: Bootstrap = DEFAULT) -> Interval:
    """Position bias: how often people prefer what they saw first, where that is known, ties left out. Fair is ½."""
    seen = [v for v in verdicts if v.judge == "person" and v.better != "tie" and v.shown != "unknown"]
    if not seen:
        raise ValueError("no person has preferred one answer to another yet")
    first = [float(v.better == v.shown[0]) for v in seen]
    return bootstrap(first, [v.prompt_id for v in seen], [v.labeler or "person" for v in seen], how)
