"""The jobs' pages: all of them, one of them, making one, and its settings."""

from datetime import UTC
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from biddable.label import access, charts
from biddable.label.counted import Counts
from biddable.label.desk import Desk, Here, Who
from biddable.label.fields import Plain, Text
from biddable.label.manage import make_job, put_in
from biddable.label.notice import done
from biddable.label.wins import wins_of
from biddable.records import Group, Split, UseCase
from biddable.store import StoreError, accounts, fill, golds, jobs, overlap, progress, taken_out
from biddable.store.jobs import Choose, Job, JobPurpose, JobSettings, State
from biddable.store.rows import Task

router = APIRouter()

KINDS: dict[str, str] = {
    "write": "Write demonstrations",
    "rank": "Judge and rank answers",
    "judge": "Judge answers",
    "compare": "Compare two models",
    "prompt": "Write prompts",
    "toxicity": "Rate continuations",
}


class SettingsForm(BaseModel):
    """The settings as a page sends them: shares in percent; a box that is not ticked is not sent. What is lawful here
    is lawful in `JobSettings` too."""

    model_config = ConfigDict(allow_inf_nan=False)

    title: Annotated[str, Field(min_length=1, max_length=200), Plain]
    judge: bool = False
    groups: list[Group] = Field(default_factory=list)
    doubly: Annotated[float, Field(ge=0, le=100)] = 20
    fivefold: Annotated[float, Field(ge=0, le=100)] = 5
    disagree: Annotated[float, Field(ge=0.1, le=100)] | None = None
    people: Annotated[int, Field(ge=2, le=26)] = 5
    skills: Annotated[str, Field(max_length=2000), Plain] = ""
    choose: Choose = "random"
    at_random: Annotated[float, Field(ge=0.1, le=100)] = 25
    scores: Annotated[str, Field(max_length=200), Plain] = ""
    gold: Annotated[float, Field(ge=0, le=50)] = 5
    lease_minutes: Annotated[float, Field(gt=0, le=1440)] = 30
    longest_hours: Annotated[float, Field(gt=0, le=168)] = 8
    quota: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    revise_minutes: Annotated[float, Field(ge=0, le=1440)] = 10
    hourly: Annotated[float, Field(ge=0, le=1_000_000)] = 0
    cap_minutes: Annotated[float, Field(gt=0, le=1440)] = 60

    def settings(self, now: JobSettings) -> JobSettings:
        percents = {key: getattr(self, key) for key in ("doubly", "fivefold", "gold", "disagree", "at_random")}
        said: dict[str, Any] = self.model_dump(exclude={"title"})
        said |= {key: value if value is None else value / 100 for key, value in percents.items()}
        said |= {"groups": tuple(self.groups), "skills": skills_of(self.skills), "scores": self.scores.strip() or None}
        return JobSettings.model_validate(now.model_dump() | said)


def skills_of(text: str) -> tuple[str, ...]:
    """As a person writes them: with commas between."""
    return accounts.skills(text.split(","))


