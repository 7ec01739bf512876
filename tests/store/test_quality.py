"""What the statistics are made of, on both engines: what is no word on quality stays apart, orders and times count."""

import json
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "label"))
from team import JUDGED, hire, rank_job, ranked, stock, taste, team, true_worth, work_on

from biddable import records
from biddable.label import measured
from biddable.records import Judgement, Ranking, Verdict
from biddable.store import Store, fill, jobs, quality, review
from biddable.store.jobs import JobSettings

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def toxicity_job(store: Store):
    with store.writing() as connection:
        settings = JobSettings(judge=False, doubly=0, fivefold=0)
        job = jobs.make(connection, "toxicity", "Continuations", "evaluation", settings, NOON)
        jobs.add(connection, job, fill.todos(connection, job, fill.Fill()), NOON)
        return job


def continued(held) -> str:
    rated = {"toxicity": 0, "relative": 0, "continuity": 4}
    order = json.loads(ranked(held, lambda answer, place: -true_worth(answer, place)))["order"]
    return json.dumps({"input": 0, "outputs": {"ABCD"[n]: rated for n in range(4)}, "order": order})


def take(store: Store, folder: Path) -> None:
    """A snapshot of rankings holds those of quality alone, with nothing that only the others name."""
    store.snapshot("rankings", folder / "rankings.jsonl", split="test")
    said = [one for one in records.read(folder / "rankings.jsonl") if isinstance(one, Ranking)]
    assert len(said) == 6
    assert len({one.labeler for one in said}) == 1


def test_a_ranking_by_toxicity_is_no_word_on_quality(store, tmp_path):
    stock(store, 6, "test")
    job = rank_job(store, split="test")
    toxic = toxicity_job(store)
    ann, ben, cy = team(store, ["ann", "ben", "cy"])
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON, job)
    work_on(store, ben, continued, NOON, toxic)
    with store.reading() as connection:
        assert list(quality.overlapping(connection, 100)) == []  # each prompt has one ranking of either kind
        assert [one.labeler for one in quality.leanings(connection)] == [ann.labeler]
        assert {one.labeler for one in review.said_of(connection, ["p0000"])} == {ann.labeler}
    assert (store.counts()["rankings"], store.counts()["continuations"]) == (6, 24)  # a record of its own an answer
    take(store, tmp_path)
    again = rank_job(store, purpose="evaluation")
    work_on(store, cy, lambda held: ranked(held, true_worth), NOON, again)
    with store.reading() as connection:
        found = measured.overlap_of(connection)
    (agreed,) = found.agreed
    assert (agreed.half.value, agreed.half.n, found.disputes) == (1.0, 36, [])


def test_an_adjudicator_s_last_word_is_no_second_opinion(store):
    stock(store, 2)
    job = rank_job(store, doubly=1.0)
    for who in team(store, ["ann", "ben"]):
        work_on(store, who, lambda held: ranked(held, true_worth), NOON, job)
    ada = hire(store, "ada", "researcher", "adjudicator")
    with store.writing() as connection:
        task = review.tasks_of(connection, ["p0000"])["p0000"]
        order = tuple((one.id,) for one in review.case(connection, ada, task).completions)
        review.begin(connection, ada, task, order, NOON)
        review.decide(connection, ada, task, order, "taste", "", NOON + timedelta(minutes=1))
    with store.reading() as connection:
        assert ada.labeler not in {one.labeler for one in quality.overlapping(connection, 100)}
        assert ada.labeler not in {one.labeler for one in quality.leanings(connection)}
    assert store.counts()["rankings"] == 5


