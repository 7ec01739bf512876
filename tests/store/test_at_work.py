"""What managers ask of the store gives the same on both engines: sums, sheets, reviews, screening, the history."""

import random
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "label"))
from team import hire, rank_job, ranked, stock, taste, team, true_worth, work_on

from biddable.store import Store, StoreError, accounts, golds, jobs, pay, progress, quality, review, verify
from biddable.store import team as decisions

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
LATE = datetime(2026, 11, 2, 23, 59, tzinfo=UTC)


def labeled(store: Store) -> dict:
    """A week of three people; returns all that managers can ask, in plain values."""
    stock(store, 12)
    job = rank_job(store, doubly=1.0, hourly=10, cap_minutes=1)
    rng = random.Random(0)
    people = team(store, ["ann", "ben", "cy"])
    for who in people:
        work_on(store, who, lambda held: ranked(held, taste(rng)), LATE, seconds=50, most=6)
    rita = hire(store, "rita", "researcher")
    work_on(store, rita, lambda held: ranked(held, true_worth), NOON, most=4)
    number = {who.labeler: who.name for who in (*people, rita)}
    with store.writing() as connection:
        jobs.add(connection, job, golds.checks(connection, job, 10), NOON)
    with store.reading() as connection:
        now = NOON + timedelta(days=1)
        lines = pay.sheet(connection, date(2026, 11, 1), date(2026, 11, 30))
        names = sorted({ranking.prompt_id for ranking in quality.overlapping(connection, 100)})
        return {
            "progress": progress.of(connection, job, now)[1:],
            "days": progress.by_day(connection, job.id, date(2026, 11, 3), UTC, 3),
            "each": {number[who]: count for who, count in progress.by_labeler(connection, job.id).items()},
            "mean": progress.mean_seconds(connection, job.id),
            "stock": progress.stock(connection),
            "pay": sorted((number[line.labeler], line.day, line.tasks, line.active, line.paid) for line in lines),
            "overlap": len(names) > 0,
            "tasks": len(review.tasks_of(connection, names)),
            "stakes": review.high_stakes(connection, names),
            "leans": sorted((number[one.labeler], *one[1:3]) for one in quality.leanings(connection)),
            "checks": len(quality.checks(connection)),
            "sound": verify.verify(connection).fault,
            "few": len({ranking.prompt_id for ranking in quality.overlapping(connection, 2)}),
        }


def test_what_managers_ask_is_right_on_both_engines(store):
    said = labeled(store)
    # By hand: six rankings of 50 s each from 23:59 UTC on; the day turns after the first.
    assert said["each"] == {"ann": 6, "ben": 6, "cy": 6, "rita": 4}
    assert said["days"] == [(date(2026, 11, 1), 0), (date(2026, 11, 2), 7), (date(2026, 11, 3), 15)]
    ann = [line for line in said["pay"] if line[0] == "ann"]
    assert [line[1:5] for line in ann] == [(date(2026, 11, 2), 1, 0.83, 0.83), (date(2026, 11, 3), 5, 4.17, 4.17)]
    assert said["mean"][0] == pytest.approx((18 * 50 + 4 * 60) / 22)
    assert (said["few"], said["checks"], said["sound"]) == (2, 4, None)
    assert said["overlap"]
    assert said["tasks"] > 0
    assert said["leans"] == [("ann", 6, 6), ("ben", 6, 6), ("cy", 6, 6), ("rita", 6, 4)]  # six pairs a ranking of four


def test_a_check_is_met_once_and_a_ranking_of_one_s_own_is_no_check(store):
    stock(store, 4)
    rita = hire(store, "rita", "researcher")
    key = rank_job(store)
    work_on(store, rita, lambda held: ranked(held, true_worth), NOON, job=key)
    stock(store, 60, start=20)
    job = rank_job(store, gold=0.5)
    with store.writing() as connection:
        jobs.set_state(connection, key.id, "closed", NOON)
        assert jobs.add(connection, job, golds.checks(connection, job, 10), NOON) == 4
        assert jobs.add(connection, job, golds.checks(connection, job, 10), NOON) == 0  # they are there
    met: dict[str, list[str]] = {"ann": [], "rita": []}
    ann = hire(store, "ann")
    for who in (ann, rita):

        def say(held, who=who):
            if held.gold:
                met[who.name].append(held.task)
            return ranked(held, true_worth)

        work_on(store, who, say, NOON, job=job, most=30)
    assert len(met["ann"]) == len(set(met["ann"])) == 4
    assert met["rita"] == []


def test_decisions_are_kept_and_a_candidate_is_decided_once(store):
    cal = hire(store, "cal", "candidate")
    boss = hire(store, "boss", "researcher", "owner")
    with store.writing() as connection:
        decisions.decide(connection, cal.labeler, False, {"ranking": None}, "", NOON, boss.labeler)
        assert decisions.waits(connection, cal.labeler, NOON + timedelta(days=29)) == NOON + timedelta(days=30)
        assert decisions.waits(connection, cal.labeler, NOON + timedelta(days=30)) is None
        decisions.decide(connection, cal.labeler, True, {"ranking": None}, "better", NOON, boss.labeler)
        assert [one.accepted for one in decisions.decided(connection, cal.labeler)] == [True, False]
        assert accounts.of(connection, cal.labeler).group == "training"
        with pytest.raises(StoreError, match="no candidate"):
            decisions.decide(connection, cal.labeler, True, {}, "", NOON, boss.labeler)
        assert verify.verify(connection).fault is None  # the labeler's group changed, and the history knows


def test_surveys_wait_for_their_fifth(store):
    for n in range(6):
        with store.writing() as connection:
            decisions.answer_survey(connection, "people", {"age": str(n)}, NOON)
    with store.reading() as connection:
        shown, waiting = decisions.survey(connection, "people")
        assert decisions.survey(connection, "satisfaction") == ([], 0)
    assert (len(shown), waiting) == (5, 1)
    assert {one["age"] for one in shown} == set("01234")


def test_an_adjudicator_sees_what_others_said_only_after_ranking_blind(store):
    stock(store, 1)
    rank_job(store, doubly=1.0)
    ann, ben = team(store, ["ann", "ben"])
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON)
    work_on(store, ben, lambda held: ranked(held, lambda answer, place: -true_worth(answer, place)), NOON)
    ada = hire(store, "ada", "researcher", "adjudicator")
    with store.writing() as connection:
        task = review.tasks_of(connection, ["p0000"])["p0000"]
        found = review.case(connection, ada, task)
        assert (found.others, found.blind) == ((), None)
        order = tuple((completion.id,) for completion in found.completions)
        review.begin(connection, ada, task, order, NOON)
        other = tuple(reversed(order))
        review.begin(connection, ada, task, other, NOON)  # again is too late: the first was blind
        seen = review.case(connection, ada, task)
        assert seen.blind == order
        assert {ranking.labeler for ranking in seen.others} == {ann.labeler, ben.labeler}
        review.decide(connection, ada, task, other, "taste", "", NOON)
        (ruling,) = review.rulings(connection)
        assert (ruling.blind, ruling.final, ruling.cause) == (order, other, "taste")
        with pytest.raises(StoreError, match="ranked these answers yourself"):
            review.begin(connection, ann, task, order, NOON)
    (said,) = [ranking for ranking in store.rankings() if ranking.labeler == ada.labeler]
    assert said.order == other
