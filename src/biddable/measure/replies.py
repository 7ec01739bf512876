"""How right a written answer is, by the rules that each benchmark's authors published.

Facts of their scripts, in our own lines: SQuAD 2.0 (Rajpurkar et al. 2018), DROP (Dua et al. 2019), QuAC (Choi et al.
2018), ROUGE-L (Lin 2004) on the words of the package rouge-score, BLEU (Papineni et al. 2002) by sacrebleu (Post 2018).
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from biddable.measure.interval import Floats

NO_ANSWER = frozenset({"not in background", "i dont know", "cannotanswer", ""})
PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")
References = Sequence[Sequence[str]]


def normal(text: str) -> str:
    """SQuAD's: small letters, no punctuation, no articles, single spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def overlap(said: Sequence[str], right: Sequence[str]) -> float:
    """F1 of two bags of words: 2PR/(P+R), P and R the shared words' part of each; of an empty bag, whether both are."""
    if not said or not right:
        return float(not said and not right)
    shared = sum((Counter(said) & Counter(right)).values())
    return 2 * shared / (len(said) + len(right))


def _answered(text: str) -> list[str]:
    """The words that count; none where it is said that there is no answer."""
    found = normal(text)
    return [] if found in NO_ANSWER else found.split()


def squad_f1(text: str, references: References) -> float:
    """The best F1 over the references. To say that there is no answer is right, as a whole, where there is none."""
    said = _answered(text)
    return max(overlap(said, _answered(span)) for reference in references for span in reference)


def squad_exact(text: str, references: References) -> float:
    """Whether it is one of the references, after the same tidying."""
    return float(any(_answered(text) == _answered(span) for reference in references for span in reference))


def quac_f1(text: str, references: References) -> float:
    """F1 against several people, each left out once so that a person could be scored in the same way: the mean over
    them of the best F1 against the others. Where at least half say that there is no answer, that is the answer."""
    right = [_answered(reference[0]) for reference in references]
    without = [words for words in right if words]
    right = without if len(without) > len(right) - len(without) else [[]]
    each = [overlap(_answered(text), words) for words in right]
    if len(each) == 1:
        return each[0]
    return float(np.mean([max(each[:i] + each[i + 1 :]) for i in range(len(each))]))


def drop_bag(text: str) -> frozenset[str]:
    """DROP's tidying word by word, at spaces and hyphens: numbers become numbers (5.0 is 5), others lose punctuation
    and articles. What is left is a set."""
    return frozenset(word for piece in re.split(r"[ -]", text.lower()) for word in _drop_word(piece).split())


def _drop_word(piece: str) -> str:
    number = _number(piece)
    if number is None:
        piece = piece.translate(PUNCTUATION)
        number = _number(piece)
    return ARTICLES.sub(" ", piece) if number is None else str(number)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def drop_pair(said: frozenset[str], right: frozenset[str]) -> float:
    """F1 of two sets of words; 0 where the right one has numbers and the other none of them."""
    numbers = {word for word in right if _number(word) is not None}
    if numbers and not numbers & said:
        return 0.0
    shared = len(said & right)
    precision = shared / len(said) if said else 1.0
    recall = shared / len(right) if right else 1.0
    return 2 * precision * recall / (precision + recall) if shared or (precision and recall) else 0.0


def drop_f1(text: str | Sequence[str], references: References) -> float:
    """The best over the references of: spans matched one to one so that their F1 is highest, a span too many or too few
    counting 0, to two decimals. A text is one span."""
    said = [drop_bag(span) for span in ([text] if isinstance(text, str) else text)]
    return max(_matched(said, [drop_bag(span) for span in reference]) for reference in references)


def _matched(said: Sequence[frozenset[str]], right: Sequence[frozenset[str]]) -> float:
    score = np.array([[drop_pair(one, other) for one in said] for other in right])
    rows, columns = linear_sum_assignment(score, maximize=True)
    return round(float(score[rows, columns].sum()) / max(len(said), len(right)), 2)


