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


@dataclass
class Bar:
    """How far a long step has come."""

    label: str
    total: int | None
    unit: str
    show: Callable[["Bar"], None]
    done: int = 0
    begun: float = field(default_factory=time.monotonic)

    def advance(self, n: int = 1) -> None:
        self.done += n
        self.show(self)

    @property
    def rate(self) -> float:
        return self.done / max(time.monotonic() - self.begun, 1e-9)


@contextmanager
def progress(label: str, total: int | None = None, unit: str = "steps") -> Iterator[Bar]:
    """A bar with rate and time left on a terminal, a line now and then in a log; nothing when BIDDABLE_QUIET=1."""
    console = Console(stderr=True)
    if os.environ.get("BIDDABLE_QUIET") == "1":
        yield Bar(label, total, unit, show=lambda _bar: None)
    elif place := os.environ.get("BIDDABLE_PROGRESS"):  # another process draws it
        with Path(place).open("w", encoding="utf-8") as file:
            yield Bar(label, total, unit, show=lambda bar: _tell(file, bar))
    elif console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        with Progress(*columns, console=console) as live:
            task = live.add_task(label, total=total, unit=unit)
            yield Bar(label, total, unit, show=lambda bar: live.update(task, completed=bar.done))
    else:
        last = time.monotonic()

        def show(bar: Bar) -> None:
            nonlocal last
            if time.monotonic() - last >= PLAIN_SECONDS:
                last = time.monotonic()
                print(plain_line(bar), file=sys.stderr, flush=True)

        bar = Bar(label, total, unit, show)
        yield bar
        took = duration(time.monotonic() - bar.begun)
        print(f"{label}: {bar.done} {unit} in {took} ({_number(bar.rate)} {unit}/s)", file=sys.stderr, flush=True)


def note(what: str) -> None:
    """One line that must be seen, on stderr."""
    print(f"biddable: {what}", file=sys.stderr, flush=True)


def _tell(file: TextIO, bar: Bar) -> None:
    file.seek(0)
    file.write(f"{bar.done} {bar.total or 0}\n")
    file.flush()


def plain_line(bar: Bar) -> str:
    line = f"{bar.label}: {bar.done}{f'/{bar.total}' if bar.total else ''} {bar.unit}, {_number(bar.rate)} {bar.unit}/s"
    if bar.total and bar.rate > 0:
        line += f", {duration(max(bar.total - bar.done, 0) / bar.rate)} left"
    return line


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
        return Text(f"{_number(task.speed or 0)} {task.fields['unit']}/s", style="cyan")


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.2g}"
