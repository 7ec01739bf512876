"""How good the labels are: who agrees with whom, what each person does, hidden checks. What is counted, `measured`."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Form, Request
from sqlalchemy import Connection

from biddable.label import charts, reading
from biddable.label.counted import Counted, Counts, Figure
from biddable.label.desk import Desk, Here, Who
from biddable.label.fields import Plain
from biddable.label.measured import (
    ANSWERS,
    OVERLAP,
    Agreed,
    Halves,
    Lean,
    Leans,
    OfTwo,
    Overlap,
    leans,
    overlap_of,
    questions_of,
)
from biddable.label.notice import done
from biddable.label.questions import QUESTIONS
from biddable.measure import checks as measured
from biddable.measure.interval import Interval
from biddable.measure.signs import RATE
from biddable.store import accounts, jobs, quality

router = APIRouter()


def _names(connection: Connection) -> dict[str, str]:
    return {one.labeler: one.name for one in accounts.everyone(connection)}


def overlap(desk: Desk, counts: Counted, at_once: bool = False) -> Figure[Overlap] | None:
    return counts.get("overlap", lambda: desk.read(overlap_of), desk.now(), at_once=at_once)


@router.get("/manage/quality")
def page(request: Request, desk: Here, counts: Counts, count: Literal["now"] | None = None):
    now, at_once = desk.now(), count == "now"
    agreed = overlap(desk, counts, at_once)
    halves = agreed.value.halves if agreed else {}
    leaned = (
        counts.get("leanings", lambda: desk.read(lambda c: _leans(c, halves)), now, at_once=at_once) if agreed else None
    )
    rated = counts.get("questions", lambda: desk.read(questions_of), now, at_once=at_once)
    names = desk.read(_names) | {"": "everyone"}
    found = leaned.value if leaned else Leans([], [])
    rows = sorted(found.rankings, key=lambda one: (one.labeler == "", names.get(one.labeler, "")))
    twos = sorted(found.comparisons, key=lambda one: (one.labeler == "", names.get(one.labeler, "")))
    return desk.page(
        request, "quality.html", most=OVERLAP, answers=ANSWERS, agreed=agreed, leaned=leaned, rows=rows, twos=twos,
        names=names, rate=RATE, rated=rated,
        counted=min((one.at for one in (agreed, leaned, rated) if one), default=None),
        asked={"overall": "Overall, 1 to 7"} | {one.name: one.asks for one in QUESTIONS},
        agreement_chart=_agreement_chart(agreed.value.agreed) if agreed and agreed.value.agreed else None,
        people_chart=_people_chart(agreed.value, names) if agreed else None,
        position_chart=_position_chart("position", "How often the answer shown first is preferred", rows, names),
        of_two_chart=_position_chart("of-two", "Of two: how often the one shown first is preferred", twos, names),
    )  # fmt: skip


def _leans(connection: Connection, halves: Halves) -> Leans:
    again = quality.again_and_again(connection)
    return leans(quality.leanings(connection), again, halves, quality.compared(connection))


def _agreement_chart(found: list[Agreed]):
    rows = []
    for one in found:
        marks: list[tuple[str, Interval]] = [("ours", one.half)]
        if one.paper:
            value, error = one.paper
            marks.append(("paper", Interval(value=value, low=value - error, high=value + error, n=1)))
        rows.append((one.who, marks))
    return charts.intervals("agreement", "Agreement, and the paper's", rows)


MOST = 40  # labelers on one chart


def _people_chart(found: Overlap, names: dict[str, str]):
    """Those who agree least come first: they are whom to look at."""
    least = found.people[:MOST]
    rows = [(names.get(one.alike.labeler, one.alike.labeler), [("ours", one.alike.drawn)]) for one in least]
    return charts.intervals("people", "How much each person agrees with the others", rows) if rows else None


def _position_chart(name: str, title: str, found: Sequence[Lean | OfTwo], names: dict[str, str]):
    rows = [(names.get(one.labeler, one.labeler), [("ours", one.first)]) for one in found if one.first]
    if not rows:
        return None
    return charts.intervals(name, title, rows[-MOST:], (0.5, "no bias"))


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
