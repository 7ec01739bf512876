"""Votes, in the shapes that people have them, become two completions and a verdict."""

import csv
import json
import re
from pathlib import Path

import pytest

from biddable.gather import GatherConfig, read_labels
from biddable.records import BadRow, Completion, Demonstration, Labeler, Prompt, Turn, Verdict


def user(text):
    return {"role": "user", "content": text}


def answer(text):
    return {"role": "assistant", "content": text}


def rows(path: Path, *cells) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in cells), encoding="utf-8")
    return path


def taken(path: Path, *cells, **more):
    return [record for _, record in read_labels(rows(path, *cells), **more)]


def all_of(kind, found):
    return [record for record in found if isinstance(record, kind)]


PAIR = {"prompt": "say red", "answer_a": "red", "answer_b": "blue", "model_a": "ours", "model_b": "theirs"}
VOTE = PAIR | {"winner": "a", "labeler": "anna"}
PROMPT = Prompt.make("say red", split="test")
RED, BLUE = Completion.make(PROMPT.id, "red", "ours"), Completion.make(PROMPT.id, "blue", "theirs")


def verdict(better="a", labeler="anna", a=RED, b=BLUE, **more):
    return Verdict(
        prompt_id=a.prompt_id, a=a.id, b=b.id, better=better, judge="person", labeler=labeler,
        **{"shown": "unknown"} | more,
    )  # fmt: skip


def test_a_vote_is_two_completions_and_a_verdict(tmp_path):
    path = rows(tmp_path / "v.jsonl", VOTE)
    made = [Labeler(id="anna", group="training"), PROMPT, RED, BLUE, verdict()]
    assert read_labels(path) == [(1, one) for one in made]


@pytest.mark.parametrize(
    ("winner", "better"),
    [
        ("a", "a"), ("b", "b"), ("tie", "tie"), (" B ", "b"), ("model_a", "a"), ("model_b", "b"), ("Tie", "tie"),
        ("tie (bothbad)", "tie"), ("both_bad", "tie"), ("ours", "a"), ("theirs", "b"),
    ],
)  # fmt: skip
def test_the_winner_is_a_side_or_a_model(tmp_path, winner, better):
    assert taken(tmp_path / "v.jsonl", VOTE | {"winner": winner})[-1] == verdict(better)


def test_a_winner_that_is_a_side_and_the_other_sides_model_is_none(tmp_path):
    crossed = VOTE | {"model_a": "b", "model_b": "a"}
    with pytest.raises(
        BadRow, match='winner: is "a", a word for one side and the model of the other; say model_a or mo'
    ):
        taken(tmp_path / "v.jsonl", crossed)
    assert taken(tmp_path / "v.jsonl", crossed | {"winner": "model_a"})[-1].better == "a"
    straight = VOTE | {"model_a": "a", "model_b": "b", "winner": "b"}
    assert taken(tmp_path / "v.jsonl", straight)[-1].better == "b"


@pytest.mark.parametrize("name", ["answer", "response", "completion"])
def test_answers_have_one_of_three_names_and_may_be_messages(tmp_path, name):
    plain = {key: VOTE[key] for key in ("prompt", "model_a", "model_b", "winner", "labeler")}
    for a, b in (("red", "blue"), ([answer("red")], [user("say red"), answer("blue")])):
        assert taken(tmp_path / "v.jsonl", plain | {f"{name}_a": a, f"{name}_b": b})[1:] == [
            PROMPT, RED, BLUE, verdict(),
        ]  # fmt: skip


def test_a_table_is_the_same_as_lines(tmp_path):
    cells = [VOTE, VOTE | {"winner": "theirs", "labeler": "ben"}]
    lines = taken(tmp_path / "v.jsonl", *cells)
    for name, sign in (("v.csv", ","), ("w.csv", ";"), ("v.tsv", "\t")):
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(VOTE), delimiter=sign)
            table.writeheader()
            table.writerows(cells)
        assert [record for _, record in read_labels(tmp_path / name)] == lines


