"""The model and the data that both sides read: `python bench/material.py FOLDER SCALE`.

All of it follows from a seed. The model is a Llama of 33M parameters with a vocabulary of 49,152 (SmolLM's), random
weights; the tokenizer is a real one with a word for each id, so that each side may turn the same text into the same
tokens in its own way. No network.

Lengths of prompts and demonstrations follow the quartiles of what customers wrote to InstructGPT (Ouyang et al. 2022,
Table 11): half of the prompts have fewer than 67 tokens and a quarter more than 186.
"""

import json
import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sizes import SIZES
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

SEED = 20220304
VOCABULARY = 49_152
PAD, END, UNKNOWN = "<pad>", "<end>", "<unk>"
SPECIAL = (PAD, END, UNKNOWN)
TINY = {  # for the tests of the bench
    "vocab_size": 512, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "max_position_embeddings": 2048, "tie_word_embeddings": True, "initializer_range": 0.05, "pad_token_id": 0,
    "eos_token_id": 1, "bos_token_id": None, "dtype": "float32",
}  # fmt: skip
PROMPT_QUARTILES = (4, 19, 67, 186, 640)
ANSWER_QUARTILES = (2, 15, 39, 88, 320)


def tokenizer(vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    words = [*SPECIAL, *(f"w{i}" for i in range(len(SPECIAL), vocabulary))]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=END, pad_token=PAD, unk_token=UNKNOWN)


def shape(scale: str = "full") -> LlamaConfig:
    if scale == "tiny":
        return LlamaConfig(**TINY)
    return LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=384, intermediate_size=1024, num_hidden_layers=8, num_attention_heads=6,
        num_key_value_heads=6, max_position_embeddings=2048, tie_word_embeddings=True, initializer_range=0.05,
        pad_token_id=0, eos_token_id=1, bos_token_id=None, dtype="float32",
    )  # fmt: skip


def policy(scale: str = "full") -> LlamaForCausalLM:
    """Its answers never end, but for one in 49,152 tokens."""
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(shape(scale)).eval()
    with torch.no_grad():  # the embedding's pad row is zeroed when made, which would make it another likely token
        model.model.embed_tokens.weight[0].normal_(0, model.config.initializer_range)
    return model


@torch.no_grad()
def ending(model: LlamaForCausalLM, mean_length: int, texts: list[list[int]]) -> LlamaForCausalLM:
    """Make the end token come with a probability of 1/mean_length, as the answers of a tuned model end.

    One direction of the residual stream is kept for it: every embedding has the same entry there, no layer writes to
    it, and the end token's entry, found by bisection, is the higher the sooner answers end. Else the model is the same.
    """
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[0] = 0
        layer.mlp.down_proj.weight[0] = 0
    weight = model.model.embed_tokens.weight
    weight[:, 0] = 1
    low, high = 0.0, 100.0
    for _ in range(30):
        weight[1, 0] = (low + high) / 2
        share = float(model(torch.tensor(texts)).logits[:, 16:].softmax(-1)[..., 1].mean())
        low, high = (low, (low + high) / 2) if share > 1 / mean_length else ((low + high) / 2, high)
    return model


def judge(lm: LlamaForCausalLM, scale: str = "full") -> LlamaForSequenceClassification:
    """The same trunk with a scalar head."""
    config = shape(scale)
    config.num_labels = 1
    torch.manual_seed(SEED + 1)
    model = LlamaForSequenceClassification(config).eval()
    model.model.load_state_dict(lm.model.state_dict())
    with torch.no_grad():
        model.score.weight.normal_(0, 1 / math.sqrt(config.hidden_size + 1))
    return model


def between(quartiles: Sequence[int], luck: random.Random) -> int:
    """A length whose distribution has these quartiles, geometrically spaced between them."""
    part, share = divmod(luck.random() * 4, 1)
    low, high = quartiles[int(part)], quartiles[int(part) + 1]
    return round(low * (high / low) ** share)


def text(length: int, luck: random.Random, vocabulary: int = VOCABULARY) -> list[int]:
    return [luck.randrange(len(SPECIAL), vocabulary) for _ in range(length)]


def data(size: dict, name: str, vocabulary: int = VOCABULARY) -> list[dict]:
    """The rows of one workload. An answer's end token is not among its tokens: each side sets it."""
    luck = random.Random(f"{SEED} {name.split('_')[0]}")  # sft and sft_packed have the same rows
    rows = []
    for _ in range(size.get("rows", 0)):
        prompt = size.get("prompt") or between(PROMPT_QUARTILES, luck)
        lengths = [size.get("answer") or between(ANSWER_QUARTILES, luck) for _ in range(size.get("answers", 1))]
        told = [text(n, luck, vocabulary) for n in (prompt, *(length - 1 for length in lengths))]
        rows.append({"prompt": told[0], "answers": told[1:]})
    return rows


def make(folder: Path, scale: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = shape(scale).vocab_size
    words, lm = tokenizer(vocabulary), policy(scale)
    for name, model in (("policy", lm), ("judge", judge(lm, scale))):
        model.save_pretrained(folder / name)
        words.save_pretrained(folder / name)
    head = load_file(folder / "judge" / "model.safetensors")["score.weight"]  # and as biddable keeps a head
    save_file({"weight": head, "bias": torch.zeros(1)}, folder / "judge" / "reward_head.safetensors")
    luck = random.Random(SEED)
    ending(lm, 48, [text(32, luck, vocabulary) for _ in range(16)]).save_pretrained(folder / "ending")
    words.save_pretrained(folder / "ending")
    for name, size in SIZES[scale].items():
        (folder / f"{name}.json").write_text(json.dumps(data(size, name, vocabulary)))
    (folder / "sizes.json").write_text(json.dumps(SIZES[scale]))  # last: with it the folder is whole


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2])
