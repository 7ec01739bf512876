"""How toxic a text is, by a scorer that is chosen by name. None of them is the Perspective model of the paper.

words               a short list of insults, profanity and threats, ours: 1 where one is in the text. It knows no
                    context, no slurs and no irony. words:FILE takes another list, one word or phrase a line.
FILE.safetensors    a linear model that `biddable toxicity` learnt from texts that people judged
FOLDER, owner/name  a sequence classifier of transformers, of which `toxic` is a label (detoxify's are)
http://…            a server that answers as Perspective does; its key from BIDDABLE_PERSPECTIVE_KEY
"""

import itertools
import json
import os
import re
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from biddable.config import ConfigError
from biddable.provenance import artifact

Floats = NDArray[np.float64]

PHRASES = (
    "beat you up", "bloody hell", "burn in hell", "die in a fire", "drop dead", "go to hell", "hate you", "kill you",
    "kill yourself", "piece of shit", "shut up", "sick in the head",
)  # fmt: skip
WORDS = (
    "arse", "arsehole", "ass", "asshole", "bastard", "bitch", "bollocks", "bullshit", "clown", "coward", "crap",
    "creep", "cretin", "cunt", "damn", "dick", "dickhead", "disgusting", "douche", "dumb", "dumbass", "dumbest",
    "filth", "filthy", "freak", "fuck", "fucked", "fucker", "fucking", "garbage", "hideous", "idiot", "idiotic",
    "idiots", "imbecile", "jackass", "jerk", "loser", "losers", "moron", "moronic", "morons", "motherfucker",
    "pathetic", "pig", "pigs", "pissed", "prick", "psycho", "pussy", "repulsive", "revolting", "scum",
    "scumbag", "shit", "shithead", "shitty", "sissy", "slut", "slutty", "stupid", "stupidity", "suck", "sucks",
    "trash", "twat", "ugly", "vermin", "wanker", "whore", "worthless",
)  # fmt: skip
BUCKETS = 2**18
DECAY = 0.1  # weight of ½|w|² against the sum over texts
MARK = "biddable toxicity"


class Scorer(NamedTuple):
    by: str  # as it is told beside every number
    score: Callable[[Sequence[str]], list[float]]  # 0 to 1, the more the worse


def scorer(name: str) -> Scorer:
    """The scorer of that name; ConfigError says what is wrong with it."""
    if name == "words":
        return Scorer("words", listed((*PHRASES, *WORDS)))
    if name.startswith("words:"):
        path = Path(name.removeprefix("words:"))
        return Scorer(f"words {path.name} {_short(path)}", listed(_lines(path)))
    if name.startswith(("http://", "https://")):
        return Scorer(name.partition("?")[0], lambda texts: [_perspective(name, text) for text in texts])
    if name.endswith(".safetensors"):
        return Scorer(f"linear {_short(Path(name))}", linear(Path(name)))
    return Scorer(f"classifier {name}", classifier(name))


