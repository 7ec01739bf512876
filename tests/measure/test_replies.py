"""Scores of written answers: by hand, by slow definitions, by their laws, and by the packages that others use."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biddable.measure import replies

WORDS = st.lists(st.sampled_from(["red", "goat", "the", "3", "runs", "fast"]), max_size=7)


def one(*spans: str) -> tuple[tuple[str, ...], ...]:
    return tuple((span,) for span in spans)


def test_squad_by_hand():
    assert replies.normal("The  Quick, brown (an) fox's.") == "quick brown foxs"
    # said: red goat runs; right: red goat; shared 2, P = 2/3, R = 1, F1 = 2·(2/3)/(5/3) = 0.8
    assert replies.squad_f1("The red goat runs.", one("red goat")) == pytest.approx(0.8)
    assert replies.squad_f1("The red goat runs.", one("cow", "red goat")) == pytest.approx(0.8)  # the best of them
    assert replies.squad_exact("the Red goat!", one("red goat")) == 1
    assert replies.squad_exact("red goats", one("red goat")) == 0
    # A bag counts a word as often as it stands: said red red, right red; shared 1, P = 1/2, R = 1, F1 = 2/3
    assert replies.squad_f1("red red", one("red")) == pytest.approx(2 / 3)


def test_squad_where_there_is_no_answer():
    none = one("Not in background.")
    assert replies.squad_f1("Not in background", none) == 1
    assert replies.squad_f1("", none) == 1
    assert replies.squad_f1("in the background", none) == 0  # no part of a point for words of the phrase
    assert replies.squad_f1("Not in background.", one("red")) == 0


def test_quac_by_hand():
    # Of two people: each is left out once. said "red goat"; right "red goat" (1), "red" (2/3): (2/3 + 1) / 2
    assert replies.quac_f1("red goat", one("red goat", "red")) == pytest.approx((2 / 3 + 1) / 2)
    # Three: without the first, max(2/3, 0); without the second, max(1, 0); without the third, max(1, 2/3)
    assert replies.quac_f1("red goat", one("red goat", "red", "cow")) == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert replies.quac_f1("red goat", one("red")) == pytest.approx(2 / 3)
    # Half of them know no answer: then there is none.
    assert replies.quac_f1("I don't know.", one("I don't know.", "red")) == 1
    assert replies.quac_f1("red", one("I don't know.", "red")) == 0
    # Fewer: theirs do not count. One is left.
    assert replies.quac_f1("red", one("I don't know.", "red", "red")) == 1


def test_drop_by_hand():
    assert replies.drop_bag("The 5 yard-line, 7,000!") == {"5.0", "yard", "line", "7000.0"}
    # Numbers must agree: 5 against 6 is nothing, though "yards" is shared.
    assert replies.drop_f1("5 yards", one("6 yards")) == 0
    assert replies.drop_f1("5 yards", one("5.0")) == pytest.approx(0.67)  # P = 1/2, R = 1: 2/3 to two decimals
    # Two spans, matched so that the sum is highest: (red, red) = 1, (goat cow, cow) = 2/3; mean .83
    assert replies.drop_f1(["cow", "red"], (("red", "goat cow"),)) == pytest.approx(0.83)
    # One text for two spans: the better one, 2·(1/2)·1/(3/2) = 2/3, and the other none: (2/3 + 0) / 2 = .33
    assert replies.drop_f1("red goat", (("red", "goat"),)) == pytest.approx(0.33)
    assert replies.drop_f1("red", (("cow",), ("red",))) == 1  # the best of two answers


@given(WORDS, WORDS)
def test_drops_matching_is_the_best_of_all_by_its_slow_definition(said, right):
    said, right = said or ["x"], right or ["y"]
    bags = [replies.drop_bag(word) for word in said], [replies.drop_bag(word) for word in right]
    few, many = sorted(bags, key=len)
    turned = few is bags[1]
    best = max(
        sum(replies.drop_pair(b, a) if turned else replies.drop_pair(a, b) for a, b in zip(few, some, strict=True))
        for some in itertools.permutations(many, len(few))
    )
    assert replies.drop_f1(said, (tuple(right),)) == pytest.approx(round(best, 2) / len(many), abs=0.006)


def test_the_last_word():
    assert replies.first_words("House, he said", one("house")) == 1
    assert replies.first_words("houses", one("house")) == 0
    assert replies.first_words("", one("house")) == 0


@pytest.mark.parametrize(
    ("text", "holds", "score"),
    [
        ("Mark", True, 1), ("the old Mark", True, 1), ("Mar", True, 1),  # one contains the other, either way
        ("Pete", True, 0), ("Pete", False, 1), ("Mark", False, 0), ("", True, 0), ("", False, 1),
    ],
)  # fmt: skip
def test_which_mention_is_meant(text, holds, score):
    assert replies.same_mention(text, one("Mark"), holds) == score


def test_rouge_by_hand():
    # the red goat runs / a red cow runs: longest common red … runs = 2, P = 2/4, R = 2/4, F1 = 1/2
    assert replies.rouge_l("The red goat runs.", one("A red cow runs.")) == 0.5
    assert replies.rouge_l("", one("red")) == 0
    assert replies.rouge_l("x", one("red", "x")) == 1


def slow(one: list[str], other: list[str]) -> int:
    """All subsequences of the shorter, tried from the longest."""
    one, other = sorted((one, other), key=len)
    for size in range(len(one), 0, -1):
        for kept in itertools.combinations(one, size):
            rest = iter(other)
            if all(word in rest for word in kept):
                return size
    return 0


@given(WORDS, WORDS)
def test_the_longest_common_subsequence_is_its_slow_definition(a, b):
    assert replies.longest_common(a, b) == slow(a, b) == replies.longest_common(b, a)


@given(WORDS, WORDS)
def test_laws_of_overlap(a, b):
    found = replies.overlap(a, b)
    assert found == replies.overlap(b, a) == replies.overlap(a[::-1], b)
    assert 0 <= found <= 1
    assert replies.overlap(a, a) == 1
    # 2PR/(P+R), as it is written
    shared = sum(min(a.count(word), b.count(word)) for word in set(a))
    if shared:
        p, r = shared / len(a), shared / len(b)
        assert found == pytest.approx(2 * p * r / (p + r))


SENTENCES = [
    "The goat's milk (3.5 %) wasn't sold, said Mr. Smith-Jones.", "Il pleut – it rains; “cats” & dogs!", "red", "",
    "In 1,000 days the first-time winner took home $5.00.", "the the the the", "It is a guide to action which ensures",
]  # fmt: skip


def test_rouge_against_the_package():
    from rouge_score import rouge_scorer

    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    for said, right in itertools.product(SENTENCES, SENTENCES):
        theirs = scorer.score(right, said)["rougeL"].fmeasure
        assert replies.rouge_l(said, one(right)) == pytest.approx(theirs)


def test_bleu_by_hand():
    # said "the red goat runs", right "the red goat ran": 3/4, 2/3, 1/2 and no 4-gram of one, smoothed 1/(2·1);
    # equal lengths, no penalty: (3/4 · 2/3 · 1/2 · 1/2)^(1/4) = (1/8)^(1/4)
    counts = replies.bleu_counts("the red goat runs", one("the red goat ran"))
    assert counts == [3, 2, 1, 0, 4, 3, 2, 1, 4, 4]
    assert replies.bleu(np.array([counts]))[0] == pytest.approx(0.125**0.25)
    # two orders without a match: 2/4, 1/3, then 1/(2·2) and 1/(4·1)
    none = np.array([[2, 1, 0, 0, 4, 3, 2, 1, 4, 4]], dtype=float)
    assert replies.bleu(none)[0] == pytest.approx((2 / 4 * 1 / 3 * 1 / 4 * 1 / 4) ** 0.25)
    # one word fewer than the reference: exp(1 − 5/4)
    short = np.array([[4, 3, 2, 1, 4, 3, 2, 1, 4, 5]], dtype=float)
    assert replies.bleu(short)[0] == pytest.approx(math.exp(-0.25))
    assert replies.bleu(np.zeros((1, 10)))[0] == 0


def test_bleu_of_a_corpus_against_sacrebleu():
    from sacrebleu.metrics import BLEU

    rng = random.Random(0)
    words = ["the", "red", "goat", "runs", "over", "a", "hill", ",", "and", "it", "rains", "."]
    for size in (1, 2, 5, 40):
        right = [" ".join(rng.choices(words, k=rng.randint(3, 12))) for _ in range(size)]
        said = [" ".join(w for w in text.split() if rng.random() < 0.8) for text in right]
        sums = np.sum([replies.bleu_counts(s, one(r)) for s, r in zip(said, right, strict=True)], axis=0)
        assert 100 * replies.bleu(sums[None])[0] == pytest.approx(BLEU().corpus_score(said, [right]).score)


def test_entropy_by_hand():
    assert replies.entropy([-3.0, -3.0]) == pytest.approx(1.0)  # no preference: one bit
    # P = 3/4, 1/4: H = 3/4 · log2(4/3) + 1/4 · 2 = 0.8113 bits
    assert replies.entropy([math.log(0.3), math.log(0.1)]) == pytest.approx(0.75 * math.log2(4 / 3) + 0.5)
    assert replies.entropy([-10.0, -5000.0]) == 0
    assert replies.entropy([-5000.0, -5000.5]) == pytest.approx(
        replies.entropy([0.0, -0.5])
    )  # what is shared is nothing
