"""How good the labels are: who agrees with whom, who leans to the place or the length of an answer, hidden checks."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Form, Request
from sqlalchemy import Connection

from biddable.label import charts, reading
from biddable.label.counted import Counted, Counts, Figure
from biddable.label.desk import Desk, Here, Who
from biddable.label.fields import Plain
from biddable.label.notice import done
from biddable.measure import checks as measured
from biddable.measure.agreement import Agreement, agreement, asked_by_lot, meetings
from biddable.measure.disputes import Dispute, disputes
from biddable.measure.interval import Interval
from biddable.measure.shares import NOTHING, Sums, leaning, share
from biddable.records import Group, Ranking
from biddable.store import accounts, jobs, quality

router = APIRouter()

# Section 5.2 of the paper; of researchers, what it quotes of Stiennon et al.
PAPER: dict[tuple[Group, Group], tuple[str, tuple[float, float] | None]] = {
    ("training", "training"): ("training labelers", (0.726, 0.015)),
    ("held_out", "held_out"): ("held-out labelers", (0.773, 0.013)),
    ("researcher", "researcher"): ("researchers", (0.73, 0.04)),
    ("training", "researcher"): ("training labelers and researchers", None),
}


class Agreed(NamedTuple):
    who: str
    half: Agreement
    strict: Agreement
    paper: Interval | None


def agreements(rankings: Iterable[Ranking], groups: dict[str, Any]) -> list[Agreed]:
    """Who met whom often enough to say something, beside the paper's figure. Of those whose meeting was drawn by lot:
    who was asked because others disagreed says nothing of how often people do."""
    kept, found = asked_by_lot(rankings), []
    for between, (who, said) in PAPER.items():
        if not meetings(kept, groups, between):
            continue
        half_credit = agreement(kept, groups, between, "half")
        strict = agreement(kept, groups, between, "strict")
        paper = Interval(value=said[0], low=said[0] - said[1], high=said[0] + said[1], n=1) if said else None
        found.append(Agreed(who, half_credit, strict, paper))
    return found


class Lean(NamedTuple):
    labeler: str
    rankings: int
    first: Interval | None
    longer: Interval | None
    as_shown: float
    by_chance: float  # how often a random order would be the displayed one

    @property
    def leans(self) -> bool:
        return leaning(self.first)


def leans(rows: Iterable[quality.Leaning]) -> list[Lean]:
    """Of each labeler, and of all together in the last place. The statistics are `measure`'s, called here alone."""
    by_labeler: dict[str, list[quality.Leaning]] = defaultdict(list)
    for row in rows:
        by_labeler[row.labeler].append(row)
    every = [row for some in by_labeler.values() for row in some]
    groups = [*sorted(by_labeler.items()), *([("", every)] if len(by_labeler) > 1 else [])]
    return [_lean(labeler, some) for labeler, some in groups]


def _lean(labeler: str, rows: list[quality.Leaning]) -> Lean:
    first = sum((Sums(*row.first) for row in rows), NOTHING)
    longer = sum((Sums(*row.longer) for row in rows), NOTHING)
    count = sum(row.rankings for row in rows)
    chance = sum(row.rankings * _one_order(row.pairs) for row in rows) / count
    shown = sum(row.as_shown for row in rows) / count
    return Lean(labeler, count, share(first), share(longer), shown, chance)


def _one_order(pairs: int) -> float:
    """1/K! where K(K−1)/2 = pairs."""
    k = round((1 + (1 + 8 * pairs) ** 0.5) / 2)
    product = 1
    for n in range(2, k + 1):
        product *= n
    return 1 / product


def _names(connection: Connection) -> dict[str, str]:
    return {one.labeler: one.name for one in accounts.everyone(connection)}


class Overlap(NamedTuple):
    """What can be said where more than one person ranked."""

    agreed: list[Agreed]
    disputes: list[Dispute]
    prompts: int


OVERLAP = 5000  # prompts, those ranked last: agreement is known to less than a point, and counted in seconds
QUEUE = 200  # prompts that are kept for review


def overlap(desk: Desk, counts: Counted) -> Figure[Overlap] | None:
    return counts.get("overlap", lambda: desk.read(_overlap), desk.now())


