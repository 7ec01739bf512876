"""Whatever happens to a checkpoint's files, or while they are written: a sound one is found, or its loss is said."""

import errno
import itertools
import os
import random
import resource
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

import faults
from biddable.model import checkpoint
from biddable.runs import Corrupt

RUN = "0123456789abcdef"
MUTATIONS = 10_000
FILES = ("tensors.safetensors", "state.json", "MANIFEST.json")


def save(folder: Path, step: int) -> None:
    tensors = {"net.weight": torch.full((7, 5), float(step)), "adam.0.step": torch.tensor(step)}
    checkpoint.save(folder, step, tensors, {"best": step / 3, "metrics": {"bytes": 10 * step}}, RUN)


def died(action: Callable[[], None]) -> int:
    """Do it in a fork; by which signal that died, or 0."""
    if (pid := os.fork()) == 0:
        try:
            action()
        finally:
            os._exit(0)  # its own errors are the business of `found`
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


def dies_before(nth: int) -> None:
    """Have this process killed before its nth call that touches a file or a folder."""
    count = itertools.count(1)
    faults.before_each_touch(lambda: faults.die() if next(count) == nth else None)


def step_found(folder: Path) -> int | None:
    """The step that would be gone on with, all of whose numbers must be its own."""
    found = checkpoint.newest(folder, RUN)
    if found is None:
        return None
    assert found.tensors["net.weight"].eq(found.step).all()
    assert found.tensors["adam.0.step"] == found.step
    assert found.state == {"best": found.step / 3, "metrics": {"bytes": 10 * found.step}}
    return found.step


def test_a_kill_before_any_touch_of_a_file_leaves_the_last_checkpoint_or_the_new_one(tmp_path):
    """Exhaustive: the first save, the second and the third, which also deletes; each killed before its nth call."""
    outcomes: Counter[tuple[int, int | None]] = Counter()
    for step in (1, 2, 3):
        for nth in itertools.count(1):
            folder = tmp_path / f"{step}-{nth}"
            for before in range(1, step):
                save(folder, before)
            killed = died(lambda: (dies_before(nth), save(folder, step)))  # noqa: B023
            found = step_found(folder)
            assert found in ({step, step - 1} if step > 1 else {1, None})
            outcomes[step, found] += 1
            save(folder, step)  # and it can be done again
            assert step_found(folder) == step
            assert not list(folder.glob(".*")), "nothing half-written stays"
            assert not list(folder.glob("corrupt*")), "a kill is no corruption"
            if not killed:
                assert found == step
                break
            assert killed == signal.SIGKILL
    # Else the net has holes: each save reads, writes, syncs and renames in some thirty calls.
    assert all(sum(n for (step, _), n in outcomes.items() if step == which) > 25 for which in (1, 2, 3))
    assert outcomes[3, 2] > 10
    assert outcomes[3, 3] > 3


@pytest.mark.parametrize("size", [0, 1, 7, 100, 200, 300, 359])
def test_a_kill_inside_a_write_leaves_the_last_checkpoint(tmp_path, size):
    """The kernel itself kills whoever writes beyond the limit: a write that is torn at any byte."""
    save(tmp_path, 1)

    def torn() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        save(tmp_path, 2)

    assert died(torn) == signal.SIGXFSZ
    assert step_found(tmp_path) == 1
    save(tmp_path, 2)
    assert step_found(tmp_path) == 2


@pytest.mark.parametrize("size", [0, 100, 300])
def test_a_full_disk_leaves_the_last_checkpoint_and_nothing_half_written(tmp_path, size):
    save(tmp_path, 1)

    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            save(tmp_path, 2)
        except (OSError, SafetensorError) as error:
            wrong = os.strerror(errno.EFBIG) in str(error)
            os.kill(os.getpid(), signal.SIGUSR1 if wrong else signal.SIGUSR2)

    assert died(full) == signal.SIGUSR1
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert step_found(tmp_path) == 1


def test_what_is_written_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """A power cut loses what was not synced: each file, then its folder, then the rename, then the parent."""
    order = []
    sync, rename = checkpoint._sync, Path.rename
    monkeypatch.setattr(checkpoint, "_sync", lambda path: (order.append(path.name), sync(path)))
    monkeypatch.setattr(Path, "rename", lambda path, new: (order.append(f"to {new.name}"), rename(path, new))[1])
    save(tmp_path / "c", 1)
    assert order == [*FILES, ".step-1.part", "to step-1", "c"]


