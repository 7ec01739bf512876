"""Whether a reward model pays for length, and what several of them say together."""

import followed_worlds
import numpy as np
import pytest
import scipy.stats

from biddable.measure.ensemble import together
from biddable.measure.interval import Bootstrap
from biddable.measure.leaning import correlation, leaning, words
from biddable.records import Completion, Ranking, Score

FAST = Bootstrap(draws=200)


def said(prompt: str, text: str, nth: int = 0) -> Completion:
    return Completion.make(prompt, text, "sft", nth)


def scored(values: dict[Completion, float], run: str = "rm") -> list[Score]:
    return [Score(completion_id=c.id, run_id=run, value=value) for c, value in values.items()]


def ranked(*tiers: Completion, who: str = "ann") -> Ranking:
    return Ranking(prompt_id=tiers[0].prompt_id, labeler=who, order=tuple((c.id,) for c in tiers))


def test_correlation_by_hand():
    """Prompt a: lengths 1, 2, 3 and scores 1, 3, 2: deviations −1, 0, 1 and −1, 1, 0 give 1, 2, 2. Prompt b: lengths 2,
    4 and scores 10, 0: −1, 1 and 5, −5 give −10, 2, 50. Pooled: −9 / √(4·52). Of ranks: b gives −½, ½, ½:
    (1 − ½) / (2 + ½)."""
    texts = {"a": ("x", "x x", "x x x"), "b": ("x x", "x x x x")}
    answers = [said(p, text, nth) for p, some in texts.items() for nth, text in enumerate(some)]
    value = {c.id: v for c, v in zip(answers, (1.0, 3.0, 2.0, 10.0, 0.0), strict=True)}
    length = {c.id: words(c) for c in answers}
    pearson, spearman = (correlation(answers, value, length, kind, FAST) for kind in ("pearson", "spearman"))
    assert pearson is not None
    assert spearman is not None
    assert pearson.value == pytest.approx(-9 / np.sqrt(4 * 52))
    assert spearman.value == pytest.approx(0.5 / 2.5)
    assert pearson.n == 5


def test_of_one_prompt_it_is_scipys():
    rng = np.random.default_rng(0)
    answers = [said("a", "x " * n, nth) for nth, n in enumerate(rng.integers(1, 9, 30))]
    value = {c.id: float(rng.normal() + 0.2 * words(c)) for c in answers}
    length = {c.id: words(c) for c in answers}
    x, y = [length[c.id] for c in answers], [value[c.id] for c in answers]
    for kind, theirs in (("pearson", scipy.stats.pearsonr(x, y)), ("spearman", scipy.stats.spearmanr(x, y))):
        mine = correlation(answers, value, length, kind, FAST)
        assert mine is not None
        assert mine.value == pytest.approx(theirs.statistic)
        assert (mine.low, mine.high) == pytest.approx((-1, 1))  # one prompt says nothing of others


def test_a_prompt_that_wants_long_answers_is_no_leaning():
    """The longer the question's answers the better they score, and within a question length says nothing."""
    answers, value = [], {}
    for p in range(20):
        for nth, (n, v) in enumerate(((p + 1, p), (p + 3, p + 1), (p + 1, p + 1), (p + 3, p))):
            answers.append(said(f"p{p}", "x " * n + str(nth), nth))
            value[answers[-1].id] = float(v)
    found = leaning([Score(completion_id=c.id, run_id="rm", value=value[c.id]) for c in answers], answers, how=FAST)
    assert found.pearson is not None
    assert found.spearman is not None
    assert (found.pearson.value, found.spearman.value) == (pytest.approx(0), pytest.approx(0))
    assert (found.model, found.leans) == (None, False)


def test_ranks_do_not_mind_how_scores_are_stretched():
    rng = np.random.default_rng(1)
    answers = [said(f"p{p}", "x " * int(rng.integers(1, 9)), nth) for p in range(15) for nth in range(4)]
    value = {c.id: float(rng.normal()) for c in answers}
    length = {c.id: words(c) for c in answers}
    stretched = {name: float(np.exp(3 * v)) for name, v in value.items()}
    turned = {name: -v for name, v in value.items()}
    one, same, other = (correlation(answers, v, length, "spearman", FAST) for v in (value, stretched, turned))
    assert one == same
    assert one is not None
    assert other is not None
    assert other.value == pytest.approx(-one.value)


def test_all_equally_long_say_nothing():
    answers = [said("a", word, nth) for nth, word in enumerate("xyz")]
    found = leaning(scored(dict(zip(answers, (1.0, 2.0, 3.0), strict=True))), answers, [ranked(*answers)], how=FAST)
    assert (found.pearson, found.spearman, found.model, found.more) == (None, None, None, None)


