"""Causal language models: loading and saving their folders, and reading log-probabilities off them.

A = answers, M = answer tokens of all of them, T = those of the longest, D = width, V = vocabulary, N = any number of
tokens; a and t are A and T of a piece.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from biddable.losses.sft import nll, token_logp
from biddable.model import gguf, places
from biddable.model.attention import hidden
from biddable.model.checkpoint import check_finite
from biddable.model.forest import Forest, Turns, forests
from biddable.text import tokenizer as tokenizers
from biddable.text.tokenizer import GGUF, Tokenizer

# What some families do to logits after the head. We apply the head where it counts, so it must be all there is.
AFTER_THE_HEAD = ("final_logit_softcapping", "logits_scaling", "logit_scale")


def load(folder: Path | str, *, attention_dropout: float = 0.0) -> tuple[PreTrainedModel, Tokenizer]:
    """A causal LM in float32, in eval mode, and its tokenizer: of a folder, a GGUF file or a name on the hub.
    ValueError says what is wrong with it."""
    folder = places.find(folder)
    if folder.suffix == GGUF:
        return gguf.readable(folder, lambda: _load(folder, attention_dropout, **gguf.settings()))
    return _load(folder, attention_dropout)


def _load(folder: Path, attention_dropout: float, **how: Any) -> tuple[PreTrainedModel, Tokenizer]:
    tokenizer = tokenizers.load(folder)
    logging.disable_progress_bar()
    place, which = tokenizers.named(folder)
    config = AutoConfig.from_pretrained(place, **which, trust_remote_code=False)
    settings = config.to_dict()
    changed = {key: settings[key] for key in AFTER_THE_HEAD if settings.get(key) not in (None, 1.0)}
    if changed:
        raise ValueError(f"{folder}: {config.model_type} changes logits after its head {changed}; not supported yet")
    # Llama's embedding gives its pad row no gradient: were pad the end token, the end would not be learnt.
    config.pad_token_id = tokenizer.pad_token_id
    config.eos_token_id = tokenizer.eos_token_id
    if "attention_dropout" in settings:
        config.attention_dropout = attention_dropout
    elif attention_dropout:
        raise ValueError(f"{folder}: {config.model_type} has no attention_dropout; set attention_dropout=0")
    model, found = AutoModelForCausalLM.from_pretrained(
        place,
        **which,
        **how,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        attn_implementation="sdpa",
        output_loading_info=True,
        trust_remote_code=False,
    )
    if found["missing_keys"]:
        raise ValueError(f"{folder}: the weights lack {min(found['missing_keys'])}; this is not a whole causal LM")
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise ValueError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens and the model fewer; they do not belong together"
        )
    check_finite(str(folder), dict(model.named_parameters()), "; these weights are broken")
    return model.eval(), tokenizer


def save(model: PreTrainedModel, tokenizer: Tokenizer, folder: Path) -> Path:
    """Write a folder that `AutoModelForCausalLM.from_pretrained` loads; written aside, then renamed."""
    aside = folder.with_name(folder.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    _stops_by_itself(model, tokenizer)
    check_finite(str(folder), dict(model.named_parameters()), "; nothing was written")
    logging.disable_progress_bar()
    model.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    replace(aside, folder)
    return folder


def replace(aside: Path, folder: Path) -> None:
    """Put a finished folder in the place of another."""
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def _stops_by_itself(model: PreTrainedModel, tokenizer: Tokenizer) -> None:
    """`generate` reads these from generation_config.json: a model that learnt to stop must be stopped there."""
    if model.generation_config is not None:
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.generation_config.pad_token_id = tokenizer.pad_token_id
        model.generation_config.bos_token_id = tokenizer.bos_token_id


def size(model: PreTrainedModel) -> int:
    """How many parameters, a tied one once."""
    return sum(p.numel() for p in model.parameters())


def context(model: PreTrainedModel) -> int:
    """The most tokens the model was made for."""
    return int(model.config.max_position_embeddings)


def context_of(folder: Path | str) -> int:
    """The same, without loading its weights."""
    place, which = tokenizers.named(places.find(folder))
    return int(AutoConfig.from_pretrained(place, **which, trust_remote_code=False).max_position_embeddings)


def head(model: PreTrainedModel) -> Float[Tensor, "V D"]:
    """The unembedding's weight."""
    embeddings = model.get_output_embeddings()
    assert isinstance(embeddings, nn.Linear)
    assert embeddings.bias is None
    return embeddings.weight


def predicting(model: PreTrainedModel, forest: Forest) -> Float[Tensor, "M D"]:
    """The hidden states from which answer tokens are predicted: the head never meets any other place."""
    return hidden(model, forest)[forest.before_M.to(model.device)]


def logp_and_entropy(
    model: PreTrainedModel, forest: Forest, temperature: float | int = 1.0
) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
    """log p of each answer token, and the entropy of the distribution that it is drawn from (which has no gradient).

    Logits are divided by the temperature (paper_index, checklist 15), by way of the hidden states, which are fewer.
    """
    return _logp(model, forest, temperature, entropies=True)


def answer_logp(model: PreTrainedModel, forest: Forest, temperature: float | int = 1.0) -> Float[Tensor, " M"]:
    """log p of each answer token."""
    return _logp(model, forest, temperature, entropies=False)[0]


def _logp(
    model: PreTrainedModel, forest: Forest, temperature: float | int, entropies: bool
) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
    hidden_MD = predicting(model, forest)
    if temperature != 1.0:
        hidden_MD = hidden_MD / temperature
    return token_logp(hidden_MD, head(model), forest.target_M.to(model.device), entropies=entropies)


def nll_of(model: PreTrainedModel, forest: Forest) -> Float[Tensor, ""]:
    """The mean of −log p over all answer tokens."""
    return nll(predicting(model, forest), head(model), forest.target_M.to(model.device))


def logp_of(logit_NV: Float[Tensor, "N V"], token_N: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """log p of given tokens."""
    return logit_NV.gather(-1, token_N[:, None]).squeeze(-1) - logit_NV.logsumexp(-1)


@torch.no_grad()
def in_pieces(read: Callable[[Forest], Float[Tensor, "a t"]], turns: Turns, tokens: int) -> Float[Tensor, "A T"]:
    """Apply `read` to one piece after another, without gradient, and put what it says in the order of the turns."""
    found = [(index, read(forest).float().cpu()) for index, forest in forests(turns, tokens)]
    out_AT = torch.zeros(len(turns), max(x_at.shape[1] for _, x_at in found))
    for index, x_at in found:
        out_AT[index, : x_at.shape[1]] = x_at
    return out_AT
