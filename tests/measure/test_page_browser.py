"""The report in Chromium: axe finds nothing, nothing is cut off, and the first screen answers what is asked."""

import json
import os
import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright
from report_demo import agreed, made, results, some_folds

from biddable.measure.report import write_report
from biddable.measure.results import Gate

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def visit(tmp_path_factory) -> Iterator:
    """The page with an alert, a gate that failed, folds, and all figures."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("BIDDABLE_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    assert path, "no Chromium here: apt-get install chromium, or say where it is with BIDDABLE_CHROMIUM"
    failed = Gate(question="Does it copy?", needed="95 %", found="12 %", passed=False)
    found = results(agreed(0.731)).model_copy(update={"folds": some_folds()})
    out = write_report(made(results=found, gates=(failed,)), tmp_path_factory.mktemp("page") / "report.html")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page()
        page.goto(out.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        yield page
        browser.close()


def axe(page: Page) -> list[str]:
    said = Axe().run(page).response
    assert said["passes"], "axe looked at nothing"
    return [f"{one['id']} {json.dumps([n['target'] for n in one['nodes']][:2])}" for one in said["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 360])
def test_axe_finds_nothing_and_nothing_is_cut_off(visit, scheme, width):
    visit.emulate_media(color_scheme=scheme)
    visit.set_viewport_size({"width": width, "height": 800})
    assert axe(visit) == []
    assert visit.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_what_a_table_is_called_is_read_without_scrolling_it(visit):
    visit.set_viewport_size({"width": 360, "height": 800})
    ends = "[...document.querySelectorAll('caption')].map(one => one.getBoundingClientRect().right)"
    found = visit.evaluate(ends)
    assert found
    assert max(found) <= 360


def test_nor_on_paper(visit):
    visit.emulate_media(media="print", color_scheme="light")
    visit.set_viewport_size({"width": 700, "height": 990})
    assert axe(visit) == []
    assert visit.locator("figure table").first.is_visible()  # the numbers are printed, too
    visit.emulate_media(media="screen")


def test_the_first_screen_answers_the_four_questions(visit):
    visit.set_viewport_size({"width": 1280, "height": 900})
    asked = visit.locator(".asked dt")
    assert asked.all_inner_texts() == [
        "Is it better for people?", "By how much?", "How sure are we?", "What did it cost?",
    ]  # fmt: skip
    below = visit.locator(".asked dd").last.evaluate("one => one.getBoundingClientRect().bottom + window.scrollY")
    assert below <= 900
    visit.set_viewport_size({"width": 360, "height": 740})
    first = visit.locator(".asked dd strong").first.evaluate("one => one.getBoundingClientRect().bottom + scrollY")
    assert first <= 740  # and on a telephone the first of them


def test_every_chart_has_a_name_and_a_description_for_who_does_not_see_it(visit):
    visit.set_viewport_size({"width": 1280, "height": 900})
    for chart in visit.locator("svg[role=img]:visible").all():
        ids = (chart.get_attribute("aria-labelledby") or "").split()
        texts = [visit.locator(f"[id='{name}']").text_content() for name in ids]
        assert len(texts) == 2
        assert all(text and text.strip() for text in texts)
    for head in visit.locator("table").all():
        assert head.locator("th[scope=col]").count() > 0
        assert head.locator("tbody tr").count() == head.locator("tbody th[scope=row]").count()


def test_no_two_words_of_a_chart_lie_on_one_another(visit):
    for width in (1280, 360):
        visit.set_viewport_size({"width": width, "height": 800})
        assert visit.evaluate(OVERLAPS) == []


OVERLAPS = """() => [...document.querySelectorAll("svg.chart")].flatMap(chart => {
  const words = [...chart.querySelectorAll("text")].filter(one => one.getClientRects().length);
  const boxes = words.map(one => [one.textContent, one.getBoundingClientRect()]);
  const met = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4;
  const after = (a, i) => boxes.slice(i + 1).filter(([, b]) => met(a, b));
  return boxes.flatMap(([one, a], i) => after(a, i).map(([two]) => `${one} / ${two}`));
})"""
