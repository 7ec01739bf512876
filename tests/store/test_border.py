"""What one of the engines would refuse or bend is refused or straightened before either sees it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from village import LABELERS, PROMPTS, demonstration

from biddable.records import Completion, Demonstration, Prompt, Ranking
from biddable.store import Store, StoreError

COMPLETION = Completion(id="c", prompt_id="p", text="", run_id="r")


# Half a character and NaN are refused by the records too, but a copy of a record is not checked again.
@pytest.mark.parametrize(
    ("record", "says"),
    [
        (Prompt(id="p", text="a\0b"), "prompt p: text: holds the character U+0000"),
        (Prompt(id="p\0", text="ab"), r"prompt p\x00: id: holds the character U+0000"),
        (Prompt(id="p", text="ab", user="u\0"), "prompt p: user: holds the character U+0000"),
        (Prompt(id="p", text="a").model_copy(update={"text": "a\ud83d"}),
         "prompt p: text: holds half a character (the lone surrogate U+D83D)"),
        (Prompt(id="p", text="a").model_copy(update={"id": "p\ude00"}), r"prompt p\ude00: id: holds half a character"),
        (Ranking(prompt_id="p", labeler="l", order=(("a",), ("b\0",))), "order: holds the character U+0000"),
        (COMPLETION.model_copy(update={"logp": float("nan")}), "completion c: logp: is nan"),
        (COMPLETION.model_copy(update={"temperature": float("inf")}), "temperature: is inf"),
        (Demonstration(prompt_id="p", labeler="l", text="", at=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9)))),
         "at: 0001-01-01T00:00:00+09:00 is before year 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_in_one_clear_line(store: Store, record, says):
    with pytest.raises(StoreError) as caught:
        store.add_many([*PROMPTS, record])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()  # it can be printed
    assert set(store.counts().values()) == {0}


def test_moments_come_back_in_utc(store: Store):
    store.add_many([*PROMPTS, *LABELERS])
    tokyo = datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=9)))
    store.add_demonstration(demonstration("p1").model_copy(update={"at": tokyo}))
    store.add_demonstration(demonstration("p2").model_copy(update={"at": datetime(2026, 1, 1)}))  # none said: UTC
    assert [d.at for d in store.demonstrations()] == [datetime(2026, 1, 1, tzinfo=UTC)] * 2
    assert {d.at.utcoffset() for d in store.demonstrations()} == {timedelta(0)}
    assert not store.add_demonstration(demonstration("p1").model_copy(update={"at": tokyo}))


def test_minus_zero_is_zero(store: Store):
    store.add_prompts(PROMPTS)
    completion = Completion(id="c", prompt_id="p1", text="", run_id="r", logp=-0.0)
    assert store.add_completions([completion, completion]) == 1
    assert [str(c.logp) for c in store.completions()] == ["0.0"]


# Whatever Unicode has, but for what the test above refuses.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=TEXT, text=TEXT, logp=NUMBER, at=st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC))
)
def test_whatever_is_text_or_a_number_or_a_moment_comes_back_as_it_was(store: Store, name, text, logp, at):
    prompt = Prompt.make(text, user=name, organization=text)
    completion = Completion.make(prompt.id, text, name, logp=logp)
    said = Demonstration(prompt_id=prompt.id, labeler=LABELERS[0].id, text=text, at=at)
    records = [*LABELERS, prompt, completion, said]
    try:
        store.add_many(records)
    except StoreError as error:  # an earlier example said something else of this very prompt
        assert "is already there with another" in str(error)  # noqa: PT017
        return
    assert prompt in list(store.prompts())
    assert completion in list(store.completions([prompt.id], run_id=name))
    assert said in list(store.demonstrations())
    assert sum(store.add_many(records).values()) == 0
