"""Prompts from the files that people have: JSON, CSV, TSV. Row 1 of a table is its header, as in a spreadsheet."""

import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from biddable.config import guess
from biddable.gather.talk import check_text, turns
from biddable.records import BadRow, Prompt, Source, Turn, UseCase, complaint

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "prompt"),
    "user": ("user", "user_id"),
    "organization": ("organization", "organization_id"),
    "use_case": ("use_case",),
    "source": ("source",),
    "messages": ("messages", "conversations"),  # in JSON alone; in place of a text
}
CSV = 'UTF-8 (in a spreadsheet: "CSV UTF-8")'
KNOWN = {name for names in COLUMNS.values() for name in names}
CHOICES = {"use_case": get_args(UseCase), "source": get_args(Source)}


class Row(NamedTuple):
    number: int
    cells: Mapping[str, Any]


def read_prompts(path: Path, source: Source = "customer", mapping: Mapping[str, str] | None = None) -> Iterator[Prompt]:
    """Read prompts; a bad row raises BadRow with file, row and key.

    `source` is theirs where no column says it; `mapping` renames columns, ours → the file's: {"text": "instruction"}.
    Columns that we do not know are left alone, but not those that look like a misspelling of ours: a cap per
    organisation that found no `organization` would be no cap at all."""
    columns = dict(COLUMNS)
    for ours, theirs in (mapping or {}).items():
        if ours not in COLUMNS:
            raise ValueError(f"{ours}: no such field of a prompt{guess(ours, COLUMNS)}")
        columns[ours] = (theirs,)
    known = KNOWN | {name for names in columns.values() for name in names}
    checked: set[str] = set()
    row = None
    for row in rows_of(path, known):
        for name in row.cells.keys() - checked:
            refuse_misspelt(path, row, name, known)
            checked.add(name)
        yield _prompt(path, row, columns, source)
    if row is None:
        raise BadRow(f"{path}: holds no prompts; one a row, with a text and, where known, a user")


def _prompt(path: Path, row: Row, columns: Mapping[str, Sequence[str]], source: Source) -> Prompt:
    there = row.cells.keys()
    fields: dict[str, Any] = {
        ours: x
        for ours, names in columns.items()
        if ours != "messages" and not there.isdisjoint(names) and (x := cell(path, row, ours, names))
    }
    text = fields.pop("text", None)
    if (name := next((name for name in columns["messages"] if row.cells.get(name)), None)) and text is None:
        text, before = _conversation(f"{path}, row {row.number}: {name}", row.cells[name])
        fields |= {"before": before} if before else {}
    if text is None or not text.strip():
        raise BadRow(f"{path}, row {row.number}: {_without_text(row, columns)}")
    try:
        return Prompt.make(text, **{"source": source} | fields)
    except ValidationError as error:
        raise BadRow(f"{path}, row {row.number}: {complaint(error)}") from error


def _without_text(row: Row, columns: Mapping[str, Sequence[str]]) -> str:
    name = next((name for name in columns["text"] if name in row.cells), None)
    if name is not None:
        return f"{name}: is empty; each prompt needs a text"
    others = ", ".join(names[0] for ours, names in columns.items() if ours not in ("text", "messages"))
    return f"has {columns_of(row)}; wanted is {' or '.join(columns['text'])}, and where known {others}"


def columns_of(row: Row) -> str:
    """Its columns, for a person who looks for the one that is wrong."""
    names = list(row.cells)
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"the columns {', '.join(name[:40] for name in names[:8])}{more}" if names else "no columns"


def _conversation(where: str, said: Any) -> tuple[str, tuple[Turn, ...]]:
    """The last thing said, which is to be answered, and what was said before it."""
    *before, last = turns(where, said)
    if last.role != "user":
        raise BadRow(f"{where}: the user should speak last, and what was answered comes by `biddable import`")
    return last.text, tuple(before)


def cell(path: Path, row: Row, ours: str, names: Sequence[str]) -> str | None:
    """The text of a field; None where the row says nothing."""
    for name in names:
        value = row.cells.get(name)
        if value is not None and value != "":
            break
    else:
        return None
    where = f"{path}, row {row.number}: {name}"
    if isinstance(value, int) and not isinstance(value, bool) and ours != "text":
        value = str(value)  # user 42
    if not isinstance(value, str):
        raise BadRow(f"{where}: is {json.dumps(value)[:40]}; it should be text")
    check_text(where, value)
    if ours in CHOICES:
        choice = value.strip().lower().replace(" ", "_").replace("-", "_")
        if choice not in CHOICES[ours]:
            raise BadRow(f"{where}: {value[:40]!r} is none of {', '.join(CHOICES[ours])}")
        return choice
    return value if ours == "text" else value.strip() or None


