"""Adapters in each stage that learns from what people prefer: it begins as without them, changes only what they stand
beside, is its own reference, keeps nothing else, and goes on where it was stopped. (`sft` and `start`:
test_fine_tuning.py.)"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tiny
from biddable import runs
from biddable.config import ConfigError
from biddable.learn import dpo, episodes, group, loop, ppo, raft, reward, tuning
from biddable.learn.dpo import DpoConfig, Known
from biddable.learn.episodes import EpisodeSettings
from biddable.learn.group import GrpoConfig, ReinforceConfig, RlooConfig
from biddable.learn.ppo import PpoConfig
from biddable.learn.raft import RaftConfig
from biddable.learn.reward import RewardConfig
from biddable.learn.tuning import TuningSettings
from biddable.model import causal, checkpoint, lora
from biddable.model import reward as reward_model
from biddable.model.forest import Turns, plant
from biddable.model.reward import RewardModel
from biddable.text import snapshots
from biddable.text.words import word_tokenizer

pytestmark = pytest.mark.whole_runs
ADAPTERS = {"lora_rank": 2, "lora_alpha": 8.0}
WORDS = ("red", "blue", "green", "yes", "no", "one", "two", "three")
FAST = {"epochs": 3, "batch": 3, "learning_rate": 1e-2, "checkpoint_every": 2}
PREFERRED = ["dpo", "ipo", "hinge", "kto", "orpo", "simpo"]
ROLLED = {
    "episodes": 56, "batch": 8, "minibatch": 8, "answer_tokens": 8, "gamma_ptx": 1.0, "ptx_ratio": 0.5,
    "learning_rate": 1e-2, "warmup_iterations": 0, "ema": 0.5, "checkpoint_every": 2,
}  # fmt: skip
ASKED: dict[str, EpisodeSettings] = {
    "ppo": PpoConfig(**ROLLED, value_learning_rate=1e-2),
    "rloo": RlooConfig(**ROLLED, samples=2),
    "grpo": GrpoConfig(**ROLLED, samples=4),
    "reinforce": ReinforceConfig(**ROLLED, samples=2),
    "raft": RaftConfig(
        iterations=7,
        batch=8,
        k=2,
        minibatch=8,
        answer_tokens=8,
        gamma_ptx=1.0,
        ptx_ratio=0.5,
        learning_rate=1e-2,
        ema=0.5,
        checkpoint_every=2,
    ),
}
STAGES = ["reward", *PREFERRED, *ASKED]
HEADS = {"reward": {"net.head.weight", "net.head.bias"}, "ppo": {"value.head.weight", "value.head.bias"}}


@dataclass(frozen=True)
class Stage:
    """How one is run here: its name, settings without adapters, files, and its function."""

    kind: str
    config: TuningSettings
    inputs: dict[str, Path]
    train: Callable[..., Path]

    def run(self, folder: Path, **changed) -> Path:
        config = self.config.model_copy(update=changed)
        with runs.start(folder, self.kind, config, self.inputs, 0) as run:
            return self.train(run, config, **self.inputs)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("adapters")
    ranked = [(f"say {word}", [[word], ["cow"], ["the", "big dog"]]) for word in WORDS]
    tok = tiny.tokenizer()
    judge = RewardModel(tiny.llama(tok, seed=1), torch.Generator().manual_seed(0))
    return {
        "base": tiny.saved(place / "base", spread=0.3),
        "rankings": tiny.rankings(place / "rankings.jsonl", ranked),
        "demos": tiny.demonstrations(place / "demos.jsonl", [(f"say {word}", word) for word in WORDS]),
        "prompts": tiny.prompts(place / "prompts.jsonl", [f"say {word}" for word in WORDS]),
        "pages": tiny.pages(place / "pages.jsonl", ["the cow say no", "the dog say yes yes", "one two three"]),
        "judge": reward_model.save(judge, tok, place / "judge"),
    }


@pytest.fixture
def stage(files, request) -> Stage:
    learns = {"model": files["base"], "rankings": files["rankings"]}
    match request.param:
        case "reward":
            return Stage("reward", RewardConfig(**FAST, heads=2), learns | {"demos": files["demos"]}, reward.train)
        case "ppo" | "rloo" | "grpo" | "reinforce" | "raft" as kind:
            acts = {"start": files["base"], "reward_model": files["judge"]}
            acts |= {"prompts": files["prompts"], "pages": files["pages"]}
            train = {"ppo": ppo.train, "raft": raft.train}.get(kind, group.train)
            return Stage(kind, ASKED[kind], acts, train)
        case method:
            return Stage("dpo", DpoConfig(**FAST, method=method), learns, dpo.train)


def learnt(lm, seed: int = 1) -> None:
    """As if something had been learnt: B is 0 only at the beginning."""
    for part in lora.adapters(lm).values():
        with torch.no_grad():
            part.b_OR.normal_(0, 0.1, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_the_first_update_begins_with_the_numbers_of_all_weights(stage, tmp_path):
    """B is 0, so every number is the same bit by bit, but for the gradients' lengths and what they led to."""
    for name, rank in (("all", 0), ("adapters", 2)):
        stage.run(tmp_path / name, lora_rank=rank)
    (one, *_), (other, *_) = (runs.read_metrics(tmp_path / name) for name in ("all", "adapters"))
    led_to = {name for name in one if "gradient" in name or "held_out" in name}
    assert {name: x for name, x in other.items() if name not in led_to} == {
        name: x for name, x in one.items() if name not in led_to
    }
    assert any(one[name] != other[name] for name in led_to)


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_an_ordinary_folder_is_left_in_which_only_adapted_matrices_moved(stage, tmp_path, files):
    folder = stage.run(tmp_path / "run", **ADAPTERS)
    before, _ = causal.load(files["base"])
    after, _ = causal.load(folder)
    names = [name for name, _ in before.named_parameters()]
    pairs = zip(names, before.parameters(), after.parameters(), strict=True)
    assert {name for name, a, b in pairs if not torch.equal(a, b)} == {name for name in names if "proj" in name}
    assert set(runs.read_manifest(tmp_path / "run").outputs) == {"model", "adapter"}
    kept = load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    assert len(kept) == 2 * 7 * 2  # A and B of seven linear layers, in two layers


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_a_checkpoint_holds_what_is_learnt(stage, tmp_path, monkeypatch):
    kept = []
    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *given: kept.append(given[2]) or save(*given))
    stage.run(tmp_path / "run", **ADAPTERS)
    networks = [name for name in kept[-1] if name.partition(".")[0] in ("lm", "net", "policy", "value")]
    heads = HEADS.get(stage.kind, set())
    assert {name for name in networks if not name.endswith(("a_RI", "b_OR"))} == heads
    adapted = 2 if stage.kind == "ppo" else 1
    assert len(networks) == adapted * 2 * 7 * 2 + len(heads)  # A and B of seven linear layers, in two layers
    assert len([name for name in kept[-1] if name.endswith("exp_avg")]) == len(networks)
    assert len([name for name in kept[-1] if name.startswith("average")]) == (2 * 7 * 2 if stage.kind in ASKED else 0)


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_it_goes_on_where_it_was_stopped(stage, tmp_path, monkeypatch):
    whole = stage.run(tmp_path / "whole" / "run", **ADAPTERS)
    step, calls = loop.step, []

    def stop(*given):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return step(*given)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            stage.run(tmp_path / "cut" / "run", **ADAPTERS)
    assert list((tmp_path / "cut" / "run" / "checkpoints").glob("step-*"))
    again = stage.run(tmp_path / "cut" / "run", **ADAPTERS)
    names = ["model/model.safetensors", "adapter/adapter_model.safetensors", "metrics.jsonl"]
    for name in names + (["model/reward_head.safetensors"] if stage.kind == "reward" else []):
        assert (again.parent / name).read_bytes() == (whole.parent / name).read_bytes(), name


