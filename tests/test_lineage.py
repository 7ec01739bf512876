"""From a model back to the people below it, and from a person forward: over hashes, and over the store between them."""

import json
import re
import shutil
from pathlib import Path

import pytest

from biddable import lineage, records, runs
from biddable.config import Settings
from biddable.contents import contents
from biddable.lineage import Tracks
from biddable.records import Completion, Demonstration, Labeler, Prompt, Ranking, Record, Verdict

PROMPTS = [Prompt(id=f"p{n}", text=f"say {n}", user=f"u{n}", organization="acme" if n == 2 else None) for n in range(3)]
DEMOS = [
    Demonstration(prompt_id="p0", text="yes", labeler="ann"),
    Demonstration(prompt_id="p1", text="no", labeler="ben"),
]
ANSWERS = [Completion(id=f"c{n}", prompt_id="p1", text=str(n), run_id="sft@1f09") for n in range(2)]
RANKINGS = [Ranking(prompt_id="p1", labeler="cat", order=(("c0",), ("c1",)))]
VERDICTS = [
    Verdict(prompt_id="p1", a="c0", b="c1", better="a", shown="ab", judge="person", labeler="dan"),
    Verdict(prompt_id="p1", a="c0", b="c1", better="a", shown="ba", judge="model", labeler="reward"),
]


def run(root: Path, name: str, kind: str, inputs: dict[str, Path], **left: list[Record] | str) -> None:
    with runs.start(root / "runs" / name, kind, Settings(), inputs, 0) as made:
        for output, what in left.items():
            if isinstance(what, str):
                path = made.output(output, made.folder / "model")
                path.mkdir()
                (path / "model.safetensors").write_text(what)
            else:
                records.write(made.output(output, made.folder / f"{output}.jsonl"), what)


def snapshot(root: Path, name: str, rows: list[Record]) -> Path:
    records.write(root / f"{name}.jsonl", rows)
    return root / f"{name}.jsonl"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ann and ben wrote, cat ranked what sft answered, dan judged, and eve's rankings were not used by any run."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    here = Path()
    people = [Labeler(id=name, group="training") for name in ("ann", "ben", "cat", "dan", "eve")]
    (here / "prompts.csv").write_text("text,user\n")
    run(here, "gather-1", "gather", {"prompts": here / "prompts.csv"}, prompts=PROMPTS)
    (here / "base").mkdir()
    (here / "base" / "model.safetensors").write_text("base")
    demos = snapshot(here, "demos-1", [*people[:2], *PROMPTS[:2], *DEMOS])
    run(here, "sft", "sft", {"model": here / "base", "demos": demos}, model="taught")
    asked = snapshot(here, "prompts-1", PROMPTS)
    run(
        here, "sample-sft-1f09", "sample", {"model sft": here / "runs/sft/model", "prompts": asked}, completions=ANSWERS
    )
    ranked = snapshot(here, "rankings-1", [people[2], PROMPTS[1], *ANSWERS, *RANKINGS])
    run(here, "reward", "reward", {"model": here / "base", "rankings": ranked}, model="judge")
    said = snapshot(here, "verdicts-1", [people[3], PROMPTS[1], *ANSWERS, *VERDICTS])
    run(here, "measure-1", "measure", {"verdicts": said}, results=[])
    Path("runs/measure-1/results.json").write_text(json.dumps({"human_win_rate": {}}))
    snapshot(
        here,
        "rankings-2",
        [people[4], PROMPTS[0], RANKINGS[0].model_copy(update={"labeler": "eve", "prompt_id": "p0"})],
    )
    return root


@pytest.fixture
def tracks(project: Path) -> Tracks:
    return Tracks.below(Path("runs"), Path())


def road(tracks: Tracks, name: str) -> str:
    made = tracks.run(name)
    assert made is not None
    return "\n".join(lineage.lines(lineage.back(tracks, made)))


def test_a_model_leads_back_to_snapshots_labels_and_labelers(tracks: Tracks):
    told = road(tracks, "sft")
    assert "run sft: sft, done" in told
    assert "2 demonstrations; labels of ann (1), ben (1); prompts of u0 (1), u1 (1)" in told
    assert "base" in told
    assert "was not made here" in told
    assert "run gather-1" in told


def test_answers_that_went_through_the_store_lead_on_to_who_gave_them(tracks: Tracks):
    told = road(tracks, "reward")
    assert "labels of cat (1)" in told
    lines = told.splitlines()
    depth = {m[1]: len(line) - len(line.lstrip()) for line in lines if (m := re.search(r"run ([\w-]+): ", line))}
    assert depth["reward"] < depth["sample-sft-1f09"] < depth["sft"]
    assert "labels of ann (1), ben (1)" in told  # below the sft whose answers cat ranked


