"""Simulated teams of planted taste, care, bias, laziness and drift, and what the statistics make of them.

    python tests/measure/worlds.py [--worlds 500]

prints the table of docs/managing.md: how often intervals hold the planted truth, how often a planted fault is found,
and how often somebody without one is marked. Arrays only, so that 500 worlds take seconds.

Shape suffixes: L labelers, P prompts, K answers of a prompt, R rankings, F features, N what was said of one pair.
"""

import argparse
import itertools
import time
from typing import NamedTuple

import numpy as np

from biddable.measure import alike, coefficients, signs
from biddable.measure.dawid_skene import dawid_skene, skills
from biddable.measure.interval import Bootstrap, Interval
from biddable.measure.said import PAIR, Said
from biddable.measure.shares import Sums, share

FAST = Bootstrap(draws=400)
FEATURES = 3


class Team(NamedTuple):
    taste_LF: np.ndarray  # what a feature is worth to each
    noise_L: np.ndarray
    tie_L: np.ndarray  # differences below it are ties
    pull_L: np.ndarray  # to what is shown first, a place
    stretch_L: np.ndarray  # to the longer answer
    lazy_L: np.ndarray  # share of rankings handed in in one and the same order of places, unread
    drift_L: np.ndarray  # noise at the end, times that of the beginning, less one


def team(rng: np.random.Generator, people: int, taste: float = 0.35, care: float = 0.35) -> Team:
    """People who differ in taste and care, and have no fault."""
    none = np.zeros(people)
    return Team(
        np.exp(rng.normal(0, taste, (people, FEATURES))), 1.2 * np.exp(rng.normal(0, care, people)),
        rng.uniform(0.1, 0.5, people), none, none, none, none,
    )  # fmt: skip


def with_fault(of: Team, **faults: float) -> Team:
    """The first person of the team has these faults, and is else like most: so a fault is as large in every world."""
    changed = {"taste_LF": of.taste_LF.copy(), "noise_L": of.noise_L.copy(), "tie_L": of.tie_L.copy()}
    changed["taste_LF"][0], changed["noise_L"][0], changed["tie_L"][0] = 1.0, 1.2, 0.3
    for name, size in faults.items():
        changed[f"{name}_L"] = getattr(of, f"{name}_L").copy()
        changed[f"{name}_L"][0] = size
    return of._replace(**changed)


class World(NamedTuple):
    prompt_R: np.ndarray
    labeler_R: np.ndarray
    tier_RK: np.ndarray  # of each answer, 0 is best; equal is a tie
    shown_RK: np.ndarray  # its place on the screen
    length_RK: np.ndarray
    when_R: np.ndarray
    people: int


def simulate(rng: np.random.Generator, of: Team, prompts: int, each: int = 3, k: int = 4) -> World:
    """`each` people of the team rank the answers of each prompt. Longer answers are no better and no worse."""
    people = len(of.noise_L)
    feature_PKF = rng.normal(size=(prompts, k, FEATURES))
    length_PK = rng.normal(size=(prompts, k))
    prompt_R = np.repeat(np.arange(prompts), each)
    labeler_R = np.argsort(rng.random((prompts, people)), axis=1)[:, :each].ravel()
    when_R = prompt_R / prompts
    shown_RK = np.argsort(rng.random((len(prompt_R), k)), axis=1)
    noise_R = of.noise_L[labeler_R] * (1 + of.drift_L[labeler_R] * when_R)
    felt_RK = np.einsum("rkf,rf->rk", feature_PKF[prompt_R], of.taste_LF[labeler_R])
    felt_RK += noise_R[:, None] * rng.normal(size=felt_RK.shape)
    felt_RK -= of.pull_L[labeler_R][:, None] * shown_RK
    felt_RK += of.stretch_L[labeler_R][:, None] * length_PK[prompt_R]
    tier_RK = tiers(felt_RK, of.tie_L[labeler_R])
    lazy_R = rng.random(len(prompt_R)) < of.lazy_L[labeler_R]
    habit_K = np.array([1, 0, *range(2, k)])  # the second first: an order that was touched
    tier_RK[lazy_R] = habit_K[shown_RK[lazy_R]]
    return World(prompt_R, labeler_R, tier_RK, shown_RK, length_PK[prompt_R], when_R, people)


