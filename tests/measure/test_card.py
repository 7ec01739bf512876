"""A model's card: the hub's own library reads it, every number in it is one of ours, and what is not known says so."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from report_demo import made, some_cost
from safetensors.numpy import save_file

from biddable import records, runs
from biddable.config import Settings
from biddable.lineage import Made, Tracks
from biddable.measure import card as cards
from biddable.measure.card import card, edited, write_card
from biddable.measure.front_matter import front_matter
from biddable.measure.markdown import code, said, table
from biddable.measure.model_facts import facts
from biddable.measure.results import data_text
from biddable.records import Completion, Demonstration, Labeler, Prompt, Ranking, Record


class SomeConfig(Settings):
    beta: float = 0.02
    gamma_ptx: float = 0.6
    learning_rate: float = 6e-4


PROMPTS = [Prompt(id=f"p{n}", text=f"say {n}", use_case="chat" if n else "rewrite", user="maria") for n in range(4)]
PEOPLE = [Labeler(id="ann", group="training"), Labeler(id="ben", group="training")]
DEMOS = [Demonstration(prompt_id=f"p{n}", text="yes", labeler="ann", seconds=900) for n in range(2)]
RANKINGS = [Ranking(prompt_id="p1", labeler="ben", order=(("c0",), ("c1",)), seconds=1800)]
HUB = "hub/models--some-lab--small-1b/snapshots/0123456789abcdef0123456789abcdef01234567"


def weights(folder: Path, seed: int) -> Path:
    """Two tensors of 6 and 4 numbers, and what transformers writes beside them."""
    folder.mkdir(parents=True)
    tensors = {"a": np.full((2, 3), seed, dtype=np.float32), "b": np.zeros((4,), dtype=np.float32)}
    save_file(tensors, folder / "model.safetensors")
    shape = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 256, "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(shape))
    return folder


def trained(name: str, kind: str, inputs: dict[str, Path], seed: int) -> Path:
    with runs.start(Path("runs") / name, kind, SomeConfig(), inputs, 3) as run:
        return weights(run.output("model", run.folder / "model"), seed)


def snapshot(name: str, rows: list[Record]) -> Path:
    records.write(Path(f"{name}.jsonl"), rows)
    return Path(f"{name}.jsonl")


def measure(world: str = "hamlet", **results) -> None:
    data = made(world)
    data = data.model_copy(update={"results": data.results.model_copy(update=results)})
    verdicts = snapshot("verdicts-1", [*PROMPTS, *ANSWERS])
    with runs.start(Path("runs/measure-1"), "measure", Settings(), {"verdicts": verdicts}, 0) as run:
        runs.write_aside(run.output("data", run.folder / "report.json"), data_text(data))


ANSWERS = [Completion(id=f"c{n}", prompt_id="p1", text=str(n), run_id="ppo_ptx") for n in range(2)]


@pytest.fixture
def tracks(tmp_path, monkeypatch) -> Tracks:
    """Base of the hub → sft and a reward model → ppo_ptx, whose answers were measured."""
    monkeypatch.chdir(tmp_path)
    base = weights(Path(HUB), 0)
    demos = snapshot("demos-1", [*PEOPLE[:1], *PROMPTS[:2], *DEMOS])
    sft = trained("sft", "sft", {"model": base, "demos": demos}, 1)
    ranked = snapshot("rankings-1", [*PEOPLE, PROMPTS[1], *ANSWERS, *RANKINGS])
    reward = trained("reward", "reward", {"model": sft, "rankings": ranked, "demos": demos}, 2)
    asked = snapshot("prompts-1", PROMPTS)
    ptx = trained("ppo_ptx", "ppo", {"start": sft, "reward_model": reward, "prompts": asked}, 4)
    with runs.start(Path("runs/final"), "sample", Settings(), {"ppo_ptx": ptx, "prompts": asked}, 0) as run:
        records.write(run.output("completions", run.folder / "completions.jsonl"), ANSWERS)
    measure()
    return Tracks.below(Path("runs"), Path())


def found(tracks: Tracks, name: str) -> Made:
    run = tracks.run(name)
    assert run is not None
    return run


def of(tracks: Tracks, name: str = "ppo_ptx") -> str:
    return card(facts(tracks, found(tracks, name), tracks.run("measure-1")))


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


# What the hub reads


def test_the_hubs_own_library_reads_the_card(tracks):
    data = ModelCard(of(tracks)).data
    assert data.base_model == "some-lab/small-1b"
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "text-generation"
    assert data.tags == ["biddable", "rlhf", "sft", "ppo"]
    assert data.license is None  # its owner's to name
    assert data.model_name == "ppo_ptx"
    seen = {(one.dataset_type, one.metric_name): one for one in data.eval_results}
    wins = seen["verdicts", "preferred to SFT, by simulated people; a tie counts half"]
    assert wins.metric_type == "win_rate"
    assert wins.metric_value == 0.62
    assert wins.metric_args == {"low": 0.57, "high": 0.67, "level": 0.95, "n": 600}
    assert wins.dataset_revision == runs.artifact(Path("verdicts-1.jsonl")).sha256
    assert seen["judgements", "Toxicity, by simulated people"].metric_value == 0.004
    assert seen["judgements", "Refusal, by a rule"].metric_value == 0.055  # nobody was asked about refusals
    assert seen["reading", "accuracy"].metric_value == 0.94


def test_every_result_of_the_head_is_this_models(tracks):
    data, ours = ModelCard(of(tracks, "sft")).data, made().results
    assert {one.metric_name for one in data.eval_results if one.dataset_type == "verdicts"} == {
        "preferred to base, by simulated people; a tie counts half",
        "preferred to base, by the truth of the practice world; a tie counts half",
    }
    assert ours.toxicity["sft"].value in [one.metric_value for one in data.eval_results]
    assert ours.toxicity["ppo_ptx"].value not in [one.metric_value for one in data.eval_results]


def test_the_license_is_left_to_whoever_publishes(tracks):
    assert of(tracks).splitlines()[:2] == ["---", "# license: not recorded; name one"]


SCALARS = st.one_of(
    st.text(), st.booleans(), st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["no", "1.0", "~", "#", "- a", "a: b", "\u2028", "\x85", "\ufeff", "\x7f", "😀"]),
)  # fmt: skip
TREES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(max_size=5), inner)), max_leaves=12
)


@given(st.dictionaries(st.text(max_size=8), TREES))
def test_what_is_written_as_yaml_is_what_yaml_reads(tree):
    block = front_matter(tree, ["a comment"])
    assert block.startswith("---\n# a comment\n")
    assert block.endswith("---\n")
    assert (yaml.safe_load(block.removesuffix("---\n")) or {}) == tree


# What people read


def test_the_parts_of_a_card_are_there_in_their_order(tracks):
    assert re.findall(r"^## (.*)$", of(tracks), flags=re.MULTILINE) == [
        "What it is", "How to use it", "Intended use and limits", "How it was trained", "Who labeled", "Evaluation",
        "What it was not tested for", "Where it comes from", "Method",
    ]  # fmt: skip


def test_the_facts_are_those_of_manifests_and_files(tracks):
    text = plain(of(tracks))
    assert "| parameters | 10 |" in text  # 2 × 3 + 4
    assert "| base model | some-lab/small-1b, revision 0123456789ab, sha256 `" in text
    assert "| architecture | LlamaForCausalLM |" in text
    assert "beta 0.02, gamma\\_ptx 0.6" in text
    assert "| `sft` | demos | demos-1.jsonl | 1 labelers, 2 prompts, 2 demonstrations |" in text
    assert "| training | 2 training | 2 demonstrations, 1 rankings | 1.0 (3 labels tell) |" in text  # 2 × 900 + 1800 s
    assert "| `ppo_ptx` | start | sft/model |" in text  # by whom it was left, for each leaves a `model`
    assert "chat 75 %, rewrite 25 %" in text
    run = runs.read_manifest(Path("runs/ppo_ptx"))
    assert run.outputs["model"].sha256 in text
    assert run.outputs["model"].files["model.safetensors"] in text
    for file in ("demos-1.jsonl", "rankings-1.jsonl", "prompts-1.jsonl"):
        assert runs.artifact(Path(file)).sha256 in text
    assert "`biddable trace ppo_ptx`" in text


def test_what_is_measured_stands_with_its_interval_and_the_rest_is_named(tracks):
    text = plain(of(tracks))
    assert "| SFT | simulated people | 62.0 % | 57.0–67.0 | 600 |" in text
    assert "| Hallucination | simulated people | PPO-ptx | 16.0 % | 14.0–18.0 | 600 |" in text
    assert "| lost since base (the alignment tax) | 2.2 points | 0.2–4.2 | 1,000 | – |" in text
    untested = text.split("## What it was not tested for")[1].split("##")[0]
    assert "truthfulness (TruthfulQA)" in untested
    assert "jailbreaks" in untested
    assert "- toxicity, as people see it" not in untested  # it was


def test_nothing_personal_is_in_it(tracks):
    text = of(tracks).replace("\\", "")
    for name in ("ann", "ben", "maria", str(Path.cwd())):
        assert not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text), name


def test_a_practice_world_says_so_and_a_real_one_does_not(tracks):
    assert "**Practice world.**" in of(tracks)
    assert ModelCard(of(tracks)).data.language == ["en"]
    shutil.rmtree("runs/measure-1")
    measure("real")
    text = of(Tracks.below(Path("runs"), Path()))
    assert "ractice world" not in text.replace("the truth of the practice world", "")
    assert "simulated" not in text
    assert ModelCard(text).data.language is None


def test_what_nobody_kept_is_not_recorded(tracks):
    Path("demos-1.jsonl").unlink()
    Path("rankings-1.jsonl").unlink()
    shutil.rmtree("runs/measure-1")
    text = of(Tracks.below(Path("runs"), Path()))
    assert "| training | not recorded | not recorded | not recorded |" in text
    assert "Pay: not recorded." in text
    assert "Screening: not recorded." in text
    assert "Agreement: not recorded." in text
    assert "Not measured: no measurement of these weights is here." in text
    untested = text.split("## What it was not tested for")[1].split("##")[0]
    assert "- whether people prefer it" in untested
    assert "- toxicity, as people see it" in untested
    assert ModelCard(text).data.eval_results is None


def test_a_measurement_of_earlier_weights_is_not_this_models(tracks):
    """Trained again in the same folder: what was measured was another model of that name."""
    shutil.rmtree("runs/ppo_ptx")
    trained("ppo_ptx", "ppo", {"start": Path("runs/sft/model"), "prompts": Path("prompts-1.jsonl")}, 9)
    assert "Not measured" in of(Tracks.below(Path("runs"), Path()))


def test_pay_and_screening_are_told_where_they_are_known(tracks):
    paid = {"amount": 80.0, "hours": 4.0, "until": "2026-11-21"}
    shutil.rmtree("runs/measure-1")
    measure(cost=some_cost(paid=paid))
    assert "Pay: 80.00 for 4.0 hours, until 2026-11-21." in of(Tracks.below(Path("runs"), Path()))


def test_words_of_files_cannot_become_markup(tracks):
    assert said("a|b\n# <b>[x](y)`") == r"a\|b \# \<b\>\[x\](y)\`"
    assert code("a`|\n") == "`a'/ `"
    assert table(["a"], []) == ""


# Whose file it is


def test_a_card_is_written_again_until_somebody_edits_it(tracks, tmp_path):
    place, run = tmp_path / cards.NAME, found(tracks, "ppo_ptx")
    assert write_card(tracks, run, tracks.run("measure-1"), place)
    first = place.read_text()
    assert not edited(first)
    assert write_card(tracks, run, None, place)
    assert place.read_text() != first
    mine = first.replace("Intended use: not recorded.", "For our help desk.")
    place.write_text(mine)
    assert edited(mine)
    assert not write_card(tracks, run, tracks.run("measure-1"), place)
    assert place.read_text() == mine


@pytest.mark.parametrize(
    "text", ["", "# mine\n", "<!-- biddable-card: 00 -->\n", f"<!-- biddable-card: {'0' * 64} -->\n"]
)
def test_a_file_that_was_never_ours_counts_as_edited(text):
    assert edited(text)


def test_the_card_says_of_which_data_it_was_made(tracks):
    data = Path("runs/measure-1/report.json").read_bytes()
    assert f"<!-- biddable-data: {hashlib.sha256(data).hexdigest()} -->" in of(tracks)
