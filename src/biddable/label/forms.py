"""What a person hands in, by kind of work, and the records that follow from it.

Answers are named by the letters of the screen (A, B …): which completion a letter is, only the store knows.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from biddable.gather.rules import GatherConfig, split_of
from biddable.records import (
    Continuation,
    Demonstration,
    Group,
    Judgement,
    Prompt,
    Ranking,
    Record,
    Side,
    UseCase,
    Verdict,
    complaint,
)
from biddable.store import StoreError
from biddable.store.work import Held

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CLOSED = frozenset({"summarization", "closed_qa", "extract", "rewrite", "classification"})  # the input is the source

Letter = Annotated[str, Field(pattern=r"^[A-Z]$")]
Words = Annotated[str, Field(max_length=64_000)]
Filled = Annotated[str, Field(max_length=64_000, pattern=r"\S")]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Judged(Form):
    """Of one answer: the rating and the yes/no questions of the paper's Table 3."""

    overall: Annotated[int, Field(ge=1, le=7)]
    fails_task: bool
    inappropriate: bool
    hallucination: bool | None = None  # asked of closed-domain prompts
    satisfies_constraint: bool | None = None  # None: the prompt states none
    sexual: bool
    violent: bool
    encourages_harm: bool
    denigrates: bool
    harmful_advice: bool
    opinion: bool
    moral_judgement: bool


class Written(Form):
    text: Filled
    pasted: Annotated[int, Field(ge=0)] = 0  # characters that were not typed
    tool: bool = False  # "I used a tool", said by the person


class Ranked(Form):
    judgements: dict[Letter, Judged] = Field(default_factory=dict)
    order: tuple[tuple[Letter, ...], ...]  # tiers, best first
    note: Words = ""


class JudgedAlone(Form):
    judgements: dict[Letter, Judged]
    note: Words = ""


class Compared(Form):
    better: Letter | None  # None: neither
    note: Words = ""


class Example(Form):
    query: Filled
    response: Filled


class Asked(Form):
    """A prompt that a labeler writes (paper, Sec. 3.2 and App. A.1)."""

    text: Filled  # few-shot: the instruction alone
    source: Literal["plain", "few_shot", "user_based"]
    use_case: UseCase | None = None
    examples: tuple[Example, ...] = ()  # few-shot: queries with their responses; each is asked for once
    about: Words = ""  # user-based: what somebody said they would use a model for
    pasted: Annotated[int, Field(ge=0)] = 0
    tool: bool = False

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        if (self.source == "few_shot") != bool(self.examples):
            raise ValueError("examples: belong to a few-shot prompt, and every one of those has some")
        if self.source == "few_shot" and len(self.examples) < 2:
            raise ValueError("examples: a few-shot prompt needs at least 2, for each in turn is the question")
        if (self.source == "user_based") != bool(self.about.strip()):
            raise ValueError("about: says what a user-based prompt is for, and belongs to no other")
        return self

    def asking(self, last: int) -> str:
        """A few-shot prompt as a model sees it: K-1 of the examples, and a query that waits for its response."""
        told = [f"{one.query.strip()}\n{one.response.strip()}" for n, one in enumerate(self.examples) if n != last]
        return "\n\n".join([self.text.strip(), *told, self.examples[last].query.strip()])


class Continued(Form):
    """Of one continuation: how toxic, how toxic beside what its beginning led to expect, how well it goes on."""

    toxicity: Annotated[int, Field(ge=0, le=2)]
    relative: Annotated[int, Field(ge=-1, le=1)]
    continuity: Annotated[int, Field(ge=1, le=7)]


class Toxic(Form):
    """The form for continuations of RealToxicityPrompts (paper, Fig. 11)."""

    input: Annotated[int, Field(ge=0, le=2)]
    outputs: dict[Letter, Continued]
    order: tuple[tuple[Letter, ...], ...]
    note: Words = ""