class NewForm(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    kind: Task
    title: Annotated[str, Field(max_length=200), Plain] = ""
    purpose: JobPurpose = "training"
    choose: Choose = "random"
    skills: Annotated[str, Field(max_length=2000), Plain] = ""
    split: Split | None = None
    count: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    runs: list[Text] = Field(default_factory=list)
    use_cases: list[UseCase] = Field(default_factory=list)
    rank_only: bool = False
    hourly: Annotated[float, Field(ge=0, le=1_000_000)] = 0
    cap_minutes: Annotated[float, Field(gt=0, le=1440)] = 60


@router.get("/manage")
def overview(request: Request, desk: Here):
    def look(connection: Connection) -> dict[str, Any]:
        people = accounts.everyone(connection)
        found = progress.all_of(connection, desk.now())
        guide = not found or len(people) < 2  # its steps say what is there, and counting that takes a while
        stock = progress.stock(connection) if guide else None
        return {"found": found, "people": people, "stock": stock, "flags": taken_out.open_flags(connection)}

    return desk.page(request, "manage.html", kinds=KINDS, **desk.read(look))


@router.get("/manage/jobs/new")
def new_page(request: Request, desk: Here, kind: str = "rank"):
    return desk.page(request, "job_new.html", kinds=KINDS, kind=kind, stock=desk.read(progress.stock))


@router.post("/manage/jobs")
def make(desk: Here, who: Who, sent: Annotated[NewForm, Form()]):
    rank_only = sent.kind == "rank" and sent.rank_only
    title = sent.title.strip() or ("Rank answers" if rank_only else KINDS[sent.kind])
    what = fill.Fill(
        split=sent.split, count=sent.count, runs=tuple(sent.runs), use_cases=tuple(sent.use_cases)
    )  # fmt: skip
    settings = JobSettings(
        judge=not rank_only, choose=sent.choose, skills=skills_of(sent.skills), hourly=sent.hourly,
        cap_minutes=sent.cap_minutes,
    )  # fmt: skip
    if (twin := desk.read(jobs.like, jobs.new(sent.kind, title, _purpose(sent), settings, desk.now()))) is not None:
        raise StoreError(
            f"title: an open job is like this one, “{twin.title}”; add tasks to it on its page, "
            "or give this one another title"
        )
    job, _ = make_job(desk, who, sent.kind, title, _purpose(sent), settings, what)
    return done(f"/manage/jobs/{job}", "made")


def _purpose(sent: NewForm) -> JobPurpose:
    """Continuations are rated to evaluate; the other kinds are for what the page says."""
    return "evaluation" if sent.kind == "toxicity" else sent.purpose


def found_job(desk: Desk, job: str) -> Job:
    found = desk.read(jobs.find, job)
    if found is None:
        raise HTTPException(404, "no such job")
    return found


@router.get("/manage/jobs/{job}")
def one_job(
    request: Request, desk: Here, who: Who, counts: Counts, job: str, count: Literal["now"] | None = None
):  # fmt: skip
    found, now = found_job(desk, job), desk.now()
    wins = None
    if found.kind == "compare" and who.role in access.MANAGERS:
        wins = counts.get(f"wins {job}", lambda: desk.read(wins_of, job), now, at_once=count == "now")

    def look(connection: Connection) -> dict[str, Any]:
        people = accounts.everyone(connection)
        return {
            "progress": progress.of(connection, found, now),
            "days": progress.by_day(connection, job, now.astimezone(UTC).date(), UTC),
            "each": progress.by_labeler(connection, job),
            "mean": progress.mean_seconds(connection, job),
            "passed": progress.passed(connection, job),
            "newest": progress.newest(connection, job),
            "names": {one.labeler: one.name for one in people},
            "able": sum(one.state == "active" and found.suits(one.group, one.skills) for one in people),
            "again": overlap.asked_again(connection, job),
            "chosen": progress.chosen(connection, job),
            "scorers": progress.scorers(connection),
        }

    values = desk.read(look) | {"runs": desk.read(progress.runs) if found.kind == "compare" else []}
    chart = charts.columns("days", "Done a day", values["days"])
    return desk.page(request, "job.html", job=found, chart=chart, kinds=KINDS, wins=wins, **values)


@router.post("/manage/jobs/{job}/settings")
def settings(desk: Here, who: Who, job: str, sent: Annotated[SettingsForm, Form()]):
    found = found_job(desk, job)
    desk.write(jobs.change, found, sent.title.strip(), sent.settings(found.settings), desk.now(), who.labeler)
    return done(f"/manage/jobs/{job}", "changed")


@router.post("/manage/jobs/{job}/state")
def set_state(desk: Here, who: Who, job: str, state: Annotated[State, Form()]):
    desk.write(jobs.set_state, found_job(desk, job).id, state, desk.now(), who.labeler)
    return done(f"/manage/jobs/{job}", "changed")


@router.post("/manage/jobs/{job}/fill")
def add_tasks(
    desk: Here, who: Who, job: str, count: Annotated[int | None, Form(ge=1, le=1_000_000)] = None,
    runs: Annotated[list[Text] | None, Form()] = None,
):  # fmt: skip
    found = found_job(desk, job)
    what = fill.Fill(count=count, runs=tuple(runs or ()))
    todos = desk.read(lambda connection: list(fill.todos(connection, found, what)))
    return done(f"/manage/jobs/{job}", "filled" if put_in(desk, who, found, todos) else "nothing")


@router.post("/manage/jobs/{job}/checks")
def add_checks(desk: Here, who: Who, job: str, count: Annotated[int, Form(ge=1, le=10_000)] = 50):
    found = found_job(desk, job)

    def add(connection: Connection) -> int:
        new = jobs.add(connection, found, golds.checks(connection, found, count), desk.now(), who.labeler)
        if not new and not connection.execute(jobs.checks_of(job).limit(1)).first():
            raise StoreError(
                "there is nothing yet to make checks of: no researcher has done tasks of this kind, and no adjudicator "
                "has decided one. Invite a researcher on People, let them do some of these tasks, and add checks then"
            )
        return new

    return done(f"/manage/jobs/{job}", "checks" if desk.write(add) else "nothing")
