"""All questions about pairs of answers, each in both orders, and what came of them: verdicts, and a tally of the rest.

Every answer is on disk before the next is waited for, under a name that follows from judge and question: whoever runs
the command again, or a larger one, asks only what is missing.
"""

import json
import os
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from biddable import records
from biddable.config import Settings
from biddable.judge.endpoint import Endpoint, Said
from biddable.judge.wording import Template, read
from biddable.records import Completion, Prompt, Record, Side, Verdict, digest
from biddable.runs import Run, write_aside

ANSWERS = "answers.jsonl"
Shown = Literal["ab", "ba"]
ORDERS: tuple[Shown, ...] = ("ab", "ba")


class JudgeConfig(Settings):
    """What makes a judge this judge; all of it stands in the run's manifest."""

    model: str = Field(description="the endpoint's name of the model")
    url: str = Field(description="without what may hold a key")
    template: str = Field(description="its name")
    text: str = Field(description="the template, whole")
    temperature: float = Field(
        0.0, ge=0, description="0: the same question, the same answer, as far as the endpoint can"
    )
    answer_tokens: int = Field(512, ge=1, description="longest answer; one that is cut has no verdict")
    models: tuple[str, str] = Field(description="whose answers are compared")
    limit: int = Field(0, ge=0, description="how many pairs, those first that people compared; 0 is all")

    @property
    def name(self) -> str:
        """Which judge: another model, template or setting is another one."""
        made_of = (self.model, self.url, self.text, str(self.temperature), str(self.answer_tokens))
        return f"{self.model[:180]}@{digest(*made_of)[:8]}"


class Pair(NamedTuple):
    prompt: Prompt
    a: Completion
    b: Completion


class Question(NamedTuple):
    pair: Pair
    shown: Shown
    messages: list[dict[str, str]]
    key: str


class Asked(NamedTuple):
    """What is known of a question."""

    key: str
    said: Said


def pairs_to_ask(
    prompts: Mapping[str, Prompt],
    completions: Iterable[Completion],
    models: Mapping[str, str],
    two: tuple[str, str],
    by_people: Iterable[Verdict] = (),
    limit: int = 0,
) -> list[Pair]:
    """Pairs that people compared, so that the judge can be held against them, and then a first answer of each model to
    every other prompt. In the order of the prompts' ids, which are hashes: any first part is a fair draw."""
    answers: dict[tuple[str, str], list[Completion]] = {}
    by_id: dict[str, Completion] = {}
    for completion in sorted(completions, key=lambda c: c.id):
        if (model := models.get(completion.id)) in two and completion.prompt_id in prompts:
            answers.setdefault((completion.prompt_id, model), []).append(completion)
            by_id[completion.id] = completion
    seen: dict[tuple[str, str], Pair] = {}
    for verdict in sorted(by_people, key=lambda v: (v.prompt_id, v.a, v.b)):
        if verdict.judge != "person" or verdict.a not in by_id or verdict.b not in by_id:
            continue
        a, b = (verdict.a, verdict.b) if models[verdict.a] == two[0] else (verdict.b, verdict.a)
        if (models[a], models[b]) == two:
            seen.setdefault((a, b), Pair(prompts[verdict.prompt_id], by_id[a], by_id[b]))
    compared = {pair.prompt.id for pair in seen.values()}
    rest = [
        Pair(prompts[name], answers[name, two[0]][0], answers[name, two[1]][0])
        for name in sorted(prompts)
        if name not in compared and all((name, model) in answers for model in two)
    ]
    found = [*seen.values(), *rest]
    return found[:limit] if limit else found


def questions(pairs: Iterable[Pair], template: Template, judge: str) -> Iterator[Question]:
    """Both orders of a pair side by side: whoever stops leaves whole pairs."""
    for pair in pairs:
        for shown in ORDERS:
            first, second = (pair.a, pair.b) if shown == "ab" else (pair.b, pair.a)
            messages = template.messages(pair.prompt, first.text, second.text)
            yield Question(pair, shown, messages, digest(judge, json.dumps(messages)))


