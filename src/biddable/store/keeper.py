"""The store: every call is one transaction; what a call has returned from is on disk."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, Engine
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from biddable.records import (
    AnyRecord,
    Completion,
    Demonstration,
    Group,
    Judgement,
    Labeler,
    Prompt,
    Ranking,
    Record,
    Score,
    Split,
    Verdict,
)
from biddable.store import engine, migrate, queries, snapshot, tables, writing
from biddable.store.engine import StoreError
from biddable.store.rows import SHELVES, Skip, Task, kind_of, one_thing, sound
from biddable.store.snapshot import SAID

WHOLE = 20_000  # rows of a file that are one transaction
PART = 4000  # rows of a larger one that are: people at work wait for it, some 0.1 s


def now() -> datetime:
    return datetime.now(UTC)


def open_store(where: str | Path, clock: Callable[[], datetime] = now) -> "Store":
    """Open the store at a path (SQLite) or postgresql:// URL, making it and bringing its schema up to date."""
    url = engine.locate(where)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").parent.is_dir():
        raise StoreError(f"{url.database}: its folder does not exist; make it first")
    with engine.turn(url), _plainly(engine.shown(url)):
        bare = engine.connect(url, foreign_keys=False)
        try:
            migrate.upgrade(bare)
        finally:
            bare.dispose()
    return Store(engine.connect(url), clock)


