"""Stop training runs at any instant, go on with them, and compare every byte with runs that were left alone.

    python tests/torture.py --kills 200            (or `make torture`)

This process imports torch once, sees no GPU and starts no threads, and forks children that run a tiny stage, each with
the global random generators at another place. What is done to a stage's runs, until they come to their end:

- `kill -9`, SIGTERM (which must leave status 75 and a checkpoint of the last logged step) and Ctrl-C, each after a
  random time of its computing; and `kill -9` so, and then a file of the newest checkpoint spoilt or deleted;
- `kill -9` right after each line of metrics, and right after each checkpoint;
- `kill -9` before each call that touches a file while the last checkpoint is kept and the run ends; and at each of
  these calls in its turn a disk that is full from then on;
- three processes begun on one folder at once.

Compared by sha256: the model, the last checkpoint (weights and optimiser) and metrics.jsonl; and a ledger of the
batches that were learnt, for none skipped and none repeated.
"""

import argparse
import copy
import errno
import functools
import gc
import hashlib
import json
import mmap
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "BIDDABLE_QUIET": "1"}
os.environ["CUDA_VISIBLE_DEVICES"] = ""
sys.path.insert(0, str(Path(__file__).parent))

import numpy
import torch
from safetensors import SafetensorError

import tiny
from biddable import provenance, runs
from biddable.config import ConfigError, Settings
from biddable.learn import dpo, episodes, group, kept, loop, ppo, pretrain, raft, reward, sft, start
from biddable.model import causal, checkpoint
from biddable.model import reward as reward_model
from faults import around, at_each_call, at_each_touch, die, fill_the_disk, harm_the_newest

PHASES = ("begin", "learn", "sample", "save", "end")
STAGES = ("pretrain", "sft", "start", "reward", "ppo", "rloo", "grpo", "reinforce", "raft", "dpo")
BY_EPISODES = ("ppo", "rloo", "grpo", "reinforce", "raft")
BROKEN, REFUSED, FULL, PREEMPTED, STOPPED = 1, 2, 27, 75, 130  # how a child ends
RIVALS = 3


@dataclass(frozen=True)
class Job:
    """A stage with its settings and inputs, to be run any number of times."""

    kind: str
    config: Settings
    inputs: dict[str, Path]
    train: Callable[..., Path]


@dataclass
class Tally:
    """What was done to one stage, and what came of it."""

    stage: str
    steps: int = 0
    kills: int = 0
    in_phase: Counter[str] = field(default_factory=Counter)
    at_lines: int = 0
    at_checkpoints: int = 0
    at_touches: int = 0
    full: int = 0
    terms: int = 0
    ints: int = 0
    harmed: int = 0
    refused: int = 0
    runs: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


