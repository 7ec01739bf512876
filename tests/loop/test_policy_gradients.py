"""Each policy gradient makes the model truly better than the one it starts from, in the miniature of conftest.py."""

import pytest
import torch

from biddable import runs
from biddable.learn import group, ppo
from biddable.learn.group import GrpoConfig, ReinforceConfig, RlooConfig
from biddable.learn.ppo import PpoConfig

pytestmark = pytest.mark.whole_runs
SHORT = {
    "episodes": 768, "batch": 128, "minibatch": 32, "learning_rate": 1e-3, "warmup_iterations": 3, "beta": 0.02,
    "ptx_ratio": 0.25, "ptx_tokens": 128, "prompt_tokens": 80, "answer_tokens": 56, "micro_tokens": 1024, "ema": 0,
}  # fmt: skip
METHODS = {
    "ppo_ptx": PpoConfig(**SHORT, value_learning_rate=1e-3, gamma_ptx=0.3),
    "ppo_ptx_adapters": PpoConfig(
        **SHORT | {"learning_rate": 3e-3}, value_learning_rate=3e-3, gamma_ptx=0.3, lora_rank=8
    ),
    "rloo": RlooConfig(**SHORT, samples=4, gamma_ptx=0),
    "grpo": GrpoConfig(**SHORT, samples=8, gamma_ptx=0),
    "dr_grpo": GrpoConfig(**SHORT, samples=8, gamma_ptx=0, scale=False, divide_by="answer_tokens"),
    "reinforce": ReinforceConfig(**SHORT, gamma_ptx=0),
    "reinforce_baseline": ReinforceConfig(**SHORT, samples=4, gamma_ptx=0, baseline=True),
}


@pytest.fixture(autouse=True, scope="module")
def alone():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="module")
def quiet():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIDDABLE_QUIET", "1")
        yield


@pytest.mark.parametrize("method", METHODS)
def test_it_is_preferred_to_its_start(place, start, judge, asked, text, over_start, method):
    config = METHODS[method]
    given = {"start": start, "reward_model": judge, "prompts": asked} | ({"pages": text} if config.gamma_ptx else {})
    train = ppo.train if isinstance(config, PpoConfig) else group.train
    with runs.start(place / method, config.stage, config, given, 0) as run:
        model = train(run, config, **given)
    assert over_start(model, 3).low > 0.5


def test_the_start_asked_again_is_no_better(start, over_start):
    """Or the test above would say nothing."""
    again = over_start(start, 3)
    assert again.low <= 0.5 <= again.high
