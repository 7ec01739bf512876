"""The page of a job that compares tells managers which model is preferred, and nobody else."""

import html
import json
import random
import re

import pytest
from served import settled
from team import stock, team, true_worth, work_on
from test_assignment import work_off

from biddable.measure.winrate import models_of, win_rate
from biddable.store import fill, jobs
from biddable.store.jobs import JobSettings


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def compare_job(store, **settings) -> jobs.Job:
    with store.writing() as connection:
        settings = {"doubly": 1.0, "fivefold": 0, "gold": 0} | settings
        job = jobs.make(connection, "compare", "Compare", "evaluation", JobSettings(**settings), store.clock())
        what = fill.Fill(split="train", runs=("run-a", "run-b"))
        jobs.add(connection, job, fill.todos(connection, job, what), store.clock())
    return job


def picks(rng: random.Random, right: float):
    def say(held) -> str:
        letters = sorted("AB", key=lambda letter: -true_worth(held.completions["AB".index(letter)], 0))
        return json.dumps({"better": letters[rng.random() > right]})

    return say


def row_of(page: str) -> list[str]:
    return re.search(r"run-a run-b everyone ([\d.]+) % \(([\d.]+) to ([\d.]+)\) ([\d.]+) %", text_of(page)).groups()


def test_managers_see_the_win_rate_with_its_interval_and_how_far_people_agree(person, store):
    owner, _ = person("olga", "owner", "researcher")
    stock(store, 60)
    job, other = compare_job(store), compare_job(store)
    assert "Nobody has compared yet" in owner.get(f"/manage/jobs/{job.id}").text
    rng = random.Random(4)
    for who in team(store, ["ann", "bea"]):
        work_on(store, who, picks(rng, 0.8), store.clock(), job)
    work_on(store, team(store, ["cy"])[0], picks(rng, 0.0), store.clock(), other, most=20)
    page = settled(owner, f"/manage/jobs/{job.id}?count=now")
    ours = [one for one in store.verdicts() if _by(store, one, job)]
    true = win_rate(ours, models_of(store.completions()), "run-a", "run-b")
    assert (true.n, len(ours)) == (120, 120)
    value, low, high, turned = row_of(page)
    assert [value, low, high] == [f"{100 * x:.1f}" for x in (true.value, true.low, true.high)]
    assert turned == f"{100 * (1 - true.value):.1f}"
    assert "run-a is preferred" in page
    by_prompt = {}
    for one in ours:
        by_prompt.setdefault(one.prompt_id, []).append((one.better == "a") == (one.a.endswith("a")))
    same = sum(a == b for a, b in by_prompt.values()) / 60
    assert f"say the same {100 * same:.1f} %" in text_of(page)


def _by(store, verdict, job) -> bool:
    with store.reading() as connection:
        rows = connection.exec_driver_sql(
            "SELECT 1 FROM answers JOIN tasks ON tasks.id = answers.task WHERE answers.job = ? AND answers.labeler = ? "
            "AND tasks.prompt_id = ?", (job.id, verdict.labeler, verdict.prompt_id),
        )  # fmt: skip
        return rows.first() is not None


@pytest.mark.parametrize("role", ["adjudicator", "auditor"])
def test_who_may_compare_themselves_is_told_nothing(person, store, role):
    stock(store, 8)
    job = compare_job(store)
    for who in team(store, ["ann", "bea"]):
        work_on(store, who, picks(random.Random(1), 1.0), store.clock(), job)
    other, _ = person("ada", role, "training")
    page = other.get(f"/manage/jobs/{job.id}").text
    assert "run-a" not in page
    assert "preferred" not in page


def test_who_came_because_others_disagreed_moves_no_win_rate(person, store):
    owner, _ = person("olga", "owner", "researcher")
    stock(store, 20)
    job = compare_job(store, disagree=0.4, people=3)
    ann, bea, cy = team(store, ["ann", "bea", "cy"])
    rng = random.Random(2)
    work_off(store, ann, picks(rng, 1.0))
    work_off(store, bea, picks(rng, 0.5))
    before = row_of(settled(owner, f"/manage/jobs/{job.id}?count=now"))
    assert work_off(store, cy, picks(rng, 0.0)) > 3
    page = settled(owner, f"/manage/jobs/{job.id}?count=now")
    assert row_of(page) == before
    assert re.search(r"\d+ said because others disagreed", page)
