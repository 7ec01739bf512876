import copy
import math
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

import tiny
from biddable.model import causal, reward
from biddable.model.forest import Turns, plant
from biddable.model.reward import RewardModel

PROMPTS = [[1, 50, 51], [1, 60], [1, 52, 53, 54, 55, 4]]
ANSWERS = [[57, 58, 59, 2], [61, 2], [70, 71, 72, 73, 2]]
TURNS = Turns(PROMPTS, ANSWERS)


@pytest.fixture(scope="module")
def tok():
    return tiny.tokenizer()


@pytest.fixture
def net(tok):
    return RewardModel(tiny.llama(tok), torch.Generator().manual_seed(3)).eval()


def test_the_head_starts_small(tok):
    net = RewardModel(tiny.llama(tok, width=1024, layers=1), torch.Generator().manual_seed(0))
    # 1024 draws estimate a standard deviation to 1/√(2·1024) = 2.2 %; 4 of these
    assert net.head.weight.std().item() == pytest.approx(1 / math.sqrt(1025), rel=0.09)
    assert net.head.bias.item() == 0


@torch.no_grad()
def test_the_score_is_read_at_the_end_token_whatever_stands_beside_it(net):
    together = net(plant(TURNS))
    for row, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
        hidden = net.lm.model(input_ids=torch.tensor([[*prompt, *answer]])).last_hidden_state[0, -1]
        alone = (hidden @ net.head.weight[0] + net.head.bias[0]).item()  # the definition
        assert together[row].item() == pytest.approx(alone, abs=1e-4)  # float32
    assert torch.allclose(reward.scores(net, TURNS, tokens=8), together, atol=1e-4)


@torch.no_grad()
def test_the_prompt_is_seen(net):
    one, other = net(plant(Turns([[1, 50], [1, 51]], [[60, 2], [60, 2]])))
    assert abs(one - other) > 1e-3


@torch.no_grad()
def test_what_stands_after_the_end_is_invisible(net):
    one, other = (net(plant(Turns(PROMPTS, [*ANSWERS[:2], [n, 2]]))) for n in (70, 77))
    assert torch.equal(one[:2], other[:2])
    assert abs(one[2] - other[2]) > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("tokens", [1000, 8, 1])
def test_several_answers_to_a_prompt_score_as_each_alone(net, tokens):
    turns = Turns([PROMPTS[0], PROMPTS[1], PROMPTS[0], PROMPTS[0]], [*ANSWERS, [61, 2]])
    alone = torch.cat([net(plant(turns.take([i]))) for i in range(4)])
    assert torch.allclose(reward.scores(net, turns, tokens), alone, atol=1e-4)  # float32


@torch.no_grad()
def test_a_value_stands_before_its_token(net):
    """V(sₜ) is of the state before answer token t, index prompt + t − 1; so changing token t must not change it."""
    value = net.values(plant(TURNS.take([0])))
    changed = net.values(plant(Turns(PROMPTS[:1], [[57, 58, 77, 2]])))
    assert torch.equal(value[:, :3], changed[:, :3])
    assert abs(value[0, 3] - changed[0, 3]) > 1e-3


@torch.no_grad()
def test_centering_moves_the_bias_and_nothing_else(net):
    forest = plant(TURNS)
    before, weight = net(forest), net.head.weight.clone()
    reward.center(net, before.mean()[None])
    assert net(forest).mean().item() == pytest.approx(0, abs=1e-5)  # float32
    assert torch.allclose(net(forest).diff(), before.diff(), atol=1e-5)
    assert torch.equal(net.head.weight, weight)


@torch.no_grad()
def test_a_saved_reward_model_comes_back_and_is_also_a_causal_lm(tmp_path, tok, net):
    reward.center(net, torch.tensor([0.7]))
    folder = reward.save(net, tok, tmp_path / "rm")
    again, _ = reward.load(folder)
    forest = plant(TURNS)
    assert torch.equal(net(forest), again(forest))  # the centre is in it
    lm = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(lm.lm_head.weight, net.lm.lm_head.weight)
    assert [p.name for p in tmp_path.iterdir()] == ["rm"]


@pytest.fixture
def ensemble(tok):
    net = RewardModel(
        tiny.llama(tok), torch.Generator().manual_seed(3), heads=3, worth={"truthful": 2.0, "harmless": -0.5}
    )
    with torch.no_grad():
        net.head.bias.copy_(torch.tensor([0.1, -0.2, 0.4]))
        net.aspects["truthful"].bias.fill_(0.7)
    return net.eval()


@torch.no_grad()
def test_an_ensembles_score_is_its_heads_mean_and_its_spread_their_standard_deviation(ensemble):
    score_A, spread_A = reward.scores_and_spread(ensemble, TURNS, tokens=8)
    for row, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
        hidden = ensemble.lm.model(input_ids=torch.tensor([[*prompt, *answer]])).last_hidden_state[0, -1]
        worth = 0.0
        for name, what in (("truthful", 2.0), ("harmless", -0.5)):
            part = ensemble.aspects[name]
            worth += what / (1 + math.exp(-(hidden @ part.weight[0] + part.bias[0]).item()))
        said = [(hidden @ w + b).item() + worth for w, b in zip(ensemble.head.weight, ensemble.head.bias, strict=True)]
        mean = sum(said) / 3
        assert score_A[row].item() == pytest.approx(mean, abs=1e-4)  # float32
        assert spread_A[row].item() == pytest.approx(math.sqrt(sum((x - mean) ** 2 for x in said) / 3), abs=1e-4)
    assert spread_A.min() > 1e-2
    assert torch.equal(reward.scores(ensemble, TURNS, tokens=8), score_A)
    assert torch.allclose(ensemble(plant(TURNS)), score_A, atol=1e-4)


