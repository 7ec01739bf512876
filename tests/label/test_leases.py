"""Taking, holding, losing and handing in, against a plain model of what should happen, with a clock that we turn."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import func, select

from biddable.records import Completion, Judgement, Prompt, Ranking
from biddable.store import accounts, fill, history, jobs, open_store, tables, work
from biddable.store.jobs import JobSettings
from biddable.store.tables import rankings
from biddable.store.work_tables import answers, slots, tasks

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
LEASE, LONGEST, REVISE = timedelta(minutes=30), timedelta(hours=8), timedelta(minutes=10)
PEOPLE, PROMPTS = 3, 2


class Hands:
    """The clock, and what a form would say: an order that tells submissions apart."""

    def __init__(self) -> None:
        self.now = START

    def records(self, labeler: str, text: str):
        def make(held: work.Held, seconds: float):
            ids = sorted(c.id for c in held.completions)
            ids = ids if text[-1] in "02468" else ids[::-1]
            common = {"labeler": labeler, "at": self.now, "seconds": seconds}
            said = [Judgement(completion_id=name, overall=1 + len(text) % 7, **common) for name in ids]
            if held.job.kind == "rank":
                said.append(Ranking(prompt_id=held.prompt.id, order=tuple((name,) for name in ids), **common))
            return said

        return make


@dataclass
class Share:
    """The model of one person and one task."""

    taken: datetime
    until: datetime | None  # while it is held
    done: bool = False  # a slot is theirs
    late: bool = False
    left: bool = False
    sent: list[tuple[str, str, datetime]] = field(default_factory=list)  # key, body, moment
    draft: tuple[int, str] | None = None


def machine(connection, people, made_jobs):
    rooms = dict(connection.execute(select(slots.c.task, func.count()).group_by(slots.c.task)).all())
    of_job = dict(connection.execute(select(tasks.c.id, tasks.c.job)).all())
    prompt = dict(connection.execute(select(tasks.c.id, tasks.c.prompt_id)).all())
    kind = {job.id: job.kind for job in made_jobs}
    who, which = st.sampled_from(people), st.sampled_from(sorted(rooms))

    class Work(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.outer = connection.begin_nested()
            self.hands, self.keys = Hands(), 0
            self.shares: dict[tuple[str, str], Share] = {}

        def teardown(self) -> None:
            self.outer.rollback()

        # What the model knows.

        def holds(self, share: Share) -> bool:
            return share.until is not None

        def expire(self) -> None:
            """Whoever takes a task first frees what was held too long."""
            for share in self.shares.values():
                if share.until is not None and share.until < self.hands.now:
                    share.until = None

        def taken_slots(self, task: str) -> int:
            return sum(s.done or self.holds(s) for (_, t), s in self.shares.items() if t == task)

        def may(self, person, task: str) -> bool:
            mine = self.shares.get((person.labeler, task))
            if mine and (mine.done or self.holds(mine) or mine.left or mine.sent):
                return False
            if kind[of_job[task]] == "rank":
                for (labeler, other), share in self.shares.items():
                    if labeler != person.labeler or prompt[other] != prompt[task] or other == task:
                        continue
                    if self.holds(share) or (share.sent and kind[of_job[other]] == "rank"):
                        return False
            return self.taken_slots(task) < rooms[task]

        # What people do.

        @rule(minutes=st.sampled_from([0.1, 5, 15, 31, 90, 9 * 60]))
        def wait(self, minutes: float) -> None:
            """Nine hours: a laptop was shut over night."""
            self.hands.now += timedelta(minutes=minutes)

        @rule()
        def the_clock_is_set_back(self) -> None:
            self.hands.now -= timedelta(hours=2)

        @rule(person=who, job=st.sampled_from([None, *(job.id for job in made_jobs)]))
        def claim(self, person, job) -> None:
            self.tick()
            held = work.claim(connection, person, self.hands.now, job)
            self.expire()
            mine = {
                t for (labeler, t), s in self.shares.items()
                if labeler == person.labeler and self.holds(s) and job in (None, of_job[t])
            }  # fmt: skip
            free = {t for t in rooms if job in (None, of_job[t]) and self.may(person, t)}
            if mine:
                assert held is not None
                assert held.task in mine
                return
            assert (held is None) == (not free)
            if held is not None:
                assert held.task in free
                share = self.shares.setdefault((person.labeler, held.task), Share(self.hands.now, None))
                share.taken, share.until = self.hands.now, self.hands.now + LEASE

        @precondition(lambda self: self.shares)
        @rule(data=st.data(), active=st.sampled_from([0.0, 20.0, 3600.0]))
        def beat(self, data, active: float) -> None:
            person, task, share = self.one(data)
            held = work.look(connection, person, task, self.hands.now)
            assert held is not None
            again = work.beat(connection, person, task, held.lease or "none", active, self.hands.now)
            if share.until is None or share.until < self.hands.now:
                assert again is None
            else:
                share.until = min(self.hands.now + LEASE, share.taken + LONGEST)
                assert again is not None
                assert again.until == share.until

        @precondition(lambda self: self.shares)
        @rule(data=st.data(), version=st.integers(1, 4), words=st.sampled_from(["one", "two"]))
        def draft(self, data, version: int, words: str) -> None:
            """Two windows: the newer version wins, and the other is told."""
            person, task, share = self.one(data)
            newer = work.save_draft(connection, person, task, version, words, self.hands.now)
            if share.draft is None or version > share.draft[0]:
                assert newer is None
                share.draft = (version, words)
            else:
                assert newer == (None if share.draft[1] == words else share.draft)

        @precondition(lambda self: self.shares)
        @rule(data=st.data())
        def submit(self, data) -> None:
            """Also late, and also what was left or handed in before."""
            person, task, share = self.one(data)
            self.tick()
            self.keys += 1
            sent = (f"key-{self.keys}", f"body {self.keys}", self.hands.now)
            if share.sent and self.hands.now - share.sent[0][2] > REVISE:
                with pytest.raises(work.Refused):
                    self.hand_in(person, task, *sent[:2])
                return
            kept = self.hand_in(person, task, *sent[:2])
            assert (kept.revision, kept.again) == (len(share.sent) + 1, False)
            if not share.sent:
                expired = sum(
                    s.until is not None and s.until < self.hands.now
                    for (_, t), s in self.shares.items() if t == task and s is not share
                )  # fmt: skip
                room = self.holds(share) or self.taken_slots(task) - expired < rooms[task]
                assert kept.late == (not room)
                share.late, share.done = not room, room
                if room and not self.holds(share) and self.taken_slots(task) > rooms[task]:
                    self.oust(task)
                share.until = None
            share.sent.append(sent)

        def oust(self, task: str) -> None:
            """A slot whose holder was not heard of is another's now."""
            gone = [
                s for (_, t), s in self.shares.items()
                if t == task and s.until is not None and s.until < self.hands.now
            ]  # fmt: skip
            still = {
                row.labeler for row in connection.execute(select(slots).where(slots.c.task == task)) if row.labeler
            }
            lost = [s for (labeler, t), s in self.shares.items() if t == task and s in gone and labeler not in still]
            assert len(lost) == 1
            lost[0].until = None

        @precondition(lambda self: any(share.sent for share in self.shares.values()))
        @rule(data=st.data(), other=st.booleans())
        def send_again(self, data, other: bool) -> None:
            """The answer was lost on its way, or a page was gone back to."""
            person, task, share = self.one(data, lambda share: share.sent)
            key, body, _ = data.draw(st.sampled_from(share.sent))
            if other:
                with pytest.raises(work.Refused):
                    self.hand_in(person, task, key, body + "2")
            else:
                assert self.hand_in(person, task, key, body).again

        @precondition(lambda self: self.shares)
        @rule(data=st.data(), what=st.sampled_from(["skip", "flag"]))
        def leave(self, data, what: str) -> None:
            person, task, share = self.one(data)
            self.tick()
            work.leave(connection, person, task, what, "unclear", "", self.hands.now)
            if not share.left:
                share.left, share.until = True, None

        @rule(person=who, task=which)
        def what_was_never_theirs(self, person, task: str) -> None:
            if (person.labeler, task) in self.shares:
                return
            assert work.look(connection, person, task, self.hands.now) is None
            for refused in (
                lambda: self.hand_in(person, task, "key", "body 0"),
                lambda: work.save_draft(connection, person, task, 1, "mine", self.hands.now),
                lambda: work.leave(connection, person, task, "skip", "unclear", "", self.hands.now),
            ):
                with pytest.raises(work.Refused):
                    refused()

        # How.

        def tick(self) -> None:
            self.hands.now += timedelta(seconds=1)

        def one(self, data, fit=bool):
            labeler, task = data.draw(st.sampled_from([name for name, share in self.shares.items() if fit(share)]))
            return next(p for p in people if p.labeler == labeler), task, self.shares[labeler, task]

        def hand_in(self, person, task: str, key: str, body: str):
            make = self.hands.records(person.labeler, body)
            return work.submit(connection, person, task, key, body, self.hands.now, 5.0, make)

        # What must always be.

        @invariant()
        def nothing_is_lost(self) -> None:
            kept = {(row.labeler, row.key): row for row in connection.execute(select(answers))}
            sent = {
                (labeler, key): (task, body, share.late)
                for (labeler, task), share in self.shares.items()
                for key, body, _ in share.sent
            }
            assert {name: (row.task, row.body, row.late) for name, row in kept.items()} == {
                name: (task, body, late) if kept[name].revision == 1 else (task, body, False)
                for name, (task, body, late) in sent.items()
            }
            for (labeler, task), share in self.shares.items():
                person = next(p for p in people if p.labeler == labeler)
                held = work.look(connection, person, task, self.hands.now)
                assert held is not None
                assert held.draft == (work.Draft(*share.draft) if share.draft else None)

        @invariant()
        def nobody_is_assigned_twice_or_too_often(self) -> None:
            rows = connection.execute(select(slots).where(slots.c.state == "done")).all()
            assert {(row.labeler, row.task) for row in rows} == {name for name, s in self.shares.items() if s.done}
            assert len({(row.labeler, row.task) for row in rows}) == len(rows)

        @invariant()
        def one_ranking_a_person_and_prompt(self) -> None:
            rows = {(row.labeler, row.prompt_id) for row in connection.execute(select(rankings))}
            assert rows == {
                (labeler, prompt[task])
                for (labeler, task), share in self.shares.items()
                if share.sent and kind[of_job[task]] == "rank"
            }

        @invariant()
        def the_history_holds(self) -> None:
            assert list(history.faults(connection)) == []

    return Work