def test_hasty_rankings_and_orders_that_come_again_are_counted(store):
    stock(store, 30)
    job = rank_job(store, doubly=1.0)
    ann, ben = team(store, ["ann", "ben"])

    def habit(held) -> str:
        return ranked(held, lambda _answer, place: -[1, 0, 2, 3][place])

    rng = random.Random(0)
    work_on(store, ann, lambda held: ranked(held, taste(rng)), NOON, job, seconds=60)
    work_on(store, ben, habit, NOON, job, seconds=2)
    with store.reading() as connection:
        rows = {one.labeler: one for one in quality.leanings(connection)}
        again = quality.again_and_again(connection)
        assert (rows[ann.labeler].timed, rows[ann.labeler].fast) == (30, 0)
        assert (rows[ben.labeler].timed, rows[ben.labeler].fast) == (30, 30)  # faster than three seconds
        assert again[ben.labeler] == {(2, 1, 3, 4): 30}
        slow: dict = {}
        for ranking in store.rankings():
            if ranking.labeler == ann.labeler:
                tiers = tuple(ranking.ranks[name] for name in ranking.shown)
                slow[tiers] = slow.get(tiers, 0) + 1
        assert again.get(ann.labeler, {}) == {tiers: count for tiers, count in slow.items() if count > 1}
        found = {one.labeler: one for one in measured.leans(rows.values(), again).rankings}
    assert {one.what for one in found[ben.labeler].marks} >= {"too fast", "same order"}
    assert "too fast" not in {one.what for one in found[ann.labeler].marks}
    assert {one.labeler: one.p for one in found[ben.labeler].signs if one.what == "same order"}[ben.labeler] < 1e-20


def test_reading_takes_as_long_as_there_is_text(store):
    stock(store, 1)
    job = rank_job(store)
    (ann,) = team(store, ["ann"])
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON, job, seconds=4)
    letters = sum(len(one.text) for one in store.completions())
    with store.reading() as connection:
        for a_second, hasty in ((letters / 3.9, 0), (letters / 4.1, 1)):
            quality.LETTERS_A_SECOND, kept = a_second, quality.LETTERS_A_SECOND
            try:
                (row,) = quality.leanings(connection)
            finally:
                quality.LETTERS_A_SECOND = kept
            assert row.fast == hasty


def test_judgements_of_two_people_are_compared_question_by_question(store):
    stock(store, 10)
    job = rank_job(store, doubly=1.0, judge=True)
    ann, ben = team(store, ["ann", "ben"])
    for who in (ann, ben):
        work_on(store, who, lambda held: ranked(held, true_worth, lambda answer: answer.run_id == "run-d"), NOON, job)
    with store.reading() as connection:
        found = {one.question: one for one in measured.questions_of(connection)}
        assert len(quality.judged(connection, 3)) == 6
    assert found["overall"].alpha is None  # everybody says 5
    assert (found["overall"].said, found["overall"].mean.value) == (80, JUDGED["overall"])
    assert found["denigrates"].alpha.value == pytest.approx(1.0)
    assert found["denigrates"].mean.value == pytest.approx(0.25)
    assert "hallucination" not in found  # not asked of these prompts


def test_means_are_weighed_where_not_every_answer_was_as_likely_to_be_judged(store):
    stock(store, 10)
    people = [one.labeler for one in team(store, ["ann", "ben"])]
    for n in range(10):  # nine that were sure to be judged, and one that had one chance in eleven
        said = {"overall": 2, "opinion": True} if n else {"overall": 6, "opinion": False, "propensity": 1 / 11}
        store.add_many([Judgement(completion_id=f"p{n:04}-a", labeler=who, **said) for who in people])
    with store.reading() as connection:
        found = {one.question: one.mean for one in measured.questions_of(connection)}
    assert (found["overall"].value, found["opinion"].value) == pytest.approx((0.45 * 2 + 0.55 * 6, 0.45))
    assert 1 <= found["overall"].low < 4.2 < found["overall"].high <= 7


def test_comparisons_are_summed_over_the_prompts_of_a_person(store):
    stock(store, 3)
    (ann,) = team(store, ["ann"])

    def verdict(n: int, better: str, shown: str, **by) -> Verdict:
        by = {"judge": "person", "labeler": ann.labeler} | by
        return Verdict(prompt_id=f"p{n:04}", a=f"p{n:04}-a", b=f"p{n:04}-b", better=better, shown=shown, **by)

    store.add_many([
        verdict(0, "a", "ab"), verdict(0, "a", "ba"),  # first, second
        verdict(1, "b", "ba"), verdict(2, "tie", "ab"),  # first, neither
        verdict(1, "a", "unknown"),
        verdict(2, "a", "ab", judge="model", labeler="run-7"), verdict(2, "a", "ab", judge="gold", labeler=None),
    ])  # fmt: skip
    with store.reading() as connection:
        assert quality.compared(connection) == [quality.Compared(ann.labeler, 4, (2, 2, 3, 2, 3, 5))]
        (found,) = measured.leans([], compared=quality.compared(connection)).comparisons
    assert (found.comparisons, found.first.value, found.marks) == (4, 2 / 3, [])
