"""A file of labels or answers goes into a store: the same for the command line and the app."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from biddable.gather.labels import holds_records, read_labels
from biddable.gather.personal import personal_data
from biddable.gather.reading import json_rows
from biddable.gather.rules import GatherConfig
from biddable.records import SOMEONE, Judgement, Labeler, Prompt, Ranking, Record, Split, Verdict, is_someone

UNNAMED = (
    f'no row names who said it: all is put down to "{SOMEONE}", so how far people agree cannot be told, and intervals '
    "know of prompts alone; name people in a column labeler (user is whose prompt it is)"
)


class Into(Protocol):
    """What is needed of a store."""

    def prompts(self) -> Iterator[Prompt]: ...
    def labelers(self) -> Iterator[Labeler]: ...
    def add_file(self, path: Path) -> dict[str, int]: ...
    def add_rows(self, path: Path, rows: Sequence[tuple[int, Record]]) -> dict[str, int]: ...


class Held(NamedTuple):
    """A prompt with personal data."""

    row: int
    prompt: str
    split: Split | None
    kind: str


class Brought(NamedTuple):
    new: dict[str, int]  # records, by kind
    known: dict[str, int]  # that were there already, without those of which there were none
    personal: list[Held]
    unnamed: bool = False  # no row says whose its ranking, judgement or vote is

    def told(self) -> str:
        """In one line, for a person."""
        known = ", ".join(f"{count} {kind}s" for kind, count in self.known.items())
        new = ", ".join(f"{count} new {kind}s" for kind, count in self.new.items())
        return f"{new} in the store" + (f"; known already: {known}" if known else "")


def bring(store: Into, path: Path, config: GatherConfig | None = None) -> Brought:
    """All of a file or nothing: records of ours, or rows as others have them (`labels`). Without a `config` new prompts
    are for training, those of a file of votes for evaluation."""
    if holds_records(path):
        new = store.add_file(path)
        return Brought(new, _known(new, Counter(str(row.cells.get("kind")) for row in json_rows(path))), [])
    rows = read_labels(path, [*store.prompts(), *store.labelers()], config)
    new = store.add_rows(path, rows)
    known = _known(new, Counter(record.model_dump(include={"kind"})["kind"] for _, record in rows))
    return Brought(new, known, list(_personal(rows, (config or GatherConfig()).region)), _unnamed(rows))


def _known(new: Mapping[str, int], came: Mapping[str, int]) -> dict[str, int]:
    return {kind: came[kind] - count for kind, count in new.items() if came.get(kind, 0) > count}


def _personal(rows: Sequence[tuple[int, Any]], region: str) -> Iterator[Held]:
    for row, one in rows:
        if isinstance(one, Prompt) and (spans := personal_data(one.whole, region)):
            yield Held(row, one.id, one.split, spans[0].kind)


def _unnamed(rows: Sequence[tuple[int, Any]]) -> bool:
    """Of demonstrations nobody asks how far people agree."""
    who = {one.labeler for _, one in rows if isinstance(one, Ranking | Judgement | Verdict)}
    return bool(who) and all(name is not None and is_someone(name) for name in who)
