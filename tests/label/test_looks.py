"""Every screen of the work is within reach of everybody (WCAG 2.2 AA, as far as axe sees), and light to load."""

from dataclasses import dataclass, field
from pathlib import Path

import axe
import pytest
from desks import guidelines, job, material
from playwright.sync_api import Page, expect

import biddable.label
from biddable.store import open_store

STATIC = Path(biddable.label.__file__).parent / "static"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
AS_ASKED = """({ color_scheme, forced_colors }) => matchMedia(`(prefers-color-scheme: ${color_scheme})`).matches
  && matchMedia(`(forced-colors: ${forced_colors})`).matches"""
KINDS = {
    "rank": {}, "board": {"judge": False}, "judge": {}, "compare": {}, "write": {}, "prompt": {}, "toxicity": {},
}  # fmt: skip
LATER = {"compare", "toxicity"}


@pytest.fixture
def work(where, app, person, window):
    def begin(kind: str, **words) -> Page:
        later = kind in LATER
        with open_store(where) as store:
            store.add_many(material(prompts=2, split="test" if later else "train"))
        guidelines(person, "evaluation" if later else "training")
        fill = {"runs": ["run-0", "run-1"]} if kind == "compare" else {}
        of = "rank" if kind == "board" else kind
        job(app, person, of, "evaluation" if later else "training", fill, **KINDS[kind])
        page = window("ann", reduced_motion="reduce", **words)
        page.goto("/work")
        page.wait_for_selector("[data-ready]")
        return page

    return begin


@dataclass(frozen=True)
class Look:
    """Axe on a page in several widths and colours, at each step of the work the same."""

    page: Page
    appearances: dict[str, tuple[int, dict]]
    found: list[str] = field(default_factory=list)

    def __call__(self, step: str) -> None:
        for name, (width, colours) in self.appearances.items():
            self.page.set_viewport_size({"width": width, "height": 800})
            self.page.emulate_media(**colours)
            found = axe.violations(self.page, *RULES)
            assert self.page.evaluate(AS_ASKED, colours)
            if self.page.evaluate("document.documentElement.scrollWidth") > width:
                self.found.append(f"{name}, {step}: something is beside the screen")
            self.found.extend(
                f"{name}, {step}: {one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]
            )


def look_at(page: Page, kind: str, look: Look) -> None:
    look("begun")
    if kind == "board":
        page.keyboard.press("1")
        page.locator("[data-do=submit]").click()  # with something missing
        for key, name in (("d", "diff"), ("?", "keys"), ("s", "skip")):
            page.locator(".card").first.focus()
            page.keyboard.press(key)
            page.wait_for_selector(f"#{name}[open]")
            look(name)
            page.keyboard.press("Escape")
        page.keyboard.press("g")
        look("guidelines")
        page.keyboard.press("g")  # where there is no room beside the board, they cover it
        page.context.clear_cookies()
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # a sign of life, which is refused
        page.wait_for_selector("#renew[open]")
        look("renew")
    if kind in ("rank", "toxicity"):
        page.get_by_role("button", name="Rank all").click()
        look("ranking")
    if kind == "write":
        page.locator("[name=text]").fill("# One\n\n```\ncode\n```")
        page.get_by_role("button", name="Preview").click()
        page.wait_for_selector("#preview h1")
        look("preview")
    if kind == "prompt":
        page.locator("[name=source]").nth(1).check()
        look("few examples")


# Colours change nothing but themselves, and no width changes a colour: each width is looked at, and each of the
# colours, and not each pair. A finger has larger buttons, and a page of its own. High contrast has the system's few
# colours in place of ours.
LIGHT, DARK = {"color_scheme": "light", "forced_colors": "none"}, {"color_scheme": "dark", "forced_colors": "none"}
SYSTEM = {"color_scheme": "light", "forced_colors": "active"}
MOUSE = {"wide, light": (1280, LIGHT), "wide, the reader's own colours": (1280, SYSTEM), "a tablet, dark": (768, DARK)}
FINGER = {"a phone, light": (360, LIGHT)}


@pytest.mark.parametrize("appearances", [MOUSE, FINGER], ids=["mouse", "finger"])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing(work, kind, appearances):
    width, _ = next(iter(appearances.values()))
    page = work(kind, viewport={"width": width, "height": 800}, has_touch=appearances is FINGER)
    look = Look(page, appearances)
    look_at(page, kind, look)
    assert look.found == []


