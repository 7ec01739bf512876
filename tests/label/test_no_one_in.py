"""Every route, every role, one's own things and others': in one table, by hand."""

import json
from collections.abc import Callable, Iterator

import httpx2
import pytest
from served import client_of

from biddable.label.access import ACCESS
from biddable.store import accounts
from biddable.store.accounts import ROLES
from biddable.store.tables import metadata

NOBODY, HELD_OUT = "nobody", "held-out labeler"
WHO = (NOBODY, HELD_OUT, *ROLES)
PEOPLE = {HELD_OUT, *ROLES}
WORKERS = PEOPLE - {"auditor"}
MANAGERS = {"owner", "manager"}
REVIEWERS = MANAGERS | {"adjudicator"}
OVERSEERS = MANAGERS | {"auditor"}  # what is between a team and each of its people: pay
READERS = MANAGERS | {"adjudicator", "auditor"}
EVERYONE = {NOBODY, *PEOPLE}

# Who gets past the door. Written by hand, and not taken from the app's own table: the two must say the same.
EXPECTED: dict[tuple[str, str], set[str]] = {
    # Coming and going.
    ("GET", "/health"): EVERYONE,
    ("GET", "/sign-in"): EVERYONE,
    ("POST", "/sign-in"): EVERYONE,
    ("GET", "/join/{token}"): EVERYONE,
    ("POST", "/join/{token}"): EVERYONE,
    ("POST", "/sign-out"): PEOPLE,
    ("GET", "/password"): PEOPLE,
    ("POST", "/password"): PEOPLE,
    # One's own.
    ("GET", "/"): PEOPLE,
    ("GET", "/api/me"): PEOPLE,
    ("GET", "/guidelines"): PEOPLE,
    ("GET", "/guidelines/{version}"): PEOPLE,
    ("GET", "/consent"): PEOPLE,
    ("POST", "/consent"): WORKERS,
    ("GET", "/screening"): PEOPLE,
    ("POST", "/screening/topics"): WORKERS,
    ("GET", "/surveys"): WORKERS,
    ("POST", "/surveys/satisfaction"): WORKERS,
    ("POST", "/surveys/people"): WORKERS,
    ("GET", "/mine"): WORKERS,
    # The work.
    ("GET", "/work"): WORKERS,
    ("GET", "/work/{task}"): WORKERS,
    ("POST", "/work/{task}"): WORKERS,
    ("POST", "/work/{task}/leave"): WORKERS,
    ("POST", "/work/{task}/preview"): WORKERS,
    ("POST", "/api/claim"): WORKERS,
    ("GET", "/api/tasks/{task}"): WORKERS,
    ("PUT", "/api/tasks/{task}/draft"): WORKERS,
    ("POST", "/api/tasks/{task}/beat"): WORKERS,
    ("POST", "/api/tasks/{task}/answer"): WORKERS,
    ("POST", "/api/tasks/{task}/leave"): WORKERS,
    # Looking on: an auditor sees it and changes nothing; an adjudicator knows whose word is whose.
    ("GET", "/openapi.json"): READERS,
    ("GET", "/manage"): READERS,
    ("GET", "/manage/prompts"): READERS,
    ("GET", "/manage/prompts/one"): READERS,
    ("GET", "/manage/people"): READERS,
    ("GET", "/manage/guidelines"): READERS,
    ("GET", "/manage/jobs/{job}"): READERS,
    ("GET", "/manage/tasks/{task}"): READERS,
    ("GET", "/api/people"): READERS,
    ("GET", "/manage/screening"): READERS,
    ("GET", "/manage/surveys"): READERS,
    ("GET", "/manage/quality"): READERS,
    ("GET", "/manage/checks"): READERS,
    ("GET", "/manage/review"): READERS,
    ("GET", "/manage/plan"): READERS,
    ("GET", "/manage/data"): READERS,
    ("GET", "/manage/history"): READERS,
    ("GET", "/manage/pay"): OVERSEERS,
    ("GET", "/manage/pay.csv"): OVERSEERS,
    # Deciding about answers.
    ("GET", "/manage/screening/rate"): REVIEWERS,
    ("POST", "/manage/screening/rate/{answer}"): REVIEWERS,
    ("GET", "/manage/review/{task}"): REVIEWERS,
    ("POST", "/manage/review/{task}/blind"): REVIEWERS,
    ("POST", "/manage/review/{task}/final"): REVIEWERS,
    # Deciding about people, jobs and data. An export stands in the history, so who changes nothing makes none.
    ("GET", "/manage/jobs/new"): MANAGERS,
    ("POST", "/manage/jobs"): MANAGERS,
    ("POST", "/manage/jobs/{job}/settings"): MANAGERS,
    ("POST", "/manage/jobs/{job}/state"): MANAGERS,
    ("POST", "/manage/jobs/{job}/fill"): MANAGERS,
    ("POST", "/manage/jobs/{job}/checks"): MANAGERS,
    ("POST", "/manage/checks/retire"): MANAGERS,
    ("POST", "/manage/tasks/{task}/read"): MANAGERS,
    ("POST", "/manage/tasks/{task}/out"): MANAGERS,
    ("POST", "/manage/tasks/{task}/back"): MANAGERS,
    ("POST", "/manage/tasks/{task}/seen"): MANAGERS,
    ("POST", "/manage/people"): MANAGERS,
    ("POST", "/manage/people/many"): MANAGERS,
    ("POST", "/manage/people/{labeler}"): MANAGERS,
    ("POST", "/manage/people/{labeler}/invite"): MANAGERS,
    ("POST", "/manage/screening"): MANAGERS,
    ("POST", "/manage/screening/decide/{labeler}"): MANAGERS,
    ("POST", "/manage/guidelines"): MANAGERS,
    ("POST", "/manage/prompts/paste"): MANAGERS,
    ("POST", "/manage/prompts/file"): MANAGERS,
    ("POST", "/manage/prompts/one/mend"): MANAGERS,
    ("POST", "/manage/prompts/one/out"): MANAGERS,
    ("POST", "/manage/prompts/one/close"): MANAGERS,
    ("POST", "/manage/data/import"): MANAGERS,
    ("GET", "/manage/data/{what}.jsonl"): MANAGERS,
    ("POST", "/api/people"): MANAGERS,
    ("POST", "/api/people/{labeler}/invite"): MANAGERS,
    ("PATCH", "/api/people/{labeler}"): MANAGERS,
    ("POST", "/api/jobs"): MANAGERS,
    ("PATCH", "/api/jobs/{job}"): MANAGERS,
    ("POST", "/api/guidelines"): MANAGERS,
}

