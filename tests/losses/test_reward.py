import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biddable.losses.reward import aspect_loss, pairs, plackett_luce_loss, ranking_loss

TIES = ["drop", "davidson", "rao_kupper"]
CLOSE = {"rtol": 1e-10, "atol": 1e-10}  # float64, sums of tens of numbers near 1

# Each ranking is a list of (score, tier); rankings are shuffled together, so that nothing rests on their order.
rankings = st.lists(
    st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 4)), min_size=1, max_size=6), min_size=1, max_size=5
)


def flat(groups, seed=0):
    """score, rank, group, with group numbers that neither begin at 0 nor follow one another."""
    rows = [(score, rank, 10 - 3 * g) for g, group in enumerate(groups) for score, rank in group]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    score, rank, group = zip(*(rows[i] for i in order), strict=True)
    return torch.tensor(score, dtype=torch.float64), torch.tensor(rank), torch.tensor(group)


def slow_pair(high, low, tie, ties, p):
    """−log P of what was said of two answers, by the letter of Davidson and of Rao and Kupper."""
    a, b = math.exp(high), math.exp(low)
    if ties == "davidson":
        nu = 2 * p / (1 - p)
        total = a + b + nu * math.sqrt(a * b)
        return -math.log((nu * math.sqrt(a * b) if tie else a) / total)
    theta = (1 + p) / (1 - p)
    if tie:
        return -math.log((theta**2 - 1) * a * b / ((a + theta * b) * (b + theta * a)))
    return -math.log(a / (a + theta * b))


def slow_ranking_loss(groups, ties="drop", p=1 / 3):
    means = []
    for group in groups:
        losses = []
        for (s, r), (t, q) in itertools.combinations(group, 2):
            high, low = (s, t) if r <= q else (t, s)
            if ties != "drop":
                losses.append(slow_pair(high, low, r == q, ties, p))
            elif r != q:
                losses.append(-math.log(1 / (1 + math.exp(low - high))))
        if losses:
            means.append(sum(losses) / len(losses))
    return sum(means) / len(means) if means else 0.0


def slow_plackett_luce_loss(groups):
    logs = []
    for group in groups:
        if len({rank for _, rank in group}) > 1:
            p = 1.0
            for score, rank in group:
                p *= math.exp(score) / (math.exp(score) + sum(math.exp(s) for s, r in group if r > rank))
            logs.append(-math.log(p))
    return sum(logs) / len(logs) if logs else 0.0


def test_ranking_loss_by_hand():
    # −log σ(1) = 0.3132617, −log σ(2) = 0.1269280, −log σ(0) = log 2. First ranking: Δ = 1, 1, 2: mean 0.2511505
    score, rank = torch.tensor([2.0, 1.0, 0.0, 5.0, 5.0]), torch.tensor([1, 2, 3, 1, 2])
    one = ranking_loss(score[:3], rank[:3], torch.tensor([0, 0, 0]))
    assert one.item() == pytest.approx(0.2511505, abs=1e-6)
    # The mean over rankings: (0.2511505 + 0.6931472)/2. Over loose pairs it would be 0.3616.
    both = ranking_loss(score, rank, torch.tensor([0, 0, 0, 1, 1]))
    assert both.item() == pytest.approx(0.4721488, abs=1e-6)


def test_ranking_loss_drops_ties_by_hand():
    # 2 over a tie of 1 and 0: (0.3132617 + 0.1269280)/2, divided by the two pairs left and not by three
    loss = ranking_loss(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([1, 2, 2]), torch.tensor([7, 7, 7]))
    assert loss.item() == pytest.approx(0.2200949, abs=1e-6)


@pytest.mark.parametrize(
    ("ties", "win", "lose", "tie"),
    [
        # strengths 3 : 1. Davidson, ν = 1: 3, 1 and √3 of 4 + √3. Rao-Kupper, θ = 2: 3/(3 + 2), 1/(1 + 6), 3·3/(5·7)
        ("davidson", 0.5233730, 0.1744577, 0.3021694),
        ("rao_kupper", 0.6, 1 / 7, 9 / 35),
    ],
)
def test_ties_by_hand(ties, win, lose, tie):
    score, group = torch.tensor([math.log(3), 0.0], dtype=torch.float64), torch.tensor([0, 0])
    for rank, p in (((1, 2), win), ((2, 1), lose), ((1, 1), tie)):
        assert ranking_loss(score, torch.tensor(rank), group, ties=ties).item() == pytest.approx(-math.log(p), abs=1e-6)


