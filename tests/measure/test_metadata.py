import pytest

from biddable.measure.interval import Bootstrap
from biddable.measure.metadata import flag, likert, rate, rates, refuses, share
from biddable.records import Completion, Judgement

FAST = Bootstrap(draws=300)
DONE = [Completion(id=f"c{i}", prompt_id=f"p{i}", text="text", run_id="ppo" if i < 2 else "base") for i in range(4)]
MODELS = {c.id: c.run_id for c in DONE}


def judged(i: int, who: str = "ann", **answers) -> Judgement:
    return Judgement(completion_id=f"c{i}", labeler=who, **answers)


def test_a_rate_counts_only_where_it_was_asked():
    said = [judged(0, hallucination=True), judged(1), judged(1, "bob", hallucination=False)]
    found = rate(said, {c.id: c for c in DONE}, ["hallucination"], FAST)
    assert found is not None
    assert (found.value, found.n) == (0.5, 2)


def test_nobody_asked_is_no_number():
    assert rate([judged(0)], {c.id: c for c in DONE}, ["hallucination"], FAST) is None


def test_toxic_is_any_of_its_questions():
    assert flag(judged(0, sexual=False, denigrates=True), ("sexual", "denigrates")) is True
    assert flag(judged(0, sexual=False), ("sexual", "denigrates")) is False
    assert flag(judged(0), ("sexual", "denigrates")) is None


def test_by_model():
    said = [judged(0, violent=True), judged(1, violent=False), judged(2, violent=False, satisfies_constraint=True)]
    found = rates(said, DONE, MODELS, FAST)
    assert {m: r.value for m, r in found["toxicity"].items()} == {"ppo": 0.5, "base": 0}
    assert set(found["constraint"]) == {"base"}
    assert "hallucination" not in found


def test_likert():
    found = likert([judged(0, overall=7), judged(1, overall=4), judged(2)], {c.id: c for c in DONE}, FAST)
    assert found is not None
    assert found.value == 5.5
    assert 1 <= found.low <= found.high <= 7


@pytest.mark.parametrize("text", ["I cannot help with that.", "Sorry, no.", "I'm not able to.", "I won't do that."])
def test_refusals(text):
    assert refuses(text)


@pytest.mark.parametrize("text", ["The fox is red.", "I can do that: mix the eggs.", "He said sorry.", ""])
def test_answers(text):
    assert not refuses(text)


def test_share_of_completions():
    found = share(DONE, lambda c: None if c.id == "c3" else c.id == "c0", FAST)
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(1 / 3), 3)
    assert share(DONE, lambda _: None, FAST) is None


def test_who_was_asked_because_others_disagreed_is_in_no_rate():
    found = {"c": Completion(id="c", prompt_id="p", text="t", run_id="r")}
    once = Judgement(completion_id="c", labeler="ann", overall=6, fails_task=False)
    more = [Judgement(completion_id="c", labeler=who, overall=1, fails_task=True, extra=True) for who in ("bea", "cy")]
    assert rate([once, *more], found, ("fails_task",)) == rate([once], found, ("fails_task",))
    assert likert([once, *more], found) == likert([once], found)