@pytest.fixture
def desk(tmp_path) -> Iterator[tuple[Any, list[accounts.Account], list[jobs.Job]]]:
    """A connection that writes; three people; two jobs that rank (one with overlap) and one that judges."""
    with open_store(tmp_path / "s.db", lambda: START) as store:
        store.add_prompts(Prompt(id=f"p{n}", text=f"say {n}", split="train") for n in range(PROMPTS))
        store.add_completions(
            Completion(id=f"p{n}-{k}", prompt_id=f"p{n}", text=k, run_id=k) for n in range(PROMPTS) for k in "abcd"
        )
        with store.writing() as connection:
            people = [accounts.make(connection, f"n{n}", "labeler", "training", START) for n in range(PEOPLE)]
            made = [
                jobs.make(connection, kind, kind, "training", JobSettings(doubly=share, fivefold=0), START)
                for kind, share in (("rank", 0.5), ("rank", 0.0), ("judge", 0.0))
            ]
            for job in made:
                jobs.add(connection, job, fill.todos(connection, job, fill.Fill(count=PROMPTS)), START)
            yield connection, people, made


def test_work_goes_as_a_plain_model_says(desk):
    run_state_machine_as_test(
        machine(*desk),
        settings=settings(max_examples=30, stateful_step_count=50, deadline=None, phases=[Phase.generate]),
    )


