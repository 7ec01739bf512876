"""Hamlet's simulated team in the labeling app, over HTTP: what they say there is what they say directly."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import siege
from served import alone, serving
from sqlalchemy import func, select

import warm
from biddable.config import ConfigError
from biddable.hamlet import online, people, tasks
from biddable.hamlet.answers import write
from biddable.hamlet.people import Person
from biddable.hamlet.screening import MIXED
from biddable.hamlet.wire import Wire
from biddable.label import create_app
from biddable.label.signin import hash_password
from biddable.records import Completion, Prompt
from biddable.store import Store, accounts, jobs, open_store
from biddable.store.jobs import JobSettings, Todo
from biddable.store.tables import labelers
from biddable.store.work_tables import answers, passes, sessions, slots
from biddable.store.work_tables import tasks as tasks_table

WORDS = "a few words in a row"
PATIENCE = 300  # seconds; a busy machine starts a server slowly
TEAM = [people.joined(one) for one in people.crowd(0) if one.group == "candidate"][:3]
KINDS = ("story", "fact", "replace", "class", "harm", "unknown")


def material(seed: int) -> list[tuple[Prompt, list[Completion]]]:
    """Prompts of several kinds, each with four answers by writers of mixed care; and one that nobody understands."""
    rng, made = random.Random(f"team {seed}"), []
    for kind in KINDS:
        task = tasks.make(rng, kind)
        prompt = Prompt.make(task.text, split="train", use_case=task.use_case)
        texts = dict.fromkeys(write(task, rng, MIXED) for _ in range(60))
        made.append((prompt, [Completion.make(prompt.id, text, online.RUN) for text in list(texts)[:4]]))
    odd = Prompt.make("what is the meaning of xyzzy?", split="train")
    return [*made, (odd, [Completion.make(odd.id, f"{word}.", online.RUN) for word in ("one", "two", "three", "four")])]


SHEETS = material(0)


def fill(store: Store, each: int) -> None:
    """A job of each kind, in which so many people do every task."""
    store.add_many([one for prompt, some in SHEETS for one in (prompt, *some)])
    with store.writing() as connection:
        for kind, purpose, many in (
            ("write", "training", 0), ("rank", "training", 4), ("compare", "evaluation", 2), ("judge", "evaluation", 1),
        ):  # fmt: skip
            settings = JobSettings(gold=0, judge=kind == "rank")
            job = jobs.make(connection, kind, kind, purpose, settings, store.clock())
            todos = [Todo(prompt.id, tuple(one.id for one in some[:many]), slots=each) for prompt, some in SHEETS]
            jobs.add(connection, job, todos, store.clock())


def directly(store: Store, team: list[Person]) -> None:
    """All of the same, through the store's functions."""
    store.add_many([one for prompt, some in SHEETS for one in (prompt, *some)])
    store.add_labelers(person.labeler for person in team)
    for person in team:
        for prompt, some in SHEETS:
            if people.unclear(person, prompt):
                for kind in ("write", "rank", "compare", "judge"):
                    store.skip(prompt.id, person.name, kind, "unclear")
                continue
            store.add_many([people.demonstrate(person, prompt), people.rank(person, prompt, some)])
            store.add_many(
                [people.compare(person, prompt, *some[:2]), *(people.judge(person, prompt, c) for c in some)]
            )


def holds(store: Store, names: dict[str, str]) -> dict[str, list]:
    """Who said what of what, in no order; not when, for how long, and at which side of the screen."""

    def by(name: str | None) -> str:
        return names.get(name or "", name or "")

    beside = {"seconds", "at", "guidelines", "labeler", "hallucination"}
    found = {
        "demonstrations": [(by(one.labeler), one.prompt_id, one.text) for one in store.demonstrations()],
        "rankings": [
            (by(one.labeler), one.prompt_id, tuple(tuple(sorted(tier)) for tier in one.order))
            for one in store.rankings()
        ],
        "verdicts": [
            (by(one.labeler), one.prompt_id, tuple(sorted((one.a, one.b))), {"a": one.a, "b": one.b}.get(one.better))
            for one in store.verdicts()
        ],
        "judgements": [
            (by(one.labeler), one.model_dump_json(exclude=beside), bool(one.hallucination))
            for one in store.judgements()
        ],
        "skips": [(by(one.labeler), one.prompt_id, one.task, one.reason) for one in store.skips()],
    }
    return {what: sorted(some, key=repr) for what, some in found.items()}


