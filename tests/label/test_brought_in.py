"""Whoever brings prompts or labels in stands in the history, by number, with what they brought."""

import json
import re

import pytest
from served import settled

from biddable.records import Demonstration, Labeler, Prompt, to_line
from biddable.store import history

BROWSER = {"accept": "text/html"}


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
    page = client.post("/manage/data/import", files=sent).text
    assert "labels.jsonl: 1 new labeler, 1 new prompt, 1 new demonstration<" in page
    page = client.post("/manage/data/import", files=sent).text
    assert "labels.jsonl: nothing that is new<" in page
    assert "Known already: 1 labeler, 1 prompt, 1 demonstration." in page
    _, (name, who, detail) = lines(app, "import")
    assert (name, who) == ("labels.jsonl", account.labeler)
    assert detail.endswith(": 1 demonstration, 1 labeler, 1 prompt")
    bad = json.dumps({"kind": "demonstration", "prompt_id": "q", "text": "x", "labeler": "elsewhere"}).encode()
    assert client.post("/manage/data/import", files={"file": ("bad.jsonl", bad)}).status_code == 400
    ((name, who, detail),) = lines(app, "import stopped")
    assert (name, who) == ("bad.jsonl", account.labeler)
    assert "bad.jsonl, row 1" in detail


def test_answers_of_models_come_as_a_table_and_can_be_compared(app, max_):
    client, _ = max_
    client.post("/manage/prompts/paste", data={"text": "Say a thing."})
    (prompt,) = app.state.desk.store.prompts()
    table = "prompt;response;model\nSay a thing.;A thing.;ours\nSay a thing.;Some; theirs \nSay more.;More.;ours\n"
    page = client.post("/manage/data/import", files={"file": ("answers.csv", table.encode())}).text
    assert "answers.csv: 1 new prompt, 3 new completions<" in page
    assert "Known already: 1 prompt." in page
    made = {(one.prompt_id == prompt.id, one.run_id, one.text) for one in app.state.desk.store.completions()}
    assert made == {(True, "ours", "A thing."), (True, "theirs", "Some"), (False, "ours", "More.")}
    assert not list(app.state.desk.store.demonstrations())
    sent = {"kind": "compare", "runs": ["ours", "theirs"], "split": prompt.split}
    assert "The job is made" in client.post("/manage/jobs", data=sent, follow_redirects=True).text


def test_what_is_wrong_with_a_file_is_said_beside_its_field(max_):
    client, _ = max_
    bad = b'prompt,answer,model\na,,m\nb,"",m\nc,x,m\n'
    for name, content, says in (
        ("a.csv", bad, "a.csv: 2 of 3 rows are wrong, so none was taken: row 2: answer: the answer is empty"),
        ("a.csv", "prompt,answer,model\nä,x,m\n".encode("latin-1"), "save it as UTF-8 (in a spreadsheet"),
        ("a.xlsx", b"PK", "save it as &quot;CSV UTF-8&quot; there"),
        ("a.csv", b"prompt,user\na,b\n", "has the columns prompt, user; wanted are messages"),
    ):
        page = client.post(
            "/manage/data/import", data={"valid": "12"}, files={"file": (name, content)}, headers=BROWSER
        )
        assert page.status_code == 400
        assert page.text.count(says) == 1
        assert page.text.index('name="file"') < page.text.index(says) < page.text.index("What may stand in a row")
        assert 'name="valid" min="0" max="99" step="any" value="12"' in page.text
    page = client.post("/manage/data/import", data={"test": "no"}, files={"file": ("a.csv", bad)}, headers=BROWSER)
    assert "<details open><summary>What may stand" in page.text


def test_personal_data_that_is_brought_in_is_told_of(max_):
    client, _ = max_
    row = "Mail ada@example.com,Gladly.,m,"
    table = f"prompt,answer,model,split\nSay a thing.,A thing.,m,train\n{row}test\nOr ben@example.com,No,m,train\n"
    page = client.post("/manage/data/import", files={"file": ("a.csv", table.encode())}).text
    page = re.sub("<a [^>]*>|</a>", "", page)
    assert "1 prompt for evaluation holds personal data (row 3: email). They are kept; look at them." in page
    assert "1 prompt holds personal data (row 4: email). What is here will be learnt from" in page


def test_personal_data_in_prompts_to_evaluate_is_told_of(app, max_):
    client, _ = max_
    lines = "".join(f'{{"text": "Ring me, {n}, at 0170 12345{n:02}.", "user": "u{n}"}}\n' for n in range(60))
    page = client.post("/manage/prompts/file", files={"file": ("a.jsonl", lines.encode())}).text
    kept = {one.id for one in app.state.desk.store.prompts()}
    assert 2 < len(kept) < 40
    assert f"{len(kept)} prompts for evaluation hold personal data: they are kept; look at them." in page
    assert f"{60 - len(kept)} with personal data" in page
    assert set(re.findall(r'one\?id=([^"]+)">phone<', page)) <= kept


def test_votes_come_in_and_nobody_leans_by_them(app, max_):
    client, _ = max_
    header = "prompt,answer_a,answer_b,model_a,model_b,winner"
    table = f"{header}\nSay a thing.,A thing.,Some.,ours,theirs,ours\nSay more.,More.,No.,ours,theirs,tie\n"
    sent = {"file": ("votes.csv", table.encode())}
    page = client.post("/manage/data/import", data={"valid": "", "test": ""}, files=sent).text
    assert "votes.csv: 1 new labeler, 2 new prompts, 4 new completions, 2 new verdicts<" in page
    assert "In this file no row names who said it" in page
    store = app.state.desk.store
    assert {one.split for one in store.prompts()} == {"test"}, "votes teach nothing"
    runs = {one.id: one.run_id for one in store.completions()}
    assert {(runs[one.a], runs[one.b], one.better, one.shown) for one in store.verdicts()} == {
        ("ours", "theirs", "a", "unknown"), ("ours", "theirs", "tie", "unknown"),
    }  # fmt: skip
    assert "Where two answers are compared" not in settled(client, "/manage/quality")
    signed = f"{header},labeler\nSay it.,It.,Some.,ours,theirs,b,ann\n".encode()
    page = client.post("/manage/data/import", data={"test": "0"}, files={"file": ("v.csv", signed)}).text
    assert "no row names who said it" not in page
    assert {one.text: one.split for one in store.prompts()}["Say it."] == "train", "as was said"


def test_a_vote_that_is_wrong_is_told_and_none_of_its_file_is_taken(app, max_):
    client, _ = max_
    table = b"prompt,answer_a,answer_b,model_a,model_b,winner\na,x,y,m,n,a\na,x,y,m,n,c\n"
    page = client.post("/manage/data/import", files={"file": ("v.csv", table)}, headers=BROWSER)
    assert page.status_code == 400
    says = "v.csv, row 3: winner: is &quot;c&quot;; it should be a, b, tie, or the name of one of the two models"
    assert page.text.count(says) == 1
    assert not list(app.state.desk.store.completions())
