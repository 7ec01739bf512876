import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from biddable.losses.sft import nll, token_logp


def example(positions, width, vocabulary, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    hidden_ND = torch.randn(positions, width, generator=generator, dtype=dtype).requires_grad_()
    weight_VD = torch.randn(vocabulary, width, generator=generator, dtype=dtype).requires_grad_()
    return hidden_ND, weight_VD, torch.randint(vocabulary, (positions,), generator=generator)


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation returned, forward or backward."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


def test_by_hand():
    # logits (0, 0) and (log 3, 0), target 0 in both: p = ½ and ¾; (log 2 + log 4/3)/2 = ½ log 8/3
    hidden_ND = torch.tensor([[0.0], [math.log(3.0)]])
    weight_VD = torch.tensor([[1.0], [0.0]])
    assert nll(hidden_ND, weight_VD, torch.tensor([0, 0])).item() == pytest.approx(0.5 * math.log(8 / 3))


def test_by_its_slow_definition():
    hidden_ND, weight_VD, target_N = example(5, 3, 7)
    slow = 0.0
    for h, target in zip(hidden_ND.tolist(), target_N.tolist(), strict=True):
        logits = [sum(a * b for a, b in zip(w, h, strict=True)) for w in weight_VD.tolist()]
        slow -= logits[target] - math.log(sum(math.exp(x) for x in logits))
    assert nll(hidden_ND, weight_VD, target_N, chunk=2).item() == pytest.approx(slow / 5, rel=1e-12)


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))
def test_equal_to_all_logits_at_once_however_it_is_cut(positions, chunk, seed):
    hidden_ND, weight_VD, target_N = example(positions, 4, 6, seed)
    plain = F.cross_entropy(hidden_ND @ weight_VD.T, target_N)
    ours = nll(hidden_ND, weight_VD, target_N, chunk=chunk)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)  # float64
    for got, want in zip(
        torch.autograd.grad(3 * ours, (hidden_ND, weight_VD)),
        torch.autograd.grad(3 * plain, (hidden_ND, weight_VD)),
        strict=True,
    ):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_gradients():
    hidden_ND, weight_VD, target_N = example(7, 3, 5)
    assert torch.autograd.gradcheck(lambda h, w: nll(h, w, target_N, chunk=3), (hidden_ND, weight_VD))


@pytest.mark.parametrize(("hidden_learns", "weight_learns"), [(True, False), (False, True), (False, False)])
def test_a_frozen_side_gets_no_gradient(hidden_learns, weight_learns):
    hidden_ND, weight_VD, target_N = example(6, 3, 5)
    learning = [
        x for x, on in ((hidden_ND, hidden_learns), (weight_VD, weight_learns)) if x.requires_grad_(on) is x and on
    ]
    loss = nll(hidden_ND, weight_VD, target_N, chunk=4)
    plain = F.cross_entropy(hidden_ND @ weight_VD.T, target_N)
    assert loss.requires_grad is bool(learning)
    if learning:
        torch.testing.assert_close(torch.autograd.grad(loss, learning), torch.autograd.grad(plain, learning))


def test_never_holds_all_logits():
    hidden_ND, weight_VD, target_N = example(64, 4, 50)
    with Largest() as ours:
        nll(hidden_ND, weight_VD, target_N, chunk=8).backward()
    assert ours.numel == 8 * 50  # a chunk of logits, and h and W are smaller; all logits would be 64 · 50
    with Largest() as plain:
        F.cross_entropy(hidden_ND @ weight_VD.T, target_N).backward()
    assert plain.numel == 64 * 50  # so the measure sees what it should


def test_makes_no_gradient_where_none_is_asked_for():
    hidden_ND, weight_VD, target_N = example(64, 40, 5)
    with torch.no_grad(), Largest() as seen:
        loss = nll(hidden_ND, weight_VD, target_N, chunk=8)
    assert not loss.requires_grad
    assert seen.numel == 8 * 40  # a chunk of h; a gradient of h would be 64 · 40


def test_bfloat16_is_summed_in_float32():
    hidden_ND, weight_VD, target_N = example(4096, 8, 16, dtype=torch.bfloat16)
    plain = F.cross_entropy(hidden_ND.float() @ weight_VD.float().T, target_N)
    ours = nll(hidden_ND, weight_VD, target_N, chunk=16)
    assert ours.dtype == torch.float32
    # bfloat16 has 8 bits: each logit is off by up to 1/256 of itself, and their mean by much less.
    torch.testing.assert_close(ours, plain, rtol=2e-3, atol=0)
    grads = torch.autograd.grad(ours, (hidden_ND, weight_VD))
    wants = torch.autograd.grad(plain, (hidden_ND, weight_VD))
    assert [grad.dtype for grad in grads] == [torch.bfloat16, torch.bfloat16]
    for got, want in zip(grads, wants, strict=True):
        assert (got - want).float().norm() < 0.01 * want.float().norm()


