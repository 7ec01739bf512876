"""Prompts from JSONL, CSV and TSV; a bad row says where and what."""

import json
from pathlib import Path

import pytest

from biddable.gather import read_prompts
from biddable.records import BadRow, Prompt


def said(path: Path, **more) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(ValueError, match=r"^\S") as caught:
        list(read_prompts(path, **more))
    line = str(caught.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    line.encode()
    return line.removeprefix(str(path))


@pytest.fixture
def file(tmp_path: Path):
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return path

    return write


EXPECTED = [
    Prompt.make("who has a goat?", user="7", organization="o1", use_case="open_qa", source="customer"),
    Prompt.make('write, "please",\na story', source="few_shot"),
]


def test_a_table(file):
    path = file(
        "p.csv",
        "﻿prompt,user_id,organization,use_case,source,liked\r\n"
        "who has a goat?, 7 ,o1,Open QA,,yes\r\n"
        "\r\n"
        '"write, ""please"",\na story",,,,few-shot,\r\n',
    )
    assert list(read_prompts(path)) == EXPECTED
    assert list(read_prompts(file("p.tsv", "text\tuser\n a\tu\n"))) == [Prompt.make(" a", user="u")]


@pytest.mark.parametrize(
    "content",
    [
        'text;user\n"a, b; and, c";u\n',  # Excel in Europe
        "\ufeffuser;text\r\nu;a, b; and, c\r\n".replace("a, b; and, c", '"a, b; and, c"'),
        "text\tuser\na, b; and, c\tu\n",
        'text,user\n"a, b; and, c",u\n',
        'what;ever;text;user\n1;2;"a, b; and, c";u\n',
    ],
)
def test_the_header_says_what_parts_the_columns(file, content):
    assert list(read_prompts(file("p.csv", content))) == [Prompt.make("a, b; and, c", user="u")]


def test_one_column_is_never_parted(file):
    path = file("p.csv", 'text\n"a;b, c"\n')
    assert list(read_prompts(path)) == [Prompt.make("a;b, c")]
    mapped = read_prompts(file("q.csv", "say, please;who\na;b\n"), mapping={"text": "say, please", "user": "who"})
    assert list(mapped) == [Prompt.make("a", user="b")]


def test_lines_of_json(file):
    rows = [
        {"text": "who has a goat?", "user": 7, "organization": "o1", "use_case": "open_qa", "extra": [1]},
        {"prompt": 'write, "please",\na story', "user": None, "source": "few_shot"},
    ]
    path = file("p.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    assert list(read_prompts(path)) == EXPECTED
    assert [p.source for p in read_prompts(path, source="plain")] == ["plain", "few_shot"]


def test_a_list_in_a_json_file_and_sharegpts_names(file):
    rows = [{"text": "who has a goat?"}, {"conversations": [{"from": "human", "value": "who?"}], "user": "u"}]
    path = file("p.json", json.dumps(rows, indent=2))
    assert list(read_prompts(path)) == [Prompt.make("who has a goat?"), Prompt.make("who?", user="u")]


def test_a_mapping_renames_columns(file):
    path = file("p.csv", "instruction,who,text\na,b,c\n")
    assert list(read_prompts(path, mapping={"text": "instruction", "user": "who"})) == [Prompt.make("a", user="b")]
    with pytest.raises(ValueError, match="organisation: no such field of a prompt; did you mean organization"):
        list(read_prompts(path, mapping={"organisation": "who"}))


def test_a_prompt_longer_than_csvs_own_limit(file):
    assert [len(p.text) for p in read_prompts(file("p.csv", "text\n" + "x" * 200_000 + "\n"))] == [200_000]


def test_the_same_file_again_gives_the_same_ids(file):
    path = file("p.csv", "text,user\na,u\na,v\n")
    assert [p.id for p in read_prompts(path)] == [p.id for p in read_prompts(path)]
    assert len({p.id for p in read_prompts(path)}) == 2


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.csv", "text,user\na,u\n,u\n", ", row 3: text: is empty; each prompt needs a text"),
        ("p.csv", "text,user\n'  ',u\n   ,u\n", ", row 3: text: is empty"),
        (
            "p.csv",
            "name,user\na,u\n",
            ", row 2: has the columns name, user; wanted is text or prompt, and where known user,",
        ),
        ("p.csv", "text,user\na,u\nb\n", ", row 3: has 1 cells, but the header names 2 columns"),
        ("p.csv", "text,user\na,b,c\n", ", row 2: has 3 cells, but the header names 2 columns"),
        ("p.csv", "text,text\na,b\n", ", row 1: text: is the name of two columns"),
        ("p.csv", "", ", row 1: is empty; it should name its columns: text, and where known user"),
        ("p.csv", 'text,user\na,u\n"b,u\n', ", row 3: is not a table's row: unexpected end of data"),
        (
            "p.csv",
            b"text,user\na,u\nb\xe9,u\n",
            ', row 3: byte 0xe9 is not UTF-8; save it as UTF-8 (in a spreadsheet: "CSV UTF',
        ),
        ("p.csv", "text,use_case\na,poems\n", ", row 2: use_case: 'poems' is none of generation, open_qa"),
        ("p.csv", "text,source\na,web\n", ", row 2: source: 'web' is none of plain, few_shot"),
        ("p.csv", "text,organisation\na,b\n", ", row 2: organisation: no such column; did you mean organization?"),
        ("p.csv", "text,User ID\na,b\n", ", row 2: User ID: no such column; did you mean user_id?"),
        ("p.csv", "Text\na\n", ", row 2: Text: no such column; did you mean text?"),
        ("p.csv", "text\na\0b\n", ", row 2: text: holds the character U+0000; take it out"),
        ("p.csv", "text,user\na," + "u" * 201 + "\n", ", row 2: user: String should have at most 200 characters"),
        ("p.jsonl", '{"text": "a"}\n{"text": "b"\n', ", row 2: is not JSON: Expecting"),
        ("p.jsonl", '{"text": "a"}\n["b"]\n', ", row 2: is not a JSON object like"),
        ("p.jsonl", '{"text": 5}\n', ", row 1: text: is 5; it should be text"),
        ("p.jsonl", '{"text": "a", "user": true}\n', ", row 1: user: is true; it should be text"),
        ("p.jsonl", '{"text": "a", "user": ["b"]}\n', ', row 1: user: is ["b"]; it should be text'),
        ("p.jsonl", '{"text": "a\\ud83d"}\n', ", row 1: text: holds half a character (the lone surrogate U+D83D)"),
        ("p.jsonl", "[" * 100_000, ", row 1: is not JSON"),
        ("p.jsonl", b'{"text": "\xff"}', ", row 1: byte 0xff is not UTF-8"),
        ("p.xlsx", "text", ': .xlsx is a file of a spreadsheet; save it as "CSV UTF-8" there'),
        ("p.docx", "text", ": cannot tell what .docx is; say .jsonl, .json, .csv or .tsv"),
        ("p", "text", ": cannot tell what no ending is"),
    ],
)
def test_a_bad_file_is_one_clear_line(file, name, content, says):
    assert said(file(name, content)).startswith(says)