def jobs(place: Path) -> dict[str, Job]:
    """Every stage, small enough for hundreds of runs; with dropout where there is any, and adapters in
    some; a checkpoint every 2 steps."""
    size = {"width": 16, "layers": 1}
    base = tiny.saved(place / "base", **size)
    judge = reward_model.RewardModel(tiny.llama(tiny.tokenizer(), 1, **size), torch.Generator().manual_seed(0))
    scorer = reward_model.save(judge, tiny.tokenizer(), place / "judge")
    words = ("red", "blue", "green", "yes", "no", "one", "two")
    demos = tiny.demonstrations(place / "demos.jsonl", [(f"say {word}", f"{word} {word}") for word in words])
    ranked = [(f"say {word}", [[word], ["cow"], ["the", "big dog"]]) for word in words]
    rankings = tiny.rankings(place / "rankings.jsonl", ranked)
    judgements = tiny.judgements(place / "judgements.jsonl", rankings)
    pages = tiny.pages(place / "pages.jsonl", ["the cow say no", "the dog say yes yes", "one two three"] * 3)
    prompts = tiny.prompts(place / "prompts.jsonl", [f"say {word}" for word in words])
    fine = {"batch": 3, "learning_rate": 1e-2, "checkpoint_every": 2, "answer_tokens": 8}
    told = pretrain.PretrainConfig(
        width=16, layers=1, heads=2, inner=16, context=16, rows=2, tokens=320, warmup=2, log_every=3, save_every=2
    )
    rolled = {
        "episodes": 48, "batch": 8, "minibatch": 4, "inner_epochs": 2, "answer_tokens": 4, "gamma_ptx": 1.0,
        "ptx_ratio": 1.0, "learning_rate": 1e-3, "checkpoint_every": 2, "valid_every": 2, "patience": 5,
    }  # fmt: skip
    steered = rolled | {"kl_target": 0.1, "kl_horizon": 20.0}
    asked = ppo.PpoConfig(
        **steered, value_learning_rate=1e-3, value_warmup=1, whiten_rewards=True, lora_rank=2, keep_every=3
    )
    siblings = group.RlooConfig(**steered, samples=2)
    grouped = group.GrpoConfig(**rolled, samples=4)
    massed = group.ReinforceConfig(**rolled, samples=2, baseline=True)
    compared = reward.RewardConfig(
        epochs=3, batch=3, learning_rate=1e-3, checkpoint_every=2, attention_dropout=0.1, select="valid_loss",
        heads=2, aspects={"overall": 1.0, "helpful": 0.0}, margin=0.1, extra_layers=1,
    )  # fmt: skip
    repeated = raft.RaftConfig(
        iterations=6, batch=4, k=3, minibatch=2, inner_epochs=2, answer_tokens=4, gamma_ptx=1.0, learning_rate=1e-3,
        checkpoint_every=2, valid_every=2, patience=5, beta=0.02, kl_target=0.1, kl_horizon=20.0, ema=0.9,
        keep_every=2,
    )  # fmt: skip
    preferred = dpo.DpoConfig(
        method="kto", epochs=3, batch=3, learning_rate=1e-3, checkpoint_every=2, gamma_ptx=1.0, select="valid_score",
        answer_tokens=8, lora_rank=2,
    )  # fmt: skip
    shown = sft.SftConfig(epochs=3, attention_dropout=0.1, **fine)
    begun = start.StartConfig(epochs=2, mix=0.4, lora_rank=2, **fine)

    def read(run: runs.Run, config: pretrain.PretrainConfig) -> Path:
        return pretrain.train(run, config, tiny.tokenizer(), lambda: iter(["the cow say no", "yes"] * 300))

    watching = {"valid": demos, "reward_model": scorer}
    ranked_and_judged = {"rankings": rankings, "judgements": judgements}
    acting = {"start": base, "reward_model": scorer, "prompts": prompts, "pages": pages}
    every = [
        Job("pretrain", told, {}, read),
        Job("sft", shown, {"model": base, "demos": demos, **watching}, sft.train),
        Job("start", begun, {"model": base, "demos": demos, "pages": pages, "valid_pages": pages}, start.train),
        Job("reward", compared, {"model": base, **ranked_and_judged, "valid": rankings, "demos": demos}, reward.train),
        Job(
            "dpo",
            preferred,
            {"model": base, "rankings": rankings, "valid": rankings, "pages": pages, "reward_model": scorer},
            dpo.train,
        ),
        Job("raft", repeated, {**acting, "valid": prompts, "held_out": scorer}, raft.train),
        Job("ppo", asked, {**acting, "valid": prompts, "held_out": scorer}, ppo.train),
        Job("rloo", siblings, {**acting, "valid": prompts, "held_out": scorer}, group.train),
        Job("grpo", grouped, {**acting, "valid": prompts, "held_out": scorer}, group.train),
        Job("reinforce", massed, {**acting, "valid": prompts, "held_out": scorer}, group.train),
    ]
    return {job.kind: job for job in every}


def carry_out(job: Job, folder: Path) -> None:
    if runs.finished(folder, job.kind, job.config, job.inputs, 0):
        return
    with runs.start(folder, job.kind, job.config, job.inputs, 0) as run:
        job.train(run, job.config, **job.inputs)


