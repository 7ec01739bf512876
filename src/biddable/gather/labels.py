"""What people said, as others keep it: chats, chosen and rejected answers, thumbs up and down. One a row, and in
addition, where known, "labeler", "user", "organization" and "split".

{"messages": […]} or {"conversations": […]}, the assistant last, or {"prompt": …, "completion": …}: a demonstration.
{"prompt": …, "chosen": …, "rejected": …}: a ranking of two.
{"prompt": …, "completion": …, "label": true}: a judgement, whether the answer does what was asked.

A prompt is a text or messages, so is an answer; an answer may also be the whole conversation, with its prompt.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from biddable.gather.owners import owners
from biddable.gather.reading import COLUMNS, Row, cell, json_rows, refuse_misspelt
from biddable.gather.rules import GatherConfig, settled, split_of
from biddable.gather.talk import FORM, transcript, turns
from biddable.records import (
    AnyRecord,
    BadRow,
    Completion,
    Demonstration,
    Judgement,
    Labeler,
    Prompt,
    Ranking,
    Split,
    Turn,
    complaint,
)

SOMEONE = "someone"  # who said it, where no row says who
ABOUT = ("user", "organization")
TALKS = COLUMNS["messages"]
KNOWN = {"prompt", "completion", "chosen", "rejected", "label", "labeler", "split", *TALKS}
KNOWN |= {name for ours in ABOUT for name in COLUMNS[ours]}
SHAPES = "messages; prompt and completion; or prompt, chosen and rejected"


class Said(NamedTuple):
    """A row: one answer is a demonstration, or a judgement if it is `good` or not; two are a ranking."""

    row: int
    where: str
    prompt: Prompt
    answers: tuple[str, ...]
    good: bool | None
    labeler: str | None


def holds_records(path: Path) -> bool:
    """Whether a file's first row is one of our records, or nothing that could be read."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = json.loads(next(line for line in file if line.strip()))
    except (ValueError, RecursionError, StopIteration):
        return path.suffix.lower() != ".json"  # whoever reads it will say what is wrong
    except OSError:
        return True
    return isinstance(first, dict) and "kind" in first


def read_labels(
    path: Path, known: Iterable[Prompt | Labeler] = (), config: GatherConfig | None = None
) -> list[tuple[int, AnyRecord]]:
    """Labelers, prompts, completions and labels, each with its row and before what names it; a bad row raises BadRow.

    What is `known` stays as it is. A prompt without a split goes where its owner's prompts are, or is placed by
    `config`'s valid, test and seed; without these, to train. A person says one thing about a prompt: where no labeler
    is named, the second thing is put down to "someone-2", and so on.
    """
    there = {record.id: record for record in known}
    checked: set[str] = set()
    said = []
    for row in json_rows(path):
        for name in row.cells.keys() - checked:
            refuse_misspelt(path, row, name, KNOWN)
            checked.add(name)
        try:
            said.append(_said(path, row))
        except ValidationError as error:
            raise BadRow(f"{path}, row {row.number}: {complaint(error)}") from error
    if not said:
        raise BadRow(f"{path}: holds nothing; one a row, with {SHAPES}")
    prompts = _placed(said, there, config or GatherConfig(valid=0, test=0))
    told: set[AnyRecord] = set()
    count: Counter[Any] = Counter()
    found = []
    for one in said:
        for record in _records(one, prompts[one.prompt.id], there, count):
            if record not in told:
                told.add(record)
                found.append((one.row, record))
    return found


def _said(path: Path, row: Row) -> Said:
    where, cells = f"{path}, row {row.number}", row.cells
    names = next(
        (some for some in (("chosen", "rejected"), ("completion",), *((talk,) for talk in TALKS)) if some[0] in cells),
        None,
    )
    if names is None:
        raise BadRow(f"{where}: has {', '.join(cells)[:80] or 'nothing'}; it should have {SHAPES}")
    talks = [_talk(where, cells, name) for name in names]
    if talks[0][:-1] != talks[-1][:-1]:
        raise BadRow(f"{where}: chosen and rejected answer different prompts; leave the row out")
    *before, asked, _ = talks[0]
    answers = tuple(talk[-1].text for talk in talks)
    if len(set(answers)) < len(answers):
        raise BadRow(f"{where}: rejected: is the same text as chosen; leave the row out")
    split = cells.get("split")
    if split is not None and split not in get_args(Split):
        raise BadRow(f"{where}: split: {str(split)[:40]!r} is none of {', '.join(get_args(Split))}")
    if not asked.text.strip():
        raise BadRow(f"{where}: the prompt is empty; leave the row out")
    good = _thumb(where, cells)
    if good is None and len(answers) == 1 and not answers[0].strip():
        raise BadRow(f"{where}: {names[0]}: the answer is empty; leave the row out")
    about = {ours: x for ours in ABOUT if (x := cell(path, row, ours, COLUMNS[ours]))}
    more = about | ({"before": tuple(before)} if before else {}) | ({"split": split} if split else {})
    labeler = cell(path, row, "labeler", ["labeler"])
    if labeler and len(labeler) > 200:
        raise BadRow(f"{where}: labeler: is longer than 200 characters")
    return Said(row.number, where, Prompt.make(asked.text, **more), answers, good, labeler)


