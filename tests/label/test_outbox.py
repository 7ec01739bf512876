"""An answer that could not be sent is sent from whatever page its author opens next, and as nobody else's."""

import json
import re
from datetime import timedelta

import pytest
from desks import job, material
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import select

from biddable.label import create_app
from biddable.label.signin import hash_password
from biddable.store import accounts, open_store
from biddable.store.work_tables import answers

COUNT = """() => new Promise(done => {
  const asked = indexedDB.open('biddable', 1);
  asked.onsuccess = () => {
    const all = asked.result.transaction('outbox').objectStore('outbox').count();
    all.onsuccess = () => done(all.result);
  };
})"""


@pytest.fixture
def app(where, clock):
    with open_store(where) as store:
        store.add_many(material(prompts=3))
    return create_app(where, clock=clock)


def kept(app) -> list:
    with app.state.desk.store.reading() as connection:
        return list(connection.execute(select(answers).order_by(answers.c.id)))


def rank(page: Page) -> str:
    """Hand in the task of this page; its name."""
    page.wait_for_selector("[data-ready]")
    task = json.loads(page.locator("#work").get_attribute("data-task") or "")["task"]
    for key in ("1", "2", "3", "4", "Enter"):
        page.keyboard.press(key)
    return task


def left_behind(page: Page) -> tuple[str, BrowserContext]:
    """Somebody hands in without a connection and closes the page; the connection comes back. The task, the browser."""
    page.goto("/work")
    page.wait_for_selector("[data-ready]")
    page.context.set_offline(True)
    task = rank(page)
    expect(page.locator("#banner")).to_contain_text("An answer waits here for the connection")
    context = page.context
    # Chromium lifts what set_offline() set from a page that closes before it stops the page's script.
    page.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('gone')); }")
    page.close()
    context.set_offline(False)
    return task, context


def gone(page: Page) -> None:
    """Nothing waits in this browser any more."""
    for _ in range(300):
        if page.evaluate(COUNT) == 0:
            return
        page.wait_for_timeout(100)
    raise AssertionError("still in the outbox")


def signed_in(page: Page, url: str, session: str) -> None:
    """Another person's cookie in the same browser."""
    page.context.add_cookies([{"name": "biddable", "value": session, "url": url}])


@pytest.mark.parametrize("path", ["/", "/mine", "/work/none", "/work?job=none"])
def test_it_is_sent_from_any_page(app, person, window, path):
    job(app, person, "rank", judge=False)
    task, context = left_behind(window("ann"))
    assert not kept(app)
    page = context.new_page()
    with page.expect_response(re.compile("/answer$")) as sent:
        page.goto(path)
    assert sent.value.ok
    assert [row.task for row in kept(app)] == [task]
    expect(page.locator("#banner")).to_be_hidden()
    gone(page)


def test_that_it_was_refused_is_told_there(app, person, window, clock):
    job(app, person, "rank", judge=False)
    page = window("ann")
    task, context = left_behind(page)
    with app.state.desk.store.reading() as connection:
        ann = accounts.named(connection, "ann")
    desk = app.state.desk
    token = desk.write(accounts.open_door, ann.labeler, "session", desk.now())
    other, _ = person("ben")
    other.cookies.set("biddable", token)
    body = json.dumps({"order": [["A"], ["B"], ["C"], ["D"]]})
    assert other.post(f"/api/tasks/{task}/answer", json={"key": "otherwise", "body": body}).status_code == 200
    clock.ahead = timedelta(minutes=20)  # it can no more be changed
    page = context.new_page()
    page.goto("/")
    expect(page.locator("#banner")).to_contain_text("What you handed in was not taken")
    assert page.evaluate(COUNT) == 0
    page.get_by_role("button", name="Open it again").click()
    page.wait_for_url(f"**/work/{task}")


