"""Whoever brings prompts or labels in stands in the history, by number, with what they brought."""

import json

import pytest

from biddable.records import Demonstration, Labeler, Prompt, to_line
from biddable.store import history

OPEN = {"follow_redirects": True}


@pytest.fixture
def max_(person):
    return person("max", "manager")


def lines(app, what: str) -> list[tuple[str, str | None, str | None]]:
    found = app.state.desk.read(history.lines, 0, what, "", 100)
    return [(one.key, one.who, one.detail) for one in found]


def test_prompts_that_are_pasted_or_uploaded(app, max_):
    client, account = max_
    client.post("/manage/prompts/paste", data={"text": "Say a thing.\nSay another."})
    client.post("/manage/prompts/file", files={"file": ("some.jsonl", b'{"text": "Say a third thing."}')})
    client.post("/manage/prompts/file", files={"file": ("some.jsonl", b'{"text": "Say a third thing."}')})  # again
    assert lines(app, "prompts added") == [
        ("some.jsonl", account.labeler, "1"), ("pasted", account.labeler, "2"),
    ]  # fmt: skip


def test_labels_that_are_imported_and_those_that_do_not_fit(app, max_):
    client, account = max_
    said = [
        Labeler(id="elsewhere", group="training"),
        Prompt(id="p", text="Say a thing.", split="train"),
        Demonstration(prompt_id="p", text="A thing.", labeler="elsewhere"),
    ]
    text = "\n".join(to_line(one) for one in said).encode()
    sent = {"file": ("labels.jsonl", text)}
    assert "The labels are in the store." in client.post("/manage/data/import", files=sent, **OPEN).text
    ((name, who, detail),) = lines(app, "import")
    assert (name, who) == ("labels.jsonl", account.labeler)
    assert detail.endswith(": 1 demonstration, 1 labeler, 1 prompt")
    bad = json.dumps({"kind": "demonstration", "prompt_id": "q", "text": "x", "labeler": "elsewhere"}).encode()
    assert client.post("/manage/data/import", files={"file": ("bad.jsonl", bad)}).status_code == 400
    ((name, who, detail),) = lines(app, "import stopped")
    assert (name, who) == ("bad.jsonl", account.labeler)
    assert "bad.jsonl, row 1" in detail
