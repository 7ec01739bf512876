"""After a power cut the store is sound and holds all that was acknowledged, whatever part of the rest was written."""

import itertools
import random

import pytest
from powercut import Disk, at_work, cut, faults
from sqlalchemy import event

from biddable.store import open_store


@pytest.fixture(scope="module")
def disks(tmp_path_factory) -> list[Disk]:
    return at_work(tmp_path_factory.mktemp("power") / "store.db", 24)


def test_a_power_cut_loses_nothing_that_was_acknowledged(disks, tmp_path):
    """`python tests/store/powercut.py` does ten thousand."""
    rng = random.Random(1)
    assert sum(one.database != other.database for one, other in itertools.pairwise(disks)) >= 2  # checkpoints
    for n in range(len(disks) - 1):
        for _ in range(3):
            assert faults(cut(disks[n], disks[n + 1], rng), tmp_path) == []


def test_what_a_disk_that_syncs_too_late_would_lose_is_noticed(disks, tmp_path):
    """As if commits were acknowledged before they were synced: the cut goes back behind them."""
    rng = random.Random(2)
    early = [cut(disks[n], disks[n + 4], rng)._replace(acknowledged=disks[n + 4].acknowledged) for n in range(12)]
    assert any(fault.startswith("lost") for disk in early for fault in faults(disk, tmp_path))


def test_every_connection_waits_for_the_disk(tmp_path):
    """What the power cuts rest upon: a commit is synced before it returns (2 is FULL), and only after the log is."""
    seen = []
    with open_store(tmp_path / "s.db") as store:

        @event.listens_for(store._engine, "commit")
        def _look(connection) -> None:
            ask = connection.exec_driver_sql
            seen.append((ask("PRAGMA synchronous").scalar_one(), ask("PRAGMA journal_mode").scalar_one()))

        for _ in range(3):
            with store.writing(), store.reading():
                pass
    assert len(seen) >= 3
    assert set(seen) == {(2, "wal")}
