"""Preferences as others keep them, a chosen and a rejected answer a row: each is a ranking of two.

{"prompt": "…", "chosen": "…", "rejected": "…", "labeler": "…", "split": "train"}; the last two may be missing. Instead
of a text there may be messages: {"messages": [{"role": "user", …}], "chosen": [{"role": "assistant", …}], …}, or both
answers as whole conversations that begin with the prompt.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from biddable.gather.reading import Row, json_rows
from biddable.records import AnyRecord, BadRow, Completion, Labeler, Prompt, Ranking, Split, complaint

SOMEONE = "someone"  # who preferred, where no row says it


def holds_comparisons(path: Path) -> bool:
    """Whether a file's first row is a chosen and a rejected answer, and no record."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = json.loads(next(line for line in file if line.strip()))
    except (OSError, ValueError, StopIteration, RecursionError):
        return False  # whoever reads it as records will say what is wrong
    return isinstance(first, dict) and "kind" not in first and {"chosen", "rejected"} <= first.keys()


def read_comparisons(path: Path) -> Iterator[AnyRecord]:
    """Labelers, prompts, completions and rankings, each before what names it; a bad row raises BadRow.

    A person ranks a prompt once. So where no labeler is named and a prompt has several pairs, the second is put down
    to "someone-2", and so on.
    """
    told: set[AnyRecord] = set()
    pairs: Counter[str] = Counter()
    for row in json_rows(path):
        try:
            records = _ranking(path, row, pairs)
        except ValidationError as error:
            raise BadRow(f"{path}, row {row.number}: {complaint(error)}") from error
        yield from (record for record in records if record not in told)
        told |= set(records)
    if not told:
        raise BadRow(f'{path}: holds no comparisons; one a row, with "prompt", "chosen" and "rejected"')


def _ranking(path: Path, row: Row, pairs: Counter[str]) -> tuple[AnyRecord, ...]:
    where = f"{path}, row {row.number}"
    asked, answers = _texts(where, row)
    if answers[0] == answers[1]:
        raise BadRow(f"{where}: rejected: is the same text as chosen")
    split = row.cells.get("split", "train")
    if split not in get_args(Split):
        raise BadRow(f"{where}: split: {str(split)[:40]!r} is none of {', '.join(get_args(Split))}")
    prompt = Prompt.make(asked, source="customer", split=split)
    pairs[prompt.id] += 1
    nth = f"-{pairs[prompt.id]}" if pairs[prompt.id] > 1 else ""
    labeler = Labeler(id=row.cells.get("labeler") or SOMEONE + nth, group="training")
    chosen, rejected = (Completion.make(prompt.id, text, "imported") for text in answers)
    ranking = Ranking(prompt_id=prompt.id, labeler=labeler.id, order=((chosen.id,), (rejected.id,)))
    return labeler, prompt, chosen, rejected, ranking


def _texts(where: str, row: Row) -> tuple[str, tuple[str, str]]:
    """The prompt, and the chosen and the rejected answer."""
    before = next((row.cells[name] for name in ("prompt", "messages") if row.cells.get(name)), [])
    told = [{"role": "user", "content": before}] if isinstance(before, str) else before
    found = []
    for name in ("chosen", "rejected"):
        said = row.cells.get(name)
        turns = [*told, {"role": "assistant", "content": said}] if isinstance(said, str) else said
        if isinstance(turns, list) and len(turns) == 1:
            turns = [*told, *turns]
        found.append(_turn(f"{where}: {name}", turns))
    if found[0][0] != found[1][0]:
        raise BadRow(f"{where}: chosen and rejected answer different prompts")
    return found[0][0], (found[0][1], found[1][1])


def _turn(where: str, turns: Any) -> tuple[str, str]:
    """A user's message and the answer to it."""
    if not (isinstance(turns, list) and turns and all(isinstance(turn, dict) for turn in turns)):
        raise BadRow(f'{where}: should be a text, or messages like {{"role": "assistant", "content": "…"}}')
    roles = [turn.get("role") for turn in turns]
    if roles != ["user", "assistant"]:
        had = ", ".join(map(str, roles))
        raise BadRow(f"{where}: one user's message and one answer can be compared, and this is: {had}"[:300])
    asked, said = (turn.get("content") for turn in turns)
    if not (isinstance(asked, str) and asked.strip() and isinstance(said, str)):
        raise BadRow(f"{where}: the prompt is empty, or a message's content is no text")
    return asked, said