# As lmsys/chatbot_arena_conversations has them.
ARENA = {
    "question_id": "58210e39b3fd4441a2bd4a518bb44c2d", "model_a": "chatglm-6b", "model_b": "koala-13b",
    "winner": "model_b", "judge": "arena_user_973", "conversation_a": [user("say red"), answer("blue")],
    "conversation_b": [user("say red"), answer("red")], "turn": 1, "anony": True, "language": "English",
    "tstamp": 1682351591.1322, "toxic_chat_tag": {"roberta-large": {"flagged": False}},
}  # fmt: skip


def test_an_arena_row(tmp_path):
    labeler, prompt, a, b, said = taken(tmp_path / "a.jsonl", ARENA)
    assert labeler == Labeler(id="arena_user_973", group="training")
    assert prompt == PROMPT
    assert [(one.text, one.run_id) for one in (a, b)] == [("blue", "chatglm-6b"), ("red", "koala-13b")]
    assert said == verdict("b", "arena_user_973", a, b)
    named = taken(tmp_path / "a.jsonl", ARENA | {"labeler": "anna", "winner": "tie (bothbad)"})
    assert (named[0].id, named[-1].better) == ("anna", "tie")
    table = tmp_path / "a.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ARENA))
        writer.writeheader()
        writer.writerow({key: json.dumps(cell) if isinstance(cell, list) else cell for key, cell in ARENA.items()})
    assert [record for _, record in read_labels(table)] == taken(tmp_path / "a.jsonl", ARENA)


def test_conversations_that_part_are_judged_from_there_on(tmp_path):
    one = [user("say red"), answer("red"), user("say cow"), answer("cow")]
    other = [user("say red"), answer("blue"), user("say cow"), answer("moo")]
    _, prompt, a, b, _ = taken(
        tmp_path / "a.jsonl", ARENA | {"conversation_a": one, "conversation_b": other, "turn": 2}
    )
    assert prompt == PROMPT, "what both have in common"
    assert a.text == "red\n\nHuman: say cow\n\nAssistant: cow"
    assert b.text == "blue\n\nHuman: say cow\n\nAssistant: moo"
    same = [*one[:3], answer("moo")]
    _, prompt, a, b, _ = taken(tmp_path / "a.jsonl", ARENA | {"conversation_a": one, "conversation_b": same, "turn": 2})
    before = tuple(Turn(role=turn["role"], text=turn["content"]) for turn in one[:2])
    assert (prompt.text, prompt.before, a.text, b.text) == ("say cow", before, "cow", "moo")
    # MT-bench has both rounds in each row, and two votes of one judge on them, one a round.
    first, second = (
        ARENA | {"conversation_a": one, "conversation_b": other, "turn": turn, "winner": winner}
        for turn, winner in ((1, "model_a"), (2, "model_b"))
    )
    found = taken(tmp_path / "a.jsonl", first, second)
    assert [c.text for c in all_of(Completion, found)][:2] == ["red", "blue"]
    assert [v.better for v in all_of(Verdict, found)] == ["a", "b"]


# As the train.csv of Kaggle's "LMSYS - Chatbot Arena Human Preference Predictions" has them.
KAGGLE = {
    "id": 30192, "model_a": "ours", "model_b": "theirs", "prompt": '["say red"]', "response_a": '["red"]',
    "response_b": '["blue"]', "winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0,
}  # fmt: skip


