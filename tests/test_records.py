"""The nouns keep their own laws. Expected values are by hand, or by the slow definition in the test."""

import itertools
import json
import string
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from biddable import records
from biddable.records import (
    BadRow,
    Completion,
    Demonstration,
    Item,
    Judgement,
    Labeler,
    Likelihood,
    Page,
    Prompt,
    Ranking,
    Score,
    Turn,
    Verdict,
    to_line,
)

names = st.text(string.ascii_letters + string.digits + "-_é猫", min_size=1, max_size=12)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
seconds = st.floats(0, 1e6)
times = st.datetimes(timezones=st.just(UTC))
tiers = st.lists(names, min_size=2, max_size=9, unique=True).flatmap(
    lambda ids: st.lists(st.integers(0, 3), min_size=len(ids), max_size=len(ids)).map(
        lambda places: tuple(
            tuple(c for c, place in zip(ids, places, strict=True) if place == tier) for tier in sorted(set(places))
        )
    )
)
rankings = st.builds(Ranking, prompt_id=names, labeler=names, order=tiers, seconds=seconds, at=times)
any_record = st.one_of(
    st.builds(Prompt, id=names, text=texts.filter(bool), source=st.just("plain"), user=st.none() | names),
    st.builds(Labeler, id=names, group=st.sampled_from(["researcher", "candidate", "training", "held_out"])),
    st.builds(Demonstration, prompt_id=names, text=texts, labeler=names, seconds=seconds, at=times),
    st.builds(Completion, id=names, prompt_id=names, text=texts, run_id=names, logp=st.none() | st.floats(-1e9, 0)),
    rankings,
    st.builds(Judgement, completion_id=names, labeler=names, overall=st.none() | st.integers(1, 7), at=times),
    st.builds(Score, completion_id=names, run_id=names, value=st.floats(-1e9, 1e9)),
    st.builds(
        Likelihood, task=names, item=names, choice=st.integers(0, 9), run_id=names, logp=st.floats(-1e9, 0),
        tokens=st.integers(1, 99),
    ),
    st.builds(Page, id=names, text=texts),
)  # fmt: skip