@pytest.mark.parametrize("ties", ["davidson", "rao_kupper"])
@given(st.floats(-8, 8), st.floats(0.01, 0.9))
def test_what_can_be_said_of_two_answers_has_probability_1(ties, delta, tie_rate):
    score, group = torch.tensor([delta, 0.0], dtype=torch.float64), torch.tensor([0, 0])
    said = [ranking_loss(score, torch.tensor(rank), group, ties, tie_rate) for rank in ((1, 2), (2, 1), (1, 1))]
    assert sum(math.exp(-loss.item()) for loss in said) == pytest.approx(1, abs=1e-12)
    equal = ranking_loss(torch.zeros(2, dtype=torch.float64), torch.tensor([1, 1]), group, ties, tie_rate)
    assert math.exp(-equal.item()) == pytest.approx(tie_rate, abs=1e-12)  # which is what tie_rate means


@pytest.mark.parametrize("ties", TIES)
@given(rankings, st.integers(0, 9), st.floats(0.05, 0.9))
def test_ranking_loss_by_its_slow_definition(ties, groups, seed, tie_rate):
    got = ranking_loss(*flat(groups, seed), ties, tie_rate).item()
    assert got == pytest.approx(slow_ranking_loss(groups, ties, tie_rate), abs=1e-10)


def test_a_learned_tie_rate_gets_its_gradient():
    score, rank, group = flat([[(1.0, 1), (0.5, 1), (-1.0, 2)], [(0.0, 1), (1.0, 2)]])
    for ties in ("davidson", "rao_kupper"):
        tie_rate = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda p, t=ties: ranking_loss(score, rank, group, t, p), tie_rate)


@pytest.mark.parametrize("ties", ["davidson", "rao_kupper"])
def test_a_tie_pulls_scores_together(ties):
    score = torch.tensor([2.0, 0.0], requires_grad=True)
    loss = ranking_loss(score, torch.tensor([1, 1]), torch.tensor([0, 0]), ties)
    high, low = torch.autograd.grad(loss, score)[0].tolist()
    assert high > 0 > low


def test_a_margin_by_hand():
    # Δ = 1 and a margin of 0.5 × 2 tiers: −log σ(0) = log 2; with one tier between them −log σ(0.5) = 0.4740770
    score, group = torch.tensor([2.0, 1.0]), torch.tensor([0, 0])
    for rank, loss in (((1, 3), math.log(2)), ((1, 2), 0.4740770)):
        rank = torch.tensor(rank)
        assert ranking_loss(score, rank, group, grade=-0.5 * rank).item() == pytest.approx(loss, abs=1e-6)
    # The worse answer's higher grade is no head start.
    upside = ranking_loss(score, torch.tensor([1, 2]), group, grade=torch.tensor([0.0, 3.0]))
    assert upside.item() == pytest.approx(0.3132617, abs=1e-6)  # −log σ(1)
    with pytest.raises(ValueError, match="a margin goes with ties dropped, not with davidson"):
        ranking_loss(score, torch.tensor([1, 2]), group, "davidson", grade=score)


@given(rankings, st.integers(0, 9), st.floats(0, 3))
def test_a_margin_by_its_slow_definition(groups, seed, size):
    score, rank, group = flat(groups, seed)
    means = []
    for some in groups:
        deltas = [(s - t, q - r) for s, r in some for t, q in some if r < q]
        losses = [math.log1p(math.exp(size * tiers - delta)) for delta, tiers in deltas]
        means += [sum(losses) / len(losses)] if losses else []
    got = ranking_loss(score, rank, group, grade=-size * rank.double()).item()
    assert got == pytest.approx(sum(means) / max(len(means), 1), abs=1e-10)


