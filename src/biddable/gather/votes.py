"""Votes: which of two models' answers is better. One a row, in the shapes that people have them.

{"prompt": …, "answer_a": …, "answer_b": …, "model_a": "m", "model_b": "n", "winner": "a"}, or "b", "tie", or the name
of one of the two models; as `answer` may stand `response` or `completion`. Chatbot Arena's rows have whole
conversations, conversation_a and conversation_b, its words for the winner ("model_a", "tie (bothbad)"), and call the
labeler `judge`. Kaggle's (LMSYS) have 1 in one of winner_model_a, winner_model_b and winner_tie, and may have lists in
prompt and answers, of what was said turn by turn.

Which answer was seen first a row does not say, whichever is called a; a column `shown` may ("ab", or "ba").
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from biddable.gather.answers import talk, yes_or_no
from biddable.gather.reading import Row, cell
from biddable.gather.talk import written
from biddable.records import BadRow, Shown, Side, Turn

TALKED = ("conversation_a", "conversation_b")
PAIRS = (("answer_a", "answer_b"), ("response_a", "response_b"), ("completion_a", "completion_b"), TALKED)
MODELS = ("model_a", "model_b")
FLAGS: dict[str, Side] = {"winner_model_a": "a", "winner_model_b": "b", "winner_tie": "tie"}
VOTING = frozenset({"winner", "shown", *MODELS, *FLAGS, *itertools.chain(*PAIRS)})  # columns
WORDS: dict[str, Side] = {
    "a": "a", "b": "b", "tie": "tie", "model_a": "a", "model_b": "b", "tie (bothbad)": "tie", "both_bad": "tie",
}  # fmt: skip
ORDERS: dict[Any, Shown] = {None: "unknown", "": "unknown", "ab": "ab", "ba": "ba"}


class Vote(NamedTuple):
    talks: list[Sequence[Turn]]  # what was asked of both, and the answer to it
    models: tuple[str, str]
    better: Side
    shown: Shown
    labeler: str | None


def is_vote(cells: Mapping[str, Any]) -> bool:
    return "chosen" not in cells and any(name in cells for pair in PAIRS for name in pair)


def vote(path: Path, row: Row) -> Vote:
    where, cells = f"{path}, row {row.number}", row.cells
    names = _columns(where, cells)
    models = _model(path, row, "model_a"), _model(path, row, "model_b")
    better = _better(where, cells, models)
    talks = _talks(where, cells, names)
    if models[0] == models[1] and talks[0] == talks[1]:
        raise BadRow(f"{where}: {names[1]}: is the same answer of the same model as {names[0]}; leave the row out")
    shown = cells.get("shown")
    if not (shown is None or isinstance(shown, str)) or shown not in ORDERS:
        raise BadRow(f"{where}: shown: is {json.dumps(shown)[:40]}; it should be ab or ba, or nothing if not known")
    who = ["labeler", "judge"] if names == TALKED else ["labeler"]
    return Vote(talks, models, better, ORDERS[shown], cell(path, row, "labeler", who))


def _columns(where: str, cells: Mapping[str, Any]) -> tuple[str, str]:
    there = [pair for pair in PAIRS if pair[0] in cells or pair[1] in cells]
    if len(there) > 1:
        raise BadRow(f"{where}: has {there[0][0]} and {there[1][0]}; leave one of them out, with its other side")
    for name, other in (there[0], there[0][::-1]):
        if name not in cells:
            raise BadRow(f"{where}: {name}: is missing beside {other}")
    return there[0]


def _model(path: Path, row: Row, name: str) -> str:
    model = cell(path, row, "model", [name])
    if model is None:
        what = "is empty" if name in row.cells else "is missing"
        raise BadRow(f"{path}, row {row.number}: {name}: {what}; say which model wrote it")
    return model


def _better(where: str, cells: Mapping[str, Any], models: tuple[str, str]) -> Side:
    flags = [name for name in FLAGS if name in cells]
    if flags and "winner" in cells:
        raise BadRow(f"{where}: has winner and {flags[0]}; leave one of them out")
    if flags:
        won = [side for name, side in FLAGS.items() if yes_or_no(where, cells, name)]
        if len(won) != 1:
            raise BadRow(f"{where}: {flags[0]}: of {', '.join(FLAGS)} one should be 1, and {len(won)} are")
        return won[0]
    said = cells.get("winner")
    if said in (None, ""):
        raise BadRow(f"{where}: winner: is {'empty' if 'winner' in cells else 'missing'}; say a, b or tie")
    return _named(f"{where}: winner: is {json.dumps(said, ensure_ascii=False)[:40]}", said, models)


def _named(where: str, said: Any, models: tuple[str, str]) -> Side:
    """By a word for a side, or by the name of its model."""
    text = said.strip() if isinstance(said, str) else ""
    sides: dict[str, Side] = {} if models[0] == models[1] else {models[0]: "a", models[1]: "b"}
    found = {side for side in (WORDS.get(text.lower()), sides.get(text)) if side is not None}
    if len(found) > 1:
        raise BadRow(f"{where}, a word for one side and the model of the other; say model_a or model_b")
    if not found:
        raise BadRow(f"{where}; it should be a, b, tie, or the name of one of the two models")
    return found.pop()


def _talks(where: str, cells: Mapping[str, Any], names: tuple[str, str]) -> list[Sequence[Turn]]:
    if names == TALKED:
        return _common(where, *(_until(talk(where, _opened(cells, name), name), cells.get("turn")) for name in names))
    if (rounds := _rounds(where, cells, names)) is not None:
        return _common(where, *(talk(where, rounds, name) for name in names))
    return _common(where, *(talk(where, cells, name) for name in names))


def _opened(cells: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """With the list that a table's cell holds as JSON; nothing else is changed."""
    text = cells.get(name)
    if isinstance(text, str) and text.lstrip().startswith("["):
        try:
            return {**cells, name: json.loads(text)}
        except (ValueError, RecursionError):
            return cells
    return cells