def test_huge_logits_stay_numbers():
    hidden_ND, weight_VD = torch.tensor([[1e4]], requires_grad=True), torch.tensor([[1.0], [-1.0]])
    sure, wrong = (nll(hidden_ND, weight_VD, torch.tensor([target])) for target in (0, 1))
    assert (sure.item(), wrong.item()) == (0.0, 2e4)
    assert torch.autograd.grad(wrong, hidden_ND)[0].item() == 2.0  # W_0 − W_1: p is all on the other word


def test_no_position_has_no_mean():
    with pytest.raises(ValueError, match="no position is given"):
        nll(torch.ones(0, 3), torch.ones(5, 3), torch.ones(0, dtype=torch.long))


def test_shapes_that_do_not_fit_are_refused():
    target_N = torch.zeros(4, dtype=torch.long)
    for hidden_shape, weight_shape, chunk in (
        ((4, 3), (5, 2), 8),
        ((5, 3), (5, 3), 8),
        ((1, 4, 3), (5, 3), 8),
        ((4, 3), (5, 3), 0),
    ):
        with pytest.raises((AssertionError, TypeError)):
            nll(torch.ones(hidden_shape), torch.ones(weight_shape), target_N, chunk=chunk)
    with pytest.raises((IndexError, RuntimeError)):  # no sentinel values: −100 is not a target
        nll(torch.ones(4, 3), torch.ones(5, 3), target_N - 100)


# log p of each token


def test_each_tokens_logp_and_entropy_by_hand():
    # logits (0, 0) and (log 3, 0): p = (½, ½) and (¾, ¼)
    hidden_ND = torch.tensor([[0.0], [math.log(3.0)]])
    weight_VD = torch.tensor([[1.0], [0.0]])
    logp_N, entropy_N = token_logp(hidden_ND, weight_VD, torch.tensor([1, 1]))
    assert logp_N.tolist() == pytest.approx([math.log(1 / 2), math.log(1 / 4)])
    assert entropy_N.tolist() == pytest.approx([math.log(2), 3 / 4 * math.log(4 / 3) + 1 / 4 * math.log(4)])


@given(st.integers(0, 9), st.integers(1, 12), st.integers(0, 99), st.sampled_from([0, 10**6]))
def test_equal_to_a_softmax_over_all_however_it_is_cut_and_kept_or_made_again(positions, chunk, seed, keep):
    hidden_ND, weight_VD, target_N = example(positions, 4, 6, seed)
    worth_N = torch.arange(positions, dtype=torch.float64).cos()
    plain_NV = (hidden_ND @ weight_VD.T).log_softmax(-1)
    plain_N = plain_NV[range(positions), target_N]
    logp_N, entropy_N = token_logp(hidden_ND, weight_VD, target_N, chunk, keep)
    torch.testing.assert_close(logp_N, plain_N, rtol=1e-12, atol=1e-12)  # float64
    torch.testing.assert_close(entropy_N, -(plain_NV.exp() * plain_NV).sum(1), rtol=1e-12, atol=1e-12)
    assert not entropy_N.requires_grad
    for got, want in zip(
        torch.autograd.grad((worth_N * logp_N).sum(), (hidden_ND, weight_VD)),
        torch.autograd.grad((worth_N * plain_N).sum(), (hidden_ND, weight_VD)),
        strict=True,
    ):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("keep", [0, 10**6])
def test_gradients_of_each_tokens_logp(keep):
    hidden_ND, weight_VD, target_N = example(7, 3, 5)
    assert torch.autograd.gradcheck(lambda h, w: token_logp(h, w, target_N, 3, keep)[0], (hidden_ND, weight_VD))


def test_without_entropies_the_logps_are_the_same():
    hidden_ND, weight_VD, target_N = example(7, 3, 5)
    with_N, _ = token_logp(hidden_ND, weight_VD, target_N, 3)
    without_N, none_N = token_logp(hidden_ND, weight_VD, target_N, 3, entropies=False)
    assert torch.equal(with_N, without_N)
    assert not none_N.any()
    grads = [torch.autograd.grad(x_N.sum(), (hidden_ND, weight_VD)) for x_N in (with_N, without_N)]
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_a_frozen_side_of_a_logp_gets_no_gradient():
    hidden_ND, weight_VD, target_N = example(6, 3, 5)
    for frozen, learning in ((hidden_ND, weight_VD), (weight_VD, hidden_ND)):
        frozen.requires_grad_(False)
        token_logp(hidden_ND, weight_VD, target_N)[0].sum().backward()
        assert (frozen.grad, learning.grad is None) == (None, False)
        frozen.requires_grad_()
        learning.grad = None


def test_logps_of_many_tokens_never_make_all_logits():
    hidden_ND, weight_VD, target_N = example(64, 4, 50)
    with Largest() as ours:
        token_logp(hidden_ND, weight_VD, target_N, chunk=8, keep=0)[0].sum().backward()
    assert ours.numel == 8 * 50  # a chunk of them; h and W are smaller
    with torch.no_grad(), Largest() as unkept:
        token_logp(hidden_ND, weight_VD, target_N, chunk=8)
    assert unkept.numel == 8 * 50