@given(st.lists(any_record, max_size=6))
def test_what_is_written_is_read_back_and_writes_the_same_bytes(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("records") / "rows.jsonl"
    assert records.write(path, rows) == len(rows)
    again = list(records.read(path))
    assert again == rows
    before = path.read_bytes()
    records.write(path, again)
    assert path.read_bytes() == before


@given(rankings)
def test_comparisons_are_all_strict_pairs_and_no_tie(ranking):
    # The slow definition: every ordered pair of completions, kept when the first one's tier comes before the other's.
    tier_of = {c: place for place, tier in enumerate(ranking.order) for c in tier}
    slow = {(a, b) for a, b in itertools.permutations(tier_of, 2) if tier_of[a] < tier_of[b]}
    pairs = list(ranking.comparisons())
    assert {(pair.winner, pair.loser) for pair in pairs} == slow
    assert len(pairs) == len(slow)  # none twice
    assert {pair.prompt_id for pair in pairs} <= {ranking.prompt_id}


@given(rankings)
def test_ranks_count_tiers_from_one(ranking):
    assert sorted(set(ranking.ranks.values())) == list(range(1, len(ranking.order) + 1))
    assert all(ranking.ranks[pair.winner] < ranking.ranks[pair.loser] for pair in ranking.comparisons())


def test_comparisons_by_hand():
    ranking = Ranking(prompt_id="p", labeler="l", order=(("a",), ("b", "c"), ("d",)))
    # a beats b, c and d; b and c beat d and tie with one another: 3 + 1 + 1 = 5 of the 6 pairs of K = 4.
    pairs = [(pair.winner, pair.loser) for pair in ranking.comparisons()]
    assert pairs == [("a", "b"), ("a", "c"), ("a", "d"), ("b", "d"), ("c", "d")]
    assert ranking.ranks == {"a": 1, "b": 2, "c": 2, "d": 3}


def test_nine_ranked_without_ties_are_36_pairs():  # paper 3.5: (K choose 2), K = 9
    ranking = Ranking(prompt_id="p", labeler="l", order=tuple((c,) for c in "abcdefghi"))
    assert sum(1 for _ in ranking.comparisons()) == 36


@pytest.mark.parametrize(
    ("order", "fault"),
    [
        ((("a",), ("a",)), "completion a is ranked twice"),
        ((("a", "a"), ("b",)), "completion a is ranked twice"),
        ((("a",),), "at least 2 completions, this one has 1"),
        ((), "at least 2 completions, this one has 0"),
        ((("a",), (), ("b",)), "a tier is empty"),
    ],
)
def test_a_ranking_refuses_what_is_no_ranking(order, fault):
    with pytest.raises(ValidationError, match=fault):
        Ranking(prompt_id="p", labeler="l", order=order)


def test_a_verdict_needs_two_completions():
    with pytest.raises(ValidationError, match="completion x is compared with itself"):
        Verdict(prompt_id="p", a="x", b="x", better="a", judge="person")


def test_in_which_order_a_model_saw_two_answers_is_known():
    both = {"prompt_id": "p", "a": "x", "b": "y", "better": "a", "shown": "unknown"}
    assert Verdict(judge="person", labeler="ann", **both).shown == "unknown"
    with pytest.raises(ValidationError, match="shown: is unknown; a model is asked in both orders"):
        Verdict(judge="model", labeler="run-7", **both)


def test_an_item_has_its_answer_among_its_choices():
    with pytest.raises(ValidationError, match="answer 2 of 2 choices"):
        Item(task="t", id="i", context="", choices=("yes", "no"), answer=2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_record_holds_a_number_that_json_cannot(value):
    with pytest.raises(ValidationError, match="finite"):
        Score(completion_id="c", run_id="r", value=value)
    with pytest.raises(ValidationError, match="finite"):
        Completion(id="c", prompt_id="p", text="", run_id="r", logp=value)
    with pytest.raises(ValidationError):
        Demonstration(prompt_id="p", text="", labeler="l", seconds=value)


def test_records_are_frozen():
    labeler = Labeler(id="l", group="training")
    with pytest.raises(ValidationError, match="frozen"):
        labeler.group = "held_out"  # pyrefly: ignore


def test_names_follow_from_content():
    assert Prompt.make("hello").id == Prompt.make("hello").id
    assert Prompt.make("hello").id != Prompt.make("hello", user="u").id
    assert Completion.make("p", "yes", "sft").id != Completion.make("p", "yes", "sft", nth=1).id
    assert records.digest("ab", "c") != records.digest("a", "bc")


def test_half_an_emoji_is_refused_by_key_and_not_by_a_codec():
    with pytest.raises(ValidationError) as caught:
        Prompt.make("\ud83d")
    assert records.complaint(caught.value).startswith("text: ")


def test_a_line_is_canonical_json():
    # By hand: the order of the fields, no blanks, no nulls, letters as they are.
    page = Page(id="1", text='é "q"\n')
    assert records.to_line(page) == '{"kind":"page","id":"1","text":"é \\"q\\"\\n","source":"pretraining"}'


def test_the_default_time_is_fixed():
    line = json.loads(records.to_line(Demonstration(prompt_id="p", text="t", labeler="l")))
    assert datetime.fromisoformat(line["at"]) == datetime(2022, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ('{"kind":"prompt","id":"p"}', "row 3: prompt.text: is missing"),
        ('{"kind":"prompt","id":"p","text":"x","usr":"u"}', "row 3: prompt.usr: no such key"),
        ('{"kind":"prompt","id":"p","text":""}', "row 3: prompt.text: String should have at least 1 character"),
        ('{"kind":"promt","id":"p","text":"x"}', "row 3: kind: 'promt' is none of 'prompt', 'labeler'"),
        ('{"id":"p","text":"x"}', "row 3: kind: is missing"),
        ("[1, 2]", "row 3: Input should be an object"),
        ('{"kind":"prompt",', "row 3: Invalid JSON: EOF while parsing"),
        ('{"kind":"score","completion_id":"c","run_id":"r","value":NaN}', "row 3: score.value: .*finite"),
        ('{"kind":"judgement","completion_id":"c","labeler":"l","overall":8}', "row 3: judgement.overall: .*less than"),
    ],
)
def test_a_bad_row_is_named_by_file_row_and_key(tmp_path: Path, row: str, fault: str):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"kind":"labeler","id":"l","group":"training"}\n\n' + row + "\n", encoding="utf-8")
    rows = records.read(path)
    assert next(rows) == Labeler(id="l", group="training")
    with pytest.raises(BadRow, match=fault) as caught:
        next(rows)
    assert str(caught.value).startswith(f"{path}, ")
    assert "\n" not in str(caught.value)