class Store:
    """Use `open_store`. Threads may share one. The same record twice counts once; another record under the same key,
    or one that names the unknown, is a StoreError, and then nothing of that call is kept."""

    def __init__(self, connections: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = connections
        self._clock = clock
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._turn, engine.turn(self._engine.url):  # the last to close copies the WAL into the database
            self._engine.dispose()

    # Adding. Each returns how many (or whether it) was new.

    def add_many(self, batch: Iterable[AnyRecord]) -> dict[str, int]:
        """Records of any kinds in any order, all or none. Returns how many of each kind were new."""
        return self._add(batch)

    def add_prompts(self, prompts: Iterable[Prompt]) -> int:
        return self._add(prompts).get("prompt", 0)

    def add_labelers(self, labelers: Iterable[Labeler]) -> int:
        return self._add(labelers).get("labeler", 0)

    def add_completions(self, completions: Iterable[Completion]) -> int:
        return self._add(completions).get("completion", 0)

    def add_scores(self, scores: Iterable[Score]) -> int:
        return self._add(scores).get("score", 0)

    def add_demonstration(self, demonstration: Demonstration) -> bool:
        return any(self._add([demonstration]).values())

    def add_ranking(self, ranking: Ranking) -> bool:
        return any(self._add([ranking]).values())

    def add_judgement(self, judgement: Judgement) -> bool:
        return any(self._add([judgement]).values())

    def add_verdict(self, verdict: Verdict) -> bool:
        return any(self._add([verdict]).values())

    def skip(self, prompt_id: str, labeler: str, task: Task, reason: str) -> bool:
        """A labeler leaves a task undone. Skipped twice is skipped once, and the first reason stays."""
        left = Skip(prompt_id=prompt_id, labeler=labeler, task=task, reason=reason, at=self._clock())
        return any(self._add([left]).values())

    # Reading, in the order of the keys.

    def counts(self) -> dict[str, int]:
        with self._reading() as connection:
            return queries.counts(connection)

    def holds(self, kind: str, split: Split | None = None) -> bool:
        """Whether there is any record of a kind, or any about prompts of a split. To read the first would sort all."""
        with self._reading() as connection:
            return queries.holds(connection, kind, split)

    def prompts(self, split: Split | None = None) -> Iterator[Prompt]:
        return self._read("prompt", *queries.chosen(tables.prompts, split, None))

    def labelers(self, group: Group | None = None) -> Iterator[Labeler]:
        return self._read("labeler", *([tables.labelers.c.group == group] if group else []))

    def completions(self, prompt_ids: Iterable[str] | None = None, run_id: str | None = None) -> Iterator[Completion]:
        table = tables.completions
        of_run = [table.c.run_id == run_id] if run_id else []
        if prompt_ids is None:
            return self._read("completion", *of_run)
        some = queries.any_of(queries.among(table, ("prompt_id",), ((p,) for p in sorted(set(prompt_ids)))))
        return self._read("completion", *of_run, *some)

    def demonstrations(self, split: Split | None = None, group: Group | None = None) -> Iterator[Demonstration]:
        return self._read("demonstration", *queries.chosen(tables.demonstrations, split, group))

    def rankings(self, split: Split | None = None, group: Group | None = None) -> Iterator[Ranking]:
        return self._read("ranking", *queries.chosen(tables.rankings, split, group))

    def judgements(self, split: Split | None = None, group: Group | None = None) -> Iterator[Judgement]:
        return self._read("judgement", *queries.chosen(tables.judgements, split, group))

    def verdicts(self, split: Split | None = None, group: Group | None = None) -> Iterator[Verdict]:
        return self._read("verdict", *queries.chosen(tables.verdicts, split, group))

    def scores(self, run_id: str | None = None) -> Iterator[Score]:
        return self._read("score", *([tables.scores.c.run_id == run_id] if run_id else []))

    def skips(self) -> Iterator[Skip]:
        return self._read("skip")

    # The doorway.

    def snapshot(
        self, what: snapshot.What, path: Path, *, split: Split | None = None, group: Group | None = "training"
    ) -> snapshot.SnapshotManifest:
        """Write records and all that they name to `path`, and a manifest beside it.

        Unless told otherwise, only what training labelers said: held-out labelers are for evaluation alone, candidates
        are being screened, and researchers set the screen. group=None is everyone, for evaluation."""
        if what not in snapshot.KINDS:
            raise StoreError(f"{what}: no such snapshot; take one of {', '.join(snapshot.KINDS)}")
        query = snapshot.Query(what=what, split=split, group=None if what in ("prompts", "completions") else group)
        with self._reading() as connection:
            return snapshot.take(connection, query, path, self._clock())

    def receive(self, path: Path) -> dict[str, int]:
        """Take back a file of completions and scores, all or none. Returns how many of each were new."""
        return {"completion": 0, "score": 0} | self._add_file(path, snapshot.MADE)

    def add_file(self, path: Path, kinds: tuple[str, ...] = SAID) -> dict[str, int]:
        """Take in a file of what people said, with the labelers, prompts and completions that it names: all or none; or
        of one with more than WHOLE rows, what stands before a row that does not fit."""
        return self._add_file(path, kinds)

    def add_rows(
        self, path: Path, rows: Sequence[tuple[int, Record]], otherwise: str = "nothing of the file was taken"
    ) -> dict[str, int]:
        """The same of records that were made of a file's rows, each with its row's number."""
        try:
            return self._add(record for _, record in rows)
        except StoreError as error:
            about = error.about
            # Of two rows under one key the later one is at fault.
            found = [row for row, record in rows if about is not None and one_thing(record, about)]
            at = f", row {found[-1]}" if found else ""
            raise StoreError(f"{path}{at}: {error}; {otherwise}", about) from error

    # People at work: see accounts, guidelines, jobs and work, which are given a connection.

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that writes, on disk when it is left; alone, among threads and processes."""
        with self._writing() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One moment of the store."""
        with self._reading() as connection:
            yield connection

    @property
    def clock(self) -> Callable[[], datetime]:
        return self._clock

    # How.

    def _add(self, batch: Iterable[Record]) -> dict[str, int]:
        # Checked before the transaction begins, so that a slow generator keeps nobody waiting.
        ready = [sound(record) for record in batch]
        with self._writing() as connection:
            return writing.add(connection, ready, self._clock())

    def _add_file(self, path: Path, kinds: tuple[str, ...]) -> dict[str, int]:
        found = snapshot.rows_of(path, kinds)
        rows = list(itertools.islice(found, WHOLE + 1))
        if len(rows) <= WHOLE:
            return self.add_rows(path, rows)
        # And each row is a record. A file of one kind need not be read for that: it goes in as it comes.
        present = {kind_of(record) for _, record in itertools.chain(rows, found)} if len(kinds) > 1 else set(kinds)
        del rows
        new: Counter[str] = Counter()
        for kind in SHELVES:
            of_kind = (one for one in snapshot.rows_of(path, kinds) if kind_of(one[1]) == kind)
            parts = iter(lambda of_kind=of_kind: list(itertools.islice(of_kind, PART)), [])
            for part in _ahead(parts) if kind in present else ():
                kept = f"{sum(new.values())} records before it are in the store; mend it and import again"
                new.update(self.add_rows(path, part, kept))
        return dict(new)

    def _read(self, kind: str, *conditions: ColumnElement[bool]) -> Iterator[Any]:
        with self._reading() as connection:
            yield from queries.fetch(connection, kind, *conditions)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        url = self._engine.url
        with (
            self._turn,
            engine.turn(url),
            _plainly(engine.shown(url)),
            engine.writing(self._engine).begin() as connection,
        ):
            engine.take_turn(connection)
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _plainly(engine.shown(self._engine.url)), engine.reading(self._engine).begin() as connection:
            yield connection


def _ahead(parts: Iterator[list[Any]]) -> Iterator[list[Any]]:
    """The same parts, each read while the one before it goes to disk."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = reader.submit(next, parts, None)
            yield part


@contextmanager
def _plainly(where: str) -> Iterator[None]:
    """What the database says of itself (full, locked, unreachable, no database) as one line for a person."""
    try:
        yield
    except DBAPIError as error:
        away = engine.is_away(error)
        if not away and not isinstance(error, OperationalError) and type(error) is not DatabaseError:
            raise  # a constraint, a wrong statement: ours to prevent, not the user's to mend
        reason = str(error.orig).strip().splitlines()
        kind = engine.Full if engine.is_full(error) else engine.Away if away else StoreError
        raise kind(f"{where}: {reason[0] if reason else error}") from error
