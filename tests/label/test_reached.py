"""Where the app is found: the addresses that it prints, the links that it makes, and what says that one is for here."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
from served import client_of, serving

import warm
from biddable.label import create_app
from biddable.store import accounts, open_store


@pytest.fixture
def owned(tmp_path):
    """A project with an owner."""
    (tmp_path / "biddable.toml").write_text("")
    with open_store(tmp_path / "store.db") as store, store.writing() as connection:
        olga = accounts.make(connection, "olga", "owner", "researcher", store.clock())
        accounts.change(connection, olga.labeler, store.clock(), password="a hash")
    return tmp_path


@contextmanager
def labeling(where, *words: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """The program, and the first line that it says."""
    with warm.labeling(
        ["label", "--port", "0", *words], cwd=where, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as served:
        assert served.stdout is not None
        try:
            yield served, served.stdout.readline()
        finally:
            if served.poll() is None:
                served.kill()


def test_all_addresses_are_none_so_those_that_others_use_are_said(owned):
    with labeling(owned, "--host", "0.0.0.0") as (_, said):
        found = re.findall(r"http://([^:\s]+):\d+", said)
        assert found
        assert "0.0.0.0" not in found
        assert not [one for one in found if one.startswith("127.") or one == "localhost"]


def test_the_public_address_stands_in_what_is_printed(owned):
    with labeling(owned, "--url", "https://label.example.org/") as (_, said):
        assert said.startswith("labeling at https://label.example.org (")
    words = ["label", "--owner-link", "--url", "https://label.example.org"]
    link = warm.run(*words, loaded=warm.LABEL, cwd=owned).stdout
    assert "    https://label.example.org/join/" in link


@pytest.mark.parametrize("url", ["label.example.org", "https://", "https://label.example.org/labels", "ftp://a"])
def test_an_address_that_is_none_is_refused(owned, url):
    done = warm.run("label", "--url", url, loaded=warm.LABEL, cwd=owned)
    assert (done.returncode, "is not like https://label.example.org" in done.stderr) == (2, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_stopped_has_done_its_work(owned, number):
    with labeling(owned) as (served, said):
        at = re.search(r"http://\S+", said).group()
        with client_of(at) as client:
            for _ in range(300):
                try:
                    assert client.get("/health").status_code == 200
                    break
                except httpx2.ConnectError:
                    time.sleep(0.1)
        served.send_signal(number)
        assert served.wait(30) == 0
        assert served.stderr.read() == ""


def invitation(url: str, app) -> str:
    desk = app.state.desk
    owner = desk.write(accounts.make, "olga", "owner", "researcher", desk.now())
    token = desk.write(accounts.open_door, owner.labeler, "session", desk.now())
    name = "__Host-biddable" if desk.secure else "biddable"
    with client_of(url, headers={"cookie": f"{name}={token}"}, timeout=30) as client:
        one = client.post("/manage/people", data={"name": "ben"}).text
        many = client.post("/manage/people/many", data={"names": "cal\ndee"}).text
        assert ("on this computer only" in one) == ("on this computer only" in many)
        return one


def test_a_link_that_works_here_alone_says_so(app, url):
    page = invitation(url, app)
    assert 'value="http://localhost:' in page
    assert "This link works on this computer only" in page


def test_links_bear_the_public_address(where):
    app = create_app(where, url="https://label.example.org", secure=True)
    with serving(app) as url:
        page = invitation(url, app)
    assert 'value="https://label.example.org/join/' in page
    assert "on this computer only" not in page


def test_who_comes_before_there_is_an_owner_is_told_how_to_become_it(url, person, app):
    with client_of(url, follow_redirects=True, timeout=30) as client:
        assert "Nobody owns this app yet" in client.get("/").text
        _, olga = person("olga", "owner", "researcher")
        assert "Nobody owns this app yet" in client.get("/").text, "invited, and has not joined"
        desk = app.state.desk
        desk.write(accounts.change, olga.labeler, desk.now(), password="a hash")
        assert "Nobody owns" not in client.get("/").text