def test_what_was_told_once_is_not_told_again(tracks: Tracks):
    assert road(tracks, "sample-sft-1f09").count("labels of ann") == 1


@pytest.mark.parametrize(
    ("person", "files", "touched", "models"),
    [
        ("ann", ["demos-1"], ["sft", "sample-sft-1f09", "reward", "measure-1"], ["sft", "reward"]),
        ("cat", ["rankings-1"], ["reward"], ["reward"]),
        ("dan", ["verdicts-1"], ["measure-1"], []),
        ("eve", ["rankings-2"], [], []),
        ("u0", None, ["gather-1", "sft", "sample-sft-1f09", "reward", "measure-1"], ["sft", "reward"]),
        ("acme", None, ["gather-1", "sample-sft-1f09", "reward", "measure-1"], ["reward"]),
        ("reward", [], [], []),  # a judge that is a model is no person
        ("nobody", [], [], []),
    ],
)
def test_a_persons_words_are_followed_to_each_run_and_model(tracks: Tracks, person, files, touched, models):
    found = lineage.forward(tracks, person)
    if files is not None:
        assert sorted(path.stem for path in found.files) == files
    assert [made.id for made in found.runs] == touched
    assert [path.parent.name for path in found.models] == models
    assert not found.gone


def test_it_is_told_what_of_a_file_is_theirs(tracks: Tracks):
    found = lineage.forward(tracks, "u1").files
    assert found[Path("demos-1.jsonl")] == "1 prompt, labeled by 1 other"
    assert lineage.forward(tracks, "ann").files[Path("demos-1.jsonl")] == "1 demonstration"


def test_what_a_run_logged_leads_to_the_run_wherever_the_project_lies(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It is no output, since it grows: a measurement names it by the folder from which it was called."""
    metrics = Path("runs/sft/metrics.jsonl")
    metrics.write_text('{"step": 1}\n')
    run(Path(), "measure-2", "measure", {"sft metrics": metrics}, results=[])
    shutil.move(project, tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    tracks = Tracks.below(Path("runs").absolute(), Path().absolute())
    assert "run sft: sft" in road(tracks, "measure-2")
    assert not lineage.forward(tracks, "ann").gone
    assert "measure-2" in [made.id for made in lineage.forward(tracks, "ann").runs]


def test_a_snapshot_that_is_gone_is_named_and_not_passed_over(project: Path):
    Path("demos-1.jsonl").unlink()
    tracks = Tracks.below(Path("runs"), Path())
    assert "demos-1.jsonl" in road(tracks, "sft")
    assert "is not there any more" in road(tracks, "sft")
    assert lineage.forward(tracks, "ann").gone == ["demos-1.jsonl"]


def test_another_file_under_the_same_name_is_not_taken_for_it(project: Path):
    records.write(Path("demos-1.jsonl"), [Labeler(id="zoe", group="training")])
    told = road(Tracks.below(Path("runs"), Path()), "sft")
    assert "zoe" not in told
    assert "is not there any more" in told


def test_a_folder_that_was_copied_and_added_to_is_known_by_its_weights(project: Path):
    """Exported, its card edited, and trained on: the road back does not end, nor does a person's forward."""
    shutil.copytree("runs/sft/model", "given")
    Path("given/README.md").write_text("mine")
    run(Path(), "dpo", "dpo", {"model": Path("given")}, model="further")
    tracks = Tracks.below(Path("runs"), Path())
    told = road(tracks, "dpo")
    assert "run sft: sft, done" in told
    assert "labels of ann (1), ben (1)" in told
    assert "dpo" in [made.id for made in lineage.forward(tracks, "ann").runs]
    assert "dpo" not in [made.id for made in lineage.forward(tracks, "cat").runs]
    alone = Path("w.safetensors")
    shutil.copy("runs/sft/model/model.safetensors", alone)
    assert "run sft: sft" in "\n".join(lineage.lines(lineage.of_file(tracks, alone)))
    Path("other.safetensors").write_text("another's")
    assert "was not made here" in "\n".join(lineage.lines(lineage.of_file(tracks, Path("other.safetensors"))))


def test_a_road_is_short_enough_to_be_read(tracks: Tracks):
    """A thing and its run stand in one line, and all that was told before in one more. By hand: `measure-1` counts what
    dan said of answers of sft, whose demonstrations ann and ben wrote; the prompts came from one gathering."""
    told = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "WHEN", road(tracks, "measure-1"))
    told = re.sub(r", seed 0, biddable [\w. ]+$", ", CODE", re.sub(r"\([0-9a-f]{8}\)", "(SHA)", told), flags=re.M)
    assert told.splitlines() == [
        "run measure-1: measure, done, WHEN, CODE",
        "  verdicts: verdicts-1.jsonl (SHA): 1 labeler, 1 prompt, 2 completions, 2 verdicts (1 by people, 1 by models)"
        "; labels of dan (1); prompts of u1 (1)",
        "    run sample-sft-1f09: sample, done, WHEN",
        "      model sft: run sft: sft, done, WHEN",
        "        demos: demos-1.jsonl (SHA): 2 labelers, 2 prompts, 2 demonstrations; labels of ann (1), ben (1)"
        "; prompts of u0 (1), u1 (1)",
        "          run gather-1: gather, done, WHEN",
        "            prompts: prompts.csv (SHA): was not made here",
        "        model: base (SHA): was not made here",
        "      as above: run gather-1",
        "    as above: run gather-1",
    ]