def test_who_prefers_the_longer_by_hand():
    """Five pairs that people told apart and that are unlike long. People took the longer in two; the model in four, and
    one more is a tie, ½: 4½ of 5. Where people took the longer it was right in both; where the shorter, in ½ of 3."""
    long = [said(f"p{i}", "x x x", 0) for i in range(5)]
    short = [said(f"p{i}", "x", 1) for i in range(5)]
    people = [ranked(long[i], short[i]) if i < 2 else ranked(short[i], long[i]) for i in range(5)]
    same = [said("q", "x", 0), said("q", "y", 1)]
    values = dict.fromkeys(long, 1.0) | dict.fromkeys(short, 0.0) | {same[0]: 1.0, same[1]: 0.0}
    values |= {short[4]: 1.0}
    values |= {long[3]: 2.0}
    found = leaning(scored(values), values, [*people, ranked(*same)], how=FAST)
    assert found.model is not None
    assert found.people is not None
    assert found.more is not None
    assert found.right_longer is not None
    assert found.right_shorter is not None
    assert (found.model.value, found.people.value) == (pytest.approx(0.9), pytest.approx(0.4))
    assert found.more.value == pytest.approx(0.5)
    assert found.right_longer.value == 1
    assert found.right_shorter.value == pytest.approx(0.5 / 3)
    assert found.model.n == 5


def test_a_model_that_says_what_people_say_does_not_lean():
    """People themselves prefer the longer in most pairs."""
    rng = np.random.default_rng(2)
    values, rankings = {}, []
    for i in range(200):
        one, other = said(f"p{i}", "x x", 0), said(f"p{i}", "x", 1)
        best, worst = (one, other) if rng.random() < 0.8 else (other, one)
        values |= {best: 1.0, worst: 0.0}
        rankings.append(ranked(best, worst, who=f"l{i % 7}"))
    found = leaning(scored(values), values, rankings, how=FAST)
    assert found.more is not None
    assert (found.more.value, found.leans) == (0, False)
    longest = {c: float(words(c)) for c in values}
    lazy = leaning(scored(longest), longest, rankings, how=FAST)
    assert lazy.leans
    assert lazy.right_shorter is not None
    assert lazy.right_shorter.value == 0


def test_lengths_may_be_tokens():
    """By tokens the first is the longer one."""
    one, other = said("p", "unbelievable"), said("p", "a b", 1)
    found = leaning(scored({one: 1.0, other: 0.0}), [one, other], [ranked(one, other)], {one.id: 5, other.id: 2}, FAST)
    assert found.people is not None
    assert found.people.value == 1


def test_the_correlations_interval_holds_what_was_planted():
    found = followed_worlds.coverage(followed_worlds.of_length, 200, 60)
    assert {what: share for what, share in found.items() if not 0.95 - 3 * 0.0154 <= share <= 1} == {}


# Several models


def test_together_by_hand():
    """Of 1, 2, 6: mean 3, deviation √((4 + 1 + 9) / 2) = √7."""
    one = said("p", "x")
    models = [scored({one: value}, f"rm{value}") for value in (1.0, 2.0, 6.0)]
    for c, worst, value in ((0.0, False, 3.0), (0.5, False, 3 - 0.5 * 7**0.5), (9.0, True, 1.0)):
        [found] = together(models, run_id="all", c=c, worst=worst)
        assert (found.value, found.spread, found.run_id) == (pytest.approx(value), pytest.approx(7**0.5), "all")


def test_of_models_that_agree_it_is_each_of_them():
    some = {said("p", text, nth): float(nth) for nth, text in enumerate("xyz")}
    found = together([scored(some, "a"), scored(some, "b")], run_id="all", c=2.0)
    assert [one.value for one in found] == [0.0, 1.0, 2.0]
    assert {one.spread for one in found} == {0.0}


def test_the_order_of_each_models_scores_is_its_own():
    some = {said("p", text, nth): float(nth) for nth, text in enumerate("xyz")}
    found = together([scored(some, "a"), scored(some, "b")[::-1]], run_id="all")
    assert [one.value for one in found] == [0.0, 1.0, 2.0]


def test_models_of_other_answers_are_no_ensemble():
    one, other = said("p", "x"), said("p", "y", 1)
    with pytest.raises(ValueError, match="reward model 2 of the ensemble scored other completions"):
        together([scored({one: 1.0}, "a"), scored({other: 1.0}, "b")], run_id="all")
    with pytest.raises(ValueError, match="two reward models or more"):
        together([scored({one: 1.0}, "a")], run_id="all")