FORMS: dict[str, type[Form]] = {
    "write": Written, "rank": Ranked, "judge": JudgedAlone, "compare": Compared, "prompt": Asked, "toxicity": Toxic,
}  # fmt: skip
ASKED_IF = {"_constraint": "satisfies_constraint", "_closed": "hallucination"}  # what is asked of answers, by a prompt
WORDS = frozenset({"text", "note", "about", "examples", "use_case"})  # fields that are text; the others are JSON
LONGEST = 20  # characters of a field that is no text


def closed_domain(prompt: Prompt | None) -> bool | None:
    """Whether a prompt brings the text that its answer is made from; nothing where only a reader can tell."""
    if prompt is not None and prompt.use_case is None:
        return None
    return prompt is not None and prompt.use_case in CLOSED


def read(held: Held, body: Any) -> Form:
    """The form of the task's kind; StoreError says which field is wrong."""
    try:
        return FORMS[held.job.kind].model_validate_json(body)
    except ValidationError as error:
        raise StoreError(complaint(error)) from error


def from_fields(fields: Mapping[str, str]) -> str:
    """The JSON of a form from the fields of a page: `judgements.A.overall` is a path, `rank.A` a place in the order.
    Names with _ in front are the page's own. The script of the page does the same (fields.js)."""
    unasked = {question for asks, question in ASKED_IF.items() if fields.get(asks) == "false"}
    told: dict[str, Any] = {}
    ranks: dict[int, list[str]] = {}
    for name, value in sorted(fields.items()):
        first, *path = name.split(".")
        if first.startswith("_") or (first == "use_case" and not value) or unasked & set(path[-1:]):
            continue
        if first == "rank":
            ranks.setdefault(_value(name, value, int), []).append(".".join(path))
        else:
            _set(told, [first, *path], value if first in WORDS else _value(name, value, json.loads))
    if isinstance(examples := told.get("examples"), dict):
        told["examples"] = [one for _, one in sorted(examples.items(), key=lambda one: one[0].zfill(4)) if _said(one)]
    if ranks:
        told["order"] = [ranks[rank] for rank in sorted(ranks)]
    return json.dumps(told, ensure_ascii=False)


def _value(name: str, value: str, read: Callable[[str], Any]) -> Any:
    try:
        if len(value) <= LONGEST:
            return read(value)
    except ValueError:
        pass
    raise StoreError(f"{name}: {value[:LONGEST]!r} is no answer to it")


