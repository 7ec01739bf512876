"""What managers see: progress, agreement, leanings, checks, reviews, pay, plan, data, history, screening, surveys."""

import csv
import io
import json
import random
import re
from datetime import UTC, datetime, timedelta

import pytest
from served import client_of, settled
from sqlalchemy import select
from team import hire, rank_job, ranked, stock, taste, team, true_worth, work_on

from biddable.label import forms, measured
from biddable.label.access import ACCESS
from biddable.records import Ranking
from biddable.store import accounts, jobs, pay, quality, verify, work
from biddable.store.tables import changes
from biddable.store.work_tables import activity

OPEN = {"follow_redirects": True}
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def owner(person):
    client, _ = person("olga", "owner", "researcher")
    return client


PAGES = sorted(path for method, path in ACCESS if method == "GET" and "{" not in path and path != "/openapi.json")


@pytest.mark.parametrize("path", PAGES)
def test_each_page_is_there_in_an_empty_store(owner, path):
    assert owner.get(path, **OPEN).status_code == 200


def test_each_page_is_there_in_a_store_that_has_everything(owner, store):
    stock(store, 12)
    rank_job(store, doubly=1.0)
    rng = random.Random(0)
    for who in team(store, ["ann", "ben", "cy"]):
        work_on(store, who, lambda held: ranked(held, taste(rng)), NOON)
    for path in PAGES:
        page = owner.get(path, **OPEN)
        assert page.status_code == 200, (path, page.text)


def test_progress_rate_and_time_left(owner, store, app):
    stock(store, 20)
    job = rank_job(store)
    (ann,) = team(store, ["ann"])
    ago = app.state.desk.now() - timedelta(hours=48)
    with store.writing() as connection:
        jobs.set_state(connection, job.id, "paused", ago)
        jobs.set_state(connection, job.id, "open", ago)
    work_on(store, ann, lambda held: ranked(held, true_worth), ago, most=5)
    page = owner.get(f"/manage/jobs/{job.id}").text
    figures = re.findall(r'<span class="figure">([^<]*)</span>', page)
    assert figures[:4] == ["5", "15", "2.5", "about 6 days"]  # 5 in two days, 15 left: 6 days
    assert '>ann</th><td class="number">5</td>' in page


# Agreement and leanings.


def test_agreement_stands_beside_the_paper_s(owner, store):
    stock(store, 30)
    rank_job(store, doubly=1.0)
    for who in team(store, ["ann", "ben"]):
        work_on(store, who, lambda held: ranked(held, true_worth), NOON)
    page = settled(owner, "/manage/quality")
    row = re.search(r"<tr><th scope=\"row\">training labelers</th>(.*?)</tr>", page).group(1)
    assert "100.0&nbsp;%" in row  # both say the truth of all 30 × 6 pairs
    assert ">180</td>" in row
    assert "72.6 ± 1.5 %" in row


def test_who_leans_to_the_first_place_is_found_and_who_does_not_is_not(store):
    stock(store, 150)
    rank_job(store, doubly=1.0)
    rng = random.Random(1)
    ann, bea = team(store, ["ann", "bea"])
    work_on(store, ann, lambda held: ranked(held, taste(rng)), NOON)
    work_on(store, bea, lambda held: ranked(held, taste(rng, pull=1.0)), NOON)
    with store.reading() as connection:
        found = {one.labeler: one for one in measured.leans(quality.leanings(connection)).rankings}
    assert not found[ann.labeler].leans
    assert found[bea.labeler].leans
    assert found[bea.labeler].first.low > 0.6
    assert found[ann.labeler].rankings == found[bea.labeler].rankings == 150
    assert found[ann.labeler].by_chance == pytest.approx(1 / 24)  # 4! orders
    assert found[""].rankings == 300


def test_leanings_are_what_a_slow_count_says(store):
    stock(store, 25)
    rank_job(store)
    rng = random.Random(2)
    (ann,) = team(store, ["ann"])
    work_on(store, ann, lambda held: ranked(held, taste(rng)), NOON)
    length = {one.id: len(one.text) for one in store.completions()}
    first = longer = pairs = as_shown = 0
    for ranking in store.rankings():
        place = {name: n for n, name in enumerate(ranking.shown)}
        as_shown += [tier[0] for tier in ranking.order] == list(ranking.shown)
        for pair in ranking.comparisons():
            pairs += 1
            first += place[pair.winner] < place[pair.loser]
            longer += length[pair.winner] > length[pair.loser]
    with store.reading() as connection:
        (lean,) = measured.leans(quality.leanings(connection)).rankings
    assert lean.first.value == pytest.approx(first / pairs)
    assert lean.longer.value == pytest.approx(longer / pairs)
    assert lean.as_shown == pytest.approx(as_shown / 25)


