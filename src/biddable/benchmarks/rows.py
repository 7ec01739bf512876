"""A benchmark's rows: JSON lines, a JSON list or object, CSV or TSV, gzip or not; or from the hub, where asked for."""

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from biddable.records import BadRow

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")


class Row(NamedTuple):
    """A row with the name that a complaint gives it."""

    where: str  # evals/drop.jsonl, row 7
    cells: Mapping[str, Any]

    def get(self, *names: str) -> Any:
        """The first of these keys that the row has; a dotted name goes inside."""
        found = self.maybe(*names)
        if found is None:
            raise BadRow(f"{self.where}: {names[0]}: is missing" + (f" (or {', '.join(names[1:])})" * (len(names) > 1)))
        return found

    def maybe(self, *names: str) -> Any:
        """The same, or None."""
        for name in names:
            value: Any = self.cells
            for part in name.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            if value is not None:
                return value
        return None

    def text(self, *names: str) -> str:
        """The same, as text that says something."""
        value = self.get(*names)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise BadRow(f"{self.where}: {names[0]}: is {json.dumps(value)[:40]}; it should be text")
        if not str(value).strip():
            raise BadRow(f"{self.where}: {names[0]}: is empty")
        return str(value)

    def texts(self, *names: str) -> list[str]:
        """A list of texts; one text is a list of one."""
        value = self.get(*names)
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, Sequence) or not all(isinstance(text, str) for text in found):
            raise BadRow(f"{self.where}: {names[0]}: is {json.dumps(value)[:40]}; it should be a list of texts")
        return list(found)

    def whole(self, *names: str, below: int) -> int:
        """A whole number from 0 to below."""
        value = self.get(*names)
        number = int(value) if isinstance(value, bool) or str(value).strip().isdigit() else -1
        if not 0 <= number < below:
            raise BadRow(f"{self.where}: {names[0]}: is {json.dumps(value)[:40]}; it should be 0 to {below - 1}")
        return number

    def inside(self, cells: Mapping[str, Any]) -> "Row":
        """A part of it, with the keys of the whole beneath its own."""
        return Row(self.where, {**self.cells, **cells})


def read(path: Path) -> list[Row]:
    """All rows of a file; BadRow says which is none."""
    kind = "".join(path.suffixes[-2:]).removesuffix(".gz") if path.suffix == ".gz" else path.suffix
    kind = "." + kind.rpartition(".")[2]
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except OSError as error:
        raise BadRow(f"{path}: cannot be read: {error.strerror or error}") from error
    except (EOFError, UnicodeDecodeError) as error:
        raise BadRow(f"{path}: is not {'gzip of ' * (path.suffix == '.gz')}UTF-8 text: {error}") from error
    match kind:
        case ".jsonl" | ".ndjson":
            rows = list(_lines(path, text))
        case ".json":
            rows = list(_document(path, text))
        case ".csv" | ".tsv":
            table = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if kind == ".tsv" else ",")
            rows = [
                Row(f"{path}, row {n}", {k: v for k, v in one.items() if k}) for n, one in enumerate(table, start=2)
            ]
        case _:
            raise BadRow(f"{path}: cannot tell what it is; rows come as {', '.join(ENDINGS)}, or these with .gz")
    if not rows:
        raise BadRow(f"{path}: holds no rows")
    return rows


def _lines(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _row(f"{path}, row {number}", _loads(f"{path}, row {number}", line))


def _document(path: Path, text: str) -> Iterator[Row]:
    """A list of rows; an object of named rows (DROP as its authors publish it) or with a list under `data` (SQuAD)."""
    said = _loads(str(path), text)
    if isinstance(said, dict):
        inner = said.get("data")
        named = [{"name": name, **row} if isinstance(row, dict) else row for name, row in said.items()]
        said = inner if isinstance(inner, list) else named
    if not isinstance(said, list):
        raise BadRow(f"{path}: is no list of rows")
    for number, row in enumerate(said, start=1):
        yield _row(f"{path}, row {number}", row)


def _loads(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadRow(f"{where}: is no JSON: {error}") from error


def _row(where: str, cells: Any) -> Row:
    if not isinstance(cells, dict):
        raise BadRow(f"{where}: is {json.dumps(cells)[:40]}; a row is an object with keys")
    return Row(where, cells)


def find(place: Path, names: Sequence[str]) -> Path:
    """The file itself; or, of a folder, the one that bears the benchmark's name."""
    if place.is_file():
        return place
    if not place.is_dir():
        raise BadRow(f"{place}: no such file or folder")
    found = [place / (name + ending + gz) for name in names for ending in ENDINGS for gz in ("", ".gz")]
    there = next((path for path in found if path.is_file()), None)
    if there is None:
        raise BadRow(f"{place}: holds no {names[0]}.jsonl" + (f" (nor {', '.join(names[1:])})" * (len(names) > 1)))
    return there


def from_hub(place: str, name: str | None, split: str, out: Path) -> Path:
    """Fetch a data set and keep its rows as a file: what is asked later, and hashed, is that file."""
    from datasets import load_dataset

    fetched = load_dataset(place, name, split=split)
    aside = out.with_name(out.name + ".part")
    fetched.to_json(aside, force_ascii=False)
    aside.replace(out)
    return out
