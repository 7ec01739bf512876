"""Ways back in: one's own new password, a link for the only owner, and the key of a program."""

import html
import re
import subprocess

import httpx2
import pytest
from served import client_of, serving

import warm
from biddable.label import create_app, signin, weak
from biddable.store import accounts, open_store

OLD, NEW = "correct horse battery", "a shorter way home"


@pytest.fixture
def known(app, person):
    """known("ann"): somebody who joined with a password, signed in."""

    def make(name: str, role="labeler", group="training"):
        client, account = person(name, role, group)
        desk = app.state.desk
        desk.write(accounts.change, account.labeler, desk.now(), password=signin.hash_password(OLD))
        client.cookies.clear()
        assert client.post("/sign-in", data={"name": name, "password": OLD}).status_code == 303
        return client

    return make


@pytest.mark.parametrize("role", ["labeler", "auditor", "owner"])
def test_everyone_changes_their_own_password(url, known, role):
    ann = known("ann", role)
    with client_of(url) as elsewhere:
        assert elsewhere.post("/sign-in", data={"name": "ann", "password": OLD}).status_code == 303
        wrong = ann.post("/password", data={"old": "not the old one", "password": NEW})
        assert (wrong.status_code, "not your password of now" in wrong.text) == (400, True)
        short = ann.post("/password", data={"old": OLD, "password": "short"})
        assert (short.status_code, "fewer than" in short.text) == (400, True)
        assert elsewhere.get("/api/me").status_code == 200
        assert ann.post("/password", data={"old": OLD, "password": NEW}).status_code == 303
        assert (ann.get("/api/me").status_code, elsewhere.get("/api/me").status_code) == (200, 401)
        assert elsewhere.post("/sign-in", data={"name": "ann", "password": OLD}).status_code == 401
        assert elsewhere.post("/sign-in", data={"name": "ann", "password": NEW}).status_code == 303


def test_whoever_finds_a_browser_open_cannot_guess(known):
    ann = known("ann")
    said = [ann.post("/password", data={"old": f"guess {n}", "password": NEW}).status_code for n in range(6)]
    assert said == [400] * 5 + [429]
    assert ann.post("/password", data={"old": OLD, "password": NEW}).status_code == 429


def test_an_only_owner_who_forgot_comes_back_from_the_machine(tmp_path):
    home = tmp_path / "mine"

    def run(*words: str, cwd=home) -> subprocess.CompletedProcess:
        return warm.run(*words, loaded=warm.LABEL, cwd=cwd)

    assert run("init", "mine", cwd=tmp_path).returncode == 0
    none = run("label", "--owner-link")
    assert (none.returncode, "there is no owner yet" in none.stderr) == (2, True)
    with open_store(home / "store.db") as store, store.writing() as connection:
        made = accounts.make(connection, "olga", "owner", "researcher", store.clock())
        accounts.change(connection, made.labeler, store.clock(), password=signin.hash_password("forgotten by now"))
    said = run("label", "--owner-link", "--port", "8081")
    assert said.returncode == 0, said.stderr
    link = re.search(r"http://localhost:8081(/join/\S+)", said.stdout + said.stderr).group(1)
    with serving(create_app(str(home / "store.db"))) as url, client_of(url) as olga:
        assert "olga" in olga.get(link).text
        assert olga.post(link, data={"password": NEW}).status_code == 303
        assert olga.get("/api/me").json()["role"] == "owner"
        assert olga.post(link, data={"password": NEW}).status_code == 400, "it works once"


def test_a_program_gets_a_key_that_is_shown_once(url, person):
    owner, _ = person("olga", "owner", "researcher")
    page = owner.post("/manage/people", data={"name": "robot", "role": "service"})
    assert "/join/" not in page.text
    first = re.search(r'id="link" readonly value="([^"]+)"', page.text).group(1)
    labeler = re.search(r'/manage/people/([^/"]+)/invite', page.text).group(1)
    assert first not in owner.get("/manage/people").text

    def me(key: str) -> int:
        return httpx2.get(f"{url}/api/me", headers={"authorization": f"Bearer {key}"}).status_code

    assert me(first) == 200
    second = owner.post(f"/api/people/{labeler}/invite").json()
    assert second.keys() == {"key"}
    assert (me(second["key"]), me(first)) == (200, 401), "a new key ends the old one"
    made = owner.post("/api/people", json={"name": "another robot", "role": "service"}).json()
    assert me(made["key"]) == 200


def test_many_are_invited_at_once_all_or_none(url, person):
    owner, _ = person("olga", "owner", "researcher")
    people = ["Ada", "Bo <i>", "Cy"]
    page = owner.post("/manage/people/many", data={"names": "\n".join(people) + "\n\n", "group": "candidate"})
    assert page.status_code == 201
    listed = re.search(r'<textarea id="links" readonly>(.*?)</textarea>', page.text, re.DOTALL).group(1)
    rows = [html.unescape(line).split("\t") for line in listed.splitlines()]
    assert [name for name, _ in rows] == people
    for name, link in rows:
        with client_of() as one:
            assert html.escape(name) in one.get(link).text
            assert one.post(link, data={"password": NEW}).status_code == 303
    before = owner.get("/api/people").json()
    refused = owner.post("/manage/people/many", data={"names": "Di\nAda"})
    assert (refused.status_code, "taken: Ada" in refused.text) == (400, True)
    assert owner.get("/api/people").json() == before, "Di is not made either"
    assert owner.post("/manage/people/many", data={"names": "\n"}).status_code == 400
    manager, _ = person("max", "manager")
    assert manager.post("/manage/people/many", data={"names": "Eve", "role": "owner"}).status_code == 403


WEAK = (
    "1234567890", "0987654321", "password123", "Passwort2026!", "qwertyuiop", "aaaaaaaaaaaa", "abcabcabcabc",
    "iloveyou1!", "maria@home1", "Maria12345", "biddable2026",
)  # fmt: skip
GOOD = ("a few words", "kein Regen heute", "xkq7-pw2m-aa", "mariachi bands at noon", "password is not the word")


def test_what_is_guessed_first_is_no_password(app, url):
    desk = app.state.desk
    maria = desk.write(accounts.make, "maria@home", "labeler", "training", desk.now())
    token = desk.write(accounts.open_door, maria.labeler, "invite", desk.now())
    with client_of(url) as client:
        for password in WEAK:
            app.state.by_address = signin.Patience(20)
            said = client.post(f"/join/{token}", data={"password": password})
            assert said.status_code == 400, password
            assert "a few words in a row are good" in said.text
            assert "maria@home" in said.text, "the form is there again"
        assert client.post(f"/join/{token}", data={"password": GOOD[0]}, follow_redirects=False).status_code == 303
        said = client.post("/password", data={"old": GOOD[0], "password": "password123"})
        assert (said.status_code, "guessed first" in said.text) == (400, True)
    for password in GOOD:
        weak.refuse(password, "maria@home")
