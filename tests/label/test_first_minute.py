"""From an empty store to the first task by the forms alone, as a browser without script sends them."""

import json
import re

import pytest
from served import client_of

from biddable.records import Prompt
from biddable.store import jobs

OPEN = {"follow_redirects": True}


@pytest.fixture
def owner(person):
    client, _ = person("olga", "owner", "researcher")
    return client


def test_an_empty_store_guides_its_owner_to_the_first_task(owner):
    empty = owner.get("/manage").text
    assert "Begin here" in empty
    assert 'name="kind" value="prompt"' in empty  # with no prompts, people can write them

    pasted = "Explain tides.\n\n  Name three rivers. \nExplain tides.\n"
    page = owner.post("/manage/prompts/paste", data={"text": pasted, "each": "line"}).text
    assert "2 of 3 prompts are added" in page
    assert "1 that are here already" in page

    page = owner.get("/manage").text
    assert "Start “Write demonstrations”" in page
    page = owner.post("/manage/jobs", data={"kind": "write"}, **OPEN)
    assert "The job is made, and open." in page.text
    task = owner.get("/work")
    assert task.status_code == 200
    assert "Explain tides." in task.text or "Name three rivers." in task.text


def test_paragraphs_keep_their_lines(owner, app):
    owner.post("/manage/prompts/paste", data={"text": "one\ntwo\r\n\r\nthree", "each": "paragraph"})
    assert {prompt.text for prompt in app.state.desk.store.prompts()} == {"one\ntwo", "three"}


