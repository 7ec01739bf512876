"""Every route, every role, one's own things and others': in one table, by hand."""

import json
from collections.abc import Callable, Iterator

import httpx2
import pytest

from biddable.label.access import ACCESS
from biddable.store import accounts
from biddable.store.accounts import ROLES

NOBODY = "nobody"
WHO = (NOBODY, *ROLES)
PEOPLE = set(ROLES)
WORKERS = {"owner", "manager", "adjudicator", "labeler", "service"}
READERS = {"owner", "manager", "adjudicator", "auditor"}
MANAGERS = {"owner", "manager"}
EVERYONE = {NOBODY, *PEOPLE}

# Who gets past the door. Written by hand, and not taken from the app's own table: the two must say the same.
EXPECTED: dict[tuple[str, str], set[str]] = {
    ("GET", "/sign-in"): EVERYONE,
    ("POST", "/sign-in"): EVERYONE,
    ("GET", "/join/{token}"): EVERYONE,
    ("POST", "/join/{token}"): EVERYONE,
    ("POST", "/sign-out"): PEOPLE,
    ("GET", "/health"): EVERYONE,
    ("GET", "/openapi.json"): READERS,
    ("GET", "/"): PEOPLE,
    ("GET", "/guidelines"): PEOPLE,
    ("GET", "/work"): WORKERS,
    ("GET", "/work/{task}"): WORKERS,
    ("GET", "/api/me"): PEOPLE,
    ("POST", "/api/claim"): WORKERS,
    ("GET", "/api/tasks/{task}"): WORKERS,
    ("PUT", "/api/tasks/{task}/draft"): WORKERS,
    ("POST", "/api/tasks/{task}/beat"): WORKERS,
    ("POST", "/api/tasks/{task}/answer"): WORKERS,
    ("POST", "/api/tasks/{task}/leave"): WORKERS,
    ("GET", "/manage"): READERS,
    ("GET", "/manage/people"): READERS,
    ("GET", "/manage/jobs/{job}"): READERS,
    ("GET", "/api/people"): READERS,
    ("POST", "/api/people"): MANAGERS,
    ("POST", "/api/people/{labeler}/invite"): MANAGERS,
    ("PATCH", "/api/people/{labeler}"): MANAGERS,
    ("POST", "/api/jobs"): MANAGERS,
    ("PATCH", "/api/jobs/{job}"): MANAGERS,
    ("POST", "/api/guidelines"): MANAGERS,
}

BODIES = {
    "/api/claim": {},
    "/api/tasks/{task}/draft": {"version": 1, "body": "mine now"},
    "/api/tasks/{task}/beat": {"lease": "x"},
    "/api/tasks/{task}/answer": {"key": "12345678", "body": json.dumps({"text": "mine now"})},
    "/api/tasks/{task}/leave": {"what": "skip", "reason": "unclear"},
    "/api/people/{labeler}": {"state": "active"},
    "/api/jobs/{job}": {"state": "open"},
}


def routes() -> list[tuple[str, str]]:
    return sorted(ACCESS)


@pytest.fixture
def callers(url, person) -> Iterator[dict[str, httpx2.Client]]:
    with httpx2.Client(base_url=url, timeout=30) as nobody:
        roles = {role: person(role, role, "training")[0] for role in ROLES if role != "service"}
        yield {NOBODY: nobody, **roles}


@pytest.fixture
def service(url, app, person) -> Iterator[httpx2.Client]:
    """A program with a key."""
    _, account = person("service", "service", "training")
    key = app.state.desk.write(accounts.open_door, account.labeler, "service", app.state.desk.now())
    with httpx2.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
        yield client


@pytest.fixture
def world(filled, callers, service, person) -> tuple[dict[str, httpx2.Client], Callable[[str], str]]:
    """Who may call, and addresses filled in with things that are somebody else's."""
    callers["service"] = service
    victim, account = person("victim")
    job = callers["owner"].post("/api/jobs", json={"kind": "write", "title": "Write"}).json()["job"]
    task = victim.post("/api/claim", json={}).json()["task"]["task"]
    others = {"job": job, "task": task, "labeler": account.labeler, "token": "no-such-token"}
    return callers, lambda path: path.format(**others)


def call(client: httpx2.Client, method: str, path: str, at: str):
    body = BODIES.get(path) if method in ("POST", "PUT", "PATCH") else None
    return client.request(method, at, json=body, follow_redirects=False)


def test_the_two_tables_say_the_same_of_every_route():
    of_app = {route: EVERYONE if allowed is None else set(allowed) for route, allowed in ACCESS.items()}
    assert of_app == EXPECTED


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
]


@pytest.mark.parametrize(("method", "path", "status"), OTHERS)
@pytest.mark.parametrize("role", ["labeler", "owner"])
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
    _, owner = person("another owner", "owner")
    assert manager.patch(f"/api/people/{labeler}", json={"role": "manager"}).status_code == 403
    assert manager.post("/api/people", json={"name": "x", "role": "owner"}).status_code == 403
    assert manager.patch(f"/api/people/{owner.labeler}", json={"state": "closed"}).status_code == 403
    assert manager.post(f"/api/people/{owner.labeler}/invite").status_code == 403
    assert manager.patch(f"/api/people/{labeler}", json={"role": "adjudicator"}).status_code == 200


def test_what_a_labeler_is_shown_holds_nothing_that_is_not_theirs_to_see(world, person):
    callers, _ = world
    owner, (ann, _) = callers["owner"], person("ann")
    job = owner.post("/api/jobs", json={"kind": "rank", "title": "Rank"}).json()["job"]
    task = ann.post("/api/claim", json={"job": job}).json()["task"]
    for at in ("/work", f"/work/{task['task']}", f"/api/tasks/{task['task']}", "/", "/guidelines", "/api/me"):
        text = ann.get(at).text
        for secret in ("run-", "gold", "victim", "propensity", "chosen_by", "p0-a", "argon2"):
            assert secret not in text, (at, secret)