# Jobs.


def test_a_large_job_goes_in_by_parts_so_that_people_at_work_need_not_wait(owner, store):
    stock(store, 2500)
    sent = {"kind": "rank", "title": "Rank", "purpose": "training", "settings": {"judge": False}}
    made = owner.post("/api/jobs", json=sent).json()
    assert made["tasks"] == 2500
    with store.reading() as connection:
        told = select(changes.c.detail).where(changes.c.what == "tasks added").order_by(changes.c.id)
        assert connection.execute(told).scalars().all() == ["1000", "1000", "500"]
    again = owner.post(f"/manage/jobs/{made['job']}/fill", data={}, **OPEN)
    assert "There was nothing to add" in again.text


# Hidden checks.


def test_checks_come_among_the_tasks_and_find_who_does_not_look(owner, store):
    stock(store, 60)
    researcher = hire(store, "rita", "researcher")
    key = rank_job(store)
    work_on(store, researcher, lambda held: ranked(held, true_worth), NOON, job=key, most=40)
    with store.writing() as connection:
        jobs.set_state(connection, key.id, "closed", NOON)
    stock(store, 200, start=100)
    job = rank_job(store, gold=0.2)
    page = owner.post(f"/manage/jobs/{job.id}/checks", data={"count": "40"}, **OPEN)
    assert "Hidden checks are added." in page.text
    good, careless = team(store, ["gail", "carl"])
    rng = random.Random(3)
    seen = []

    def honest(held):
        seen.append(held.gold is not None)
        return ranked(held, taste(rng, noise=0.2))

    work_on(store, good, honest, NOON, job=job, most=90)
    work_on(store, careless, lambda held: ranked(held, lambda _answer, _place: rng.random()), NOON, job=job, most=90)
    assert 0.08 < sum(seen) / len(seen) < 0.35  # 90 tasks at 20 %: 18 ± 3.8
    page = settled(owner, "/manage/checks")
    assert re.search(r"gail</th>.*?>good <small>\(after \d+\)", page)
    assert re.search(r"carl</th>.*?>doubtful: have a look", page)
    # No task is done twice, and a check says nothing of itself to its holder.
    assert len(set(store.rankings())) == store.counts()["rankings"]


def test_without_a_researcher_s_answers_there_are_no_checks_and_the_page_says_what_to_do(owner, store):
    stock(store, 6)
    job = rank_job(store)
    (ann,) = team(store, ["ann"])
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON, job=job, most=2)
    add = f"/manage/jobs/{job.id}/checks"
    page = owner.post(add, data={"count": "7"}, headers={"accept": "text/html"})
    assert page.status_code == 400
    assert "no researcher has done tasks of this kind" in page.text
    assert "all that fits is in the job already" not in page.text
    assert 'name="count" min="1" max="10000" value="7"' in page.text
    rita = hire(store, "rita", "researcher")
    work_on(store, rita, lambda held: ranked(held, true_worth), NOON, job=job)
    said = [owner.post(add, data={"count": "2"}, **OPEN).text for _ in range(3)]
    assert ["Hidden checks are added." in one for one in said] == [True, True, False]  # rita did four
    assert "all that fits is in the job already" in said[2]


def test_a_check_that_is_taken_out_is_handed_out_no_more(owner, store):
    stock(store, 3)
    rita = hire(store, "rita", "researcher")
    key = rank_job(store)
    work_on(store, rita, lambda held: ranked(held, true_worth), NOON, job=key)
    stock(store, 40, start=50)
    job = rank_job(store, gold=0.5)
    owner.post(f"/manage/jobs/{job.id}/checks", data={"count": "3"})
    page = settled(owner, "/manage/checks")
    tasks = re.findall(r'name="task" value="([^"]+)"', page)
    assert len(tasks) == 3
    for task in tasks:
        owner.post("/manage/checks/retire", data={"task": task})
    (ann,) = team(store, ["ann"])
    golds = []
    work_on(store, ann, lambda held: (golds.append(held.gold), ranked(held, true_worth))[1], NOON, job=job)
    assert golds == [None] * 40


# Review.


