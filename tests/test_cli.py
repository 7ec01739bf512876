"""The command line as a user meets it: order, examples, one line for what they can mend, and nothing half-written."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from typer.testing import CliRunner

import warm
from biddable import records, runs
from biddable.cli import app
from biddable.model import causal
from biddable.records import Completion, Demonstration, Item, Judgement, Labeler, Prompt, Ranking, Verdict
from tiny import byte_tokenizer, demonstrations, llama, pages, prompts, rankings, saved

LOOP = [
    "init", "gather", "import", "label", "verify", "copy", "snapshot", "sft", "start", "sample", "receive", "reward",
    "score", "ppo", "rloo", "grpo", "reinforce", "raft", "dpo", "follow", "export", "evaluate", "mark", "toxicity",
    "judge", "measure", "report", "trace", "withdraw", "quickstart", "paper", "plan", "masks", "doctor", "hamlet",
]  # fmt: skip
VERBS = LOOP[:-1]
SMALL = ["epochs=1", "prompt_tokens=32", "answer_tokens=16"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test in a folder of its own, as a user in theirs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIDDABLE_QUIET", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("BIDDABLE_STORE", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("model") / "base")


def ask(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def complain(*words: object) -> str:
    """The one line of complaint of a command that must fail."""
    result = ask(*words)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("biddable: "), result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0].removeprefix("biddable: ")


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_help_lists_the_verbs_in_the_order_of_the_loop():
    result = ask("--help")
    assert result.exit_code == 0
    listed = re.findall(r"^│ ([a-z]+)  ", plain(result.output), flags=re.MULTILINE)
    assert listed == LOOP


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_an_example(verb):
    shown = " ".join(plain(ask(verb, "--help").output).split())
    assert f"Example: biddable {verb} " in shown


def test_torch_is_not_loaded_until_a_verb_needs_it():
    heavy = "{'torch', 'transformers', 'sqlalchemy', 'numpy', 'matplotlib'}"
    code = f"import biddable.cli, sys; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command_is_installed():
    answer = subprocess.run(
        [Path(sys.executable).with_name("biddable"), "--version"], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"biddable \d+\.\d+\.\d+\n", answer.stdout)


# Bad input: one line, exit status 2, nothing half-written.


def test_a_missing_file_is_named(base):
    assert complain("sft", f"model={base}", "data=no.jsonl") == "data: no.jsonl: no such file"
    assert complain("sft", "no.toml", f"model={base}").startswith("no.toml: cannot be read: No such file")
    assert complain("receive", "no.jsonl").startswith("no biddable.toml in this folder or above it")
    assert not list(Path().iterdir())


def test_a_missing_recipe_is_named_before_torch_is_loaded():
    """Loading it takes seconds, and on a busy machine much longer."""
    code = "import sys; sys.modules['torch'] = None; from biddable.cli import main; main()"
    for verb in (
        ["sft"],
        ["start"],
        ["sample", "sft"],
        ["reward"],
        ["ppo"],
        ["rloo"],
        ["quickstart"],
        ["hamlet", "pretrain"],
    ):
        answer = warm.run(*verb, "no.toml", code=code, loaded=warm.LABEL)
        assert answer.stderr == "biddable: no.toml: cannot be read: No such file or directory\n"
        assert answer.returncode == 2


def test_what_the_user_wrote_is_named_and_no_file_aside():
    assert complain("hamlet", "prompts", 3, "--out", "nodir/x.jsonl") == "nodir/x.jsonl: No such file or directory"
    assert complain("hamlet", "pages", 3, "--out", "nodir/x.jsonl") == "nodir/x.jsonl: No such file or directory"
    ask("init", "p")
    os.chdir("p")
    assert complain("snapshot", "demos") == (
        "demos: no demonstrations by training labelers on train prompts (0 of any kind are stored); nothing was written"
    )


def test_no_snapshot_says_how_to_make_one(base):
    ask("init", "p")
    os.chdir("p")
    assert complain("ppo", f"start={base}", f"reward_model={base}") == (
        "data: no prompts-*.jsonl here; make one with `biddable snapshot prompts`, or say data=FILE"
    )
    os.chdir("..")
    assert complain("sft", f"model={base}") == (
        "data: no demos-*.jsonl here; make one with `biddable snapshot demos`, or say data=FILE"
    )


def test_a_bad_row_is_named(base):
    demonstrations(Path("demos.jsonl"), [("say red", "red")])
    with Path("demos.jsonl").open("a") as file:
        file.write('{"kind":"demonstration","prompt_id":"p","text":"x"}\n')
    line = complain("sft", f"model={base}", "data=demos.jsonl", *SMALL)
    assert line == "demos.jsonl, row 4: demonstration.labeler: is missing"
    assert not Path("runs/sft").exists()


def test_an_unknown_key_is_guessed(base):
    assert complain("sft", f"model={base}", "epoch=2") == "epoch: no such key; did you mean epochs?"
    assert complain("sft", f"modle={base}") == "modle: no such key; did you mean model?"
    Path("x.toml").write_text("[sft]\nlearning_rat = 1\n", encoding="utf-8")
    line = complain("sft", "x.toml", f"model={base}")
    assert line == "x.toml: [sft] learning_rat: no such key; did you mean learning_rate?"
    assert complain("ppo", "x.toml") == "x.toml: has no section [ppo] (sections: [sft])"
    assert [path.name for path in Path().iterdir()] == ["x.toml"]


def test_a_key_that_is_needed_is_asked_for():
    assert complain("sft") == "model: is needed and has no default; say model=…"


def test_an_empty_split_is_named(base):
    ask("init", "p")
    os.chdir("p")
    before = sorted(path.name for path in Path().iterdir())
    assert "no demonstrations" in complain("snapshot", "demos")
    assert "no valid prompts" in complain("snapshot", "prompts", "--split", "valid")
    assert "no test prompts" in complain("sample", base, "--k", 4, "--split", "test")
    assert "nothing to measure" in complain("measure")
    assert "nothing is measured yet" in complain("report")
    assert sorted(path.name for path in Path().iterdir()) == before


def test_a_file_without_what_is_needed_is_named(base):
    prompts(Path("prompts.jsonl"), ["say red"])
    line = complain("sft", f"model={base}", "data=prompts.jsonl", *SMALL)
    assert line.startswith("prompts.jsonl")
    assert "demonstrations" in line


def test_the_best_cannot_be_chosen_by_nobody(base):
    asked = prompts(Path("prompts.jsonl"), ["say red"])
    assert complain("sample", base, "--k", 2, f"data={asked}", "best_of=4").startswith("best_of: needs a reward_model")


def test_a_k_of_1_cannot_be_ranked(base):
    prompts(Path("prompts.jsonl"), ["say red"])
    assert complain("sample", base, "--k", 1, "data=prompts.jsonl").startswith(
        "k: 1 answer to a prompt cannot be ranked"
    )
    assert complain("sample", base, "--k", 0, "data=prompts.jsonl").startswith("k: Input should be greater than")
    assert not Path("runs").exists()


def test_gather_says_what_it_did_and_that_it_is_done():
    carried("init", "p")
    os.chdir("p")
    rows = [*(f"say red {n},user {n}" for n in range(8)), "say red 1,user 1", "call +1 212 555 0159 please,user 2"]
    Path("prompts.csv").write_text("\n".join(["text,user", *rows]) + "\n", encoding="utf-8")
    told = ["read: 10 prompts", "dropped, duplicate: 1", "dropped, near duplicate: 0", "dropped, over cap: 0",
            "dropped, two splits: 0", "dropped, personal: 1"]  # fmt: skip
    kept = "kept: 8 prompts of 8 users or organizations (8 train, 0 valid, 0 test)"

    before = sorted(path.as_posix() for path in Path().rglob("*"))
    shown = ask("gather", "prompts.csv", "--dry-run", "valid=0", "test=0")
    lines = shown.stdout.splitlines()
    assert [line for line in lines if line in told] == told
    assert lines[lines.index("dropped, duplicate: 1") + 1] == "    say red 1"
    example = "    call +1 212 555 0159 please  [phone: +1 212 555 0159]"
    assert lines[lines.index("dropped, personal: 1") + 1] == example
    assert lines[-2:] == [kept, "nothing was kept; without --dry-run it would be"]
    assert sorted(path.as_posix() for path in Path().rglob("*")) == before

    first = ask("gather", "prompts.csv", "valid=0", "test=0")
    assert first.stdout.splitlines()[:7] == [*told, kept]
    assert first.stderr == ""  # no valid or test split was wanted, so none is missed
    again = ask("gather", "prompts.csv", "valid=0", "test=0")
    assert "is done already" in again.stdout.splitlines()[0]
    assert again.stdout.splitlines()[1:] == first.stdout.splitlines()
    assert ask("gather", "prompts.csv", "--dry-run", "valid=0", "test=0").stdout == shown.stdout


def test_gather_warns_of_an_empty_split():
    carried("init", "p")
    os.chdir("p")
    Path("prompts.csv").write_text("text,user\nsay red,anna\n", encoding="utf-8")
    lines = ask("gather", "prompts.csv").stderr.splitlines()
    assert len(lines) == 2  # one user is in one split
    assert all(re.match(r"biddable: note: no prompt is in the \w+ split, .*; gather more users", x) for x in lines)


def test_a_file_without_prompts_is_an_error():
    carried("init", "p")
    os.chdir("p")
    for name, text in (("a.csv", ""), ("b.csv", "text,user\n"), ("c.jsonl", ""), ("d.jsonl", "\n\n")):
        Path(name).write_text(text, encoding="utf-8")
        assert complain("gather", name).startswith(name)
    assert not list(Path("runs").iterdir())


def test_prompts_that_are_too_long_are_named_before_anything_is_written(base):
    carried("init", "p")
    os.chdir("p")
    Path("prompts.csv").write_text("text,user\nsay red,anna\nsay blue,olga\n", encoding="utf-8")
    carried("gather", "prompts.csv", "valid=0", "test=0")
    before = sorted(path.as_posix() for path in Path().rglob("*"))
    line = complain("sample", base, "--k", 4)
    assert re.search(r"answer_tokens=1024 exceed the 128 of .*; say answer_tokens=\d+ or less, or take a recipe", line)
    assert sorted(path.as_posix() for path in Path().rglob("*")) == before
    [most] = re.findall(r"say (answer_tokens=\d+)", line)
    made = ask("sample", base, "--k", 4, "--limit", 1, most)
    assert made.exit_code == 0, made.output
    assert "answers: 4 in all (prompts: 1, models: 1, k: 4)" in made.stdout
    assert "4 new completions" in made.stdout
    assert made.stderr == ""
    few = ask("sample", base, "--k", 2, most)
    assert few.stderr.startswith("biddable: note: 2 answers to each prompt: to rank, 4 to 9 are usual (--k)")
    assert "answers: 4 in all" in few.stdout  # two prompts, two answers each


def test_a_policy_that_was_kept_along_the_way_is_asked_by_its_name(base):
    carried("init", "p")
    os.chdir("p")
    Path("prompts.csv").write_text("text,user\nsay red,anna\n", encoding="utf-8")
    carried("gather", "prompts.csv", "valid=0", "test=0")
    for iteration in (0, 40):
        shutil.copytree(base, f"runs/ppo/kept/{iteration}")
    made = ask("sample", "ppo/kept/0", "runs/ppo/kept/40", "--k", 4, "answer_tokens=8")
    assert made.exit_code == 0, made.output
    [folder] = Path("runs").glob("sample-*")
    said = [one for one in records.read(folder / "completions.jsonl") if isinstance(one, Completion)]
    assert {one.run_id.partition("@")[0] for one in said} == {"ppo-0", "ppo-40"}
    assert complain("sample", "ppo/kept/7", "--k", 4).startswith("model: ppo/kept/7: no such model folder")
    for run in ("sft", "reward"):
        shutil.copytree(base, f"runs/{run}/model")
    assert complain("sample", "dpo", "--k", 4).endswith("no run of that name has left a model; these have: reward, sft")


def test_a_model_folder_without_weights_is_named(base, tmp_path):
    demonstrations(Path("demos.jsonl"), [("say red", "red")])
    shutil.copytree(base, "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    line = complain("sft", "model=bare", "data=demos.jsonl", *SMALL)
    assert line == "bare: a model folder without weights (no model.safetensors)"
    Path("bare/pytorch_model.bin").write_bytes(b"\x80\x02")
    assert "pickled" in complain("sft", "model=bare", "data=demos.jsonl", *SMALL)
    assert complain("sft", "model=nowhere", "data=demos.jsonl").startswith("model: nowhere: no such model folder")
    assert "the hub does not give it" in complain("sft", "model=owner/name", "data=demos.jsonl")


def test_export_writes_a_file_that_goes_round(tmp_path):
    words = byte_tokenizer()
    causal.save(llama(words), words, tmp_path / "mine")
    made = ask("export", "mine", "out/mine.gguf", "--gguf", "--precision", "f32")
    assert made.exit_code == 0, made.output
    assert made.stdout == "out/mine.gguf: 28,192 parameters\n"  # embedding 300 × 32, two layers of 9,280, a norm of 32
    assert ask("export", "out/mine.gguf", "back").exit_code == 0
    demonstrations(Path("demos.jsonl"), [("say red", "red")])
    assert ask("sft", "model=out/mine.gguf", "data=demos.jsonl", *SMALL).exit_code == 0
    assert (Path("back") / "model.safetensors").stat().st_size == (Path("mine") / "model.safetensors").stat().st_size


def test_the_shipped_model_has_a_name(tmp_path):
    from biddable import hamlet

    assert ask("export", "hamlet", "mine").exit_code == 0
    assert (Path("mine") / "model.safetensors").read_bytes() == (hamlet.BASE / "model.safetensors").read_bytes()
    demonstrations(Path("demos.jsonl"), [("name two jobs.", "a baker")])
    carried("sft", "model=hamlet", "data=demos.jsonl", *SMALL)
    Path("hamlet").mkdir()  # what lies here under that name is meant
    assert complain("export", "hamlet", "other").startswith("hamlet: not a model folder")


def test_what_cannot_be_exported_is_one_line(base):
    assert complain("export", base, "m.gguf", "--gguf").endswith("cannot be written as GGUF: it knows BPE only")
    assert complain("export", base, "model", "--gguf") == "model: a GGUF file's name ends in .gguf"
    assert complain("export", base, base).endswith("is there already; say another name, or delete it")
    assert complain("export", "nowhere.gguf", "m").startswith("model: nowhere.gguf: no such model folder")
    Path("bad.gguf").write_bytes(b"no")
    assert complain("export", "bad.gguf", "m") == "bad.gguf: is not a GGUF file"
    assert sorted(path.name for path in Path().iterdir()) == ["bad.gguf"]


def test_a_disk_without_room_is_named_before_the_work(base):
    demonstrations(Path("demos.jsonl"), [("say red", "red")])
    shutil.copytree(base, "huge")
    with Path("huge/model-2.safetensors").open("wb") as file:
        file.truncate(2**42)  # sparse: 4 TB that take no room, and whose copies would
    line = complain("sft", "model=huge", "data=demos.jsonl", *SMALL)
    assert "No space left on device" in line
    assert line.endswith("make room and run the same command again to go on")
    assert not Path("runs").exists()


def limited(bytes_: int, *words: object) -> subprocess.CompletedProcess:
    """The command where no file may grow larger: a real EFBIG from the kernel, wherever it writes."""

    small_files_only = (
        "import resource, signal, sys; sys.dont_write_bytecode = True; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes_}, {bytes_})); "
    )
    return warm.run(*words, code=small_files_only + warm.MAIN)


def test_a_disk_that_fills_is_one_line_and_leaves_no_half_model(base):
    demonstrations(Path("demos.jsonl"), [("say red", "red")] * 4)
    full = limited(8192, "sft", f"model={base}", "data=demos.jsonl", *SMALL)
    assert full.returncode == 2, full.stderr
    complaints = [line for line in full.stderr.splitlines() if line.startswith("biddable: ")]
    assert len(complaints) == 1
    assert "Traceback" not in full.stderr
    assert not Path("runs/sft/model").exists()
    assert runs.read_manifest(Path("runs/sft")).status == "failed"
    assert ask("sft", f"model={base}", "data=demos.jsonl", *SMALL).exit_code == 0
    assert runs.read_manifest(Path("runs/sft")).status == "done"


def test_a_disk_that_fills_leaves_no_half_project():
    full = limited(8192, "init", "p")
    assert full.returncode == 2, full.stderr
    assert "Traceback" not in full.stderr
    assert not list(Path().iterdir())


def test_another_run_in_the_folder_is_refused(base):
    demonstrations(Path("demos.jsonl"), [("say red", "red")])
    assert ask("sft", f"model={base}", "data=demos.jsonl", *SMALL).exit_code == 0
    again = ask("sft", f"model={base}", "data=demos.jsonl", *SMALL)
    assert (again.exit_code, "is done already" in again.output) == (0, True)
    result = ask("sft", f"model={base}", "data=demos.jsonl", *SMALL, "batch=7")
    assert result.exit_code == 2
    assert "runs/sft: holds another run: batch was 32 and is now 7; choose another out=" in result.stderr


def test_rankings_and_prompts_that_are_left_out_are_told(base, tmp_path):
    rankings(Path("ranked.jsonl"), [("say red", [["red"], ["no"]]), ("say no", [["no"], ["red " * 20]])])
    short = ["data=ranked.jsonl", "max_tokens=12", "batch=2"]
    for words in (["reward", f"model={base}", *short, "center=answers"], ["dpo", f"model={base}", *short]):
        result = ask(*words)
        assert result.exit_code == 0, result.output
        told = "ranked.jsonl: 1 of 2 rankings are learnt from; 1 left out (1 have an answer that ends after more than "
        assert told + "12 tokens)" in result.stderr
    prompts(Path("asked.jsonl"), ["say red", "say " + "no " * 30])
    words = [f"start={base}", "reward_model=reward", "data=asked.jsonl", "gamma_ptx=0", "batch=2", "minibatch=2"]
    result = ask("ppo", *words, "episodes=2", "answer_tokens=4", "prompt_tokens=16")
    assert result.exit_code == 0, result.output
    assert "asked.jsonl: 1 of 2 prompts fit; 1 left out (prompt_tokens=16, and " in result.stderr


def test_sigterm_before_a_run_begins_is_told_from_ctrl_c():
    """As while a verb still loads its room."""
    code = (
        "import os, signal; from biddable import cli\n"
        "@cli.app.command()\n"
        "def slow() -> None: os.kill(os.getpid(), signal.Signals[os.environ['WITH']])\n"
        "cli.main()"
    )
    for name, status in (("SIGTERM", 75), ("SIGINT", 130)):
        environ = os.environ | {"WITH": name}
        done = warm.run("slow", code=code, loaded=warm.LABEL, env=environ)
        assert done.returncode == status, done.stderr
        assert done.stderr == "biddable: stopped; run the same command again to go on\n"


def test_ctrl_c_says_how_to_go_on(base):
    demonstrations(Path("demos.jsonl"), [("say red", "red")] * 64)
    words = [
        "sft",
        f"model={base}",
        "data=demos.jsonl",
        "epochs=2000",
        "batch=8",
        "prompt_tokens=32",
        "answer_tokens=16",
    ]
    child = warm.Warm(words, stderr=subprocess.PIPE, text=True)
    metrics = Path("runs/sft/metrics.jsonl")
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size > 1000):
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 130
    assert error.splitlines()[-1] == "biddable: stopped; run the same command again to go on"
    assert "Traceback" not in error
    assert runs.read_manifest(Path("runs/sft")).status == "stopped"


def test_a_bug_of_ours_is_not_hidden(monkeypatch):
    """Only what a user can mend becomes a line: the rest keeps its traceback."""
    monkeypatch.setattr("biddable.cli.project.look", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(app, ["snapshot", "demos"], catch_exceptions=False)


def test_a_missing_extra_says_what_to_install():
    code = "import sys; sys.modules['torch'] = None; from biddable.cli import main; sys.argv[1:] = ['sft']; main()"
    answer = warm.run(code=code, loaded=warm.LABEL)
    assert answer.returncode == 2
    assert answer.stderr == "biddable: this needs torch, which is not installed: pip install 'biddable[learn]'\n"


# The road of real use.


def test_a_project_is_made_once_and_found_from_below():
    assert ask("init", "p").exit_code == 0
    assert {"biddable.toml", "recipes", "runs", "store.db"} <= {path.name for path in Path("p").iterdir()}
    assert (Path("p/recipes/small.toml")).is_file()
    assert complain("init", "p") == "p: is a project already"
    Path("full").mkdir()
    Path("full/thesis.txt").touch()
    assert complain("init", "full").startswith("full: is not an empty folder")
    os.chdir("p/runs")
    assert "no demonstrations" in complain("snapshot", "demos")  # and not: no project


def test_a_project_is_made_in_an_empty_folder_in_which_one_stands():
    Path("here").mkdir()
    os.chdir("here")
    assert "biddable label" in ask("init", ".").output
    assert {"biddable.toml", "recipes", "runs", "store.db"} <= {path.name for path in Path().iterdir()}
    assert not list(Path().glob(".*"))
    assert complain("init", ".") == ".: is a project already"


def test_show_lists_every_key_with_its_value_and_meaning(base):
    shown = ask("ppo", "--show", "beta=0.1").output
    assert "beta = 0.1  # β, the KL penalty a token, in the reward" in shown
    assert "reward_model = reward  # reward model" in shown


def people(what: str) -> None:
    """What people would do in the browser: write demonstrations, rank what sft said, or compare it with base."""
    from biddable.store import open_store

    with open_store("store.db") as store:
        store.add_many([Labeler(id="anna", group="training"), Labeler(id="olga", group="held_out")])
        for prompt in list(store.prompts()):
            by_run: dict[str, list[str]] = {}
            for completion in store.completions([prompt.id]):
                by_run.setdefault(completion.run_id.partition("@")[0], []).append(completion.id)
            for labeler in ("anna", "olga"):
                said = {"prompt_id": prompt.id, "labeler": labeler}
                match what:
                    case "write":
                        store.add_demonstration(Demonstration(text="red", **said))
                    case "rank":
                        store.add_ranking(Ranking(order=tuple((name,) for name in by_run["sft"]), **said))
                    case "compare":
                        a, b = by_run["sft"][0], by_run["base"][0]
                        store.add_verdict(Verdict(a=a, b=b, better="a", judge="person", **said))
                        seen = Judgement(completion_id=a, labeler=labeler, overall=5, hallucination=False)
                        store.add_judgement(seen)


def carried(*words: object) -> str:
    result = ask(*words)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_loop_from_a_file_of_prompts_to_a_report(base):
    carried("init", "p")
    os.chdir("p")
    rows = ["text,user\n"] + [
        f"say {color} {n},user {n}\n" for n in ("one", "two", "three") for color in ("red", "blue")
    ]
    Path("prompts.csv").write_text("".join(rows), encoding="utf-8")
    carried("gather", "prompts.csv", "valid=0.3", "test=0.3")
    people("write")
    pages(Path("pages.jsonl"), ["the red dog say yes", "the blue cat say no"] * 4)
    carried("snapshot", "demos", "--split", "all")
    demos = f"data={next(Path().glob('demos-*.jsonl'))}"
    carried("sft", f"model={base}", demos, *SMALL)
    carried("start", f"model={base}", demos, "pages=pages.jsonl", *SMALL, "page_tokens=32")
    carried("sample", "sft", "--k", 4, "--split", "all", "answer_tokens=8")
    people("rank")
    carried("snapshot", "rankings", "--split", "all")
    ranked = f"data={next(Path().glob('rankings-*.jsonl'))}"
    carried("reward", ranked, demos.replace("data", "demos"), "max_tokens=64", "valid=" + ranked.removeprefix("data="))
    sizes = [
        "episodes=8",
        "batch=4",
        "minibatch=2",
        "ptx_ratio=1",
        "prompt_tokens=32",
        "answer_tokens=8",
        "ptx_tokens=32",
    ]
    carried("snapshot", "prompts", "--split", "all")
    asked = f"data={next(Path().glob('prompts-*.jsonl'))}"
    carried("ppo", asked, "pages=pages.jsonl", *sizes)
    carried("raft", asked, "iterations=2", "batch=3", "k=2", "prompt_tokens=32", "answer_tokens=8")
    carried("dpo", ranked, "max_tokens=64", "batch=2", "method=ipo")
    assert {"model", "rankings"} <= runs.read_manifest(Path("runs/dpo")).inputs.keys()
    carried("sample", "sft", "base", "--split", "all", "answer_tokens=8")
    people("compare")
    records.write(Path("items.jsonl"), [Item(task="t", id="1", context="the red ", choices=("dog", "cat"), answer=0)])
    carried("sample", "base", "sft", "--items", "items.jsonl")
    out = carried("measure", "--split", "all")
    assert re.search(r"SFT over base, by 2 people\s+100\s%  \[", out)  # these people always prefer sft
    carried("report")
    page = Path("report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    described = Path("model-card.md").read_text(encoding="utf-8")
    assert ModelCard(described).data.eval_results[0].metric_value == 1.0  # over base, by people
    Path("model-card.md").write_text(described.replace("Intended use: not recorded", "For goats"), encoding="utf-8")
    assert "model-card.md: was edited, so it stays as it is" in carried("report")
    assert "For goats" in Path("model-card.md").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"' <)]*", page)) <= {"http://www.w3.org/2000/svg"}  # no network
    assert ask("measure", "--split", "all").exit_code == 0  # again is the same run
    road = carried("trace", "ppo")
    assert "labels of anna (6)" in road
    assert "was not made here" in road  # the base
    assert re.match(
        r"human_win_rate.sft_vs_base = 1.000 \[0.*results.json", carried("trace", "human_win_rate.sft_vs_base")
    )
    pages_and_weights_lead_back()
    assert set(json.loads(carried("trace", "--person", "anna", "--json"))["models"]) == {
        str(Path("given").absolute())
    } | {f"runs/{name}/model" for name in ("sft", "start", "reward", "ppo", "raft", "dpo")}
    assert complain("trace", "pppo") == "pppo: no such run, file or number; did you mean ppo?"
    assert "; there are the runs " in complain("trace", "xyz")
    assert complain("trace", "human_win_rate.sft_vs_bas").endswith("did you mean sft_vs_base?")
    assert complain("trace").startswith("say what to trace")
    told = carried("withdraw", "anna")
    assert "6 demonstrations" in told
    assert "train again: ppo" in told
    assert "nothing was changed" in told
    assert carried("verify") == (before := carried("verify"))
    assert "taken out" in carried("withdraw", "anna", "--yes")
    assert carried("verify") != before
    carried("snapshot", "verdicts", "--split", "all", "--group", "all")
    assert complain("snapshot", "demos", "--split", "all").startswith("demos: no demonstrations")
    assert complain("withdraw", "nobody").startswith("nobody: nothing of theirs")


def pages_and_weights_lead_back():
    """From a page, one of its figures, a file of numbers, and weights that were exported, copied or added to."""
    measured = next(Path("runs").glob("measure-*"))
    road = carried("trace", "report.html")
    assert f"made of what {measured.name} counted" in road
    assert "verdicts" in road
    assert "labels of anna (6)" in road  # below the sft whose answers were compared
    drawn = carried("trace", "report.html#figure-labels")
    assert "rankings" in drawn
    assert "verdicts: " not in drawn
    trained = carried("trace", "report.html#figure-training")
    assert trained.splitlines()[1].strip().startswith("run ppo: ppo, done")
    assert complain("trace", "report.html#figure-labls").endswith("did you mean figure-labels?")
    assert "figure-followed: is not on this page, which has figure-" in complain("trace", "report.html#figure-followed")
    shutil.copy(measured / "results.json", "numbers.json")
    assert carried("trace", "numbers.json#human_win_rate.sft_vs_base").startswith("human_win_rate.sft_vs_base = 1.000")
    Path("other.html").write_text("<p>", encoding="utf-8")
    assert complain("trace", "other.html#figure-tax") == "other.html: was not made of a measurement that is here"

    assert "given/README.md: its card" in carried("export", "ppo", "given")
    assert ModelCard.load("given/README.md").data.model_name is None  # people compared sft alone
    assert "Not measured" in Path("given/README.md").read_text(encoding="utf-8")
    shutil.copytree("given", "elsewhere")
    Path("elsewhere/NOTES.txt").write_text("mine", encoding="utf-8")
    Path("one").mkdir()
    shutil.copy("given/model.safetensors", "one/weights.safetensors")
    for copy in ("given", "elsewhere", "one/weights.safetensors"):
        told = carried("trace", copy)
        assert "run ppo: ppo, done" in told, copy
        assert "labels of anna (6)" in told, copy


def test_what_was_sampled_elsewhere_is_received(base):
    carried("init", "p")
    os.chdir("p")
    prompt = Prompt.make("say red", split="train")
    from biddable.store import open_store

    with open_store("store.db") as store:
        store.add_prompts([prompt])
    records.write(Path("made.jsonl"), [Completion.make(prompt.id, "red", "sft")])
    assert "1 new completions" in ask("receive", "made.jsonl").output
    assert "0 new completions" in ask("receive", "made.jsonl").output
    records.write(Path("labels.jsonl"), [Labeler(id="anna", group="training")])
    assert "labels.jsonl" in complain("receive", "labels.jsonl")


def test_labels_from_a_file_go_into_the_store_or_none_of_them():
    carried("init", "p")
    os.chdir("p")
    Path("prompts.csv").write_text("text,user\nsay red,anna\n", encoding="utf-8")
    carried("gather", "prompts.csv", "valid=0", "test=0")
    from biddable.store import open_store

    with open_store("store.db") as store:
        [prompt] = store.prompts()
    red, blue = (Completion.make(prompt.id, text, "sft") for text in ("red", "blue"))
    anna, said = Labeler(id="anna", group="training"), {"prompt_id": prompt.id, "labeler": "anna"}
    wrote = Demonstration(text="red", **said)
    ranked = Ranking(order=((red.id,), (blue.id,)), **said)
    chose = Verdict(a=red.id, b=blue.id, better="a", judge="person", **said)

    stray = Demonstration(prompt_id="p-none", text="red", labeler="anna")
    other = wrote.model_copy(update={"text": "blue"})
    for bad, says in (
        (stray, 'bad.jsonl, row 3: demonstration ["p-none", "anna"]: prompt_id: the store knows no prompt p-none'),
        (other, f'bad.jsonl, row 3: demonstration ["{prompt.id}", "anna"]: is already there with another text'),
        (records.Page(id="page", text="x"), "bad.jsonl, row 3: kind: is page; only labelers, prompts,"),
    ):
        records.write(Path("bad.jsonl"), [wrote, anna, bad])
        assert complain("import", "bad.jsonl").startswith(says)
    Path("bad.jsonl").write_text(records.to_line(anna) + '\n{"kind":"demonstration","text":"x","labeler":"anna"}\n')
    assert complain("import", "bad.jsonl") == "bad.jsonl, row 2: demonstration.prompt_id: is missing"
    with open_store("store.db") as store:
        assert not list(store.labelers())  # nothing of the bad files is there

    records.write(Path("said.jsonl"), [chose, ranked, wrote, blue, red, anna])  # in any order
    told = "1 new labelers, 2 new completions, 1 new demonstrations, 1 new rankings, 1 new verdicts in the store"
    assert carried("import", "said.jsonl") == f"said.jsonl: {told}\n"
    assert "0 new rankings" in carried("import", "said.jsonl")
    with open_store("store.db") as store:
        assert (list(store.rankings()), list(store.demonstrations())) == ([ranked], [wrote])
    carried("snapshot", "demos")


def test_a_reward_is_learnt_from_chosen_and_rejected_answers(base):
    carried("init", "p")
    os.chdir("p")
    words = ("red", "blue", "cow", "dog")
    rows = [{"prompt": f"say {word}", "chosen": word, "rejected": f"no {word}", "labeler": "anna"} for word in words]
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    told = "1 new labelers, 4 new prompts, 8 new completions, 4 new rankings in the store"
    assert carried("import", "pairs.jsonl") == f"pairs.jsonl: {told}\n"
    assert "0 new rankings" in carried("import", "pairs.jsonl")
    carried("snapshot", "rankings")
    carried("reward", f"model={base}", "center=answers", "heads=2", "epochs=2", "batch=2")
    scores = list(records.read(Path("runs/reward/scores.jsonl")))
    assert len(scores) == 8
    assert all(score.spread > 0 for score in scores)
    assert "8 new scores in the store" in carried("score", "reward")
    (asked,) = Path("runs").glob("score-reward-*")
    assert "is done already" in carried("score", "reward")
    again = list(records.read(asked / "scored.jsonl"))
    for field in ("value", "spread"):
        told = {score.completion_id: getattr(score, field) for score in scores}
        assert {score.completion_id: getattr(score, field) for score in again} == pytest.approx(told, abs=1e-5)
    changed = rows[0] | {"chosen": "no red", "rejected": "red"}
    Path("pairs.jsonl").write_text(json.dumps(changed) + "\n", encoding="utf-8")
    assert "is already there with another order" in complain("import", "pairs.jsonl")


def chat(*said: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]


def lines(path: str, rows: list[dict]) -> str:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_model_is_trained_on_conversations_from_files(tmp_path):
    """Three turns each, with a chat template, through every stage."""
    carried("init", "p")
    os.chdir("p")
    tok = byte_tokenizer()
    base = causal.save(llama(tok), tok, tmp_path / "chatty")
    users = range(12)
    told = [chat(f"say red {n}", "red", "and now?", "blue", "say cow") for n in users]
    chats = [{"messages": [*talk, *chat("", "cow")[1:]], "user": f"u{n}"} for n, talk in enumerate(told)]
    out = carried("import", lines("chats.jsonl", chats), "--valid", 0.3)
    assert out.splitlines()[0] == "chats.jsonl: 1 new labelers, 12 new prompts, 12 new demonstrations in the store"
    again = carried("import", "chats.jsonl", "--valid", 0.9)  # what is there stays where it is
    none = "0 new labelers, 0 new prompts, 0 new demonstrations in the store"
    known = "known already: 1 labelers, 12 prompts, 12 demonstrations"
    assert again == f"chats.jsonl: {none}; {known}\n"
    pairs = [
        {"prompt": talk, "chosen": chat("", "cow")[1:], "rejected": chat("", "no cow")[1:], "user": f"u{n}"}
        for n, talk in enumerate(told)
    ]
    assert "0 new prompts, 24 new completions, 12 new rankings" in carried("import", lines("pairs.jsonl", pairs))
    for what in ("demos", "rankings", "prompts"):
        carried("snapshot", what)
        carried("snapshot", what, "--split", "valid")
    small = ["prompt_tokens=100", "answer_tokens=8"]
    carried("sft", f"model={base}", "epochs=1", "batch=4", *small)
    assert runs.read_manifest(Path("runs/sft")).inputs["valid"].path.startswith("demos-valid-")
    carried("sample", "sft", "--k", 4, "answer_tokens=8")
    carried("reward", "epochs=1", "batch=4", "max_tokens=128")
    carried("dpo", "batch=4", "max_tokens=128")
    carried("ppo", "start=sft", "gamma_ptx=0", "episodes=8", "batch=4", "minibatch=2", *small)
    carried("raft", "iterations=1", "batch=2", "k=2", *small)


BAD_CHATS = [
    ({"messages": chat("hi")}, "messages: should end with a user's turn and the answer to it, and has: user"),
    ({"prompt": "p", "chosen": "a", "rejected": "b", "labeler": "anna"}, "is already there with another order"),
    ({"messages": [{"role": "user", "text": "hi"}]}, "messages: is [{"),
    ({"prompt": "p", "label": True}, "has the columns prompt, label; wanted are messages; prompt and completion;"),
]


@pytest.mark.parametrize(("row", "says"), BAD_CHATS)
def test_a_bad_chat_is_one_line_and_nothing_of_its_file_is_taken(row, says):
    carried("init", "p")
    os.chdir("p")
    good = {"prompt": "p", "chosen": "b", "rejected": "a", "labeler": "anna"}
    told = complain("import", lines("chats.jsonl", [{"messages": chat("hi", "hello")}, good, row]))
    assert told.startswith("chats.jsonl, row 3: ")
    assert says in told
    from biddable.store import open_store

    with open_store("store.db") as store:
        assert not any(store.counts().values())


def test_a_share_that_nobody_falls_into_is_told_of():
    carried("init", "p")
    os.chdir("p")
    result = ask("import", lines("chats.jsonl", [{"messages": chat("hi", "hello")}]), "--test", 0.01)
    assert result.exit_code == 0
    assert result.stderr.startswith("biddable: note: no prompt is in the test split, since a user is in one split as a")
    assert result.stderr.endswith("; import more users' rows, or say a row's with its own split\n")


def test_personal_data_in_an_earlier_turn_is_told_of():
    carried("init", "p")
    os.chdir("p")
    talk = {"messages": chat("I am ada@example.com", "hello", "and now?", "bye")}
    result = ask("import", lines("chats.jsonl", [{"messages": chat("hi", "hello")}, talk]))
    assert result.exit_code == 0
    assert result.stderr.startswith("biddable: note: chats.jsonl: personal data in 1 prompts (row 2: email); it was")


def test_personal_data_that_is_kept_for_evaluation_is_told_of():
    carried("init", "p")
    os.chdir("p")
    result = ask(
        "gather", lines("p.jsonl", [{"text": f"mail {n}@example.com"} for n in "ab"]), "test=0.999999", "valid=0"
    )
    assert result.exit_code == 0
    assert "2 prompts for evaluation hold personal data: they are kept; look at them" in result.stderr


def test_what_measure_cannot_take_is_told_by_the_name_of_its_option():
    carried("init", "p")
    os.chdir("p")
    for word, value in (("--within", "3"), ("--power", "1")):
        result = ask("measure", word, value)
        assert result.exit_code == 2
        assert f"Invalid value for '{word}'" in result.output


def test_measure_and_report_do_without_a_prompt_that_two_people_ranked():
    carried("init", "p")
    os.chdir("p")
    prompt = Prompt.make("say red", split="test")
    red, blue = (Completion.make(prompt.id, text, "sft") for text in ("red", "blue"))
    alone = Ranking(prompt_id=prompt.id, labeler="anna", order=((red.id,), (blue.id,)))
    records.write(Path("said.jsonl"), [prompt, red, blue, Labeler(id="anna", group="training"), alone])
    carried("import", "said.jsonl")
    none = "not measured: no prompt was ranked by two people"
    assert re.search(rf"Labelers agree\s+–  {none}\n", carried("measure"))
    assert complain("measure", "--owners", "none.csv") == "none.csv: cannot be read: No such file or directory"
    carried("report")
    assert none in Path("report.html").read_text(encoding="utf-8")


def test_two_people_who_compared_are_enough_for_a_report_that_says_so():
    """No rankings, no model of ours: what is spoken of was compared, by two, who agree on verdicts."""
    carried("init", "p")
    os.chdir("p")
    rows = [Labeler(id=name, group="training") for name in ("anna", "ben")]
    for n in range(10):
        prompt = Prompt.make(f"say {n}", split="test")
        old, new = (Completion.make(prompt.id, f"{name} {n}", name) for name in ("old", "new"))
        rows += [prompt, old, new]
        rows += [
            Verdict(
                prompt_id=prompt.id, a=new.id, b=old.id, better="a" if n > odd else "b", judge="person", labeler=who
            )
            for odd, who in enumerate(("anna", "ben"))
        ]
    records.write(Path("said.jsonl"), rows)
    carried("import", "said.jsonl")
    told = carried("measure").replace("\u00a0", " ")
    assert re.search(r"\nold over new, by 2 people +15 %", told)  # 9 and 8 of 10 were for the new one
    assert re.search(r"\nLabelers agree on verdicts +90 %", told)  # on all but one of the ten
    assert "\nheld against new, the first by name; against another: biddable measure --baseline NAME\n" in told
    told = carried("measure", "--baseline", "old").replace("\u00a0", " ")
    assert re.search(r"\nnew over old, by 2 people +85 %", told)
    assert "the first by name" not in told
    assert "PPO" not in told
    carried("report")
    page = Path("report.html").read_text(encoding="utf-8")
    assert "Only 2 people were asked, too few to speak for others." in page
    assert "PPO" not in page


def test_a_page_that_tells_more_is_not_taken_away():
    """Rankings are taken back out of what is measured: the page that has them stays, and another place is free."""
    carried("init", "p")
    os.chdir("p")
    prompt = Prompt.make("say red", split="test")
    red, blue = (Completion.make(prompt.id, text, "sft") for text in ("red", "blue"))
    said = Ranking(prompt_id=prompt.id, labeler="anna", order=((red.id,), (blue.id,)))
    records.write(Path("said.jsonl"), [prompt, red, blue, Labeler(id="anna", group="training"), said])
    carried("import", "said.jsonl")
    carried("measure")
    richer = '<section id="gates"><h2>Gates</h2></section>'
    Path("report.html").write_text(richer, encoding="utf-8")
    Path("model-card.md").write_text("a card", encoding="utf-8")
    assert complain("report").startswith("report.html: stays as it is, since it tells more than runs/measure-")
    assert carried("report", "--out", "other.html").startswith("other.html: the report of")
    assert Path("report.html").read_text(encoding="utf-8") == richer
    assert Path("model-card.md").read_text(encoding="utf-8") == "a card"
    Path("report.html").unlink()
    carried("report")  # moved away, it may be written


def test_rankings_by_hand_teach_a_reward(base):
    """The machines' wing alone: no project, no store, files only."""
    rankings(Path("rankings.jsonl"), [("say red", [["red"], ["blue", "green"]]), ("say blue", [["blue"], ["red"]])])
    carried("reward", f"model={base}", "data=rankings.jsonl", "center=answers", "max_tokens=64")
    scores = list(records.read(Path("runs/reward/scores.jsonl")))
    assert len(scores) == 5
