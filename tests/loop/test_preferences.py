"""Each way to learn from preferences without PPO makes the model better than its supervised start, by the truth.

The start, the rankings of its answers and the judge are the miniature's (`conftest.py`).
"""

import pytest
import torch

from biddable import runs
from biddable.config import Settings
from biddable.learn import dpo, raft
from biddable.learn.dpo import DpoConfig
from biddable.learn.raft import RaftConfig

METHODS: dict[str, Settings] = {
    "dpo": DpoConfig(learning_rate=3e-4, batch=16, epochs=1),
    "ipo": DpoConfig(method="ipo", learning_rate=3e-4, batch=16, epochs=1),
    "hinge": DpoConfig(method="hinge", learning_rate=3e-4, batch=16, epochs=1),
    "kto": DpoConfig(method="kto", learning_rate=3e-4, batch=16, epochs=1),
    "orpo": DpoConfig(method="orpo", beta=1.0, learning_rate=3e-4, batch=16, epochs=1),
    "simpo": DpoConfig(method="simpo", learning_rate=3e-4, batch=16, epochs=1),
    "raft": RaftConfig(iterations=4, batch=64, k=8, minibatch=16, learning_rate=5e-4, answer_tokens=56),
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
def test_it_is_preferred_to_its_supervised_start(place, start, rankings, over_start, method, request):
    config, folder = METHODS[method], place / method
    if isinstance(config, RaftConfig):
        given = {"start": start, "reward_model": request.getfixturevalue("judge")}
        given["prompts"] = request.getfixturevalue("asked")
        with runs.start(folder, "raft", config, given, 0) as run:
            model = raft.train(run, config, **given)
    else:
        assert isinstance(config, DpoConfig)
        given = {"model": start, "rankings": rankings}
        with runs.start(folder, "dpo", config, given, 0) as run:
            model = dpo.train(run, config, **given)
    assert over_start(model, 3).low > 0.5


def test_asking_the_start_again_is_no_gain(start, over_start):
    """Or the test above would say nothing."""
    again = over_start(start, 3)
    assert again.low <= 0.5 <= again.high