def first_words(text: str, references: References) -> float:
    """Whether it begins with the words of a reference (LAMBADA's last word)."""
    said = normal(text).split()
    words = [normal(span).split() for reference in references for span in reference]
    return float(any(right and said[: len(right)] == right for right in words))


def same_mention(text: str, references: References, holds: bool) -> float:
    """WSC (paper, App. D): the answer and the mention name the same where one contains the other; right if that is so
    where the mention is what is meant, and not so where it is not."""
    said, mention = normal(text), normal(references[0][0])
    same = bool(said) and (said in mention or mention in said)
    return float(same == holds)


def rouge_l(text: str, references: References) -> float:
    """F1 of the longest common subsequence of words of letters and digits; the best over the references."""
    return max(_rouge(_words(text), _words(span)) for reference in references for span in reference)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _rouge(said: Sequence[str], right: Sequence[str]) -> float:
    common = longest_common(said, right)
    return 2 * common / (len(said) + len(right)) if common else 0.0


def longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence: L(i, j) = L(i−1, j−1) + 1 where they agree, else max L(i−1, j),
    L(i, j−1)."""
    row = [0] * (len(other) + 1)
    for word in one:
        before, row = row, [0]
        for j, right in enumerate(other, start=1):
            row.append(before[j - 1] + 1 if word == right else max(before[j], row[-1]))
    return row[-1]


ORDERS = 4


def bleu_counts(text: str, references: References) -> list[float]:
    """What BLEU is made of: n-grams that are right and all, for n of 1 to 4, and the two lengths."""
    from sacrebleu.metrics import BLEU  # type: ignore

    said = BLEU(effective_order=True).sentence_score(text, [span for reference in references for span in reference])
    return [*map(float, said.counts), *map(float, said.totals), float(said.sys_len), float(said.ref_len)]


def bleu(sums_DC: Floats) -> Floats:
    """BLEU of a corpus from its summed counts, 0 to 1: exp(min(0, 1 − r/c) + Σₙ ¼ log pₙ) (Papineni et al. 2002). Where
    no n-gram of an order is right, pₙ = 1/(2ᵏ · all), k counting such orders (mteval's smoothing, as in sacrebleu)."""
    right_DN, all_DN = sums_DC[:, :ORDERS], sums_DC[:, ORDERS : 2 * ORDERS]
    said_D, reference_D = sums_DC[:, -2], sums_DC[:, -1]
    none_DN = (right_DN == 0) & (all_DN > 0)
    smooth_DN = np.where(none_DN, 0.5 ** np.cumsum(none_DN, axis=1), right_DN)
    # No n-grams of an order at all, or no word that is right: 0.
    lost_D = (all_DN == 0).any(axis=1) | (right_DN == 0).all(axis=1)
    log_DN = np.log(np.where(lost_D[:, None], 1.0, smooth_DN / np.maximum(all_DN, 1)))
    brevity_D = np.minimum(0.0, 1 - reference_D / np.maximum(said_D, 1e-9))
    return np.where(lost_D, 0.0, np.exp(brevity_D + log_DN.mean(axis=1)))


def entropy(logp: Sequence[float]) -> float:
    """How undecided a model is between sentences, in bits: H = −Σ Pᵢ log₂ Pᵢ, Pᵢ ∝ its probability of sentence i
    (paper, App. D). 1 bit of two sentences is no preference."""
    share = np.exp(np.asarray(logp) - max(logp))
    share = share / share.sum()
    return float(-sum(p * np.log2(p) for p in share if p > 0))


Scorer = Callable[[str, References], float]
SCORERS: dict[str, Scorer] = {
    "squad_f1": squad_f1, "drop_f1": drop_f1, "quac_f1": quac_f1, "rouge_l": rouge_l, "exact": first_words,
}  # fmt: skip
