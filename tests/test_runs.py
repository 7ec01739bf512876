"""A run is a folder that can be killed, continued, found finished, and refused when it would become another."""

import errno
import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from biddable import runs
from biddable.config import ConfigError, Settings
from biddable.runs import Corrupt, NotFinite, Preempted


class Probe(Settings):
    steps: int = 4
    rate: float = 0.1


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Path]:
    path = tmp_path / "demos.jsonl"
    path.write_text("one\n", encoding="utf-8")
    return {"data": path}


def walk(folder: Path, inputs: dict[str, Path], config: Probe | None = None, seed: int = 0) -> None:
    """A run of a few steps with one output."""
    config = config or Probe()
    with runs.start(folder, "probe", config, inputs, seed) as run:
        for step in range(config.steps):
            run.log(step, loss=1 / (step + 1))
        weights = run.output("weights", folder / "weights.txt")
        weights.write_text("w" * config.steps, encoding="utf-8")


def test_a_finished_run_says_all_that_it_took(tmp_path, data):
    folder = tmp_path / "runs" / "probe"
    walk(folder, data, seed=3)
    manifest = runs.read_manifest(folder)
    assert (manifest.id, manifest.kind, manifest.seed, manifest.status) == ("probe", "probe", 3, "done")
    assert manifest.config == {"steps": 4, "rate": 0.1}
    # sha256 by another hand: hashlib on the bytes that we know we wrote.
    assert manifest.inputs["data"].sha256 == hashlib.sha256(b"one\n").hexdigest()
    assert manifest.outputs["weights"].sha256 == hashlib.sha256(b"wwww").hexdigest()
    assert manifest.outputs["weights"].path == "weights.txt"
    assert manifest.outputs["weights"].bytes == 4
    assert manifest.finished is not None
    assert manifest.finished >= manifest.started
    assert manifest.environment.cpus >= 1
    assert "pydantic" in manifest.environment.packages
    assert [line["loss"] for line in runs.read_metrics(folder)] == [1, 1 / 2, 1 / 3, 1 / 4]
    assert runs.finished(folder, "probe", Probe(), data, 3)


def test_the_manifest_says_running_while_it_runs(tmp_path, data):
    with runs.start(tmp_path / "r", "probe", Probe(), data, 0):
        assert runs.read_manifest(tmp_path / "r").status == "running"
        assert not runs.finished(tmp_path / "r", "probe", Probe(), data, 0)


def test_a_run_is_not_finished_when_anything_of_it_is_another(tmp_path, data):
    folder = tmp_path / "r"
    assert not runs.finished(folder, "probe", Probe(), data, 0)
    walk(folder, data)
    assert runs.finished(folder, "probe", Probe(), data, 0)
    assert not runs.finished(folder, "other", Probe(), data, 0)
    assert not runs.finished(folder, "probe", Probe(rate=0.2), data, 0)
    assert not runs.finished(folder, "probe", Probe(), data, 1)
    assert not runs.finished(folder, "probe", Probe(), {}, 0)
    data["data"].write_text("two\n", encoding="utf-8")
    assert not runs.finished(folder, "probe", Probe(), data, 0)
    data["data"].write_text("one\n", encoding="utf-8")
    (folder / "weights.txt").write_text("wwwx", encoding="utf-8")
    assert not runs.finished(folder, "probe", Probe(), data, 0)
    (folder / "weights.txt").unlink()
    assert not runs.finished(folder, "probe", Probe(), data, 0)


def test_a_run_is_finished_when_all_its_outputs_are(tmp_path, data):
    folder = tmp_path / "r"
    with runs.start(folder, "probe", Probe(), data, 0) as run:
        for name in ("a", "b"):
            run.output(name, folder / name).write_text(name, encoding="utf-8")
    assert runs.finished(folder, "probe", Probe(), data, 0)
    (folder / "b").write_text("torn", encoding="utf-8")
    assert not runs.finished(folder, "probe", Probe(), data, 0)