def child(job: Job, folder: Path, phase: mmap.mmap, arm: Callable[[], None] = lambda: None) -> int:
    """Fork a process that carries the job out; its id."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # or it could be our code that it interrupts
    if (pid := os.fork()) > 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return pid
    status = BROKEN
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        tell_phases(phase)
        keep_ledger(folder.with_suffix(".ledger"), job.kind)
        arm()
        poison(os.getpid())
        before = global_luck()
        carry_out(job, folder)
        if global_luck() != before:
            raise AssertionError("a global random generator was moved")
        status = 0
    except BaseException as error:
        status = status_of(error)
        if status == BROKEN:
            with folder.with_suffix(".error").open("a") as file:
                file.write(traceback.format_exc())
    finally:
        os._exit(status)


def status_of(error: BaseException) -> int:
    """How a child ends that is stopped by what was done to it."""
    match error:
        case runs.Preempted():
            return PREEMPTED
        case KeyboardInterrupt():
            return STOPPED
        case OSError() | SafetensorError() if os.strerror(errno.EFBIG) in str(error):
            return FULL
        case ConfigError() if "is running this run" in str(error):
            return REFUSED
    return BROKEN


def poison(seed: int) -> None:
    """Put the global generators where no other process has them: a run that read them could not be the same."""
    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed % 2**32)


def global_luck() -> list[object]:
    return [torch.get_rng_state().tolist(), random.getstate(), repr(numpy.random.get_state(legacy=False))]


def tell_phases(phase: mmap.mmap) -> None:
    """Write what the child is at where its killer can read it."""

    def at(name: str) -> Callable[..., None]:
        return lambda *_: phase.__setitem__(0, PHASES.index(name))

    phase[0] = 0
    around(runs.Run, "steps", at("learn"))
    around(checkpoint, "save", at("save"), at("learn"))
    around(episodes, "respond", at("sample"), at("learn"))
    around(kept, "keep", at("save"), at("learn"))
    for room in (causal, reward_model):
        around(room, "save", at("end"))


def keep_ledger(path: Path, kind: str) -> None:
    """A line for each batch that is learnt, by what is in it, and for each beginning, by the step it begins after."""

    def write(line: str) -> None:
        with path.open("a") as file:
            file.write(line + "\n")

    def batch(*given: object) -> None:
        write("batch " + hashlib.sha256(repr(given).encode()).hexdigest())

    if kind not in (*BY_EPISODES, "dpo"):  # which learn their pages by the same function, within their own step
        around(sft, "gradient", lambda _lm, turns, *_: batch([turns.prompts, turns.answers]))
    around(reward, "gradient", lambda _net, _config, sets, *_: batch(sets))
    around(dpo.Lessons, "take", lambda _lessons, index: batch(index))
    for room in (ppo, group, raft):
        around(room, "step", lambda _actors, _config, prompts, pages, *_: batch(prompts, pages))
    around(pretrain, "next_token_loss", lambda _model, token_BS: batch(token_BS.tolist()))
    resume = loop.resume

    def begin(run: runs.Run) -> checkpoint.Checkpoint | None:
        saved = resume(run)
        write(f"begin {saved.step if saved else 0}")
        return saved

    loop.resume = begin


def learnt(path: Path) -> list[str]:
    """The batch of each step, as it was last learnt: what came after the checkpoint gone on from is learnt anew."""
    by_step: dict[int, str] = {}
    step = 0
    for word, _, what in (line.partition(" ") for line in path.read_text().splitlines()):
        if word == "begin":
            step = int(what)
            by_step = {at: batch for at, batch in by_step.items() if at <= step}
        else:
            step += 1
            by_step[step] = what
    return [by_step[at] for at in range(1, step + 1)]


def prints(folder: Path) -> dict[str, str]:
    """The sha256 of all that must be the same."""
    files = [folder / "metrics.jsonl", *(folder / "model").rglob("*"), *(folder / runs.KEPT).rglob("*")]
    if folder.name == "pretrain":  # deletes its checkpoints when it is done
        steps = []
    elif steps := sorted((folder / "checkpoints").glob("step-*"), key=lambda p: int(p.name.removeprefix("step-"))):
        files += steps[-1].rglob("*")
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(files)
        if file.is_file()
    }


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def worked(pid: int) -> float:
    """For how many seconds a child has been computing: on a busy machine a clock would say little of how far it is."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def lives(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def let_work(pid: int, seconds: float) -> None:
    while lives(pid) and worked(pid) < seconds:
        time.sleep(0.001)