@pytest.mark.parametrize("ties", [*TIES, "plackett_luce"])
@given(
    st.lists(st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 4)), min_size=2, max_size=6), min_size=1, max_size=4)
)
def test_a_ranking_of_weight_2_counts_as_twice_one(ties, groups):
    """But the mean is over the rankings that are there, so that a bootstrap is not stretched to its own size."""
    groups = [[*group, (0.0, 0)] for group in groups]  # none without a strict pair
    loss = plackett_luce_loss if ties == "plackett_luce" else lambda *args, **more: ranking_loss(*args, ties, **more)
    score, rank, group = flat(groups)
    times = {10 - 3 * g: float(g % 3) for g in range(len(groups))}
    weight = torch.tensor([times[g] for g in group.tolist()], dtype=torch.float64)
    repeated = [some for g, some in enumerate(groups) for _ in range(g % 3)]
    slow = loss(*flat(repeated)).item() * len(repeated) / len(groups) if repeated else 0.0
    assert loss(score, rank, group, weight=weight).item() == pytest.approx(slow, abs=1e-10)


def test_aspects_by_hand():
    # z = 0 says ½ of a yes: log 2 each. z = 2 of s = ¾: −¾ log σ(2) − ¼ log σ(−2) = 0.6269280. One is not judged.
    logit = torch.tensor([[0.0, 2.0], [0.0, -50.0]])
    share = torch.tensor([[1.0, 0.75], [0.0, 1.0]])
    judged = torch.tensor([[True, True], [True, False]])
    assert aspect_loss(logit, share, judged).item() == pytest.approx((2 * math.log(2) + 0.6269280) / 3, abs=1e-6)
    logit.requires_grad_()
    nothing = aspect_loss(logit, torch.full((2, 2), math.nan), torch.zeros(2, 2, dtype=torch.bool))
    assert nothing.item() == 0
    assert not torch.autograd.grad(nothing, logit)[0].any()


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0, 1)), min_size=1, max_size=6))
def test_an_aspect_is_least_wrong_at_its_share(rows):
    logit, share = torch.tensor(rows, dtype=torch.float64).T[..., None]
    judged = torch.ones_like(logit, dtype=torch.bool)
    logit.requires_grad_()
    gradient = torch.autograd.grad(aspect_loss(logit, share, judged), logit)[0]
    torch.testing.assert_close(gradient, (logit.detach().sigmoid() - share) / len(rows), **CLOSE)


def test_plackett_luce_by_hand():
    # strengths 3, 2, 1 in this order: 3/6 · 2/3 · 1/1 = 1/3
    score = torch.tensor([3.0, 2.0, 1.0]).log()
    loss = plackett_luce_loss(score, torch.tensor([1, 2, 3]), torch.tensor([0, 0, 0]))
    assert loss.item() == pytest.approx(math.log(3), rel=1e-6)
    # 3 over a tie of 2 and 1: 3/6, and nothing is said between the two
    loss = plackett_luce_loss(score, torch.tensor([1, 2, 2]), torch.tensor([0, 0, 0]))
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
    # a tie of 3 and 2 over 1: 3/(3 + 1) · 2/(2 + 1) = 1/2
    loss = plackett_luce_loss(score, torch.tensor([1, 1, 2]), torch.tensor([0, 0, 0]))
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)


@given(rankings, st.integers(0, 9))
def test_plackett_luce_by_its_slow_definition(groups, seed):
    assert plackett_luce_loss(*flat(groups, seed)).item() == pytest.approx(slow_plackett_luce_loss(groups), abs=1e-10)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=4))
def test_plackett_luce_without_ties_is_a_distribution_over_orders(scores):
    score, group = torch.tensor(scores, dtype=torch.float64), torch.zeros(len(scores), dtype=torch.long)
    orders = itertools.permutations(range(1, len(scores) + 1))
    total = sum(math.exp(-plackett_luce_loss(score, torch.tensor(order), group).item()) for order in orders)
    assert total == pytest.approx(1, abs=1e-10)


@given(st.floats(-9, 9), st.floats(-9, 9), st.sampled_from([(1, 2), (2, 1), (3, 3)]))
def test_with_two_answers_plackett_luce_is_the_ranking_loss(a, b, rank):
    args = torch.tensor([a, b], dtype=torch.float64), torch.tensor(rank), torch.tensor([4, 4])
    torch.testing.assert_close(plackett_luce_loss(*args), ranking_loss(*args), **CLOSE)


