"""Coefficients of agreement: by hand, against kept libraries, and by their laws."""

import krippendorff
import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.inter_rater import fleiss_kappa

from biddable.measure.coefficients import alpha, alpha_of_pairs, concordance, fleiss, rank_correlations, sides, tau
from biddable.measure.interval import Bootstrap
from biddable.measure.said import Said, answers, pairs
from biddable.records import Ranking

FAST = Bootstrap(draws=200)


def table(rows: list[list[int | None]], values: int) -> Said:
    """Rows are people and columns items, each its own prompt; None was not asked."""
    said = [(f"{i}", f"{i}", f"{who}", v) for who, row in enumerate(rows) for i, v in enumerate(row) if v is not None]
    return answers(said, values)


def made(seed: int, people: int = 4, items: int = 40, values: int = 5, missing: float = 0.2):
    rng = np.random.default_rng(seed)
    truth = rng.integers(values, size=items)
    said = np.clip(truth + rng.integers(-1, 2, size=(people, items)), 0, values - 1)
    return [[None if rng.random() < missing else int(v) for v in row] for row in said]


def rank(prompt: str, labeler: str, *tiers: str) -> Ranking:
    return Ranking(prompt_id=prompt, labeler=labeler, order=tuple(tuple(tier) for tier in tiers))


# Krippendorff 2011, section C: four observers, twelve units, values 1 to 5, with his results beside it.
HIS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


