"""The paper's rules for prompts, in its order: duplicates, cap, split, personal data (Sec. 3.2, App. A.2)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from biddable.config import Settings
from biddable.gather.duplicates import Seen
from biddable.gather.owners import Key, owners, place
from biddable.gather.personal import personal_data
from biddable.records import Prompt, Split

Dropped = dict[str, list[Prompt]]  # by rule


class GatherConfig(Settings):
    prefix_share: Annotated[
        float,
        Field(gt=0, le=1, description="near-duplicates share this much of the shorter one, from its start (ours)"),
    ] = 0.9
    prefix_chars: Annotated[
        int, Field(ge=1, description="and at least so many characters; the paper says only 'long' (ours)")
    ] = 32
    cap: Annotated[int, Field(ge=1, description="prompts an owner may have at most (paper: 200)")] = 200
    key: Annotated[
        Key, Field(description="whose a prompt is: paper 3.2 says user, A.2 organization; default the stricter")
    ] = "organization_or_user"
    valid: Annotated[float, Field(ge=0, lt=1, description="share of owners in the valid split (ours)")] = 0.1
    test: Annotated[float, Field(ge=0, lt=1, description="share of owners in the test split (ours)")] = 0.1
    seed: Annotated[int, Field(description="which owners fall into which split")] = 0
    pii: Annotated[
        Literal["train", "all", "off"],
        Field(description="splits from which prompts with personal data are removed (paper: train)"),
    ] = "train"
    region: Annotated[
        str, Field(pattern="^[A-Z]{2}$", description="where telephone numbers without +country are from (ours)")
    ] = "US"

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        if self.valid + self.test >= 1:
            raise ValueError(f"valid {self.valid} and test {self.test} leave nothing to train on")
        return self


class Gathered(NamedTuple):
    prompts: list[Prompt]  # in the order in which they came, each with its split
    report: dict[str, Any]  # read, the count of each rule, kept, splits, owners, personal
    dropped: Dropped  # the report has their numbers alone, since more people read it


def gather(prompts: Iterable[Prompt], config: GatherConfig, known: Iterable[Prompt] = ()) -> Gathered:
    """Apply the rules. `known` are prompts gathered before: they stay as they are, are not returned, and count."""
    came, before = list(prompts), list(known)
    dropped: Dropped = {rule: [] for rule in ("duplicate", "near_duplicate", "over_cap", "two_splits", "personal")}
    owner = owners([*before, *came], config.key)

    distinct = _distinct(came, before, config, dropped)
    capped = _capped(distinct, before, owner, config.cap, dropped)
    placed = _placed(capped, before, owner, config, dropped)
    kept, spans = _without_personal(placed, config, dropped)

    splits = Counter(prompt.split for prompt in kept)
    report = {
        "read": len(came),
        "dropped": {rule: len(those) for rule, those in dropped.items()},
        "kept": len(kept),
        "splits": {split: splits[split] for split in ("train", "valid", "test")},
        "owners": len({owner[prompt.id] for prompt in kept}),
        "personal": spans,
    }
    return Gathered(kept, report, dropped)


def _distinct(came: Sequence[Prompt], before: Sequence[Prompt], config: GatherConfig, dropped: Dropped) -> list[Prompt]:
    """A product's system turn is the same before everybody's question, and may be longer than all of them: prompts are
    compared with those of the same system turn, by what follows it."""
    seen: defaultdict[str, Seen] = defaultdict(lambda: Seen(config.prefix_share, config.prefix_chars))
    for prompt in before:
        seen[prompt.system].add(prompt.talk)
    kept = []
    for prompt in came:
        if (verdict := seen[prompt.system].add(prompt.talk)) == "new":
            kept.append(prompt)
        else:
            dropped[verdict].append(prompt)
    return kept


def _capped(
    came: Sequence[Prompt], before: Sequence[Prompt], owner: dict[str, str], cap: int, dropped: Dropped
) -> list[Prompt]:
    """The first `cap` of each owner: gathered again with more, they are the same."""
    has = Counter(owner[prompt.id] for prompt in before)
    kept = []
    for prompt in came:
        has[owner[prompt.id]] += 1
        if has[owner[prompt.id]] <= cap:
            kept.append(prompt)
        else:
            dropped["over_cap"].append(prompt)
    return kept


def _placed(
    came: Sequence[Prompt], before: Sequence[Prompt], owner: dict[str, str], config: GatherConfig, dropped: Dropped
) -> list[Prompt]:
    """Each with the split of its owner; one that was gathered before stays where it was."""
    splits = settled(before, owner)
    kept = []
    for prompt in came:
        split = split_of(owner[prompt.id], splits, config)
        if split is None:
            dropped["two_splits"].append(prompt)
        else:
            kept.append(prompt.model_copy(update={"split": split}))
    return kept


def settled(prompts: Iterable[Prompt], owner: Mapping[str, str]) -> Mapping[str, set[Split]]:
    """In which splits an owner's prompts are."""
    found: defaultdict[str, set[Split]] = defaultdict(set)
    for prompt in prompts:
        if prompt.split is not None:
            found[owner[prompt.id]].add(prompt.split)
    return found


def split_of(owner: str, splits: Mapping[str, set[Split]], config: GatherConfig) -> Split | None:
    """Where an owner's next prompt goes; None for a user who turns out to join two owners that are in two splits."""
    match sorted(splits.get(owner, ())):
        case []:
            return _split(place(owner, config.seed), config)
        case [split]:
            return split
    return None


def _split(at: float, config: GatherConfig) -> Split:
    if at < config.valid:
        return "valid"
    return "test" if at < config.valid + config.test else "train"


def _without_personal(
    came: Sequence[Prompt], config: GatherConfig, dropped: Dropped
) -> tuple[list[Prompt], list[dict[str, Any]]]:
    """Spans are reported of every split, and never their text: a report is read by more people than a prompt."""
    kept, report = [], []
    for prompt in came:
        spans = personal_data(prompt.whole, config.region) if config.pii != "off" else []
        removed = bool(spans) and config.pii in ("all", prompt.split)
        for span in spans:
            report.append({"prompt": prompt.id, "split": prompt.split, "removed": removed} | span._asdict())
        if removed:
            dropped["personal"].append(prompt)
        else:
            kept.append(prompt)
    return kept, report
