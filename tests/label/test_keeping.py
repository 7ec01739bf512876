"""What somebody writes is kept: through reloads, other windows, a lost connection, a lease and a session that end."""

import json
import re
import time
from datetime import timedelta

import pytest
from desks import guidelines, job, material
from pauses import DRAFT, saved, says, with_a_clock
from playwright.sync_api import Page, expect
from sqlalchemy import select

from biddable.label import create_app
from biddable.label.signin import hash_password
from biddable.store import accounts, open_store
from biddable.store.work_tables import answers, drafts, passes, slots

AGAIN = 10_000  # milliseconds, after which a page tries once more to send what waits
FADES = 5_000  # milliseconds, after which the last one is taken back by a button and no longer by a key


@pytest.fixture
def app(where, clock):
    with open_store(where) as store:
        store.add_many(material(prompts=3))
    return create_app(where, clock=clock)


def begin(page: Page, path: str = "/work") -> Page:
    page.goto(path)
    page.wait_for_selector("[data-ready]")
    return page


def text(page: Page):
    return page.locator("[name=text]")


def rows(app, table) -> list:
    with app.state.desk.store.reading() as connection:
        return list(connection.execute(select(table)))


def task_of(page: Page) -> str:
    return json.loads(page.locator("#work").get_attribute("data-task") or "")["task"]


def test_a_draft_is_on_the_server_a_second_after_the_last_key(app, person, window):
    job(app, person, "write")
    page = begin(window("ann"))
    text(page).press_sequentially("Dry bread")
    says(page, "Saved")
    assert json.loads(rows(app, drafts)[0].body)["text"] == "Dry bread"
    begin(page)
    expect(text(page)).to_have_value("Dry bread")


def test_a_draft_that_the_server_never_got_is_in_the_browser(app, person, window):
    job(app, person, "write")
    page = begin(with_a_clock(window("ann")))
    page.route("**/draft", lambda route: route.abort())
    text(page).fill("Only here")
    saved(page, "Saved in this browser, not yet on the server")
    page.unroute("**/draft")
    assert not rows(app, drafts)
    begin(page)
    expect(text(page)).to_have_value("Only here")
    saved(page)
    assert json.loads(rows(app, drafts)[0].body)["text"] == "Only here"


def test_old_drafts_do_not_stay_in_the_browser(app, person, window):
    job(app, person, "write")
    page = begin(with_a_clock(window("ann")))
    text(page).fill("Dry bread")
    saved(page)
    script = (page.locator("script[type=module]").get_attribute("src") or "").replace("work.js", "keep.js")
    swept = """async ([script, days]) => {
      const keep = await import(script);
      await keep.sweep(Date.now() - days * 24 * 3600_000);
      return (await keep.all("drafts")).length;
    }"""
    assert page.evaluate(swept, [script, 1]) == 1
    assert page.evaluate(swept, [script, -1]) == 0


@pytest.mark.parametrize(("choice", "kept"), [("Take that version", "theirs"), ("Keep this one", "mine")])
def test_another_windows_newer_draft_is_offered_and_not_overwritten(app, person, window, browser, choice, kept):
    job(app, person, "write")
    one = begin(with_a_clock(window("ann")))
    other_browser = browser.new_context(
        base_url=one.url.split("/work")[0], storage_state={"cookies": one.context.cookies(), "origins": []}
    )
    other = begin(with_a_clock(other_browser.new_page()))
    text(other).fill("theirs")
    saved(other)
    text(one).fill("mine")
    saved(one, "Saved in this browser")
    expect(one.locator("#banner")).to_contain_text("changed in another window")
    assert json.loads(rows(app, drafts)[0].body)["text"] == "theirs"
    one.get_by_role("button", name=choice).click()
    expect(text(one)).to_have_value(kept)
    expect(one.locator("#banner")).to_be_hidden()
    text(one).press_sequentially("!")
    saved(one)
    assert json.loads(rows(app, drafts)[0].body)["text"].replace("!", "") == kept
    other_browser.close()


def test_changes_are_undone(app, person, window):
    job(app, person, "write")
    page = begin(window("ann"))
    page.get_by_label("I used a tool").check()
    page.locator("[data-do=undo]").click()
    expect(page.get_by_label("I used a tool")).not_to_be_checked()


