import math

import pytest
import torch

from biddable.learn import loop
from biddable.learn.loop import OptimizerSettings
from biddable.runs import NotFinite


def test_a_stream_follows_from_its_purpose_alone():
    def first(*purpose):
        return torch.rand(3, generator=loop.stream(*purpose)).tolist()

    torch.rand(5)  # the global stream plays no part
    assert first(0, "ppo", "rollout", 7) == first(0, "ppo", "rollout", 7)
    names = [(0, "ppo", "rollout", 7), (0, "ppo", "rollout", 8), (1, "ppo", "rollout", 7), (0, "sft", "rollout", 7)]
    assert len({tuple(first(*name)) for name in names}) == 4


def test_endless_sees_each_item_once_a_pass_and_can_begin_anywhere():
    whole = loop.endless(5, 0, 15, 0, "x")
    for at in (0, 5, 10):
        assert sorted(whole[at : at + 5]) == list(range(5))
    assert whole[:5] != whole[5:10]
    assert loop.endless(5, 3, 9, 0, "x") == whole[3:12]


def test_cosine_goes_from_the_peak_to_a_tenth():
    # by hand: half-way along half a cosine is the middle of 1 and 0.1
    assert [loop.cosine(step, 11) for step in (0, 5, 10)] == pytest.approx([1.0, 0.55, 0.1])


def test_warmup_goes_from_a_tenth_to_the_peak_in_ten_iterations():
    assert [loop.warmup(k) for k in (0, 5, 10, 500)] == pytest.approx([0.1, 0.55, 1.0, 1.0])
    assert loop.warmup(0, iterations=0) == 1.0


def test_a_step_shortens_a_long_gradient_and_tells_its_length():
    net = torch.nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(net.named_parameters(), lr=1.0)
    before = net.weight.detach().clone()
    net.weight.grad = torch.tensor([[3.0, 4.0]])
    assert loop.step(optimizer, OptimizerSettings(clip_norm=1.0), "x") == pytest.approx(5.0)
    assert (before - net.weight).detach()[0].tolist() == pytest.approx([0.6, 0.8], rel=1e-4)
    assert net.weight.grad is None


def test_a_gradient_that_is_no_number_stops_the_run_and_changes_nothing():
    net = torch.nn.Linear(2, 1, bias=False)
    optimizer = loop.adamw(net, 1.0, OptimizerSettings())
    before = net.weight.detach().clone()
    net.weight.grad = torch.tensor([[math.nan, 0.0]])
    with pytest.raises(NotFinite, match="step 3: the gradient of weight holds NaN or Inf; nothing was updated"):
        loop.step(optimizer, OptimizerSettings(), "step 3")
    assert torch.equal(net.weight, before)


def test_decay_leaves_vectors_alone():
    net = torch.nn.Linear(2, 2)
    optimizer = loop.adamw(net, 1.0, OptimizerSettings(weight_decay=0.1))
    matrices, vectors = optimizer.param_groups
    assert (matrices["params"], matrices["weight_decay"]) == ([net.weight], 0.1)
    assert (vectors["params"], vectors["weight_decay"]) == ([net.bias], 0.0)
    assert matrices["betas"] == (0.9, 0.95)


def test_batches_keep_the_last_small_one():
    assert loop.batches([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
