"""Every test of the store runs against both engines."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from biddable.store import Store, open_store

sys.path.insert(0, str(Path(__file__).parent))  # for village.py, under either of pytest's import modes

from moulds import Fill, Moulds, nothing, spared_the_disk


@pytest.fixture(scope="session")
def moulds(tmp_path_factory: pytest.TempPathFactory) -> Moulds:
    return Moulds(tmp_path_factory.mktemp("moulds"))


@pytest.fixture(params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path: Path, moulds: Moulds) -> Iterator[Callable[[Fill], str]]:
    """Where a store is that is filled so."""
    with spared_the_disk():
        if request.param == "sqlite":
            yield lambda fill: moulds.file(tmp_path / "store.db", fill)
        else:
            postgres = request.getfixturevalue("postgres")
            yield lambda fill: moulds.database(postgres, fill)


@pytest.fixture
def where(filled: Callable[[Fill], str]) -> str:
    """Where an empty store is."""
    return filled(nothing)


@pytest.fixture(params=["sqlite", "postgresql"])
def nowhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where no store is yet, and one can be."""
    return str(tmp_path / "store.db") if request.param == "sqlite" else request.getfixturevalue("database")


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with open_store(where) as opened:
        yield opened


@pytest.fixture
def both(tmp_path: Path, postgres: str, moulds: Moulds) -> Iterator[tuple[Store, Store]]:
    with open_store(moulds.file(tmp_path / "one.db")) as one, open_store(moulds.database(postgres)) as other:
        yield one, other