@pytest.mark.parametrize("method", PREFERRED)
def test_whatever_was_learnt_the_start_model_is_dpos_reference(files, method):
    config = DpoConfig(method=method, **ADAPTERS)
    lm, tok = causal.load(files["base"])
    sets = snapshots.rankings(files["rankings"], tok)
    apart = copy.deepcopy(lm)
    learnt(tuning.adapt(lm, config, 0, "dpo"))
    ref_N = dpo.reference(lm, config, sets)
    assert torch.equal(ref_N, dpo.reference(apart, config, sets))
    now_N = dpo.see(lm, [Known(s, torch.zeros(len(s.answers))) for s in sets]).logp_N.detach()
    assert (now_N - ref_N).abs().min() > 1e-3


def test_a_reward_model_with_adapters_is_merged_before_it_is_centred(files, tmp_path):
    """Demonstrations score 0 by the saved weights."""
    folder = tmp_path / "run"
    config = RewardConfig(**FAST, **ADAPTERS)
    inputs = {"model": files["base"], "rankings": files["rankings"], "demos": files["demos"]}
    model = Stage("reward", config, inputs, reward.train).run(folder)
    net, tok = reward_model.load(model)
    examples = snapshots.demonstrations(files["demos"], tok)
    turns = Turns([e.prompt for e in examples], [e.answer for e in examples])
    score_A = reward_model.scores(net, turns, 4096)
    assert score_A.mean().item() == pytest.approx(0, abs=1e-6)  # float32
    assert score_A.abs().max() > 1e-2


def test_new_layers_and_adapters_do_not_go_together():
    with pytest.raises(ConfigError, match="extra_layers: new layers learn all their weights; say extra_layers=0"):
        reward.check(RewardConfig(extra_layers=1, **ADAPTERS), None, Path("demos.jsonl"), None)


def moved(actors: ppo.Actors) -> ppo.Actors:
    """As if policy and value network had learnt something."""
    learnt(actors.policy, 1)
    learnt(actors.value.lm, 2)
    with torch.no_grad():
        actors.value.head.weight.mul_(3)
    return actors


