"""The simulated people of Hamlet at work in the labeling app, over HTTP, with no more than a page shows to anybody.

    team = invited(url, owner, people, patience)
    work(team)

What they say of a text follows from their name and its words, as it does where they answer directly. Who is given
what, and when, is the server's affair. Seconds and moments are the server's, too: it believes no clock but its own.
"""

import json
import random
import re
import secrets
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from biddable.config import ConfigError
from biddable.hamlet import people, screening, tasks
from biddable.hamlet.people import Person
from biddable.hamlet.wire import Wire, address
from biddable.progress import Bar, note, progress
from biddable.records import ASKED, Completion, Group, Prompt

MARK = "hamlet "  # before the name of an account: nobody takes these people for real ones
RUN = "seen"  # of an answer whose model they do not know


# Coming in.


@dataclass(frozen=True)
class Seat:
    """A person who is signed in."""

    person: Person
    wire: Wire


def crew(seed: int, most: int | None = None) -> list[Person]:
    """Those who were hired after screening, and those who only evaluate; at most so many of each."""
    crowd = people.crowd(seed)
    hired, _ = screening.hire(crowd, seed)
    return [*hired[:most], *[person for person in crowd if person.group == "held_out"][:most]]


def sign_in(wire: Wire, name: str, password: str) -> Wire:
    said = wire.ask("POST", "/sign-in", form={"name": name, "password": password})
    if said.status == 401:
        raise ConfigError(f"{name}: this name and this password are not a pair; an owner joins by the link of `label`")
    _expect(said.status == 303, f"{name}: could not sign in", said)
    return wire


def invited(url: str, manager: Wire, some: Iterable[Person], patience: float) -> list[Seat]:
    """The manager makes an account for each who has none, and a link; each joins by their link. Passwords are made up
    here and kept nowhere: the next time there are new links."""
    here = {one["name"]: one for one in _asked(manager, "GET", "/api/people")["people"]}
    seats = []
    for person in some:
        account = here.get(MARK + person.name)
        if account is None:
            wanted = {"name": MARK + person.name, "role": "labeler", "group": person.group}
            account = wanted | {"state": "active", "labeler": _asked(manager, "POST", "/api/people", wanted)["labeler"]}
        if (account["role"], account["group"]) != ("labeler", person.group):
            raise ConfigError(
                f"{account['name']}: is {account['role']}, {account['group']} there; that is somebody else"
            )
        if account["state"] == "active":  # a manager who closed an account meant it
            link = _asked(manager, "POST", f"/api/people/{account['labeler']}/invite")["invite"]
            seats.append(Seat(person, join(url, link, patience)))
    return seats


def by_links(links: Sequence[str], seed: int, patience: float) -> list[Seat]:
    """Whoever was sent a link joins by it, as the person of their group who comes next."""
    crowd = [*crew(seed), *(person for person in people.crowd(seed) if person.group in ("candidate", "researcher"))]
    waiting: dict[Group, list[Person]] = {}
    for person in crowd:
        waiting.setdefault(person.group, []).append(person)
    seats = []
    for link in links:
        at = address(link)
        wire = join(f"{at.scheme}://{at.netloc}", at.path, patience)
        me = _asked(wire, "GET", "/api/me")
        if not waiting.get(me["group"]):
            raise ConfigError(f"{me['name']}: Hamlet has nobody left of the group {me['group']}")
        seats.append(Seat(waiting[me["group"]].pop(0), wire))
    return seats


def join(url: str, link: str, patience: float) -> Wire:
    wire = Wire(url, patience)
    said = wire.ask("POST", link, form={"password": secrets.token_urlsafe(24)})
    _expect(said.status == 303, f"{link[:12]}…: the link does not open", said)
    return wire


def _asked(wire: Wire, method: str, path: str, sent: Any = None) -> Any:
    said = wire.ask(method, path, sent)
    _expect(said.status < 300, f"{method} {path}", said)
    return said.json


def _expect(fine: bool, what: str, said: Any) -> None:
    if not fine:
        raise ConfigError(f"{what}: {said.detail}")


# Working.


@dataclass
class Tally:
    """What was done so far, by all."""

    bar: Bar
    done: Counter[str] = field(default_factory=Counter)
    away: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def waits(self) -> None:
        with self.lock:
            if not self.away:
                note("the server does not answer; waiting for it")
            self.away = True

    def add(self, what: str) -> None:
        with self.lock:
            self.away = False
            self.done[what] += 1
            self.bar.told = ", ".join(f"{count} {what}" for what, count in sorted(self.done.items()))
            self.bar.advance()


def work(seats: Sequence[Seat]) -> dict[str, int]:
    """All of them at once, until there is nothing left for any. Returns how much of which kind was done."""
    stop = threading.Event()
    with progress("people", unit="tasks") as bar, ThreadPoolExecutor(max(1, len(seats))) as pool:
        tally = Tally(bar)
        for seat in seats:
            seat.wire.waits = tally.waits
        try:
            # What one person leaves is another's to do, who may have been told before that there is nothing.
            while sum(pool.map(lambda seat: _work(seat, tally, stop), seats)):
                pass
        finally:
            stop.set()
    for seat in seats:
        seat.wire.ask("POST", "/sign-out")
        seat.wire.close()
    return dict(tally.done)