def test_text_that_is_not_utf8_is_a_bad_row(tmp_path: Path):
    path = tmp_path / "latin.jsonl"
    path.write_bytes('{"kind":"page","id":"1","text":"caf\u00e9"}\n'.encode("latin-1"))
    with pytest.raises(BadRow, match="row 1: Invalid JSON: invalid unicode"):
        list(records.read(path))


def test_line_ends_and_marks_of_other_systems_are_read(tmp_path: Path):
    path = tmp_path / "windows.jsonl"
    # U+2028 ends a line in some languages, and does not here.
    path.write_bytes('\ufeff{"kind":"page","id":"1","text":"a\u2028b"}\r\n\r\n'.encode())
    assert list(records.read(path)) == [Page(id="1", text="a\u2028b")]


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str):
    with pytest.raises(BadRow, match="cannot be read"):
        list(records.read(tmp_path / name))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    records.write(path, [Page(id="1", text="old")])

    def failing():
        yield Page(id="2", text="new")
        raise RuntimeError("the pen broke")

    with pytest.raises(RuntimeError):
        records.write(path, failing())
    assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]
    assert list(records.read(path)) == [Page(id="1", text="old")]


def test_every_record_is_told_apart_by_its_kind():
    kinds = [branch["properties"]["kind"]["const"] for branch in _branches()]
    assert len(set(kinds)) == len(kinds) == 12  # the twelve nouns that cross a boundary


def _branches() -> list[dict]:
    parts = TypeAdapter(records.AnyRecord).json_schema()["$defs"]
    return [part for name, part in parts.items() if name != "Turn"]  # a part of a prompt, which never stands alone


@pytest.mark.parametrize(
    ("roles", "lawful"),
    [
        (["system"], True),
        (["user", "assistant"], True),
        (["system", "user", "assistant", "user", "assistant"], True),
        ([], False),
        (["user"], False),
        (["assistant"], False),
        (["assistant", "user"], False),
        (["user", "assistant", "system"], False),
        (["user", "user", "assistant", "assistant"], False),
    ],
)
def test_who_may_speak_before_a_prompt(roles, lawful):
    before = tuple(Turn(role=role, text="a") for role in roles)
    if lawful:
        prompt = Prompt.make("b", before=before)
        assert prompt.id != Prompt.make("b").id
        assert prompt.whole == "\n".join(["a"] * len(roles) + ["b"])
    else:
        with pytest.raises(ValueError, match="before: "):
            Prompt.make("b", before=before)


def test_a_prompt_alone_is_written_as_it_always_was():
    assert to_line(Prompt(id="p", text="b")) == '{"kind":"prompt","id":"p","text":"b","source":"customer"}'


def test_what_a_judgement_says_of_the_papers_three_aims():
    # by hand, after section 3.6: Likert 5 of 1…7 is 4/6; a constraint that is not kept is no help
    said = Judgement(completion_id="c", labeler="l", overall=5, fails_task=False, satisfies_constraint=False)
    assert said.aspects() == {"overall": 4 / 6, "helpful": 0.0}
    said = Judgement(completion_id="c", labeler="l", fails_task=False, hallucination=False, violent=False)
    assert said.aspects() == {"helpful": 1.0, "truthful": 1.0, "harmless": 1.0}
    for harm in ("inappropriate", "sexual", "violent", "encourages_harm", "denigrates", "harmful_advice"):
        assert Judgement(completion_id="c", labeler="l", **{harm: True}).aspects() == {"harmless": 0.0}
    # An opinion or a moral judgement is neither good nor bad.
    assert Judgement(completion_id="c", labeler="l", opinion=True, moral_judgement=True).aspects() == {}
