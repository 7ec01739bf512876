"""Simulated worlds for the intervals of which `worlds.py`, `preference_worlds.py` and `followed_worlds.py` say nothing.

    python tests/measure/interval_worlds.py [--worlds 500] [--only taxed,rewarded]

prints the table of docs/results.md: how often each holds the truth, the value of one world 60 to 1,000 times as large.
Chance moves that by an eighth of a standard error at most, which costs a coverage 0.2 points; intervals are of 300
draws, not 2,000, whose ends waver by a seventh, which costs 0.3. What speaks of these people meets one team in all
worlds; what speaks of all people meets others in each.

Shape suffixes: P prompts, E people a prompt, L people, J pairs of a prompt, N values, T tasks, I items, M models.
"""

import argparse
import dataclasses
import itertools
import time

import numpy as np
import worlds
from scipy.special import expit

from biddable.benchmarks.nouns import Setting
from biddable.measure import agreement, benchmarks, coefficients, judges, lengths, metadata, reward, tax, winrate
from biddable.measure.auc import auc
from biddable.measure.interval import Bootstrap, Interval, bootstrap
from biddable.measure.said import Said
from biddable.records import EPOCH, Completion, Judgement, Ranking, Verdict

FAST = Bootstrap(draws=300)
ONCE = Bootstrap(draws=100)  # where the value alone is asked for
Found = dict[str, Interval | list[Interval] | None]


def the_team() -> np.random.Generator:
    """Whoever is drawn of it is the same in every world."""
    return np.random.default_rng(12)


def who_of(rng: np.random.Generator, prompts: int, people: int, each: int) -> np.ndarray:
    """(P, E), each prompt's own people; with as many people as prompts, each prompt has one alone."""
    return (
        np.arange(prompts)[:, None]
        if people == prompts
        else np.argsort(rng.random((prompts, people)), axis=1)[:, :each]
    )


def ranked(rng: np.random.Generator, prompts: int, how: Bootstrap) -> Found:
    """120 prompts, 4 answers, ranked by 3 of one team of 12"""
    world = worlds.simulate(rng, worlds.team(the_team(), 12), prompts, 3)
    said, some = worlds.said(world), []
    for prompt, who, tier_K in zip(world.prompt_R, world.labeler_R, world.tier_RK.tolist(), strict=True):
        order = tuple(tuple(str(k) for k in range(4) if tier_K[k] == tier) for tier in range(max(tier_K) + 1))
        # `at` is given, here and below, because pydantic copies its default deeply: a third of the time of a world
        some.append(Ranking.model_construct(prompt_id=f"p{prompt:05}", labeler=f"l{who:02}", order=order, at=EPOCH))
    whole = coefficients.rank_correlations(some, how)
    return {
        "agreement, ties strict": agreement.agreement(some, ties="strict", how=how),
        "agreement, decided pairs": agreement.agreement(some, ties="decided", how=how),
        "Krippendorff's alpha of pairs": coefficients.alpha_of_pairs(said, how),
        "Fleiss' kappa": coefficients.fleiss(said, how),
        "Kendall's tau": whole["tau"],
        "Kendall's W": whole["w"],
    }


def rated(rng: np.random.Generator, prompts: int, how: Bootstrap) -> Found:
    """100 prompts, 2 answers, rated 1 to 7 by 3 of one team of 12"""
    own_L, noise_L = np.array([[0.5], [0.3]]) * the_team().standard_normal((2, 12))
    who_PE = who_of(rng, prompts, 12, 3)
    good_P2 = rng.standard_normal((prompts, 1)) + rng.standard_normal((prompts, 2))
    felt_P2E = good_P2[:, :, None] + own_L[who_PE][:, None]
    felt_P2E = felt_P2E + np.exp(noise_L[who_PE])[:, None] * rng.standard_normal(felt_P2E.shape)
    value_N = np.clip(np.round(3.5 + 1.2 * felt_P2E), 0, 6).astype(np.intp).ravel()
    item_N, labeler_N = np.repeat(np.arange(2 * prompts), 3), np.repeat(who_PE, 2, axis=0).ravel()
    said = Said(item_N, labeler_N, value_N, np.repeat(np.arange(prompts), 2), prompts, tuple("abcdefghijkl"), 7)
    return {f"alpha of ratings, {scale}": coefficients.alpha(said, scale, how) for scale in ("ordinal", "interval")}


