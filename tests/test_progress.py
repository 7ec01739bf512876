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


def silent(label: str, total: int | None, unit: str, seconds: float, done: int, before: int = 0) -> progress.Bar:
    return progress.Bar(label, total, unit, lambda _bar: None, done, before, time.monotonic() - seconds)


def test_a_plain_line_has_rate_and_time_left():
    bar = silent("ppo", 400, "episodes", seconds=40, done=100)
    # 100 in 40 s are 2.5 a second; 300 are left: 120 s.
    assert progress.plain_line(bar) == "ppo: 100/400 episodes, 2.5 episodes/s, about 2 min left"
    bar.total = None
    assert progress.plain_line(bar) == "ppo: 100 episodes, 2.5 episodes/s"


def test_what_was_done_before_is_no_part_of_the_rate():
    # 300 were done yesterday, 50 in these 100 s: one in 2 s, and 50 are left.
    bar = silent("ppo", 400, "steps", seconds=100, done=350, before=300)
    assert progress.plain_line(bar) == "ppo: 350/400 steps, 0.5 steps/s, about 2 min left"
    assert progress.last_line(bar) == "ppo: 50 steps in 1 min 40 s (0.5 steps/s)"


def test_a_plain_line_foretells_nothing_from_nothing():
    assert progress.plain_line(silent("ppo", 400, "steps", seconds=10, done=0)) == "ppo: 0/400 steps"
    assert progress.plain_line(silent("ppo", 400, "steps", seconds=10, done=5)) == "ppo: 5/400 steps, 0.5 steps/s"


def test_a_share_has_no_rate():
    bar = silent("sft and start", 100, "%", seconds=60, done=25)
    assert progress.plain_line(bar) == "sft and start: 25 %, about 3 min left"
    assert progress.last_line(bar) == "sft and start: done in 1 min 0 s"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(29, "less than a minute"), (31, "about 1 min"), (3500, "about 58 min"), (4900, "about 1 h 20 min")],
)
def test_guesses_by_hand(seconds, words):
    assert progress.about(seconds) == words


def test_a_line_that_says_nothing_new_is_left_out(capfd, monkeypatch):
    monkeypatch.delenv("BIDDABLE_QUIET", raising=False)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    with progress.progress("sft", 100, "%") as bar:
        for n in (0, 0, 7, 0, 93):
            bar.advance(n)
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines[:-1]] == ["sft: 7 %", "sft: 100 %"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (3725, "1 h 2 min")]
)
def test_durations_by_hand(seconds, words):
    assert progress.duration(seconds) == words


def test_a_plain_line_ends_with_how_it_goes():
    bar = progress.Bar("ppo", 340, "iterations", lambda _bar: None, done=100, begun=time.monotonic() - 50)
    bar.told = "reward 0.54, kl 1.2, length 20"
    told = "ppo: 100/340 iterations, 2 iterations/s, about 2 min left; reward 0.54, kl 1.2, length 20"
    assert progress.plain_line(bar) == told
