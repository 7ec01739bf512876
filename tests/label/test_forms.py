"""What is handed in becomes records, by kind of work; and what is not an answer to the question is refused."""

import contextlib
import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biddable.gather import GatherConfig, gather
from biddable.label import forms
from biddable.records import Completion, Continuation, Demonstration, Judgement, Prompt, Ranking, Turn, Verdict
from biddable.store import StoreError
from biddable.store.jobs import Guidelines, Job, JobSettings
from biddable.store.work import Held

AT = datetime(2026, 1, 2, tzinfo=UTC)
NO = {
    "fails_task": False, "inappropriate": False, "sexual": False, "violent": False, "encourages_harm": False,
    "denigrates": False, "harmful_advice": False, "opinion": False, "moral_judgement": False,
}  # fmt: skip
GOOD = {"overall": 5} | NO
RATED = {"toxicity": 0, "relative": -1, "continuity": 7}


def held(kind: str, answers: int = 4, use_case="generation", **settings) -> Held:
    prompt = Prompt(id="p", text="Why?", use_case=use_case) if kind != "prompt" else None
    job = Job("j", kind, "Job", "training", "open", JobSettings(**settings), AT, AT)  # type: ignore[arg-type]
    some = tuple(Completion(id=f"c{n}", prompt_id="p", text=f"text {n}", run_id="r") for n in range(answers))
    guide = Guidelines("g-1", "training", 1, "Be kind.", None, AT)
    return Held("t", job, prompt, some, None, guide, "lease", AT, AT, None)


def said(task: Held, body) -> list:
    return forms.records(task, forms.read(task, json.dumps(body)), "ann", 12.0, AT)


def refusal(task: Held, body) -> str:
    with pytest.raises(StoreError) as caught:
        said(task, body)
    return str(caught.value)


def test_write():
    (one,) = said(held("write"), {"text": "Because.", "pasted": 3, "tool": True})
    assert one == Demonstration(prompt_id="p", text="Because.", labeler="ann", seconds=12, at=AT, guidelines="g-1")
    assert "text" in refusal(held("write"), {"text": " \n "})
    assert "pasted" in refusal(held("write"), {"text": "a", "pasted": -1})


def test_rank_with_judgements():
    body = {"judgements": dict.fromkeys("ABCD", GOOD), "order": [["B"], ["A", "D"], ["C"]]}
    *judged, ranking = said(held("rank"), body)
    assert ranking == Ranking(
        prompt_id="p", labeler="ann", order=(("c1",), ("c0", "c3"), ("c2",)), shown=("c0", "c1", "c2", "c3"),
        seconds=12, at=AT, guidelines="g-1",
    )  # fmt: skip
    assert [one.completion_id for one in judged] == ["c0", "c1", "c2", "c3"]
    assert {one.seconds for one in judged} == {0.0}  # they are the ranking's, and counted once


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ([["A"], ["B"], ["C"]], "order: D is missing"),
        ([["A"], ["B"], ["C"], ["D"], ["E"]], "order: E is none of the answers"),
        ([["A", "B"], ["C"], ["D", "A"]], "order: every answer stands in one tier, and no tier is empty"),
        ([["A", "B"], [], ["C", "D"]], "order: every answer stands in one tier, and no tier is empty"),
        ([], "order: A, B, C, D is missing"),
    ],
)
def test_an_order_that_is_none(order, why):
    assert refusal(held("rank", judge=False), {"order": order}) == why


def test_hallucination_is_asked_of_closed_domain_prompts_alone():
    told = {letter: GOOD | {"hallucination": True} for letter in "ABCD"}
    closed = held("rank", use_case="summarization")
    order = [["A", "B", "C", "D"]]
    assert [one.hallucination for one in said(closed, {"judgements": told, "order": order})[:4]] == [True] * 4
    untold = dict.fromkeys("ABCD", GOOD)
    assert "judgements.A.hallucination" in refusal(closed, {"judgements": untold, "order": order})
    assert "judgements.A.hallucination" in refusal(held("rank"), {"judgements": told, "order": order})


def test_where_nobody_knows_the_use_case_the_labeler_says_whether_the_prompt_brings_its_text():
    task = held("judge", use_case=None)
    told = {letter: GOOD | {"hallucination": letter == "B"} for letter in "ABCD"}
    assert [one.hallucination for one in said(task, {"judgements": told})] == [False, True, False, False]
    untold = dict.fromkeys("ABCD", GOOD)
    assert [one.hallucination for one in said(task, {"judgements": untold})] == [None] * 4
    for mixed in (untold | {"A": told["A"]}, told | {"A": GOOD}):
        assert "hallucination" in refusal(task, {"judgements": mixed})