class Stage:
    """The runs of one stage, each compared with the one that was left alone."""

    def __init__(self, job: Job, place: Path):
        self.job, self.place, self.luck = job, place, random.Random(0)
        self.phase = mmap.mmap(-1, 1)
        self.tally = Tally(job.kind)
        self.count = 0
        whole, again = self.folder(), self.folder()
        carry = [wait(child(job, whole, self.phase))]
        pid = child(job, again, self.phase)
        let_work(pid, float("inf"))
        self.takes = worked(pid)
        carry.append(wait(pid))
        if carry != [0, 0]:
            raise SystemExit(f"{job.kind}: does not run: {whole.with_suffix('.error').read_text()}")
        self.should, self.ledger = prints(whole), learnt(whole.with_suffix(".ledger"))
        lines = runs.read_metrics(whole)
        self.tally.steps, self.last = len(lines), int(lines[-1]["step"])
        self.compare(again)
        stamp = (whole / "manifest.json").stat().st_mtime_ns
        if wait(child(job, whole, self.phase)) or (whole / "manifest.json").stat().st_mtime_ns != stamp:
            self.tally.wrong.append("a finished run was touched")

    def apart(self, place: Path, seed: int) -> "Stage":
        """The same stage in another folder, with nothing done to it yet: in a process of its own, beside others."""
        other = copy.copy(self)
        other.place, other.luck, other.phase = place, random.Random(seed), mmap.mmap(-1, 1)
        other.tally = Tally(self.job.kind, steps=self.tally.steps)
        return other

    def folder(self) -> Path:
        self.count += 1
        return self.place / str(self.count) / self.job.kind

    def is_done(self, folder: Path) -> bool:
        return runs.finished(folder, self.job.kind, self.job.config, self.job.inputs, 0)

    def compare(self, folder: Path) -> None:
        self.tally.runs += 1
        is_now = prints(folder)
        if is_now != self.should:
            other = [name for name in is_now | self.should if is_now.get(name) != self.should.get(name)]
            self.tally.wrong.append(f"{folder}: {', '.join(other)}")
        elif not self.is_done(folder):
            self.tally.wrong.append(f"{folder}: does not know that it is done")
        elif learnt(folder.with_suffix(".ledger")) != self.ledger:
            self.tally.wrong.append(f"{folder}: skipped or repeated a batch")
        else:
            shutil.rmtree(folder.parent)

    def ended(self, folder: Path, code: int, *good: int) -> None:
        if code not in (0, *good):
            error = folder.with_suffix(".error")
            raise SystemExit(f"{folder}: ended with {code}: {error.read_text() if error.exists() else ''}")

    def stop_by_chance(self, how: str, number: signal.Signals, times: int) -> None:
        """Stop and go on until that was done so many times; a run that comes to its end is compared."""
        folder = self.folder()
        while True:
            folder.parent.mkdir(parents=True, exist_ok=True)
            pid = child(self.job, folder, self.phase)
            if more := getattr(self.tally, how) < times:
                let_work(pid, self.luck.uniform(0, self.takes))
                os.kill(pid, number)
            at = PHASES[self.phase[0]]
            code = wait(pid)
            self.ended(folder, code, -number, PREEMPTED, STOPPED)
            if code:
                self.stopped(how, folder, code, at)
            else:
                self.compare(folder)
                if not more:
                    return
                folder = self.folder()

    def stopped(self, how: str, folder: Path, code: int, at: str) -> None:
        if how == "harmed" and (self.is_done(folder) or not harm_the_newest(folder / "checkpoints", self.luck)):
            return  # who is done reads no checkpoint any more
        setattr(self.tally, how, getattr(self.tally, how) + 1)
        if how == "kills":
            self.tally.in_phase[at] += 1
        if how == "terms":
            self.check_left(folder, code)

    def check_left(self, folder: Path, code: int) -> None:
        """SIGTERM within the steps: the last logged one has its checkpoint."""
        if code == PREEMPTED and at_steps(folder) and (lines := runs.read_metrics(folder)):
            last = folder / "checkpoints" / f"step-{int(lines[-1]['step'])}"
            if self.job.kind != "pretrain" and not last.is_dir():  # which does not log each step
                self.tally.wrong.append(f"{folder}: left at {last.name} without a checkpoint")

    def stop_at_each(self, arm: Callable[[], None], code: int) -> int:
        """Go on with a run until it is done, each child armed against itself; how many were stopped."""
        folder, times = self.folder(), 0
        folder.parent.mkdir(parents=True, exist_ok=True)
        while ended := wait(child(self.job, folder, self.phase, arm)):
            self.ended(folder, ended, code)
            times += 1
        self.compare(folder)
        return times

    def begin_at_once(self) -> int:
        """Several processes on one folder; how many of them were refused."""
        folder = self.folder()
        folder.parent.mkdir(parents=True, exist_ok=True)
        codes = [wait(pid) for pid in [child(self.job, folder, self.phase) for _ in range(RIVALS)]]
        for code in codes:
            self.ended(folder, code, REFUSED)
        self.compare(folder)
        return codes.count(REFUSED)


def at_steps(folder: Path) -> bool:
    return (folder / "checkpoints").is_dir() and not (folder / "model").exists()


def killed(stage: Stage, kills: int) -> Tally:
    """`kill -9` after a random time."""
    begun = time.monotonic()
    stage.stop_by_chance("kills", signal.SIGKILL, kills)
    stage.tally.seconds = time.monotonic() - begun
    return stage.tally


