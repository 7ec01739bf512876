"""Writing: each record once, nothing that names the unknown, and a line in `changes` for whatever is new."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from biddable.records import Ranking, Record, Verdict
from biddable.store import history
from biddable.store.engine import StoreError
from biddable.store.history import Change, content
from biddable.store.queries import among, fetch
from biddable.store.rows import (
    SHELVES,
    Named,
    key,
    key_text,
    kind_of,
    names,
    ranked_rows,
    said_by,
    same,
    text_of,
    to_row,
    upright,
)
from biddable.store.tables import completions, ranked

CHUNK = 5000  # records looked up and inserted at once


def add(
    connection: Connection, batch: Iterable[Record], at: datetime, *, first_stays: bool = False, all_known: bool = False
) -> dict[str, int]:
    """Add sound records, those that are named before those that name them. Returns how many of each kind are new.

    Another record under a key that is taken is refused; or left out, where the first stays. Whether what they name is
    there is not looked up where all is known to be."""
    by_kind: dict[str, list[Record]] = {kind: [] for kind in SHELVES}
    for record in batch:
        by_kind[kind_of(record)].append(record)
    counts: dict[str, int] = {}
    news: list[Change] = []
    for kind, group in by_kind.items():
        for chunk in _chunks(group):
            new = _add_chunk(connection, kind, chunk, first_stays, all_known)
            counts[kind] = counts.get(kind, 0) + len(new)
            news += [Change(kind, text_of(name), said_by(r), content(r)) for name, r in new.items()]
    history.write(connection, at, news)
    return counts


def _add_chunk(
    connection: Connection, kind: str, chunk: Sequence[Record], first_stays: bool, all_known: bool
) -> dict[tuple[str, ...], Record]:  # fmt: skip
    """Returns those that are new."""
    shelf = SHELVES[kind]
    new: dict[tuple[str, ...], Record] = {}
    for record in chunk:
        _refuse_another(record, new.setdefault(key(record), record))
    for condition in among(shelf.table, shelf.key, new):
        for stored in list(fetch(connection, kind, condition)):
            again = new.pop(key(stored))
            if not first_stays:
                _refuse_another(again, stored)
    if not new:
        return {}
    if not all_known:
        _refuse_unknown(connection, new.values())
    connection.execute(shelf.table.insert(), [to_row(record) for record in new.values()])
    if kind == "ranking":
        connection.execute(
            ranked.insert(), [row for r in new.values() if isinstance(r, Ranking) for row in ranked_rows(r)]
        )
    return new


def _refuse_another(record: Record, stored: Record) -> None:
    """The same record again is no news; another one under its key would change what somebody said."""
    if not same(record, stored):
        one, other = (upright(r) if isinstance(r, Verdict) else r for r in (record, stored))
        differ = next(field for field, value in one if value != getattr(other, field))
        raise StoreError(
            f"{kind_of(record)} {key_text(record)}: is already there with another {differ}; what is stored stays",
            record,
        )


def _refuse_unknown(connection: Connection, batch: Iterable[Record]) -> None:
    """The foreign keys would refuse too, but they do not say whom."""
    named = [(record, name) for record in batch for name in names(record)]
    known = {
        kind: _known(connection, kind, {name.id for _, name in named if name.kind == kind})
        for kind in ("labeler", "prompt", "completion")
    }
    for record, name in named:
        if fault := _fault(name, known[name.kind]):
            raise StoreError(f"{kind_of(record)} {key_text(record)}: {name.field}: {fault}", record)


def _fault(name: Named, known: dict[str, str]) -> str | None:
    if name.kind == "labeler" and not name.id:
        return "a person's verdict must say who the person is"
    if name.id not in known:
        return f"the store knows no {name.kind} {name.id}; add it first"
    if name.prompt_id is not None and known[name.id] != name.prompt_id:
        return f"completion {name.id} answers prompt {known[name.id]}, not {name.prompt_id}"
    return None


def _known(connection: Connection, kind: str, ids: set[str]) -> dict[str, str]:
    """Those of the ids that exist; for a completion with its prompt."""
    table = SHELVES[kind].table
    second = completions.c.prompt_id if kind == "completion" else table.c.id
    found: dict[str, str] = {}
    for condition in among(table, ("id",), ((name,) for name in sorted(ids))):
        found |= {row[0]: row[1] for row in connection.execute(select(table.c.id, second).where(condition))}
    return found


def _chunks(batch: Sequence[Record]) -> Iterator[Sequence[Record]]:
    return (batch[start : start + CHUNK] for start in range(0, len(batch), CHUNK))