def ask_all(
    run: Run, config: JudgeConfig, endpoint: Endpoint, template: Template, pairs: Sequence[Pair], at_once: int = 4
) -> Path:
    """Ask what is not known yet, and write verdicts.jsonl and tally.json. Returns the verdicts' path."""
    todo = list(questions(pairs, template, config.name))
    known = answered(run.folder.parent)
    journal = run.folder / ANSWERS
    own = {one.key for one in _read(journal)}
    _mend(journal)
    with journal.open("a", encoding="utf-8") as file:
        for question in todo:  # what another run of this judge was answered
            if question.key in known and question.key not in own:
                _write(file, Asked(question.key, known[question.key]))
        missing = [question for question in todo if question.key not in known]
        with run.progress("judging", len(todo), "questions", before=len(todo) - len(missing)) as bar:
            spent = 0
            for one in _answers(missing, endpoint, config, at_once):
                _write(file, one)
                known[one.key] = one.said
                spent += one.said.tokens_in + one.said.tokens_out
                bar.told = f"{spent:,} tokens"
                bar.advance()
    return _leave(run, config, todo, known)


def _answers(missing: Sequence[Question], endpoint: Endpoint, config: JudgeConfig, at_once: int) -> Iterator[Asked]:
    """As they come, `at_once` questions under way. The threads end with the process: Ctrl-C waits for no endpoint."""
    waiting: queue.SimpleQueue[Question] = queue.SimpleQueue()
    done: queue.SimpleQueue[Asked | BaseException] = queue.SimpleQueue()
    stopped = threading.Event()
    for question in missing:
        waiting.put(question)

    def work() -> None:
        while not stopped.is_set():
            try:
                question = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                said = endpoint.ask(question.messages, config.answer_tokens, config.temperature)
                done.put(Asked(question.key, said))
            except BaseException as error:  # handed over whole to the thread that waits
                done.put(error)
                return

    for _ in range(min(at_once, len(missing))):
        threading.Thread(target=work, daemon=True).start()
    try:
        for _ in missing:
            found = done.get()
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        stopped.set()


def _write(file, one: Asked) -> None:
    file.write(json.dumps({"key": one.key, **one.said._asdict()}, ensure_ascii=False) + "\n")
    file.flush()
    os.fsync(file.fileno())


def _read(journal: Path) -> Iterator[Asked]:
    """What is on disk; a last line that a kill cut short is none."""
    if not journal.exists():
        return
    whole, _, _torn = journal.read_bytes().rpartition(b"\n")
    for line in whole.splitlines():
        row = json.loads(line)
        yield Asked(row.pop("key"), Said(**row))


def _mend(journal: Path) -> None:
    if journal.exists():
        whole, newline, torn = journal.read_bytes().rpartition(b"\n")
        if torn:
            os.truncate(journal, len(whole) + len(newline))


def answered(folder: Path) -> dict[str, Said]:
    """Every answer of every judge's run beside this one, by question. A key names judge and question both."""
    return {one.key: one.said for path in sorted(folder.glob(f"judge-*/{ANSWERS}")) for one in _read(path)}


def _leave(run: Run, config: JudgeConfig, todo: Sequence[Question], known: Mapping[str, Said]) -> Path:
    made: list[Record] = []
    tally = dict.fromkeys(("asked", "unread", "refused", "tokens_in", "tokens_out"), 0)
    for question in todo:
        said = known[question.key]
        choice = None if said.refused else read(said.text)
        tally["asked"] += 1
        tally["refused"] += bool(said.refused)
        tally["unread"] += not said.refused and choice is None
        tally["tokens_in"] += said.tokens_in
        tally["tokens_out"] += said.tokens_out
        if choice is not None:
            made += [question.pair.prompt, question.pair.a, question.pair.b, _verdict(question, choice, config.name)]
    path = run.output("verdicts", run.folder / "verdicts.jsonl")
    records.write(path, dict.fromkeys(made))
    told = {"judge": config.name, "template": config.template, **tally}
    write_aside(run.output("tally", run.folder / "tally.json"), json.dumps(told, indent=2) + "\n")
    run.output("answers", run.folder / ANSWERS)
    return path


def _verdict(question: Question, choice: Literal["first", "second", "tie"], judge: str) -> Verdict:
    """`better` is of a and b, whichever was shown first."""
    first, second = question.shown
    pair = question.pair
    sides: dict[str, Side] = {
        "first": "a" if first == "a" else "b",
        "second": "a" if second == "a" else "b",
        "tie": "tie",
    }
    return Verdict(
        prompt_id=pair.prompt.id, a=pair.a.id, b=pair.b.id, better=sides[choice], judge="model", labeler=judge,
        shown=question.shown,
    )  # fmt: skip
