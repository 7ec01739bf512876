"""The list of prompts, and the page of one: what hangs on it, another text, taking it out, closing its tasks."""

import re

import pytest
from sqlalchemy import event
from team import hire, rank_job, ranked, stock, true_worth, work_on

from biddable.records import Prompt
from biddable.store import catalogue, history, progress, verify, work
from biddable.store.catalogue import Wanted

BROWSER = {"accept": "text/html"}
OPEN = {"follow_redirects": True}


@pytest.fixture
def owner(person):
    return person("olga", "owner", "researcher")[0]


def prompt(n: int, text: str = "", **more) -> Prompt:
    return Prompt(id=f"q{n:03}", text=text or f"Say {n}.", **({"split": "train"} | more))


def sound(store) -> bool:
    with store.reading() as connection:
        return verify.verify(connection).sound


def test_the_list_is_searched_and_paged_by_key(owner, store):
    of = {"source": "few_shot", "use_case": "open_qa", "organization": "acme"}
    store.add_prompts([*(prompt(n) for n in range(60)), prompt(60, "Why 100% of GOATS_?", split="test", **of)])
    page = owner.get("/manage/prompts").text
    assert page.count('href="/manage/prompts/one?id=') == 50
    (more,) = re.findall(r'href="(\?[^"]*after=[^"]*)#all"', page)
    rest = owner.get("/manage/prompts" + more.replace("&amp;", "&")).text
    assert re.findall(r"id=(q\d+)", rest) == [f"q{n:03}" for n in range(50, 61)]
    for query in ("q=goats_", "q=100%25", "split=test", "source=few_shot", "use_case=open_qa", "q=goats&split=test"):
        page = owner.get(f"/manage/prompts?{query}").text
        assert re.findall(r"id=(q\d+)", page) == ["q060"], query
    assert '>acme</td><td class="wide">open qa</td>' in page
    assert "None is like that." in owner.get("/manage/prompts?q=goats&split=train").text
    assert owner.get("/manage/prompts?q=s_y").text.count("prompts/one?id=") == 0  # it is no pattern


def test_paging_looks_at_no_more_than_a_page(store):
    """By key and not by number: SQLite begins at the key, and sorts nothing."""
    store.add_prompts(prompt(n) for n in range(300))
    with store.reading() as connection:
        asked = []
        event.listen(connection, "before_cursor_execute", lambda *a: asked.append((a[2], a[3])))
        assert [one.prompt.id for one in catalogue.some(connection, Wanted(), "q100", 2)] == ["q101", "q102"]
        plans = [
            row.detail
            for statement, parameters in asked[:1]
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert all("SEARCH" in plan for plan in plans), plans
    assert not [plan for plan in plans if "TEMP B-TREE" in plan]


def test_one_of_which_nothing_was_made_is_mended_with_its_tasks_and_taken_out(owner, store, app):
    owner.post("/manage/prompts/paste", data={"text": "Explain teh tides.", "each": "line"})
    (one,) = store.prompts()
    sent = {"kind": "write", "title": "Write", "what": {"split": one.split}, "settings": {"doubly": 0, "fivefold": 0}}
    job = owner.post("/api/jobs", json=sent).json()["job"]
    page = owner.get(f"/manage/prompts/one?id={one.id}").text
    assert "1 to be done" in page
    assert "Explain teh tides.</textarea>" in page

    again = owner.post("/manage/prompts/one/mend", data={"id": one.id, "text": " "}, headers=BROWSER)
    assert again.status_code == 400
    assert re.search(r'<textarea name="text"[^>]*aria-invalid[^>]*>\n </textarea><span class="error"', again.text)
    sent = {"id": one.id, "text": "Explain the tides."}
    page = owner.post("/manage/prompts/one/mend", data=sent, **OPEN)
    assert "Changed." in page.text
    (now,) = store.prompts()
    assert (now.text, now.split, now.source) == ("Explain the tides.", one.split, one.source)
    assert now.id != one.id
    assert sound(store)
    task = owner.post("/api/claim", json={"job": job}).json()["task"]
    assert "Explain the tides." in str(task)

    gone = owner.post("/manage/prompts/one/out", data={"id": now.id}, headers=BROWSER)
    assert gone.status_code == 400  # somebody has it in their hands
    assert "something was made of this prompt by now" in gone.text

    owner.post("/manage/prompts/paste", data={"text": "Nothing of this."})
    (other,) = (p for p in store.prompts() if p.id != now.id)
    owner.post(f"/manage/jobs/{job}/fill", data={})
    page = owner.post("/manage/prompts/one/out", data={"id": other.id}, **OPEN)
    assert "The prompt is taken out" in page.text
    assert [p.id for p in store.prompts()] == [now.id]
    assert owner.get(f"/manage/prompts/one?id={other.id}").status_code == 404
    assert sound(store)
    told = [(line.what, line.key) for line in app.state.desk.read(history.lines, 0, "prompt taken back", "", 9)]
    assert told == [("prompt taken back", other.id), ("prompt taken back", one.id)]

    owner.post("/manage/prompts/paste", data={"text": "Nothing of this."})  # it may come again
    assert len(list(store.prompts())) == 2
    assert sound(store)


def test_one_that_was_worked_on_stays_and_its_tasks_are_closed(owner, store):
    stock(store, 2)
    job = rank_job(store, doubly=1, disagree=0.1)
    ann, ben = hire(store, "ann"), hire(store, "ben")
    work_on(store, ann, lambda held: ranked(held, true_worth), store.clock(), job)
    page = owner.get("/manage/prompts/one?id=p0000").text
    assert "1 answer of run-a" in page
    assert "1 ranking</li>" in page
    assert "1 done, 1 to be done" in page or "1 to be done, 1 done" in page
    assert "Take out" not in page
    assert "Nobody is given a task" in owner.post("/manage/prompts/one/close", data={"id": "p0000"}, **OPEN).text
    seen = []
    work_on(store, ben, lambda held: seen.append(held.prompt.id) or ranked(held, true_worth), store.clock(), job)
    assert seen == ["p0001"]
    page = owner.get(f"/manage/jobs/{job.id}").text
    assert '<span class="figure">0</span> left' in page
    assert sound(store)
    assert owner.post("/manage/prompts/one/out", data={"id": "p0000"}).status_code == 400


def test_a_closed_task_that_somebody_skipped_is_not_counted_twice(owner, store):
    stock(store, 1)
    job = rank_job(store)
    ann = hire(store, "ann")
    with store.writing() as connection:
        held = work.claim(connection, ann, store.clock(), job.id)
        work.leave(connection, ann, held.task, "skip", "unclear", "", store.clock())
    owner.post("/manage/prompts/one/close", data={"id": "p0000"})
    with store.reading() as connection:
        assert progress.of(connection, job, store.clock()).left == 0


def test_a_labeler_sees_none_of_it(person, store):
    ann, _ = person("ann")
    store.add_prompts([prompt(1)])
    assert ann.get("/manage/prompts/one?id=q001").status_code == 403
    assert ann.post("/manage/prompts/one/out", data={"id": "q001"}).status_code == 403