def test_a_session_that_ended_is_renewed_at_home(app, person, window):
    job(app, person, "rank", judge=False)
    page = window("ann")
    task, context = left_behind(page)
    page = context.new_page()
    page.clock.install()
    page.route("**/answer", lambda route: route.abort())
    page.goto("/")
    expect(page.locator("#banner")).to_contain_text("An answer waits")
    desk = app.state.desk
    account = desk.read(accounts.named, "ann")
    desk.write(accounts.change, account.labeler, desk.now(), password=hash_password("five green bottles"))  # ends all
    page.unroute("**/answer")
    page.clock.run_for(10_000)  # after which it tries once more
    dialog = page.get_by_role("dialog", name="Please sign in again")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Password").fill("five green bottles")
    dialog.get_by_role("button", name="Sign in").click()
    expect(page.locator("#banner")).to_be_hidden()
    assert [row.task for row in kept(app)] == [task]


def test_it_waits_for_its_author_while_another_is_signed_in(app, person, window, url):
    job(app, person, "rank", judge=False, doubly=1)  # the same tasks are both people's
    page = window("ann")
    hers = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}["biddable"]
    task, context = left_behind(page)
    ben, who = person("ben")
    ben.post("/api/claim", json={})
    page = context.new_page()
    signed_in(page, url, ben.cookies["biddable"])
    page.goto("/")
    page.wait_for_timeout(1500)
    assert page.evaluate(COUNT) == 1
    mine = rank_on(page)
    assert [(row.task, row.labeler) for row in kept(app)] == [(mine, who.labeler)]
    signed_in(page, url, hers)
    page.goto("/")
    gone(page)
    ann = app.state.desk.read(accounts.named, "ann")
    assert [(row.task, row.labeler) for row in kept(app)][1:] == [(task, ann.labeler)]


def rank_on(page: Page) -> str:
    page.goto("/work")
    task = rank(page)
    expect(page.locator("#toast")).to_contain_text("Handed in")
    return task


def test_an_old_page_sends_nothing_as_whoever_signed_in_since(app, person, window, url):
    job(app, person, "rank", judge=False, doubly=1)
    page = window("ann")
    page.goto("/work")
    page.wait_for_selector("[data-ready]")
    ben, _ = person("ben")
    ben.post("/api/claim", json={})
    signed_in(page, url, ben.cookies["biddable"])
    rank(page)
    dialog = page.get_by_role("dialog", name="Please sign in again")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("Name")).to_have_value("ann")
    assert not kept(app)
    assert page.evaluate(COUNT) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/tasks/{}/answer"), ("PUT", "/api/tasks/{}/draft"), ("POST", "/api/tasks/{}/beat"),
     ("POST", "/api/tasks/{}/leave"), ("POST", "/api/claim"), ("GET", "/work")],
)  # fmt: skip
def test_what_a_page_asks_is_asked_by_whose_page_it_is(app, person, method, path):
    job(app, person, "rank", judge=False)
    ann, she = person("ann")
    _, other = person("ben")
    task = ann.post("/api/claim", json={}).json()["task"]["task"]
    for labeler, refused in ((other.labeler, {401, 303}), (she.labeler, {200, 422})):
        reply = ann.request(method, path.format(task), json={}, headers={"x-labeler": labeler})
        assert reply.status_code in refused


def test_one_that_always_fails_does_not_hold_up_the_others(app, person, window):
    job(app, person, "rank", judge=False)
    page = window("ann")
    page.goto("/work")
    page.wait_for_selector("[data-ready]")
    first = json.loads(page.locator("#work").get_attribute("data-task") or "")["task"]
    fail = lambda route: route.fulfill(status=500, body="{}", content_type="application/json")  # noqa: E731
    page.route(f"**/api/tasks/{first}/answer", fail)
    assert rank(page) == first
    expect(page.locator("#banner")).to_contain_text("An answer waits here for the server")
    page.wait_for_function("task => !document.querySelector('#work').dataset.task.includes(task)", arg=first)
    second = rank(page)
    page.wait_for_function("task => !document.querySelector('#work').dataset.task.includes(task)", arg=second)
    assert [row.task for row in kept(app)] == [second]
    page.unroute(f"**/api/tasks/{first}/answer")
    page.goto("/")
    expect(page.locator("#banner")).to_be_hidden()
    gone(page)
    assert [row.task for row in kept(app)] == [second, first]
