"""What a page waits for, waited for without waiting: its clock goes ahead. Each page begins `with_a_clock`.

That a draft is on the server a second after the last key by the true clock, test_keeping sees."""

from playwright.sync_api import Page

DRAFT = 1_000  # milliseconds after which what was changed is sent, and after which words are another step to undo


def with_a_clock(page: Page) -> Page:
    """One that goes as the true one does, until it is put forward."""
    page.clock.install()
    return page


def saved(page: Page, said: str = "Saved") -> None:
    """What is on the page is sent."""
    page.clock.fast_forward(DRAFT)
    says(page, said)


def says(page: Page, said: str = "Saved") -> None:
    """It says so of the draft. Looked at in every frame, where `expect` would look once a second."""
    page.wait_for_function("said => document.getElementById('saved').textContent === said", arg=said)
