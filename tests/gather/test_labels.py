"""Chats, chosen and rejected answers and thumbs, in the shapes that people have them, become records."""

import json
import re

import pytest

from biddable.gather import GatherConfig, holds_records, read_labels
from biddable.records import (
    BadRow,
    Completion,
    Demonstration,
    Judgement,
    Labeler,
    Prompt,
    Ranking,
    Turn,
    to_line,
)


def system(text):
    return {"role": "system", "content": text}


def user(text):
    return {"role": "user", "content": text}


def answer(text):
    return {"role": "assistant", "content": text}


def human(text):
    return {"from": "human", "value": text}


def gpt(text):
    return {"from": "gpt", "value": text}


def rows(path, *cells):
    path.write_text("".join(json.dumps(row) + "\n" for row in cells), encoding="utf-8")
    return path


def taken(path, *cells, **more):
    return [record for _, record in read_labels(rows(path, *cells), **more)]


def all_of(kind, found):
    return [record for record in found if isinstance(record, kind)]


SOMEONE = Labeler(id="someone", group="training")
TALK = [system("be brief"), user("say red"), answer("red"), user("and now?")]
TOLD = tuple(Turn(role=turn["role"], text=turn["content"]) for turn in TALK[:-1])
HH = "\n\nHuman: say red\n\nAssistant: red\n\nHuman: and now?\n\nAssistant:"


@pytest.mark.parametrize(
    ("row", "before"),
    [
        ({"messages": [user("and now?"), answer("blue")], "id": "x-1", "source": "y"}, None),
        ({"messages": [*TALK, answer("blue")]}, TOLD),
        (
            {"messages": [user([{"type": "text", "text": "and "}, {"type": "text", "text": "now?"}]), answer("blue")]},
            None,
        ),
        ({"conversations": [human("say red"), gpt("red"), human("and now?"), gpt("blue")]}, TOLD[1:]),
        ({"conversations": [{"from": "system", "value": "be brief"}, human("and now?"), gpt("blue")]}, TOLD[:1]),
        ({"prompt": "and now?", "completion": "blue"}, None),
        ({"prompt": TALK, "completion": [answer("blue")]}, TOLD),
        ({"prompt": HH, "completion": "blue"}, TOLD[1:]),
        ({"prompt": "and now?", "messages": [user("and now?"), answer("blue")]}, None),  # UltraChat has both
    ],
)
def test_a_chat_is_a_demonstration_of_its_last_answer(tmp_path, row, before):
    path = rows(tmp_path / "c.jsonl", row)
    assert not holds_records(path)
    prompt = Prompt.make("and now?", split="train", **({"before": before} if before else {}))
    demonstration = Demonstration(prompt_id=prompt.id, text="blue", labeler="someone")
    assert read_labels(path) == [(1, SOMEONE), (1, prompt), (1, demonstration)]


@pytest.mark.parametrize(
    ("row", "before"),
    [
        ({"prompt": "and now?", "chosen": "red", "rejected": "blue"}, None),
        ({"prompt": [user("and now?")], "chosen": [answer("red")], "rejected": [answer("blue")]}, None),
        ({"messages": [user("and now?")], "chosen": "red", "rejected": "blue"}, None),
        (
            {
                "prompt": "and now?",
                "chosen": [user("and now?"), answer("red")],
                "rejected": [user("and now?"), answer("blue")],
            },
            None,
        ),
        ({"prompt": TALK, "chosen": "red", "rejected": "blue"}, TOLD),
        ({"prompt": TALK, "chosen": [answer("red")], "rejected": [answer("blue")]}, TOLD),
        ({"chosen": [*TALK, answer("red")], "rejected": [*TALK, answer("blue")]}, TOLD),
        ({"chosen": HH + " red", "rejected": HH + " blue"}, TOLD[1:]),
        ({"prompt": HH, "chosen": "red", "rejected": "blue"}, TOLD[1:]),
    ],
)
def test_a_chosen_and_a_rejected_answer_are_a_ranking_of_two(tmp_path, row, before):
    labeler, prompt, chosen, rejected, ranking = taken(tmp_path / "p.jsonl", row)
    assert labeler == SOMEONE
    assert prompt == Prompt.make("and now?", split="train", **({"before": before} if before else {}))
    assert (chosen.text, rejected.text) == ("red", "blue")
    assert ranking == Ranking(prompt_id=prompt.id, labeler="someone", order=((chosen.id,), (rejected.id,)))