@pytest.fixture
def pair(files) -> tuple[ppo.Actors, ppo.Actors]:
    """The four networks of all weights, and those of adapters that have learnt something."""
    made = []
    for rank in (0, 2):
        config = PpoConfig(**ROLLED, lora_rank=rank)
        made.append(ppo.assemble(config, files["base"], files["judge"], []))
    return made[0], moved(made[1])


def test_whatever_was_learnt_reference_and_reward_model_say_what_copies_say(pair):
    whole, adapted = pair
    config = ASKED["ppo"]
    asked = [[1, 50, 51, 4], [1, 60, 4], [1, 52, 53, 54, 55, 4], [1, 61, 62, 4]]
    rollout = episodes.sample(adapted, config, asked, 0, 0)
    (mine, seen), (theirs, _) = (episodes.judge(actors, config, rollout, "here") for actors in (adapted, whole))
    assert torch.equal(mine.ref_logp_BT, theirs.ref_logp_BT)
    assert torch.equal(mine.score_B, theirs.score_B)
    assert abs(seen["kl"]) > 1e-3  # the policy is not its reference any more
    (credit, _), (of_copies, _) = (ppo.judge(actors, config, rollout) for actors in (adapted, whole))
    assert not torch.allclose(credit.value_BT, of_copies.value_BT, atol=1e-2)  # nor the value network the judge
    assert all(part.on for network in (adapted.policy, adapted.value) for part in lora.adapters(network).values())


def test_with_adapters_two_trunks_are_held_and_not_four(pair):
    def held(actors: ppo.Actors) -> int:
        networks = (actors.policy, actors.reference, actors.judge, actors.value)
        return sum(p.numel() for p in {id(p): p for one in networks for p in one.parameters()}.values())

    whole, adapted = pair
    trunk, head = causal.size(whole.policy), 32 + 1
    # 32 wide, keys and values 16, inner 64: the sums of in + out, times the rank, times two layers.
    adapters = ((32 + 32) * 2 + (32 + 16) * 2 + (32 + 64) * 3) * 2 * 2
    assert held(whole) == 4 * trunk + 2 * head
    assert held(adapted) == 2 * trunk + 2 * adapters + 2 * head


def test_the_value_network_begins_as_the_reward_model_and_leaves_it_alone(files):
    actors = ppo.assemble(PpoConfig(**ROLLED, **ADAPTERS), files["base"], files["judge"], [])
    forest = plant(Turns([[1, 50, 51]] * 2, [[57, 58, 2], [61, 2]]))
    with torch.no_grad():
        begun = actors.judge(forest)
        assert torch.equal(actors.value(forest), begun)
        moved(actors)
        with lora.off(actors.judge):
            assert torch.equal(actors.judge(forest), begun)
        assert not torch.allclose(actors.value(forest), begun, atol=1e-2)
    assert not any(p.requires_grad for p in actors.judge.head.parameters())


def test_the_average_is_of_what_the_policy_learns(files):
    """One update from the start with decay 0.5: the average is half-way to where the policy is now."""
    config = RlooConfig(**ROLLED, samples=2, **ADAPTERS)
    actors = episodes.assemble(config, files["base"], files["judge"], [])
    before = [x.clone() for x in actors.average]
    asked = [prompt for prompt in ([1, 50, 51, 4], [1, 60, 4], [1, 52, 53, 4], [1, 61, 62, 4]) for _ in range(2)]
    group.step(actors, config, asked, [], 0, 0)
    after = list(checkpoint.trained(actors.policy).values())
    assert len(before) == len(after) == 2 * 7 * 2
    for mean, one, other in zip(actors.average, before, after, strict=True):
        assert torch.allclose(mean, (one + other) / 2, atol=1e-6)  # float32
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_reward_model_of_another_tokenizer_leaves_a_value_network_of_the_policys(files, tmp_path):
    tok = word_tokenizer(["say", "cow", "other"])
    net = RewardModel(tiny.llama(tok, seed=4, width=16, layers=3, spread=1.0), torch.Generator().manual_seed(0))
    other = reward_model.save(net, tok, tmp_path / "judge")
    acts = {"start": files["base"], "reward_model": other, "prompts": files["prompts"], "pages": files["pages"]}
    folder = Stage("ppo", ASKED["ppo"], acts, ppo.train).run(tmp_path / "ppo", **ADAPTERS)
    assert (folder / "model.safetensors").is_file()
    actors = ppo.assemble(PpoConfig(**ROLLED, **ADAPTERS), files["base"], other, snapshots.prompts(files["prompts"]))
    assert actors.value.lm.config.vocab_size == actors.policy.config.vocab_size
    assert not {id(p) for p in actors.value.parameters()} & {id(p) for p in actors.policy.parameters()}
    assert {name for name in checkpoint.trained(actors.value) if "RI" not in name and "OR" not in name} == {
        "head.weight", "head.bias",
    }  # fmt: skip
    assert not lora.adapters(actors.judge)
