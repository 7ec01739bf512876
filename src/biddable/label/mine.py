"""A labeler's own page: what they did, their time and pay, how they agree with what was decided, and with others."""

import statistics
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from sqlalchemy import Connection

from biddable.label.desk import Here, Who
from biddable.label.forms import LETTERS
from biddable.label.pay import month_of
from biddable.label.text import markdown
from biddable.measure.checks import overlap
from biddable.measure.interval import Interval, bootstrap
from biddable.records import Completion, Prompt, Ranking
from biddable.store import jobs, pay, progress, review, work
from biddable.store.queries import fetch
from biddable.store.review import Ruling
from biddable.store.tables import completions, prompts

router = APIRouter()

EXAMPLES = 5
FEWEST_PEERS = 5  # below, a comparison would tell of one person
FEWEST_PROMPTS = 10


class Met(NamedTuple):
    """A ranking that can be held against a ruling."""

    ruling: Ruling
    ranking: Ranking
    credit: float
    pairs: int


def meetings(rulings: list[Ruling], said: list[Ranking]) -> list[Met]:
    """Of each ranking by somebody else than the adjudicator, how it orders the pairs that the ruling decides."""
    by_prompt = {ruling.prompt_id: ruling for ruling in reversed(rulings)}
    found = []
    for ranking in said:
        ruling = by_prompt[ranking.prompt_id]
        credit, pairs = overlap(ruling.final, ranking.order)
        if ranking.labeler != ruling.labeler and pairs:
            found.append(Met(ruling, ranking, credit, pairs))
    return found


def agreed(met: list[Met]) -> Interval | None:
    """The mean over prompts; each is one witness."""
    if len(met) < 2:
        return None
    return bootstrap([one.credit / one.pairs for one in met], [one.ruling.prompt_id for one in met])


class Peers(NamedTuple):
    people: int
    low: float
    middle: float
    high: float


def peers(met: list[Met], me: str) -> Peers | None:
    """Quartiles of the others' agreement; nothing where there are too few to hide one."""
    by_labeler: dict[str, list[float]] = {}
    for one in met:
        if one.ranking.labeler != me:
            by_labeler.setdefault(one.ranking.labeler, []).append(one.credit / one.pairs)
    means = [statistics.fmean(some) for some in by_labeler.values() if len(some) >= FEWEST_PROMPTS]
    if len(means) < FEWEST_PEERS:
        return None
    return Peers(len(means), *statistics.quantiles(means, n=4, method="inclusive"))


@router.get("/mine")
def page(request: Request, desk: Here, account: Who, month: str = ""):
    which = month_of(desk, month)

    def look(connection: Connection) -> dict[str, Any]:
        rulings = review.rulings(connection)
        met = meetings(rulings, review.said_of(connection, [one.prompt_id for one in rulings]))
        mine = [one for one in met if one.ranking.labeler == account.labeler]
        return {
            "done": progress.of_labeler(connection, account.labeler),
            "lines": pay.sheet(connection, *which, account.labeler),
            "by_clock": pay.by_clock(connection, *which, account.labeler).get(account.labeler, 0.0),
            "titles": {job.id: job.title for job in jobs.all_of(connection)},
            "agreed": agreed(mine),
            "judged": len(mine),
            "peers": peers(met, account.labeler),
            "examples": _examples(connection, mine),
        }

    return desk.page(request, "mine.html", month=which, most=work.UNWATCHED, **desk.read(look))


class Example(NamedTuple):
    prompt: Any
    answers: list[tuple[Any, Any, int, int]]  # letter, text, my rank, the ruling's
    cause: str
    note: str


def _examples(connection: Connection, mine: list[Met]) -> list[Example]:
    """The newest in which a pair was ordered the other way, or tied."""
    found = []
    for met in [one for one in mine if one.credit < one.pairs][:EXAMPLES]:
        (prompt,) = fetch(connection, "prompt", prompts.c.id == met.ruling.prompt_id)
        assert isinstance(prompt, Prompt)
        theirs = {name: n for n, tier in enumerate(met.ruling.final, start=1) for name in tier}
        shown = met.ranking.shown or tuple(met.ranking.ranks)
        those = fetch(connection, "completion", completions.c.id.in_(shown))
        texts = {one.id: one.text for one in those if isinstance(one, Completion)}
        rows = [
            (LETTERS[n], markdown(texts[name]), met.ranking.ranks[name], theirs[name])
            for n, name in enumerate(shown)
            if name in theirs
        ]
        found.append(Example(markdown(prompt.text), rows, met.ruling.cause, met.ruling.note))
    return found
