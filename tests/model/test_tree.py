import pytest
import torch

import tiny
from biddable.model.reward import RewardModel
from biddable.model.rows import lay
from biddable.model.tree import last_hidden

PROMPTS = [[1, 50, 51], [1, 60], [1, 52, 53, 54, 55, 4]]
ANSWERS = [[[57, 58, 59, 2], [61, 2]], [[61, 2], [70, 71, 72, 73, 74, 2], [2]], [[70, 71, 72]]]


@pytest.fixture
def lm():
    return tiny.llama(tiny.tokenizer()).double()


def alone(lm):
    """The definition: each answer after its prompt, a row by itself."""
    return torch.stack([
        lm.model(input_ids=torch.tensor([prompt + answer])).last_hidden_state[0, -1]
        for prompt, some in zip(PROMPTS, ANSWERS, strict=True)
        for answer in some
    ])  # fmt: skip


@pytest.mark.parametrize("tokens", [1000, 8, 1])
def test_a_tree_equals_its_rows_one_by_one(lm, tokens):
    with torch.no_grad():
        assert torch.allclose(
            last_hidden(lm, PROMPTS, ANSWERS, 0, tokens), alone(lm), atol=1e-5
        )  # float64 but for RMSNorm


def test_its_gradient_is_that_of_its_rows_also_through_the_prompt(lm):
    weight = torch.arange(6 * 32, dtype=torch.float64).sin().view(6, 32)
    grads = []
    for hidden in (last_hidden(lm, PROMPTS, ANSWERS, 0, 8), alone(lm)):
        (hidden * weight).sum().backward()
        grads.append([p.grad.clone() for p in lm.model.parameters()])
        lm.zero_grad()
    for one, other in zip(*grads, strict=True):
        assert torch.allclose(one, other, atol=1e-5)  # float64, but transformers' RMSNorm is float32 in any model


@torch.no_grad()
def test_siblings_do_not_see_one_another(lm):
    changed = [[ANSWERS[0][0], [77, 78, 79, 2]], *ANSWERS[1:]]
    one, other = (last_hidden(lm, PROMPTS, answers, 0, 1000) for answers in (ANSWERS, changed))
    assert torch.allclose(one[0], other[0], atol=1e-5)  # float64 but for RMSNorm
    assert not torch.allclose(one[1], other[1], atol=1e-3)


@torch.no_grad()
def test_branches_score_as_rows_do():
    net = RewardModel(tiny.llama(tiny.tokenizer()), torch.Generator().manual_seed(0)).eval()
    rows = lay(
        [p for p, some in zip(PROMPTS, ANSWERS, strict=True) for _ in some], [a for some in ANSWERS for a in some], 0
    )
    assert torch.allclose(net.branches(PROMPTS, ANSWERS, 0, 100), net(rows), atol=1e-4)  # float32


def test_layers_that_forget_are_refused(lm):
    lm.config.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(ValueError, match="sliding_attention"):
        last_hidden(lm, PROMPTS, ANSWERS, 0, 8)