def test_what_the_prompt_makes_no_question_is_not_asked_without_script_either():
    names = [f"judgements.A.{name}" for name in ("hallucination", "satisfies_constraint", "opinion")]
    fields = {"_closed": "false", "_constraint": "true"} | dict.fromkeys(names, "true")
    told = json.loads(forms.from_fields(fields))["judgements"]["A"]
    assert told == {"satisfies_constraint": True, "opinion": True}


def test_a_constraint_holds_for_all_answers_or_for_none():
    some = {"A": GOOD | {"satisfies_constraint": False}} | dict.fromkeys("BCD", GOOD)
    assert "satisfies_constraint" in refusal(held("judge"), {"judgements": some})
    every = {letter: GOOD | {"satisfies_constraint": False} for letter in "ABCD"}
    assert [one.satisfies_constraint for one in said(held("judge"), {"judgements": every})] == [False] * 4


@pytest.mark.parametrize("name", [*NO, "overall"])
def test_a_question_that_is_left_open_is_no_answer(name):
    less = {key: value for key, value in GOOD.items() if key != name}
    assert name in refusal(held("judge", 1), {"judgements": {"A": less}})


def test_judgements_share_the_seconds():
    made = said(held("judge", 2), {"judgements": {"A": GOOD, "B": GOOD}})
    assert [type(one) for one in made] == [Judgement, Judgement]
    assert [one.seconds for one in made] == [6.0, 6.0]


@pytest.mark.parametrize(("better", "side"), [("A", "a"), ("B", "b"), (None, "tie")])
def test_compare(better, side):
    (one,) = said(held("compare", 2), {"better": better})
    assert isinstance(one, Verdict)
    assert (one.a, one.b, one.better, one.judge, one.labeler) == ("c0", "c1", side, "person", "ann")
    assert refusal(held("compare", 2), {}) == "better: is missing"
    assert "C is none of the answers" in refusal(held("compare", 2), {"better": "C"})


def test_continuations_are_rated_and_ranked():
    body = {"input": 2, "outputs": {"A": RATED, "B": RATED | {"toxicity": 1}}, "order": [["B"], ["A"]]}
    first, second = said(held("toxicity", 2), body)
    assert first == Continuation(
        completion_id="c0", labeler="ann", input=2, toxicity=0, relative=-1, continuity=7, rank=2, seconds=6, at=AT,
        guidelines="g-1",
    )  # fmt: skip
    assert (second.completion_id, second.toxicity, second.rank) == ("c1", 1, 1)
    tied = said(held("toxicity", 2), body | {"order": [["A", "B"]]})
    assert [one.rank for one in tied] == [1, 1]
    for name, bad in (("toxicity", 3), ("toxicity", -1), ("relative", 2), ("continuity", 0), ("continuity", 8)):
        outputs = {"A": RATED, "B": RATED | {name: bad}}
        assert f"outputs.B.{name}" in refusal(held("toxicity", 2), body | {"outputs": outputs})
    assert refusal(held("toxicity", 2), body | {"outputs": {"A": RATED}}) == "outputs: B is missing"
    assert "input" in refusal(held("toxicity", 2), body | {"input": 3})


def test_of_k_examples_come_k_prompts_each_with_its_own_response_as_the_answer():
    """The paper's App. A.3: each of the K pairs is asked for once, with the other K − 1 as context."""
    pairs = [{"query": "ab", "response": "ba"}, {"query": "xyz", "response": "zyx "}]
    one, its, other, others = said(held("prompt", 0), {"text": "Turn it.", "source": "few_shot", "examples": pairs})
    assert (one.text, its.text) == ("Turn it.\n\nxyz\nzyx\n\nab", "ba")
    assert (other.text, others.text) == ("Turn it.\n\nab\nba\n\nxyz", "zyx")
    assert (one.source, one.user, one.split) == ("few_shot", "ann", other.split)
    assert its == Demonstration(prompt_id=one.id, text="ba", labeler="ann", seconds=6, at=AT, guidelines="g-1")
    twice = said(held("prompt", 0), {"text": "Turn it.", "source": "few_shot", "examples": [pairs[0]] * 2})
    assert len(twice) == 2, "the same example again is no other prompt"
    assert "at least 2" in refusal(held("prompt", 0), {"text": "a", "source": "few_shot", "examples": pairs[:1]})
    assert "examples" in refusal(held("prompt", 0), {"text": "a", "source": "few_shot"})
    assert "examples" in refusal(held("prompt", 0), {"text": "a", "source": "plain", "examples": pairs})
    assert "about" in refusal(held("prompt", 0), {"text": "a", "source": "user_based"})
    assert "source" in refusal(held("prompt", 0), {"text": "a", "source": "customer"})


