"""Passwords, invitations, sessions, other sites, and what every answer says to the browser."""

import itertools
import json
import statistics
import subprocess
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx2
import pytest
from served import client_of, serving

import warm
from biddable.label import create_app, signin
from biddable.label.guard import LARGEST
from biddable.store import accounts, open_store

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
WORDS = "correct horse battery"


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(where: str, clock: Clock):
    return create_app(where, clock=clock)


@pytest.fixture
def visitor(url):
    with client_of(url, timeout=30, follow_redirects=False) as client:
        yield client


def invited(app, name: str) -> tuple[accounts.Account, str]:
    desk = app.state.desk
    account = desk.write(accounts.make, name, "labeler", "training", desk.now())
    return account, desk.write(accounts.open_door, account.labeler, "invite", desk.now())


def joined(app, visitor, name: str) -> accounts.Account:
    account, token = invited(app, name)
    said = visitor.post(f"/join/{token}", data={"password": WORDS})
    assert (said.status_code, said.headers["location"]) == (303, "/")
    return account


def come_in(visitor, name: str, password: str = WORDS, to: str = "/"):
    return visitor.post("/sign-in", data={"name": name, "password": password, "to": to})


def me(visitor) -> int:
    return visitor.get("/api/me").status_code


# Coming in.


def test_an_invitation_opens_once_and_then_a_password_does(app, visitor):
    _, token = invited(app, "ann")
    assert "ann" in visitor.get(f"/join/{token}").text
    assert visitor.post(f"/join/{token}", data={"password": "too short"}).status_code == 400
    assert visitor.post(f"/join/{token}", data={"password": "x" * 1001}).status_code == 422
    assert visitor.post(f"/join/{token}", data={"password": WORDS}).status_code == 303
    assert me(visitor) == 200
    visitor.cookies.clear()
    assert visitor.post(f"/join/{token}", data={"password": "another password"}).status_code == 400
    assert visitor.get(f"/join/{token}").status_code == 404
    assert come_in(visitor, "ann", "another password").status_code == 401
    assert come_in(visitor, "ann").status_code == 303
    assert me(visitor) == 200


def test_an_invitation_lasts_three_days_and_dies_with_the_account(app, visitor, clock):
    _, token = invited(app, "ann")
    clock.now += timedelta(hours=73)
    assert visitor.post(f"/join/{token}", data={"password": WORDS}).status_code == 400
    account, token = invited(app, "ben")
    app.state.desk.write(accounts.change, account.labeler, clock.now, state="closed")
    assert visitor.post(f"/join/{token}", data={"password": WORDS}).status_code == 400
    assert visitor.cookies.get("biddable") is None


def test_an_invitation_is_no_session_and_a_session_no_invitation_or_key(app, visitor):
    account, token = invited(app, "ann")
    visitor.cookies.set("biddable", token)
    assert me(visitor) == 401
    session = app.state.desk.write(accounts.open_door, account.labeler, "session", app.state.desk.now())
    visitor.cookies.clear()
    assert visitor.get("/api/me", headers={"authorization": f"Bearer {session}"}).status_code == 401
    assert visitor.get(f"/join/{session}").status_code == 404


def test_five_wrong_tries_lock_a_name_and_twenty_an_address(app, visitor, monkeypatch):
    joined(app, visitor, "ann")
    joined(app, visitor, "ben")
    visitor.cookies.clear()
    now = itertools.count(1000.0, 0.001)
    # There alone: the server's own loop, by such a clock, would sleep for hours and hear of no end.
    monkeypatch.setattr(signin, "time", SimpleNamespace(monotonic=lambda: next(now)))
    app.state.by_address = signin.Patience(20)
    assert [come_in(visitor, "ann", "wrong wrong").status_code for _ in range(5)] == [401] * 5
    assert come_in(visitor, "ann").status_code == 429  # the right one, too: a guess is not told that it was right
    assert come_in(visitor, "ben").status_code == 303  # another person is not in the way
    assert [come_in(visitor, f"n{n}").status_code for n in range(14)] == [401] * 14
    assert come_in(visitor, "ben").status_code == 429
    now = itertools.count(2000.0, 0.001)
    assert come_in(visitor, "ann").status_code == 303


