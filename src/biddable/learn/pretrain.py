"""A small base model from scratch: pages in, a causal LM out. What Hamlet's weights are made by.

Matrices are updated with Muon, the rest with AdamW; the learning rate warms up, stays, and falls to 0 over the last
part. On the same pages Muon learnt the dictionary and copying in fewer tokens than AdamW (LOG.md).
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from biddable.config import Settings
from biddable.learn import loop
from biddable.model import causal, checkpoint
from biddable.runs import Run
from biddable.text.tokenizer import Tokenizer


class PretrainConfig(Settings):
    width: int = Field(128, ge=8, description="hidden size")
    layers: int = Field(4, ge=1, description="transformer blocks")
    heads: int = Field(4, ge=1, description="attention heads")
    inner: int = Field(256, ge=8, description="width of the feed-forward part")
    context: int = Field(128, ge=16, description="tokens of a training row")
    rows: int = Field(16, ge=1, description="rows of a batch")
    tokens: int = Field(14_000_000, ge=1, description="tokens to read in all")
    matrix_rate: float = Field(0.02, gt=0, description="Muon's learning rate")
    learning_rate: float = Field(3e-3, gt=0, description="AdamW's learning rate, for embeddings and norms")
    warmup: int = Field(100, ge=0, description="steps over which the rates rise")
    decay: float = Field(0.3, gt=0, le=1, description="share of the steps over which they fall to 0")
    log_every: int = Field(100, ge=1, description="steps between two lines of metrics")
    save_every: int = Field(250, ge=1, description="steps between two checkpoints")


def train(run: Run, config: PretrainConfig, tokenizer: Tokenizer, pages: Callable[[], Iterator[str]]) -> Path:
    """Read pages from their beginning until `config.tokens` are read. `pages()` gives the same pages each time."""
    with torch.random.fork_rng([]):
        torch.manual_seed(run.seed)  # transformers draws the first weights from the global stream
        model = new(config, tokenizer)
    named = dict(model.named_parameters())
    matrices = [p for name, p in named.items() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in named.items() if p.ndim != 2 or "embed" in name]
    muon = torch.optim.Muon(matrices, lr=config.matrix_rate, weight_decay=0.01, momentum=0.95)
    adam = torch.optim.AdamW(others, lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    steps = max(1, config.tokens // (config.rows * config.context))

    # Go on where a stopped run was: the pages are read again up to there, which costs seconds.
    done, losses = 0, []
    if found := loop.resume(run):
        done, losses = found.step, found.state["losses"]
        checkpoint.restore("model", model, found.tensors)
        checkpoint.restore_moments("muon", muon, found.tensors)
        checkpoint.restore_moments("adam", adam, found.tensors)

    model.train()
    with run.steps("pretraining", steps, done) as bar:
        for step, token_BS in enumerate(itertools.islice(batches(tokenizer, pages(), config), done, steps), start=done):
            share = schedule(step, steps, config)
            loop.set_rate(muon, config.matrix_rate * share)
            loop.set_rate(adam, config.learning_rate * share)
            loss = next_token_loss(model, token_BS)
            losses.append(float(loss.detach()))
            loop.finite(f"step {step + 1}", loss=losses[-1])
            loss.backward()
            loop.clip(named, 1.0, f"step {step + 1}")
            for optimizer in (muon, adam):
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            loop.check_weights(named, f"step {step + 1}")
            bar.advance()
            if (step + 1) % config.log_every == 0 or step + 1 == steps:
                run.log(step + 1, loss=fmean(losses), tokens=(step + 1) * token_BS.numel())
                losses.clear()
            if (step + 1) % config.save_every == 0 or step + 1 == steps or run.leaving:
                tensors = checkpoint.parameters("model", model)
                tensors |= checkpoint.moments("muon", muon) | checkpoint.moments("adam", adam)
                loop.keep(run, step + 1, tensors, {"losses": losses})

    folder = causal.save(model.eval(), tokenizer, run.folder / "model")
    run.scratch.append(run.folder / "checkpoints")
    return run.output("model", folder)


def new(config: PretrainConfig, tokenizer: Tokenizer) -> LlamaForCausalLM:
    """A Llama of the given size with random weights. Embedding and head share theirs."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.width,
            num_hidden_layers=config.layers,
            intermediate_size=config.inner,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=2 * config.context,
            tie_word_embeddings=True,
            rms_norm_eps=1e-5,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def batches(tokenizer: Tokenizer, pages: Iterator[str], config: PretrainConfig) -> Iterator[Tensor]:
    """Pages one after another, begin and end around each, cut into rows."""
    size = config.rows * config.context
    held: list[int] = []
    while some := list(itertools.islice(pages, 512)):
        for ids in tokenizer(some, add_special_tokens=False)["input_ids"]:
            held += [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
        while len(held) >= size:
            yield torch.tensor(held[:size]).view(config.rows, config.context)
            del held[:size]


def next_token_loss(model: LlamaForCausalLM, token_BS: Tensor) -> Tensor:
    """Mean −log p of each token given those before it in its row."""
    hidden_BSD = model.model(input_ids=token_BS, use_cache=False).last_hidden_state
    logit_NV = model.lm_head(hidden_BSD[:, :-1]).flatten(0, 1)
    return functional.cross_entropy(logit_NV, token_BS[:, 1:].flatten())


def schedule(step: int, steps: int, config: PretrainConfig) -> float:
    """Share of the peak: up over the warmup, level, then straight down to 0."""
    rising = (step + 1) / (config.warmup + 1)
    falling = (steps - step) / (config.decay * steps)
    return min(1.0, rising, falling)