@given(rankings, st.integers(0, 9))
def test_pairs_are_all_pairs_of_one_ranking_once(groups, seed):
    _, rank_N, group_N = flat(groups, seed)
    pair = pairs(rank_N, group_N)
    got = sorted(map(frozenset, zip(pair.better_P.tolist(), pair.worse_P.tolist(), strict=True)), key=sorted)
    rows = range(len(rank_N))
    assert got == [frozenset((i, j)) for i, j in itertools.combinations(rows, 2) if group_N[i] == group_N[j]]
    assert (rank_N[pair.better_P] <= rank_N[pair.worse_P]).all()
    assert pair.tie_P.equal(rank_N[pair.better_P] == rank_N[pair.worse_P])


# laws


@pytest.mark.parametrize("ties", [*TIES, "plackett_luce"])
@given(rankings, st.floats(-50, 50))
def test_a_constant_added_to_all_scores_changes_nothing(ties, groups, constant):
    score, rank, group = flat(groups)
    loss = plackett_luce_loss if ties == "plackett_luce" else lambda *args: ranking_loss(*args, ties)
    torch.testing.assert_close(loss(score + constant, rank, group), loss(score, rank, group), **CLOSE)
    # even one that differs from ranking to ranking
    torch.testing.assert_close(loss(score + constant * group, rank, group), loss(score, rank, group), **CLOSE)


@pytest.mark.parametrize("ties", [*TIES, "plackett_luce"])
@given(rankings)
def test_only_the_order_of_ranks_matters(ties, groups):
    score, rank, group = flat(groups)
    loss = plackett_luce_loss if ties == "plackett_luce" else lambda *args: ranking_loss(*args, ties)
    torch.testing.assert_close(loss(score, 10 * rank - 7, group), loss(score, rank, group), **CLOSE)
    torch.testing.assert_close(loss(score, rank.double() / 2, -group), loss(score, rank, group), **CLOSE)


@pytest.mark.parametrize("ties", ["drop", "plackett_luce"])
@given(rankings, st.lists(st.floats(-5, 5), min_size=1, max_size=4))
def test_a_ranking_of_ties_counts_for_nothing(ties, groups, tied):
    loss = plackett_luce_loss if ties == "plackett_luce" else ranking_loss
    with_ties = [*groups, [(score, 2) for score in tied]]
    torch.testing.assert_close(loss(*flat(with_ties)), loss(*flat(groups)), **CLOSE)


@pytest.mark.parametrize("groups", [[[(1.0, 1), (2.0, 1)], [(3.0, 1)]], [[(1.0, 5)]]])
@pytest.mark.parametrize("loss", [ranking_loss, plackett_luce_loss])
def test_without_a_strict_pair_loss_and_gradient_are_0(loss, groups):
    score, rank, group = flat(groups)
    score.requires_grad_()
    nothing = loss(score, rank, group)
    assert nothing.item() == 0
    assert not torch.autograd.grad(nothing, score)[0].any()


@pytest.mark.parametrize("loss", [ranking_loss, plackett_luce_loss])
def test_without_rankings_loss_is_0(loss):
    nothing = torch.zeros(0, dtype=torch.long)
    assert loss(torch.zeros(0, requires_grad=True), nothing, nothing).item() == 0


@given(rankings)
def test_gradient_lifts_the_best_and_sinks_the_worst(groups):
    score, rank, group = flat([[*group, (0.0, 0), (0.0, 9)] for group in groups])
    score.requires_grad_()
    for loss in (ranking_loss, plackett_luce_loss):
        grad = torch.autograd.grad(loss(score, rank, group), score)[0]
        assert (grad[rank == 0] < 0).all()
        assert (grad[rank == 9] > 0).all()
        assert grad.sum().item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("ties", [*TIES, "plackett_luce"])
