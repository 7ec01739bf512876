"""The store to practise on shows something on every page, and says that nobody real has said it."""

import re
import time

import pytest
from served import settled

from biddable.hamlet import online
from biddable.hamlet.wire import Wire
from biddable.label import create_app, signin
from biddable.label.practice import set_up
from biddable.store import accounts, jobs, open_store

WORDS = "a few words in a row"


@pytest.fixture
def where(where):
    with open_store(where) as store:
        begun = time.monotonic()
        set_up(store)
        assert time.monotonic() - begun < 30
    return where


@pytest.fixture
def app(where):
    return create_app(where, practice=True)


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_quality_pay_and_win_rates_are_there_and_their_people_are_called_simulated(person, store):
    owner, _ = person("olga", "owner", "researcher")
    quality = settled(owner, "/manage/quality")
    assert re.search(r"training labelers \d\d\.\d %", text_of(quality).replace("\xa0", " "))
    assert "people called “hamlet …” are simulated" in quality
    with store.reading() as connection:
        there = {job.kind: job for job in jobs.all_of(connection)}
        left = {kind: jobs.left(connection, job.id) for kind, job in there.items()}
        names = {one.name for one in accounts.everyone(connection)} - {"olga"}
    assert len(names) == 4
    assert all(name.startswith("hamlet ") for name in names)
    assert all(one["done"] >= 10 and one["open"] >= 4 and not one["leased"] for one in left.values()), left
    assert "model-one model-two everyone" in text_of(settled(owner, f"/manage/jobs/{there['compare'].id}"))
    pay = text_of(settled(owner, "/manage/pay"))
    assert all(name in pay for name in names)
    assert "hamlet" in text_of(settled(owner, "/manage/people"))
    assert owner.post("/api/claim", json={}).json()["task"]["kind"] == "rank", "and there is work for who looks around"


def test_more_simulated_people_come_by_the_ordinary_way(person, store, url):
    _, olga = person("olga", "owner", "researcher")
    with store.writing() as connection:
        accounts.change(connection, olga.labeler, store.clock(), password=signin.hash_password(WORDS))
    manager = online.sign_in(Wire(url, 60), "olga", WORDS)
    seats = online.invited(url, manager, online.crew(0, 1), 60)
    manager.close()
    done = online.work(seats)
    assert done["rank"] > 10
    assert sum(store.counts()[kind] for kind in ("rankings", "verdicts")) > 60