@pytest.mark.parametrize("keep", [0, 10**6])
def test_logps_in_bfloat16_are_summed_in_float32(keep):
    hidden_ND, weight_VD, target_N = example(4096, 8, 16, dtype=torch.bfloat16)
    plain_N = -F.cross_entropy(hidden_ND.float() @ weight_VD.float().T, target_N, reduction="none")
    logp_N, _ = token_logp(hidden_ND, weight_VD, target_N, 16, keep)
    assert logp_N.dtype == torch.float32
    wants = torch.autograd.grad(plain_N.mean(), (hidden_ND, weight_VD))
    for got, want in zip(torch.autograd.grad(logp_N.mean(), (hidden_ND, weight_VD)), wants, strict=True):
        assert got.dtype == torch.bfloat16
        # bfloat16 has 8 bits; the probabilities are rounded to it before they are summed
        assert (got - want).float().norm() < 0.02 * want.float().norm()


def test_each_tokens_logp_and_entropy_by_their_slow_definition():
    hidden_ND, weight_VD, target_N = example(5, 3, 7)
    logp_N, entropy_N = token_logp(hidden_ND, weight_VD, target_N, chunk=2)
    for n, h in enumerate(hidden_ND.tolist()):
        odds = [math.exp(sum(a * b for a, b in zip(w, h, strict=True))) for w in weight_VD.tolist()]
        p = [x / sum(odds) for x in odds]
        assert logp_N[n].item() == pytest.approx(math.log(p[target_N[n]]), rel=1e-12)
        assert entropy_N[n].item() == pytest.approx(-sum(x * math.log(x) for x in p), rel=1e-12)


@given(st.integers(1, 6), st.integers(2, 9), st.integers(0, 99))
def test_tokens_have_probability_1_and_likelihood_is_their_mean(positions, vocabulary, seed):
    hidden_ND, weight_VD, target_N = example(positions, 4, vocabulary, seed)
    total_N = torch.zeros(positions, dtype=torch.float64)
    for word in range(vocabulary):
        total_N = total_N + token_logp(hidden_ND, weight_VD, torch.full_like(target_N, word), 2)[0].exp()
    torch.testing.assert_close(total_N, torch.ones_like(total_N), rtol=0, atol=1e-12)
    logp_N, entropy_N = token_logp(hidden_ND, weight_VD, target_N, 2)
    assert nll(hidden_ND, weight_VD, target_N).item() == pytest.approx(-logp_N.mean().item(), rel=1e-12)
    assert ((entropy_N >= 0) & (entropy_N <= math.log(vocabulary) + 1e-12)).all()
    # One vector added to every word's adds one number to all its logits.
    moved_N, moved_entropy_N = token_logp(hidden_ND, weight_VD + weight_VD[:1], target_N, 2)
    torch.testing.assert_close(moved_N, logp_N, rtol=0, atol=1e-11)
    torch.testing.assert_close(moved_entropy_N, entropy_N, rtol=0, atol=1e-11)


def test_what_is_held_by_default():
    """At most 2²⁶ probabilities are kept; beyond, 256 rows of them are there at a time, and of nll's 128. Sizes alone:
    tensors on the meta device hold no numbers."""
    weight_VD = torch.ones(2**12, 4, device="meta", requires_grad=True)
    for positions, tokens in ((2**14, 2**26), (2**14 + 1, 256 * 2**12)):
        hidden_ND = torch.ones(positions, 4, device="meta")
        target_N = torch.zeros(positions, dtype=torch.long, device="meta")
        for function, largest in ((token_logp, tokens), (nll, 128 * 2**12)):
            with Largest() as seen:
                function(hidden_ND, weight_VD, target_N)
            assert seen.numel == largest


class Sizes(TorchDispatchMode):
    """Remembers where the tensors of one size lay that operations returned."""

    def __init__(self, numel):
        super().__init__()
        self.numel, self.places = numel, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.numel() == self.numel:
            self.places.add(out.data_ptr())
        return out


@pytest.mark.parametrize(
    ("loss", "heads"),
    [
        (lambda *given: nll(*given, chunk=8), 2),  # the sum, and the sum times what comes from above
        (lambda *given: token_logp(*given, chunk=8, keep=0)[0].sum(), 1),
    ],
)
def test_the_heads_gradient_is_summed_where_it_lies(loss, heads):
    """A product as large as the head beside the sum would be as much memory again."""
    hidden_ND, weight_VD, target_N = example(64, 40, 50)
    with Sizes(50 * 40) as seen:
        loss(hidden_ND.detach(), weight_VD, target_N).backward()
    assert len(seen.places - {weight_VD.data_ptr()}) == heads
    with torch.no_grad(), Sizes(50 * 40) as unasked:
        loss(hidden_ND, weight_VD, target_N)
    assert not unasked.places - {weight_VD.data_ptr()}