def tiers(felt_RK: np.ndarray, tie_R: np.ndarray) -> np.ndarray:
    """Best first; whoever is about as good as the one before shares its tier."""
    order_RK = np.argsort(-felt_RK, axis=1)
    sorted_RK = np.take_along_axis(felt_RK, order_RK, axis=1)
    step_RK = np.zeros(felt_RK.shape, dtype=int)
    step_RK[:, 1:] = (sorted_RK[:, :-1] - sorted_RK[:, 1:]) > tie_R[:, None]
    found_RK = np.empty_like(step_RK)
    np.put_along_axis(found_RK, order_RK, np.cumsum(step_RK, axis=1), axis=1)
    return found_RK


# What the product makes of a world.


def sides(world: World, of_RK: np.ndarray) -> np.ndarray:
    """−1, 0 or 1 for each ranking and pair of answers: whether the first has the smaller number."""
    a, b = np.array(list(itertools.combinations(range(of_RK.shape[1]), 2))).T
    return np.sign(of_RK[:, b] - of_RK[:, a])


def said(world: World) -> Said:
    """As `said.pairs` makes of records."""
    side_RJ = sides(world, world.tier_RK)
    pairs = side_RJ.shape[1]
    prompts = int(world.prompt_R.max()) + 1
    return Said(
        (world.prompt_R[:, None] * pairs + np.arange(pairs)).ravel(), np.repeat(world.labeler_R, pairs),
        (1 - side_RJ).ravel().astype(np.intp), np.repeat(np.arange(prompts), pairs), prompts,
        tuple(f"{n:03}" for n in range(world.people)), PAIR,
    )  # fmt: skip


def when(world: World) -> np.ndarray:
    return np.repeat(world.when_R, sides(world, world.tier_RK).shape[1])


def summed(world: World, other_RK: np.ndarray) -> list[Sums]:
    """Each person's sums over their rankings, as the database makes them: the better one has the smaller `other`."""
    better, smaller = sides(world, world.tier_RK), sides(world, other_RK)
    w, m = np.sum((better == smaller) & (better != 0), axis=1), np.sum(better != 0, axis=1)
    rows = np.stack([m > 0, w, m, w * w, w * m, m * m]).astype(float)
    return [Sums(*(np.sum(rows[:, world.labeler_R == n], axis=1))) for n in range(world.people)]


def first(world: World) -> list[Sums]:
    return summed(world, world.shown_RK)


def longer(world: World) -> list[Sums]:
    return summed(world, -world.length_RK)