# What is sent, so that a handler behind an open door runs, and not only the check of its form.
BODIES = {
    "/api/claim": {},
    "/work/{task}/preview": {"text": "mine now"},
    "/api/tasks/{task}/draft": {"version": 1, "body": "mine now"},
    "/api/tasks/{task}/beat": {"lease": "x"},
    "/api/tasks/{task}/answer": {"key": "12345678", "body": json.dumps({"text": "mine now"})},
    "/api/tasks/{task}/leave": {"what": "skip", "reason": "unclear"},
    "/api/people": {"name": "somebody new"},
    "/api/people/{labeler}": {"state": "active"},
    "/api/jobs": {"kind": "write", "title": "Write more"},
    "/api/jobs/{job}": {"state": "open"},
    "/api/guidelines": {"purpose": "training", "text": "Be kind."},
}
FORMS = {
    "/join/{token}": {"password": "a few words in a row"},
    "/password": {"old": "not the one", "password": "a few words in a row"},
    "/consent": {"version": "no-such-version"},
    "/screening/topics": {"text": "none"},
    "/surveys/satisfaction": {"clear": "agree"},
    "/surveys/people": {"age": "18 to 24"},
    "/work/{task}": {"text": "mine now", "_key": "12345678"},
    "/work/{task}/leave": {"what": "skip", "reason": "unclear"},
    "/manage/jobs": {"kind": "write"},
    "/manage/jobs/{job}/settings": {"title": "Write", "groups": "training"},
    "/manage/jobs/{job}/state": {"state": "open"},
    "/manage/jobs/{job}/fill": {"count": "1"},
    "/manage/jobs/{job}/checks": {"count": "1"},
    "/manage/checks/retire": {"task": "no-such-task"},
    "/manage/tasks/{task}/out": {"reason": "It names somebody."},
    "/manage/tasks/{task}/seen": {"labeler": "nobody"},
    "/manage/people": {"name": "another"},
    "/manage/people/many": {"names": "one more\nand one"},
    "/manage/people/{labeler}": {"role": "labeler", "group": "training", "state": "active"},
    "/manage/screening": {"ranked": "1", "written": "1", "split": "train"},
    "/manage/screening/decide/{labeler}": {"accepted": "true"},
    "/manage/screening/rate/{answer}": {"overall": "4"},
    "/manage/review/{task}/blind": {"rank-A": "1"},
    "/manage/review/{task}/final": {"rank-A": "1", "cause": "slip"},
    "/manage/guidelines": {"purpose": "training", "text": "Be kind."},
    "/manage/prompts/paste": {"text": "Say something else."},
    "/manage/prompts/one/mend": {"id": "p0", "text": "Say it well."},
    "/manage/prompts/one/out": {"id": "p0"},
    "/manage/prompts/one/close": {"id": "p0"},
}
FILES = {
    "/manage/prompts/file": ("prompts.jsonl", b'{"text": "Say a third thing."}'),
    "/manage/data/import": ("labels.jsonl", b"{}"),
}