def refuse_misspelt(path: Path, row: Row, name: str, known: Set[str]) -> None:
    """Refuse a column that is one of the known but for a slip."""
    if name in known:
        return
    # `did you mean` guesses at 0.6, and `context` is no `text`: only a slip of a letter or two counts as one.
    near = [right for right in sorted(known) if _slips(name, right) and right not in row.cells]
    if near:
        raise BadRow(f"{path}, row {row.number}: {name}: no such column; did you mean {near[0]}? rename it or map it")


def _slips(name: str, known: str) -> bool:
    """Equal but for case and separators, or one letter exchanged, missing or too many in a name of six or more."""
    bare, right = (re.sub(r"[_\s-]", "", text.lower()) for text in (name, known))
    if bare == right:
        return name != known
    if len(right) < 6 or abs(len(bare) - len(right)) > 1:
        return False
    start = next((n for n, (x, y) in enumerate(zip(bare, right, strict=False)) if x != y), min(len(bare), len(right)))
    rests = (bare[start:], right[start:])
    return rests[0][1:] == rests[1][1:] or rests[0][1:] == rests[1] or rests[0] == rests[1][1:]


def rows_of(path: Path, known: Set[str]) -> Iterator[Row]:
    """The rows of any file that we read; `known` are the columns that one may have."""
    match path.suffix.lower():
        case ".jsonl" | ".ndjson" | ".json":
            return json_rows(path)
        case ".csv":
            return _table_rows(path, ",;\t", known)
        case ".tsv":
            return _table_rows(path, "\t", known)
        case ".xlsx" | ".xlsm" | ".xls" | ".ods" | ".numbers" as sheet:
            raise ValueError(f'{path}: {sheet} is a file of a spreadsheet; save it as "CSV UTF-8" there')
        case other:
            raise ValueError(f"{path}: cannot tell what {other or 'no ending'} is; say .jsonl, .json, .csv or .tsv")


def json_rows(path: Path) -> Iterator[Row]:
    """The objects of a JSONL file, or of a .json file's one list, each with the number of its row."""
    for number, cells in _json_values(path):
        if not isinstance(cells, dict):
            raise BadRow(f'{path}, row {number}: is not a JSON object like {{"text": "…", "user": "…"}}')
        yield Row(number, cells)


def _json_values(path: Path) -> Iterator[tuple[int, Any]]:
    lines = ((number, line) for number, line in _lines(path) if line.strip())
    first = next(lines, None)
    if first is None:
        return
    if path.suffix.lower() == ".json" and first[1].lstrip().startswith("["):
        whole = _parsed(path, first[0], "".join([first[1], *(line for _, line in lines)]))
        yield from enumerate(whole, start=1)
        return
    for number, line in chain([first], lines):
        yield number, _parsed(path, number, line)


def _parsed(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError, ValueError) as error:
        raise BadRow(f"{path}, row {number}: is not JSON: {error}") from error


def _delimiter(header: str, some: str, known: Set[str]) -> str:
    """What parts the columns: the sign by which the first line has most of the names that we know, else most names.
    (csv.Sniffer looks at all of the text, and takes what is frequent in a prompt for it.)"""

    def found(sign: str) -> tuple[int, int]:
        names = next(csv.reader([header], delimiter=sign), [])
        return sum(name in known for name in names), len(names)

    return max(some, key=found)  # of equals the first: a comma


def _columns_wanted(known: Set[str]) -> str:
    if "answer" in known:
        return "prompt and answer, and where known model and labeler; or others that `biddable import --help` has"
    return f"text, and where known {', '.join(name for name in COLUMNS if name not in ('text', 'messages'))}"


def _table_rows(path: Path, delimiters: str, known: Set[str]) -> Iterator[Row]:
    # A prompt may be longer than csv's 131,072 characters. The limit is the whole process's, and only ever raised.
    csv.field_size_limit(sys.maxsize)
    first = next((line for _, line in _lines(path)), "")
    delimiter = _delimiter(first, delimiters, known)
    table = csv.reader((line for _, line in _lines(path)), delimiter=delimiter, strict=True)
    number = 0
    try:
        header = next(table, [])
        if not any(header):
            raise BadRow(f"{path}, row 1: is empty; it should name its columns: {_columns_wanted(known)}")
        if twice := next((name for name in header if name and header.count(name) > 1), None):
            raise BadRow(f"{path}, row 1: {twice}: is the name of two columns")
        for number, cells in enumerate(table, start=2):
            if not any(cells):
                continue
            if len(cells) != len(header):
                raise BadRow(
                    f"{path}, row {number}: has {len(cells)} cells, but the header names {len(header)} columns"
                )
            yield Row(number, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise BadRow(f"{path}, row {number + 1}: is not a table's row: {error}") from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadRow(f"{path}: cannot be read: {error.strerror}") from error
    with file:
        for number, line in enumerate(file, start=1):
            try:
                # Excel writes a byte-order mark before the first column's name.
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                bad = line[error.start]
                raise BadRow(f"{path}, row {number}: byte 0x{bad:02x} is not UTF-8; save it as {CSV}") from error