@pytest.mark.parametrize("flags", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_a_kaggle_row(tmp_path, flags):
    row = KAGGLE | dict(zip(("winner_model_a", "winner_model_b", "winner_tie"), flags, strict=True))
    table = tmp_path / "k.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    found = [record for _, record in read_labels(table)]
    better = ("a", "b", "tie")[flags.index(1)]
    assert found == [Labeler(id="someone", group="training"), PROMPT, RED, BLUE, verdict(better, "someone")]
    plain = row | {"prompt": "say red", "response_a": "red", "response_b": "blue"}
    assert taken(tmp_path / "k.jsonl", plain) == found


def test_a_kaggle_row_of_several_turns(tmp_path):
    row = KAGGLE | {
        "prompt": ["say red", "say cow"], "response_a": ["red", None], "response_b": '["blue", "moo"]'
    }  # fmt: skip
    _, prompt, a, b, _ = taken(tmp_path / "k.jsonl", row)
    assert prompt == PROMPT
    assert a.text == "red\n\nHuman: say cow\n\nAssistant: "
    assert b.text == "blue\n\nHuman: say cow\n\nAssistant: moo"
    asked = taken(tmp_path / "k.jsonl", KAGGLE | {"response_a": "red", "response_b": "blue"})[1]
    assert asked.text == '["say red"]', "a prompt may be such a text itself"
    lists = {"prompt": '["say red"]', "answer_a": '["red"]', "answer_b": '["blue"]'}
    assert taken(tmp_path / "v.jsonl", VOTE | lists)[1].text == '["say red"]', "and so may all three"


def test_which_was_seen_first_is_not_known_but_where_a_column_says_it(tmp_path):
    for said, shown in (("ab", "ab"), ("ba", "ba"), ("", "unknown"), (None, "unknown")):
        assert taken(tmp_path / "v.jsonl", VOTE | {"shown": said})[-1] == verdict(shown=shown)


def test_two_answers_of_one_model_are_compared_and_the_same_text_of_two(tmp_path):
    """The first counts in no win rate; the second does, as a tie or, to whoever saw more in it, as none."""
    own = taken(tmp_path / "v.jsonl", VOTE | {"model_b": "ours"})
    assert {one.run_id for one in all_of(Completion, own)} == {"ours"}
    assert own[-1].better == "a"
    alike = taken(tmp_path / "v.jsonl", VOTE | {"answer_b": "red", "winner": "tie"})
    assert [(one.text, one.run_id) for one in all_of(Completion, alike)] == [("red", "ours"), ("red", "theirs")]
    empty = taken(tmp_path / "v.jsonl", VOTE | {"answer_b": ""})
    assert all_of(Completion, empty)[1].text == "", "a model that said nothing lost"


def test_unsigned_votes_on_the_same_two_answers_are_several_peoples(tmp_path):
    other = PAIR | {"answer_b": "green", "winner": "b"}
    found = taken(tmp_path / "v.jsonl", PAIR | {"winner": "a"}, other, PAIR | {"winner": "b"}, VOTE)
    assert [(v.labeler, v.better) for v in all_of(Verdict, found)] == [
        ("someone", "a"), ("someone", "b"), ("someone-2", "b"), ("anna", "a"),
    ]  # fmt: skip


def test_a_person_may_not_say_two_things_of_the_same_two_answers(tmp_path):
    turned = {"answer_a": "blue", "answer_b": "red", "model_a": "theirs", "model_b": "ours"}
    assert len(all_of(Verdict, taken(tmp_path / "v.jsonl", VOTE, VOTE))) == 1
    taken(tmp_path / "v.jsonl", VOTE, VOTE | turned | {"winner": "b"})  # the same, the other way round
    path = tmp_path / "v.jsonl"
    says = f"{path}, row 3: winner: anna said otherwise of these two answers in row 1; leave one out"
    with pytest.raises(BadRow, match=re.escape(says)):
        taken(path, VOTE, VOTE | {"labeler": "ben"}, VOTE | turned)
    both = taken(path, VOTE | {"shown": "ab"}, VOTE | {"shown": "ba", "winner": "b"})
    assert len(all_of(Verdict, both)) == 2, "seen both ways round, both are kept"


def test_prompts_of_votes_alone_are_for_the_last_test(tmp_path):
    other = {"prompt": "say cow", "completion": "cow"}
    there = Prompt.make("say red", split="valid")

    def splits(*cells, **more):
        return [one.split for one in all_of(Prompt, taken(tmp_path / "v.jsonl", *cells, **more))]

    assert splits(VOTE) == ["test"]
    assert splits(VOTE | {"split": "train"}) == ["train"]
    assert splits(VOTE, other) == ["train", "train"]
    assert splits(VOTE, config=GatherConfig(valid=0, test=0)) == ["train"]
    assert splits(VOTE, known=[there]) == ["valid"]


def test_a_row_with_a_chosen_answer_is_no_vote(tmp_path):
    row = {"prompt": "p", "chosen": "x", "rejected": "y", "response_a": "x", "response_b": "y"}
    assert not all_of(Verdict, taken(tmp_path / "v.jsonl", row))
    assert all_of(Demonstration, taken(tmp_path / "v.jsonl", {"prompt": "p", "completion": "c", "winner": "a"}))


LACKS = {name: value for name, value in PAIR.items() if name != "model_b"} | {"winner": "a"}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (PAIR, "winner: is missing; say a, b or tie"),
        (PAIR | {"winner": ""}, "winner: is empty; say a, b or tie"),
        (PAIR | {"winner": "c"}, 'winner: is "c"; it should be a, b, tie, or the name of one of the two models'),
        (PAIR | {"winner": 1}, "winner: is 1; it should be a, b, tie, or"),
        (PAIR | {"model_b": "ours", "winner": "ours"}, 'winner: is "ours"; it should be a, b, tie, or'),
        (LACKS, "model_b: is missing; say which model wrote it"),
        (VOTE | {"model_a": " "}, "model_a: is empty; say which model wrote it"),
        (VOTE | {"model_a": "m" * 201}, "model: is longer than 200 characters"),
        (VOTE | {"model_a": ["m"]}, 'model_a: is ["m"]; it should be text'),
        ({"prompt": "p", "answer_a": "x", "winner": "a"}, "answer_b: is missing beside answer_a"),
        (VOTE | {"response_a": "red"}, "has answer_a and response_a; leave one of them out, with its other side"),
        (VOTE | {"winner_tie": 1}, "has winner and winner_tie; leave one of them out"),
        (VOTE | {"answer_b": None}, "answer_b: is null; it should be a text or messages"),
        (VOTE | {"model_b": "ours", "answer_b": "red"}, "answer_b: is the same answer of the same model as answer_a"),
        (VOTE | {"shown": "a"}, 'shown: is "a"; it should be ab or ba, or nothing if not known'),
        (VOTE | {"shown": ["ab"]}, 'shown: is ["ab"]; it should be ab or ba'),
        (VOTE | {"prompt": ""}, "answer_a: should end with a user's turn and the answer to it, and has: assistant"),
        (VOTE | {"prompt": " "}, "the prompt is empty; leave the row out"),
        (PAIR | {"winer": "a"}, "winer: no such column; did you mean winner?"),
        ({"prompt": "p", "model_a": "m", "model_b": "n", "winner": "a"}, "has the columns prompt, model_a, model_b"),
        (ARENA | {"conversation_b": [user("b"), answer("x")]}, "the two answer different prompts; leave the row out"),
        (ARENA | {"conversation_b": [user("say red")]}, "conversation_b: should end with a user's turn and the answer"),
        (ARENA | {"conversation_b": "[1"}, "conversation_b: should end with a user's turn"),
        (ARENA | {"judge": ["gpt-4", "pair-v2"]}, 'judge: is ["gpt-4", "pair-v2"]; it should be text'),
        (KAGGLE | {"winner_tie": 1}, "winner_model_a: of winner_model_a, winner_model_b, winner_tie one should be 1"),
        (KAGGLE | {"winner_model_a": 0}, "winner_model_a: of winner_model_a, winner_model_b, winner_tie one should"),
        (KAGGLE | {"winner_model_a": 0.5}, "winner_model_a: is 0.5; it should be true or false"),
        (KAGGLE | {"response_b": '["x", "y"]'}, "response_b: has 2 answers to the 1 texts of prompt"),
    ],
)  # fmt: skip
def test_a_bad_vote_is_named(tmp_path, row, says):
    path = rows(tmp_path / "v.jsonl", VOTE, row)
    with pytest.raises(BadRow, match=re.escape(f"{path}, row 2: {says}")) as caught:
        read_labels(path)
    assert "\n" not in str(caught.value)


def test_two_versions_that_would_be_counted_as_one_model_are_refused(tmp_path):
    """What follows an @ names a sampling (sft@1f09a3c2)."""
    other = VOTE | {"prompt": "say blue", "model_a": "ours@20240229"}
    with pytest.raises(BadRow, match="row 2: ours and ours@20240229 would be counted as one model"):
        taken(tmp_path / "v.jsonl", VOTE, other)
    named = [VOTE | {"model_a": "ours@20240229"}, other]
    models = {one.run_id for one in all_of(Completion, taken(tmp_path / "v.jsonl", *named))}
    assert models == {"ours@20240229", "theirs"}