def test_a_whole_team_comes_in_from_one_address(app, visitor):
    """Thirty people join on their first morning behind one office's address; what was right is no try."""
    app.state.by_address = signin.Patience(2)
    for n in range(5):
        joined(app, visitor, f"n{n}")
    visitor.cookies.clear()
    assert [come_in(visitor, f"n{n}").status_code for n in range(5)] == [303] * 5
    assert [come_in(visitor, "n0", "wrong wrong").status_code for _ in range(3)] == [401, 401, 429]


def test_a_flood_of_names_does_not_wash_a_lock_away():
    patience = signin.Patience(5)
    assert [patience.lost("ann") for _ in range(6)] == [False] * 5 + [True]
    for n in range(11_000):
        patience.lost(f"n{n}")
    assert patience.lost("ann")


def test_an_unknown_name_takes_as_long_as_a_wrong_password():
    kept = signin.hash_password(WORDS)

    def seconds(hashed: str | None) -> float:
        began = time.thread_time()  # of this thread's own work, whatever else the machine does
        assert not signin.right("a wrong password", hashed)
        return time.thread_time() - began

    known, unknown = ([], [])
    for _ in range(12):
        known.append(seconds(kept))
        unknown.append(seconds(None))
    assert abs(statistics.median(known) - statistics.median(unknown)) < 0.2 * statistics.median(known)


def test_passwords_are_argon2id_and_secrets_only_hashed(app, visitor, where):
    _, token = invited(app, "ann")
    visitor.post(f"/join/{token}", data={"password": WORDS})
    session = visitor.cookies["biddable"]
    with app.state.desk.store.reading() as connection:
        account = accounts.named(connection, "ann")
        dump = "\n".join(connection.connection.dbapi_connection.iterdump())
    assert account.password.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    for secret in (WORDS, session, token):
        assert secret not in dump


@pytest.mark.parametrize(
    "to", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "", "evil"]
)
def test_signing_in_leads_nowhere_else(app, visitor, url, to: str):
    joined(app, visitor, "ann")
    place = come_in(visitor, "ann", to=to).headers["location"]
    assert httpx2.URL(url).join(place).host == "localhost"
    assert place == "/" or place.startswith("/%09/")


# Sessions.


def test_a_session_ends_by_signing_out_by_time_and_by_any_change_of_the_account(app, visitor, clock, person):
    account = joined(app, visitor, "ann")
    before = visitor.cookies["biddable"]
    come_in(visitor, "ann")
    token = visitor.cookies["biddable"]
    assert token != before  # never one that was there before signing in
    visitor.post("/sign-out")
    visitor.cookies.set("biddable", token)
    assert me(visitor) == 401  # replayed
    desk = app.state.desk
    for change in ({"role": "adjudicator"}, {"group": "held_out"}, {"state": "active"}, {"password": "x"}):
        visitor.cookies.clear()
        visitor.cookies.set("biddable", desk.write(accounts.open_door, account.labeler, "session", desk.now()))
        assert me(visitor) == 200
        desk.write(accounts.change, account.labeler, desk.now(), **change)
        assert me(visitor) == 401, change
    visitor.cookies.clear()
    visitor.cookies.set("biddable", desk.write(accounts.open_door, account.labeler, "session", desk.now()))
    clock.now += timedelta(days=13)
    assert me(visitor) == 200
    clock.now += timedelta(days=2)
    assert me(visitor) == 401