def named(store: Store) -> dict[str, str]:
    with store.reading() as connection:
        return {one.labeler: one.name.removeprefix(online.MARK) for one in accounts.everyone(connection)}


def owner(store: Store) -> None:
    with store.writing() as connection:
        made = accounts.make(connection, "owner", "owner", "researcher", store.clock())
        accounts.change(connection, made.labeler, store.clock(), password=hash_password(WORDS))


def same(where: str | Path, aside: Path) -> None:
    with open_store(where) as store, open_store(aside / "direct.db") as direct:
        directly(direct, TEAM)
        mine, theirs = holds(store, named(store)), holds(direct, {})
        assert min(map(len, theirs.values())) >= len(TEAM)
        assert mine == theirs
        with store.reading() as connection:
            said = list(connection.execute(select(answers.c.task, answers.c.labeler)))
        assert len(said) == len(set(said)) == 4 * len(KINDS) * len(TEAM)


@pytest.fixture
def team(where) -> Iterator[str]:
    with open_store(where) as store:
        owner(store)
        fill(store, len(TEAM))
    with serving(create_app(where)) as address:
        yield address


def seats(url: str, some=TEAM) -> list[online.Seat]:
    wire = online.sign_in(Wire(url, PATIENCE), "owner", WORDS)
    with closing(wire):
        return online.invited(url, wire, some, PATIENCE)


def test_the_store_holds_what_the_direct_road_gives(team, where, tmp_path):
    said = online.work(seats(team))
    each = len(KINDS) * len(TEAM)
    assert said == {"write": each, "rank": each, "compare": each, "judge": each, "skip": 4 * len(TEAM)}
    same(where, tmp_path)
    with open_store(where) as store, store.reading() as connection:
        opened = select(sessions.c.labeler).where(sessions.c.purpose == "session", sessions.c.ended.is_(None))
        assert [named(store)[name] for name in connection.execute(opened).scalars()] == ["owner"]
        of = select(labelers.c.group).where(labelers.c.id.in_(select(answers.c.labeler)))
        assert set(connection.execute(of).scalars()) == {"training"}


def test_a_server_that_is_killed_and_comes_back_loses_and_doubles_nothing(tmp_path):
    where = tmp_path / "store.db"
    with open_store(where) as store:
        owner(store)
        fill(store, len(TEAM))
    server = siege.Server(tmp_path, str(where), warm.labeling)
    alone(server.start())
    failed: list[BaseException] = []

    def work() -> None:
        try:
            online.work(seats(f"http://localhost:{server.port}"))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    try:
        thread.start()
        for least in (3, 30):
            with open_store(where) as store:
                while thread.is_alive() and _answered(store) < least:
                    time.sleep(0.02)
            server.stop(signal.SIGKILL)
            alone(server.start())
        thread.join(300)
        assert not thread.is_alive()
    finally:
        server.stop(signal.SIGKILL)
    assert failed == []
    assert len(server.starts) == 3
    same(where, tmp_path)


def _answered(store: Store) -> int:
    with store.reading() as connection:
        return connection.execute(select(func.count()).select_from(answers)).scalar_one()


def test_who_was_invited_before_is_invited_again_and_nobody_else_is_touched(team, where):
    first = seats(team, TEAM[:1])
    again = seats(team, TEAM[:1])
    assert first[0].wire.ask("GET", "/api/me").status == 401  # its session ended with the new link
    me = again[0].wire.ask("GET", "/api/me").json
    assert (me["name"], me["role"], me["group"]) == (f"hamlet {TEAM[0].name}", "labeler", "training")
    with open_store(where) as store, store.writing() as connection:
        accounts.make(connection, f"hamlet {TEAM[1].name}", "labeler", "researcher", store.clock())
        accounts.change(connection, me["labeler"], store.clock(), state="closed")
    with pytest.raises(ConfigError, match="somebody else"):
        seats(team, TEAM[1:2])
    assert seats(team, TEAM[:1]) == []  # a closed account stays closed
    for seat in (*first, *again):
        seat.wire.close()


