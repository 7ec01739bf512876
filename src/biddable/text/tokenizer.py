"""The tokenizer of a model folder, how a prompt is rendered, and what an answer's tokens are.

Two things go wrong here in every project of this field: a pad token that is the end token (the end is masked with
the padding and never learnt; docs/paper_index, checklist 4) and an answer without its end token (5). Both are settled
here, once: an answer is its text's tokens and the end token, and a tokenizer whose pad is its end is not used.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

Tokenizer = PreTrainedTokenizerBase
Ids = list[int]


def load(folder: Path | str) -> Tokenizer:
    """The tokenizer of a model folder, fit for use; ValueError in one line when it is not."""
    if Path(folder).is_dir() and not any((Path(folder) / name).exists() for name in _FILES):
        raise ValueError(f"{folder}: no tokenizer (expected tokenizer.json); copy the one the model was trained with")
    tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    assert tokenizer is not None
    return check(repair(tokenizer), str(folder))


_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


def repair(tokenizer: Tokenizer) -> Tokenizer:
    """Give a pad token of its own to a tokenizer that has none or that pads with the end token (SmolLM2, GPT-2).

    The unknown token serves: we never compute a loss on padding, and a mask here never asks for the pad's id. It
    matters in the saved folder, for whoever trains on from it, and in Llama's embedding, whose pad row never learns.
    """
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        taken = {tokenizer.eos_token_id, tokenizer.bos_token_id}
        spare = [token for token in (tokenizer.unk_token, *tokenizer.all_special_tokens) if token is not None]
        spare = [token for token in spare if tokenizer.convert_tokens_to_ids(token) not in taken]
        if spare:
            tokenizer.pad_token = spare[0]
    return tokenizer


def check(tokenizer: Tokenizer, where: str) -> Tokenizer:
    """Refuse a tokenizer with which nothing could learn to stop."""
    if tokenizer.eos_token_id is None:
        raise ValueError(f"{where}: the tokenizer has no end token; set eos_token in tokenizer_config.json")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise ValueError(
            f"{where}: the pad token must not be the end token ({tokenizer.eos_token!r}), or stopping is never learnt; "
            "set another pad_token in tokenizer_config.json"
        )
    if tokenizer.chat_template is not None:
        _check_template(tokenizer, where)
    return tokenizer


def _check_template(tokenizer: Tokenizer, where: str) -> None:
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Welcome"}]
    try:
        whole = str(tokenizer.apply_chat_template(turns, tokenize=False))
        opening = str(tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True))
    except Exception as error:  # a template is the user's Jinja program: any error of it is the user's to mend
        raise ValueError(f"{where}: the chat template fails: {error}") from error
    if "Hello" not in opening or "Welcome" not in whole:
        raise ValueError(f"{where}: the chat template leaves out the message it is given")
    if tokenizer.eos_token not in whole[whole.index("Welcome") :]:
        raise ValueError(
            f"{where}: the chat template does not end an answer with the end token {tokenizer.eos_token!r}, "
            "so a model could not learn to stop; set eos_token to the token that ends a turn"
        )


def render(tokenizer: Tokenizer, text: str) -> str:
    """What stands before the answer: the chat template's words around the prompt, or the prompt and a line break."""
    if tokenizer.chat_template is None:
        return text + "\n"
    message = [{"role": "user", "content": text}]
    return str(tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))


def prompt_ids(tokenizer: Tokenizer, texts: Iterable[str]) -> list[Ids]:
    """Token ids of rendered prompts, each at least one token long."""
    rendered = [render(tokenizer, text) for text in texts]
    special = tokenizer.chat_template is None  # a template writes its own begin token
    rows = _encode(tokenizer, rendered, special)
    for text, ids in zip(rendered, rows, strict=True):
        if not ids:
            raise ValueError(f"the prompt {text!r} has no tokens in this tokenizer")
    return rows


def answer_ids(tokenizer: Tokenizer, texts: Iterable[str]) -> list[Ids]:
    """Token ids of answers, the end token last and nowhere else."""
    texts = list(texts)
    rows = _encode(tokenizer, texts, special=False)
    for text, ids in zip(texts, rows, strict=True):
        if tokenizer.eos_token_id in ids:
            raise ValueError(f"the answer {text[:60]!r} has the end token {tokenizer.eos_token!r} inside it")
    return [[*ids, tokenizer.eos_token_id] for ids in rows]


def page_ids(tokenizer: Tokenizer, texts: Iterable[str], longest: int) -> list[Ids]:
    """Token ids of pretraining pages, begin token first and end token last; a long page becomes several."""
    whole = [[*ids, tokenizer.eos_token_id] for ids in page_starts(tokenizer, texts)]
    pieces = (ids[at : at + longest] for ids in whole for at in range(0, len(ids), longest))
    return [piece for piece in pieces if len(piece) > 1]  # one token predicts nothing


def page_starts(tokenizer: Tokenizer, texts: Iterable[str]) -> list[Ids]:
    """Token ids of text that begins like a page and goes on: begin token first, no end token."""
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    rows = _encode(tokenizer, list(texts), special=True)
    return [ids if ids[:1] == begin else [*begin, *ids] for ids in rows]


def _encode(tokenizer: Tokenizer, texts: Sequence[str], special: bool) -> list[Ids]:
    if not texts:
        return []
    rows = tokenizer(list(texts), add_special_tokens=special, verbose=False)["input_ids"]
    end = tokenizer.eos_token_id
    return [ids[:-1] if special and ids and ids[-1] == end else ids for ids in rows]


def words(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of an answer's tokens, up to its end token."""
    ids = list(ids)
    if tokenizer.eos_token_id in ids:
        ids = ids[: ids.index(tokenizer.eos_token_id)]
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