def test_gradients(ties):
    score, rank, group = flat([[(1.0, 1), (0.5, 1), (-1.0, 2), (2.0, 3)], [(0.0, 1), (1.0, 2)], [(3.0, 1), (0.0, 1)]])
    loss = plackett_luce_loss if ties == "plackett_luce" else lambda *args: ranking_loss(*args, ties)
    assert torch.autograd.gradcheck(lambda s: loss(s, rank, group), score.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("ties", [*TIES, "plackett_luce"])
def test_scores_far_apart_stay_numbers(ties, dtype):
    """log(sigmoid(−1000)) is −inf; the loss of a pair this wrong is 1000 and its gradient 1."""
    score = torch.tensor([-500.0, 500.0], dtype=dtype, requires_grad=True)
    loss = plackett_luce_loss if ties == "plackett_luce" else lambda *args: ranking_loss(*args, ties)
    wrong = loss(score, torch.tensor([1, 2]), torch.tensor([0, 0]))
    assert wrong.item() == pytest.approx(1000, rel=0.01)  # Rao-Kupper adds log 2
    assert torch.autograd.grad(wrong, score)[0].tolist() == [-1.0, 1.0]
    right = loss(score, torch.tensor([2, 1]), torch.tensor([0, 0]))
    assert right.item() == 0
    assert not torch.autograd.grad(right, score)[0].any()
    tied = loss(score, torch.tensor([1, 1]), torch.tensor([0, 0]))
    assert tied.isfinite()


def test_memory_goes_with_pairs_and_not_with_the_square():
    """20,000 rankings of 4: 120,000 pairs; a matrix of all answers would have 6.4 billion cells."""
    score_N = torch.randn(80_000, generator=torch.Generator().manual_seed(0))
    rank_N = torch.arange(4).repeat(20_000)
    assert ranking_loss(score_N, rank_N, torch.arange(20_000).repeat_interleave(4)).isfinite()


def test_what_makes_no_sense_is_refused():
    score, rank, group = flat([[(1.0, 1), (2.0, 2)]])
    with pytest.raises(ValueError, match="no ties='keep'; there are drop, davidson, rao_kupper"):
        ranking_loss(score, rank, group, ties="keep")
    for tie_rate in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="tie_rate"):
            ranking_loss(score, rank, group, "davidson", tie_rate)
    for loss in (ranking_loss, plackett_luce_loss):
        with pytest.raises((AssertionError, TypeError)):
            loss(score[None], rank, group)
        with pytest.raises((AssertionError, TypeError)):
            loss(score, rank[:1], group)


def test_weights_by_hand():
    # −log σ(1) = 0.3132617 counts three times and −log σ(0) = log 2 not at all; the mean is still over two rankings
    score, rank = torch.tensor([2.0, 1.0, 5.0, 5.0]), torch.tensor([1, 2, 1, 2])
    group, weight = torch.tensor([0, 0, 1, 1]), torch.tensor([3.0, 3.0, 0.0, 0.0])
    for loss in (ranking_loss, plackett_luce_loss):
        assert loss(score, rank, group, weight=weight).item() == pytest.approx(1.5 * 0.3132617, abs=1e-6)


def test_pairs_by_hand():
    # rankings 5 and 2 interleaved; in 2 the answers 1 and 4 tie
    pair = pairs(torch.tensor([2, 1, 1, 3, 1]), torch.tensor([5, 2, 5, 5, 2]))
    assert pair.better_P.tolist() == [1, 2, 0, 2]
    assert pair.worse_P.tolist() == [4, 0, 3, 3]
    assert pair.tie_P.tolist() == [True, False, False, False]
    assert pair.ranking_P.tolist() == [0, 1, 1, 1]


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0, 1), st.booleans()), min_size=1, max_size=6))
def test_aspects_by_their_slow_definition(rows):
    logit, share = torch.tensor([row[:2] for row in rows], dtype=torch.float64).T[..., None]
    judged = torch.tensor([row[2:] for row in rows])
    losses = [
        -s * math.log(1 / (1 + math.exp(-z))) - (1 - s) * math.log(1 - 1 / (1 + math.exp(-z)))
        for z, s, counts in rows
        if counts
    ]
    slow = sum(losses) / max(len(losses), 1)
    for junk in (0.0, math.nan, math.inf):  # what was not judged nobody sees
        said = aspect_loss(logit, torch.where(judged, share, junk), judged)
        assert said.item() == pytest.approx(slow, abs=1e-9)
