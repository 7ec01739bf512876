"""What can go wrong with a training run, done to it at a chosen instant. See tests/torture.py."""

import builtins
import functools
import io
import mmap
import os
import random
import resource
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from biddable import runs
from biddable.learn import loop
from biddable.model import checkpoint

ON_FILES = (
    "open", "mkdir", "fsync", "rename", "replace", "unlink", "remove", "rmdir", "stat", "lstat", "scandir", "truncate",
)  # fmt: skip
END = 2**40  # the part of a run after its last step


def around(owner: object, name: str, before: Callable[..., None], after: Callable[..., None] = lambda *_: None) -> None:
    """Have something done before and after each call of a function."""
    inner = getattr(owner, name)

    @functools.wraps(inner)
    def outer(*given, **named):
        before(*given)
        made = inner(*given, **named)
        after(*given)
        return made

    setattr(owner, name, outer)


def before_each_touch(act: Callable[[], None]) -> None:
    """Have something done before each call of this process that touches a file or a folder."""
    for name in ON_FILES:
        around(os, name, lambda *_: act())
    around(io, "open", lambda *_: act())
    builtins.open = io.open
    around(checkpoint, "save_file", lambda *_: act())


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fill_the_disk() -> None:
    """From now on the kernel takes no byte more of this process: EFBIG, at whatever it writes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


class Aim:
    """The last place of a run at which something was done to it; shared by the children that go on with it, each of
    which meets its end at a place after that."""

    def __init__(self) -> None:
        self.shared = mmap.mmap(-1, 16)

    def reached(self, part: int, nth: int) -> bool:
        """Whether it is further than ever; then it is the last place from now on."""
        if (part, nth) <= struct.unpack("qq", self.shared[:16]):
            return False
        self.shared[:16] = struct.pack("qq", part, nth)
        return True


def at_each_call(owner: object, name: str, harm: Callable[[], None]) -> Callable[[], None]:
    """Arm children with a harm right after a call of `name` with the next step: `run.log(step)`, `keep(run, step)`."""
    aim = Aim()
    return lambda: around(owner, name, lambda *_: None, lambda _run, at, *_: harm() if aim.reached(at, 0) else None)


def at_each_touch(harm: Callable[[], None], since: int = 0, nth: int = 1) -> Callable[[], None]:
    """Arm children with a harm before the next call that touches a file while a checkpoint is kept (of step `since` or
    a later one), or once the steps are done; or before every nth of these calls."""
    aim = Aim()

    def arm() -> None:
        # The step of the checkpoint that is being kept, 0 for none; how many touches that has had; whether it is done.
        at = [0, 0, False]

        def touch() -> None:
            at[1] += 1
            if at[0] and not at[2] and at[1] % nth == 0 and aim.reached(at[0], at[1]):
                at[2] = True  # a full disk is met again at each touch of who cleans up
                harm()

        def enter(part: int) -> None:
            at[:2] = part, 0

        before_each_touch(touch)
        around(loop, "keep", lambda _run, step, *_: enter(step if step >= since else 0), lambda *_: enter(0))
        after_the_steps(lambda: enter(END))

    return arm


def after_the_steps(act: Callable[[], None]) -> None:
    """Have something done when a run's steps are done."""
    inner = runs.Run.steps

    @contextmanager
    def steps(*given, **named) -> Iterator[runs.Bar]:
        with inner(*given, **named) as bar:
            yield bar
        act()

    runs.Run.steps = steps


def cut_short(data: bytearray, luck: random.Random) -> None:
    del data[luck.randrange(len(data)) :]


def flip_a_bit(data: bytearray, luck: random.Random) -> None:
    data[luck.randrange(len(data))] ^= 1 << luck.randrange(8)


def zero_some(data: bytearray, luck: random.Random) -> None:
    at, count = luck.randrange(len(data)), luck.choice((1, 16, len(data)))
    data[at : at + count] = bytes(len(data[at : at + count]))


def grow(data: bytearray, luck: random.Random) -> None:
    data += luck.randbytes(luck.randrange(1, 64))


def write_over(data: bytearray, luck: random.Random) -> None:
    at = luck.randrange(len(data))
    data[at] = (data[at] + luck.randrange(1, 256)) % 256


def empty(data: bytearray, luck: random.Random) -> None:
    data.clear()


HARMS = (cut_short, flip_a_bit, zero_some, grow, write_over, empty)


def harm_the_newest(checkpoints: Path, luck: random.Random) -> bool:
    """Spoil or delete a file of the newest checkpoint, if there is another one to fall back on."""
    steps = sorted(checkpoints.glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))
    files = sorted(path for path in steps[-1].iterdir() if path.stat().st_size) if len(steps) > 1 else []
    if not files:  # or it was harmed before, and the next child was killed before it saw
        return False
    path = luck.choice(files)
    before = path.read_bytes()
    data = bytearray(before)
    luck.choice(HARMS)(data, luck)
    if data == before:  # zeros over zeros
        path.unlink()
    else:
        path.write_bytes(data)
    return True
