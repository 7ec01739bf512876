"""A tokenizer and a Llama small enough for a test, made here and never downloaded."""

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from biddable import records
from biddable.model import causal
from biddable.text.words import word_tokenizer

WORDS = [
    "red", "blue", "green", "dog", "cat", "cow", "say", "name", "the", "a", "one", "two", "three", "yes", "no", "big",
]  # fmt: skip


# The loop in Hamlet, every part of it and none of it larger than its gates need.
RECIPE = """
[walk]
written = 150
customers = 450
ranked = 40
checked = 16
tested = 24
items = 5
pages = 100
best_of = 4
best_prompts = 11

[paper_fast]
sizes = [{width = 16, layers = 1, heads = 2, tokens = 20_000}]
gammas = [1.0]
betas = [1.0]
betas_mixed = [2.0]
folded = 20
sft_epochs = [1, 2]
reward_epochs = [1, 2]
reward_rankings = 6
scaling = [6, 12]
draws = 1
followed_seeds = 2
followed_betas = [0.1]
followed_episodes = 32
followed_every = 1
best_of = 4
ensemble = 2

[pretrain]
rows = 4

[gather]
prefix_share = 1.0
prefix_chars = 20
valid = 0.15
test = 0.2

[sft]
epochs = 1
learning_rate = 1e-3
prompt_tokens = 80
answer_tokens = 64

[start]
epochs = 1
learning_rate = 1e-3
prompt_tokens = 80
answer_tokens = 64
page_tokens = 128

[sample]
k = 3
answer_tokens = 40

[reward]
learning_rate = 1e-3
batch = 8
checkpoint_every = 4

[gate_fifty]
learning_rate = 1e-3
batch = 10
epochs = 2

[gate_best]
k = 5
answer_tokens = 40

[ppo]
episodes = 32
batch = 16
minibatch = 8
learning_rate = 3e-4
value_learning_rate = 3e-4
warmup_iterations = 1
beta = 0.05
gamma_ptx = 0.25
ptx_ratio = 1.0
ptx_tokens = 128
prompt_tokens = 80
answer_tokens = 40
ema = 0.0
checkpoint_every = 1
"""

CHAT = (
    "{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer(WORDS)


def byte_tokenizer(cut: str = "ByteLevel") -> PreTrainedTokenizerFast:
    """Byte-level BPE, as GPT-2, SmolLM2 and Llama 3 have it; `cut` is how it cuts text before merging bytes."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = {
        "ByteLevel": pre_tokenizers.ByteLevel(add_prefix_space=False),
        "Digits": pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        ),
        "Whitespace": pre_tokenizers.Whitespace(),
    }[cut]
    inner.decoder = decoders.ByteLevel()
    special = ["<unk>", "<s>", "<|end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator([" ".join(WORDS), "say the name of a big dog", "say yes"], trainer)
    tok = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="<|end|>")
    tok.pad_token = "<unk>"
    tok.chat_template = CHAT
    return tok


def llama(
    tok: PreTrainedTokenizerFast, seed: int = 0, width: int = 32, layers: int = 2, spread: float = 0.5, **settings
):
    """A Llama with random weights; `spread` is their standard deviation, large enough that answers differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=len(tok), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=True,
            initializer_range=spread / width**0.5, bos_token_id=tok.bos_token_id, eos_token_id=tok.eos_token_id,
            pad_token_id=tok.pad_token_id, attn_implementation="sdpa", **settings,
        )  # fmt: skip
        return LlamaForCausalLM(config).eval()


def saved(folder: Path, seed: int = 0, **settings) -> Path:
    tok = tokenizer()
    return causal.save(llama(tok, seed, **settings), tok, folder)


def prompt(text: str, user: str = "u") -> records.Prompt:
    return records.Prompt.make(text, user=user, split="train")


def demonstrations(path: Path, pairs: Iterable[tuple[str, str]]) -> Path:
    rows: list[records.Record] = [records.Labeler(id="anna", group="training")]
    for nth, (question, answer) in enumerate(pairs):
        asked = prompt(question, f"u{nth}")
        rows += [asked, records.Demonstration(prompt_id=asked.id, text=answer, labeler="anna")]
    records.write(path, rows)
    return path


def rankings(path: Path, sets: Iterable[tuple[str, list[list[str]]]], labelers: tuple[str, ...] = ("anna",)) -> Path:
    """Each set is a prompt and its tiers of answers, best first; the labelers take turns, and "olga" is held out."""
    rows: list[records.Record] = [
        records.Labeler(id=name, group="held_out" if name == "olga" else "training") for name in labelers
    ]
    for nth, (question, tiers) in enumerate(sets):
        asked = prompt(question, f"u{nth}")
        made = [
            [records.Completion.make(asked.id, text, "r", 10 * i + j) for j, text in enumerate(tier)]
            for i, tier in enumerate(tiers)
        ]
        rows += [asked, *(c for tier in made for c in tier)]
        order = tuple(tuple(c.id for c in tier) for tier in made)
        rows.append(records.Ranking(prompt_id=asked.id, labeler=labelers[nth % len(labelers)], order=order))
    records.write(path, rows)
    return path


def judgements(path: Path, rankings: Path) -> Path:
    """Of every ranked answer: short is good, and "cow" is no help."""
    answers = [record for record in records.read(rankings) if isinstance(record, records.Completion)]
    records.write(
        path,
        [
            records.Judgement(
                completion_id=c.id, labeler="anna", overall=max(1, 7 - len(c.text)), fails_task="cow" in c.text
            )
            for c in answers
        ],
    )
    return path


def judged(path: Path, rankings: Path) -> Path:
    """The ranked answers again, each judged and none ranked."""
    told = records.read(judgements(path, rankings))
    kept = [one for one in records.read(rankings) if isinstance(one, records.Prompt | records.Completion)]
    records.write(path, [*kept, *told])
    return path


def pages(path: Path, texts: Iterable[str]) -> Path:
    records.write(path, [records.Page(id=f"page-{nth}", text=text) for nth, text in enumerate(texts)])
    return path


def prompts(path: Path, texts: Iterable[str]) -> Path:
    records.write(path, [prompt(text, f"u{nth}") for nth, text in enumerate(texts)])
    return path