def routes() -> list[tuple[str, str]]:
    return sorted(ACCESS)


@pytest.fixture
def callers(url, person) -> Iterator[dict[str, httpx2.Client]]:
    with client_of(url, timeout=30) as nobody:
        decide = {role: person(role, role, "researcher")[0] for role in ("owner", "manager", "adjudicator")}
        others = {role: person(role, role, "training")[0] for role in ("labeler", "auditor")}
        yield {NOBODY: nobody, HELD_OUT: person("held out", "labeler", "held_out")[0], **decide, **others}


@pytest.fixture
def service(url, app, person) -> Iterator[httpx2.Client]:
    """A program with a key."""
    _, account = person("service", "service", "training")
    key = app.state.desk.write(accounts.open_door, account.labeler, "service", app.state.desk.now())
    with client_of(url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
        yield client


@pytest.fixture
def world(filled, callers, service, person) -> tuple[dict[str, httpx2.Client], Callable[[str], str]]:
    """Who may call, and addresses filled in with things that are somebody else's."""
    callers["service"] = service
    victim, account = person("victim")
    job = callers["owner"].post("/api/jobs", json={"kind": "write", "title": "Write"}).json()["job"]
    task = victim.post("/api/claim", json={}).json()["task"]["task"]
    others = {
        "job": job, "task": task, "labeler": account.labeler, "token": "no-such-token", "version": "no-such-version",
        "what": "prompts", "answer": 1,
    }  # fmt: skip
    return callers, lambda path: path.format(**others)


def call(client: httpx2.Client, method: str, path: str, at: str):
    if method == "GET":
        return client.get(at, follow_redirects=False)
    files = {"file": FILES[path]} if path in FILES else None
    return client.request(method, at, json=BODIES.get(path), data=FORMS.get(path), files=files, follow_redirects=False)


def test_the_two_tables_say_the_same_of_every_route():
    role = {HELD_OUT: "labeler"}
    of_app = {
        route: {who for who in WHO if allowed is None or role.get(who, who) in allowed}
        for route, allowed in ACCESS.items()
    }
    assert of_app == EXPECTED


def test_something_is_sent_wherever_something_is_expected():
    bare = {
        "/sign-in", "/sign-out", "/api/people/{labeler}/invite", "/manage/people/{labeler}/invite",
        "/manage/tasks/{task}/read", "/manage/tasks/{task}/back",
    }  # fmt: skip
    assert {path for method, path in ACCESS if method != "GET"} == {*BODIES, *FORMS, *FILES, *bare}


def test_the_openapi_names_no_route_that_the_table_does_not(callers):
    paths = callers["auditor"].get("/openapi.json").json()["paths"]
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} <= EXPECTED.keys()


def test_each_role_gets_in_where_it_may_and_nowhere_else(world):
    callers, fill = world
    seen = {}
    for method, path in routes():
        if (method, path) in (("POST", "/sign-out"), ("POST", "/sign-in")):
            continue  # below: one ends the session, the other counts tries
        for who, client in callers.items():
            said = call(client, method, path, fill(path))
            turned_away = said.status_code in (401, 403) or said.headers.get("location", "").startswith("/sign-in")
            seen[method, path, who] = not turned_away
            assert said.status_code < 500, (method, path, who, said.text)
    expected = {(method, path, who): who in EXPECTED[method, path] for method, path, who in seen}
    assert seen == expected