def signs_of(world: World) -> list[signs.Sign]:
    """All signs of all people, marked as one family; of comparisons of two there is one."""
    found, k = [], world.tier_RK.shape[1]
    if k == 2:
        tested = ((f"{n:03}", signs.place_of_two(sums)) for n, sums in enumerate(first(world)))
        return signs.marked([signs.Sign(name, "place", *p) for name, p in tested if p is not None])
    firsts, longers = first(world), longer(world)
    code_R = np.sum(10**world.shown_RK * world.tier_RK, axis=1)
    as_shown_R = np.all(world.tier_RK == world.shown_RK, axis=1)
    said_ = said(world)
    halves = alike.halves(said_, when(world))
    for n, name in enumerate(said_.labelers):
        mine_R = world.labeler_R == n
        orders = {
            tuple(code // 10**place % 10 for place in range(k)): int(count)
            for code, count in zip(*map(np.ndarray.tolist, np.unique(code_R[mine_R], return_counts=True)), strict=True)
        }
        of_pairs = {k * (k - 1) // 2: int(mine_R.sum())}
        others = [one for other, one in enumerate(longers) if other != n]
        for what, p in (
            ("place", signs.place(firsts[n])),
            ("length", signs.length(longers[n], others)),
            ("drift", signs.drift(*halves[name])),
            ("as shown", signs.as_shown(int(as_shown_R[mine_R].sum()), of_pairs)),
            ("same order", signs.same_order(orders, of_pairs)),
        ):
            if p is not None:
                found.append(signs.Sign(name, what, *p))
    return signs.marked(found)


# Experiments. One stream of draws a table, so that a world is no other one's twin.

PEOPLE, PROMPTS, EACH = 12, 120, 3
TRUTH = 60_000  # prompts of which a truth is a mean: known to a tenth of a point


class Truth(NamedTuple):
    half: float
    strict: float
    alpha: float
    each: dict[str, float]
    right: list[float]
    first: list[float]
    longer: list[float]


def truth_of(rng: np.random.Generator, of: Team, prompts: int = TRUTH) -> Truth:
    """By brute force: the same statistics of so many prompts that chance is gone."""
    world = simulate(rng, of, prompts, EACH)
    told = said(world)
    sums_C = coefficients.either_way(coefficients.coincidences(told)).sum(axis=0)
    met = [alike.meetings(told, half) for half in (True, False)]
    half, strict = (float(hits.sum() / tries.sum()) for hits, tries in met)
    each = {name: sums.hits / sums.tries for name, sums in alike.sums_of_each(told, *alike.meetings(told)).items()}
    right = dawid_skene(told).skill_L.tolist()
    firsts, longers = ([sums.hits / sums.tries for sums in some] for some in (first(world), longer(world)))
    return Truth(half, strict, float(coefficients.alpha_of(sums_C[None], "nominal")[0]), each, right, firsts, longers)


def holds(truth: float, found: Interval | None) -> bool:
    assert found is not None
    return found.low <= truth <= found.high


def coverage(worlds: int, seed: int = 1) -> dict[str, float]:
    """How often the interval of a world of one team holds the truth, in which one leans to the first and to the longer,
    one is lazy, and one tires."""
    rng = np.random.default_rng(seed)
    of = with_fault(team(rng, PEOPLE), pull=0.25, stretch=0.5)
    of.lazy_L[1], of.drift_L[2] = 0.3, 1.0
    truth = truth_of(rng, of)
    held: dict[str, list[bool]] = {}
    for _ in range(worlds):
        world = simulate(rng, of, PROMPTS, EACH)
        told = said(world)
        found = {
            "agreement, half credit": [(truth.half, alike.agreed(told, True, FAST))],
            "agreement, strict": [(truth.strict, alike.agreed(told, False, FAST))],
            "Krippendorff's alpha": [(truth.alpha, coefficients.alpha_of_pairs(told, FAST))],
            "agreement of one person, drawn": [(truth.each[x.labeler], x.drawn) for x in alike.leave_one_out(told)],
            "right, by the model": list(zip(truth.right, skills(told).values(), strict=True)),
            "first shown preferred, who leans": [(truth.first[0], share(first(world)[0]))],
            "first shown preferred, the others": list(zip(truth.first[1:], map(share, first(world)[1:]), strict=True)),
            "longer preferred, who leans": [(truth.longer[0], share(longer(world)[0]))],
        }
        for what, some in found.items():
            held.setdefault(what, []).extend(holds(*one) for one in some)
    return {what: float(np.mean(some)) for what, some in held.items()}


def coverage_of_others(worlds: int, seed: int = 2) -> dict[str, float]:
    """The same where each world has people of its own, and the truth is that of all people of the kind: for
    `beyond_these`, and for the interval over prompts alone, which does not claim it."""
    rng = np.random.default_rng(seed)
    met = [alike.meetings(said(simulate(rng, team(rng, 60), 1000, EACH)), True) for _ in range(250)]
    many = np.mean([hits.sum() / tries.sum() for hits, tries in met])
    held: dict[str, list[bool]] = {"prompts and people": [], "prompts alone": []}
    for _ in range(worlds):
        told = said(simulate(rng, team(rng, PEOPLE), PROMPTS, EACH))
        held["prompts and people"].append(holds(float(many), alike.beyond_these(told)))
        held["prompts alone"].append(holds(float(many), alike.agreed(told, True, FAST)))
    return {what: float(np.mean(some)) for what, some in held.items()}


SHAPES = ((5, 100, 2), (5, 400, 3), (8, 100, 2), (8, 200, 3), (12, 100, 2), (12, 400, 3))  # people, prompts, each


def coverage_of_skill(worlds: int, seed: int = 4) -> dict[str, float]:
    """The same for how often somebody is right by Dawid and Skene's model, in teams of which one is careless. Their
    tastes differ and pairs of one prompt are alike, so the model does not quite hold: the truth is what it says of so
    many prompts that chance is gone. In the last row it holds, and the truth is planted."""
    found = {}
    for people, prompts, each in SHAPES:
        rng = np.random.default_rng(seed)
        of = team(rng, people)
        of.noise_L[0] = 4.0
        truth_L = dawid_skene(said(simulate(rng, of, TRUTH, each))).skill_L
        some = [said(simulate(rng, of, prompts, each)) for _ in range(worlds)]
        found[f"{people} people, {prompts} prompts, {each} each"] = _skills_hold(truth_L, some)
    rng = np.random.default_rng(seed)
    right_L, tie_L = rng.uniform(0.6, 0.95, 8), rng.uniform(0, 0.3, 8)
    some = [as_the_model_says(rng, right_L, tie_L, 100, 3) for _ in range(worlds)]
    found["8 people, 100 prompts, 3 each, as the model says"] = _skills_hold(right_L * (1 - tie_L) + tie_L / 2, some)
    return found


def _skills_hold(truth_L: np.ndarray, some: list[Said]) -> float:
    return float(np.mean([[holds(*one) for one in zip(truth_L, skills(one).values(), strict=True)] for one in some]))


def as_the_model_says(rng: np.random.Generator, right_L, tie_L, prompts: int, each: int, pairs: int = 6) -> Said:
    """People who tie, and else are right, by coins of their own."""
    of = np.argsort(rng.random((prompts, len(right_L))), axis=1)[:, :each]
    labeler_N = np.repeat(of.ravel(), pairs)
    item_N = (np.arange(prompts)[:, None, None] * pairs + np.zeros((each, 1), int) + np.arange(pairs)).ravel()
    right_N = rng.random(len(item_N)) < right_L[labeler_N]
    value_N = np.where(rng.random(len(item_N)) < tie_L[labeler_N], 1, np.where(right_N, 0, 2))
    names = tuple(f"{n:03}" for n in range(len(right_L)))
    return Said(item_N, labeler_N, value_N, np.repeat(np.arange(prompts), pairs), prompts, names, PAIR)


class Found(NamedTuple):
    found: float  # how often the one who has the fault is marked for it
    false: float  # of all marks, those that are false, on average
    anyone: float  # how often anyone is marked who has no fault


FAULTS = {  # the sign that should tell, how large the fault is, and of how many answers
    "none": ("", {}, 4),
    "prefers the first shown in 58 % of pairs": ("place", {"pull": 0.3}, 4),
    "prefers the longer in 60 % of pairs": ("length", {"stretch": 0.6}, 4),
    "every tenth ranking is the same order, unread": ("same order", {"lazy": 0.1}, 4),
    "noise grows fivefold": ("drift", {"drift": 4.0}, 4),
    "none, of two": ("", {}, 2),
    "of two, prefers the first shown in 58 %": ("place", {"pull": 0.58}, 2),
}


def finding(worlds: int, fault: str, prompts: int, seed: int = 3) -> Found:
    """One of twelve has the fault; each ranks EACH/PEOPLE of the prompts."""
    rng = np.random.default_rng(seed)
    what, sizes, k = FAULTS[fault]
    hits, false, anyone = [], [], []
    for _ in range(worlds):
        of = with_fault(team(rng, PEOPLE), **sizes)
        marks = [one for one in signs_of(simulate(rng, of, prompts, EACH, k)) if one.marked]
        true = [one for one in marks if sizes and one.labeler == "000"]  # one fault may well have two signs
        hits.append(any(one.what == what for one in true))
        false.append((len(marks) - len(true)) / max(1, len(marks)))
        anyone.append(len(marks) > len(true))
    return Found(*(float(np.mean(some)) for some in (hits, false, anyone)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=500)
    worlds = parser.parse_args().worlds
    start = time.process_time()
    print(f"{worlds} worlds; intervals: {PEOPLE} people, {PROMPTS} prompts, each ranked by {EACH}\n")
    print("| interval | holds the truth |\n|---|---|")
    for what, share_ in (coverage(worlds) | coverage_of_others(worlds)).items():
        print(f"| {what} | {100 * share_:.1f} % |")
    print("\n| right, by the model: interval of | holds the truth |\n|---|---|")
    for what, share_ in coverage_of_skill(worlds).items():
        print(f"| {what} | {100 * share_:.1f} % |")
    print("\n| one of twelve … | done by each | marked | false marks | worlds with one |\n|---|---|---|---|---|")
    for fault in FAULTS:
        for prompts in (400, 1200, 4000):
            found = finding(worlds, fault, prompts)
            told = f"{100 * found.found:.1f} %" if FAULTS[fault][0] else "–"
            rest = f"{100 * found.false:.1f} % | {100 * found.anyone:.1f} %"
            print(f"| {fault} | {prompts * EACH // PEOPLE} | {told} | {rest} |")
    print(f"\n{time.process_time() - start:.0f} s of one core")


if __name__ == "__main__":
    main()
