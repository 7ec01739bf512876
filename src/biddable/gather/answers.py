"""The answers of a row, what each of them answers, and which model wrote it; no models where people did."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biddable.gather.reading import COLUMNS, Row, cell, columns_of
from biddable.gather.talk import FORM, transcript, turns
from biddable.records import BadRow, Turn

IMPORTED = "imported"  # which run it is of, where no row says which model
TALKS = COLUMNS["messages"]
ONE = ("completion", "answer", "response")  # an answer
MANY = ("completions", "answers", "responses")
SHAPES = (
    "wanted are messages; prompt and completion; prompt, chosen and rejected; prompt, answer and model; or prompt, "
    "answer_a, answer_b, model_a, model_b and winner. Prompts alone come by `biddable gather`, or on the page Prompts"
)
YES: dict[Any, bool] = {"true": True, "1": True, "false": False, "0": False}  # in a table all is text


def answered(path: Path, row: Row) -> tuple[list[Sequence[Turn]], tuple[str, ...]]:
    """The answers, each with what it answers, and of each the model that wrote it; no models where people did."""
    where, cells = f"{path}, row {row.number}", row.cells
    name = column_of(where, cells)
    model = cell(path, row, "model", ["model"])
    if "model" in cells and not model:
        raise BadRow(f"{where}: model: is empty; say which model wrote it, or leave the column out where people did")
    if name in MANY:
        return _several(where, cells, name, model)
    if name in ("answer", "response") and not model:
        raise BadRow(
            f"{where}: {name}: by whom? a column model says which model, and what people wrote is called completion"
        )
    names = ("chosen", "rejected") if name == "chosen" else (name,)
    talks = [talk(where, cells, one) for one in names]
    return talks, (model,) * len(names) if model else ()


def _several(
    where: str, cells: Mapping[str, Any], name: str, model: str | None
) -> tuple[list[Sequence[Turn]], tuple[str, ...]]:  # fmt: skip
    some = cells[name]
    if not isinstance(some, list) or not some:
        raise BadRow(f"{where}: {name}: is {json.dumps(some)[:40]}; it should be a list of answers")
    models = cells.get("models") or [model or IMPORTED] * len(some)
    if not isinstance(models, list) or len(models) != len(some) or not all(isinstance(m, str) and m for m in models):
        raise BadRow(f"{where}: models: should name as many models as {name} has answers, {len(some)}")
    return [talk(where, {**cells, name: one}, name) for one in some], tuple(models)


def column_of(where: str, cells: Mapping[str, Any]) -> str:
    """The column of the answer."""
    # What a chat has beside its messages is not its answer.
    for some in (("chosen",), ("completion",), TALKS, ("answer", "response"), MANY):
        there = [name for name in some if name in cells]
        if len(there) > 1 and some is not TALKS:
            raise BadRow(f"{where}: has {' and '.join(there)}; leave one of them out")
        if there:
            return there[0]
    raise BadRow(f"{where}: has {columns_of(Row(0, cells))}; {SHAPES}")


def talk(where: str, cells: Mapping[str, Any], name: str) -> Sequence[Turn]:
    """A conversation that ends with an answer, whether the row gives it whole or beside its prompt."""
    said = cells.get(name)
    if isinstance(said, str):
        said = transcript(said) or [{"role": "assistant", "content": said}]
    if not isinstance(said, list):
        has = f"is {json.dumps(said)[:40]}" if name in cells else "is missing"
        raise BadRow(f"{where}: {name}: {has}; it should be a text or messages like {FORM}")
    whole = turns(f"{where}: {name}", said)
    if whole[0].role == "assistant":
        whole = (*_asked(where, cells, name), *whole)
    if [turn.role for turn in whole[-2:]] != ["user", "assistant"]:
        had = ", ".join(turn.role for turn in whole[-6:])
        raise BadRow(
            f"{where}: {name}: should end with a user's turn and the answer to it, and has: {had}; leave the row out"
        )
    return whole


def _asked(where: str, cells: Mapping[str, Any], answer: str) -> Sequence[Turn]:
    """The prompt's turns, if it stands in a column of its own."""
    name = next((name for name in ("prompt", "text", *TALKS) if name != answer and cells.get(name)), None)
    if name is None:
        return ()
    said = cells[name]
    if isinstance(said, str):
        said = transcript(said) or [{"role": "user", "content": said}]
        if said[-1] == {"role": "assistant", "content": ""}:  # HH's prompts end with a bare "Assistant:"
            said.pop()
    return turns(f"{where}: {name}", said)


def yes_or_no(where: str, cells: Mapping[str, Any], name: str) -> bool | None:
    said = cells.get(name)
    if said in (None, ""):
        return None
    if isinstance(said, str):
        said = YES.get(said.strip().lower(), said)
    if said not in (0, 1):
        raise BadRow(f"{where}: {name}: is {json.dumps(said)[:40]}; it should be true or false")
    return bool(said)