def test_consent_is_read_and_given(team, where):
    with open_store(where) as store, store.writing() as connection:
        jobs.set_guide(connection, "consent", "What happens with your work.", store.clock())
    assert online.work(seats(team, TEAM[:1]))["write"] == len(KINDS)


def test_what_one_person_leaves_another_is_given(team, where, monkeypatch):
    """Even when the other was told before that there is nothing."""
    with open_store(where) as store, store.writing() as connection:
        first = select(slots.c.task).join(tasks_table, tasks_table.c.id == slots.c.task)
        odd = connection.execute(first.where(tasks_table.c.prompt_id == SHEETS[-1][0].id)).scalars().first()
        connection.execute(slots.delete().where((slots.c.task != odd) | (slots.c.slot > 0)))
    nothing, claim, do = threading.Event(), online._claim, online._do

    def told(wire: Wire) -> dict | None:
        task = claim(wire)
        if task is None:
            nothing.set()
        return task

    def slowly(seat: online.Seat, task: dict) -> str:
        assert nothing.wait(60)
        return do(seat, task)

    monkeypatch.setattr(online, "_claim", told)
    monkeypatch.setattr(online, "_do", slowly)
    assert online.work(seats(team, TEAM[:2])) == {"skip": 2}
    with open_store(where) as store, store.reading() as connection:
        assert len(set(connection.execute(select(passes.c.labeler)).scalars())) == 2


@pytest.mark.parametrize("kind", ["prompt", "toxicity"])
def test_the_other_kinds_of_work_are_forms_that_the_server_takes(where, kind):
    with open_store(where) as store:
        owner(store)
        store.add_many([one for prompt, some in SHEETS for one in (prompt, *some)])
        with store.writing() as connection:
            job = jobs.make(connection, kind, kind, "evaluation", JobSettings(), store.clock())
            todos = [Todo(None)] if kind == "prompt" else [Todo(p.id, tuple(c.id for c in cs)) for p, cs in SHEETS[:-1]]
            jobs.add(connection, job, [todo._replace(slots=1) for todo in todos], store.clock())
    with serving(create_app(where)) as url:
        assert online.work(seats(url, TEAM[:1])) == {kind: len(todos)}


# The command.


def command(*words: str, **more: str) -> subprocess.CompletedProcess:
    return warm.run("hamlet", "people", *words, loaded=warm.LABEL, env=os.environ | more, timeout=600)


def test_the_command_lets_a_team_in_and_says_what_was_done(team, where, tmp_path):
    done = command("--url", team, "--most", "1", BIDDABLE_PASSWORD=WORDS)
    assert done.returncode == 0, done.stderr
    assert "2 people of Hamlet are signed in" in done.stdout
    assert "6 write" in done.stdout
    with open_store(where) as store:
        assert {one for one in named(store).values() if one != "owner"} == {"labeler-02", "outside-01"} or len(
            named(store)
        ) == 3
    links = tmp_path / "links"
    with closing(online.sign_in(Wire(team, 60), "owner", WORDS)) as wire:
        made = wire.ask("POST", "/api/people", {"name": "ann"}).json
    links.write_text(f"{team}{made['invite']}\n\n")
    done = command("--links", str(links))
    assert done.returncode == 0, done.stderr
    assert "1 people of Hamlet" in done.stdout


def test_what_is_wrong_is_one_line(team):
    wrong = command("--url", team, BIDDABLE_PASSWORD="wrong words here")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "owner: this name and this password are not a pair" in wrong.stderr
    nobody = command("--url", "http://localhost:9", BIDDABLE_PASSWORD=WORDS)
    assert (nobody.returncode, nobody.stderr.count("\n")) == (2, 1)
    assert "no answer from a labeling server there" in nobody.stderr