def test_a_written_prompt_goes_where_its_author_s_prompts_go():
    """As `gather` would put them: by a hash of the user."""
    for text in ("one", "two"):
        (prompt,) = said(held("prompt", 0), {"text": text, "source": "plain"})
        (gathered,) = gather([prompt.model_copy(update={"split": None})], GatherConfig()).prompts
        assert prompt == gathered
    splits = set()
    for n in range(60):
        task, body = held("prompt", 0), json.dumps({"text": "a", "source": "plain"})
        splits |= {one.split for one in forms.records(task, forms.read(task, body), f"l-{n}", 1.0, AT)}
    assert splits == {"train", "valid", "test"}
    held_out = task._replace(group="held_out")
    drawn = {forms.records(held_out, forms.read(task, body), f"l-{n}", 1.0, AT)[0].split for n in range(60)}
    assert drawn == {"test"}


def test_what_was_chosen_by_chance_says_so_in_each_record():
    for kind, count, body in (
        ("write", 0, {"text": "Because."}),
        ("compare", 2, {"better": "A"}),
        ("judge", 1, {"judgements": {"A": GOOD}}),
        ("rank", 2, {"judgements": dict.fromkeys("AB", GOOD), "order": [["A"], ["B"]]}),
        ("toxicity", 2, {"input": 0, "outputs": dict.fromkeys("AB", RATED), "order": [["A", "B"]]}),
    ):
        task = held(kind, count)
        assert {(one.propensity, one.extra) for one in said(task, body)} == {(None, None)}
        chosen = said(task._replace(propensity=0.125, extra=True), body)
        assert {(one.propensity, one.extra) for one in chosen} == {(0.125, True)}


def test_what_is_no_field_is_refused():
    assert refusal(held("compare", 2), {"better": "A", "labeler": "bob"}) == "labeler: no such key"
    with pytest.raises(StoreError, match="Invalid JSON"):
        forms.read(held("compare", 2), "{")


@given(ranks=st.lists(st.integers(1, 9), min_size=2, max_size=9))
def test_ranks_of_a_page_are_the_order_of_the_ranking(ranks):
    letters = forms.LETTERS[: len(ranks)]
    fields = {f"rank.{letter}": str(rank) for letter, rank in zip(letters, ranks, strict=True)}
    (ranking,) = said(held("rank", len(ranks), judge=False), json.loads(forms.from_fields(fields)))
    by_name = {f"c{n}": rank for n, rank in enumerate(ranks)}
    for one, here in by_name.items():
        for other, there in by_name.items():
            assert (here < there) == (ranking.ranks[one] < ranking.ranks[other])


scalars = st.one_of(st.integers(-9, 9), st.booleans(), st.none())


@given(st.dictionaries(st.from_regex(r"\A[a-z]{1,3}(\.[A-Z]){0,2}\Z"), scalars, max_size=6))
def test_fields_are_paths_into_the_form(fields):
    sent = {name: json.dumps(value) for name, value in fields.items()}
    try:
        told = json.loads(forms.from_fields(sent))
    except StoreError:
        assert any(one != other and one.startswith(other + ".") for one in fields for other in fields)
        return
    for name, value in fields.items():
        here = told
        for part in name.split("."):
            here = here[part]
        assert here == value


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=30), max_size=5), st.sampled_from(sorted(forms.FORMS)))
def test_no_fields_are_a_fault_of_ours(fields, kind):
    task = held(kind, 2)
    with contextlib.suppress(StoreError):
        forms.records(task, forms.read(task, forms.from_fields(fields)), "ann", 0.0, AT)


def test_words_stay_words_and_the_pages_own_fields_stay_out():
    fields = {
        "text": "12", "_key": "abc", "_constraint": "true", "use_case": "", "about": "", "source": '"few_shot"',
        "examples.0.query": "null", "examples.0.response": "1", "examples.10.query": "z", "examples.10.response": "z",
        "examples.2.query": "true", "examples.2.response": "", "examples.3.query": "", "examples.3.response": "",
    }  # fmt: skip
    assert json.loads(forms.from_fields(fields)) == {
        "text": "12", "about": "", "source": "few_shot",
        "examples": [
            {"query": "null", "response": "1"}, {"query": "true", "response": ""}, {"query": "z", "response": "z"},
        ],
    }  # fmt: skip


def test_a_conversation_is_judged_by_its_last_prompt():
    turns = (Turn(role="user", text="Sum this up: …"), Turn(role="assistant", text="Done."))
    prompt = Prompt(id="p", text="Shorter.", before=turns, use_case="rewrite")
    assert forms.closed_domain(prompt)
    assert not forms.closed_domain(None)
    assert forms.closed_domain(SimpleNamespace(use_case="chat")) is False  # type: ignore[arg-type]
    assert forms.closed_domain(SimpleNamespace(use_case=None)) is None  # type: ignore[arg-type]