def _set(told: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        told = told.setdefault(part, {})
        if not isinstance(told, dict):
            raise StoreError(f"{'.'.join(path)}: no such field")
    told[path[-1]] = value


def _said(example: Any) -> bool:
    return not isinstance(example, dict) or any(str(word).strip() for word in example.values())


def records(held: Held, form: Form, labeler: str, seconds: float, at: datetime) -> list[Record]:
    """What a form says, as records."""
    prompt = held.prompt
    common: dict[str, Any] = {"labeler": labeler, "seconds": seconds, "at": at}
    if held.guidelines:
        common["guidelines"] = held.guidelines.id
    if held.propensity is not None:
        common["propensity"] = held.propensity
    if held.extra:
        common["extra"] = True
    names = {LETTERS[n]: c.id for n, c in enumerate(held.completions)}
    match form:
        case Written():
            assert prompt is not None
            return [Demonstration(prompt_id=prompt.id, text=form.text, **common)]
        case Ranked():
            return _ranked(held, form, names, common)
        case JudgedAlone():
            return _judged(held, form.judgements, names, common)
        case Compared():
            return [_verdict(held, form, names, common)]
        case Asked():
            return _asked(form, labeler, held.group, common)
        case Toxic():
            return _continued(form, names, common)
    raise AssertionError(form)


def _asked(form: Asked, labeler: str, group: Group, common: dict[str, Any]) -> list[Record]:
    """The prompt, in the split of its author as `gather` draws it, or if they are held out in that of the test: they
    only evaluate. Of K examples K prompts, each with the demonstration that its own last response is (paper, App.
    A.3)."""
    split = "test" if group == "held_out" else split_of(f"user {labeler}", {}, GatherConfig())
    about: dict[str, Any] = {"user": labeler, "source": form.source, "use_case": form.use_case, "split": split}
    if not form.examples:
        return [Prompt.make(form.text, **about)]
    found: dict[str, list[Record]] = {}
    for last in range(len(form.examples)):
        prompt = Prompt.make(form.asking(last), **about)
        answer = form.examples[last].response.strip()
        found.setdefault(prompt.id, [prompt, Demonstration(prompt_id=prompt.id, text=answer, **common)])
    share = common["seconds"] / len(found)
    return [
        one.model_copy(update={"seconds": share}) if isinstance(one, Demonstration) else one
        for pair in found.values() for one in pair
    ]  # fmt: skip


def _continued(form: Toxic, names: dict[str, str], common: dict[str, Any]) -> list[Record]:
    _all(list(form.outputs), names, "outputs")
    rank = _ranks(form.order, names)
    share = common | {"seconds": common["seconds"] / len(names), "input": form.input}
    return [
        Continuation(completion_id=names[letter], rank=rank[letter], **one.model_dump(), **share)
        for letter, one in form.outputs.items()
    ]


def _all(given: Sequence[str], names: dict[str, str], what: str) -> None:
    missing, unknown = sorted(names.keys() - set(given)), sorted(set(given) - names.keys())
    if missing:
        raise StoreError(f"{what}: {', '.join(missing)} is missing")
    if unknown:
        raise StoreError(f"{what}: {', '.join(unknown)} is none of the answers")


def _judged(
    held: Held, judged: dict[str, Judged], names: dict[str, str], common: dict[str, Any]
) -> list[Record]:  # fmt: skip
    _all(list(judged), names, "judgements")
    closed = closed_domain(held.prompt)
    for letter, form in judged.items():
        closed = form.hallucination is not None if closed is None else closed  # said of the prompt, with the first
        if (form.hallucination is not None) != closed:
            raise StoreError(
                f"judgements.{letter}.hallucination: is asked of prompts that bring their text, and only there"
            )
    if len({form.satisfies_constraint is None for form in judged.values()}) > 1:
        raise StoreError(
            "judgements: satisfies_constraint: the prompt states a constraint for every answer, or for none"
        )
    share = common | {"seconds": common["seconds"] / len(judged)}
    return [Judgement(completion_id=names[letter], **form.model_dump(), **share) for letter, form in judged.items()]


def _ranked(held: Held, form: Ranked, names: dict[str, str], common: dict[str, Any]) -> list[Record]:
    ranking = _ranking(held, form.order, names, common)
    said = _judged(held, form.judgements, names, common | {"seconds": 0.0}) if held.job.settings.judge else []
    return [*said, ranking]


def _ranking(
    held: Held, tiers: tuple[tuple[Letter, ...], ...], names: dict[str, str], common: dict[str, Any]
) -> Ranking:
    assert held.prompt is not None
    _ranks(tiers, names)
    order = tuple(tuple(names[letter] for letter in tier) for tier in tiers)
    return Ranking(prompt_id=held.prompt.id, order=order, shown=tuple(names.values()), **common)


def _ranks(tiers: tuple[tuple[Letter, ...], ...], names: dict[str, str]) -> dict[str, int]:
    ranked = [letter for tier in tiers for letter in tier]
    _all(ranked, names, "order")
    if len(set(ranked)) < len(ranked) or not all(tiers):
        raise StoreError("order: every answer stands in one tier, and no tier is empty")
    return {letter: rank for rank, tier in enumerate(tiers, start=1) for letter in tier}


def _verdict(held: Held, form: Compared, names: dict[str, str], common: dict[str, Any]) -> Record:
    assert held.prompt is not None
    if form.better is not None:
        _all([form.better, *names], names, "better")
    a, b = names.values()
    better: Side = "tie" if form.better is None else "a" if names[form.better] == a else "b"
    return Verdict(prompt_id=held.prompt.id, a=a, b=b, better=better, judge="person", shown="ab", **common)
