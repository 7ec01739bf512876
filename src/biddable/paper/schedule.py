"""Experiments two at a time: each begins when what it reads is there, those on the longest chain first."""

import functools
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from biddable.paper.plan import Job
from biddable.progress import PERCENT, note, progress
from biddable.quickstart.machines import run, share_done
from biddable.runs import MANIFEST, read_manifest

AT_ONCE = 2


def once(jobs: Iterable[Job]) -> list[Job]:
    """Each folder's job once, whoever asked for it."""
    found: dict[Path, Job] = {}
    for job in jobs:
        there = found.setdefault(job.stage.folder, job)
        if there.stage != job.stage:
            raise ValueError(f"{job.stage.folder}: two different experiments have this name")
    return list(found.values())


def chains(jobs: Sequence[Job]) -> dict[Path, float]:
    """By product: seconds until the last of those that wait for it would be done, itself included."""
    readers: dict[Path, list[Job]] = {job.leaves: [] for job in jobs}
    for job in jobs:
        for given in needs(job, readers):
            readers[given].append(job)

    @functools.cache
    def chain(place: Path) -> float:
        return seconds[place] + max((chain(reader.leaves) for reader in readers[place]), default=0.0)

    seconds = {job.leaves: job.seconds for job in jobs}
    return {place: chain(place) for place in readers}


def needs(job: Job, made: Iterable[Path]) -> set[Path]:
    """What it reads of what others make."""
    return set(job.stage.inputs.values()) & set(made)


def carry_out(pool: ProcessPoolExecutor, asked: Iterable[Job]) -> None:
    """Do all of them. The first that fails ends it, and its folder is told; what is done is not done twice."""
    jobs = once(asked)
    length = chains(jobs)
    waiting = sorted(jobs, key=lambda job: -length[job.leaves])
    running: dict[Future[Path], Job] = {}
    total = sum(job.seconds for job in jobs) or 1.0
    done, before = 0.0, sum(job.seconds for job in jobs if _there(job))
    left = {job.leaves for job in jobs}  # products that are not there yet
    with progress("experiments", 100, PERCENT, before=int(100 * before / total)) as bar:
        while waiting or running:
            for job in [job for job in waiting if not needs(job, left)][: AT_ONCE - len(running)]:
                waiting.remove(job)
                running[pool.submit(run, job.stage)] = job
            finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in finished:
                job = running.pop(future)
                _refuse_failed(future, job)
                left.remove(job.leaves)
                done += job.seconds
            going = sum(job.seconds * share_done(job.stage) for job in running.values())
            bar.told = " and ".join(job.stage.name for job in running.values())
            bar.advance(max(0, int(100 * (done + going) / total) - bar.done))


def _there(job: Job) -> bool:
    """Done before, by its own word; whether it is still this very experiment is asked when its turn comes."""
    folder = job.stage.folder
    return (folder / MANIFEST).exists() and read_manifest(folder).status == "done"


def _refuse_failed(future: Future[Path], job: Job) -> None:
    error = future.exception()
    if error is not None:
        note(f"{job.stage.folder}: this experiment failed; mended, the same command goes on from it")
        raise error
