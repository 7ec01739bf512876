"""A snapshot's records as token ids: what each trainer reads, with the file named in every complaint."""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from biddable import records
from biddable.text.tokenizer import Ids, Tokenizer, answer_ids, conversations, page_ids, prompt_ids


@dataclass(frozen=True)
class Example:
    """A prompt and an answer to it; of a conversation, where in the prompt the earlier answers are."""

    prompt: Ids
    answer: Ids
    earlier: Sequence[range] = ()


@dataclass(frozen=True)
class RankedSet:
    """One ranking: the prompt, its answers, and each answer's rank (1 is best, equal is a tie)."""

    prompt: Ids
    answers: tuple[Ids, ...]
    ranks: tuple[int, ...]
    group: str
    labeler: str = ""
    aspects: tuple[Mapping[str, float], ...] = ()  # each answer's, if any was judged
    liked: tuple[bool, ...] = ()  # of answers that were judged and not ranked

    @property
    def longest(self) -> int:
        return len(self.prompt) + max(map(len, self.answers))


def prompts(path: Path) -> list[records.Prompt]:
    """The prompts of a file, in its order."""
    found = [record for record in records.read(path) if isinstance(record, records.Prompt)]
    return _some(found, path, "prompts")


def completions(path: Path) -> tuple[dict[str, records.Prompt], list[records.Completion]]:
    """The completions of a file and its prompts by id."""
    by_id, found = {}, []
    for record in records.read(path):
        match record:
            case records.Prompt():
                by_id[record.id] = record
            case records.Completion():
                found.append(record)
    _known((c.prompt_id for c in found), by_id, path, "prompt")
    return by_id, _some(found, path, "completions")


def demonstrations(path: Path, tokenizer: Tokenizer) -> list[Example]:
    """The demonstrations of a snapshot as token ids."""
    by_id, found = {}, []
    for record in records.read(path):
        match record:
            case records.Prompt():
                by_id[record.id] = record
            case records.Demonstration():
                found.append(record)
    _known((d.prompt_id for d in _some(found, path, "demonstrations")), by_id, path, "prompt")
    asked = conversations(tokenizer, [by_id[d.prompt_id] for d in found])
    answer = answer_ids(tokenizer, [d.text for d in found])
    return [Example(prompt, a, places) for (prompt, places), a in zip(asked, answer, strict=True)]


def rankings(path: Path, tokenizer: Tokenizer, judgements: Path | None = None) -> list[RankedSet]:
    """The rankings of a snapshot as token ids; a labeler that the file does not describe has group "unknown". With
    judgements, what they say of the ranked answers."""
    judged = judged_answers(judgements) if judgements else {}
    by_id, texts, groups, found = {}, {}, {}, []
    for record in records.read(path):
        match record:
            case records.Prompt():
                by_id[record.id] = record
            case records.Completion():
                texts[record.id] = record.text
            case records.Labeler():
                groups[record.id] = record.group
            case records.Ranking():
                found.append(record)
    _known((r.prompt_id for r in _some(found, path, "rankings")), by_id, path, "prompt")
    _known((c for r in found for c in r.ranks), texts, path, "completion")
    prompt = dict(zip(by_id, prompt_ids(tokenizer, by_id.values()), strict=True))
    answer = dict(zip(texts, answer_ids(tokenizer, texts.values()), strict=True))
    return [
        RankedSet(
            prompt[r.prompt_id],
            tuple(answer[c] for c in r.ranks),
            tuple(r.ranks.values()),
            groups.get(r.labeler, "unknown"),
            r.labeler,
            tuple(judged.get(c, {}) for c in r.ranks),
        )
        for r in found
    ]


def liked(path: Path, tokenizer: Tokenizer, aspect: str) -> list[RankedSet]:
    """The judged answers of a snapshot, prompt by prompt: liked where more than half of what people said of the aspect
    is good, not liked where less is; one in the very middle is left out."""
    by_id, answered = completions(path)
    said = {name: some[aspect] for name, some in judged_answers(path).items() if some.get(aspect, 0.5) != 0.5}
    of_prompt: dict[str, list[records.Completion]] = defaultdict(list)
    for one in answered:
        if one.id in said:
            of_prompt[one.prompt_id].append(one)
    _known(said, {one.id for one in answered}, path, "completion")
    if not said:
        raise ValueError(f"{path}: no judgement says whether an answer is {aspect}; say desirable_by=ASPECT")
    prompt = prompt_ids(tokenizer, [by_id[name] for name in of_prompt])
    return [
        RankedSet(
            ids,
            tuple(answer_ids(tokenizer, [one.text for one in some])),
            tuple(1 if said[one.id] > 0.5 else 2 for one in some),
            "unknown",
            liked=tuple(said[one.id] > 0.5 for one in some),
        )
        for ids, some in zip(prompt, of_prompt.values(), strict=True)
    ]


def holds(path: Path, kind: type[records.Record]) -> bool:
    """Whether a file has such a record."""
    return any(isinstance(record, kind) for record in records.read(path))


def judged_answers(path: Path) -> dict[str, dict[str, float]]:
    """What the judgements of a file say of each completion; where several people judged it, their mean."""
    said: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in _some([r for r in records.read(path) if isinstance(r, records.Judgement)], path, "judgements"):
        for aspect, share in record.aspects().items():
            said[record.completion_id][aspect].append(share)
    return {name: {aspect: fmean(shares) for aspect, shares in some.items()} for name, some in said.items()}


def pages(path: Path, tokenizer: Tokenizer, longest: int) -> list[Ids]:
    """Pretraining text as token ids."""
    found = [record.text for record in records.read(path) if isinstance(record, records.Page)]
    return page_ids(tokenizer, _some(found, path, "pages"), longest)


def _some(found: list, path: Path, what: str) -> list:
    if not found:
        raise ValueError(f"{path}: no {what} in this file")
    return found


def _known(asked: Iterable[str], known: Container[str], path: Path, what: str) -> None:
    for name in asked:
        if name not in known:
            raise ValueError(f"{path}: {what} {name} is referred to but is not in the file; take the snapshot again")