def send(connection, person, task: str, body: str, at: datetime) -> work.Answer:
    hands = Hands()
    hands.now = at
    return work.submit(connection, person, task, f"{task} {body}", body, at, 0.0, hands.records(person.labeler, body))


def test_a_laptop_that_slept_nine_hours_still_hands_in(desk):
    connection, (ann, ben, _), (_, job, _) = desk
    night = START + timedelta(hours=9)
    task = work.claim(connection, ann, START, job.id).task
    assert not send(connection, ann, task, "body 1", night).late  # nobody had taken it meanwhile
    other = work.claim(connection, ben, night, job.id).task
    assert other != task


def test_what_comes_after_another_took_over_is_kept_and_marked_late(desk):
    connection, (ann, ben, cat), (_, job, _) = desk
    held = work.claim(connection, ann, START, job.id)
    work.save_draft(connection, ann, held.task, 1, "so far", START)
    morning = START + timedelta(hours=1)
    tasks_of_ben = {work.claim(connection, who, morning, job.id).task for who in (ben, cat)}
    assert held.task in tasks_of_ben
    assert work.look(connection, ann, held.task, morning).draft == work.Draft(1, "so far")
    kept = send(connection, ann, held.task, "body 2", morning)
    assert kept.late
    assert connection.execute(select(func.count()).select_from(rankings)).scalar_one() == 1