def _until(whole: Sequence[Turn], rounds: Any) -> Sequence[Turn]:
    """As far as it was judged: MT-bench's rows have both rounds, and in `turn` the one that the vote is on."""
    ends = [place for place, turn in enumerate(whole, start=1) if turn.role == "assistant"]
    last = int(rounds) if str(rounds).isdecimal() else 0
    return whole[: ends[last - 1]] if 1 <= last <= len(ends) else whole


def _rounds(where: str, cells: Mapping[str, Any], names: tuple[str, str]) -> Mapping[str, Any] | None:
    """Kaggle's lists as conversations; nothing where prompt and answers are not all lists."""
    asked, *told = (_texts(_opened(cells, name).get(name)) for name in ("prompt", *names))
    if not FLAGS.keys() <= cells.keys() or not asked or not all(told):
        return None
    talks: dict[str, Any] = {}
    for name, answers in zip(names, told, strict=True):
        if len(answers) != len(asked):
            raise BadRow(f"{where}: {name}: has {len(answers)} answers to the {len(asked)} texts of prompt")
        talks[name] = [
            {"role": role, "content": text}
            for both in zip(asked, answers, strict=True)
            for role, text in zip(("user", "assistant"), both, strict=True)
        ]
    return {**cells, **talks}


def _texts(said: Any) -> list[str]:
    """A list's texts, null for one that a model left empty; nothing of what is no list of texts."""
    some = said if isinstance(said, list) else []
    return [text or "" for text in some] if all(text is None or isinstance(text, str) for text in some) else []


def _common(where: str, one: Sequence[Turn], other: Sequence[Turn]) -> list[Sequence[Turn]]:
    """Both with the same before their answers. Conversations that part earlier were judged as a whole: what is the same
    in both, up to something asked, is the prompt, and all that follows it the answer, the later questions with it."""
    same = sum(1 for _ in itertools.takewhile(lambda two: two[0] == two[1], zip(one[:-1], other[:-1], strict=False)))
    while same and one[same - 1].role != "user":
        same -= 1
    if not same:
        raise BadRow(f"{where}: the two answer different prompts; leave the row out")
    return [(*some[:same], Turn(role="assistant", text=written(some[same:]))) for some in (one, other)]
