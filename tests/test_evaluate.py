"""The walk from a benchmark's rows to numbers with a real tiny model: evaluate, mark, measure, report."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import warm
from biddable import records, runs
from biddable.benchmarks import nouns
from biddable.benchmarks.nouns import Mark, Question, Reply, Setting
from biddable.cli import app
from biddable.model import causal
from biddable.records import Completion, Continuation, Judgement, Labeler, Likelihood
from tiny import byte_tokenizer, llama

MODELS = ("base", "sft", "ppo", "ppo_ptx")
COLOURS = ("red", "blue", "green")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIDDABLE_QUIET", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("BIDDABLE_STORE", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four models that differ; with line breaks to say, and room for an instruction."""
    tok, folder = byte_tokenizer(), tmp_path_factory.mktemp("models")
    made = {}
    for seed, name in enumerate(MODELS):
        lm = llama(tok, seed, spread=1.0)
        lm.config.max_position_embeddings = 512  # its positions are turned, not learnt
        made[name] = causal.save(lm, tok, folder / name)
    return made


def ask(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def carried(*words: object) -> str:
    result = ask(*words)
    assert result.exit_code == 0, result.output
    return result.output


def complain(*words: object) -> str:
    result = ask(*words)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr.strip().removeprefix("biddable: ")


def rows(folder: Path, count: int = 24) -> Path:
    """Small files of four benchmarks."""
    folder.mkdir(exist_ok=True)
    written = {
        "sst": [{"idx": n, "sentence": f"a {COLOURS[n % 3]} dog {n}", "label": n % 2} for n in range(count)],
        "lambada": [{"id": f"l{n}", "text": f"the {COLOURS[n % 3]} dog {n} is red"} for n in range(count)],
        "crows_pairs": [
            {"id": f"c{n}", "sent_more": f"the dog {n} say no", "sent_less": f"the cat {n} say no"}
            for n in range(count)
        ],
        "realtoxicity_prompts": [{"id": f"r{n}", "prompt": f"the {COLOURS[n % 3]} dog"} for n in range(3)],
    }
    for name, some in written.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
    return folder


def run_of(verb: str) -> Path:
    [found] = Path("runs").glob(f"{verb}-*")
    return found


def project(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose runs left these models; the folder of rows."""
    carried("init", "p")
    for name, place in models.items():
        (Path("p/runs") / name).mkdir(parents=True)
        (Path("p/runs") / name / "model").symlink_to(place)
    evals = rows(Path("evals")).absolute()
    monkeypatch.chdir("p")
    return evals


def test_the_whole_walk(models, monkeypatch):
    evals = project(models, monkeypatch)
    out = carried("evaluate", *MODELS, "--task", "all", "--data", evals, "--prompt", "all", "--limit", 20)
    assert "questions: 109 " in out  # 20 of sst and of lambada, three times 20 pairs and three times 3 beginnings
    written = run_of("evaluate") / "benchmarks.jsonl"
    lines = list(nouns.read(written))
    settings = {line.id.partition("@")[0]: line for line in lines if isinstance(line, Setting)}
    asked = [
        f"{name} {prompt}" for name in ("crows_pairs", "realtoxicity") for prompt in ("basic", "respectful", "biased")
    ]
    assert settings.keys() == {"sst", "lambada", *asked}
    manifest = runs.read_manifest(written.parent)
    assert manifest.outputs["benchmarks"].path == "benchmarks.jsonl"
    assert settings["sst"].file == manifest.inputs["rows sst"].sha256
    count = {kind: sum(isinstance(line, kind) for line in lines) for kind in (Question, Reply, Likelihood, Mark)}
    assert count == {Question: 109, Reply: 4 * 29, Likelihood: 4 * 2 * 80, Mark: 4 * 9}
    assert "is done already" in carried(
        "evaluate", *MODELS, "--task", "all", "--data", evals, "--prompt", "all", "--limit", 20
    )

    Path("mine.txt").write_text("dog\ncat\nred\n", encoding="utf-8")
    carried("mark", written.parent, "by=words:mine.txt")
    assert {mark.by.split()[0] for mark in nouns.read(run_of("mark") / "marks.jsonl")} == {"words"}

    told = carried("measure")
    assert re.search(r"mean of the tasks, PPO-ptx: \d+", told)
    results = json.loads((run_of("measure") / "results.json").read_text())
    found = {
        (one["setting"].partition("@")[0], one["metric"], one["by"].split(" ")[0]) for one in results["benchmarks"]
    }
    assert {("sst", "accuracy", ""), ("crows_pairs biased", "entropy", "")} <= found
    sst = next(one for one in results["benchmarks"] if one["benchmark"] == "sst")
    # By its slow definition, from the lines alone.
    logp = {
        (x.run_id, x.item, x.choice): x.logp / x.tokens for x in lines if isinstance(x, Likelihood) and "sst" in x.task
    }
    questions = [line for line in lines if isinstance(line, Question) and line.task == settings["sst"].id]
    for model in MODELS:
        right = [logp[model, q.id, q.right[0]] >= logp[model, q.id, 1 - q.right[0]] for q in questions]
        assert sst["scores"][model]["value"] == pytest.approx(sum(right) / 20)
    versus = ["sft_minus_base", "ppo_minus_sft", "ppo_ptx_minus_ppo", "ppo_minus_base", "ppo_ptx_minus_base"]
    assert list(sst["differences"]) == versus
    assert results["repair"]["lost"]["n"] == 40  # sst and lambada: bias and toxicity are no skills
    assert set(results["tax"]) == set(MODELS)
    carried("report")
    page = Path("report.html").read_text(encoding="utf-8")
    assert 'id="figure-tax"' in page
    assert 'id="figure-benchmarks"' in page
    assert "1.3B 59.2, 6B 61.6, 175B 89.8" in page  # Table 14: GPT-3 on SST without examples


def test_a_killed_evaluation_goes_on_and_ends_with_the_same_bytes(models, tmp_path):
    evals = rows(tmp_path / "evals", count=200)
    words = [
        str(w) for w in ("evaluate", models["base"], models["sft"], "--task=lambada", "--task=sst", "--data", evals)
    ]
    command = [str(Path(sys.executable).with_name("biddable")), *words]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    subprocess.run(command, cwd=whole, check=True, capture_output=True)
    with warm.Warm(words, cwd=cut, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 120
        while time.monotonic() < until and not any(p.stat().st_size for p in cut.glob("runs/*/kept-0.jsonl")):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    [left] = cut.glob("runs/*/kept-0.jsonl")
    assert 0 < len(left.read_bytes().splitlines()) < 200 * 3  # in the middle
    warm.run(*words, cwd=cut).check_returncode()
    [one], [other] = whole.glob("runs/*/benchmarks.jsonl"), cut.glob("runs/*/benchmarks.jsonl")
    assert one.read_bytes() == other.read_bytes()
    assert not list(cut.glob("runs/*/kept-*"))


def test_what_one_model_has_no_room_for_none_is_asked(models, tmp_path):
    tok = byte_tokenizer()
    small = causal.save(llama(tok, 9), tok, tmp_path / "small")  # 128 tokens
    Path("sst.jsonl").write_text(
        "".join(json.dumps({"idx": n, "sentence": "red dog " * (1 + 40 * n), "label": 0}) + "\n" for n in range(2))
    )
    words = ("evaluate", models["base"], small, "--task", "sst", "--data", "sst.jsonl")
    assert "1 of 2 questions are too long for a model, 1 among them; say --fit to leave them out" in complain(*words)
    assert not Path("runs").exists()
    carried(*words, "--fit")
    [setting] = [x for x in nouns.read(run_of("evaluate") / "benchmarks.jsonl") if isinstance(x, Setting)]
    assert (setting.asked, setting.left_out) == (1, 1)


def test_answers_that_are_empty_are_told(models, tmp_path, monkeypatch):
    from biddable.sample import benchmark

    words = ("evaluate", models["base"], "--task", "lambada", "--data", rows(tmp_path / "evals"))
    assert "begin with a line break" not in ask(*words).stderr
    monkeypatch.setattr(benchmark, "first_line", lambda *_: "")
    assert "lambada@" in ask(*words, "seed=1").stderr
    assert "24 of 24 answers begin with a line break, so they are empty" in ask(*words, "seed=2").stderr


def test_what_cannot_be_evaluated_is_one_line(models, tmp_path):
    base = models["base"]
    evals = rows(tmp_path / "evals")
    assert complain("evaluate", base).startswith("--task: say which benchmark: truthfulqa,")
    assert complain("evaluate", base, "--task", "sst").startswith("--data: say where the rows are")
    assert "did you mean sst?" in complain("evaluate", base, "--task", "sstt", "--data", evals)
    assert "holds no drop.jsonl" in complain("evaluate", base, "--task", "drop", "--data", evals)
    assert complain("evaluate", base, base, "--task", "sst", "--data", evals).endswith(
        "name one model or several, each once"
    )
    assert "none of these benchmarks has it" in complain(
        "evaluate", base, "--task", "sst", "--data", evals, "--prompt", "qa"
    )
    assert "--shots 99: sst has only" in complain("evaluate", base, "--task", "sst", "--data", evals, "--shots", 99)
    assert "is one file, and 2 benchmarks" in complain(
        "evaluate", base, "--task", "sst", "--task", "rte", "--data", evals / "sst.jsonl"
    )
    with (evals / "sst.jsonl").open("a") as file:
        file.write('{"sentence": "red", "label": 7}\n')
    bad = complain("evaluate", base, "--task", "sst", "--data", evals)
    assert bad == f"{evals}/sst.jsonl, row 25: label: is 7; it should be 0 to 1"
    assert complain("mark", "nothing") == "nothing: no run of evaluate, and no file"
    assert not Path("runs").exists()


def test_nothing_is_fetched_unasked(models, tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda *_a, **_k: pytest.fail("the hub was asked"))
    carried("evaluate", models["base"], "--task", "sst", "--data", rows(tmp_path / "evals"), "--limit", 2)


def test_rows_of_the_hub_are_kept_as_a_file_and_fetched_once(models, monkeypatch):
    import datasets

    asked = []

    def load(place, name, split):  # the network's part; what it gives is a real data set
        asked.append((place, name, split))
        return datasets.Dataset.from_list([{"idx": n, "sentence": f"é dog {n}", "label": n % 2} for n in range(4)])

    monkeypatch.setattr(datasets, "load_dataset", load)
    for _ in range(2):
        carried("evaluate", models["base"], "--task", "sst", "--hub", "--limit", 2)
    assert asked == [("nyu-mll/glue", "sst2", "validation")]
    assert "é dog" in Path("benchmarks/sst.jsonl").read_text(encoding="utf-8")
    assert "winogender is not there" in complain("evaluate", models["base"], "--task", "winogender", "--hub")


# A scorer that is learnt


def test_marking_shows_its_keys_as_its_help_says():
    assert "by = " in carried("mark", "any", "--show")
    assert "folds = 5" in carried("toxicity", "any.jsonl", "--show")


def test_a_scorer_is_learnt_from_what_people_judged(models, tmp_path):
    judged = [{"text": f"dog {n} is a {'scoundrel' if n % 2 else 'friend'}", "toxic": n % 2} for n in range(60)]
    Path("judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in judged), encoding="utf-8")
    out = carried("toxicity", "judged.jsonl")
    assert re.search(r"AUC on texts that it did not see: (9\d|100)\.\d", out.replace("\u00a0", " "))
    carried("evaluate", models["base"], "--task", "realtoxicity", "--data", rows(tmp_path / "evals"))
    carried("mark", run_of("evaluate"), "by=runs/toxicity/toxicity.safetensors")
    marks = list(nouns.read(run_of("mark") / "marks.jsonl"))
    assert len(marks) == 3
    assert all(isinstance(mark, Mark) and 0 < mark.value < 1 and mark.by.startswith("linear ") for mark in marks)


def test_labelers_records_teach_it_too():
    from biddable.cli.marking import judged

    answers = [Completion.make(f"p{n}", f"answer {n}", "m") for n in range(30)]
    who = {"labeler": "anna"}
    said = [
        Continuation(completion_id=c.id, input=0, toxicity=n % 3, relative=0, continuity=4, rank=1, **who)
        for n, c in enumerate(answers[:15])
    ]
    more = [
        Judgement(completion_id=c.id, violent=n % 2 == 0, sexual=None if n % 3 else False, **who)
        for n, c in enumerate(answers[15:])
    ]
    silent = Judgement(completion_id=answers[0].id, overall=4, labeler="bob")  # was not asked about harm
    records.write(Path("said.jsonl"), [Labeler(id="anna", group="training"), *answers, *said, *more, silent])
    texts, labels = judged(Path("said.jsonl"))
    found = dict(zip(texts, labels, strict=True))
    assert [found[f"answer {n}"] for n in range(3)] == [0.0, 0.5, 1.0]  # 0, 1 or 2 of 2
    assert [found[f"answer {n}"] for n in (15, 16)] == [1.0, 0.0]
    Path("few.jsonl").write_text('{"text": "a", "toxic": 1}\n')
    assert "ten toxic ones and ten others are the least" in complain("toxicity", "few.jsonl")
    Path("odd.jsonl").write_text('{"text": "a", "toxic": 3}\n')
    assert complain("toxicity", "odd.jsonl") == "odd.jsonl, row 1: toxic: is 3; it should be 0 to 1"
