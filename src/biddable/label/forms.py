"""What a person hands in, by kind of work, and the records that follow from it.

Answers are named by the letters of the screen (A, B …): which completion a letter is, only the store knows.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from biddable.records import Demonstration, Judgement, Prompt, Ranking, Record, Side, Verdict, complaint
from biddable.store import StoreError
from biddable.store.work import Held

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CLOSED = frozenset({"summarization", "closed_qa", "extract", "rewrite", "classification"})  # the input is the source

Letter = Annotated[str, Field(pattern=r"^[A-Z]$")]
Words = Annotated[str, Field(max_length=64_000)]


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
    text: Annotated[str, Field(min_length=1, max_length=64_000)]
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


class Asked(Form):
    """A prompt that a labeler writes (paper, Sec. 3.2)."""

    text: Annotated[str, Field(min_length=1, max_length=64_000)]
    source: Annotated[str, Field(pattern="^(plain|few_shot|user_based)$")]
    use_case: str | None = None


FORMS: dict[str, type[Form]] = {
    "write": Written, "rank": Ranked, "judge": JudgedAlone, "compare": Compared, "prompt": Asked,
}  # fmt: skip


def closed_domain(prompt: Prompt | None) -> bool:
    return prompt is not None and prompt.use_case in CLOSED


def read(held: Held, body: Any) -> Form:
    """The form of the task's kind; StoreError says which field is wrong."""
    try:
        return FORMS[held.job.kind].model_validate_json(body)
    except ValidationError as error:
        raise StoreError(complaint(error)) from error


def records(held: Held, form: Form, labeler: str, seconds: float, at: datetime) -> list[Record]:
    """What a form says, as records."""
    prompt = held.prompt
    common: dict[str, Any] = {"labeler": labeler, "seconds": seconds, "at": at}
    if held.guidelines:
        common["guidelines"] = held.guidelines.id
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
            fields = {"source": form.source, "use_case": form.use_case}
            return [Prompt.make(form.text, user=labeler, **fields)]
    raise AssertionError(form)


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
    if closed_domain(held.prompt):
        for letter, form in judged.items():
            if form.hallucination is None:
                raise StoreError(f"judgements.{letter}.hallucination: is asked of a prompt that brings its own text")
    share = common | {"seconds": common["seconds"] / len(judged)}
    return [Judgement(completion_id=names[letter], **form.model_dump(), **share) for letter, form in judged.items()]


def _ranked(held: Held, form: Ranked, names: dict[str, str], common: dict[str, Any]) -> list[Record]:
    assert held.prompt is not None
    _all([letter for tier in form.order for letter in tier], names, "order")
    said = _judged(held, form.judgements, names, common | {"seconds": 0.0}) if held.job.settings.judge else []
    order = tuple(tuple(names[letter] for letter in tier) for tier in form.order)
    ranking = Ranking(prompt_id=held.prompt.id, order=order, shown=tuple(names.values()), **common)
    return [*said, ranking]


def _verdict(held: Held, form: Compared, names: dict[str, str], common: dict[str, Any]) -> Record:
    assert held.prompt is not None
    if form.better is not None:
        _all([form.better, *names], names, "better")
    a, b = names.values()
    better: Side = "tie" if form.better is None else "a" if names[form.better] == a else "b"
    return Verdict(prompt_id=held.prompt.id, a=a, b=b, better=better, judge="person", shown="ab", **common)
