"""The paper's rules for prompts, in its order: duplicates, cap, split, personal data (Sec. 3.2, App. A.2)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from biddable.config import Settings
from biddable.gather.duplicates import Seen
from biddable.gather.owners import Key, is_nobodys, owner_of, place
from biddable.gather.personal import Span, personal_data
from biddable.records import Prompt, Split

Dropped = dict[str, list[Prompt]]  # by rule
RULES = ("duplicate", "near_duplicate", "over_cap", "two_splits", "personal")
KEPT = ""  # the rule to which those fall that stay


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
    valid: Annotated[float, Field(ge=0, le=1, description="share of owners in the valid split (ours)")] = 0.1
    test: Annotated[float, Field(ge=0, le=1, description="share of owners in the test split (ours)")] = 0.1
    seed: Annotated[int, Field(description="which owners fall into which split")] = 0
    pii: Annotated[
        Literal["train", "all", "off"],
        Field(description="splits from which prompts with personal data are removed (paper: train)"),
    ] = "train"
    region: Annotated[
        str, Field(pattern="^[A-Z]{2}$", description="where telephone numbers without +country are from (ours)")
    ] = "US"

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        if self.valid + self.test > 1:
            raise ValueError(f"valid {self.valid} and test {self.test} are more than all")
        return self


class Gathered(NamedTuple):
    prompts: list[Prompt]  # in the order in which they came, each with its split
    report: dict[str, Any]  # read, the count of each rule, kept, splits, owners, personal
    dropped: Dropped  # the report has their numbers alone, since more people read it


def gather(prompts: Iterable[Prompt], config: GatherConfig, known: Iterable[Prompt] = ()) -> Gathered:
    """Apply the rules. `known` are prompts gathered before: they stay as they are, are not returned, and count."""
    dropped: Dropped = {rule: [] for rule in RULES}
    report: dict[str, Any] = {}
    kept = list(sift(list(prompts), config, list(known), report, lambda rule, prompt: dropped[rule].append(prompt)))
    return Gathered(kept, report, dropped)


def sift(
    came: Iterable[Prompt], config: GatherConfig, known: Iterable[Prompt], report: dict[str, Any],
    drop: Callable[[str, Prompt], object] | None = None,
) -> Iterator[Prompt]:  # fmt: skip
    """The prompts that stay, one by one; what does not goes to `drop`, and `report` is filled at the end.

    `came` and `known` are gone through twice (as a list, or `Again`), for whose a prompt is can follow from the last of
    them. Memory grows with the owners and not with the prompts."""
    sieve = Sieve(config, owner_of(chain(known, came), config.key))
    for prompt in known:
        sieve.know(prompt)
    fell, splits, spans = Counter[str](), Counter[Split | None](), list[dict[str, Any]]()
    for prompt in came:
        rule, placed, found = sieve.judge(prompt)
        fell[rule] += 1
        removed = rule == "personal"
        spans += [{"prompt": placed.id, "split": placed.split, "removed": removed} | span._asdict() for span in found]
        if rule == KEPT:
            splits[placed.split] += 1
            yield placed
        elif drop is not None:
            drop(rule, placed)
    report |= {
        "read": fell.total(),
        "dropped": {rule: fell[rule] for rule in RULES},
        "kept": fell[KEPT],
        "splits": {split: splits[split] for split in ("train", "valid", "test")},
        "owners": sieve.owners,
        "personal": spans,
    }


def still_personal(report: Mapping[str, Any]) -> dict[str, str]:
    """The prompts that stayed and hold personal data, each with a kind of it: nobody learns from them, people read
    them."""
    return {span["prompt"]: span["kind"] for span in report["personal"] if not span["removed"]}


class Again(Iterable[Prompt]):
    """What can be gone through from its beginning each time."""

    def __init__(self, begin: Callable[[], Iterable[Prompt]]) -> None:
        self._begin = begin

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self._begin())


class Sieve:
    """What was let through so far, and what that means for the next."""

    def __init__(self, config: GatherConfig, owner: Callable[[Prompt], str]) -> None:
        self._config, self._owner = config, owner
        self._seen = Seen(config.prefix_share, config.prefix_chars)
        self._has = Counter[str]()  # of each owner; nobody's prompt is an owner of its own, and the only one of it
        self._splits: defaultdict[str, set[Split]] = defaultdict(set)
        self._kept, self._nobodys = set[str](), 0

    @property
    def owners(self) -> int:
        """Of those that stayed."""
        return len(self._kept) + self._nobodys

    def know(self, prompt: Prompt) -> None:
        """It stays, whatever the rules say now."""
        self._seen.add(prompt.talk, prompt.system)
        owner = self._owner(prompt)
        if not is_nobodys(owner):
            self._has[owner] += 1
            if prompt.split is not None:
                self._splits[owner].add(prompt.split)

    def judge(self, prompt: Prompt) -> tuple[str, Prompt, list[Span]]:
        """The rule to which it falls, or KEPT; itself, with its split where it came so far; what is personal in it.

        A product's system turn is the same before everybody's question, and may be longer than all of them: prompts are
        compared with those of the same system turn, by what follows it."""
        if (verdict := self._seen.add(prompt.talk, prompt.system)) != "new":
            return verdict, prompt, []
        owner = self._owner(prompt)
        if self._over_cap(owner):
            return "over_cap", prompt, []
        split = split_of(owner, self._splits, self._config)
        if split is None:
            return "two_splits", prompt, []
        placed = prompt.model_copy(update={"split": split})
        spans = personal_data(prompt.whole, self._config.region) if self._config.pii != "off" else []
        if spans and self._config.pii in ("all", split):
            return "personal", placed, spans
        self._count(owner)
        return KEPT, placed, spans

    def _over_cap(self, owner: str) -> bool:
        """The first `cap` of each owner stay: gathered again with more, they are the same."""
        if is_nobodys(owner):
            return False
        self._has[owner] += 1
        return self._has[owner] > self._config.cap

    def _count(self, owner: str) -> None:
        if is_nobodys(owner):
            self._nobodys += 1
        else:
            self._kept.add(owner)


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