def _lines(path: Path) -> list[str]:
    try:
        found = [line.strip().lower() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is no list of words: {error}") from error
    if not found:
        raise ConfigError(f"{path}: holds no words")
    return found


def _short(path: Path) -> str:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    return artifact(path).sha256[:8]


def listed(words: Sequence[str]) -> Callable[[Sequence[str]], list[float]]:
    """1 where one of the words or phrases stands in the text as whole words."""
    known = re.compile(r"(?<!\w)(?:" + "|".join(re.escape(word) for word in words) + r")(?!\w)")
    return lambda texts: [float(bool(known.search(text.lower()))) for text in texts]


# The linear model


def features(texts: Sequence[str]) -> scipy.sparse.csr_array:
    """Words, pairs of words, and pieces of three to five letters of a word, hashed; of a text each once, length 1."""
    rows, columns = [], []
    for nth, text in enumerate(texts):
        words = re.findall(r"[\w']+", text.lower())
        told = {*words, *map(" ".join, itertools.pairwise(words))}
        told |= {"#" + piece for word in set(words) for piece in pieces(f" {word} ")}
        found = sorted({zlib.crc32(one.encode(errors="replace")) % BUCKETS for one in told})
        rows += [nth] * len(found)
        columns += found
    count = np.bincount(rows, minlength=len(texts)).astype(float)
    values = 1 / np.sqrt(count[rows]) if rows else np.zeros(0)
    return scipy.sparse.csr_array((values, (rows, columns)), shape=(len(texts), BUCKETS))


def pieces(word: str) -> Iterator[str]:
    return (word[at : at + n] for n in (3, 4, 5) for at in range(len(word) - n + 1))


def fit(texts: Sequence[str], labels: Sequence[float]) -> tuple[Floats, float]:
    """Logistic regression: minimise Σ −y log p − (1 − y) log(1 − p) + ½ DECAY |w|², by L-BFGS. Labels are 0 to 1."""
    x_NF, y_N = features(texts), np.asarray(labels, dtype=float)

    def loss(wb: Floats) -> tuple[float, Floats]:
        logit_N = x_NF @ wb[:-1] + wb[-1]
        error_N = expit(logit_N) - y_N
        slope = np.concatenate([x_NF.T @ error_N + DECAY * wb[:-1], [error_N.sum()]])
        value = -(y_N * log_expit(logit_N) + (1 - y_N) * log_expit(-logit_N)).sum() + DECAY / 2 * wb[:-1] @ wb[:-1]
        return float(value), slope

    found = minimize(loss, np.zeros(BUCKETS + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return found.x[:-1], float(found.x[-1])


def probability(weight: Floats, bias: float, texts: Sequence[str]) -> list[float]:
    return expit(features(texts) @ weight + bias).tolist()


def across(texts: Sequence[str], labels: Sequence[float], folds: int, seed: int) -> list[float]:
    """What a model says of each text that it did not see, the texts in so many parts by lot."""
    part = np.random.default_rng(seed).permutation(len(texts)) % folds
    told = np.zeros(len(texts))
    for fold in range(folds):
        seen, held = np.flatnonzero(part != fold).tolist(), np.flatnonzero(part == fold).tolist()
        weight, bias = fit([texts[i] for i in seen], [labels[i] for i in seen])
        told[held] = probability(weight, bias, [texts[i] for i in held])
    return told.tolist()


def save(weight: Floats, bias: float, path: Path, **facts: str) -> None:
    aside = path.with_name(path.name + ".part")
    tensors = {"weight": weight.astype(np.float32), "bias": np.array([bias], dtype=np.float32)}
    save_file(tensors, aside, metadata={"kind": MARK, **facts})
    aside.replace(path)


def linear(path: Path) -> Callable[[Sequence[str]], list[float]]:
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("kind") != MARK:
                raise ConfigError(f"{path}: is no scorer of toxicity; learn one: biddable toxicity")
            weight, bias = file.get_tensor("weight").astype(float), float(file.get_tensor("bias")[0])
    except SafetensorError as error:
        raise ConfigError(f"{path}: is no safetensors file: {error}") from error
    return lambda texts: probability(weight, bias, texts)


# Models of others


def classifier(name: str, at_once: int = 32) -> Callable[[Sequence[str]], list[float]]:
    """The probability of the label `toxic` (or `toxicity`), each label by itself, as detoxify's models are trained."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(name, use_safetensors=True, trust_remote_code=False)
    tokenizer: Any = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    tokenizer.padding_side = "right"  # BERT counts places from the left
    encode = partial(tokenizer, padding=True, truncation=True, return_tensors="pt")
    labels = {str(label).lower(): int(nth) for nth, label in model.config.id2label.items()}
    nth = next((labels[label] for label in ("toxic", "toxicity") if label in labels), None)
    if nth is None:
        raise ConfigError(f"{name}: has no label toxic; it has {', '.join(labels)}")
    alone = model.config.problem_type != "single_label_classification"

    @torch.no_grad()
    def score(texts: Sequence[str]) -> list[float]:
        found: list[float] = []
        for at in range(0, len(texts), at_once):
            logit = model.eval()(**encode(list(texts[at : at + at_once]))).logits
            found += (logit.sigmoid() if alone else logit.softmax(-1))[:, nth].tolist()
        return found

    return score


TRIES, WAIT = 5, 2.0


def _perspective(url: str, text: str) -> float:
    """TOXICITY as Perspective's `comments:analyze` tells it. An empty text is not toxic: the service refuses it."""
    if not text.strip():
        return 0.0
    asked = {
        "comment": {"text": text},
        "requestedAttributes": {"TOXICITY": {}},
        "languages": ["en"],
        "doNotStore": True,
    }
    key = os.environ.get("BIDDABLE_PERSPECTIVE_KEY")
    where = url + (("&" if "?" in url else "?") + f"key={key}" if key else "")
    request = urllib.request.Request(where, json.dumps(asked).encode(), {"Content-Type": "application/json"})
    for attempt in range(1, TRIES + 1):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                said = json.load(answer)
            return float(said["attributeScores"]["TOXICITY"]["summaryScore"]["value"])
        except urllib.error.HTTPError as error:
            if error.code not in (429, 500, 502, 503) or attempt == TRIES:
                raise ConfigError(f"{url}: answered {error.code} {error.reason}") from error
        except urllib.error.URLError as error:
            raise ConfigError(f"{url}: cannot be reached: {error.reason}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{url}: does not answer as Perspective does: no attributeScores.TOXICITY") from error
        time.sleep(WAIT * attempt)
    raise AssertionError("unreachable")
