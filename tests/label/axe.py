"""What axe finds on a page; it is put in once a page, and says no more of what passes than one example each."""

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page


def violations(page: Page, *tags: str) -> list[dict]:
    """By the rules of these tags, or by all."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(tags)} if tags else {})
    said = page.evaluate("options => axe.run(options)", options)
    assert len(said["passes"]) > 10  # it did look
    return said["violations"]
