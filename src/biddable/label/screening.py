"""The screening of the paper's App. B.1: four parts, soft cut-offs, a report card, and a manager who decides.

Candidates are shown to the manager by number and not by name. What they hand in is kept as answers and becomes no
record, so nothing of a test can ever train a model; held-out labelers are never given one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Form, HTTPException, Request
from sqlalchemy import Connection

from biddable.label import reading
from biddable.label.desk import Here, Who
from biddable.label.fields import Number, Plain
from biddable.label.notice import done
from biddable.label.text import markdown
from biddable.measure.agreement import agreement
from biddable.measure.interval import Interval, bootstrap
from biddable.measure.screening import flag_agreement
from biddable.records import Prompt, Ranking, Split, digest
from biddable.store import StoreError, accounts, fill, jobs, team
from biddable.store.accounts import Account
from biddable.store.jobs import JobSettings
from biddable.store.queries import fetch
from biddable.store.tables import prompts
from biddable.store.team import Screening, Tested

router = APIRouter()

AGREEMENT, DEMONSTRATIONS = 0.75, 6.0  # the paper's soft cut-offs


class Card(NamedTuple):
    """What a manager sees of a candidate."""

    labeler: str
    answered: int
    tasks: int
    sensitive: Interval | None
    ranking: Interval | None
    demonstrations: Interval | None
    topics: str
    before: list[Screening]

    @property
    def meets(self) -> tuple[bool | None, bool | None, bool | None]:
        """Of each part with a cut-off, whether its figure reaches it."""
        parts = ((self.sensitive, AGREEMENT), (self.ranking, AGREEMENT), (self.demonstrations, DEMONSTRATIONS))
        sensitive, ranking, demonstrations = (None if found is None else found.value >= cut for found, cut in parts)
        return sensitive, ranking, demonstrations

    def kept(self) -> dict[str, Any]:
        """The card as it stood when it was decided."""
        parts = {"sensitive": self.sensitive, "ranking": self.ranking, "demonstrations": self.demonstrations}
        said = {key: found.model_dump(exclude={"kind"}) if found else None for key, found in parts.items()}
        return said | {"topics": self.topics, "answered": self.answered, "tasks": self.tasks}


def card(
    labeler: str, mine: Iterable[Tested], theirs: Iterable[Tested], rated: Iterable[tuple[int, str, int]], tasks: int,
    topics: str, before: list[Screening],
) -> Card:  # fmt: skip
    """`theirs` is what the researchers said; `rated` their ratings (answer, rater, 1 to 7)."""
    since = before[0].at if before else None
    mine = [one for one in mine if since is None or one.at > since]
    theirs = list(theirs)
    ratings = [(one.prompt_id, overall) for one in mine for answer, _, overall in rated if answer == one.answer]
    return Card(
        labeler, len(mine), tasks, _sensitive(mine, theirs), _ranking(labeler, mine, theirs),
        bootstrap([r for _, r in ratings], [p for p, _ in ratings], bounds=(1, 7)) if len(ratings) > 1 else None,
        topics, before,
    )  # fmt: skip


def _sensitive(mine: list[Tested], theirs: list[Tested]) -> Interval | None:
    flagged: dict[str, list[bool]] = defaultdict(list)
    for one in theirs:
        for name, flag in reading.flags(one.body, one.shown).items():
            flagged[name].append(flag)
    said = [(one.task, reading.flags(one.body, one.shown)) for one in mine]
    found = [
        (task, agrees)
        for task, flags in said
        for name, flag in flags.items()
        if (agrees := flag_agreement(flag, flagged.get(name, []))) is not None
    ]
    return bootstrap([x for _, x in found], [task for task, _ in found]) if len(found) > 1 else None


def _ranking(labeler: str, mine: list[Tested], theirs: list[Tested]) -> Interval | None:
    those = [one for one in (*mine, *theirs) if one.kind == "rank"]
    rankings = [
        Ranking(prompt_id=one.task, labeler=one.labeler, order=reading.tiers(one.body, one.shown)) for one in those
    ]
    groups: dict[str, Any] = {one.labeler: "candidate" if one.labeler == labeler else "researcher" for one in those}
    try:
        return agreement(rankings, groups, ("candidate", "researcher"))
    except ValueError:  # nobody has met
        return None


def cards(connection: Connection) -> list[Card]:
    """Of all who are candidates, those who did most first."""
    people = {one.labeler: one for one in accounts.everyone(connection)}
    said = team.tested(connection)
    theirs = [one for one in said if people[one.labeler].group == "researcher"]
    raters = {name for name, one in people.items() if one.group == "researcher"}
    rated = [one for one in team.rated(connection) if one[1] in raters]
    topics, tests = team.topics_of(connection), _tests(connection)
    found = []
    for name in [name for name, one in people.items() if one.group == "candidate" and one.state == "active"]:
        mine, before = [one for one in said if one.labeler == name], team.decided(connection, name)
        # What they did for an earlier decision cannot be done again, and is no part of what they are asked now.
        over = sum(one.job in tests and one.at <= before[0].at for one in mine) if before else 0
        tasks = sum(tests.values()) - over
        found.append(card(name, mine, theirs, rated, tasks, topics.get(name, ""), before))
    return sorted(found, key=lambda one: (-one.answered, one.labeler))


def _tests(connection: Connection) -> dict[str, int]:
    """The parts of the test that are open, and how many tasks each has."""
    there = [job for job in jobs.all_of(connection, "open") if job.purpose == "screening"]
    return {job.id: jobs.count_tasks(connection, job.id) for job in there}


@router.get("/manage/screening")
def page(request: Request, desk: Here, who: Who):
    def look(connection: Connection) -> dict[str, Any]:
        tests = [job for job in jobs.all_of(connection) if job.purpose == "screening"]
        people = accounts.everyone(connection)
        said = team.tested(connection)
        researchers = [one for one in people if one.group == "researcher" and one.state == "active"]
        asked = _tests(connection)
        said_now = [one for one in said if one.job in asked]
        return {
            "cards": cards(connection),
            "tests": [(job, jobs.count_tasks(connection, job.id)) for job in tests],
            "researchers": [(one.name, sum(t.labeler == one.labeler for t in said_now)) for one in researchers],
            "to_rate": len(_to_rate(connection, who, said)),
        }

    cuts = {"agreement": AGREEMENT, "demonstrations": DEMONSTRATIONS}
    return desk.page(request, "screening.html", cuts=cuts, retest=team.RETEST.days, **desk.read(look))


@router.post("/manage/screening")
def make(
    desk: Here, who: Who, ranked: Annotated[int, Form(ge=1, le=500)] = 10,
    written: Annotated[int, Form(ge=1, le=500)] = 5, split: Annotated[Split, Form()] = "valid",
):  # fmt: skip
    """A test: so many prompts whose answers are judged and ranked, and so many to which an answer is written."""

    def both(connection: Connection) -> None:
        now = desk.now()
        for kind, title, count in (("rank", "Test: judge and rank", ranked), ("write", "Test: write", written)):
            now += timedelta(microseconds=1)  # jobs stand in the order in which they were made
            job = jobs.make(connection, kind, title, "screening", JobSettings(gold=0), now, who.labeler)
            found = list(fill.todos(connection, job, fill.Fill(split=split, count=count)))
            if not found:
                needs = "with at least four answers" if kind == "rank" else "without a demonstration"
                raise StoreError(f"there are no prompts {needs} in the {split} split; choose another")
            jobs.add(connection, job, found, now, who.labeler)

    desk.write(both)
    return done("/manage/screening", "made")


@router.post("/manage/screening/decide/{labeler}")
def decide(
    desk: Here, who: Who, labeler: str, accepted: Annotated[bool, Form()],
    note: Annotated[str, Form(max_length=4000), Plain] = "",
):  # fmt: skip
    found = next((one for one in desk.read(cards) if one.labeler == labeler), None)
    if found is None:
        raise HTTPException(404, "no such candidate")
    desk.write(team.decide, labeler, accepted, found.kept(), note.strip(), desk.now(), who.labeler)
    return done("/manage/screening", "decided")


def _to_rate(connection: Connection, who: Account, said: list[Tested]) -> list[Tested]:
    """Demonstrations of the test that this researcher has not rated; nobody rates their own."""
    mine = {answer for answer, rater, _ in team.rated(connection) if rater == who.labeler}
    people = {one.labeler: one.group for one in accounts.everyone(connection)}
    return [
        one for one in said if one.kind == "write" and one.answer not in mine and people[one.labeler] == "candidate"
    ]


@router.get("/manage/screening/rate")
def rate_page(request: Request, desk: Here, who: Who):
    def look(connection: Connection):
        waiting = _to_rate(connection, who, team.tested(connection))
        # Not in the order of their authors: one candidate's texts side by side would colour each other.
        waiting.sort(key=lambda one: digest(who.labeler, str(one.answer)))
        those = fetch(connection, "prompt", prompts.c.id == waiting[0].prompt_id) if waiting else ()
        return waiting, next((one.text for one in those if isinstance(one, Prompt)), "")

    waiting, prompt = desk.read(look)
    text = reading.written(waiting[0].body) if waiting else ""
    return desk.page(
        request, "screening_rate.html", answer=waiting[0].answer if waiting else None, left=len(waiting),
        prompt=markdown(prompt), text=markdown(text), may=who.group == "researcher",
    )  # fmt: skip


@router.post("/manage/screening/rate/{answer}")
def rate(desk: Here, who: Who, answer: Number, overall: Annotated[int, Form(ge=1, le=7)]):
    if who.group != "researcher":
        raise HTTPException(403, "only researchers rate the test")
    desk.write(team.rate, answer, who.labeler, overall, desk.now())
    return done("/manage/screening/rate", "kept")


# The candidate's side.


@router.get("/screening")
def mine(request: Request, desk: Here, account: Who):
    now = desk.now()

    def look(connection: Connection) -> dict[str, Any]:
        said = [one for one in team.tested(connection) if one.labeler == account.labeler]
        tests = [job for job in jobs.all_of(connection, "open") if job.purpose == "screening"]
        waits: datetime | None = team.waits(connection, account.labeler, now)
        return {
            "tests": [(job, jobs.count_tasks(connection, job.id)) for job in tests],
            "answered": Counter(one.job for one in said),
            "topics": team.topics_of(connection).get(account.labeler, ""),
            "waits": waits,
            "decided": next(iter(team.decided(connection, account.labeler)), None),
        }

    return desk.page(request, "screening_mine.html", candidate=account.group == "candidate", **desk.read(look))


@router.post("/screening/topics")
def say_topics(desk: Here, account: Who, text: Annotated[str, Form(max_length=4000), Plain]):
    desk.write(team.say_topics, account.labeler, text.strip(), desk.now())
    return done("/screening", "kept")


# Consent.


@router.get("/consent")
def consent_page(request: Request, desk: Here, account: Who):
    text = desk.read(jobs.guide, "consent")
    asked = desk.read(team.unread_consent, account.labeler)
    return desk.page(
        request, "consent.html", text=text, asked=asked is not None, html=markdown(text.text) if text else ""
    )


@router.post("/consent")
def consent(desk: Here, account: Who, version: Annotated[str, Form(max_length=200), Plain]):
    desk.write(team.consent, account.labeler, version, desk.now())
    return done("/", "consented")