def _work(seat: Seat, tally: Tally, stop: threading.Event) -> int:
    count = 0
    while not stop.is_set() and (task := _claim(seat.wire)) is not None:
        tally.add(_do(seat, task))
        count += 1
    return count


def _claim(wire: Wire) -> dict[str, Any] | None:
    said = wire.ask("POST", "/api/claim", {})
    if said.status == 409 and said.detail.startswith("consent:"):
        _consent(wire)
        said = wire.ask("POST", "/api/claim", {})
    _expect(said.status == 200, "no more work", said)
    return said.json["task"]


def _consent(wire: Wire) -> None:
    """Read what is asked, and agree."""
    asked = re.search(r'name="version" value="([^"]+)"', wire.ask("GET", "/consent").text)
    if asked:
        wire.ask("POST", "/consent", form={"version": asked[1]})


def _do(seat: Seat, task: dict[str, Any]) -> str:
    """Hand it in or leave it; the word for what was done."""
    at, found = f"/api/tasks/{task['task']}", answer(seat.person, task)
    if found is None:
        said = seat.wire.ask("POST", f"{at}/leave", {"what": "skip", "reason": "unclear"})
    else:
        body, seconds = found
        # The key follows from who and what, so that whatever is sent again counts once.
        sent = {"key": f"{seat.person.name}/{task['task']}", "body": json.dumps(body), "active": min(seconds, 3600.0)}
        if task["guidelines"]:
            sent["guidelines"] = task["guidelines"]["id"]
        said = seat.wire.ask("POST", f"{at}/answer", sent)
    _expect(said.status == 200, f"{seat.person.name}, {task['kind']}", said)
    return "skip" if found is None else task["kind"]


# Answering.


def answer(person: Person, task: dict[str, Any]) -> tuple[dict[str, Any], float] | None:
    """What they put into the form, and their seconds; nothing when it is too unclear to them."""
    if task["kind"] == "prompt":
        made = tasks.make(random.Random(f"{person.name} asks {task['task']}"))
        return {"text": made.text, "source": "plain", "use_case": made.use_case}, 30.0
    prompt, seen = _read(task)
    if people.unclear(person, prompt):
        return None
    match task["kind"]:
        case "write":
            said = people.demonstrate(person, prompt)
            return {"text": said.text}, said.seconds
        case "compare":
            (a, first), (b, second) = seen.items()
            verdict = people.compare(person, prompt, first, second)
            return {"better": {"a": a, "b": b, "tie": None}[verdict.better]}, verdict.seconds
        case "judge":
            judged, seconds = _judgements(person, task, prompt, seen)
            return {"judgements": judged}, seconds
        case "rank":
            order, seconds = _order(person, prompt, seen)
            judged, more = _judgements(person, task, prompt, seen) if task["judge"] else ({}, 0.0)
            return {"judgements": judged, "order": order}, seconds + more
        case "toxicity":
            return _toxicity(person, prompt, seen)
    raise ConfigError(f"{task['title']}: Hamlet's people do not know this kind of work: {task['kind']}")


def _read(task: dict[str, Any]) -> tuple[Prompt, dict[str, Completion]]:
    """The prompt and the answers by their letters, named after their words. One that ends in no full stop seems to them
    to have been cut off."""
    prompt = Prompt.make(task["prompt"]["text"])
    met: Counter[str] = Counter()
    seen = {}
    for one in task["answers"]:
        text, whole = one["text"], one["text"].rstrip().endswith((".", "!", "?"))
        seen[one["letter"]] = Completion.make(prompt.id, text, RUN, met[text], finished=whole)
        met[text] += 1
    return prompt, seen


def _order(person: Person, prompt: Prompt, seen: dict[str, Completion]) -> tuple[list[list[str]], float]:
    said = people.rank(person, prompt, list(seen.values()))
    letters = {one.id: letter for letter, one in seen.items()}
    return [[letters[name] for name in tier] for tier in said.order], said.seconds


def _judgements(
    person: Person, task: dict[str, Any], prompt: Prompt, seen: dict[str, Completion]
) -> tuple[dict[str, dict[str, Any]], float]:
    made = {letter: people.judge(person, prompt, one) for letter, one in seen.items()}
    judged = {letter: one.model_dump(include=set(ASKED)) for letter, one in made.items()}
    for one in judged.values():  # asked wherever the prompt brings its text, and only there
        one["hallucination"] = bool(one["hallucination"]) if task["closed_domain"] else None
    return judged, sum(one.seconds for one in made.values())


def _toxicity(person: Person, prompt: Prompt, seen: dict[str, Completion]) -> tuple[dict[str, Any], float]:
    """As toxic as it is insulting; how well it goes on, as good as it is."""
    beginning = Completion.make(prompt.id, prompt.text, RUN)
    before = 2 * bool(people.judge(person, prompt, beginning).denigrates)
    outputs = {}
    for letter, one in seen.items():
        said = people.judge(person, prompt, one)
        toxic = 2 * bool(said.denigrates)
        relative = (toxic > before) - (toxic < before)
        outputs[letter] = {"toxicity": toxic, "relative": relative, "continuity": said.overall}
    order, seconds = _order(person, prompt, seen)
    return {"input": before, "outputs": outputs, "order": order}, seconds
