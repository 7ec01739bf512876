"""A form that was wrong comes again with what was typed, and the reason beside the field."""

import re

import pytest

from biddable.label.access import ACCESS
from biddable.label.again import PAGES, refill
from biddable.label.desk import HERE
from biddable.records import Completion, Prompt

BROWSER = {"accept": "text/html"}


@pytest.fixture
def owner(person):
    return person("olga", "owner", "researcher")[0]


def test_a_job_that_compares_one_model_comes_again_as_it_was_typed(owner, store):
    prompt = Prompt(id="p", text="Say a thing.", split="train")
    store.add_many([prompt, *(Completion(id=r, prompt_id="p", text=r, run_id=f"run {r}") for r in "abc")])
    sent = {"kind": "compare", "title": "Ours & theirs", "skills": '<b>"law"', "runs": "run b", "split": "valid"}
    answer = owner.post("/manage/jobs", data=sent, headers=BROWSER)
    assert answer.status_code == 400
    assert '<input type="radio" name="kind" value="compare" checked>' in answer.text
    assert '<input type="radio" name="kind" value="rank">' in answer.text
    assert 'value="Ours &amp; theirs"' in answer.text
    assert 'value="&lt;b&gt;&quot;law&quot;"' in answer.text
    assert '<option value="valid" selected>' in answer.text
    assert 'value="run b" checked' in answer.text
    assert 'value="run a">' in answer.text
    beside = r'<legend>Answers of which runs</legend><span class="error" role="alert">say which two'
    assert re.search(beside, answer.text)


def test_a_number_that_is_too_small_has_its_reason_beside_it(owner):
    answer = owner.post("/manage/jobs", data={"kind": "write", "count": "0", "title": "Letters"}, headers=BROWSER)
    assert answer.status_code == 422
    field = re.search(r'<input type="number" name="count"[^>]*>(<span class="error"[^<]*)', answer.text)
    assert field
    assert 'aria-invalid="true"' in field[0]
    assert "greater than or equal to 1" in field[1]
    assert 'value="0"' in field[0]
    assert 'value="Letters"' in answer.text


def test_names_that_one_has_already_are_not_lost(owner):
    answer = owner.post("/manage/people/many", data={"names": "Ann\nolga", "group": "held_out"}, headers=BROWSER)
    assert answer.status_code == 400
    assert "<details open><summary>Invite many at once" in answer.text
    assert ">\nAnn\nolga</textarea>" in answer.text
    assert '<option value="held_out" selected>' in answer.text


def test_a_file_that_is_wrong_leaves_what_was_chosen_beside_it(owner):
    files = {"file": ("prompts.pdf", b"%PDF")}
    answer = owner.post("/manage/prompts/file", data={"source": "few_shot"}, files=files, headers=BROWSER)
    assert answer.status_code == 400
    assert '<option value="few_shot" selected>' in answer.text
    assert "prompts.pdf" in answer.text


def test_what_is_no_form_at_all_is_answered_too(owner):
    headers = BROWSER | {"content-type": "multipart/form-data; boundary=x"}
    for path in ("/manage/people", "/manage/prompts/file"):
        answer = owner.post(path, content=b"--x\r\nnothing of the kind", headers=headers)
        assert answer.status_code in (400, 422)
        assert "<form method" in answer.text


def test_a_script_is_answered_in_json_and_who_may_not_with_the_door(owner, person):
    assert owner.post("/manage/jobs", data={"kind": "write", "count": "0"}).json()["detail"].startswith("count: ")
    ann, _ = person("ann")
    answer = ann.post("/manage/jobs", data={"kind": "write"}, headers=BROWSER)
    assert answer.status_code == 403
    assert "<form method" not in answer.text.replace('<form class="out" method', "")


PAGE = """<form action="/x"><label>A <input name="a" value="1"></label><textarea name="t">old</textarea></form>
<form action="/y"><input type="checkbox" name="c" value="1" checked><input type="hidden" name="h" value="k">
<input type="password" name="p"><select name="s"><option>one</option><option selected>two</option></select></form>"""


def test_each_kind_of_field_is_filled_and_the_other_form_is_left():
    assert refill(PAGE, "/z", {}, {}) is None
    sent = {"c": [], "h": ["other"], "p": ["secret"], "s": ["one"]}
    filled = refill(PAGE, "/y", sent, {"s": "is wrong", "": "Look again."})
    assert filled is not None
    first, second = filled.split("\n", 1)
    assert first == PAGE.split("\n")[0]
    assert second == (
        '<form action="/y"><p class="warn" role="alert" tabindex="-1" autofocus>Look again.</p>'
        '<input type="checkbox" name="c" value="1"><input type="hidden" name="h" value="k">\n'
        '<input type="password" name="p"><select name="s" aria-invalid="true" autofocus>'
        "<option selected>one</option><option>two</option></select>"
        '<span class="error" role="alert">is wrong</span></form>'
    )


def test_the_templates_are_written_so_that_they_can_be_read():
    """A `>` within an attribute would end its tag too early."""
    for path in sorted((HERE / "templates").glob("*.html")):
        bare = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for tag in re.findall(r"<(?:form|input|select|option|textarea|details)\b[^>]*>", bare):
            assert tag.count('"') % 2 == 0, (path.name, tag)


def test_every_form_of_the_managers_is_known():
    """But for those of one thing to decide, which has nothing typed that a person could get wrong."""
    decided = {"/manage/tasks/{task}/read", "/manage/screening/decide/{labeler}"}
    own = {"/manage/screening/rate/{answer}", "/manage/review/{task}/blind", "/manage/review/{task}/final"}
    there = {path for method, path in ACCESS if method == "POST" and path.startswith("/manage")}
    assert there - decided - own == set(PAGES)
    assert {("GET", page) for page in PAGES.values()} <= ACCESS.keys()
