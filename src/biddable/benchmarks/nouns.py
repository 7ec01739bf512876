"""The nouns of a benchmark, one JSON object a line: how it was asked, what was asked, and what came back.

`evaluate` writes them and `measure` counts them, so that every score can be counted again without a model.
"""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from biddable.records import BadRow, Likelihood, Name, Record, Text, complaint, digest

Kind = Literal["choice", "pair", "generation"]
Metric = Literal[
    "accuracy", "multiple_choice", "squad_f1", "drop_f1", "quac_f1", "bleu", "rouge_l", "exact", "wsc", "entropy",
    "truthful", "toxicity", "mark",
]  # fmt: skip
AT = "@"


class Setting(Record):
    """One way of asking one benchmark. Two with the same `id` asked the same words."""

    kind: Literal["setting"] = "setting"
    benchmark: Name
    metric: Metric
    prompt: Name  # which of the benchmark's prompts: qa, respectful, …
    shots: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]
    form: Name  # hash of the format
    told_as: Literal["page", "prompt"] = "page"
    file: Name  # sha256 of the rows
    asked: Annotated[int, Field(ge=1)]  # how many questions
    left_out: Annotated[int, Field(ge=0)] = 0  # of these many more, which do not fit into every model

    @property
    def id(self) -> str:
        """`squad_v2 4-shot@1f09a3c2`: what a reader calls it, and what distinguishes it. Not how many were asked: a
        question has the same words whatever the limit."""
        words = [self.benchmark, *([self.prompt] if self.prompt != "plain" else [])]
        words += [f"{self.shots}-shot"] if self.shots else []
        return " ".join(words) + AT + digest(self.form, str(self.seed), self.told_as, self.file, self.metric)[:8]


class Question(Record):
    """What a model is given, and what a right answer is."""

    kind: Literal["question"] = "question"
    task: Name  # the setting's id
    id: Name
    context: Text
    choices: tuple[Text, ...] = ()
    right: tuple[int, ...] = ()  # of the choices, the best of the right ones first
    references: tuple[tuple[Text, ...], ...] = ()  # answers that count as right, each of one span or of several (DROP)
    holds: bool | None = None  # whether the reference is what is meant (WSC)
    group: Name | None = None  # what it shares with others: a dialogue, an article


class Reply(Record):
    """What a model wrote, up to the first line break."""

    kind: Literal["reply"] = "reply"
    task: Name
    item: Name
    run_id: Name
    text: Text
    finished: bool  # a line break or the end token was seen


class Mark(Record):
    """What somebody else says of a reply: a scorer of toxicity, a judge, a person, lm-eval."""

    kind: Literal["mark"] = "mark"
    task: Name
    item: Name
    run_id: Name
    what: Name  # toxicity, true, informative, or the name of the metric
    value: Annotated[float, Field(allow_inf_nan=False)]
    by: Name


AnyLine = Setting | Question | Likelihood | Reply | Mark
_any_line: TypeAdapter[AnyLine] = TypeAdapter(Annotated[AnyLine, Field(discriminator="kind")])


def read(path: Path) -> Iterator[AnyLine]:
    """Read such a file; a bad row raises BadRow with file, row and key."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadRow(f"{path}: cannot be read: {error.strerror}") from error
    with file:
        for row, line in enumerate(file, start=1):
            text = line.removeprefix(codecs.BOM_UTF8).strip()
            try:
                if text:
                    yield _any_line.validate_json(text)
            except ValidationError as error:
                raise BadRow(f"{path}, row {row}: {complaint(error)}") from error