@pytest.fixture
def in_memory(tmp_path) -> Iterator[Path]:
    """A folder that is on no disk, where the system has such: some disks take their time over each file that is cut."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as place:
        yield Path(place)


def test_ten_thousand_mutations_are_all_seen_and_blamed_on_their_file(in_memory):
    """Of each file of a checkpoint, beside: a file that is missing or is the other step's, and two that are swapped."""
    luck = random.Random(0)
    for step in (1, 2):
        save(in_memory, step)
    place, other = in_memory / "step-2", in_memory / "step-1"
    whole = {name: (place / name).read_bytes() for name in FILES}
    blamed, seen = 0, 0
    while seen < MUTATIONS:
        name = luck.choice(FILES)
        harmed = (name,)
        match luck.randrange(len(faults.HARMS) + 3):
            case 0:
                (place / name).unlink()
            case 1:
                shutil.copyfile(other / name, place / name)
            case 2:
                harmed = tuple(luck.sample(FILES, 2))
                (place / harmed[0]).write_bytes(whole[harmed[1]])
                (place / harmed[1]).write_bytes(whole[harmed[0]])
            case which:
                data = bytearray(whole[name])
                faults.HARMS[which - 3](data, luck)
                if data == whole[name]:
                    continue  # zeros over zeros
                (place / name).write_bytes(data)
        wrong = checkpoint.fault(place, RUN)
        seen += bool(wrong)
        assert wrong, f"not seen: {harmed}"
        blamed += any(wrong.startswith(str(place / name)) for name in harmed)
        for name in harmed:
            (place / name).write_bytes(whole[name])
    assert blamed == seen
    assert not checkpoint.fault(place, RUN)


def test_what_is_unsound_is_set_aside_by_name_and_the_one_before_is_used(tmp_path, capsys):
    for step in (1, 2):
        save(tmp_path, step)
    (tmp_path / "step-2" / "state.json").write_text("{}", encoding="utf-8")
    assert step_found(tmp_path) == 1
    line = f"biddable: {tmp_path}/step-2/state.json: is not what was written; set aside as corrupt-step-2\n"
    assert capsys.readouterr().err == line
    assert step_found(tmp_path) == 1
    assert capsys.readouterr().err == ""


def test_with_no_sound_one_left_nothing_begins_afresh_in_silence(tmp_path):
    folder = tmp_path / "checkpoints"
    for step in (1, 2):
        save(folder, step)
        (folder / f"step-{step}" / "MANIFEST.json").unlink()
    for _ in range(2):  # and it stays so
        with pytest.raises(Corrupt, match=f"no sound checkpoint is left; delete {tmp_path} to begin afresh"):
            checkpoint.newest(folder, RUN)


@pytest.mark.parametrize(
    ("harm", "fault"),
    [
        (lambda place: place.rename(place.with_name("step-3")), "MANIFEST.json: is of step 2"),
        (
            lambda place: shutil.copytree(place.with_name("step-1"), place, dirs_exist_ok=True),
            "MANIFEST.json: is of step 1",
        ),
    ],
)
def test_a_checkpoint_of_another_step_is_refused(tmp_path, capsys, harm, fault):
    for step in (1, 2):
        save(tmp_path, step)
    harm(tmp_path / "step-2")
    assert step_found(tmp_path) == 1
    assert fault in capsys.readouterr().err


def test_a_checkpoint_of_another_run_or_format_is_refused(tmp_path, monkeypatch):
    save(tmp_path, 1)
    assert checkpoint.fault(tmp_path / "step-1", "another").endswith("MANIFEST.json: is of another run")
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    assert checkpoint.fault(tmp_path / "step-1", RUN).endswith("MANIFEST.json: is of format 2, not 3")


def test_the_older_ones_stay_when_the_new_one_does_not_read_back(tmp_path, monkeypatch):
    for step in (1, 2):
        save(tmp_path, step)
    sync = checkpoint._sync

    def a_disk_that_lies(path: Path) -> None:
        sync(path)
        if path.name == checkpoint.STATE:
            path.write_text("{}", encoding="utf-8")

    monkeypatch.setattr(checkpoint, "_sync", a_disk_that_lies)
    with pytest.raises(Corrupt, match=r"step-3/state.json: is not what was written when read back"):
        save(tmp_path, 3)
    assert step_found(tmp_path) == 2