def _talk(where: str, cells: Mapping[str, Any], name: str) -> Sequence[Turn]:
    """A conversation that ends with an answer, whether the row gives it whole or beside its prompt."""
    said = cells.get(name)
    if isinstance(said, str):
        said = transcript(said) or [{"role": "assistant", "content": said}]
    if not isinstance(said, list):
        has = f"is {json.dumps(said)[:40]}" if name in cells else "is missing"
        raise BadRow(f"{where}: {name}: {has}; it should be a text or messages like {FORM}")
    talk = turns(f"{where}: {name}", said)
    if talk[0].role == "assistant":
        talk = (*_asked(where, cells, name), *talk)
    if [turn.role for turn in talk[-2:]] != ["user", "assistant"]:
        had = ", ".join(turn.role for turn in talk[-6:])
        raise BadRow(
            f"{where}: {name}: should end with a user's turn and the answer to it, and has: {had}; leave the row out"
        )
    return talk


def _asked(where: str, cells: Mapping[str, Any], answer: str) -> Sequence[Turn]:
    """The prompt's turns, if it stands in a column of its own."""
    name = next((name for name in ("prompt", *TALKS) if name != answer and cells.get(name)), None)
    if name is None:
        return ()
    said = cells[name]
    if isinstance(said, str):
        said = transcript(said) or [{"role": "user", "content": said}]
        if said[-1] == {"role": "assistant", "content": ""}:  # HH's prompts end with a bare "Assistant:"
            said.pop()
    return turns(f"{where}: {name}", said)


def _thumb(where: str, cells: Mapping[str, Any]) -> bool | None:
    label = cells.get("label")
    if label is None or "chosen" in cells:
        return None
    if label not in (0, 1):
        raise BadRow(f"{where}: label: is {json.dumps(label)[:40]}; it should be true or false")
    return bool(label)


def _placed(said: Sequence[Said], there: Mapping[str, Any], config: GatherConfig) -> dict[str, Prompt]:
    """Every prompt as it is kept, with its split."""
    came: dict[str, Prompt] = {}
    for one in said:
        first = there.get(one.prompt.id) or came.setdefault(one.prompt.id, one.prompt)
        asked = one.prompt.split
        if asked and first.split is None and one.prompt.id in came:
            came[one.prompt.id] = one.prompt
        elif asked and asked != first.split:
            raise BadRow(
                f"{one.where}: split: is {asked}, but this prompt is in {first.split or 'none'} already; leave it out"
            )
    known = [record for record in there.values() if isinstance(record, Prompt)]
    owner = owners([*known, *came.values()], config.key)
    splits = settled([*known, *came.values()], owner)
    placed = {prompt.id: prompt for prompt in known}
    for one in said:
        prompt = came.get(one.prompt.id)
        if prompt is not None and prompt.id not in placed:
            split = prompt.split or split_of(owner[prompt.id], splits, config)
            if split is None:
                raise BadRow(f"{one.where}: user: their prompts are in two splits already; say which with split")
            placed[prompt.id] = prompt.model_copy(update={"split": split})
    return placed


def _records(one: Said, prompt: Prompt, there: Mapping[str, Any], count: Counter[Any]) -> Iterator[AnyRecord]:
    about = prompt.id, len(one.answers) if one.good is None else one.answers
    count[about] += 1
    name = one.labeler or (f"{SOMEONE}-{count[about]}" if count[about] > 1 else SOMEONE)
    yield there.get(name) or Labeler(id=name, group="training")
    yield prompt
    said = {"prompt_id": prompt.id, "labeler": name}
    if len(one.answers) == 1 and one.good is None:
        yield Demonstration(text=one.answers[0], **said)
        return
    completions = [Completion.make(prompt.id, text, "imported") for text in one.answers]
    yield from completions
    if one.good is None:
        yield Ranking(order=tuple((completion.id,) for completion in completions), **said)
    else:
        yield Judgement(completion_id=completions[0].id, labeler=name, fails_task=not one.good)