def test_a_lone_head_has_no_spread(net):
    score_A, spread_A = reward.scores_and_spread(net, TURNS, tokens=8)
    assert torch.equal(score_A, reward.scores(net, TURNS, tokens=8))
    assert spread_A.tolist() == [0, 0, 0]


@torch.no_grad()
def test_an_ensembles_value_is_its_heads_mean(ensemble):
    value_AT = ensemble.values(plant(TURNS))
    whole = [*PROMPTS[0], *ANSWERS[0]]
    for t in range(4):  # before the answer's token t, the prompt and the t tokens before it are read
        score = ensemble(
            plant(Turns([whole[: len(PROMPTS[0]) - 1]], [whole[len(PROMPTS[0]) - 1 : len(PROMPTS[0]) + t]]))
        )
        assert value_AT[0, t].item() == pytest.approx(score.item(), abs=1e-4)  # float32


@torch.no_grad()
def test_each_head_is_centred_by_itself(ensemble):
    before_AM = reward.each(ensemble, TURNS, tokens=8)
    reward.center(ensemble, before_AM.mean(0))
    after_AM = reward.each(ensemble, TURNS, tokens=8)
    assert after_AM.mean(0).abs().max() < 1e-5  # float32
    assert torch.allclose(after_AM, before_AM - before_AM.mean(0), atol=1e-5)


@torch.no_grad()
def test_a_saved_ensemble_comes_back_and_is_also_a_causal_lm(tmp_path, tok, ensemble):
    folder = reward.save(ensemble, tok, tmp_path / "rm")
    again, _ = reward.load(folder)
    assert again.worth == {"harmless": -0.5, "truthful": 2.0}
    pairs = zip(reward.scores_and_spread(ensemble, TURNS, 8), reward.scores_and_spread(again, TURNS, 8), strict=True)
    for ours, theirs in pairs:
        assert torch.allclose(ours, theirs, atol=1e-6)  # the aspects are added up in another order
    assert torch.equal(AutoModelForCausalLM.from_pretrained(folder).lm_head.weight, ensemble.lm.lm_head.weight)


@pytest.mark.parametrize("broken", ["weight", "bias", "truthful.weight", "truthful.worth"])
def test_a_head_of_another_shape_is_refused(tmp_path, tok, ensemble, broken):
    folder = reward.save(ensemble, tok, tmp_path / "rm")
    state = load_file(folder / reward.HEAD)
    state[broken] = torch.zeros(7)
    save_file(state, folder / reward.HEAD)
    with pytest.raises(ValueError, match=re.escape(f"{folder / reward.HEAD}: not the head of this model")):
        reward.load(folder)


def test_a_causal_lm_is_not_a_reward_model(tmp_path, tok):
    folder = causal.save(tiny.llama(tok), tok, tmp_path / "lm")
    with pytest.raises(ValueError, match=re.escape(f"{folder}: not a reward model")):
        reward.load(folder)


def of_family(tok, family: str):
    config = AutoConfig.for_model(
        family, vocab_size=len(tok), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=64, initializer_range=0.1, tie_word_embeddings=False,
        bos_token_id=tok.bos_token_id, eos_token_id=tok.eos_token_id, pad_token_id=tok.pad_token_id,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "qwen3"])
@torch.no_grad()
def test_layers_put_on_top_change_no_score_and_are_saved_with_the_model(tmp_path, tok, family):
    lm = of_family(tok, family)
    fresh = RewardModel(reward.deepen(copy.deepcopy(lm), 2, torch.Generator()), torch.Generator().manual_seed(3))
    shallow, forest = RewardModel(lm, torch.Generator().manual_seed(3)).eval(), plant(TURNS)
    before, depth = shallow(forest), lm.config.num_hidden_layers
    deep = RewardModel(reward.deepen(lm, 2, torch.Generator()), torch.Generator().manual_seed(3)).eval()
    assert torch.equal(deep(forest), before)
    assert torch.equal(fresh.eval()(forest), before)  # whether or not a forest was read before they came
    with torch.enable_grad():  # they learn from the first step on, though they add nothing yet
        deep(forest).sum().backward()
    top = [p.grad.norm() for name, p in deep.lm.named_parameters() if f"layers.{depth + 1}." in name]
    assert sum(norm > 0 for norm in top) >= 2
    for name, p in deep.named_parameters():
        if name.endswith(reward.WRITES) or ".bias" in name:
            p.add_(0.01)
    loaded, _ = reward.load(reward.save(deep, tok, tmp_path / "rm"))
    assert loaded.lm.config.num_hidden_layers == depth + 2
    assert torch.equal(loaded(forest), deep(forest))