def test_a_moved_run_is_still_finished(tmp_path, data):
    walk(tmp_path / "r", data)
    (tmp_path / "r").rename(tmp_path / "moved")
    assert runs.finished(tmp_path / "moved", "probe", Probe(), data, 0)


@pytest.mark.parametrize(
    ("config", "seed", "content", "fault"),
    [
        (Probe(rate=0.5), 0, "one\n", "rate was 0.1 and is now 0.5"),
        (Probe(), 1, "one\n", "its seed is 0, not 1"),
        (Probe(), 0, "two\n", "its input data was another"),
    ],
)
def test_a_folder_never_becomes_another_run(tmp_path, data, config, seed, content, fault):
    folder = tmp_path / "r"
    walk(folder, data)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    data["data"].write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=fault) as caught:
        walk(folder, data, config, seed)
    assert str(caught.value).startswith(f"{folder}: holds another run: ")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_folder_with_somebodys_files_is_refused(tmp_path, data):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not empty and holds no run"):
        walk(tmp_path / "mine", data)
    with pytest.raises(ConfigError, match="is a file"):
        walk(tmp_path / "mine" / "thesis.txt", data)


def test_an_input_that_is_missing_is_named_before_anything_is_made(tmp_path):
    with pytest.raises(ConfigError, match=r"data: .*no\.jsonl: no such file or folder"):
        walk(tmp_path / "r", {"data": tmp_path / "no.jsonl"})
    assert not (tmp_path / "r").exists()


def test_a_broken_manifest_is_named(tmp_path, data):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not a run's manifest"):
        walk(tmp_path / "r", data)
    with pytest.raises(ConfigError, match="is not a run"):
        runs.read_manifest(tmp_path)


def test_a_failure_is_kept_with_its_reason_and_can_be_continued(tmp_path, data):
    folder = tmp_path / "r"

    def fail() -> None:
        with runs.start(folder, "probe", Probe(), data, 0) as run:
            run.log(0, loss=1.0)
            raise ValueError("no gradient")

    with pytest.raises(ValueError, match="no gradient"):
        fail()
    failed = runs.read_manifest(folder)
    assert (failed.status, failed.error) == ("failed", "ValueError: no gradient")
    with runs.start(folder, "probe", Probe(), data, 0) as run:
        run.log(1, loss=0.5)
    done = runs.read_manifest(folder)
    assert (done.status, done.error, done.started) == ("done", None, failed.started)
    assert [line["step"] for line in runs.read_metrics(folder)] == [0, 1]


def test_a_failure_before_anything_was_made_leaves_nothing(tmp_path, data):
    with pytest.raises(ValueError, match="bad row"), runs.start(tmp_path / "r", "probe", Probe(), data, 0):
        raise ValueError("bad row")
    assert not (tmp_path / "r").exists()


def test_a_run_that_was_killed_before_it_made_anything_holds_no_place(tmp_path, data):
    folder = tmp_path / "r"
    with runs.start(folder, "probe", Probe(), data, 0) as run:
        running = (folder / "manifest.json").read_bytes()
        run.log(0, loss=1.0)
    (folder / "manifest.json").write_bytes(running)  # as a kill would have left it
    with pytest.raises(ConfigError, match="seed is 0, not 1"):
        walk(folder, data, seed=1)
    (folder / "metrics.jsonl").unlink()
    walk(folder, data, seed=1)
    assert runs.finished(folder, "probe", Probe(), data, 1)


