"""The managers' pages in Chromium: an owner begins with the pointer alone and with the keyboard alone, and axe finds
nothing on any page in light and dark, on a wide screen, a tablet and a phone (each of them, and not each pair)."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import axe
import pytest
from playwright.sync_api import Page, expect, sync_playwright
from team import hire, rank_job, ranked, stock, true_worth, work_on

from biddable.store import accounts, jobs, team, work

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("BIDDABLE_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    assert path, "no Chromium here: apt-get install chromium, or say where it is with BIDDABLE_CHROMIUM"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, app, url):
    """visit(account): a page of a browser of theirs; whatever its console complains of fails the test."""
    contexts, complaints = [], []

    def make(account) -> Page:
        token = app.state.desk.write(accounts.open_door, account.labeler, "session", app.state.desk.now())
        context = chromium.new_context(base_url=url)
        context.add_cookies([{"name": "biddable", "value": token, "url": url}])
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert [one for one in complaints if "favicon" not in one and "404" not in one] == []


def test_an_owner_begins_by_pointer_alone(visit, store, app):
    page = visit(hire(store, "olga", "researcher", "owner"))
    page.goto("/manage")
    page.get_by_label("Prompts", exact=True).fill("Name three rivers.\nExplain tides to a child.\nWrite a short poem.")
    page.get_by_role("button", name="Add these prompts").click()
    page.get_by_role("button", name="Start “Write demonstrations”").click()
    expect(page.get_by_role("status")).to_have_text("The job is made, and open.")
    page.goto("/manage")
    page.get_by_role("textbox", name="Name", exact=True).fill("ben")
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Send this link to ben.")
    expect(link).to_have_value(re.compile("/join/"))
    expect(page.get_by_role("button", name="Copy")).to_be_visible()
    page.goto("/work")
    expect(page.get_by_text("Nothing to do now")).to_have_count(0)


def test_the_same_by_keyboard_alone(visit, store):
    page = visit(hire(store, "olga", "researcher", "owner"))
    page.goto("/manage")
    tab_to(page, "textarea[name=text]")
    page.keyboard.type("Name three rivers.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=1 of 1 prompts are added")
    tab_to(page, "form[action='/manage/jobs'] button")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=The job is made, and open.")


def tab_to(page: Page, selector: str, most: int = 60) -> None:
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector}: not reached with the tab key")


def test_a_page_works_without_script(chromium, store, app, url):
    owner = hire(store, "olga", "researcher", "owner")
    token = app.state.desk.write(accounts.open_door, owner.labeler, "session", app.state.desk.now())
    context = chromium.new_context(base_url=url, java_script_enabled=False)
    context.add_cookies([{"name": "biddable", "value": token, "url": url}])
    page = context.new_page()
    page.goto("/manage/people")
    page.locator("form[action='/manage/people'] [name=name]").fill("ben")
    page.get_by_role("button", name="Make a link").click()
    assert "/join/" in page.locator("#link").input_value()
    assert not page.get_by_role("button", name="Copy").is_visible()
    context.close()


@pytest.fixture
def busy(store, app):
    """Something on every page."""
    now = datetime.now(UTC)
    stock(store, 8)
    stock(store, 8, "valid", 100)
    owner, rita = hire(store, "olga", "researcher", "owner"), hire(store, "rita", "researcher")
    key = rank_job(store)
    work_on(store, rita, lambda held: ranked(held, true_worth), now, key, most=2)
    job = rank_job(store, doubly=1.0, gold=0.3, hourly=10)
    people = [hire(store, name) for name in ("ann", "ben")]
    for turn, who in zip((1, -1), people, strict=True):
        work_on(store, who, lambda held, turn=turn: ranked(held, lambda a, n: turn * true_worth(a, n)), now, job)
    desk = app.state.desk
    text = desk.read(jobs.guide, "training").text
    desk.write(jobs.set_guide, "training", text + "\nBe kind.\n", now, owner.labeler)
    hire(store, "cal", "candidate")
    test = rank_job(store, purpose="screening", split="valid", judge=True)
    return owner, people[0], job, test


PATHS = (
    "/", "/mine", "/surveys", "/screening", "/consent", "/guidelines", "/manage", "/manage/jobs/new",
    "/manage/jobs/{job}", "/manage/prompts", "/manage/prompts/one?id=p0000",
    "/manage/people", "/manage/guidelines", "/manage/screening",
    "/manage/screening/rate",
    "/manage/surveys", "/manage/quality", "/manage/checks", "/manage/review", "/manage/review/{task}", "/manage/pay",
    "/manage/tasks/{task}", "/password",
    "/manage/plan", "/manage/data", "/manage/history",
)  # fmt: skip


def test_axe_finds_nothing_and_nothing_is_cut_off(visit, busy, app):
    owner, _, job, _ = busy
    page = visit(owner)
    task = task_of(page)
    assert [fault for path in PATHS for fault in faults(page, path.format(job=job.id, task=task))] == []


def test_nor_where_a_candidate_and_a_stranger_come(visit, busy, app):
    owner, *_ = busy
    desk = app.state.desk
    cal, zoe = desk.read(accounts.named, "cal"), hire(desk.store, "zoe", "candidate")
    text = "# What happens with your work\n\nWe **keep** your answers.\n"
    consent = desk.write(jobs.set_guide, "consent", text, desk.now(), owner.labeler)
    guide = desk.read(jobs.guide, "training").id
    page = visit(cal)
    found = [*faults(page, "/consent", "We keep your answers."), *faults(page, f"/guidelines/{guide}")]
    desk.write(team.consent, cal.labeler, consent.id, desk.now())
    desk.write(team.say_topics, cal.labeler, "Welsh proverbs", desk.now())
    found += [*faults(page, "/screening", "Your test"), *faults(page, "/work/none", "Not here")]
    while (held := desk.write(work.claim, cal, desk.now())) is not None:
        desk.write(work.leave, cal, held.task, "skip", "Something else", "", desk.now())
    found += faults(page, "/work", "Nothing to do now")
    invite = desk.write(accounts.open_door, zoe.labeler, "invite", desk.now())
    page.context.clear_cookies()
    found += [
        *faults(page, "/sign-in", "Password"),
        *faults(page, f"/join/{invite}", "zoe"),
        *faults(page, "/join/none"),
    ]
    assert found == []


def faults(page: Page, path: str, says: str = "") -> list[str]:
    """What axe finds on a page, and what is cut off, in both schemes and three widths: no width
    changes a colour, so not each scheme in each width."""
    found = []
    page.goto(path)
    for _ in range(50):
        if "in a moment" not in page.content():
            break
        page.wait_for_timeout(100)
        page.reload()
    assert says in page.locator("main").inner_text(), path
    for width, scheme in ((1280, "light"), (768, "dark"), (360, "light")):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            found.append(f"{path} {width}: {wide} pixels too wide")
        found += seen(page, f"{path} {scheme} {width}")
    page.emulate_media(forced_colors="active")
    found += seen(page, f"{path} in the reader's own colours")
    page.emulate_media(forced_colors="none")
    page.set_viewport_size({"width": 320, "height": 640})  # 400 % of 1280: WCAG 1.4.10
    if page.evaluate("document.documentElement.scrollWidth > 320"):
        found.append(f"{path}: wider than 320 pixels")
    return found


def seen(page: Page, where: str) -> list[str]:
    found = axe.violations(page)
    return [f"{where}: {one['id']} {json.dumps([n['target'] for n in one['nodes']][:2])}" for one in found]


def test_in_the_reader_s_own_colours_one_sees_in_which_room_one_is(visit, busy):
    owner, *_ = busy
    page = visit(owner)
    page.emulate_media(forced_colors="active")
    page.goto("/manage/people")
    colour = "one => getComputedStyle(one).backgroundColor"
    here = page.locator(".rooms a[aria-current]").evaluate(colour)
    assert here != page.locator("body").evaluate(colour)


def test_a_table_that_is_cut_off_shows_it_at_its_edge(visit, busy):
    """Two shades at the edges lie under two covers that move with the table: one is seen where there is more."""
    owner, *_ = busy
    page = visit(owner)
    page.set_viewport_size({"width": 360, "height": 700})
    page.goto("/manage/people")
    table = page.get_by_role("region", name="People")
    assert table.evaluate("one => one.scrollWidth > one.clientWidth")
    styles = table.evaluate(
        "one => [getComputedStyle(one).backgroundAttachment, getComputedStyle(one).backgroundImage]"
    )
    assert styles[0] == "local, local, scroll, scroll"
    assert styles[1].count("linear-gradient") == 4


def task_of(page: Page) -> str:
    """A task that waits for review."""
    for _ in range(100):
        page.goto("/manage/review")
        links = page.locator("th a[href^='/manage/review/']")
        if links.count():
            return links.first.get_attribute("href").rpartition("/")[2]
        page.wait_for_timeout(100)
    raise AssertionError("nothing waits for review")


def test_a_review_by_clicks(visit, busy, store):
    owner, *_ = busy
    page = visit(owner)
    page.goto(f"/manage/review/{task_of(page)}")
    for n, letter in enumerate("ABCD", start=1):
        page.get_by_label(f"Rank of {letter}").select_option(str(n))
    page.get_by_role("button", name="Keep my ranking").click()
    page.wait_for_selector("text=Person 1")
    page.get_by_label("Somebody slipped").check()
    page.get_by_label("What they should know").fill("Mind the length.")
    page.get_by_role("button", name="Decide").click()
    page.wait_for_selector("text=Decided, and kept in the history.")
    assert any(ranking.labeler == owner.labeler for ranking in store.rankings())


def test_progress_goes_on_while_a_manager_looks(visit, store):
    olga = hire(store, "olga", "researcher", "owner")
    stock(store, 5)
    job = rank_job(store)
    page = visit(olga)
    page.clock.install()
    page.goto(f"/manage/jobs/{job.id}")
    done = page.locator(".figures .figure").first
    assert done.text_content() == "0"
    page.get_by_label("Title").fill("A new title, half written")
    ann = hire(store, "ann")
    work_on(store, ann, lambda held: ranked(held, true_worth), datetime.now(UTC), job=job, most=3)
    page.clock.run_for(16_000)
    expect(done).to_have_text("3")
    expect(page.get_by_label("Title")).to_have_value("A new title, half written")
    expect(page.get_by_role("region", name="Answers of each")).to_be_visible()
