"""Causal language models: loading and saving their folders, and reading log-probabilities off them.

B = rows, S = tokens of a row, T = tokens of the longest answer, N = answer tokens of all rows, D = width, V =
vocabulary.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from biddable.model.checkpoint import check_finite
from biddable.model.rows import Rows, buckets
from biddable.text import tokenizer as tokenizers
from biddable.text.tokenizer import Tokenizer

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")

# What some families do to logits after the head. We apply the head where it counts, so it must be all there is.
AFTER_THE_HEAD = ("final_logit_softcapping", "logits_scaling", "logit_scale")


def load(folder: Path | str, *, attention_dropout: float = 0.0) -> tuple[PreTrainedModel, Tokenizer]:
    """A causal LM in float32, in eval mode, and its tokenizer. ValueError says what is wrong with a folder."""
    _has_weights(folder)
    tokenizer = tokenizers.load(folder)
    logging.disable_progress_bar()
    config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
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
        str(folder),
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


def _has_weights(folder: Path | str) -> None:
    path = Path(folder)
    if not path.is_dir():
        if path.is_absolute() or str(folder).count("/") != 1 or str(folder).startswith("."):
            raise ValueError(f"{folder}: no such model folder")
        return  # a name on the hub, owner/model
    if not (path / "config.json").exists():
        raise ValueError(f"{folder}: not a model folder (no config.json)")
    if any(path.glob("*.safetensors")):
        return
    pickled = sorted(file.name for pattern in PICKLED for file in path.glob(pattern))
    if pickled:
        raise ValueError(
            f"{folder}: only pickled weights ({pickled[0]}), which could run code when loaded; "
            "convert them to model.safetensors first"
        )
    raise ValueError(f"{folder}: a model folder without weights (no model.safetensors)")


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


def context(model: PreTrainedModel) -> int:
    """The most tokens the model was made for."""
    return int(model.config.max_position_embeddings)


def context_of(folder: Path) -> int:
    """The same, without loading its weights."""
    _has_weights(folder)
    return int(AutoConfig.from_pretrained(str(folder), trust_remote_code=False).max_position_embeddings)


def check_sees_all(model: PreTrainedModel) -> None:
    """Refuse a model whose layers do not all see the whole past: our caches would show them more than they expect."""
    kinds = set(model.config.to_dict().get("layer_types") or ["full_attention"])
    if kinds != {"full_attention"}:
        raise ValueError(f"{model.config.model_type}: layers of kind {sorted(kinds)} are not supported yet")


def head(model: PreTrainedModel) -> Float[Tensor, "V D"]:
    """The unembedding's weight."""
    embeddings = model.get_output_embeddings()
    assert isinstance(embeddings, nn.Linear)
    assert embeddings.bias is None
    return embeddings.weight


def hidden(model: PreTrainedModel, rows: Rows) -> Float[Tensor, "B S D"]:
    """The trunk's last hidden states."""
    return model.base_model(input_ids=rows.token_BS, use_cache=False).last_hidden_state


def predicting(model: PreTrainedModel, rows: Rows) -> Float[Tensor, "N D"]:
    """The hidden states from which answer tokens are predicted: the head never meets any other place."""
    return hidden(model, rows)[rows.predicts_BS]


def answer_logits(model: PreTrainedModel, rows: Rows, temperature: float | int = 1.0) -> Float[Tensor, "N V"]:
    """Logits of each answer token's place, divided by the temperature (paper_index, checklist 15)."""
    logit_NV = nn.functional.linear(predicting(model, rows), head(model))
    return logit_NV if temperature == 1.0 else logit_NV / temperature


def logp_of(logit_NV: Float[Tensor, "N V"], token_N: Tensor) -> Float[Tensor, " N"]:
    """log p of given tokens."""
    return logit_NV.gather(-1, token_N[:, None]).squeeze(-1) - logit_NV.logsumexp(-1)


def answer_logp(model: PreTrainedModel, rows: Rows, temperature: float | int = 1.0) -> Float[Tensor, "B T"]:
    """log p of each answer token; 0 where a row has none."""
    return spread(logp_of(answer_logits(model, rows, temperature), rows.target_N), rows)


def spread(x_N: Float[Tensor, " N"], rows: Rows) -> Float[Tensor, "B T"]:
    """Numbers of the answer tokens, one after another → one row per answer, zeros after its end."""
    mask_BT = rows.answer_BT
    return torch.zeros(mask_BT.shape, dtype=x_N.dtype, device=x_N.device).masked_scatter(mask_BT, x_N)


@torch.no_grad()
def in_pieces(read: Callable[[Rows], Float[Tensor, "b t"]], rows: Rows, tokens: int) -> Float[Tensor, "B T"]:
    """Apply `read` to pieces of like length, without gradient, and put the answers back in the order of the rows."""
    mask_BT = rows.answer_BT
    out_BT = torch.zeros(mask_BT.shape, device=mask_BT.device)
    for index_b in buckets(rows.length_B.tolist(), tokens):
        x_bt = read(rows.take(index_b))
        out_BT[index_b, : x_bt.shape[1]] = x_bt.float()
    return out_BT