def test_a_session_that_was_brought_along_is_not_taken_up(app, visitor):
    joined(app, visitor, "ann")
    visitor.cookies.clear()
    visitor.cookies.set("biddable", "chosen-by-somebody-else")
    come_in(visitor, "ann")
    with app.state.desk.store.reading() as connection:
        assert accounts.holder(connection, "chosen-by-somebody-else", "session", START) is None


@pytest.mark.parametrize("secure", [False, True])
def test_the_cookie_is_for_this_server_alone(where, secure: bool):
    app = create_app(where, secure=secure)
    with serving(app) as url, client_of(url, timeout=30) as visitor:
        _, token = invited(app, "ann")
        cookie = visitor.post(f"/join/{token}", data={"password": WORDS}).headers["set-cookie"].lower()
    assert ("__host-biddable=" in cookie, "secure" in cookie) == (secure, secure)
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "domain" not in cookie


def test_a_space_that_a_phone_adds_to_the_name_is_none(app, url, person):
    _, account = person("ann ")
    app.state.desk.write(
        accounts.change, account.labeler, app.state.desk.now(), password=signin.hash_password("a" * 12)
    )
    with client_of(url) as visitor:
        assert visitor.post("/sign-in", data={"name": " ann ", "password": "a" * 12}).status_code == 303


def test_spaces_around_a_name_give_no_more_tries(url):
    with client_of(url) as visitor:
        said = [visitor.post("/sign-in", data={"name": "ann" + " " * n, "password": "x"}).status_code for n in range(7)]
    assert said[0] == 401
    assert said[-1] == 429


# Other sites, other names.


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({}, True),  # no browser
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "OURS"}, False),
        ({"origin": "OURS"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://localhost:1"}, False),
    ],
)
def test_what_another_site_sends_changes_nothing(person, url, headers: dict[str, str], let_in: bool):
    ann, _ = person("ann")
    headers = {name: value.replace("OURS", url) for name, value in headers.items()}
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        said = ann.request(method, "/api/claim", json={}, headers=headers)
        assert (said.status_code != 403) == let_in
    assert ann.get("/", headers=headers).status_code == 200  # a link from elsewhere is no crime


def test_a_server_for_this_machine_answers_to_its_own_name_alone(where):
    with (
        serving(create_app(where, hosts=frozenset({"localhost"}))) as url,
        client_of(url) as visitor,
    ):
        assert visitor.get("/health").status_code == 200
        for host in ("evil.example", "localhost.evil.example", "evil.example:80", ""):
            assert visitor.get("/health", headers={"host": host}).status_code in (400, 421), host