@pytest.fixture
def dispute(store):
    """Two people who say the opposite of one prompt, and the same of two others."""
    stock(store, 3)
    job = rank_job(store, doubly=1.0, fivefold=0)
    ann, ben = team(store, ["ann", "ben"])
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON)

    def contrary(held):
        turn = -1 if held.prompt.id == "p0001" else 1
        return ranked(held, lambda answer, place: turn * true_worth(answer, place))

    work_on(store, ben, contrary, NOON)
    return job, ann, ben


def test_a_dispute_is_ranked_blind_then_decided_and_nothing_is_overwritten(owner, store, dispute, person):
    page = settled(owner, "/manage/review")
    ((task, prompt),) = re.findall(r'href="/manage/review/([^"]+)">([^<]+)</a>', page)
    assert prompt == "p0001"
    before = {(r.prompt_id, r.labeler): r for r in store.rankings()}

    blind = owner.get(f"/manage/review/{task}").text
    assert "Rank it yourself first" in blind
    assert "Person 1" not in blind
    unfinished = owner.post(f"/manage/review/{task}/blind", data={"rank-A": "1"}, headers={"accept": "text/html"})
    assert unfinished.status_code == 400
    assert "B: has no rank yet" in unfinished.text
    early = owner.post(f"/manage/review/{task}/final", data={"cause": "slip"} | {f"rank-{x}": "1" for x in "ABCD"})
    assert early.status_code == 400

    order = {"rank-A": "1", "rank-B": "2", "rank-C": "2", "rank-D": "4"}
    shown = owner.post(f"/manage/review/{task}/blind", data=order, **OPEN).text
    assert "Person 1" in shown
    assert "Person 2" in shown
    assert not re.search(r"\bann\b", shown)
    final = {"rank-A": "1", "rank-B": "2", "rank-C": "3", "rank-D": "4", "cause": "slip", "note": "Look at the length."}
    done = owner.post(f"/manage/review/{task}/final", data=final, **OPEN).text
    assert "Decided, and kept in the history." in done
    assert "changed after the reveal" in done
    after = {(r.prompt_id, r.labeler): r for r in store.rankings()}
    (new,) = after.keys() - before.keys()
    assert {key: after[key] for key in before} == before
    assert [len(tier) for tier in after[new].order] == [1, 1, 1, 1]
    again = owner.post(f"/manage/review/{task}/final", data=final)
    assert again.status_code == 400

    # The people whom it is about see it, without a name.
    ben, _ = person("bea")
    assert "Nothing was decided yet" in ben.get("/mine").text


def test_a_labeler_sees_how_they_agree_with_what_was_decided_and_why(owner, store, dispute, app):

    _, _, ben = dispute
    page = settled(owner, "/manage/review")
    task = re.search(r'href="/manage/review/([^"]+)"', page).group(1)
    desk = app.state.desk
    case_page = owner.get(f"/manage/review/{task}").text
    # The adjudicator finds the shorter answers better, as ann does: rank by the length of what is shown.
    texts = dict(re.findall(r"<h2>([A-D])</h2><p>((?:1 is a number\. ?)+)</p>", case_page))
    place = {letter: n for n, letter in enumerate(sorted(texts, key=lambda x: len(texts[x])), start=1)}
    order = {f"rank-{letter}": str(n) for letter, n in place.items()}
    owner.post(f"/manage/review/{task}/blind", data=order)
    owner.post(f"/manage/review/{task}/final", data=order | {"cause": "guideline gap", "note": "Short is enough here."})
    token = desk.write(accounts.open_door, ben.labeler, "session", desk.now())
    with client_of(str(owner.base_url), cookies={"biddable": token}) as client:
        mine = client.get("/mine?month=2026-11").text
    assert "Short is enough here." in mine
    assert "The guidelines did not say" in mine
    assert "olga" not in mine.replace("olga</span>", "")
    assert "3.0" in mine  # three tasks of a minute


# Time and pay.


