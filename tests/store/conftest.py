"""Every test of the store runs against both engines."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from biddable.store import Store, open_store

sys.path.insert(0, str(Path(__file__).parent))  # for village.py, under either of pytest's import modes


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a fresh store will be."""
    return str(tmp_path / "store.db") if request.param == "sqlite" else request.getfixturevalue("database")


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with open_store(where) as opened:
        yield opened


@pytest.fixture
def both(tmp_path: Path, database: str) -> Iterator[tuple[Store, Store]]:
    with open_store(tmp_path / "one.db") as one, open_store(database) as other:
        yield one, other