def test_an_answer_waits_for_the_connection_and_counts_once(app, person, window):
    job(app, person, "write")
    page = begin(with_a_clock(window("ann")))
    text(page).fill("Toast it.")
    saved(page)
    with page.expect_response(re.compile(r"/work\?.*besides=")):
        page.locator("[data-do=submit]").hover()  # on the way to the button, the next task is fetched
    page.context.set_offline(True)
    page.locator("[data-do=submit]").click()
    expect(page.locator("#banner")).to_contain_text("An answer waits here for the connection")
    expect(text(page)).to_have_value("")  # the next task was there already
    assert not rows(app, answers)
    page.context.set_offline(False)
    expect(page.locator("#banner")).to_be_hidden()
    (kept,) = rows(app, answers)
    assert json.loads(kept.body)["text"] == "Toast it."


def test_offline_with_no_next_task_at_hand_it_comes_with_the_connection(app, person, window):
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    first = task_of(page)
    page.context.set_offline(True)
    for key in ("4", "3", "2", "1", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#banner")).to_contain_text("The next task comes when it is back.")
    assert task_of(page) == first
    page.context.set_offline(False)
    page.wait_for_function("task => !document.querySelector('#work').dataset.task.includes(task)", arg=first)
    expect(page.locator("#banner")).to_be_hidden()
    assert [row.task for row in rows(app, answers)] == [first]


def test_an_answer_whose_receipt_was_lost_counts_once(app, person, window):
    job(app, person, "write")
    page = window("ann")
    page.clock.install()
    begin(page)
    text(page).fill("Toast it.")
    lost = []

    def lose(route):
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch())  # it arrived, and nobody hears of it
            route.abort()

    page.route("**/answer", lose)
    page.locator("[data-do=submit]").click()
    expect(page.locator("#banner")).to_contain_text("An answer waits")
    page.clock.run_for(AGAIN)
    expect(page.locator("#banner")).to_be_hidden()
    assert len(lost) == 1
    assert len(rows(app, answers)) == 1


def test_a_double_click_hands_in_once(app, person, window):
    job(app, person, "write")
    page = begin(window("ann"))
    text(page).fill("Toast it.")
    first = task_of(page)
    page.locator("[data-do=submit]").dblclick()
    expect(page.locator("#toast")).to_contain_text("Handed in")
    expect(text(page)).to_have_value("")
    assert [row.task for row in rows(app, answers)] == [first]


def test_the_end_of_a_lease_keeps_the_draft_and_the_answer(app, person, window, clock):
    job(app, person, "write")
    page = begin(with_a_clock(window("ann")))
    text(page).fill("Slow but")
    saved(page)
    clock.ahead = timedelta(minutes=31)
    bob, _ = person("bob")
    assert bob.post("/api/claim", json={}).json()["task"]  # whatever is freed by anybody's claim
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # a sign of life
    expect(page.locator("#banner")).to_contain_text("The time for this task is over")
    text(page).press_sequentially(" sure")
    saved(page)
    begin(page, page.url)
    expect(text(page)).to_have_value("Slow but sure")
    page.locator("[data-do=submit]").click()
    expect(page.locator("#toast")).to_contain_text("Handed in")
    assert json.loads(rows(app, answers)[0].body)["text"] == "Slow but sure"


def test_the_last_minutes_of_a_lease_are_counted_down(app, person, window):
    job(app, person, "write", lease_minutes=4)
    page = window("ann")
    page.clock.install()
    begin(page)
    said = page.locator("#lease")
    expect(said).to_have_text(re.compile(r"Yours for (4:00|3:5\d) more"))
    page.context.set_offline(True)  # no sign of life arrives
    page.clock.run_for(60_000)
    expect(said).to_have_text(re.compile(r"Yours for (3:00|2:5\d) more"))
    page.context.set_offline(False)
    page.clock.run_for(31_000)
    expect(said).to_have_text(re.compile(r"Yours for (4:00|3:5\d) more"))


def test_a_session_that_ended_is_renewed_on_the_same_page(app, person, window):
    job(app, person, "write")
    page = begin(with_a_clock(window("ann")))
    desk = app.state.desk
    with desk.store.reading() as connection:
        account = accounts.named(connection, "ann")
    assert account
    desk.write(accounts.change, account.labeler, desk.now(), password=hash_password("five green bottles"))  # ends all
    text(page).fill("Still here")
    page.clock.fast_forward(DRAFT)
    dialog = page.get_by_role("dialog", name="Please sign in again")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Password").fill("four green bottles")
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog).to_contain_text("This is not the password.")
    dialog.get_by_label("Password").fill("five green bottles")
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog).to_be_hidden()
    saved(page)
    expect(text(page)).to_have_value("Still here")
    assert json.loads(rows(app, drafts)[0].body)["text"] == "Still here"


def at_once(page: Page) -> None:
    page.keyboard.press("z")


def later(page: Page) -> None:
    page.clock.fast_forward(FADES)
    page.get_by_role("button", name="Change the last one").click()