def test_the_pay_sheet_follows_from_the_log_with_its_cap_and_its_day_s_pay(owner, store, app):
    stock(store, 4)
    job = rank_job(store, hourly=12, cap_minutes=2)
    ann, _ = team(store, ["ann", "=cmd()"])
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON, most=1, seconds=90)
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON + timedelta(hours=1), most=1, seconds=300)
    text = owner.get("/manage/pay.csv?month=2026-11").text
    (row,) = csv.DictReader(io.StringIO(text))
    # By hand: 1.5 and 5 minutes active, of which 1.5 and 2 are paid: 3.5 min at 12 an hour are 0.70.
    assert (row["name"], row["day"], row["tasks"]) == ("ann", "2026-11-02", "2")
    assert (row["active_minutes"], row["paid_minutes"], row["pay"]) == ("6.50", "3.50", "0.70")
    assert owner.get("/manage/pay.csv?month=2026-11").text == text
    assert '<td class="number">0.70</td>' in settled(owner, "/manage/pay?month=2026-11")
    with store.writing() as connection:
        jobs.change(connection, job, "Rank", job.settings.model_copy(update={"hourly": 24.0}), NOON, None)
    changed = list(csv.DictReader(io.StringIO(owner.get("/manage/pay.csv?month=2026-11").text)))
    assert [one["pay"] for one in changed] == ["0.70"]  # that day had its pay already
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON + timedelta(days=1), most=1, seconds=60)
    changed = list(csv.DictReader(io.StringIO(owner.get("/manage/pay.csv?month=2026-11").text)))
    assert [one["pay"] for one in changed] == ["0.70", "0.40"]
    assert owner.get("/manage/pay.csv?month=november").status_code == 400


def test_a_cap_looks_back_into_the_month_before(store):
    stock(store, 1)
    rank_job(store, hourly=60, cap_minutes=10)
    (ann,) = team(store, ["ann"])
    october = datetime(2026, 10, 31, 23, 50, tzinfo=UTC)
    work_on(store, ann, lambda held: ranked(held, true_worth), october, seconds=480)
    task = next(iter(store.rankings())).prompt_id
    assert task

    with store.writing() as connection:
        (name,) = set(connection.execute(activity.select().with_only_columns(activity.c.task)).scalars())
        late = {
            "labeler": ann.labeler,
            "task": name,
            "what": "active",
            "seconds": 480.0,
            "at": october + timedelta(hours=1),
        }
        connection.execute(activity.insert(), [late])
    with store.reading() as connection:
        first, last = datetime(2026, 11, 1).date(), datetime(2026, 11, 30).date()
        (line,) = pay.sheet(connection, first, last)
    assert (line.active, line.paid) == (8.0, 2.0)  # of 16 minutes, 8 in October, ten are paid


# Plan, data, history.


def test_the_plan_says_what_half_an_interval_costs(owner):
    page = owner.get("/manage/plan?half=3&share=73&k=4&within=0&seconds=60&hourly=10").text
    rows = re.findall(r"<tr><th scope=\"row\">± ([\d.]+) points</th>(.*?)</tr>", page)
    cells = {points: re.findall(r">(\d[\d.]*)</td>", rest) for points, rest in rows}
    # By hand: z² = 3.84146, · 0.73 · 0.27 / 0.03² = 841.3; six pairs a prompt and none alike: 141 prompts, 282 rankings
    # of a minute. Half the interval: four times 841.28 = 3365.1.
    assert cells["3"] == ["842", "141", "282", "4.7", "47"]
    assert cells["1.5"][0] == "3366"
    assert owner.get("/manage/plan?half=0").status_code == 400


def test_what_is_taken_out_can_be_brought_in_elsewhere(owner, store, tmp_path):
    stock(store, 3)
    rank_job(store)
    (ann,) = team(store, ["ann"])
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON)
    nothing = owner.get("/manage/data/verdicts.jsonl")
    assert nothing.status_code == 400
    assert "no verdicts" in nothing.text
    answer = owner.get("/manage/data/rankings.jsonl")
    kinds = [json.loads(line)["kind"] for line in answer.text.splitlines()]
    assert kinds.count("ranking") == 3
    assert "ann" not in answer.text
    page = owner.post("/manage/data/import", files={"file": ("back.jsonl", answer.content)}, **OPEN)
    assert "back.jsonl: nothing that is new<" in page.text
    assert "Known already: 1 labeler, 3 prompts, 12 completions, 3 rankings." in page.text
    bad = owner.post("/manage/data/import", files={"file": ("back.jsonl", b'{"kind":"ranking"}\n')})
    assert bad.status_code == 400
    assert "back.jsonl, row 1" in bad.text