def test_a_file_is_gathered_whether_from_a_form_or_a_script(owner, app):
    rows = [{"text": f"Tell me about river number {n}", "user": f"u{n}"} for n in range(30)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    page = owner.post("/manage/prompts/file", files={"file": ("rivers.jsonl", lines)}, data={"source": "customer"})
    assert "30 of 30 prompts are added" in page.text
    table = b"prompt,user\nWhat is rain?,ann\nWhat is rain?,ben\n"
    page = owner.post("/manage/prompts/file?name=rain.csv", content=iter([table[:9], table[9:]]))
    assert "1 of 2 prompts are added" in page.text
    assert app.state.desk.store.counts()["prompts"] == 31


def test_a_bad_row_is_named_with_the_file_as_it_was_called_and_nothing_is_kept(owner, app):
    bad = b'{"text": "fine"}\n{"text": ""}\n'
    page = owner.post("/manage/prompts/file", files={"file": ("mine.jsonl", bad)})
    assert page.status_code == 400
    assert "mine.jsonl, row 2: text: is empty" in page.text
    assert app.state.desk.store.counts()["prompts"] == 0
    page = owner.post("/manage/prompts/file", files={"file": ("mine.exe", bad)}, headers={"accept": "text/html"})
    assert page.status_code == 400
    assert "mine.exe" in page.text


def test_a_large_upload_is_not_bounded_but_other_bodies_are(owner):
    text = "river " * 200_000  # 1.2 MB, more than other requests may have
    line = (
        json.dumps({"text": "What of this? " + text[:900_000], "user": "u"})
        + "\n"
        + json.dumps({"text": text[:600_000]})
    )
    assert "2 of 2 prompts" in owner.post("/manage/prompts/file?name=a.jsonl", content=line.encode()).text
    assert owner.post("/manage/prompts/paste", data={"text": text}).status_code == 413


def test_only_managers_may_bring_prompts_and_a_stranger_is_refused_before_the_body_is_read(person, url):

    ann, _ = person("ann")
    with client_of(url) as stranger:
        for client, status in ((ann, 403), (stranger, 303)):
            answer = client.post("/manage/prompts/file?name=a.jsonl", content=b'{"text": "mine"}')
            assert answer.status_code == status


def test_an_invitation_is_shown_once_and_lets_its_person_in(owner, url, app):

    page = owner.post("/manage/people", data={"name": "ben", "role": "labeler", "group": "training"}).text
    (link,) = re.findall(r'value="(http[^"]+/join/[^"]+)"', page)
    assert link.startswith(url)
    assert link not in owner.get("/manage/people").text
    with client_of(follow_redirects=True) as ben:
        home = ben.post(link, data={"password": "correct horse battery"})
        assert "Hello, ben" in home.text


def test_a_manager_makes_no_owner_and_nobody_closes_their_own_account(owner, person, app):
    manager, account = person("mara", "manager", "researcher")
    assert manager.post("/manage/people", data={"name": "x", "role": "owner"}).status_code == 403
    _, ben = person("ben")
    changed = {"role": "manager", "group": "training", "state": "active"}
    assert manager.post(f"/manage/people/{ben.labeler}", data=changed).status_code == 403
    closed = {"role": "labeler", "group": "training", "state": "closed"}
    assert manager.post(f"/manage/people/{ben.labeler}", data=closed, **OPEN).status_code == 200
    mine = {"role": "manager", "group": "researcher", "state": "closed"}
    assert owner.post(f"/manage/people/{account.labeler}", data=mine, **OPEN).status_code == 200
    assert manager.get("/manage").status_code == 303  # her sessions ended


def test_held_out_people_stay_held_out(owner, person):
    _, hal = person("hal", "labeler", "held_out")
    changed = {"role": "labeler", "group": "training", "state": "active"}
    answer = owner.post(f"/manage/people/{hal.labeler}", data=changed)
    assert answer.status_code == 400
    assert "held out" in answer.text


# Guidelines.


def test_a_store_begins_with_guidelines_whose_order_of_aims_is_the_paper_s(owner, app):
    page = owner.get("/guidelines").text
    training, evaluation = page.index("While labeling for training"), page.index("While evaluating")
    assert "helpfulness comes first" in page[training:evaluation]
    assert "truth and harmlessness come before helpfulness" in page[evaluation:]
    assert [guide.number for guide in app.state.desk.read(jobs.guides)] == [1, 1]


def test_a_change_is_a_new_version_and_the_difference_is_shown(owner, app):
    now = app.state.desk.read(jobs.guide, "training")
    text = now.text.replace("helpfulness comes first", "helpfulness leads")
    page = owner.post("/manage/guidelines", data={"purpose": "training", "text": text}, **OPEN).text
    assert "This is the version that holds now." in page
    assert re.search(r"<del>\s*\*\*helpfulness\s*comes\s*first\*\*,</del>|<del>\s*comes\s*first\*\*,</del>", page)
    assert re.search(r"<ins>\s*leads\*\*,</ins>", page)
    page = owner.post("/manage/guidelines", data={"purpose": "training", "text": text}, **OPEN).text
    assert "no new version was made" in page
    assert [guide.number for guide in app.state.desk.read(jobs.guides, "training")] == [1, 2]
    old = owner.get(f"/guidelines/{now.id}").text
    assert "helpfulness comes first" in old


def test_settings_are_changed_and_the_history_says_how(owner, app):
    owner.post("/manage/prompts/paste", data={"text": "a prompt of mine"})
    store = app.state.desk.store
    store.add_prompts([Prompt(id="p", text="another one", split="train")])
    owner.post("/manage/jobs", data={"kind": "write", "title": "Mine"}, **OPEN)
    (job,) = app.state.desk.read(jobs.all_of)
    sent = {"title": "Ours", "doubly": "50", "fivefold": "0", "hourly": "12.5", "groups": ["training"]}
    page = owner.post(f"/manage/jobs/{job.id}/settings", data=sent, **OPEN).text
    assert "Changed." in page
    (changed,) = app.state.desk.read(jobs.all_of)
    assert (changed.title, changed.settings.doubly, changed.settings.groups) == ("Ours", 0.5, ("training",))
    assert changed.hourly_on(app.state.desk.now().date()) == 12.5  # nobody has worked for another pay
    owner.post(f"/manage/jobs/{job.id}/state", data={"state": "paused"})
    assert "Nothing to do now" in owner.get("/work").text