@pytest.mark.parametrize("words", [("--host", "0.0.0.0"), ("--behind-proxy",)])
def test_nobody_elses_machine_is_let_in_before_there_is_an_owner(tmp_path, words):
    (tmp_path / "biddable.toml").write_text("")
    done = warm.run("label", "--port", "0", *words, loaded=warm.LABEL, cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no owner yet" in done.stderr


def test_passwords_in_the_clear_are_warned_of(tmp_path):
    (tmp_path / "biddable.toml").write_text("")
    with open_store(tmp_path / "store.db") as store, store.writing() as connection:
        olga = accounts.make(connection, "olga", "owner", "researcher", store.clock())
        accounts.change(connection, olga.labeler, store.clock(), password="a hash")
    words = ["label", "--port", "0", "--host", "0.0.0.0"]
    with warm.labeling(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as served:
        assert served.stderr is not None
        said = served.stderr.readline()
        served.terminate()  # while it starts
        assert served.wait(60) == 0
    assert said.startswith("biddable: note: --host 0.0.0.0: passwords travel unencrypted; put an HTTPS proxy in front")


# What every answer says.

NEEDED = {
    "content-security-policy": "require-trusted-types-for 'script'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def test_the_policy_stands_on_every_answer(app, visitor, person, monkeypatch):
    ann, _ = person("ann")
    page = ann.get("/")
    sheet = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
    monkeypatch.setattr("biddable.label.home.jobs.all_of", lambda *_: 1 / 0)
    answers = {
        "page": (200, page),
        "moved": (303, visitor.get("/")),
        "static": (200, visitor.get(sheet)),
        "no such file": (404, visitor.get("/static/none.js")),
        "no such page": (404, visitor.get("/nowhere", headers={"accept": "text/html"})),
        "not theirs": (403, ann.get("/manage", headers={"accept": "text/html"})),
        "another site": (403, ann.post("/api/claim", json={}, headers={"sec-fetch-site": "cross-site"})),
        "no such method": (405, ann.put("/api/claim", json={})),
        "malformed": (422, ann.post("/api/claim", json={"job": 3})),
        "too large": (413, ann.post("/api/claim", content=b" " * (LARGEST + 1))),
        "our own fault": (500, ann.get("/")),
    }
    for what, (status, answer) in answers.items():
        assert answer.status_code == status, what
        for name, value in NEEDED.items():
            assert value in answer.headers.get(name, ""), (what, name)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        if what != "static":
            assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    assert "ZeroDivisionError" not in answers["our own fault"][1].text


JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def test_a_body_may_be_a_mebibyte(person):
    ann, _ = person("ann")
    body = b'{"job": null}'
    assert ann.post("/api/claim", content=body + b" " * (LARGEST - len(body)), headers=JSON).status_code == 200


@pytest.mark.parametrize(("path", "headers"), [("/api/claim", JSON), ("/sign-in", FORM)])
def test_a_body_that_does_not_say_how_long_it_is_is_cut_off(person, path: str, headers: dict[str, str]):
    ann, _ = person("ann")
    chunks = (b" " * (1 << 16) for _ in range(64))
    try:
        status = ann.post(path, content=chunks, headers=headers).status_code
    except httpx2.TransportError:
        status = 413  # it hung up on us before we had read what it said
    assert status == 413


@pytest.mark.parametrize("open_", ["[", '{"a":'])
def test_deep_json_is_refused(filled, person, open_: str):
    ann, _ = person("ann")
    owner, _ = person("olga", "owner", "researcher")
    owner.post("/api/jobs", json={"kind": "write", "title": "Write"})
    task = ann.post("/api/claim", json={}).json()["task"]["task"]
    deep = open_ * 100_000
    said = ann.post("/api/claim", content=deep, headers=JSON)
    assert said.status_code in (400, 422)
    said = ann.post(f"/api/tasks/{task}/answer", json={"key": "12345678", "body": deep})
    assert said.status_code == 400


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
def test_what_one_of_the_two_databases_cannot_keep_is_refused(filled, person, text: str):
    owner, _ = person("olga", "owner", "researcher")
    ann, _ = person("ann")
    owner.post("/api/jobs", json={"kind": "write", "title": "Write"})
    at = f"/api/tasks/{ann.post('/api/claim', json={}).json()['task']['task']}"

    def send(client, method: str, path: str, sent) -> int:
        return client.request(
            method, path, content=json.dumps(sent), headers={"content-type": "application/json"}
        ).status_code

    assert send(owner, "POST", "/api/people", {"name": text}) == 422
    assert send(owner, "POST", "/api/jobs", {"kind": "write", "title": text}) == 422
    assert send(owner, "POST", "/api/guidelines", {"purpose": "training", "text": text}) == 422
    assert send(ann, "PUT", f"{at}/draft", {"version": 1, "body": text}) == 422
    assert send(ann, "POST", f"{at}/leave", {"what": "skip", "reason": text}) == 422
    assert send(ann, "POST", f"{at}/answer", {"key": "12345678", "body": json.dumps({"text": text})}) == 400
    assert send(ann, "POST", f"{at}/answer", {"key": text * 8, "body": json.dumps({"text": "x"})}) == 422
    assert ann.get("/api/tasks/%00").status_code == 400
    assert ann.get("/work?besides=%00").status_code == 400
