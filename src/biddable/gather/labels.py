"""What people and models said, as others keep it: chats, chosen and rejected answers, thumbs up and down, models'
answers, votes. One a row, and in addition, where known, "labeler", "user", "organization" and "split".

{"messages": […]} or {"conversations": […]}, the assistant last, or {"prompt": …, "completion": …}: a demonstration.
{"prompt": …, "chosen": …, "rejected": …}: a ranking of two.
{"prompt": …, "completion": …, "label": true}: a judgement, whether the answer does what was asked.
{"prompt": …, "answer": …, "model": "m"}: what a model answered, which people may judge. With a `model` no row is a
demonstration, for that is what people write.
{"prompt": …, "answers": […], "models": […], "ranks": [2, 1, 1]}: several answers, ranked (1 is best, equals are ties)
where it says so.
{"prompt": …, "answer_a": …, "answer_b": …, "model_a": "m", "model_b": "n", "winner": "a"}: a verdict, which of two
models' answers is better; other shapes of it stand in `votes`.

A prompt is a text or messages, so is an answer; an answer may also be the whole conversation, with its prompt. A table
(.csv, .tsv) has the same columns, but for lists.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from biddable.gather.answers import IMPORTED, MANY, ONE, SHAPES, TALKS, answered, column_of, yes_or_no
from biddable.gather.owners import owners
from biddable.gather.reading import COLUMNS, Row, cell, refuse_misspelt, rows_of
from biddable.gather.rules import GatherConfig, settled, split_of
from biddable.gather.votes import VOTING, Vote, is_vote, vote
from biddable.records import (
    SOMEONE,
    AnyRecord,
    BadRow,
    Completion,
    Demonstration,
    Judgement,
    Labeler,
    Prompt,
    Ranking,
    Split,
    Verdict,
    complaint,
)

ABOUT = ("user", "organization")
KNOWN = {"prompt", "text", "chosen", "rejected", "label", "labeler", "split", "model", "models", "ranks"}
KNOWN |= {*ONE, *MANY, *TALKS, *VOTING}
KNOWN |= {name for ours in ABOUT for name in COLUMNS[ours]}
TOLD = 3  # of the rows that are wrong

Order = tuple[tuple[int, ...], ...]  # tiers of places among the answers, best first


class Said(NamedTuple):
    """A row: a `demonstration` is of no model; if it is `good` or not, a judgement; with an `order`, a ranking; with a
    `vote`, a verdict."""

    row: int
    where: str
    prompt: Prompt
    answers: tuple[str, ...]
    models: tuple[str, ...]
    order: Order
    good: bool | None
    labeler: str | None
    vote: Vote | None

    @property
    def kind(self) -> str:
        if self.vote:
            return "verdict"
        if self.order:
            return "ranking"
        return "judgement" if self.good is not None else "answers" if self.models else "demonstration"


def holds_records(path: Path) -> bool:
    """Whether a file's first row is one of our records, or nothing that could be read."""
    if path.suffix.lower() not in ("", ".jsonl", ".ndjson", ".json"):
        return False
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
    `config`'s valid, test and seed; without these, to train, or where all rows are votes, from which nothing is learnt,
    to test. A person says one thing about a prompt (of votes: about two answers): where no labeler is named, the second
    thing is put down to "someone-2", and so on.
    """
    there = {record.id: record for record in known}
    said = _known_prompts(_read(path), there)
    if not said:
        raise BadRow(f"{path}: holds nothing; {SHAPES}")
    _refuse_one_name(said)
    prompts = _placed(said, there, config or GatherConfig(valid=0, test=all(one.vote for one in said)))
    minds: dict[Any, tuple[int, Any]] = {}
    told: set[AnyRecord] = set()
    count: Counter[Any] = Counter()
    found = []
    for one in said:
        for record in _records(one, prompts[one.prompt.id], there, count):
            if isinstance(record, Verdict):
                _refuse_two_minds(one, record, minds)
            if record not in told:
                told.add(record)
                found.append((one.row, record))
    return found


def _refuse_one_name(said: Sequence[Said]) -> None:
    """What follows an @ tells samplings of one model apart, and is cut where models are counted."""
    named: dict[str, str] = {}
    for one in said:
        for name in one.models if one.vote else ():
            first = named.setdefault(name.partition("@")[0], name)
            if first != name:
                raise BadRow(
                    f"{one.where}: {first} and {name} would be counted as one model, since what follows an @ tells "
                    "its samplings apart; write another sign for the @"
                )


def _refuse_two_minds(one: Said, verdict: Verdict, minds: dict[Any, tuple[int, Any]]) -> None:
    """Two votes of one person on the same answers, seen in the same order, are one thing said: it cannot be two."""
    of = {"a": verdict.a, "b": verdict.b}
    about = verdict.labeler, frozenset(of.values()), of.get(verdict.shown[0])  # which one was first, or not known
    row, better = minds.setdefault(about, (one.row, of.get(verdict.better)))
    if better != of.get(verdict.better):
        raise BadRow(
            f"{one.where}: winner: {verdict.labeler} said otherwise of these two answers in row {row}; leave one out"
        )


def _read(path: Path) -> list[Said]:
    checked: set[str] = set()
    said: list[Said] = []
    wrong: list[str] = []
    for row in rows_of(path, KNOWN):
        for name in row.cells.keys() - checked:
            refuse_misspelt(path, row, name, KNOWN)
            checked.add(name)
        try:
            said.append(_said(path, row))
        except ValidationError as error:
            wrong.append(f"{path}, row {row.number}: {complaint(error)}")
        except BadRow as error:
            wrong.append(str(error))
    if len(wrong) > 1:
        some = "; ".join(one.removeprefix(f"{path}, ") for one in wrong[:TOLD])
        more = f"; and {len(wrong) - TOLD} more" if len(wrong) > TOLD else ""
        raise BadRow(
            f"{path}: {len(wrong)} of {len(wrong) + len(said)} rows are wrong, so none was taken: {some}{more}"
        )
    if wrong:
        raise BadRow(wrong[0])
    return said


def _known_prompts(said: Sequence[Said], there: Mapping[str, Any]) -> list[Said]:
    """A model was asked what is here already: its answers are of that prompt, whoever's it is."""
    known: dict[Any, Prompt] = {}
    for record in there.values():
        if isinstance(record, Prompt):
            first = known.setdefault((record.text.strip(), record.before), record)
            if record.id < first.id:
                known[record.text.strip(), record.before] = record
    found = []
    for one in said:
        prompt = known.get((one.prompt.text.strip(), one.prompt.before)) if one.models and not one.prompt.user else None
        if prompt is not None and one.prompt.id not in there:
            one = one._replace(prompt=prompt.model_copy(update={"split": one.prompt.split}))
        found.append(one)
    return found