def test_an_output_that_was_promised_and_not_left_is_a_failure(tmp_path, data):
    def promise() -> None:
        with runs.start(tmp_path / "r", "probe", Probe(), data, 0) as run:
            run.log(0, loss=1.0)
            run.output("weights", tmp_path / "r" / "weights")

    with pytest.raises(FileNotFoundError):
        promise()
    assert runs.read_manifest(tmp_path / "r").status == "failed"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused_by_name(tmp_path, data, value):
    folder = tmp_path / "r"

    def diverge() -> None:
        with runs.start(folder, "probe", Probe(), data, 0) as run:
            run.log(0, loss=1.0, kl=0.0)
            run.log(1, loss=1.0, kl=value)

    with pytest.raises(NotFinite, match="step 1: kl is "):
        diverge()
    assert runs.read_metrics(folder) == [{"step": 0, "loss": 1.0, "kl": 0.0}]
    assert runs.read_manifest(folder).status == "failed"


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path, data):
    with runs.start(tmp_path / "r", "probe", Probe(), data, 0) as run:
        path = tmp_path / "r" / "metrics.jsonl"
        assert run.sync_metrics()["bytes"] == 0
        for step in range(3):
            run.log(step, loss=0.1 + step)
        mark = run.sync_metrics()
        # by another hand
        assert mark == {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for step in (3, 4):
            run.log(step, loss=0.1 + step)
        before = path.read_bytes()
        run.rewind_metrics(mark)
        assert [line["step"] for line in runs.read_metrics(run.folder)] == [0, 1, 2]
        for step in (3, 4):
            run.log(step, loss=0.1 + step)
        assert path.read_bytes() == before
        run.rewind_metrics(None)
        assert runs.read_metrics(run.folder) == []


@pytest.mark.parametrize("harm", ["lost", "short", "changed"])
def test_metrics_that_are_not_what_was_logged_are_not_gone_on_with(tmp_path, data, harm):
    with runs.start(tmp_path / "r", "probe", Probe(), data, 0) as run:
        path = tmp_path / "r" / "metrics.jsonl"
        run.log(1, loss=0.25)
        mark = run.sync_metrics()
        match harm:
            case "lost":
                path.unlink()
            case "short":
                path.write_bytes(path.read_bytes()[:-1])
            case "changed":
                path.write_bytes(path.read_bytes().replace(b"0.25", b"0.26"))
        with pytest.raises(Corrupt, match=r"metrics\.jsonl: is not what was logged up to the checkpoint"):
            run.rewind_metrics(mark)


def test_the_same_run_twice_logs_the_same_bytes(tmp_path, data):
    walk(tmp_path / "a", data)
    walk(tmp_path / "b", data)
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == (tmp_path / "b" / "metrics.jsonl").read_bytes()


def test_a_folder_is_hashed_by_the_names_and_contents_of_its_files(tmp_path):
    contents = {f"{letter}/{n}.txt": f"{letter}{n}".encode() for letter in "dbac" for n in (3, 1, 2)}
    for name, order in (("one", list(contents)), ("two", list(reversed(contents)))):
        for file in order:  # a folder lists its files in the order of their making, or in none
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_bytes(contents[file])
    one, two = runs.artifact(tmp_path / "one"), runs.artifact(tmp_path / "two")
    assert (one.sha256, one.bytes) == (two.sha256, 24)
    # The slow definition: what `sha256sum a/1.txt a/2.txt … | sha256sum` says.
    listing = "".join(f"{hashlib.sha256(contents[file]).hexdigest()}  {file}\n" for file in sorted(contents))
    assert one.sha256 == hashlib.sha256(listing.encode()).hexdigest()
    (tmp_path / "two" / "a" / "1.txt").rename(tmp_path / "two" / "a" / "4.txt")
    assert runs.artifact(tmp_path / "two").sha256 != one.sha256


def test_two_processes_never_share_a_run(tmp_path, data):
    with runs.start(tmp_path / "r", "probe", Probe(), data, 0), pytest.raises(ConfigError, match="another process"):
        walk(tmp_path / "r", data)


def test_the_second_process_is_refused_at_once_and_told_who_the_first_is(tmp_path, data, monkeypatch):
    """Before its inputs are hashed, which for large ones takes minutes."""
    child = begin(tmp_path, data["data"])
    try:
        monkeypatch.setattr(runs, "artifact", lambda *_: pytest.fail("it was hashed"))
        begun = time.monotonic()
        with pytest.raises(ConfigError, match=rf"another process \({child.pid} on .*\) is running this run"):
            walk(tmp_path / "r", data)
        assert time.monotonic() - begun < 1
        monkeypatch.undo()
        child.send_signal(signal.SIGKILL)
        child.wait()
        with runs.start(tmp_path / "r", "probe", Probe(), data, 0):
            pass  # the kernel has let go of a dead one's lock
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("moment", ["between", "steps", "twice"])
def test_sigterm_waits_for_the_end_of_a_step_and_for_nothing_else(tmp_path, data, moment):
    reached = []

    def run_on() -> None:
        with runs.start(tmp_path / "r", "probe", Probe(), data, 0) as run:
            if moment == "between":
                signal.raise_signal(signal.SIGTERM)
                reached.append("too far")
            with run.steps("probe", 4, 0) as bar:
                for step in range(1, 5):
                    run.log(step, loss=1.0)
                    bar.advance()
                    if step == 2:
                        signal.raise_signal(signal.SIGTERM)
                        if moment == "twice":
                            signal.raise_signal(signal.SIGTERM)
                        reached.append("after the signal")
                    run.leave(step)

    with pytest.raises(Preempted, match="stopped after step 2" if moment == "steps" else r"r: stopped$"):
        run_on()
    assert reached == (["after the signal"] if moment == "steps" else [])
    if moment != "between":  # where it had made nothing yet
        assert runs.read_manifest(tmp_path / "r").status == "stopped"
        assert [line["step"] for line in runs.read_metrics(tmp_path / "r")] == [1, 2]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(("number", "told"), [(signal.SIGTERM, Preempted), (signal.SIGINT, KeyboardInterrupt)])
def test_a_library_cut_off_by_a_signal_may_say_what_it_likes(tmp_path, data, number, told):
    def library(number: int | None) -> None:
        try:
            if number is not None:
                signal.raise_signal(number)
        finally:
            raise RuntimeError("trying to pop from empty mode stack")

    def run_on(number: int | None) -> None:
        with runs.start(tmp_path / "r", "probe", Probe(), data, 0) as run:
            run.log(1, loss=1.0)
            library(number)

    with pytest.raises(told) as caught:
        run_on(number)
    assert type(caught.value) is told
    assert runs.read_manifest(tmp_path / "r").status == "stopped"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(RuntimeError, match="empty mode stack"):  # its own fault stays its own
        run_on(None)
    assert runs.read_manifest(tmp_path / "r").status == "failed"


def test_of_a_folder_that_changed_the_file_is_named(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        (model / name).write_text(name, encoding="utf-8")
    walk(tmp_path / "r", {"model": model})
    (model / "tokenizer.json").write_text("other words", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"its input model was another \(tokenizer\.json changed\); choose another"):
        walk(tmp_path / "r", {"model": model})
    (model / "tokenizer.json").write_text("tokenizer.json", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"its input pages was not given"):
        walk(tmp_path / "r", {"model": model, "pages": model / "config.json"})


def test_other_versions_of_the_libraries_are_told(tmp_path, data, capsys, monkeypatch):
    def stopped() -> None:
        with runs.start(tmp_path / "r", "probe", Probe(), data, 0) as run:
            run.log(1, loss=1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    now = runs.environment()
    old = now.model_copy(update={"packages": now.packages | {"numpy": "0.1"}})
    monkeypatch.setattr(runs, "environment", lambda: old)
    walk(tmp_path / "r", data)
    assert re.search(
        r"r: numpy was [\d.]+ and is now 0\.1: what is left of this run may differ", capsys.readouterr().err
    )


def test_scratch_is_deleted_when_the_run_is_done_and_not_before(tmp_path, data):
    def run_on(fail: bool) -> None:
        with runs.start(tmp_path / "r", "probe", Probe(), data, 0) as run:
            (run.folder / "scratch").mkdir(exist_ok=True)
            run.scratch.append(run.folder / "scratch")
            if fail:
                raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_on(fail=True)
    assert (tmp_path / "r" / "scratch").is_dir()
    run_on(fail=False)
    assert not (tmp_path / "r" / "scratch").exists()


SLOW_RUN = """
    import sys, time
    from pathlib import Path
    from biddable import runs
    from biddable.config import Settings

    class Probe(Settings):
        steps: int = 4
        rate: float = 0.1

    folder, data = Path(sys.argv[1]), Path(sys.argv[2])
    with runs.start(folder, "probe", Probe(), {"data": data}, 0) as run:
        done = len(runs.read_metrics(folder))
        for step in range(done, 10_000):
            run.log(step, loss=1 / (step + 1))
            time.sleep(0.001)
"""


def begin(tmp_path: Path, data: Path) -> subprocess.Popen:
    """A child in the middle of a run that would take its time."""
    code = textwrap.dedent(SLOW_RUN)
    child = subprocess.Popen([sys.executable, "-c", code, tmp_path / "r", data], stderr=subprocess.DEVNULL)
    metrics = tmp_path / "r" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not metrics.exists() or metrics.stat().st_size < 200:
        assert time.monotonic() < deadline, "the child did not begin"
        assert child.poll() is None, "the child ended before it was stopped"
        time.sleep(0.01)
    return child


def test_a_run_that_is_killed_is_continued(tmp_path, data):
    child = begin(tmp_path, data["data"])
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    folder = tmp_path / "r"
    killed = runs.read_manifest(folder)
    assert killed.status == "running"
    before = runs.read_metrics(folder)
    # A kill inside a write leaves half a line; whether this one did is luck, so we make it so.
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 99999, "lo')
    assert runs.read_metrics(folder) == before
    with runs.start(folder, "probe", Probe(), data, 0) as run:
        run.log(len(before), loss=0.0)
    done = runs.read_manifest(folder)
    assert (done.status, done.started) == ("done", killed.started)
    assert [line["step"] for line in runs.read_metrics(folder)] == list(range(len(before) + 1))


def test_ctrl_c_leaves_a_stopped_run_that_goes_on(tmp_path, data):
    child = begin(tmp_path, data["data"])
    child.send_signal(signal.SIGINT)
    assert child.wait() != 0
    stopped = runs.read_manifest(tmp_path / "r")
    assert (stopped.status, stopped.error) == ("stopped", None)
    assert stopped.seconds > 0
    with runs.start(tmp_path / "r", "probe", Probe(), data, 0):
        pass
    done = runs.read_manifest(tmp_path / "r")
    assert done.status == "done"
    assert done.seconds >= stopped.seconds


def test_a_full_disk_stops_the_run_and_keeps_the_manifest_whole(tmp_path, data):
    """A real EFBIG from the kernel: the child may write no file larger than 4 kB, and logs more than that."""
    code = textwrap.dedent(SLOW_RUN).replace("time.sleep(0.001)", "pass")

    def small_files_only() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    child = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "r", data["data"]],
        preexec_fn=small_files_only, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert child.returncode != 0
    failed = runs.read_manifest(tmp_path / "r")
    assert failed.status == "failed"
    assert os.strerror(errno.EFBIG) in (failed.error or "")
    logged = runs.read_metrics(tmp_path / "r")
    assert [line["step"] for line in logged] == list(range(len(logged)))
    with runs.start(tmp_path / "r", "probe", Probe(), data, 0) as run:
        run.log(len(logged), loss=0.0)
    assert len(runs.read_metrics(tmp_path / "r")) == len(logged) + 1


def test_a_disk_that_is_too_full_is_said_before_the_work(tmp_path):
    runs.check_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(OSError, match=r"No space left on device: 1000000000\.00 GB are needed here and .* GB are free"):
        runs.check_space(tmp_path / "not" / "yet", 10**18)


def test_writing_aside_keeps_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.json"
    runs.write_aside(path, "old")
    with pytest.raises(UnicodeEncodeError):
        runs.write_aside(path, "new \ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    runs.write_aside(path, "new")
    assert path.read_text(encoding="utf-8") == "new"


def test_a_runs_manifest_is_plain_json(tmp_path, data):
    walk(tmp_path / "r", data)
    manifest = json.loads((tmp_path / "r" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["code"]["version"]
    assert set(manifest) == set(runs.RunManifest.model_fields)
