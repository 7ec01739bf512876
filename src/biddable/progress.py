"""How far a long step has come: a bar with rate and time left on a terminal, a line now and then in a log."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

PLAIN_SECONDS = 10.0  # between two lines in a log
SETTLED = 0.03  # of a step must be done before it is said how long the rest will take
PERCENT = "%"  # a share of several things that go on side by side: it has no rate that means anything


@dataclass
class Bar:
    """How far a long step has come."""

    label: str
    total: int | None
    unit: str
    show: Callable[["Bar"], None]
    done: int = 0
    before: int = 0  # of these, done before this process began: no part of its rate
    begun: float = field(default_factory=time.monotonic)
    told: str = ""  # how it goes, in a few numbers

    def advance(self, n: int = 1) -> None:
        self.done += n
        self.show(self)

    @property
    def rate(self) -> float:
        return (self.done - self.before) / max(time.monotonic() - self.begun, 1e-9)


@contextmanager
def progress(label: str, total: int | None = None, unit: str = "steps", before: int = 0) -> Iterator[Bar]:
    """A bar with rate and time left on a terminal, a line now and then in a log; nothing when BIDDABLE_QUIET=1."""
    console = Console(stderr=True)
    if os.environ.get("BIDDABLE_QUIET") == "1":
        yield Bar(label, total, unit, lambda _bar: None, before, before)
    elif place := os.environ.get("BIDDABLE_PROGRESS"):  # another process draws it
        with Path(place).open("w", encoding="utf-8") as file:
            yield Bar(label, total, unit, lambda bar: _tell(file, bar), before, before)
    elif console.is_terminal:
        going = TextColumn("{task.fields[told]}", style="dim")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        with Progress(*columns, going, console=console) as live:
            task = live.add_task(label, total=total, unit=unit, completed=before, told="")
            yield Bar(
                label, total, unit, lambda bar: live.update(task, completed=bar.done, told=bar.told), before, before
            )
    else:
        last, told = time.monotonic(), before

        def show(bar: Bar) -> None:
            nonlocal last, told
            # A line that says the same as the last one is no news.
            if time.monotonic() - last >= PLAIN_SECONDS and bar.done > told:
                last, told = time.monotonic(), bar.done
                print(plain_line(bar), file=sys.stderr, flush=True)

        bar = Bar(label, total, unit, show, before, before)
        yield bar
        print(last_line(bar), file=sys.stderr, flush=True)


def note(what: str) -> None:
    """One line that must be seen, on stderr."""
    print(f"biddable: {what}", file=sys.stderr, flush=True)


def _tell(file: TextIO, bar: Bar) -> None:
    file.seek(0)
    file.write(f"{bar.done} {bar.total or 0}\n")
    file.flush()


def plain_line(bar: Bar) -> str:
    """`ppo: 100/400 iterations, 2 iterations/s, about 3 min left; reward 0.5, kl 1.2, length 20`, or `sft and start:
    25 %, about 3 min left`."""
    whole = f"/{bar.total}" if bar.total and bar.unit != PERCENT else ""
    line = f"{bar.label}: {bar.done}{whole} {bar.unit}"
    new = bar.done - bar.before
    if new and bar.unit != PERCENT:
        line += f", {_number(bar.rate)} {bar.unit}/s"
    # The first few steps are slower than the rest: what they foretell is not worth a word.
    if bar.total and new >= SETTLED * (bar.total - bar.before):
        line += f", {about(max(bar.total - bar.done, 0) / bar.rate)} left"
    return f"{line}; {bar.told}" if bar.told else line


def last_line(bar: Bar) -> str:
    took = duration(time.monotonic() - bar.begun)
    if bar.unit == PERCENT:
        return f"{bar.label}: done in {took}"
    return f"{bar.label}: {bar.done - bar.before} {bar.unit} in {took} ({_number(bar.rate)} {bar.unit}/s)"


def about(seconds: float) -> str:
    """As exact as a guess may be: `less than a minute`, `about 3 min`, `about 1 h 20 min`."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 60:
        return f"about {minutes} min"
    return f"about {minutes // 60} h {minutes % 60 // 10 * 10} min"


def duration(seconds: float) -> str:
    """`8 s`, `2 min 5 s`, `1 h 2 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        if not task.speed or task.fields["unit"] == PERCENT:
            return Text("")
        return Text(f"{_number(task.speed)} {task.fields['unit']}/s", style="cyan")


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.2g}"