def _overlap(connection: Connection) -> Overlap:
    kept = list(quality.overlapping(connection, OVERLAP))
    names = sorted({name for ranking in kept for name in ranking.ranks})
    most = disputes(kept, quality.rewards(connection, names))[:QUEUE]
    return Overlap(agreements(kept, quality.groups(connection)), most, len({ranking.prompt_id for ranking in kept}))


@router.get("/manage/quality")
def page(request: Request, desk: Here, counts: Counts):
    now = desk.now()
    agreed = overlap(desk, counts)
    leaned = counts.get("leanings", lambda: leans(desk.read(quality.leanings)), now)
    names = desk.read(_names) | {"": "everyone"}
    return desk.page(
        request, "quality.html", most=OVERLAP, agreed=agreed, leaned=leaned, names=names,
        agreement_chart=_agreement_chart(agreed.value.agreed) if agreed and agreed.value.agreed else None,
        position_chart=_position_chart(leaned.value, names) if leaned else None,
    )  # fmt: skip


def _agreement_chart(found: list[Agreed]):
    rows = []
    for one in found:
        marks: list[tuple[str, Interval]] = [("ours", one.half)]
        if one.paper:
            marks.append(("paper", one.paper))
        rows.append((one.who, marks))
    return charts.intervals("agreement", "Agreement, and the paper's", rows)


MOST = 40  # labelers on one chart


def _position_chart(found: list[Lean], names: dict[str, str]):
    rows = [(names.get(one.labeler, one.labeler), [("ours", one.first)]) for one in found if one.first]
    if not rows:
        return None
    return charts.intervals("position", "How often the answer shown first is preferred", rows[-MOST:], (0.5, "no bias"))


# Hidden checks.


class Standing(NamedTuple):
    labeler: str
    found: measured.Verdict


class Seen(NamedTuple):
    check: quality.Check
    seen: int
    share: float  # of the labelers who met any check
    right: float | None


def standings(given: Iterable[quality.Checked]) -> tuple[list[Standing], dict[str, list[bool]]]:
    """Each labeler's sequential test in the order of their checks; and of each check who got it right."""
    of_labeler: dict[str, list[bool]] = defaultdict(list)
    of_check: dict[str, list[bool]] = defaultdict(list)
    for one in given:
        right = is_right(one)
        of_labeler[one.labeler].append(right)
        of_check[one.task].append(right)
    return [Standing(name, measured.sequential(some)) for name, some in sorted(of_labeler.items())], of_check


def is_right(one: quality.Checked) -> bool:
    if one.kind == "judge":
        return reading.judged_right(one.gold, one.body, one.shown)
    known, said = reading.known(one.gold, one.shown), reading.tiers(one.body, one.shown)
    if one.kind == "compare":
        return {frozenset(tier) for tier in known[:1]} == {frozenset(tier) for tier in said[:1]}
    return measured.matches(known, said)


def _count_checks(desk: Desk) -> tuple[list[Standing], list[Seen]]:
    def look(connection: Connection):
        kinds = {job.id: job.kind for job in jobs.all_of(connection)}
        return quality.checked(connection, kinds), quality.checks(connection)

    given, there = desk.read(look)
    stand, of_check = standings(given)
    people = max(1, len(stand))
    seen = [
        Seen(one, len(rights), len(rights) / people, sum(rights) / len(rights) if rights else None)
        for one in there
        for rights in (of_check.get(one.task, []),)
    ]
    return stand, sorted(seen, key=lambda one: -one.seen)


WORN = 0.3  # a check that more labelers have seen is known among them


@router.get("/manage/checks")
def checks(request: Request, desk: Here, counts: Counts):
    found = counts.get("checks", lambda: _count_checks(desk), desk.now(), fresh=10)
    titles = {job.id: job.title for job in desk.read(jobs.all_of)}
    return desk.page(request, "checks.html", found=found, names=desk.read(_names), titles=titles, worn=WORN)


@router.post("/manage/checks/retire")
def retire(desk: Here, who: Who, counts: Counts, task: Annotated[str, Form(max_length=200), Plain]):
    desk.write(jobs.retire, task, desk.now(), who.labeler)
    counts.forget("checks")
    return done("/manage/checks", "retired")
