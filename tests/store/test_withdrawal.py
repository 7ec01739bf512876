"""Who takes back what they gave is out of every table, and the store is sound; the others' words stay as they were."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lived import NOON, live_in
from moulds import Fill
from sqlalchemy import Connection, String, Text, func, or_, select
from village import LABELERS, PROMPTS, demonstration

from biddable.records import Completion, Prompt
from biddable.store import Store, accounts, open_store, tables, withdrawal
from biddable.store.verify import faults
from biddable.store.work_tables import slots

STAYS = {  # that they were there, and what managers decided
    "labelers", "accounts", "names", "sessions", "consents", "screenings", "activity", "guidelines", "taken_out",
    "sightings", "changes",
}  # fmt: skip


@pytest.fixture
def lived(filled: Callable[[Fill], str]) -> Iterator[Store]:
    with open_store(filled(live_in)) as store:
        yield store


def naming(connection: Connection, person: str) -> set[str]:
    """The tables in which their name stands anywhere."""
    found = set()
    for table in tables.metadata.sorted_tables:
        words = [column == person for column in table.c if isinstance(column.type, (String, Text))]
        if words and connection.execute(select(func.count()).select_from(table).where(or_(*words))).scalar_one():
            found.add(table.name)
    return found


@pytest.mark.parametrize("who", ["annie", "benno", "boss", "ada", "cal", "ann"])
def test_a_labelers_words_are_nowhere_any_more_and_the_store_is_sound(lived: Store, who):
    with lived.reading() as connection:
        account = accounts.named(connection, who)
        name = account.labeler if account else who  # ann came by a file and has none
        before = withdrawal.theirs(connection, name)
        assert before
    with lived.writing() as connection:
        assert withdrawal.withdraw(connection, name, NOON, "olga") == before
    with lived.reading() as connection:
        assert naming(connection, name) <= STAYS
        assert withdrawal.theirs(connection, name) == {}
        assert list(faults(connection)) == []


def test_the_others_words_stay_as_they_were(lived: Store):
    before = {r.labeler: r for r in lived.rankings()}
    judged = [j for j in lived.judgements() if j.labeler != "ann"]
    with lived.writing() as connection:
        withdrawal.withdraw(connection, "ann", NOON)
    after = list(lived.rankings())
    assert {r.labeler for r in after} == before.keys() - {"ann"}
    assert list(lived.judgements()) == judged
    assert len(list(lived.prompts())) == 7


def test_a_users_prompts_go_with_all_that_hangs_on_them(lived: Store):
    assert {p.id for p in lived.prompts() if p.user == "u1"} == {"p1"}
    with lived.writing() as connection:
        gone = withdrawal.withdraw(connection, "u1", NOON)
    assert gone["prompts"] == 1
    assert gone["completions"] == 3
    assert "p1" not in {p.id for p in lived.prompts()}
    assert not any(getattr(record, "prompt_id", "") == "p1" for record in lived.completions())
    with lived.reading() as connection:
        assert list(faults(connection)) == []
        assert "p1" not in json.dumps([list(map(str, row)) for row in connection.execute(select(tables.ranked))])


def test_an_organizations_prompts_go_too(lived: Store):
    lived.add_prompts([Prompt(id="q", text="?", organization="acme"), Prompt(id="r", text="!", user="acme")])
    lived.add_completions([Completion(id="qa", prompt_id="q", text="a", run_id="sft")])
    with lived.writing() as connection:
        assert withdrawal.withdraw(connection, "acme", NOON) == {"completions": 1, "prompts": 2}


def test_what_they_had_done_is_open_for_others(lived: Store):
    with lived.reading() as connection:
        done = select(func.count()).where(slots.c.labeler.is_not(None))
        name = connection.execute(select(slots.c.labeler).where(slots.c.state == "done")).scalars().first()
        before = connection.execute(done).scalar_one()
        had = connection.execute(done.where(slots.c.labeler == name)).scalar_one()
    with lived.writing() as connection:
        withdrawal.withdraw(connection, name, NOON)
    with lived.reading() as connection:
        assert connection.execute(done).scalar_one() == before - had
        free = select(func.count()).where(slots.c.state == "open", slots.c.taken.is_(None))
        assert connection.execute(free).scalar_one() >= had


def test_the_history_says_who_took_what_back(lived: Store):
    with lived.writing() as connection:
        withdrawal.withdraw(connection, "ann", NOON, "olga")
    with lived.reading() as connection:
        lines = connection.execute(select(tables.changes).where(tables.changes.c.who == "olga")).all()
    assert {"ranking taken back", "judgement taken back", "demonstration taken back", "withdrawn"} <= {
        line.what for line in lines
    }
    assert next(line for line in lines if line.what == "withdrawn").key == "ann"


def test_not_even_the_bytes_of_the_file_hold_it_any_more(tmp_path: Path):
    said, kept = "a secret of mine" * 40, "what others said" * 40
    with open_store(tmp_path / "store.db") as store:
        store.add_many([*PROMPTS, *LABELERS, demonstration(text=said), demonstration("p2", "ben", kept)])
    assert said.encode() in (tmp_path / "store.db").read_bytes()
    with open_store(tmp_path / "store.db") as store, store.writing() as connection:
        withdrawal.withdraw(connection, "ann", NOON)
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"a secret of mine" not in left
    assert kept.encode() in left


def test_nothing_of_nobody_goes(lived: Store):
    with lived.writing() as connection:
        assert withdrawal.withdraw(connection, "nobody", NOON) == {}
