"""The four parts of the paper's screening, consent, and surveys that know nobody."""

import json
import re
import sqlite3
from datetime import timedelta

import pytest
from served import client_of
from team import hire, ranked, stock, true_worth, work_on

from biddable.label import screening
from biddable.store import accounts, jobs, team
from biddable.store.work_tables import answers

OPEN = {"follow_redirects": True}


@pytest.fixture
def owner(person):
    client, _ = person("olga", "owner", "researcher")
    return client


@pytest.fixture
def signed_in(app, owner):
    """signed_in(account): somebody who was hired, in a browser of theirs."""
    clients = []

    def make(account):
        token = app.state.desk.write(accounts.open_door, account.labeler, "session", app.state.desk.now())
        clients.append(client_of(str(owner.base_url), cookies={"biddable": token}, **OPEN))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def answer(held, flag, turn=1):
    if held.job.kind == "write":
        return json.dumps({"text": f"I would say this of {held.prompt.id}."})
    return ranked(held, lambda answer, place: turn * true_worth(answer, place), flag)


@pytest.fixture
def tested(owner, store, app):
    """A test that a researcher and two candidates took: one says what she says, one the opposite."""
    stock(store, 6, split="valid")
    made = owner.post("/manage/screening", data={"ranked": "4", "written": "2", "split": "valid"}, **OPEN)
    assert made.status_code == 200, made.text
    rita, good, poor = (
        hire(store, "rita", "researcher"),
        hire(store, "gus", "candidate"),
        hire(store, "pat", "candidate"),
    )
    now = app.state.desk.now()
    rude = "d"
    assert work_on(store, rita, lambda held: answer(held, lambda c: c.id.endswith(rude)), now) == 6
    assert work_on(store, good, lambda held: answer(held, lambda c: c.id.endswith(rude)), now) == 6
    assert work_on(store, poor, lambda held: answer(held, lambda c: not c.id.endswith(rude), -1), now) == 6
    return rita, good, poor


def cards(store):
    with store.reading() as connection:
        return {card.labeler: card for card in screening.cards(connection)}


def test_the_report_card_has_four_parts(owner, store, tested, signed_in):
    rita, good, poor = tested
    found = cards(store)
    assert (found[good.labeler].sensitive.value, found[good.labeler].ranking.value) == (1.0, 1.0)
    assert (found[poor.labeler].sensitive.value, found[poor.labeler].ranking.value) == (0.0, 0.0)
    assert found[good.labeler].demonstrations is None

    researcher = signed_in(rita)
    with store.writing() as connection:
        accounts.change(connection, rita.labeler, store.clock(), None, role="adjudicator")
    researcher = signed_in(rita)
    texts = []
    for _ in range(4):  # two demonstrations of each candidate
        page = researcher.get("/manage/screening/rate").text
        number = page.split("/manage/screening/rate/")[1].split('"')[0]
        with store.reading() as connection:
            author = next(one.labeler for one in team.tested(connection) if one.answer == int(number))
        texts.append(page)
        assert "gus" not in page
        assert "pat" not in page
        assert author not in page
        researcher.post(f"/manage/screening/rate/{number}", data={"overall": "7" if author == good.labeler else "3"})
    assert "Nothing waits to be rated." in researcher.get("/manage/screening/rate").text
    found = cards(store)
    assert (found[good.labeler].demonstrations.value, found[poor.labeler].demonstrations.value) == (7.0, 3.0)
    assert found[good.labeler].meets == (True, True, True)
    assert found[poor.labeler].meets == (False, False, False)
    page = owner.get("/manage/screening").text
    assert good.labeler in page
    assert ">gus<" not in page  # by number, so that the work is judged


def test_a_candidate_says_what_they_know_and_sees_no_one_else(tested, signed_in, owner):
    _, good, poor = tested
    client = signed_in(good)
    page = client.post("/screening/topics", data={"text": "Football, and my village."}).text
    assert "Kept." in page
    assert "4 of 4 done" in page
    assert "Football, and my village." in owner.get("/manage/screening").text
    assert "Football" not in signed_in(poor).get("/screening").text
    assert client.get("/manage/screening").status_code == 403


def test_the_manager_decides_whatever_the_figures_say(owner, store, tested, signed_in):
    _, good, poor = tested
    assert owner.post(f"/manage/screening/decide/{poor.labeler}", data={"accepted": "true", "note": "kind"}, **OPEN)
    with store.reading() as connection:
        assert accounts.of(connection, poor.labeler).group == "training"
        (kept,) = team.decided(connection, poor.labeler)
    assert (kept.accepted, kept.note, kept.card["ranking"]["value"]) == (True, "kind", 0.0)
    assert "You are taken." in signed_in(poor).get("/screening").text
    owner.post(f"/manage/screening/decide/{good.labeler}", data={"accepted": "false"})
    assert "You can try again from" in signed_in(good).get("/screening").text
    again = owner.post(
        f"/manage/screening/decide/{poor.labeler}", data={"accepted": "false"}, headers={"accept": "text/html"}
    )
    assert again.status_code == 404  # no candidate any more


