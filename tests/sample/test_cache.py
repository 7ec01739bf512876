"""What a sampler remembers: hidden states are those of the whole text read anew, whoever shares, stays or leaves."""

import copy

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig, OPTConfig, Qwen3Config
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from biddable.model import attention
from biddable.sample import cache
from biddable.sample.cache import alike, hear, prefill

SMALL = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2}
SHARED = {"num_key_value_heads": 2}  # two heads read the same keys and values
FAMILIES = {
    "llama": LlamaConfig(**SMALL, **HEADS, **SHARED),
    "qwen3": Qwen3Config(**SMALL, **HEADS, **SHARED, head_dim=6),
    "gpt_neox": GPTNeoXConfig(**SMALL, **HEADS),
    "gpt2": GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2),
    "opt": OPTConfig(vocab_size=40, hidden_size=16, word_embed_proj_dim=16, ffn_dim=24, num_hidden_layers=2, **HEADS),
}
LONG = [3, *range(10, 39)]  # 30 tokens: on a shelf of its own
PROMPTS = [[5, 6, 7], [8, 9], [5, 6, 7], LONG, [10], [5, 6, 7], [11, 12, 13]]  # one of them three times


@pytest.fixture(autouse=True, scope="module")
def in_float64():
    """transformers' RMSNorm is float32 in any model; here the same norm in the type of what it is given."""
    with pytest.MonkeyPatch.context() as patch:
        for norm in (LlamaRMSNorm, Qwen3RMSNorm):
            patch.setattr(
                norm, "forward", lambda self, x: F.rms_norm(x, x.shape[-1:], self.weight, self.variance_epsilon)
            )
        yield


def random_model(config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float64).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0, 0.4)
    return model


@torch.no_grad()
def anew(model, texts: list[list[int]]) -> torch.Tensor:
    """The definition: each text by itself, with the model's own attention; the hidden state after its last token."""
    return torch.stack([model.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1] for ids in texts])


def grow(model, theirs, leaving: dict[int, list[int]], steps: int = 6) -> None:
    """Answers grow by tokens that differ; at some steps only some stay."""
    texts = [list(prompt) for prompt in PROMPTS]
    past, hidden = prefill(model, PROMPTS, tokens=8)
    assert torch.allclose(hidden, anew(theirs, texts), rtol=0, atol=1e-10)  # float64
    for t in range(steps):
        if t in leaving:
            past.keep(torch.tensor(leaving[t]))
            texts = [texts[i] for i in leaving[t]]
        new = torch.tensor([(7 * i + 3 * t) % 36 + 3 for i in range(len(texts))])
        position = torch.tensor([len(text) for text in texts])
        texts = [[*text, token] for text, token in zip(texts, new.tolist(), strict=True)]
        assert torch.allclose(hear(model, past, new, position), anew(theirs, texts), rtol=0, atol=1e-10)  # float64


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_are_those_of_the_whole_text(family, monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 2)  # the room grows twice
    model, theirs = random_model(FAMILIES[family]), random_model(FAMILIES[family])
    grow(model, theirs, {})
    grow(model, theirs, {1: [0, 1, 3, 5, 6], 3: [1, 2, 3], 5: [1]})  # shelves shrink, and go


def test_so_are_they_by_plain_products_as_on_a_gpu(monkeypatch):
    model, theirs = random_model(FAMILIES["llama"]), random_model(FAMILIES["llama"])
    monkeypatch.setattr(attention, "_on_cpu", lambda *_: False)
    grow(model, theirs, {2: [0, 2, 3]})


def test_a_prompt_is_read_once_however_many_answer_it(monkeypatch):
    model, read = random_model(FAMILIES["gpt2"]), []
    monkeypatch.setattr(cache, "plant", lambda turns: read.extend(turns.answers) or attention_plant(turns))
    prefill(model, PROMPTS, tokens=100)
    assert sorted(map(tuple, read)) == sorted({tuple(prompt) for prompt in PROMPTS})


attention_plant = cache.plant


def test_prompts_of_like_lengths_stand_together():
    # 16 more than 1.25 times the shortest: 4 → up to 21, 22 → up to 43.5, 44
    assert alike([4, 21, 22, 43, 44, 44]) == [[0, 1], [2, 3], [4, 5]]
    assert alike([]) == []
