"""Adapters: by hand, by PEFT, which is not ours, and by the laws that the stages stand on."""

import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM, Qwen2Config, Qwen2ForCausalLM

import tiny
from biddable.model import causal, checkpoint, lora, reward
from biddable.model.forest import Turns, plant
from biddable.model.lora import Adapted
from biddable.model.reward import RewardModel

TURNS = Turns([[1, 50, 51], [1, 60], [1, 60]], [[57, 58, 2], [61, 2], [70, 71, 2]])
SMALL = {
    "vocab_size": 112,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
QWEN = {**SMALL, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def luck(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def family(name: str):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        match name:
            case "llama":
                return tiny.llama(tiny.tokenizer())
            case "qwen2":  # biases on queries, keys and values
                return Qwen2ForCausalLM(Qwen2Config(**QWEN)).eval()
            case _:
                return GPTNeoXForCausalLM(GPTNeoXConfig(**SMALL, bos_token_id=1, eos_token_id=2)).eval()


def learnt(lm, seed: int = 1) -> None:
    """As if something had been learnt: B is 0 only at the beginning."""
    for part in lora.adapters(lm).values():
        with torch.no_grad():
            part.b_OR.normal_(0, 0.1, generator=luck(seed))


def logp(lm) -> torch.Tensor:
    with torch.no_grad():
        return causal.answer_logp(lm, plant(TURNS))


def test_an_adapted_layer_by_hand():
    base = nn.Linear(2, 1, bias=True)
    part = Adapted(base, rank=1, alpha=6.0, generator=luck())
    with torch.no_grad():
        base.weight.copy_(torch.tensor([[1.0, 2.0]]))
        base.bias.copy_(torch.tensor([0.5]))
        part.a_RI.copy_(torch.tensor([[3.0, -1.0]]))
        part.b_OR.copy_(torch.tensor([[2.0]]))
    x = torch.tensor([[1.0, 1.0]])
    assert part(x).item() == 1 + 2 + 0.5 + 6 / 1 * 2 * (3 - 1)
    part.on = False
    assert part(x).item() == 3.5
    assert part.merged()(x).item() == 27.5


@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt_neox"])
def test_it_begins_as_the_model_itself_and_merged_is_what_it_learnt(name):
    lm = family(name)
    before = logp(lm)
    lora.attach(lm, 3, 8.0, "all", luck())
    assert torch.equal(logp(lm), before)
    learnt(lm)
    adapted = logp(lm)
    assert (adapted - before).abs().max() > 0.01
    with lora.off(lm):
        assert torch.equal(logp(lm), before)
    assert torch.equal(logp(lm), adapted)
    lora.merge(lm)
    assert not lora.adapters(lm)
    assert torch.allclose(logp(lm), adapted, atol=1e-4)  # float32
    assert all(p.requires_grad for p in lm.parameters())


def test_off_is_undone_when_something_fails_inside():
    lm = family("llama")
    lora.attach(lm, 2, 8.0, "all", luck())
    with pytest.raises(RuntimeError), lora.off(lm):
        raise RuntimeError
    assert all(part.on for part in lora.adapters(lm).values())


def test_only_adapters_are_trained_and_kept():
    lm = family("llama")
    rest = {name: p.clone() for name, p in lm.named_parameters()}
    lora.attach(lm, 2, 8.0, "all", luck())
    learnt(lm)
    causal.nll_of(lm, plant(TURNS)).backward()
    kept = checkpoint.parameters("lm", lm)
    assert len(kept) == 2 * 7 * 2  # A and B of seven linear layers, in two layers
    for name, p in lm.named_parameters():
        assert (p.grad is not None) == (f"lm.{name}" in kept)
        assert f"lm.{name}" in kept or torch.equal(p, rest[name.replace(".base.", ".")])
    # 32 wide, keys and values 16, inner 64: the sums of in + out, times the rank, times two layers.
    sizes = (32 + 32) * 2 + (32 + 16) * 2 + (32 + 64) * 3
    assert sum(x.numel() for x in kept.values()) == sizes * 2 * 2


def test_the_gradient_is_that_of_the_definition_in_float64():
    """∂/∂A and ∂/∂B of W + (α/r) B A, had the product been written into the weights."""
    lm = family("llama").double()
    lora.attach(lm, 2, 8.0, "q_proj", luck())
    learnt(lm.double())
    [*parts] = lora.adapters(lm).values()
    causal.nll_of(lm, plant(TURNS)).backward()
    got = [(part.a_RI.grad, part.b_OR.grad) for part in parts]
    lora.merge(lm)
    causal.nll_of(lm, plant(TURNS)).backward()
    for part, (to_a, to_b) in zip(parts, got, strict=True):
        slope = part.base.weight.grad
        assert torch.allclose(to_a, 4.0 * part.b_OR.T @ slope, atol=1e-6)  # transformers' RMSNorm is of float32
        assert torch.allclose(to_b, 4.0 * slope @ part.a_RI.T, atol=1e-6)


def test_the_same_luck_is_the_same_adapter_and_the_global_one_is_left_alone():
    before = torch.get_rng_state()
    first, second, other = (family("llama") for _ in range(3))
    for lm, seed in ((first, 5), (second, 5), (other, 6)):
        lora.attach(lm, 2, 8.0, "all", luck(seed))
    weights = [checkpoint.parameters("lm", lm) for lm in (first, second, other)]
    assert all(torch.equal(x, weights[1][name]) for name, x in weights[0].items())
    assert not all(torch.equal(x, weights[2][name]) for name, x in weights[0].items())
    assert torch.equal(torch.get_rng_state(), before)


def test_targets_are_chosen_by_name():
    lm = family("llama")
    lora.attach(lm, 2, 8.0, "q_proj, v_proj", luck())
    assert {name.rpartition(".")[2] for name in lora.adapters(lm)} == {"q_proj", "v_proj"}
    with pytest.raises(ValueError, match=r"lora_targets: llama has no 'c_attn'; it has down_proj, gate_proj, k_proj"):
        lora.attach(family("llama"), 2, 8.0, "c_attn", luck())


@pytest.mark.filterwarnings("default")  # PEFT's own
@pytest.mark.parametrize("targets", ["all", "q_proj,v_proj"])
def test_peft_reads_the_saved_adapter_as_we_do(tmp_path, targets):
    tok = tiny.tokenizer()
    lm = tiny.llama(tok)
    base = causal.save(lm, tok, tmp_path / "base")
    lora.attach(lm, 3, 8.0, targets, luck())
    learnt(lm)
    folder = lora.save(lm, tmp_path / "adapter")
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()
    row = torch.tensor([[1, 50, 51, 57, 58]])
    with torch.no_grad():
        mine = lm(input_ids=row).logits
        assert torch.allclose(theirs(input_ids=row).logits, mine, atol=1e-4)  # float32
        with lora.off(lm):
            assert (lm(input_ids=row).logits - mine).abs().max() > 0.01
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("adapter")] == ["adapter"]


def test_a_reward_model_trains_its_head_and_the_adapters_of_its_trunk():
    net = RewardModel(tiny.llama(tiny.tokenizer()), luck())
    before = reward.scores(net, TURNS, 1000)
    lora.attach(net.lm, 2, 8.0, "all", luck())
    learnt(net)
    kept = checkpoint.trained(net)
    assert {name for name in kept if "RI" not in name and "OR" not in name} == {"head.weight", "head.bias"}
    assert not torch.equal(reward.scores(net, TURNS, 1000), before)
    with lora.off(net):  # a value network that shares its weights with the reward model it began as
        assert torch.equal(reward.scores(net, TURNS, 1000), before)
