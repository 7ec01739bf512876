"""`python -c CODE WORDS…` forked from a process that has its imports behind it: loading what a stage needs takes five
seconds, and what the labeling app needs two. Nothing else is spared: it has a process id, pipes, signals and an end of
its own. That a process that begins with nothing does the same, test_cli and the first walk of test_quickstart see."""

import atexit
import functools
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

MAIN = "from biddable.cli import main; main()"
# The same with workers that are forked from it, and not from a process beside it that loads all that anew.
WALK = (
    "import multiprocessing; from biddable.quickstart import machines; "
    "machines._context = lambda: multiprocessing.get_context('fork'); "
)
LABEL = (
    "biddable.cli.machines", "biddable.label.practice", "biddable.hamlet.wire", "biddable.judge.asking",
    "biddable.store.copying", "uvicorn.protocols.http.auto", "uvicorn.lifespan.on",
)  # fmt: skip
LEARN = (
    "biddable.cli.machines", "biddable.learn.dpo", "biddable.learn.group", "biddable.learn.ppo",
    "biddable.learn.pretrain", "biddable.learn.raft", "biddable.paper", "biddable.quickstart",
    "biddable.sample.likelihood",
)  # fmt: skip


class Warm(subprocess.Popen):
    """A Popen of `biddable` with these words, or of other code."""

    def __init__(self, words: list[str], code: str = MAIN, loaded: tuple[str, ...] = LEARN, **as_ever) -> None:
        self.code, self.loaded, self.session = code, loaded, as_ever.get("start_new_session", False)
        super().__init__(words, **as_ever)

    def _execute_child(self, args, *given) -> None:
        cwd, env, pipes = given[4], given[5], given[9:15]
        ends = [given if given >= 0 else own for own, given in enumerate(pipes[:1] + pipes[3:4] + pipes[5:6])]
        asked = {
            "code": self.code, "words": [str(word) for word in args], "session": self.session,
            "cwd": str(cwd or Path.cwd()), "env": dict(os.environ if env is None else env),
        }  # fmt: skip
        self.ours, its = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with its:
            socket.send_fds(_loaded(self.loaded), [json.dumps(asked).encode()], [its.fileno(), *ends])
        self.pid = int(self.ours.recv(20))
        self._child_created = True
        self._close_pipe_fds(*pipes)

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        self.ours.setblocking(not wait_flags & os.WNOHANG)
        try:
            status = self.ours.recv(20)
        except BlockingIOError:
            return 0, 0
        self.ours.close()
        return self.pid, int(status)

    def _internal_poll(self, *_given, **_named) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(False):
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        return self.returncode


def run(
    *words: object, code: str = MAIN, loaded: tuple[str, ...] = LEARN, timeout: float = 120, **as_ever
) -> subprocess.CompletedProcess:
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with Warm([str(word) for word in words], code, loaded, **(piped | as_ever)) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def labeling(words: list[str], **as_ever) -> Warm:
    """What needs no torch."""
    return Warm(words, loaded=LABEL, **as_ever)


@functools.cache
def _loaded(modules: tuple[str, ...]) -> socket.socket:
    """Where such a process is asked; it ends with this one."""
    ours, its = socket.socketpair(type=socket.SOCK_SEQPACKET)
    here = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import warm; sys.path.pop(0); "
    begin = f"code = warm.serve({its.fileno()}, {modules!r}); exec(code, {{'__name__': '__main__'}})"
    with its:
        subprocess.Popen([sys.executable, "-c", here + begin], pass_fds=[its.fileno()]).returncode = 0  # not waited for
    atexit.register(ours.close)
    return ours


def serve(at: int, modules: tuple[str, ...]) -> str:
    """Returns in each process that is asked for, with the code that it is to run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for name in modules:
        importlib.import_module(name)
    gc.freeze()
    door = socket.socket(fileno=at)
    while True:
        asked, fds, _, _ = socket.recv_fds(door, 1 << 20, 4)
        if not asked:
            os._exit(0)
        if os.fork() == 0:
            door.close()
            return _begun(json.loads(asked), *fds)
        for fd in fds:
            os.close(fd)


def _begun(asked: dict, told: int, *ends: int) -> str:
    """In a process of its own, whose parent waits to say how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if child := os.fork():
        for fd in ends:
            os.close(fd)
        os.write(told, str(os.waitpid(child, 0)[1]).encode())
        os._exit(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if asked["session"]:
        os.setsid()
    os.write(told, str(os.getpid()).encode())
    os.close(told)
    for own, end in enumerate(ends):
        os.dup2(end, own)
        os.close(end)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv[1:] = asked["words"]
    sys.stdout.reconfigure(line_buffering=True)
    return asked["code"]