@pytest.mark.parametrize(("scale", "his"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_what_krippendorff_prints(scale, his):
    said = table([[v and v - 1 for v in row] for row in HIS], 5)
    assert alpha(said, scale, FAST).value == pytest.approx(his, abs=0.0005)  # he prints three places


@pytest.mark.parametrize("scale", ["nominal", "ordinal", "interval"])
def test_alpha_is_the_library_s(scale):
    for seed in range(5):
        rows = made(seed)
        theirs = krippendorff.alpha(
            [[np.nan if v is None else v for v in row] for row in rows],
            level_of_measurement=scale, value_domain=list(range(5)),
        )  # fmt: skip
        assert alpha(table(rows, 5), scale, FAST).value == pytest.approx(theirs, abs=1e-12)


def test_alpha_of_pairs_by_hand():
    # One prompt, pairs ab ac bc; ann: a>b>c, bob: a>b, a>c, b=c. Both ways each pair: coincidences, halved, are
    # of ab and ac 1 in each corner of (>, >) and (<, <): 2 and 2; of bc ½ in each of (>, =) (=, >) (<, =) (=, <).
    # n = 6, n_> = n_< = 2.5, n_= = 1. D_o = 2/6. D_e = (36 − 6.25 − 1 − 6.25)/30 = .75. alpha = 1 − .4444
    rankings = [rank("p", "ann", "a", "b", "c"), rank("p", "bob", "a", "bc")]
    assert alpha_of_pairs(pairs(rankings), FAST).value == pytest.approx(5 / 9)


def test_which_answer_is_named_first_does_not_move_alpha():
    rng = np.random.default_rng(0)
    said, renamed = [], []
    for p in range(30):
        names = dict(zip("abcd", rng.permutation(list("wxyz")), strict=True))
        for who in ("ann", "bob", "cy"):
            order = list("abcd") if rng.random() < 0.6 else list(rng.permutation(list("abcd")))
            said.append(rank(f"{p}", who, *order))
            renamed.append(rank(f"{p}", who, *(names[x] for x in order)))
    one, other = (alpha_of_pairs(pairs(some), FAST) for some in (said, renamed))
    assert one.value == pytest.approx(other.value, abs=1e-12)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-9)


def test_fleiss_is_the_library_s_and_his_own():
    # Fleiss 1971, table 1: thirty patients, six psychiatrists, five diagnoses; kappa .430
    his = [
        (0, 0, 0, 6, 0), (0, 3, 0, 0, 3), (0, 1, 4, 0, 1), (0, 0, 0, 0, 6), (0, 3, 0, 3, 0), (2, 0, 4, 0, 0),
        (0, 0, 4, 0, 2), (2, 0, 3, 1, 0), (2, 0, 0, 4, 0), (0, 0, 0, 0, 6), (1, 0, 0, 5, 0), (1, 1, 0, 4, 0),
        (0, 3, 3, 0, 0), (1, 0, 0, 5, 0), (0, 2, 0, 3, 1), (0, 0, 5, 0, 1), (3, 0, 0, 1, 2), (5, 1, 0, 0, 0),
        (0, 2, 0, 4, 0), (1, 0, 2, 0, 3), (0, 0, 0, 0, 6), (0, 1, 0, 5, 0), (0, 2, 0, 1, 3), (2, 0, 0, 4, 0),
        (1, 0, 0, 4, 1), (0, 5, 0, 1, 0), (4, 0, 0, 0, 2), (0, 2, 0, 4, 0), (1, 0, 5, 0, 0), (0, 0, 0, 0, 6),
    ]  # fmt: skip
    rows = [[v for v, count in enumerate(row) for _ in range(count)] for row in his]
    said = table([list(column) for column in zip(*rows, strict=True)], 5)
    assert fleiss(said, FAST).value == pytest.approx(0.430, abs=0.0005)
    for seed in range(5):
        some = made(seed, missing=0)
        counts = np.stack([np.bincount(column, minlength=5) for column in np.array(some).T])
        assert fleiss(table(some, 5), FAST).value == pytest.approx(fleiss_kappa(counts), abs=1e-12)


def test_fleiss_leaves_out_what_one_person_said():
    twice = [[0, 1, 0, 1, 1], [0, 1, 1, 1, 0]]
    alone = [[*row, v] for row, v in zip(twice, (1, None), strict=True)]
    assert fleiss(table(twice, 2), FAST).value == pytest.approx(fleiss(table(alone, 2), FAST).value)


def test_where_all_say_the_same_there_is_no_coefficient():
    same = table([[1, 1, 1], [1, 1, 1]], 2)
    assert alpha(same, "nominal", FAST) is None
    assert fleiss(same, FAST) is None


def test_full_agreement_on_things_that_differ_is_one_with_room():
    found = alpha(table([[0, 1] * 20, [0, 1] * 20], 2), "nominal", FAST)
    assert found.value == found.high == 1
    assert 0.7 < found.low < 0.95  # forty prompts without a difference: room for 1 − .025^(1/40) = 8.8 % of them


def test_tau_is_scipy_s():
    rng = np.random.default_rng(0)
    for _ in range(50):
        ranks = rng.integers(1, 5, size=(2, 5))
        one, other = (
            sides(rank("p", "x", *tiers), [*"abcde"])
            for row in ranks
            for tiers in ([["abcde"[k] for k in np.flatnonzero(row == r)] for r in sorted(set(row))],)
        )
        theirs = scipy.stats.kendalltau(*ranks).statistic
        ours = tau(one, other)
        assert ours is None if np.isnan(theirs) else ours == pytest.approx(theirs)


def test_concordance_by_hand_and_by_its_definition():
    # Without ties W = 12 S/m²(K³ − K). Ranks 1 2 3, 1 3 2: sums 2 5 5, mean 4, S = 6; 72/(4 · 24) = .75
    both = np.stack([sides(rank("p", "x", *order), ["a", "b", "c"]) for order in ("abc", "acb")])
    assert concordance(both) == pytest.approx(0.75)
    # With ties, by the slow definition: midranks, T = Σ (t³ − t)
    orders = [("a", "bc", "d"), ("ab", "cd"), ("d", "a", "bc")]
    some = [rank("p", "x", *order) for order in orders]
    mid = np.array([scipy.stats.rankdata([one.ranks[name] for name in "abcd"]) for one in some])
    spread = np.sum((mid.sum(axis=0) - mid.sum(axis=0).mean()) ** 2)
    ties = [sum(len(tier) ** 3 - len(tier) for tier in one.order) for one in some]
    slow = 12 * spread / (9 * (64 - 4) - 3 * sum(ties))
    assert concordance(np.stack([sides(one, [*"abcd"]) for one in some])) == pytest.approx(slow)
    assert concordance(np.zeros((2, 3, 3))) is None


def test_rank_correlations_over_prompts():
    same = [rank(f"p{n}", who, "a", "b", "c") for n in range(20) for who in ("ann", "bob")]
    found = rank_correlations(same, FAST)
    assert found["tau"].value == found["w"].value == 1
    turned = [rank(f"p{n}", who, *order) for n in range(20) for who, order in (("ann", "abc"), ("bob", "cba"))]
    found = rank_correlations(turned, FAST)
    assert (found["tau"].value, found["w"].value) == (-1, 0)
    assert rank_correlations([rank("p", "ann", "a", "b")], FAST) == {}
