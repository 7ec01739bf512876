"""Each way to learn from preferences without PPO makes the model better than its supervised start, by the truth.

The start, the rankings of its answers and the judge are the miniature's (`conftest.py`).
"""

import pytest
import torch

from biddable import records, runs
from biddable.config import Settings
from biddable.learn import dpo, raft, reward
from biddable.learn.dpo import DpoConfig
from biddable.learn.raft import RaftConfig
from biddable.learn.reward import RewardConfig
from biddable.records import AnyRecord, Labeler, Prompt, Ranking

pytestmark = pytest.mark.whole_runs
METHODS: dict[str, Settings] = {
    "dpo": DpoConfig(learning_rate=3e-4, batch=16, epochs=1),
    "dpo_adapters": DpoConfig(learning_rate=2e-3, batch=16, epochs=1, lora_rank=8),
    "ipo": DpoConfig(method="ipo", learning_rate=3e-4, batch=16, epochs=1),
    "hinge": DpoConfig(method="hinge", learning_rate=3e-4, batch=16, epochs=1),
    "kto": DpoConfig(method="kto", learning_rate=3e-4, batch=16, epochs=1),
    "orpo": DpoConfig(method="orpo", beta=1.0, learning_rate=3e-4, batch=16, epochs=1),
    "simpo": DpoConfig(method="simpo", learning_rate=3e-4, batch=16, epochs=1),
    "raft": RaftConfig(iterations=3, batch=64, k=8, minibatch=16, learning_rate=5e-4, answer_tokens=56),
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


def test_a_reward_model_learns_with_adapters(place, start, rankings):
    """What people prefer among answers that it has not seen: a fifth of the rankings, some 480 pairs."""
    rows = list(records.read(rankings))
    held = {row.prompt_id for row in rows if isinstance(row, Ranking)}
    held = set(sorted(held)[: len(held) // 5])
    files = {}
    for name, out in (("rankings", False), ("valid", True)):
        files[name] = place / f"adapted-{name}.jsonl"
        some = [row for row in rows if isinstance(row, Labeler) or (of_prompt(row) in held) is out]
        records.write(files[name], some)
    config = RewardConfig(learning_rate=3e-3, batch=8, center="answers", lora_rank=8)
    given = {"model": start, **files}
    with runs.start(place / "adapted-reward", "reward", config, given, 0) as run:
        reward.train(run, config, **given)
    assert runs.read_metrics(place / "adapted-reward")[-1]["valid_accuracy"] > 0.6


def of_prompt(row: AnyRecord) -> str:
    return row.id if isinstance(row, Prompt) else row.prompt_id


def test_asking_the_start_again_is_no_gain(start, over_start):
    """Or the test above would say nothing."""
    again = over_start(start, 3)
    assert again.low <= 0.5 <= again.high
