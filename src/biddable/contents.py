"""What a file of records holds, and whose it is: the labels in it by labeler, the prompts by user or organization."""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from biddable import records
from biddable.records import BadRow, Completion, Likelihood, Prompt, Record, Score, Verdict

MANY = 6  # people that a line names; of more it says how many they are
JUDGES = {"person": "people", "gold": "the truth", "model": "models"}  # by whom a verdict is


@dataclass(frozen=True)
class Contents:
    """What a file of records holds, and whose it is."""

    kinds: Counter[str]
    judges: Counter[str]  # verdicts by whom
    labels: Counter[str]  # by labeler
    owners: Counter[str]  # prompts by user or organization
    prompts: frozenset[str]
    answers: frozenset[str]  # completions by name
    marked_by: frozenset[str]  # runs that gave scores or likelihoods
    labels_of: dict[str, Counter[str]]  # labeler: how many of each kind
    prompts_of: dict[str, frozenset[str]]  # user or organization
    on: dict[str, frozenset[str]]  # prompt: who labeled it

    def __str__(self) -> str:
        parts = [self._counted(kind, count) for kind, count in self.kinds.items()]
        if self.labels and not (len(self.labels) > MANY and len(self.labels) == self.kinds["labeler"]):
            parts[-1] += f"; labels of {_named(self.labels)}"
        if 0 < len(self.owners) <= MANY:
            parts[-1] += f"; prompts of {_named(self.owners)}"
        return ", ".join(parts)

    def _counted(self, kind: str, count: int) -> str:
        told = f"{count:,} {kind}{'s' if count > 1 else ''}"
        if kind == "prompt" and len(self.owners) > MANY:
            told += f" of {len(self.owners):,} users or organizations"
        if kind == "verdict" and self.judges.keys() != {"person"}:
            told += f" ({', '.join(f'{many:,} by {JUDGES[judge]}' for judge, many in self.judges.most_common())})"
        return told

    def of(self, person: str) -> str:
        """What of it is theirs, in words; nothing where nothing is."""
        labels = self.labels_of.get(person, Counter())
        parts = [f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in labels.items()]
        if own := self.prompts_of.get(person):
            parts.append(f"{len(own)} prompt{'s' if len(own) > 1 else ''}")
            others = {name for prompt in own for name in self.on.get(prompt, frozenset())} - {person}
            if others:
                parts[-1] += f", labeled by {len(others)} other{'s' if len(others) > 1 else ''}"
        return ", ".join(parts)


def _named(count: Counter[str]) -> str:
    if len(count) > MANY:
        return f"{len(count):,} people"
    return ", ".join(f"{name} ({many})" for name, many in count.most_common())


def contents(path: Path) -> Contents | None:
    """Nothing for a file that holds something else than records."""
    seen = path.stat()
    return _read(path.resolve(), seen.st_mtime_ns, seen.st_size)


@cache
def _read(path: Path, _time: int, _size: int) -> Contents | None:
    """Once, as long as the file is what it was."""
    kinds, judges, labels, owners = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    labels_of: dict[str, Counter[str]] = {}
    prompts_of: dict[str, set[str]] = {}
    on: dict[str, set[str]] = {}
    prompts, marked_by, asked = set[str](), set[str](), dict[str, str]()
    try:
        for record in records.read(path):
            kinds[record.kind] += 1
            match record:
                case Prompt():
                    prompts.add(record.id)
                    for owner in filter(None, {record.user, record.organization}):
                        owners[owner] += 1
                        prompts_of.setdefault(owner, set()).add(record.id)
                case Completion():
                    asked[record.id] = record.prompt_id
                case Score() | Likelihood():
                    marked_by.add(record.run_id)
                case Verdict():
                    judges[record.judge] += 1
            if (labeler := labeler_of(record)) is not None:
                labels[labeler] += 1
                labels_of.setdefault(labeler, Counter())[record.kind] += 1
                prompt = getattr(record, "prompt_id", None) or asked.get(getattr(record, "completion_id", ""), "")
                on.setdefault(prompt, set()).add(labeler)
    except BadRow:
        return None
    frozen = {owner: frozenset(names) for owner, names in prompts_of.items()}
    who = {prompt: frozenset(names) for prompt, names in on.items()}
    names = frozenset(asked), frozenset(marked_by)
    return Contents(kinds, judges, labels, owners, frozenset(prompts), *names, labels_of, frozen, who)


def labeler_of(record: Record) -> str | None:
    """The person whose word a record is; a judge that is a model is none."""
    if getattr(record, "judge", "person") != "person":
        return None
    return vars(record).get("labeler")