@pytest.mark.parametrize("back", [at_once, later])
def test_what_was_handed_in_is_taken_back_and_changed(app, person, window, back):
    job(app, person, "rank", judge=False)
    page = begin(with_a_clock(window("ann")))
    first = task_of(page)
    for key in ("1", "2", "3", "4", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#toast")).to_contain_text("Handed in")
    page.wait_for_function("task => !document.querySelector('#work').dataset.task.includes(task)", arg=first)
    page.wait_for_selector("[data-ready]")
    back(page)
    page.wait_for_function("task => document.querySelector('#work')?.dataset.task.includes(task)", arg=first)
    page.wait_for_selector("[data-ready]")
    expect(page.locator('[name="rank.A"][value="1"]')).to_be_checked()
    page.locator('[name="rank.A"][value="4"]').check()
    page.locator("[data-do=submit]").click()
    page.wait_for_function("task => !document.querySelector('#work').dataset.task.includes(task)", arg=first)
    (ranking,) = app.state.desk.store.rankings()
    assert [row.revision for row in rows(app, answers)] == [1, 2]
    assert [ranking.ranks[name] for name in ranking.shown] == [3, 1, 2, 3]


def test_the_next_task_is_ready_before_this_one_is_handed_in(app, person, window):
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    asked = []
    page.on("request", lambda request: asked.append(request.url.split("/", 3)[3]))
    with page.expect_response(re.compile(r"/work\?.*besides=")):
        for key in "1234":
            page.keyboard.press(key)
    asked.clear()
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text("Handed in")
    page.wait_for_selector("[data-ready]")
    assert not [url for url in asked if url.startswith("work")]
    assert sorted(row.state for row in rows(app, slots)) == ["done", "leased", "open"]


def test_seconds_at_work_are_counted_and_idle_ones_are_not(app, person, window):
    job(app, person, "write")
    page = window("ann")
    page.clock.install()
    told, under_way = [], set()
    page.on("response", lambda reply: told.append(json.loads(reply.request.post_data or "{}").get("active", 0)))
    page.on("request", lambda request: under_way.add(request))
    for end in ("requestfinished", "requestfailed"):
        page.on(end, lambda request: under_way.discard(request))

    def run(seconds: int) -> None:
        """In steps: a clock in a hurry would cut a request off, and what it said would be told again."""
        for _ in range(seconds // 5):
            page.clock.run_for(5_000)
            while under_way:
                page.wait_for_timeout(20)

    begun = time.monotonic()
    begin(page)
    text(page).press_sequentially("a")
    run(200)  # a minute in which something may have been read, and then nothing
    text(page).fill("ab")
    run(10)
    page.locator("[data-do=submit]").click()
    expect(page.locator("#toast")).to_contain_text("Handed in")
    while sum(told) < 68 and time.monotonic() - begun < 60:  # the last replies may come after the page's word
        page.wait_for_timeout(50)
    real = time.monotonic() - begun  # which the page's clock has seen, too
    assert 68 <= sum(told) <= 72 + real  # the clock ticks once a second


@pytest.mark.parametrize(("what", "heading"), [("skip", "Skip this one"), ("flag", "Flag this one")])
def test_a_task_is_left_with_a_reason_and_the_next_one_comes(app, person, window, what, heading):
    job(app, person, "rank", judge=False)
    page = begin(window("ann"))
    first = task_of(page)
    page.keyboard.press(what[0])
    dialog = page.get_by_role("dialog", name=heading)
    dialog.get_by_label("Something else").check()
    dialog.get_by_label("More, if you like").fill("It hurts.")
    dialog.get_by_role("button", name=what.capitalize()).click()
    page.wait_for_function("task => !document.querySelector('#work').dataset.task.includes(task)", arg=first)
    (left,) = rows(app, passes)
    assert (left.task, left.what, left.reason, left.note) == (first, what, "Something else", "It hurts.")


def test_guidelines_are_beside_the_work_and_the_answer_names_those_that_were_read(app, person, window):
    read = guidelines(person)
    job(app, person, "write")
    page = begin(window("ann"))
    page.get_by_role("link", name="Guidelines, version 2").click()
    expect(page.get_by_role("complementary")).to_contain_text("Help the person first.")
    owner, _ = person("olga", "owner", "researcher")
    owner.post("/api/guidelines", json={"purpose": "training", "text": "Now be brief."})
    text(page).fill("Toast it.")
    page.locator("[data-do=submit]").click()
    expect(page.get_by_role("link", name="Guidelines, version 3")).to_be_visible()
    (demonstration,) = app.state.desk.store.demonstrations()
    assert demonstration.guidelines == read