def test_who_was_not_taken_may_try_another_test_after_thirty_days(owner, store, tested, app):
    _, good, _ = tested
    owner.post(f"/manage/screening/decide/{good.labeler}", data={"accepted": "false"})
    stock(store, 8, split="valid", start=50)
    owner.post("/manage/screening", data={"ranked": "8", "written": "3", "split": "valid"})
    now = app.state.desk.now()
    assert work_on(store, good, lambda held: answer(held, None), now + timedelta(days=29)) == 0
    assert work_on(store, good, lambda held: answer(held, None), now + timedelta(days=31)) > 0
    card = cards(store)[good.labeler]
    assert card.sensitive.value < 1.0  # of the new test alone: nothing was flagged
    assert len(card.before) == 1


def test_another_test_is_seen_and_counted_by_itself(owner, store, tested, signed_in):
    _, good, _ = tested
    with store.writing() as connection:
        long_ago = store.clock() - timedelta(days=40)
        for job in jobs.all_of(connection):
            jobs.set_state(connection, job.id, "closed", long_ago)
        connection.execute(answers.update().values(at=long_ago))
        team.decide(connection, good.labeler, False, {}, "", long_ago + timedelta(hours=1), good.labeler)
    stock(store, 8, split="valid", start=50)
    owner.post("/manage/screening", data={"ranked": "4", "written": "3", "split": "valid"})
    client = signed_in(good)

    def done() -> list[str]:
        return re.findall(r"(\d+ of \d+) done", client.get("/screening").text)

    assert done() == ["0 of 4", "0 of 3"]
    assert client.get("/screening").text.count("Go on") == 2
    assert "0 of 7 tasks done" in owner.get("/manage/screening").text
    assert work_on(store, good, lambda held: answer(held, None), store.clock(), most=5) == 5
    assert done() == ["4 of 4", "1 of 3"]
    assert "5 of 7 tasks done" in owner.get("/manage/screening").text
    with store.writing() as connection:  # the first test again: what was done of it is not asked for anew
        for job in jobs.all_of(connection):
            jobs.set_state(connection, job.id, "open", store.clock())
    assert (cards(store)[good.labeler].answered, cards(store)[good.labeler].tasks) == (5, 7)


def test_a_test_that_cannot_be_made_leaves_nothing(owner, store, app):
    stock(store, 2, split="train")
    answer = owner.post("/manage/screening", data={"split": "valid"}, headers={"accept": "text/html"})
    assert answer.status_code == 400
    assert "choose another" in answer.text
    assert app.state.desk.read(jobs.all_of) == []


# Consent.


def test_once_a_consent_is_published_nobody_works_before_they_agree(owner, store, person):
    stock(store, 3)
    owner.post("/api/jobs", json={"kind": "rank", "title": "Rank"})
    ann, account = person("ann")
    assert ann.post("/api/claim", json={}).status_code == 200
    owner.post("/manage/guidelines", data={"purpose": "consent", "text": "We keep your answers."})
    refused = ann.post("/api/claim", json={})
    assert refused.status_code == 409
    assert "/consent" in refused.json()["detail"]
    assert "read what happens with your work" in ann.get("/").text
    assert "We keep your answers." in ann.get("/work", **OPEN).text
    page = ann.get("/consent").text
    version = page.split('name="version" value="')[1].split('"')[0]
    assert ann.post("/consent", data={"version": "g-other"}).status_code == 400
    assert "You can begin." in ann.post("/consent", data={"version": version}, **OPEN).text
    assert ann.post("/api/claim", json={}).status_code == 200
    owner.post("/manage/guidelines", data={"purpose": "consent", "text": "We keep your answers for ever."})
    assert ann.post("/api/claim", json={}).status_code == 409
    with store.reading() as connection:
        rows = connection.exec_driver_sql("SELECT what, who FROM changes WHERE what = 'consent'").all()
    assert [tuple(row) for row in rows] == [("consent", account.labeler)]


# Surveys.


def test_surveys_are_shown_in_fives_and_nothing_of_who_or_when_is_kept(owner, store, person, where):
    people = [person(f"person{n}") for n in range(7)]
    before = len(list(store.labelers()))
    with store.reading() as connection:
        changes = connection.exec_driver_sql("SELECT count(*) FROM changes").scalar()
    for n, (client, _) in enumerate(people):
        said = {"clear": "agree" if n else "strongly disagree", "pay": ""}
        assert "Kept." in client.post("/surveys/satisfaction", data=said, **OPEN).text
        client.post("/surveys/people", data={"age": "25 to 34", "origin": ["South Asian", "another"], "gender": "<b>"})
        page = owner.get("/manage/surveys").text
        if n < 4:
            assert f"{n + 1} of 5 answers are there" in page
            assert "strongly disagree" not in page
    assert "5 answers; 2 more wait until there are 5" in page
    assert "20 %" in page  # one of five disagreed
    assert "&lt;b&gt;" not in page
    with store.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM changes").scalar() == changes
    assert len(list(store.labelers())) == before
    file = sqlite3.connect(where)
    rows = file.execute("SELECT * FROM surveys").fetchall()
    text = json.dumps(rows)
    file.close()
    assert not any(account.labeler in text or account.name in text for _, account in people)
    months = {row[2] for row in rows}
    assert months == {store.clock().strftime("%Y-%m")}
    # In the file they lie by a random name, so not even their order tells who came first.
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