@pytest.mark.parametrize(("label", "fails"), [(True, False), (False, True), (1, False), (0, True)])
@pytest.mark.parametrize(
    "row", [{"prompt": "and now?", "completion": "red"}, {"messages": [user("and now?"), answer("red")]}]
)
def test_a_thumb_is_a_judgement(tmp_path, row, label, fails):
    labeler, prompt, completion, judgement = taken(tmp_path / "t.jsonl", row | {"label": label, "labeler": 7})
    assert (labeler.id, prompt.text, completion.text) == ("7", "and now?", "red")
    assert judgement == Judgement(completion_id=completion.id, labeler="7", fails_task=fails)
    assert judgement.aspects() == {"helpful": float(label)}


def test_what_nobody_signed_was_said_by_several(tmp_path):
    pair = {"prompt": "say red", "chosen": "red", "rejected": "blue"}
    found = taken(tmp_path / "p.jsonl", pair, pair | {"rejected": "no"}, pair | {"labeler": "anna", "rejected": "no"})
    assert [r.labeler for r in all_of(Ranking, found)] == ["someone", "someone-2", "anna"]
    assert [r.text for r in all_of(Completion, found)] == ["red", "blue", "no"], "each once"
    assert len(all_of(Prompt, found)) == 1
    chats = ({"prompt": "say red", "completion": text} for text in ("red", "red red"))
    assert [d.labeler for d in all_of(Demonstration, taken(tmp_path / "d.jsonl", *chats))] == ["someone", "someone-2"]
    thumbs = ({"prompt": "say red", "completion": text, "label": True} for text in ("red", "blue", "red"))
    assert [j.labeler for j in all_of(Judgement, taken(tmp_path / "t.jsonl", *thumbs))] == [
        "someone", "someone", "someone-2",
    ]  # fmt: skip