def test_held_out_labels_and_tests_never_leave_as_training_data(owner, store):
    stock(store, 3)
    stock(store, 3, split="test", start=10)
    rank_job(store, purpose="evaluation")
    hal = hire(store, "hal", "held_out")
    assert work_on(store, hal, lambda held: ranked(held, true_worth), NOON) == 3
    test = rank_job(store, purpose="screening", split="train", judge=True)
    cal = hire(store, "cal", "candidate")
    assert work_on(store, hal, lambda held: ranked(held, true_worth), NOON, job=test) == 0
    assert work_on(store, cal, lambda held: ranked(held, true_worth), NOON, job=test) == 3
    assert {ranking.labeler for ranking in store.rankings()} == {hal.labeler}  # a test leaves no record
    assert "no rankings by training labelers" in owner.get("/manage/data/rankings.jsonl?split=all").text


def test_what_held_out_people_write_as_prompts_trains_nothing(owner, person, store):
    asked = {"kind": "prompt", "title": "Ask", "purpose": "evaluation", "what": {"count": 60}}
    assert owner.post("/api/jobs", json=asked).status_code == 201
    forms_ = (
        {"text": "Turn it.", "source": "few_shot", "examples": [{"query": x, "response": x * 2} for x in "ab"]},
        {"text": "How deep is a well?", "source": "plain"},
    )
    for n in range(8):
        hal, _ = person(f"hal {n}", "labeler", "held_out")
        for form in forms_:
            task = hal.post("/api/claim", json={}).json()["task"]["task"]
            sent = {"key": f"key {n} {form['source']}", "body": json.dumps(form)}
            assert hal.post(f"/api/tasks/{task}/answer", json=sent).status_code == 200
    assert (store.counts()["prompts"], {one.split for one in store.prompts()}) == (24, {"test"})
    for what in ("prompts", "demos"):
        assert owner.get(f"/manage/data/{what}.jsonl").status_code == 400, "there is nothing to train on"


def test_the_history_is_read_and_checked(owner, store):
    stock(store, 2)
    rank_job(store)
    (ann,) = team(store, ["ann"])
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON)
    page = owner.get("/manage/history").text
    assert ">answer</th>" in page
    for _ in range(100):
        page = owner.get("/manage/history?check=true").text
        if "in a moment" not in page:
            break
    assert "Sound:" in page
    only = owner.get("/manage/history?what=job+made").text
    assert ">answer</th>" not in only
    with store.reading() as connection:
        assert verify.verify(connection).sound


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE rankings SET seconds = seconds + 1 WHERE prompt_id = 'p0000'", "tells of another ranking"),
        ("UPDATE answers SET body = '{}' WHERE id = 1", "tells of another answer"),
        ("DELETE FROM ranked WHERE prompt_id = 'p0001'", "tells of the ranking"),
        ("DROP TRIGGER changes_kept; UPDATE changes SET who = 'me' WHERE id = 4", "does not follow"),
    ],
)
def test_whatever_is_altered_behind_the_history_is_found(store, change, why):
    stock(store, 2)
    rank_job(store)
    (ann,) = team(store, ["ann"])
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON)
    with store.writing() as connection:
        for part in change.split("; "):
            if part.startswith("DROP"):
                names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars()
                for name in list(names):
                    connection.exec_driver_sql(f"DROP TRIGGER {name}")
            else:
                connection.exec_driver_sql(part)
    with store.reading() as connection:
        found = verify.verify(connection)
    assert not found.sound
    assert why in found.fault.why


def test_a_record_that_the_history_does_not_know_is_found(store):
    stock(store, 2)
    with store.writing() as connection:
        connection.exec_driver_sql("INSERT INTO labelers (id, \"group\") VALUES ('smuggled', 'training')")
    with store.reading() as connection:
        assert "labeler" in verify.verify(connection).fault.why


def test_a_revised_answer_is_sound(store):
    stock(store, 1)
    rank_job(store)
    (ann,) = team(store, ["ann"])
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON)

    with store.writing() as connection:
        (task,) = connection.exec_driver_sql("SELECT task FROM answers").scalars()
        held = work.look(connection, ann, task, NOON)
        body = ranked(held, lambda answer, place: -true_worth(answer, place))
        at = NOON + timedelta(minutes=2)
        work.submit(
            connection, ann, task, "again-and-again", body, at, 5,
            lambda held, spent: forms.records(held, forms.read(held, body), ann.labeler, spent, at),
        )  # fmt: skip
    (ranking,) = store.rankings()
    assert isinstance(ranking, Ranking)
    assert ranking.order[0] == ("p0000-d",)
    with store.reading() as connection:
        assert verify.verify(connection).fault is None