def test_many_people_are_a_number(tmp_path: Path):
    people = [Labeler(id=f"l{n}", group="training") for n in range(7)]
    prompts = [Prompt(id=f"p{n}", text="?", user=f"u{n}") for n in range(1200)]
    said = [Demonstration(prompt_id=f"p{n}", text="yes", labeler=f"l{n % 7}") for n in range(1200)]
    held = contents(snapshot(tmp_path, "demos", [*people, *prompts, *said]))
    assert str(held) == "7 labelers, 1,200 prompts of 1,200 users or organizations, 1,200 demonstrations"
    held = contents(snapshot(tmp_path, "alone", [*people[:2], *said]))
    assert str(held) == "2 labelers, 1,200 demonstrations; labels of 7 people"


def test_verdicts_are_told_by_whose_they_are(tmp_path: Path):
    """A card and a page count people's alone."""
    said = [Verdict(prompt_id=f"p{n}", a="c0", b="c1", better="a", judge="person", labeler="dan") for n in range(3)]
    gold = [Verdict(prompt_id=f"p{n}", a="c0", b="c1", better="a", judge="gold") for n in range(2)]
    both = contents(snapshot(tmp_path, "both", [*said, *gold]))
    assert str(both) == "5 verdicts (3 by people, 2 by the truth); labels of dan (3)"
    assert str(contents(snapshot(tmp_path, "people", said))) == "3 verdicts; labels of dan (3)"


def test_what_hands_weights_on_did_not_make_them(project: Path):
    """An export of a base has its weights byte for byte: the base does not come of it, nor does what learned from the
    base before."""
    with runs.start(Path("runs/export-1"), "export", Settings(), {"model": Path("base")}, 0) as made:
        shutil.copytree("base", "mine")
        Path("mine/README.md").write_text("a card")
        made.output("exported", Path("mine").absolute())
    tracks = Tracks.below(Path("runs"), Path())
    first, *rest = lineage.lines(lineage.of_file(tracks, Path("mine")))
    assert first.startswith(f"file: {Path('mine').absolute()}, of run export-1: export, done, ")
    assert [line.split(" (")[0] for line in rest] == ["  model: base"]
    assert "was not made here" in "\n".join(lineage.lines(lineage.of_file(tracks, Path("base"))))
    assert "export-1" not in road(tracks, "sft")
    assert [run.id for run in lineage.trained(tracks, tracks.run("sft"))] == ["sft"]


def test_two_samplings_of_one_model_are_two(project: Path):
    """Answers are known by their own names: who answered later has no part in what was ranked before."""
    more = [Completion(id="c9", prompt_id="p1", text="9", run_id="sft@1f09")]
    prompts = {"model sft": Path("runs/sft/model"), "prompts": Path("prompts-1.jsonl")}
    run(Path(), "sample-sft-again", "sample", prompts, completions=more)
    tracks = Tracks.below(Path("runs"), Path())
    assert "sample-sft-again" not in road(tracks, "reward")
    assert "run sample-sft-1f09" in road(tracks, "reward")
    assert lineage.below(tracks, tracks.run("reward")) == {"reward", "sample-sft-1f09", "sft", "gather-1"}


def test_a_project_that_was_moved_is_still_one(project: Path, monkeypatch: pytest.MonkeyPatch):
    before = road(Tracks.below(Path("runs"), Path()), "reward")
    moved = project.parent / "elsewhere"
    shutil.move(project, moved)
    monkeypatch.chdir(project.parent)
    after = road(Tracks.below(moved / "runs", moved), "reward")
    assert before.splitlines()[0] == after.splitlines()[0]
    assert "labels of ann (1), ben (1)" in after