def _said(path: Path, row: Row) -> Said:
    where, cells = f"{path}, row {row.number}", row.cells
    voted = vote(path, row) if is_vote(cells) else None
    talks, models = (voted.talks, voted.models) if voted else answered(path, row)
    if any(talk[:-1] != talks[0][:-1] for talk in talks):
        raise BadRow(f"{where}: chosen and rejected answer different prompts; leave the row out")
    *before, asked, _ = talks[0]
    answers = tuple(talk[-1].text for talk in talks)
    split = cells.get("split") or None
    if split is not None and split not in get_args(Split):
        raise BadRow(f"{where}: split: {str(split)[:40]!r} is none of {', '.join(get_args(Split))}")
    if not asked.text.strip():
        raise BadRow(f"{where}: the prompt is empty; leave the row out")
    order, good = ((), None) if voted else _valued(where, cells, answers, models)
    about = {ours: x for ours in ABOUT if (x := cell(path, row, ours, COLUMNS[ours]))}
    more = about | ({"before": tuple(before)} if before else {}) | ({"split": split} if split else {})
    labeler = voted.labeler if voted else cell(path, row, "labeler", ["labeler"])
    for what, names in (("labeler", [labeler or ""]), ("model", models)):
        if any(len(name) > 200 for name in names):
            raise BadRow(f"{where}: {what}: is longer than 200 characters")
    return Said(row.number, where, Prompt.make(asked.text, **more), answers, models, order, good, labeler, voted)


def _valued(
    where: str, cells: Mapping[str, Any], answers: Sequence[str], models: Sequence[str]
) -> tuple[Order, bool | None]:  # fmt: skip
    """What a row says of its answers: their order, or of one whether it is good."""
    order = ((0,), (1,)) if "chosen" in cells else _order(where, cells, len(answers))
    good = yes_or_no(where, cells, "label") if len(answers) == 1 else None
    if order and len({*zip(answers, models or answers, strict=True)}) < len(answers):
        twice = "rejected: is the same text as chosen" if "chosen" in cells else "two answers are the same text"
        raise BadRow(f"{where}: {twice}; leave the row out")
    if not order and good is None and not all(answer.strip() for answer in answers):
        raise BadRow(f"{where}: {column_of(where, cells)}: the answer is empty; leave the row out")
    return order, good


def _order(where: str, cells: Mapping[str, Any], count: int) -> Order:
    """The tiers of `ranks`: of each answer its place, 1 the best, equal places ties."""
    ranks = cells.get("ranks")
    if ranks is None:
        return ()
    if not isinstance(ranks, list) or len(ranks) != count or not all(type(rank) is int for rank in ranks) or count < 2:
        raise BadRow(f"{where}: ranks: should be a number for each of two or more answers, 1 for the best")
    return tuple(tuple(n for n in range(count) if ranks[n] == rank) for rank in sorted(set(ranks)))


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
    models = one.models or (IMPORTED,) * len(one.answers)
    completions = [Completion.make(prompt.id, *made) for made in zip(one.answers, models, strict=True)]
    if one.kind == "answers":
        yield prompt
        yield from completions
        return
    ids = tuple(sorted(made.id for made in completions))
    about = one.kind, ids if one.kind in ("judgement", "verdict") else prompt.id
    count[about] += 1
    name = one.labeler or (f"{SOMEONE}-{count[about]}" if count[about] > 1 else SOMEONE)
    yield there.get(name) or Labeler(id=name, group="training")
    yield prompt
    said = {"prompt_id": prompt.id, "labeler": name}
    if one.kind == "demonstration":
        yield Demonstration(text=one.answers[0], **said)
        return
    yield from completions
    if one.vote:
        a, b = (made.id for made in completions)
        yield Verdict(a=a, b=b, better=one.vote.better, judge="person", shown=one.vote.shown, **said)
    elif one.kind == "ranking":
        yield Ranking(order=tuple(tuple(completions[n].id for n in tier) for tier in one.order), **said)
    else:
        yield Judgement(completion_id=completions[0].id, labeler=name, fails_task=not one.good)
