"""Chosen and rejected answers, in the shapes that people have them, become rankings of two."""

import json
import re

import pytest

from biddable.gather import holds_comparisons, read_comparisons
from biddable.records import BadRow, Completion, Labeler, Prompt, Ranking


def user(text):
    return {"role": "user", "content": text}


def answer(text):
    return {"role": "assistant", "content": text}


def rows(path, *cells):
    path.write_text("".join(json.dumps(row) + "\n" for row in cells), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "say red", "chosen": "red", "rejected": "blue"},
        {"prompt": [user("say red")], "chosen": [answer("red")], "rejected": [answer("blue")]},
        {"messages": [user("say red")], "chosen": "red", "rejected": "blue", "id": "x-1", "source": "y"},
        {"chosen": [user("say red"), answer("red")], "rejected": [user("say red"), answer("blue")]},
        {
            "prompt": "say red",
            "chosen": [user("say red"), answer("red")],
            "rejected": [user("say red"), answer("blue")],
        },
    ],
)
def test_a_row_is_a_ranking_of_two(tmp_path, row):
    path = rows(tmp_path / "p.jsonl", row)
    assert holds_comparisons(path)
    labeler, prompt, chosen, rejected, ranking = read_comparisons(path)
    assert (labeler, prompt) == (Labeler(id="someone", group="training"), Prompt.make("say red", split="train"))
    assert (chosen.text, rejected.text) == ("red", "blue")
    assert ranking == Ranking(prompt_id=prompt.id, labeler="someone", order=((chosen.id,), (rejected.id,)))


def test_several_pairs_of_a_prompt_are_several_peoples(tmp_path):
    pair = {"prompt": "say red", "chosen": "red", "rejected": "blue"}
    path = rows(tmp_path / "p.jsonl", pair, pair | {"rejected": "no"}, pair | {"labeler": "anna", "rejected": "no"})
    found = list(read_comparisons(path))
    assert [r.labeler for r in found if isinstance(r, Ranking)] == ["someone", "someone-2", "anna"]
    assert [r.text for r in found if isinstance(r, Completion)] == ["red", "blue", "no"], "each once"
    assert sum(isinstance(r, Prompt) for r in found) == 1


def test_a_row_can_name_its_split(tmp_path):
    pair = {"prompt": "say red", "chosen": "red", "rejected": "blue", "split": "valid"}
    [prompt] = [r for r in read_comparisons(rows(tmp_path / "p.jsonl", pair)) if isinstance(r, Prompt)]
    assert prompt.split == "valid"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"chosen": "red", "rejected": "blue"}, "chosen: one user's message and one answer can be compared"),
        ({"prompt": " ", "chosen": "red", "rejected": "blue"}, "chosen: the prompt is empty"),
        ({"prompt": "p", "chosen": "red", "rejected": "red"}, "rejected: is the same text as chosen"),
        ({"prompt": "p", "chosen": "red"}, "rejected: should be a text, or messages"),
        ({"prompt": "p", "chosen": "red", "rejected": ["blue"]}, "rejected: should be a text, or messages"),
        ({"prompt": "p", "chosen": "red", "rejected": "blue", "split": "dev"}, "split: 'dev' is none of train, valid"),
        ({"prompt": "p", "chosen": "red", "rejected": "blue", "labeler": 7}, "id: Input should be a valid string"),
        (
            {"prompt": [user("a"), answer("b"), user("c")], "chosen": "red", "rejected": "blue"},
            "chosen: one user's message and one answer can be compared, and this is: user, assistant, user, assistant",
        ),
        (
            {"chosen": [user("a"), answer("red")], "rejected": [user("b"), answer("blue")]},
            "chosen and rejected answer different prompts",
        ),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, says):
    good = {"prompt": "say red", "chosen": "red", "rejected": "blue"}
    path = rows(tmp_path / "p.jsonl", good, row)
    with pytest.raises(BadRow, match=re.escape(f"{path}, row 2: {says}")):
        list(read_comparisons(path))


def test_records_are_not_taken_for_comparisons(tmp_path):
    path = rows(tmp_path / "r.jsonl", {"kind": "labeler", "id": "anna", "group": "training"})
    assert not holds_comparisons(path)
    assert not holds_comparisons(rows(tmp_path / "empty.jsonl"))
    assert not holds_comparisons(tmp_path / "none.jsonl")
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe{")
    assert not holds_comparisons(tmp_path / "b.jsonl")