def test_a_json_file_may_be_one_list(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(
        json.dumps([{"conversations": [human(f"say {word}"), gpt(word)]} for word in ("red", "blue")], indent=1)
    )
    assert not holds_records(path)
    assert [(row, r.text) for row, r in read_labels(path) if isinstance(r, Demonstration)] == [(1, "red"), (2, "blue")]
    assert len(read_labels(rows(path, {"prompt": "p", "completion": "c"}))) == 3  # or lines after all
    path.write_text('[{"prompt": "p"')
    with pytest.raises(BadRow, match=r"c\.json, row 1: is not JSON"):
        read_labels(path)


def test_a_row_can_name_its_split_and_its_user(tmp_path):
    pair = {
        "prompt": "say red",
        "chosen": "red",
        "rejected": "blue",
        "split": "valid",
        "user_id": 5,
        "organization": "o",
    }
    [prompt] = all_of(Prompt, taken(tmp_path / "p.jsonl", pair))
    assert (prompt.split, prompt.user, prompt.organization) == ("valid", "5", "o")


def test_a_user_is_held_out_with_all_conversations(tmp_path):
    cells = [
        {"messages": [user(f"say red {n}"), answer("red"), user("and now?"), answer("blue")], "user": f"u{n % 30}"}
        for n in range(90)
    ]
    found = taken(tmp_path / "c.jsonl", *cells, config=GatherConfig(valid=0.3, test=0.3))
    splits = {name: {p.split for p in all_of(Prompt, found) if p.user == name} for name in {f"u{n}" for n in range(30)}}
    assert all(len(some) == 1 for some in splits.values())
    assert set.union(*splits.values()) == {"train", "valid", "test"}


def test_what_is_there_already_stays_and_its_owner_with_it(tmp_path):
    there = [
        Prompt.make("say red", user="u", split="test", use_case="chat"),
        Labeler(id="olga", group="held_out"),
    ]
    cells = [
        {"prompt": "say red", "completion": "red", "user": "u", "labeler": "olga"},
        {"prompt": "say blue", "completion": "blue", "user": "u"},
        {"prompt": "say cow", "completion": "cow", "user": "v"},
    ]
    found = taken(tmp_path / "c.jsonl", *cells, known=there)
    assert there[0] in found
    assert there[1] in found
    assert [p.split for p in all_of(Prompt, found)] == ["test", "test", "train"]
    with pytest.raises(BadRow, match="row 1: split: is train, but this prompt is in test already; leave it out"):
        taken(tmp_path / "c.jsonl", cells[0] | {"split": "train"}, known=there)
    joined = [*there, Prompt.make("more", user="w", organization="o", split="train")]
    with pytest.raises(BadRow, match="row 2: user: their prompts are in two splits already; say which with split"):
        taken(tmp_path / "c.jsonl", cells[2], cells[1] | {"organization": "o"}, known=joined)


GOOD = {"prompt": "say red", "chosen": "red", "rejected": "blue"}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            {"chosen": "red", "rejected": "blue"},
            "chosen: should end with a user's turn and the answer to it, and has: assistant",
        ),
        ({"prompt": " ", "chosen": "red", "rejected": "blue"}, "the prompt is empty; leave the row out"),
        ({"prompt": "p", "chosen": "red", "rejected": "red"}, "rejected: is the same text as chosen"),
        ({"prompt": "p", "chosen": "red"}, "rejected: is missing; it should be a text or messages like [{"),
        ({"prompt": "p", "chosen": None, "rejected": "b"}, "chosen: is null; it should be a text or messages like"),
        ({"prompt": "p", "chosen": "red", "rejected": ["blue"]}, 'rejected: is ["blue"]; it should be [{"role"'),
        (GOOD | {"split": "dev"}, "split: 'dev' is none of train, valid"),
        (GOOD | {"labeler": ["anna"]}, 'labeler: is ["anna"]; it should be text'),
        (GOOD | {"user": "x" * 201}, "user: String should have at most 200 characters"),
        (GOOD | {"labeler": "x" * 201}, "labeler: is longer than 200 characters"),
        (GOOD | {"prompt": 5}, "prompt: is 5; it should be [{"),
        (GOOD | {"prompt": [answer("a"), user("b")]}, "before: after a system's turn or none, user and assistant take"),
        (
            {"chosen": [user("a"), answer("red")], "rejected": [user("b"), answer("blue")]},
            "chosen and rejected answer different prompts",
        ),
        ({"messages": []}, 'messages: is []; it should be [{"role"'),
        ({"messages": "hello"}, "messages: should end with a user's turn and the answer to it"),
        (
            {"messages": [user("a"), answer("b"), user("c")]},
            "messages: should end with a user's turn and the answer to it",
        ),
        (
            {"messages": [user("a"), user("b"), answer("c")]},
            "before: after a system's turn or none, user and assistant",
        ),
        ({"messages": [user("a"), answer(None)]}, "messages: content: is null; only text can be learnt"),
        (
            {"messages": [user("a"), {"role": "tool", "content": "x"}, answer("b")]},
            "messages: role: Input should be 'system', 'user'",
        ),
        ({"messages": [user("a"), answer("b\0")]}, "messages: holds the character U+0000; take it out"),
        ({"messages": [user("a"), answer(" ")]}, "messages: the answer is empty; leave the row out"),
        ({"conversations": [gpt("b")]}, "conversations: should end with a user's turn"),
        ({"prompt": "p", "completion": ""}, "completion: the answer is empty"),
        ({"prompt": "p", "completion": "c", "label": "good"}, 'label: is "good"; it should be true or false'),
        ({"prompt": "p", "completion": "c", "label": [1]}, "label: is [1]; it should be true or false"),
        ({"prompt": "p", "complation": "c"}, "complation: no such column; did you mean completion?"),
        ({"prompt": "p", "response": "c"}, "response: by whom? a column model says which model, and what people wrote"),
        ({"prompt": "p", "text": "c"}, "has the columns prompt, text; wanted are messages; prompt and completion; "),
        ({}, "has no columns; wanted are messages"),
        ({"prompt": "p", "completion": "c", "model": ""}, "model: is empty; say which model wrote it, or leave"),
        ({"prompt": "p", "answer": "c", "response": "d", "model": "m"}, "has answer and response; leave one of them"),
        ({"prompt": "p", "answer": " ", "model": "m"}, "answer: the answer is empty"),
        ({"prompt": "p", "answer": "a", "model": "m" * 201}, "model: is longer than 200 characters"),
        ({"prompt": "p", "answers": "a", "model": "m"}, 'answers: is "a"; it should be a list of answers'),
        ({"prompt": "p", "answers": ["a", "b"], "models": ["m"]}, "models: should name as many models as answers has"),
        ({"prompt": "p", "answers": ["a", "b"], "ranks": [1]}, "ranks: should be a number for each of two or more"),
        ({"prompt": "p", "answers": ["a", "a"], "ranks": [1, 2]}, "two answers are the same text; leave"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, says):
    path = rows(tmp_path / "p.jsonl", GOOD, row)
    with pytest.raises(BadRow, match=re.escape(f"{path}, row 2: {says}")) as caught:
        read_labels(path)
    assert "\n" not in str(caught.value)


