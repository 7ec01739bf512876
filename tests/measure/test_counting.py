"""What a project's files come to: in one order, people's alone, each figure with the files that it is drawn from."""

from pathlib import Path

import pytest
from report_demo import some_folds

from biddable import records, runs
from biddable.config import Settings
from biddable.measure.cost import Paid
from biddable.measure.counting import Ground, MeasureConfig, count, name_of_run
from biddable.measure.results import ReportData
from biddable.records import Completion, Demonstration, Labeler, Prompt, Verdict

MODELS = ("base", "sft", "ppo", "zeta")
PAIRS = [("zeta", "sft"), ("ppo", "sft"), ("sft", "base"), ("ppo", "base")]


@pytest.fixture
def inputs(tmp_path, monkeypatch) -> dict[str, Path]:
    """Six prompts, each pair compared by ann and by the truth; two demonstrations; two runs of folds."""
    monkeypatch.chdir(tmp_path)
    people = [Labeler(id="ann", group="training")]
    prompts = [Prompt(id=f"p{n}", text="?", split="test") for n in range(6)]
    answers = [Completion(id=f"{m}-{p.id}", prompt_id=p.id, text=m, run_id=f"{m}@1") for m in MODELS for p in prompts]
    said = [
        Verdict(prompt_id=p.id, a=f"{a}-{p.id}", b=f"{b}-{p.id}", better="a", judge=judge, labeler=who, seconds=60)
        for p in prompts
        for a, b in PAIRS
        for judge, who in (("person", "ann"), ("gold", None))
    ]
    records.write(Path("verdicts-1.jsonl"), [*people, *prompts, *answers, *said])
    wrote = [Prompt(id="p9", text="?", split="train"), prompts[0]]
    told = [Demonstration(prompt_id=p.id, text="yes", labeler="ann", seconds=600) for p in wrote]
    records.write(Path("demos-all-1.jsonl"), [*people, *wrote, *told])
    for name, folds in (("older", some_folds()), ("newer", some_folds().model_copy(update={"own_error": 0.5}))):
        with runs.start(Path("runs") / name, "reward-folds", Settings(), {}, 0) as run:
            runs.write_aside(run.output("folds", run.folder / "folds.json"), folds.model_dump_json())
    return {
        "verdicts": Path("verdicts-1.jsonl"), "demos": Path("demos-all-1.jsonl"),
        "older folds": Path("runs/older/folds.json"), "newer folds": Path("runs/newer/folds.json"),
    }  # fmt: skip


def counted(inputs: dict[str, Path], paid: Paid | None = None, world="real", baseline: str | None = None) -> ReportData:
    settings = MeasureConfig(split="test", baseline=baseline)
    folder = Path("runs") / name_of_run(inputs, settings)
    with runs.start(folder, "measure", settings, inputs, 0) as run:
        return count(run, Ground(Path("runs"), Path(), inputs, settings, world, paid))


def test_pairs_stand_in_the_loops_order(inputs):
    rates = counted(inputs).results.human_win_rate
    assert list(rates) == ["sft_vs_base", "ppo_vs_base", "ppo_vs_sft", "zeta_vs_sft"]
    assert {rate.value for rate in rates.values()} == {1.0}


def test_all_others_are_held_against_a_baseline_that_is_asked_for(inputs):
    results = counted(inputs, baseline="zeta").results
    assert {key: rate.value for key, rate in results.human_win_rate.items() if "zeta" in key} == {"sft_vs_zeta": 0.0}
    assert results.preference is not None
    assert {(one.model, one.against) for one in results.preference.pairings if "zeta" in one.key} == {("sft", "zeta")}


def test_people_who_compared_the_same_are_held_against_one_another(inputs):
    """Ann says of all 24 pairs that the first is better; ben of two of them, once as she does."""
    assert counted(inputs).results.verdict_agreement is None
    path = inputs["verdicts"]
    first, second = [v for v in records.read(path) if isinstance(v, Verdict) and v.judge == "person"][:2]
    ben = [first.model_copy(update={"labeler": "ben"}), second.model_copy(update={"labeler": "ben", "better": "b"})]
    records.write(path, [*records.read(path), Labeler(id="ben", group="training"), *ben])
    found = counted(inputs).results.verdict_agreement
    assert found is not None
    assert (found.value, found.n) == (0.5, 2)


def test_only_peoples_labels_are_counted_as_labels(inputs):
    data = counted(inputs)
    assert data.counts.verdicts == 24  # six prompts, four pairs; the truth's are not people's
    assert data.counts.demonstrations == 1  # the other is held out
    assert data.counts.rankings is None
    assert data.counts.labelers == 1
    assert data.counts.prompts == 6
    assert data.results.cost is not None
    assert {kind: (work.labels, work.hours) for kind, work in data.results.cost.work.items()} == {
        "demonstrations": (2, 0.333), "verdicts": (24, 0.4),
    }  # fmt: skip
    assert data.results.gold_win_rate == {}


def test_a_pair_of_models_of_which_only_a_hidden_check_told_is_none(inputs):
    path = inputs["verdicts"]
    check = Verdict(prompt_id="p0", a="zeta-p0", b="base-p0", better="a", judge="person", labeler="ann", extra=True)
    before = counted(inputs).results.human_win_rate
    records.write(path, [*records.read(path), check])
    assert counted(inputs).results.human_win_rate == before


def test_the_newest_folds_are_shown(inputs):
    folds = counted(inputs).results.folds
    assert folds is not None
    assert folds.own_error == 0.5


def test_a_figure_names_what_it_is_drawn_from_and_no_more(inputs):
    sources = counted(inputs).sources
    (drawn,) = sources["preference"]
    assert drawn.files == {"verdicts": "verdicts-1.jsonl"}
    assert drawn.inputs == {"verdicts": runs.artifact(Path("verdicts-1.jsonl")).sha256}
    (asked,) = sources["labels"]
    assert asked.files == {"newer folds": "runs/newer/folds.json", "older folds": "runs/older/folds.json"}


def test_what_was_paid_and_whose_world_it_is_come_from_the_project(inputs):
    paid = Paid(amount=10.0, hours=0.5, until="2026-11-22")
    data = counted(inputs, paid, "hamlet")
    assert data.world == "hamlet"
    assert data.results.cost is not None
    assert data.results.cost.paid == paid


def test_counting_is_no_machine_time_and_its_own_never_the_same_twice(inputs):
    data = counted(inputs)
    assert list(data.machine) == ["reward-folds"]
    assert counted(inputs).results.model_copy(update={"seconds": 0}) == data.results.model_copy(update={"seconds": 0})
