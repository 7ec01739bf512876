"""GGUF, the file that llama.cpp and its kin run: read through transformers, written for models of the Llama shape.

A file's way of cutting text into tokens is read back and compared before the file gets its name.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from torch import Tensor
from transformers import GgufConfig, PreTrainedModel

from biddable.model.checkpoint import check_finite
from biddable.text import tokenizer as tokenizers
from biddable.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from gguf import GGUFWriter

Precision = Literal["f16", "f32"]
R = TypeVar("R")

# How text is cut before its bytes are merged; a file says only by what name. As in llama.cpp's llama-vocab.cpp.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6  # what kinds of tokens there are
PROBE = (
    "It isn't so: in 1973, 12345 goats (and 7 cows)\tate  the grass!\n\n  They'll be back…\r\n"
    "Ünïcode, 世界, \U0001f410, snake_case, a=b*c; 'quoted' \"words\" — and so on.\n"
)


def settings() -> dict[str, Any]:
    """What `from_pretrained` needs to make plain weights of a file's packed ones. The missing package is named here."""
    import accelerate  # noqa: F401  # transformers asks for both, and its own complaint names no extra of ours
    import gguf  # noqa: F401

    return {"quantization_config": GgufConfig(dequantize=True)}


def readable(path: Path, read: Callable[[], R]) -> R:
    """What `read` finds in the file; one line where the file is torn, or of a kind that is not known."""
    try:
        return read()
    except (ValueError, KeyError, IndexError, TypeError, OSError, struct.error) as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: cannot be read as GGUF: {error}") from error


def write(model: PreTrainedModel, tokenizer: Tokenizer, path: Path, precision: Precision = "f16") -> Path:
    """Write a model of the Llama shape as one GGUF file; ValueError says what cannot be said in one."""
    from gguf import GGUFWriter

    _check_shape(model)
    check_finite(str(path), dict(model.named_parameters()), "; nothing was written")
    aside = path.with_name(path.stem + ".part.gguf")  # transformers knows one by its ending
    try:
        writer = GGUFWriter(aside, "llama")
        _add_shape(writer, model, precision)
        _add_tokens(writer, tokenizer)
        for name, tensor in _tensors(model):
            plain = precision == "f16" and tensor.ndim > 1
            writer.add_tensor(name, tensor.to(torch.float16 if plain else torch.float32).numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        _check_tokens(tokenizer, tokenizers.load(aside), path)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def _check_shape(model: PreTrainedModel) -> None:
    config = model.config
    if config.model_type != "llama":
        raise ValueError(f"{config.model_type}: only models of the Llama shape can be written as GGUF yet")
    rope = (config.rope_parameters or {}).get("rope_type", "default")
    strange = [name for name in ("attention_bias", "mlp_bias") if getattr(config, name)]
    strange += [f"rope_type={rope}"] if rope != "default" else []
    if strange:
        raise ValueError(f"llama with {', '.join(strange)}: cannot be written as GGUF yet")


def _add_shape(writer: "GGUFWriter", model: PreTrainedModel, precision: Precision) -> None:
    config = model.config
    writer.add_name(Path(config.name_or_path or "model").name or "model")
    writer.add_file_type({"f32": 0, "f16": 1}[precision])
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)


def _tensors(model: PreTrainedModel) -> list[tuple[str, Tensor]]:
    """Weights by GGUF's names. A tied unembedding is left out; queries and keys are turned as llama.cpp wants them."""
    from gguf import MODEL_ARCH, get_tensor_name_map

    config = model.config
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    found = []
    for name, parameter in model.named_parameters():  # a tied one comes once, under the embedding's name
        called = names.get_name(name, try_suffixes=(".weight",))
        assert called is not None, f"{name} has no name in GGUF"
        tensor = parameter.detach().cpu().float()
        count = next((n for part, n in heads.items() if f".{part}." in name), None)
        found.append((called, tensor if count is None else interleaved(tensor, count)))
    return found


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows of a rotary projection: from two halves a head, as transformers turns them, to pairs side by side."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.transpose(1, 2).reshape(weight.shape).contiguous()


def _add_tokens(writer: "GGUFWriter", tokenizer: Tokenizer) -> None:
    said = json.loads(tokenizer.backend_tokenizer.to_str())
    kind, pre = _kind(said)
    ids = tokenizer.get_vocab()
    tokens = sorted(ids, key=lambda token: ids[token])
    added = {token["content"]: CONTROL if token["special"] else USER for token in said["added_tokens"]}
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([added.get(token, _type(token, kind)) for token in tokens])
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in said["model"]["merges"]]
    if kind == "llama":  # pieces are joined by score there, the best first
        rank = {first + second: nth for nth, (first, second) in reversed(list(enumerate(merges)))}
        writer.add_token_scores([-float(rank.get(token, 0)) for token in tokens])
        writer.add_add_space_prefix(True)
    writer.add_token_merges([" ".join(merge) for merge in merges])
    for add, number in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if number is not None:
            add(number)
    writer.add_add_bos_token(tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id])
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _kind(said: dict[str, Any]) -> tuple[str, str]:
    """What GGUF calls this kind of tokenizer, and the name of its way to cut text."""
    cut = said["pre_tokenizer"] or {}
    steps = cut.get("pretokenizers", [cut])
    match [step.get("type") for step in steps]:
        case _ if said["model"]["type"] != "BPE":
            raise ValueError(f"a {said['model']['type']} tokenizer cannot be written as GGUF: it knows BPE only")
        case ["ByteLevel"] if steps[0]["use_regex"]:
            return "gpt2", "gpt-2"
        case ["Digits", "ByteLevel"] if steps[0]["individual_digits"] and steps[1]["use_regex"]:
            return "gpt2", "smollm"
        case ["Split", "ByteLevel"] if steps[0]["pattern"].get("Regex") == LLAMA3:
            return "gpt2", "llama-bpe"
        case [None] | ["Metaspace"] if said["model"]["byte_fallback"]:
            return "llama", "default"
    raise ValueError(f"a tokenizer that cuts text by {cut.get('type')} cannot be written as GGUF yet")


def _type(token: str, kind: str) -> int:
    if kind == "llama" and len(token) == 6 and token.startswith("<0x"):
        return BYTE
    return NORMAL


def _check_tokens(mine: Tokenizer, other: Tokenizer, path: Path) -> None:
    """A file whose reader cuts text in other places would be another model."""
    pieces = [str(mine.decode([number])) for number in range(len(mine)) if number not in mine.all_special_ids]
    for text in (PROBE, "\n".join(pieces)):
        one, two = (tok(text, add_special_tokens=False, verbose=False)["input_ids"] for tok in (mine, other))
        if one != two:
            raise ValueError(f"{path}: GGUF does not keep this tokenizer's ways of cutting text; nothing was written")
