"""The paper's two surveys (Tables 12 and 13): voluntary, and anonymous in what is kept, not only in what is shown."""

from collections import Counter
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from biddable.label.desk import Here
from biddable.label.fields import Plain, Text
from biddable.label.notice import done
from biddable.store import team

router = APIRouter()

Opinion = Literal["", "strongly agree", "agree", "neither", "disagree", "strongly disagree"]
SCALE = ("strongly agree", "agree", "neither", "disagree", "strongly disagree")
STATEMENTS = {
    "clear": "I understood what I was to do.",
    "enjoyable": "I liked the work.",
    "repetitive": "The work was the same again and again.",
    "pay": "The pay was fair for the work.",
    "glad": "All in all, I am glad that I did it.",
}
PERSON = {
    "gender": ("Gender", ("woman", "man", "nonbinary or other")),
    "age": ("Age", ("18 to 24", "25 to 34", "35 to 44", "45 to 54", "55 to 64", "65 or more")),
    "education": ("Highest degree", ("less than high school", "high school", "bachelor", "master", "doctorate")),
}
ORIGINS = (
    "Black or African", "East Asian", "Indigenous", "Latin American", "Middle Eastern or North African", "South Asian",
    "Southeast Asian", "White or European", "another",
)  # fmt: skip


class Satisfaction(BaseModel):
    clear: Opinion = ""
    enjoyable: Opinion = ""
    repetitive: Opinion = ""
    pay: Opinion = ""
    glad: Opinion = ""


class Person(BaseModel):
    gender: Annotated[str, Field(max_length=40), Plain] = ""
    age: Annotated[str, Field(max_length=40), Plain] = ""
    education: Annotated[str, Field(max_length=40), Plain] = ""
    nationality: Annotated[str, Field(max_length=60), Plain] = ""
    origin: list[Text] = Field(default_factory=list, max_length=len(ORIGINS))


@router.get("/surveys")
def page(request: Request, desk: Here):
    return desk.page(
        request, "surveys.html", statements=STATEMENTS, scale=SCALE, person=PERSON, origins=ORIGINS, batch=team.BATCH
    )


@router.post("/surveys/satisfaction")
def satisfaction(desk: Here, sent: Annotated[Satisfaction, Form()]):
    said = {key: value for key, value in sent.model_dump().items() if value}
    if said:
        desk.write(team.answer_survey, "satisfaction", said, desk.now())
    return done("/surveys", "kept")


@router.post("/surveys/people")
def people(desk: Here, sent: Annotated[Person, Form()]):
    said: dict[str, Any] = {
        key: value for key in PERSON if (value := getattr(sent, key)) in PERSON[key][1]
    }  # what is none of the choices is no answer
    if nationality := sent.nationality.strip().title():
        said["nationality"] = nationality
    if origin := [one for one in sent.origin if one in ORIGINS]:
        said["origin"] = origin
    if said:
        desk.write(team.answer_survey, "people", said, desk.now())
    return done("/surveys", "kept")


Table = tuple[str, int, list[tuple[str, int]]]  # a question, how many answered it, and how often each answer


def _tables(connection: Connection) -> dict[str, Any]:
    opinions, more = team.survey(connection, "satisfaction")
    persons, others = team.survey(connection, "people")
    questions: dict[str, tuple[str, tuple[str, ...]]] = {key: (text, SCALE) for key, text in STATEMENTS.items()}
    return {
        "satisfaction": [_table(opinions, key, *question) for key, question in questions.items()],
        "people": [
            *(_table(persons, key, *question) for key, question in PERSON.items()),
            _table(persons, "origin", "Origins (several may be named)", ORIGINS),
            _table(persons, "nationality", "Nationality", ()),
        ],
        "answered": {"satisfaction": len(opinions), "people": len(persons)},
        "waiting": {"satisfaction": more, "people": others},
    }


def _table(answers: list[dict[str, Any]], key: str, text: str, choices: tuple[str, ...]) -> Table:
    said = [one[key] for one in answers if key in one]
    counts = Counter(choice for one in said for choice in (one if isinstance(one, list) else [one]))
    names = choices or tuple(name for name, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0])))
    return text, len(said), [(name, counts[name]) for name in names]


@router.get("/manage/surveys")
def results(request: Request, desk: Here):
    return desk.page(request, "surveys_results.html", batch=team.BATCH, **desk.read(_tables))
