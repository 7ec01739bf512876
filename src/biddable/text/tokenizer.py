"""The tokenizer of a model folder, how a prompt is rendered, and what an answer's tokens are.

Two things go wrong here in every project of this field: a pad token that is the end token (the end is masked with
the padding and never learnt; docs/paper_index, checklist 4) and an answer without its end token (5). Both are settled
here, once: an answer is its text's tokens and the end token, and a tokenizer whose pad is its end is not used.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer as Backend
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from biddable.records import Prompt

Tokenizer = PreTrainedTokenizerBase
Ids = list[int]
Message = dict[str, str]  # role and content, as chat templates want them


def load(folder: Path | str) -> Tokenizer:
    """The tokenizer of a model folder or GGUF file, fit for use; ValueError in one line when it is not."""
    if Path(folder).is_dir() and not any((Path(folder) / name).exists() for name in _FILES):
        raise ValueError(f"{folder}: no tokenizer (expected tokenizer.json); copy the one the model was trained with")
    place, which = named(folder)
    tokenizer = AutoTokenizer.from_pretrained(place, **which, trust_remote_code=False)
    assert tokenizer is not None
    return check(repair(_without_strays(tokenizer) if which else tokenizer), str(folder))


def named(folder: Path | str) -> tuple[str, dict[str, str]]:
    """How transformers' `from_pretrained` wants it said: a folder, or the folder of a GGUF file and its name there."""
    path = Path(folder)
    return (str(path.parent), {"gguf_file": path.name}) if path.suffix == GGUF else (str(folder), {})


def _without_strays(tokenizer: Tokenizer) -> Tokenizer:
    """Of a GGUF file's tokenizer, the tokens that its file has. To one like Llama 3's, transformers adds GPT-2's end of
    text, with a number for which the model has no row."""
    said = json.loads(tokenizer.backend_tokenizer.to_str())
    kept = [token for token in said["added_tokens"] if token["id"] < len(said["model"]["vocab"])]
    if len(kept) == len(said["added_tokens"]):
        return tokenizer
    known = {token["content"] for token in kept} | said["model"]["vocab"].keys()
    special = {name: token for name, token in tokenizer.special_tokens_map.items() if token in known}
    inner = Backend.from_str(json.dumps(said | {"added_tokens": kept}))
    return PreTrainedTokenizerFast(tokenizer_object=inner, chat_template=tokenizer.chat_template, **special)


GGUF = ".gguf"
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


def render(tokenizer: Tokenizer, prompt: str | Prompt) -> str:
    """What stands before the answer: the chat template's words around the prompt; or, without a template, each thing
    said and a line break, an end token after each answer."""
    return _opening(tokenizer, _messages(prompt))


def _opening(tokenizer: Tokenizer, messages: Sequence[Message]) -> str:
    if tokenizer.chat_template is not None:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))
    ends = {"assistant": tokenizer.eos_token + "\n"}
    return "".join(message["content"] + ends.get(message["role"], "\n") for message in messages)


def _messages(prompt: str | Prompt) -> list[Message]:
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    before = [{"role": turn.role, "content": turn.text} for turn in prompt.before or ()]
    return [*before, {"role": "user", "content": prompt.text}]


def prompt_ids(tokenizer: Tokenizer, prompts: Iterable[str | Prompt]) -> list[Ids]:
    """Token ids of rendered prompts, each at least one token long."""
    return [ids for ids, _ in conversations(tokenizer, prompts)]


def conversations(tokenizer: Tokenizer, prompts: Iterable[str | Prompt]) -> list[tuple[Ids, list[range]]]:
    """The same, each with the places of the answers that it holds, their end tokens included.

    An earlier answer has the tokens that it was given with: it is read apart from the words around it. Where a template
    tells earlier turns otherwise than it told them then (some leave out what was thought), the whole is read as one
    text, and no places are known.
    """
    told = [_pieces(tokenizer, _messages(prompt)) for prompt in prompts]
    special = tokenizer.chat_template is None  # a template writes its own begin token
    first = iter(_encode(tokenizer, [pieces[0] for pieces in told], special))
    rest = iter(_encode(tokenizer, [piece for pieces in told for piece in pieces[2::2]], special=False))
    answers = iter(answer_ids(tokenizer, [piece for pieces in told for piece in pieces[1::2]]))
    found = []
    for pieces in told:
        ids, places = next(first), []
        for _ in pieces[1::2]:
            answer = next(answers)
            places.append(range(len(ids), len(ids) + len(answer)))
            ids = [*ids, *answer, *next(rest)]
        if not ids:
            raise ValueError(f"the prompt {pieces[0]!r} has no tokens in this tokenizer")
        found.append((ids, places))
    return found


def _pieces(tokenizer: Tokenizer, messages: list[Message]) -> list[str]:
    """A conversation cut around its answers: words, answer, words, answer, …, words. The end token that follows an
    answer is in neither."""
    pieces, done = [], ""
    for n, message in enumerate(messages):
        if message["role"] == "assistant":
            opening = _opening(tokenizer, messages[:n])
            pieces += [opening.removeprefix(done), message["content"]]
            done = opening + message["content"] + tokenizer.eos_token
            if not _opening(tokenizer, messages[: n + 2]).startswith(done):
                return [_opening(tokenizer, messages)]
    return [*pieces, _opening(tokenizer, messages).removeprefix(done)]


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
    """The text of an answer's tokens, up to its end token. U+0000, which PostgreSQL keeps in no text and which a model
    of bytes may say, becomes what half a character becomes: U+FFFD."""
    ids = list(ids)
    if tokenizer.eos_token_id in ids:
        ids = ids[: ids.index(tokenizer.eos_token_id)]
    return str(tokenizer.decode(ids, skip_special_tokens=True)).replace("\0", "\ufffd").strip()