def all_else(stage: Stage, terms: int, others: int, nth: int) -> Tally:
    """What is done at each place of a run, and what else after a random time. Of the checkpoints the last one alone is
    touched: the model and the manifest are written after it, and an older one is deleted."""
    begun = time.monotonic()
    tally = stage.tally
    stage.stop_by_chance("terms", signal.SIGTERM, terms)
    stage.stop_by_chance("ints", signal.SIGINT, others)
    stage.stop_by_chance("harmed", signal.SIGKILL, others)
    tally.at_lines = stage.stop_at_each(at_each_call(runs.Run, "log", die), -signal.SIGKILL)
    tally.at_checkpoints = stage.stop_at_each(at_each_call(loop, "keep", die), -signal.SIGKILL)
    tally.at_touches = stage.stop_at_each(at_each_touch(die, stage.last, nth), -signal.SIGKILL)
    tally.full = stage.stop_at_each(at_each_touch(fill_the_disk, stage.last, nth), FULL)
    tally.refused = stage.begin_at_once()
    tally.seconds = time.monotonic() - begun
    return tally


def side_by_side(work: list[Callable[[], Tally]]) -> list[Tally]:
    """Each piece of work in a process of its own, at once."""
    pipes = []
    for piece in work:
        out, back = os.pipe()
        if os.fork() == 0:
            os.close(out)
            try:
                with os.fdopen(back, "w") as file:
                    json.dump(vars(piece()), file)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(back)
        pipes.append(out)
    tallies = []
    for out in pipes:
        with os.fdopen(out) as file:
            tallies.append(Tally(**json.loads(file.read() or '{"stage": "", "wrong": ["it broke off"]}')))
        os.wait()
    return tallies


def together(one: Tally, other: Tally) -> Tally:
    """Two tallies of one stage."""
    apart = ("stage", "steps", "in_phase", "seconds")
    counts = [name for name in vars(one) if name not in apart]
    summed = {name: getattr(one, name) + getattr(other, name) for name in counts}
    in_phase = Counter(one.in_phase) + Counter(other.in_phase)
    seconds = max(one.seconds, other.seconds)
    return Tally(one.stage, steps=one.steps, in_phase=in_phase, seconds=seconds, **summed)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--kills", type=int, default=25, help="kill -9 after a random time, a stage")
    asked.add_argument("--terms", type=int, default=5, help="SIGTERM after a random time, a stage")
    asked.add_argument("--others", type=int, default=5, help="Ctrl-C and a harmed checkpoint, so many of each a stage")
    asked.add_argument("--nth", type=int, default=1, help="at every nth touch of a file")
    asked.add_argument("--stage", choices=STAGES, action="append")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--json", action="store_true")
    given = asked.parse_args()
    torch.set_num_threads(1)
    provenance.code(), provenance.environment()  # once, and not in each child
    place = Path(tempfile.mkdtemp(prefix="torture-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    wrong = False
    for name, job in jobs(place).items():
        if given.stage and name not in given.stage:
            continue
        carry_out(job, place / name / "once" / name)  # what is imported late is imported now, and not in each child
        gc.freeze()  # what is there already: a child that looked it through would copy each page of it
        stage = Stage(job, place / name)
        one = functools.partial(killed, stage.apart(place / name / "a", 2 * given.seed), given.kills)
        counts = given.terms, given.others, given.nth
        other = functools.partial(all_else, stage.apart(place / name / "b", 2 * given.seed + 1), *counts)
        tally = functools.reduce(together, side_by_side([one, other]), stage.tally)
        wrong |= bool(tally.wrong)
        print(json.dumps(vars(tally)) if given.json else said(tally), flush=True)
    if wrong:
        raise SystemExit(f"not the same bits; see {place}")
    shutil.rmtree(place)


def said(tally: Tally) -> str:
    phases = ", ".join(f"{tally.in_phase[phase]} {phase}" for phase in PHASES)
    return (
        f"{tally.stage}: {tally.kills} kills ({phases}), {tally.at_lines} after a line, "
        f"{tally.at_checkpoints} after a checkpoint, {tally.at_touches} at a touch of a file; {tally.full} full disks, "
        f"{tally.terms} SIGTERM, {tally.ints} Ctrl-C, {tally.harmed} harmed checkpoints, {tally.refused} refused; "
        f"{tally.runs} runs of {tally.steps} lines, {len(tally.wrong)} not the same; {tally.seconds:.1f} s"
        + "".join(f"\n  {line}" for line in tally.wrong)
    )


if __name__ == "__main__":
    main()