def test_what_a_model_answered_is_no_demonstration(tmp_path):
    there = Prompt.make("and now?", user="ada", split="test", source="plain")
    path = rows(
        tmp_path / "a.jsonl",
        {"prompt": "and now? ", "answer": "red", "model": "ours"},
        {"prompt": "and now?", "completion": "red", "model": "theirs"},
        {"prompt": "who?", "response": "me", "model": 7},
        {"messages": [user("who?"), answer("you")], "model": "ours"},
        {"prompt": "who?", "completion": "me", "model": "7", "label": True, "labeler": "anna"},
    )
    found = read_labels(path, [there])
    prompt = Prompt.make("who?", split="train")
    made = [
        Completion.make(there.id, "red", "ours"), Completion.make(there.id, "red", "theirs"),
        Completion.make(prompt.id, "me", "7"), Completion.make(prompt.id, "you", "ours"),
    ]  # fmt: skip
    assert all_of(Completion, [one for _, one in found]) == made
    assert all_of(Prompt, [one for _, one in found]) == [there, prompt]
    assert [one for _, one in found if isinstance(one, Labeler | Demonstration | Judgement)] == [
        Labeler(id="anna", group="training"),
        Judgement(completion_id=made[2].id, labeler="anna", fails_task=False),
    ]


def test_a_table_of_answers_is_the_same_as_lines_of_them(tmp_path):
    lines = rows(tmp_path / "a.jsonl", *({"prompt": "say; it", "answer": f"a, {m}", "model": m} for m in "xy"))
    for name, text in (
        ("a.csv", 'prompt,answer,model\nsay; it,"a, x",x\nsay; it,"a, y",y\n'),
        ("b.csv", '\ufeffprompt;answer;model\r\n"say; it";a, x;x\r\n"say; it";a, y;y\r\n'),
        ("c.tsv", "prompt\tanswer\tmodel\nsay; it\ta, x\tx\nsay; it\ta, y\ty\n"),
    ):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        assert not holds_records(path)
        assert [one for _, one in read_labels(path)] == [one for _, one in read_labels(lines)]


def test_thumbs_in_a_table_are_words(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("prompt,completion,label\nwho?,me,TRUE\nwho?,you,0\nwhy?,so,\n")
    found = [one for _, one in read_labels(path)]
    assert [one.fails_task for one in all_of(Judgement, found)] == [False, True]
    assert [one.text for one in all_of(Demonstration, found)] == ["so"]


def test_several_answers_are_ranked_where_the_row_says_so(tmp_path):
    row = {"prompt": "who?", "responses": ["a", "b", "c"], "models": ["x", "y", "z"]}
    prompt, a, b, c = taken(tmp_path / "k.jsonl", row)
    assert [(one.text, one.run_id) for one in (a, b, c)] == [("a", "x"), ("b", "y"), ("c", "z")]
    found = taken(tmp_path / "k.jsonl", row | {"ranks": [3, 1, 1], "labeler": "anna"})
    assert found[-1] == Ranking(prompt_id=prompt.id, labeler="anna", order=((b.id, c.id), (a.id,)))
    assert [one.run_id for one in taken(tmp_path / "k.jsonl", {"prompt": "q", "answers": ["a"]})[1:]] == ["imported"]


def test_the_first_rows_that_are_wrong_are_named(tmp_path):
    bad = [{"prompt": "p", "completion": ""}] * 4
    path = rows(tmp_path / "p.jsonl", GOOD, *bad, GOOD)
    why = "completion: the answer is empty; leave the row out"
    with pytest.raises(BadRow) as caught:
        read_labels(path)
    assert str(caught.value) == (
        f"{path}: 4 of 6 rows are wrong, so none was taken: row 2: {why}; row 3: {why}; row 4: {why}; and 1 more"
    )


def test_records_are_told_from_rows(tmp_path):
    records = tmp_path / "r.jsonl"
    records.write_text(to_line(SOMEONE) + "\n")
    assert holds_records(records)
    assert holds_records(rows(tmp_path / "empty.jsonl"))  # whoever reads these as records says what is wrong
    assert holds_records(tmp_path / "none.jsonl")
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe{")
    assert holds_records(tmp_path / "b.jsonl")
    with pytest.raises(BadRow, match=r"e\.json: holds nothing; wanted are messages"):
        read_labels(rows(tmp_path / "e.json"))
