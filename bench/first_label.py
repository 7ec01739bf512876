"""From `pip install` in a new environment to the first label that is on disk: `python bench/first_label.py`.

Packages come from wherever pip has them from (its cache is not used); the person at the pages is this script, so what
people take to read is not in it.
"""

import http.cookiejar
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
PROMPTS = "Name three rivers.\nExplain tides to a child.\nWrite a short poem."


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="first-label-") as folder:
        home = Path(folder)
        subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
        bin_ = home / "venv" / "bin"
        began = time.monotonic()

        def mark(what: str) -> None:
            print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)

        install = [bin_ / "pip", "install", "--quiet", "--no-cache-dir", f"{HERE}[label]"]
        subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
        mark("pip install 'biddable[label]'")
        subprocess.run([bin_ / "biddable", "init", "labels"], cwd=home, check=True, stdout=subprocess.DEVNULL)
        mark("biddable init labels")
        command, env = [bin_ / "biddable", "label", "--port", "0"], os.environ | {"PYTHONUNBUFFERED": "1"}
        served = subprocess.Popen(command, cwd=home / "labels", env=env, stdout=subprocess.PIPE, text=True)
        try:
            assert served.stdout is not None
            link = next(found.group() for line in served.stdout if (found := re.search(r"http\S+/join/\S+", line)))
            mark("biddable label has printed the owner's link")
            _label(link, mark)
        finally:
            served.terminate()
            served.wait()


def _label(link: str, mark) -> None:
    at, _, _ = link.partition("/join/")
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def send(path: str, said: bytes | None = None, kind: str = "") -> str:
        headers = {"accept": "text/html", "sec-fetch-site": "same-origin"} | ({"content-type": kind} if kind else {})
        with browser.open(urllib.request.Request(path, said, headers), timeout=60) as answer:
            return answer.read().decode()

    def form(path: str, **fields: str) -> str:
        return send(at + path, urllib.parse.urlencode(fields).encode(), "application/x-www-form-urlencoded")

    def call(path: str, **fields: str) -> dict:
        return json.loads(send(at + path, json.dumps(fields).encode(), "application/json"))

    _patiently(lambda: send(link))
    form(f"/join/{link.rpartition('/')[2]}", name="olga", password="four goats on a hill", agreed="yes")
    mark("the owner has joined")
    form("/manage/prompts/paste", text=PROMPTS, each="line")
    form("/manage/jobs", kind="write")
    task = call("/api/claim")["task"]
    call(f"/api/tasks/{task['task']}/answer", key="the-first-one", body=json.dumps({"text": "The Rhine."}))
    mark("the first label is on disk")


def _patiently(ask) -> None:
    for _ in range(100):
        try:
            return ask()
        except urllib.error.URLError:
            time.sleep(0.1)
    raise RuntimeError("the server does not answer")


if __name__ == "__main__":
    main()