def judged_alone(rng: np.random.Generator, prompts: int, how: Bootstrap) -> Found:
    """150 prompts, answers of two models judged by 2 of 15 people, others in each world; weighed: the hard ones of 400
    prompts were asked sooner"""

    def records(prompts: int, pool: int, people: int) -> tuple[list[Judgement], list[Completion], dict[str, str]]:
        hard_P, chance_P = rng.standard_normal(pool), np.ones(pool)
        if pool > prompts:
            chance_P = np.clip(expit(hard_P + np.log(prompts / (pool - prompts))), 0.05, 1)
            kept_P = rng.random(pool) < chance_P
            hard_P, chance_P = hard_P[kept_P], chance_P[kept_P]
        who_PE = who_of(rng, len(hard_P), people, 2)
        asked_P, strict_L = rng.random(len(hard_P)) < 1 / 3, 0.5 * rng.standard_normal(people)
        worth_PM = np.array([0.0, 0.4]) - 0.7 * hard_P[:, None] + 0.5 * rng.standard_normal((len(hard_P), 2))
        felt_PEM = worth_PM[:, None] - strict_L[who_PE][:, :, None] + 0.8 * rng.standard_normal((*who_PE.shape, 2))
        rating_PEM = np.clip(np.round(4.5 + 1.2 * felt_PEM), 1, 7).astype(int).tolist()
        fails_PEM, made_up_PEM = ((rng.random(felt_PEM.shape) < expit(b - felt_PEM)).tolist() for b in (-1.5, -1.0))
        told, texts, models = [], [], {}
        for p, m in itertools.product(range(len(who_PE)), range(2)):
            name, models[f"{p}-{m}"] = f"{p}-{m}", ("sft", "ppo")[m]
            texts.append(Completion.model_construct(id=name, prompt_id=f"p{p:05}", text="", run_id="r"))
            told += [
                Judgement.model_construct(
                    completion_id=name, labeler=f"l{who:05}", overall=rating_PEM[p][e][m],
                    fails_task=fails_PEM[p][e][m], hallucination=made_up_PEM[p][e][m] if asked_P[p] else None,
                    propensity=float(chance_P[p]), at=EPOCH,
                )
                for e, who in enumerate(who_PE[p].tolist())
            ]  # fmt: skip
        return told, texts, models

    people = 15 if how is FAST else prompts
    plain = records(prompts, prompts, people)
    chosen = records(prompts, prompts * 8 // 3, people) if how is FAST else plain  # of all prompts, so is the truth
    rates, gaps = metadata.rates(*plain, how), metadata.differences(*plain, "sft", how)
    own, picked = ({c.id: c for c in texts if models[c.id] == "sft"} for _, texts, models in (plain, chosen))
    return {
        "mean rating": metadata.likert(plain[0], own, how),
        "rate, asked of all": list(rates["fails_task"].values()),
        "rate, asked of a third": list(rates["hallucination"].values()),
        "difference of two models, ratings": gaps["overall"]["ppo"],
        "difference of two models, rates": gaps["fails_task"]["ppo"],
        "weighed mean rating": metadata.likert(chosen[0], picked, how),
        "weighed rate": metadata.rate(chosen[0], picked, ["fails_task"], how),
        "weighed difference": metadata.differences(*chosen, "sft", how)["overall"]["ppo"],
    }


def rewarded(rng: np.random.Generator, prompts: int, how: Bootstrap) -> Found:
    """100 prompts, 4 answers ranked by one person; a reward model that is twice too sure, or nearly right, and errs
    where its heads stand apart"""

    def margins(prompts: int, stretch: float) -> reward.Margins:
        good_P4 = rng.standard_normal((prompts, 4))
        spread_P4 = 0.6 * np.exp(0.5 * rng.standard_normal((prompts, 4)))
        score_P4 = stretch * (good_P4 + spread_P4 * rng.standard_normal((prompts, 4)))
        felt_P4 = good_P4 + 0.8 * rng.gumbel(size=(prompts, 4))
        a, b = np.array(list(itertools.combinations(range(4), 2))).T
        margin_PJ = np.sign(felt_P4[:, a] - felt_P4[:, b]) * (score_P4[:, a] - score_P4[:, b])
        names = tuple(f"p{p:05}" for p in range(prompts) for _ in a)
        return reward.Margins(margin_PJ.ravel(), names, names, np.hypot(spread_P4[:, a], spread_P4[:, b]).ravel())

    sure, mild = margins(prompts, 2.0), margins(prompts, 0.8)
    found = reward.calibration(sure, how=how)
    one = sure if how is FAST else dataclasses.replace(sure, prompts=("p",) * len(sure.prompts))  # no draws of it
    doubt = reward.doubt(one, how)
    return {
        "reward accuracy": reward.accuracy(sure, how),
        "log loss": found.log_loss,
        "calibration bins": [band.observed for band in found.bins],
        "calibration error, twice too sure": found.error_interval,
        "calibration error, nearly right": reward.calibration(mild, how=how).error_interval,
        "doubt: spread and error": doubt.correlation,
        "doubt: spread where wrong": doubt.wrong,
        "doubt: closeness where wrong": doubt.closeness,
    }


JUDGE = np.array([[0.2], [1.0], [0.4]])  # what it thinks of the first model, of longer answers, of what is shown first


def tastes(rng: np.random.Generator, people: int) -> np.ndarray:
    """(3, L), the same of people."""
    return np.array([[0], [0.5], [0.15]]) + np.array([[0.5], [0.4], [0.25]]) * rng.standard_normal((3, people))


def court(rng: np.random.Generator, prompts: int, taste_3L: np.ndarray, seen: int, each: int) -> tuple:
    """Two models' answers: what `each` people said of the first `seen`, what a judge did of all, models and lengths."""
    words_PM = np.exp(rng.normal((6.2, 6.0), 0.4, (prompts, 2)))
    longer_P, ahead_P = np.log(words_PM[:, 0] / words_PM[:, 1]), 0.3 + 0.8 * rng.standard_normal(prompts)

    def verdicts(of_3L: np.ndarray, who_PE: np.ndarray, first_PE: np.ndarray, kind: str, count: int) -> list[Verdict]:
        ahead_PE, longer_PE, first_shown_PE = of_3L[:, who_PE]
        up_PE = ahead_P[:, None] + ahead_PE + longer_PE * longer_P[:, None] + first_shown_PE * (2 * first_PE - 1)
        won_PE, lost_PE = np.exp(up_PE / 2), np.exp(-up_PE / 2)
        drawn_PE = rng.random(up_PE.shape) * (won_PE + lost_PE + 0.4)
        side_PE = np.where(drawn_PE < won_PE, "a", np.where(drawn_PE < won_PE + lost_PE, "b", "tie"))
        return [
            Verdict.model_construct(
                prompt_id=f"p{p:05}", a=f"x{p}", b=f"y{p}", better=side, judge=kind, labeler=f"{kind}{who:05}",
                shown="ab" if first else "ba", propensity=None, extra=None, at=EPOCH,
            )
            for p in range(count)
            for side, who, first in zip(*(of_PE[p].tolist() for of_PE in (side_PE, who_PE, first_PE)), strict=True)
        ]  # fmt: skip

    who_PE = who_of(rng, prompts, taste_3L.shape[1], each)
    people = verdicts(taste_3L, who_PE, rng.integers(2, size=who_PE.shape), "person", seen)
    judge = verdicts(JUDGE, np.zeros((prompts, 2), int), np.tile([1, 0], (prompts, 1)), "model", prompts)
    models = {f"{side}{p}": side for side in "xy" for p in range(prompts)}
    return people, judge, models, dict(zip(models, words_PM.T.astype(int).ravel().tolist(), strict=True))


def compared(rng: np.random.Generator, prompts: int, how: Bootstrap) -> Found:
    """150 prompts, answers of two models; a judge saw all both ways round, 2 of 15 people two thirds of them, others in
    each world; two people, behind: 3 of one team of 15"""
    people, seen = (15, prompts * 2 // 3) if how is FAST else (prompts, prompts)
    said, judge, models, length = court(rng, prompts, tastes(rng, people), seen, 2)
    found = judges.judged("j", judge, said, models, [("x", "y")], length, how=how)
    of_team, *rest = court(rng, prompts, tastes(the_team(), 15), prompts * 2 // 3, 3)
    beside = judges.judged("j", rest[0], of_team, models, [], rest[2], how=how)
    return {
        "first shown preferred by people": winrate.first_shown_rate(said, how),
        "longer preferred by people": found.longer_people,
        "win rate at equal length": lengths.controlled(said, models, "x", "y", length, how).equal,
        "judge agrees with a person": found.agrees,
        "says another thing when turned": found.flipped,
        "first shown preferred by a judge": found.first,
        "longer preferred by a judge": found.longer,
        "win rate by a judge": found.rates["x_vs_y"],
        "the same at equal length": found.controlled["x_vs_y"].equal,
        "what people would say of all": found.helped["x_vs_y"],
        "two people agree": beside.people,
        "judge behind a person": beside.behind,
    }


def taxed(rng: np.random.Generator, items: int, how: Bootstrap) -> Found:
    """4 tasks of 200 items, three models; PPO loses 15 points, or 6"""

    found: Found = {}
    for size, ahead in (("large", (0.6, -0.4, 0.3)), ("small", (0.3, -0.1, 0.15))):
        item_TI = np.array([[1.2], [0.6], [0.0], [-0.4]]) + 1.5 * rng.standard_normal((4, items))
        chance_MI = expit(np.array(ahead)[:, None] + item_TI.ravel())
        right_MI = (rng.random(chance_MI.shape) < chance_MI).astype(float)
        repair = tax.repaired(tax.accuracies(right_MI, [items] * 4), how)
        regained, share = f"regained of a {size} loss", f"share of a {size} loss"
        found |= {f"lost, {size}": repair.lost, regained: repair.regained, share: repair.share}
    found["accuracy in a task"] = [bootstrap(x_I, range(items), how=how) for x_I in right_MI[0].reshape(4, -1)]
    return found | {"mean of tasks": tax._mean(right_MI[0], [items] * 4, how)}


def in_words(rng: np.random.Generator, items: int, how: Bootstrap) -> Found:
    """150 items answered in words by two models; for F1, of 50 articles"""

    def counted(sums_MIC: np.ndarray, metric: str, group_I: np.ndarray, how: Bootstrap, **more) -> list:
        names = [f"{i:05}" for i in range(len(group_I))]
        by_model = {m: dict(zip(names, of.tolist(), strict=True)) for m, of in zip("xy", sums_MIC, strict=True)}
        groups = dict(zip(names, map(str, group_I.tolist()), strict=True))
        of = benchmarks.Counted(Setting.model_construct(metric=metric), metric, "", groups, by_model, **more)
        return [benchmarks.score(of, "x", how), benchmarks.difference(of, "x", "y", how)]

    hard_I, length_I, sums = rng.standard_normal(items), 6 + rng.poisson(14, items), []
    for ahead in (0.3, 0.0):
        said_I = np.maximum(5, length_I + rng.integers(-4, 4, items))
        chance_I = expit(ahead + 0.6 - 0.5 * hard_I + 0.3 * rng.standard_normal(items))
        all_I4 = said_I[:, None] - np.arange(4)
        right_I4 = rng.binomial(all_I4, chance_I[:, None] ** np.array([1, 1.8, 2.6, 3.4]))
        sums.append(np.column_stack([right_I4, all_I4, said_I, length_I]))
    bleu = counted(np.stack(sums), "bleu", np.arange(items), how, statistic=benchmarks.replies.bleu)
    article_I = rng.integers(items // 3, size=items)
    felt_I = rng.standard_normal(items)[article_I] + rng.standard_normal(items)
    felt_MI = np.array([[0.4], [0.0]]) + felt_I + 0.7 * rng.standard_normal((2, items))
    f1 = counted(np.clip(0.5 + 0.6 * felt_MI, 0, 1)[:, :, None], "squad_f1", article_I, how)
    return dict(zip(("BLEU", "difference of BLEU", "F1", "difference of F1"), (*bleu, *f1), strict=True))


def told_apart(rng: np.random.Generator, texts: int, how: Bootstrap) -> Found:
    """200 texts, 60 of the one kind, whose scores lie 1.5 or 2.5 standard deviations higher"""
    label_N = np.arange(texts) < texts * 3 // 10
    some = (("AUC of 0.86", 1.5), ("AUC of 0.96", 2.5))
    return {what: auc(rng.standard_normal(texts) + apart * label_N, label_N, how.level) for what, apart in some}


FAMILIES = {  # how large a world is, and how many times as large the one that tells the truth
    "ranked": (ranked, 120, 60), "rated": (rated, 100, 200), "judged_alone": (judged_alone, 150, 60),
    "rewarded": (rewarded, 100, 200), "compared": (compared, 150, 60), "taxed": (taxed, 200, 200),
    "in_words": (in_words, 150, 200), "told_apart": (told_apart, 200, 1000),
}  # fmt: skip


def listed(found: Interval | list[Interval] | None) -> list[Interval]:
    return found if isinstance(found, list) else [found] if found is not None else []


def coverage(name: str, count: int, seed: int = 1) -> dict[str, tuple[float, float]]:
    """How often each interval of a family holds the truth, and its mean width. Of a loss that is not shown there is no
    share; every other interval is there in every world."""
    (told, size, many), rng = FAMILIES[name], np.random.default_rng(seed)
    truth, held = told(rng, many * size, ONCE), {}
    for _ in range(count):
        for what, found in told(rng, size, FAST).items():
            for true, one in zip(listed(truth[what]), listed(found), strict=not what.startswith("share")):
                held.setdefault(what, []).append((one.low <= true.value <= one.high, one.high - one.low))
    return {what: tuple(np.mean(some, axis=0).tolist()) for what, some in held.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=500)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(FAMILIES), help=", ".join(FAMILIES))
    asked, start = parser.parse_args(), time.process_time()
    print(f"{asked.worlds} worlds\n\n| a world has | interval | holds the truth | mean width |\n|---|---|---|---|")
    for name in asked.only:
        of = " ".join(FAMILIES[name][0].__doc__.split())
        for nth, (what, (share, width)) in enumerate(coverage(name, asked.worlds).items()):
            print(f"| {'' if nth else of} | {what} | {100 * share:.1f} % | {width:.3f} |", flush=True)
    print(f"\n{time.process_time() - start:.0f} s of one core")


if __name__ == "__main__":
    main()