LOOK = "one => { const s = getComputedStyle(one); return [s.backgroundColor, s.color, s.outline, s.boxShadow].join(); }"


HIDDEN = """() => [...document.querySelectorAll("main *, header *")].filter((one) => {
  const style = getComputedStyle(one);
  const says = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const paper = getComputedStyle(document.body).backgroundColor;
  return says && one.checkVisibility() && style.color === paper && style.forcedColorAdjust !== "none";
}).map((one) => one.outerHTML)"""


def looks(page: Page, selector: str) -> str:
    return page.locator(selector).first.evaluate(LOOK)


@pytest.mark.parametrize("kind", ["board", "compare"])
def test_what_is_chosen_is_seen_in_the_reader_s_own_colours(work, kind):
    page = work(kind, forced_colors="active", viewport={"width": 1280, "height": 800})
    page.locator(".choice label").first.click()
    page.evaluate("document.activeElement.blur()")
    assert page.evaluate(HIDDEN) == [], "a plate in the paper's colour is laid under every text that may be forced"
    assert looks(page, ".choice :checked + span") != looks(page, ".choice :not(:checked) + span")
    if kind == "board":
        page.locator(".card").nth(1).focus()
        assert looks(page, ".card.now") != looks(page, ".card:not(.now)")
        assert looks(page, ".card.ranked .letter") != looks(page, ".card:not(.ranked) .letter")
        page.locator("[data-do=together]").click()
        pressed = looks(page, "[data-do=together]")
        page.locator("[data-do=together]").click()
        assert looks(page, "[data-do=together]") != pressed


@pytest.mark.parametrize("kind", KINDS)
def test_at_four_times_the_size_nothing_is_beside_the_screen(work, kind):
    """WCAG 1.4.10: a screen of 1280 pixels at 400 % is one of 320."""
    page = work(kind, viewport={"width": 320, "height": 256})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.parametrize("kind", ["board", "rank", "compare"])
def test_what_is_pressed_is_large_enough(work, kind):
    """WCAG 2.5.8: 24 by 24 pixels."""
    page = work(kind)
    small = page.evaluate(
        """() => [...document.querySelectorAll("main button, main .choice input, main .button")]
          .filter((one) => one.checkVisibility())
          .map((one) => [one.outerHTML, one.getBoundingClientRect()])
          .filter(([, box]) => box.width < 24 || box.height < 24).map(([html]) => html)"""
    )
    assert small == []


def test_print_has_the_texts_and_no_buttons(work):
    page = work("board")
    page.emulate_media(media="print")
    expect(page.locator(".card .words").first).to_be_visible()
    expect(page.locator("[data-do=submit]")).to_be_hidden()
    clipped = page.eval_on_selector_all(".card .words", "all => all.some(x => x.scrollHeight > x.clientHeight + 1)")
    assert not clipped


def test_nothing_moves_for_who_wants_it_so(work):
    page = work("board")
    moving = page.eval_on_selector_all(
        "main *", "all => all.filter(x => getComputedStyle(x).transitionDuration !== '0s').length"
    )
    assert moving == 0


@pytest.mark.parametrize(("ending", "most"), [("js", 60_000), ("css", 22_000)])
def test_little_is_loaded(ending, most):
    assert 0 < sum(path.stat().st_size for path in STATIC.glob(f"*.{ending}")) <= most


def test_scripts_are_asked_for_at_once(work):
    """And not each when the one that imports it has come."""
    page = work("board")
    asked = "all => all.map(one => one.href || one.src)"
    ahead = page.eval_on_selector_all("link[rel=modulepreload], script[type=module]", asked)
    loaded = page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
    assert sorted(ahead) == sorted(name for name in loaded if name.endswith(".js"))
    assert len(ahead) > 10


def test_static_files_are_kept_and_pages_are_not(work):
    page = work("board")
    script = page.locator("script[type=module]").get_attribute("src")
    kept = page.request.get(script or "").headers["cache-control"]
    assert "immutable" in kept
    assert page.request.get("/work").headers["cache-control"] == "no-store"
    assert page.request.get("/static/none/work.js").status == 404
