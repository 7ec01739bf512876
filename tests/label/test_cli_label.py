"""`biddable label` outside a project, its practice, and `biddable verify`: as processes, since that is how they run."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import httpx2
import pytest
from served import alone, client_of
from team import rank_job, ranked, stock, team, true_worth, work_on

import warm
from biddable.cli.label import _listen
from biddable.store import open_store
from biddable.store.keeper import now

LIGHT = f"""
import sys

class Gone:  # as if they were not installed
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Gone())
{warm.MAIN}
"""


def run(*words: str, cwd) -> subprocess.CompletedProcess:
    return warm.run(*words, loaded=warm.LABEL, cwd=cwd)


def test_outside_a_project_it_says_what_to_do(tmp_path):
    done = run("label", cwd=tmp_path)
    assert done.returncode == 2
    assert "biddable init DIR" in done.stderr
    assert "biddable label --practice" in done.stderr
    assert done.stderr.count("\n") == 1


def test_practice_leads_to_a_first_label_within_a_minute_and_leaves_nothing(tmp_path):
    begun = time.monotonic()
    env = os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    served = subprocess.Popen(
        [sys.executable, "-c", LIGHT, "label", "--practice", "--port", "0"], cwd=tmp_path, env=env,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        said = ""
        while "/join/" not in said:
            line = served.stdout.readline()
            assert line, said
            said += line
        link = re.search(r"http\S+/join/\S+", said).group()
        with client_of(link.partition("/join/")[0], follow_redirects=True) as client:
            home = _patiently(client, link)
            assert "Practice: judge and rank" in home.text
            assert "gone when the program stops" in home.text
            task = client.post("/api/claim", json={}).json()["task"]
            judged = {
                "overall": 4, "fails_task": False, "inappropriate": False, "sexual": False, "violent": False,
                "encourages_harm": False, "denigrates": False, "harmful_advice": False, "opinion": False,
                "moral_judgement": False,
            }  # fmt: skip
            if task["closed_domain"]:
                judged["hallucination"] = False
            letters = [answer["letter"] for answer in task["answers"]]
            body = {"judgements": dict.fromkeys(letters, judged), "order": [[letter] for letter in letters]}
            sent = {"key": "the-first-one", "body": json.dumps(body)}
            assert client.post(f"/api/tasks/{task['task']}/answer", json=sent).status_code == 200
        assert time.monotonic() - begun < 60
    finally:
        served.send_signal(signal.SIGINT)
        served.wait(30)
        served.stdout.close()
    assert not list(tmp_path.glob("biddable-practice-*"))


def _patiently(client, link):
    """The link is printed a moment before the server takes connections' requests."""
    for _ in range(100):
        try:
            return client.post(link, data={"password": "a few words in a row"})
        except httpx2.ConnectError:
            time.sleep(0.1)
    raise AssertionError("the server did not come up")


@pytest.fixture(scope="module")
def once_labeled(tmp_path_factory):
    """A project with labels in it."""
    folder = tmp_path_factory.mktemp("labeled")
    made = run("init", "mine", cwd=folder)
    assert made.returncode == 0, made.stderr
    with open_store(folder / "mine" / "store.db") as store:
        stock(store, 3)
        rank_job(store)
        (ann,) = team(store, ["ann"])
        work_on(store, ann, lambda held: ranked(held, true_worth), now())
    return folder / "mine"


@pytest.fixture
def labeled(once_labeled, tmp_path):
    """Such a project of one's own."""
    return shutil.copytree(once_labeled, tmp_path / "mine")


def test_verify_says_sound_and_the_newest_hash(labeled):
    done = run("verify", cwd=labeled)
    assert done.returncode == 0, done.stderr
    newest = re.fullmatch(r"sound: \d+ lines of history, newest ([0-9a-f]{64})\n", done.stdout).group(1)
    assert run("verify", "--newest", newest, cwd=labeled).returncode == 0
    cut = run("verify", "--newest", "f" * 64, cwd=labeled)
    assert cut.returncode == 65
    assert "cut off" in cut.stderr


def test_a_copy_is_a_store_and_goes_where_nothing_is(labeled):
    done = run("copy", "backup.db", cwd=labeled)
    assert done.returncode == 0, done.stderr
    assert done.stdout == run("verify", cwd=labeled).stdout
    (labeled / "biddable.toml").write_text('store = "backup.db"\n', encoding="utf-8")
    assert run("verify", cwd=labeled).stdout == done.stdout
    again = run("copy", "store.db", cwd=labeled)
    assert again.returncode == 2
    refused = r"biddable: store.db: is there already, with rows in \w+; a copy goes where nothing is yet\n"
    assert re.fullmatch(refused, again.stderr)


def test_verify_names_the_first_bad_row_and_exits_65(labeled):
    file = sqlite3.connect(labeled / "store.db")
    file.execute("UPDATE ranked SET tier = 5 - tier WHERE prompt_id = 'p0001'")
    file.commit()
    row = file.execute("SELECT id FROM changes WHERE what = 'ranking' AND key LIKE '%p0001%'").fetchone()[0]
    file.close()
    done = run("verify", cwd=labeled)
    assert done.returncode == 65
    assert f"line {row} of the history tells of another ranking" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_small_goes_out_at_once():
    """With Nagle's algorithm each answer on a connection that is kept would wait 40 ms for the other side's word."""

    async def met() -> int:
        found = asyncio.get_running_loop().create_future()

        def came(_reader, writer):
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        server = await asyncio.start_server(came, sock=_listen("127.0.0.1", 0))
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            said = await found
            writer.close()
        return said

    assert alone(met()) == 1
