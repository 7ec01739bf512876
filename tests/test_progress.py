"""How far a long step has come: a bar on a terminal, few plain lines in a log."""

import time

import pytest

from biddable import progress


def test_progress_in_a_log_is_few_plain_lines(capfd, monkeypatch):
    monkeypatch.delenv("BIDDABLE_QUIET", raising=False)
    with progress.progress("sft", 1000, "steps") as bar:
        for _ in range(1000):
            bar.advance()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1  # a second's work is worth its last line alone
    assert lines[0].startswith("sft: 1000 steps in 0 s (")


def test_progress_is_silent_when_asked(capfd, monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")
    with progress.progress("sft", 10) as bar:
        bar.advance(10)
    assert capfd.readouterr().err == ""
    assert bar.done == 10


def test_progress_on_a_terminal_is_a_bar_with_rate_and_time(capfd, monkeypatch):
    monkeypatch.delenv("BIDDABLE_QUIET", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with progress.progress("sft", 10, "rows") as bar:
        for _ in range(10):
            bar.advance()
            time.sleep(0.02)
    shown = capfd.readouterr().err
    assert "10/10" in shown
    assert "rows/s" in shown


def test_a_plain_line_has_rate_and_time_left():
    now = time.monotonic()
    bar = progress.Bar("ppo", 400, "episodes", show=lambda _bar: None, done=100, begun=now - 50)
    # 100 in 50 s are 2 a second; 300 are left: 150 s.
    assert progress.plain_line(bar) == "ppo: 100/400 episodes, 2 episodes/s, 2 min 30 s left"
    bar.total = None
    assert progress.plain_line(bar) == "ppo: 100 episodes, 2 episodes/s"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (3725, "1 h 2 min")]
)
def test_durations_by_hand(seconds, words):
    assert progress.duration(seconds) == words