def test_who_was_ousted_takes_the_place_of_one_who_was_not_heard_of_either(desk):
    connection, (ann, ben, cat), (_, job, _) = desk
    held = work.claim(connection, ann, START, job.id)
    later, latest = START + timedelta(hours=1), START + timedelta(hours=2)
    assert held.task in {work.claim(connection, who, later, job.id).task for who in (ben, cat)}
    assert not send(connection, ann, held.task, "body 1", latest).late  # the others' leases are over too
    taken = connection.execute(select(slots.c.labeler).where(slots.c.task == held.task)).scalars().all()
    assert taken == [ann.labeler]


def test_an_answer_can_be_changed_for_ten_minutes_from_the_first(desk):
    connection, (ann, *_), (_, job, _) = desk
    task = work.claim(connection, ann, START, job.id).task
    send(connection, ann, task, "body 1", START)
    assert send(connection, ann, task, "body 2", START + timedelta(minutes=9)).revision == 2
    with pytest.raises(work.Refused):
        send(connection, ann, task, "body 3", START + timedelta(minutes=11))
    (ranking,) = connection.execute(select(rankings)).all()
    assert ranking.at == START + timedelta(minutes=9)


def test_judging_again_what_was_judged_while_ranking_changes_nothing_that_was_said(desk):
    connection, (ann, *_), (_, ranks, judges) = desk
    judged = tables.judgements
    for n in range(PROMPTS):
        board = work.claim(connection, ann, START, ranks.id)
        send(connection, ann, board.task, f"body {n}", START)
    minute = START + timedelta(minutes=1)
    alone = work.claim(connection, ann, minute, judges.id)
    before = connection.execute(select(judged).order_by(judged.c.completion_id)).all()
    for n, body in enumerate(("body 200", "body 3000")):  # and once more, thought better of
        kept = send(connection, ann, alone.task, body, minute + timedelta(minutes=n))
        assert (kept.revision, kept.late) == (n + 1, False)
    assert connection.execute(select(judged).order_by(judged.c.completion_id)).all() == before
    bodies = connection.execute(select(answers.c.body).where(answers.c.task == alone.task)).scalars().all()
    assert bodies == ["body 200", "body 3000"]