def chat(*said: tuple[str, str]) -> list[dict]:
    return [{"role": role, "content": text} for role, text in said]


def test_a_conversation_is_a_prompt_with_what_was_said_before(file):
    rows = [
        {
            "messages": chat(("system", "be brief"), ("user", "hello"), ("assistant", "hi"), ("user", "who?")),
            "user": "7",
        },
        {"messages": chat(("user", "who has a goat?"))},
    ]
    first, second = read_prompts(file("p.jsonl", "\n".join(map(json.dumps, rows))))
    assert (first.text, first.user) == ("who?", "7")
    assert [(turn.role, turn.text) for turn in first.before] == [
        ("system", "be brief"), ("user", "hello"), ("assistant", "hi"),
    ]  # fmt: skip
    assert second == Prompt.make("who has a goat?")


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ("hello", ', row 1: messages: is "hello"; it should be [{"role"'),
        ([{"role": "user"}], ", row 1: messages: is [{"),
        (chat(("user", "a"), ("assistant", "b")), ", row 1: messages: the user should speak last"),
        (
            chat(("robot", "a"), ("user", "b")),
            ", row 1: messages: role: Input should be 'system', 'user' or 'assistant'",
        ),
        (chat(("user", "a"), ("user", "b")), ", row 1: before: after a system's turn or none, user and assistant"),
        (chat(("user", "a\0"), ("assistant", "b"), ("user", "c")), ", row 1: messages: holds the character U+0000"),
        (chat(("user", "a\ud83d"), ("assistant", "b"), ("user", "c")), ", row 1: messages: holds half a character"),
    ],
)
def test_a_bad_conversation_is_one_clear_line(file, messages, says):
    assert said(file("p.jsonl", json.dumps({"messages": messages}))).startswith(says)


def test_a_missing_file_is_one_clear_line(tmp_path: Path):
    with pytest.raises(BadRow, match=r"none\.csv: cannot be read: No such file"):
        list(read_prompts(tmp_path / "none.csv"))


@pytest.mark.parametrize("name", ["context", "test", "next", "users", "uses", "id", "created_at", "region"])
def test_other_columns_are_left_alone(file, name):
    assert [p.text for p in read_prompts(file("p.csv", f"text,{name}\na,b\n"))] == ["a"]
