"""A store in which something has happened in every table that the history vouches for."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from village import everything

sys.path.insert(0, str(Path(__file__).parents[1] / "label"))
from team import hire, rank_job, ranked, stock, team, true_worth, work_on

from biddable.records import Continuation
from biddable.store import Store, accounts, golds, informed, jobs, review, taken_out, work
from biddable.store import team as decisions

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def live_in(store: Store) -> None:
    store.add_many(everything())
    rated = {"labeler": "ann", "input": 0, "toxicity": 1, "relative": 1, "continuity": 4}
    store.add_many([Continuation(completion_id=f"p1-{letter}", rank=1, **rated) for letter in "abc"])
    store.skip("p1", "ann", "rank", "unclear — ü")
    stock(store, 4)
    job = rank_job(store, doubly=1.0)
    annie, benno = team(store, ["annie", "benno"])
    boss, cal = hire(store, "boss", "researcher", "owner"), hire(store, "cal", "candidate")
    for who in (annie, benno):
        work_on(store, who, lambda held: ranked(held, true_worth), NOON, most=3)
    work_on(store, boss, lambda held: ranked(held, true_worth), NOON, most=1)
    with store.writing() as connection:
        held = work.claim(connection, annie, NOON)
        assert held is not None
        work.leave(connection, annie, held.task, "flag", "unclear", "— ü", NOON)
        taken_out.take_out(connection, held.task, "names somebody — ü", NOON, boss.labeler)
        jobs.add(connection, job, golds.checks(connection, job, 5), NOON, boss.labeler)
        jobs.set_state(connection, job.id, "paused", NOON, boss.labeler)
        jobs.change(connection, job, "Rank them", job.settings.model_copy(update={"hourly": 9.5}), NOON, boss.labeler)
        for purpose in ("training", "consent"):
            text = jobs.set_guide(connection, purpose, "Be fair.", NOON, boss.labeler)
        decisions.consent(connection, annie.labeler, text.id, NOON)
        for said in ("nothing", "little"):
            decisions.say_topics(connection, cal.labeler, said, NOON)
        for overall in (4, 5):
            decisions.rate(connection, 1, boss.labeler, overall, NOON)
        decisions.decide(connection, cal.labeler, True, {"ranking": None}, "good", NOON, boss.labeler)
        accounts.change(connection, annie.labeler, NOON, boss.labeler, password="$argon2id$", role="adjudicator")
        ada = hire_in(connection, "ada")
        (task,) = review.tasks_of(connection, ["p0000"]).values()
        found = review.case(connection, ada, task)
        assert found is not None
        order = tuple((completion.id,) for completion in found.completions)
        review.begin(connection, ada, task, order, NOON)
        review.decide(connection, ada, task, order[::-1], "slip", "", NOON)
        informed.read(connection, task, ada.labeler, NOON)


def hire_in(connection, name: str) -> accounts.Account:
    return accounts.make(connection, name, "adjudicator", "researcher", NOON)