def test_whoever_is_turned_away_is_told_how_to_come_in(world):
    callers, fill = world
    assert callers[NOBODY].get("/api/me").status_code == 401
    page = callers[NOBODY].get("/manage", follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?to=/manage")
    assert callers["labeler"].get(fill("/manage/jobs/{job}")).status_code == 403
    assert callers[NOBODY].post("/sign-out", follow_redirects=False).headers["location"].startswith("/sign-in")


OTHERS = [
    ("GET", "/work/{task}", 404),
    ("GET", "/api/tasks/{task}", 404),
    ("PUT", "/api/tasks/{task}/draft", 409),
    ("POST", "/api/tasks/{task}/beat", 200),
    ("POST", "/api/tasks/{task}/answer", 409),
    ("POST", "/api/tasks/{task}/leave", 409),
    ("POST", "/work/{task}", 409),
    ("POST", "/work/{task}/leave", 409),
    ("POST", "/work/{task}/preview", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), OTHERS)
@pytest.mark.parametrize("role", ["labeler", HELD_OUT, "owner", "service"])
def test_somebody_elses_task_is_as_if_it_were_not(world, method: str, path: str, status: int, role: str):
    """Also for an owner: who manages sees answers in the managers' rooms, and works on their own tasks alone."""
    callers, fill = world
    said = call(callers[role], method, path, fill(path))
    none = call(callers[role], method, path, path.format(task="t-0123456789abcdef"))
    assert said.status_code == none.status_code == status
    task = fill("{task}")
    assert said.text.replace(task, "") == none.text.replace("t-0123456789abcdef", "")  # nor can one tell that it exists


def test_nobody_raises_themselves(world, person):
    callers, fill = world
    manager, labeler = callers["manager"], fill("{labeler}")
    (_, owner), me = person("another owner", "owner"), manager.get("/api/me").json()["labeler"]
    assert manager.patch(f"/api/people/{labeler}", json={"role": "manager"}).status_code == 403
    assert manager.post("/api/people", json={"name": "x", "role": "owner"}).status_code == 403
    assert manager.patch(f"/api/people/{owner.labeler}", json={"state": "closed"}).status_code == 403
    assert manager.post(f"/api/people/{owner.labeler}/invite").status_code == 403
    assert manager.patch(f"/api/people/{me}", json={"role": "owner"}).status_code == 403
    assert manager.patch(f"/api/people/{labeler}", json={"role": "adjudicator"}).status_code == 200


def test_nor_by_the_forms_of_the_pages(world, person):
    callers, fill = world
    manager, labeler = callers["manager"], fill("{labeler}")
    (_, owner), me = person("another owner", "owner"), manager.get("/api/me").json()["labeler"]
    as_now = {"group": "training", "state": "active"}
    assert manager.post("/manage/people", data={"name": "x", "role": "owner"}).status_code == 403
    assert manager.post("/manage/people", data={"name": "x", "role": "manager"}).status_code == 403
    for one, role in ((labeler, "manager"), (labeler, "owner"), (me, "owner"), (owner.labeler, "labeler")):
        assert manager.post(f"/manage/people/{one}", data=as_now | {"role": role}).status_code == 403
    assert manager.post(f"/manage/people/{owner.labeler}/invite").status_code == 403
    said = manager.post(f"/manage/people/{labeler}", data=as_now | {"role": "adjudicator"}, follow_redirects=False)
    assert said.status_code == 303


def test_the_last_owner_stays(world, person):
    """Else nobody could make a manager, or let an owner back in."""
    callers, _ = world
    owner = callers["owner"]
    me = owner.get("/api/me").json()["labeler"]
    for change in ({"role": "manager"}, {"state": "closed"}):
        said = owner.patch(f"/api/people/{me}", json=change)
        assert (said.status_code, "only owner" in said.text) == (400, True)
    person("another owner", "owner")
    assert owner.patch(f"/api/people/{me}", json={"role": "manager"}).status_code == 200


def test_whoever_is_held_out_is_given_nothing_that_trains_and_stays_so(world):
    callers, fill = world
    held_out, owner = callers[HELD_OUT], callers["owner"]
    assert held_out.post("/api/claim", json={"job": fill("{job}")}).json() == {"task": None}
    me = held_out.get("/api/me").json()["labeler"]
    assert owner.patch(f"/api/people/{me}", json={"group": "training"}).status_code == 400
    form = {"role": "labeler", "group": "training", "state": "active"}
    assert owner.post(f"/manage/people/{me}", data=form).status_code == 400
    assert held_out.get("/api/me").json()["group"] == "held_out"


def test_an_auditor_changes_nothing(world, app):
    """Whatever they ask for, each row of each table is what it was."""
    callers, fill = world

    def all_rows() -> dict[str, list]:
        with app.state.desk.store.reading() as connection:
            return {t.name: sorted(map(repr, connection.execute(t.select()))) for t in metadata.sorted_tables}

    before = all_rows()
    for method, path in routes():
        if path not in ("/sign-in", "/sign-out", "/join/{token}"):
            call(callers["auditor"], method, path, fill(path))
    assert all_rows() == before


def test_what_a_labeler_is_shown_holds_nothing_that_is_not_theirs_to_see(world, person):
    callers, _ = world
    owner, (ann, _) = callers["owner"], person("ann")
    job = owner.post("/api/jobs", json={"kind": "rank", "title": "Rank"}).json()["job"]
    task = ann.post("/api/claim", json={"job": job}).json()["task"]
    for at in ("/work", f"/work/{task['task']}", f"/api/tasks/{task['task']}", "/", "/guidelines", "/api/me"):
        text = ann.get(at).text
        for secret in ("run-", "gold", "victim", "propensity", "chosen_by", "p0-a", "argon2"):
            assert secret not in text, (at, secret)
