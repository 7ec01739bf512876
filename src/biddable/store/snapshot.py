"""The doorway: records out to a file that a run can be repeated from, completions and scores back in."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import ColumnElement, Connection, Table, and_, func, select, union

from biddable import records
from biddable.records import Group, Record, Split
from biddable.store import migrate, queries
from biddable.store.engine import StoreError
from biddable.store.quality import of_quality
from biddable.store.rows import SHELVES, kind_of
from biddable.store.tables import changes, completions, labelers, prompts, ranked, rankings, verdicts

What = Literal["prompts", "demos", "rankings", "judgements", "verdicts"]
KINDS: dict[What, str] = {
    "prompts": "prompt",
    "demos": "demonstration",
    "rankings": "ranking",
    "judgements": "judgement",
    "verdicts": "verdict",
}


class Query(Record):
    what: What
    split: Split | None
    group: Group | None


class SnapshotManifest(Record):
    """What a snapshot holds and where it came from; it stands beside it as NAME.manifest.json."""

    kind: Literal["snapshot"] = "snapshot"
    path: str  # the file's name: a snapshot and its manifest travel together
    sha256: str
    bytes: int
    counts: dict[str, int]
    query: Query
    at: datetime
    schema_revision: str
    last_change: int  # the store's history up to which the snapshot knows


def manifest_path(path: Path) -> Path:
    return path.with_name(path.name + ".manifest.json")


def take(connection: Connection, query: Query, path: Path, at: datetime) -> SnapshotManifest:
    """Write a snapshot and its manifest. The same store and query give the same bytes, on either engine."""
    kind = KINDS[query.what]
    table = SHELVES[kind].table
    conditions = _conditions(connection, table, query)
    if not queries.count(connection, table, *conditions):
        by = f" by {query.group} labelers" if query.group and kind != "prompt" else ""
        of = f" on {query.split} prompts" if query.split else ""
        what = f"{query.split} prompts" if query.split and kind == "prompt" else f"{table.name}{by}{of}"
        total = queries.count(connection, table)
        raise StoreError(f"{query.what}: no {what} ({total} of any kind are stored); nothing was written")
    counts: Counter[str] = Counter()
    try:
        records.write(path, _counted(_contents(connection, kind, query), counts))
        manifest = SnapshotManifest(
            path=path.name,
            sha256=_sha256(path),
            bytes=path.stat().st_size,
            counts=dict(counts),
            query=query,
            at=at,
            schema_revision=migrate.revision(connection) or "",
            last_change=connection.execute(select(func.coalesce(func.max(changes.c.id), 0))).scalar_one(),
        )
        _write_aside(manifest_path(path), manifest.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
    return manifest


MADE = ("completion", "score")  # by machines, who label nothing
SAID = ("labeler", "prompt", "completion", "demonstration", "ranking", "judgement", "verdict")  # by people, and of what


def rows_of(path: Path, kinds: tuple[str, ...]) -> Iterator[tuple[int, Record]]:
    """The records of a file with their rows; those of other kinds, and a file without any, are refused."""
    row = 0
    for row, record in records.read_rows(path):
        if kind_of(record) not in kinds:
            *some, last = (f"{kind}s" for kind in kinds)
            raise StoreError(
                f"{path}, row {row}: kind: is {kind_of(record)}; only {', '.join(some)} and {last} are taken here"
            )
        yield row, record
    if not row:
        raise StoreError(f"{path}: holds no records; nothing was taken")


def _conditions(connection: Connection, table: Table, query: Query) -> list[ColumnElement[bool]]:
    chosen = queries.chosen(table, query.split, query.group)
    return [*chosen, *of_quality(connection)] if table is rankings else chosen


def _contents(connection: Connection, kind: str, query: Query) -> Iterator[Record]:
    """The chosen records, after everything that they name."""
    table = SHELVES[kind].table
    conditions = _conditions(connection, table, query)
    if kind == "prompt":
        yield from queries.fetch(connection, kind, *conditions)
        return
    yield from queries.fetch(connection, "labeler", labelers.c.id.in_(select(table.c.labeler).where(*conditions)))
    if kind == "demonstration":
        yield from queries.fetch(connection, "prompt", prompts.c.id.in_(select(table.c.prompt_id).where(*conditions)))
    else:
        its = _its_completions(kind, conditions)
        of = select(completions.c.prompt_id).where(its)
        yield from queries.fetch(connection, "prompt", prompts.c.id.in_(of))
        yield from queries.fetch(connection, "completion", its)
    yield from queries.fetch(connection, kind, *conditions)


def _its_completions(kind: str, conditions: list[ColumnElement[bool]]) -> ColumnElement[bool]:
    match kind:
        case "ranking":
            its = and_(rankings.c.prompt_id == ranked.c.prompt_id, rankings.c.labeler == ranked.c.labeler)
            return completions.c.id.in_(select(ranked.c.completion_id).join(rankings, its).where(*conditions))
        case "verdict":
            both = (select(column).where(*conditions) for column in (verdicts.c.a, verdicts.c.b))
            return completions.c.id.in_(union(*both))
    return completions.c.id.in_(select(SHELVES[kind].table.c.completion_id).where(*conditions))


def _counted(batch: Iterable[Record], counts: Counter[str]) -> Iterator[Record]:
    for record in batch:
        counts[kind_of(record)] += 1
        yield record


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_aside(path: Path, text: str) -> None:
    aside = path.with_name(path.name + ".part")
    aside.write_text(text, encoding="utf-8", newline="\n")
    aside.replace(path)
