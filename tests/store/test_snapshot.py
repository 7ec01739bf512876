"""Out by snapshot, back by receive."""

import hashlib
import json
import random
from pathlib import Path

import pytest
from moulds import Moulds
from village import AT, LABELERS, PROMPTS, SCORES, everything, group_of, ranking

from biddable import records
from biddable.records import Completion, Labeler, Prompt, Score
from biddable.store import SnapshotManifest, Store, StoreError, manifest_path, open_store, snapshot

KINDS = {
    "prompts": {"prompt"},
    "completions": {"prompt", "completion"},
    "demos": {"labeler", "prompt", "demonstration"},
    "rankings": {"labeler", "prompt", "completion", "ranking"},
    "judgements": {"labeler", "prompt", "completion", "judgement"},
    "verdicts": {"labeler", "prompt", "completion", "verdict"},
}


def people(path: Path) -> set[str]:
    """Every labeler that a file names in any way."""
    found = {r.id for r in records.read(path) if r.kind == "labeler"}
    return found | {name for r in records.read(path) if (name := getattr(r, "labeler", None))}


@pytest.mark.parametrize("what", KINDS)
def test_a_snapshot_stands_on_its_own(store: Store, moulds: Moulds, tmp_path: Path, what):
    """Another store takes it as it is: whatever it names is in it, before it is named."""
    store.add_many(everything())
    path = tmp_path / "out.jsonl"
    manifest = store.snapshot(what, path, group=None)
    read = list(records.read(path))
    assert {r.kind for r in read} == KINDS[what]
    assert sum(manifest.counts.values()) == len(read)
    with open_store(moulds.file(tmp_path / "other.db")) as other:
        for record in read:
            other.add_many([record])
        again = other.snapshot(what, tmp_path / "again.jsonl", group=None)
    assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()
    assert again.sha256 == manifest.sha256


@pytest.mark.parametrize("what", ["demos", "rankings", "judgements", "verdicts"])
def test_only_training_labelers_leave_unless_told_otherwise(store: Store, tmp_path: Path, what):
    store.add_many(everything())
    path = tmp_path / "out.jsonl"
    store.snapshot(what, path)
    assert {group_of(name) for name in people(path)} == {"training"}
    assert people(path) == {"ann", "ben"}
    assert not any(r.kind == "verdict" and r.judge != "person" for r in records.read(path))  # truth never trains
    for group, who in (("held_out", {"cat"}), ("candidate", {"dan"}), ("researcher", {"eve"})):
        store.snapshot(what, path, group=group)
        assert people(path) == who
    store.snapshot(what, path, group=None)
    assert people(path) - {"rm"} == {who.id for who in LABELERS}


def test_who_ranked_nothing_costs_a_snapshot_nothing(tmp_path: Path):
    """SQLite once looked for each prompt with each labeler of the group."""
    with open_store(tmp_path / "store.db") as store:
        store.add_labelers(LABELERS)
        prompts = [Prompt(id=f"p{n:03}", text="?", split="train") for n in range(300)]
        answers = [Completion(id=f"{p.id}-{a}", prompt_id=p.id, text=a, run_id="run") for p in prompts for a in "ab"]
        store.add_many([*prompts, *answers, *(ranking(p.id, "ann", "b a") for p in prompts)])
        few = _work_of_a_snapshot(store, tmp_path)
        store.add_labelers(Labeler(id=f"new{n:03}", group="training") for n in range(300))
        assert _work_of_a_snapshot(store, tmp_path) < 1.3 * few


def _work_of_a_snapshot(store: Store, tmp_path: Path) -> int:
    """In tens of steps of SQLite's machine."""
    steps = [0]

    def step() -> None:
        steps[0] += 1

    with store.reading() as connection:
        connection.connection.driver_connection.set_progress_handler(step, 10)
        query = snapshot.Query(what="rankings", split="train", group="training")
        snapshot.take(connection, query, tmp_path / "out.jsonl", AT)
        connection.connection.driver_connection.set_progress_handler(None, 0)
    return steps[0]


@pytest.mark.parametrize("what", KINDS)
def test_only_prompts_of_the_split_leave(store: Store, tmp_path: Path, what):
    store.add_many(everything())
    path = tmp_path / "out.jsonl"
    manifest = store.snapshot(what, path, split="train", group=None)
    read = list(records.read(path))
    assert {r.id for r in read if r.kind == "prompt"} == {"p1", "p2"}
    assert {p for r in read if (p := getattr(r, "prompt_id", None))} <= {"p1", "p2"}
    assert manifest.query.split == "train"


def test_only_what_was_ranked_leaves_with_a_ranking(store: Store, tmp_path: Path):
    store.add_many([r for r in everything() if r.kind in ("labeler", "prompt", "completion")])
    store.add_ranking(ranking("p1", "ann", "b a"))
    store.add_ranking(ranking("p1", "cat", "c a"))
    store.add_ranking(ranking("p3", "cat", "c a"))
    store.snapshot("rankings", tmp_path / "out.jsonl")
    read = list(records.read(tmp_path / "out.jsonl"))
    assert [getattr(r, "id", "ranking") for r in read] == ["ann", "p1", "p1-a", "p1-b", "ranking"]


@pytest.mark.parametrize("what", KINDS)
def test_both_engines_give_the_same_bytes_however_it_was_filled(both, tmp_path: Path, what):
    one, other = both
    shuffled = everything()
    random.Random(0).shuffle(shuffled)
    one.add_many(everything())
    other.add_many(shuffled)
    first = one.snapshot(what, tmp_path / "one.jsonl", group=None)
    second = other.snapshot(what, tmp_path / "two.jsonl", group=None)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert (first.sha256, first.counts, first.query) == (second.sha256, second.counts, second.query)
    one.snapshot(what, tmp_path / "one again.jsonl", group=None)
    assert (tmp_path / "one again.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()


def test_the_manifest_tells_what_it_is(where: str, tmp_path: Path):
    with open_store(where, clock=lambda: AT) as store:
        store.add_many(everything())
        path = tmp_path / "rankings.jsonl"
        returned = store.snapshot("rankings", path, split="train")
    manifest = SnapshotManifest.model_validate_json(manifest_path(path).read_text())
    assert manifest == returned
    assert manifest.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (manifest.path, manifest.bytes, manifest.at) == ("rankings.jsonl", path.stat().st_size, AT)
    # By hand: two training labelers on two train prompts of three completions each.
    assert manifest.counts == {"labeler": 2, "prompt": 2, "completion": 6, "ranking": 4}
    assert manifest.query.model_dump() == {"what": "rankings", "split": "train", "group": "training"}
    assert (manifest.schema_revision, manifest.last_change) == ("0005", len(everything()))
    assert sorted(p.name for p in tmp_path.glob("rankings*")) == ["rankings.jsonl", "rankings.jsonl.manifest.json"]


@pytest.mark.parametrize(
    ("what", "split", "says"),
    [
        ("rankings", None, "no rankings by training labelers (0 of any kind are stored)"),
        ("demos", "valid", "no demonstrations by training labelers on valid prompts (0 of any kind are stored)"),
        ("prompts", "valid", "no valid prompts (3 of any kind are stored)"),
    ],
)
def test_an_empty_snapshot_is_refused_and_nothing_written(store: Store, tmp_path: Path, what, split, says):
    store.add_prompts(PROMPTS)
    with pytest.raises(StoreError) as caught:
        store.snapshot(what, tmp_path / "out.jsonl", split=split)
    assert says in str(caught.value)
    assert not list(tmp_path.glob("out*"))


def test_a_snapshot_to_nowhere_or_of_nothing_known_is_one_clear_line(store: Store, tmp_path: Path):
    store.add_prompts(PROMPTS)
    with pytest.raises(StoreError, match=r"no/out.jsonl: cannot be written: No such file or directory"):
        store.snapshot("prompts", tmp_path / "no" / "out.jsonl")
    with pytest.raises(StoreError, match=r"ranking: no such snapshot; take one of prompts, completions, demos"):
        store.snapshot("ranking", tmp_path / "out.jsonl")


# receive


@pytest.fixture
def waiting(store: Store) -> Store:
    store.add_prompts(PROMPTS)
    return store


def test_completions_and_scores_come_back(waiting: Store, tmp_path: Path):
    made = [Completion.make(p.id, f"answer {n}", "sft", n, logp=-0.1 - n) for p in PROMPTS for n in range(4)]
    scores = [Score(completion_id=c.id, run_id="rm", value=0.3) for c in made]
    records.write(tmp_path / "in.jsonl", [*scores, *made])
    assert waiting.receive(tmp_path / "in.jsonl") == {"completion": 12, "score": 12}
    assert waiting.receive(tmp_path / "in.jsonl") == {"completion": 0, "score": 0}
    assert sorted(waiting.completions(), key=lambda c: c.id) == sorted(made, key=lambda c: c.id)
    assert {s.completion_id for s in waiting.scores("rm")} == {c.id for c in made}


@pytest.mark.parametrize("what", [r for r in everything() if r.kind not in ("completion", "score")][::9])
def test_nothing_else_is_received(waiting: Store, tmp_path: Path, what):
    waiting.add_labelers(LABELERS)
    before = waiting.counts()
    records.write(tmp_path / "in.jsonl", [Completion.make("p1", "good", "sft"), what])
    with pytest.raises(StoreError, match=f"in.jsonl, row 2: kind: is {what.kind}; only completions and scores"):
        waiting.receive(tmp_path / "in.jsonl")
    assert waiting.counts() == before


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (
            json.loads(SCORES[0].model_dump_json()) | {"completion_id": "no"},
            "completion_id: the store knows no completion",
        ),
        ({"kind": "completion", "id": "c", "prompt_id": "no", "text": "", "run_id": "r"}, "knows no prompt no"),
        ({"kind": "completion", "id": "c", "prompt_id": "p1", "text": "a\0", "run_id": "r"}, "U+0000"),
        ({"kind": "completion", "id": "c", "prompt_id": "p1", "run_id": "r"}, "row 2: completion.text: is missing"),
    ],
)
def test_all_or_nothing_is_received(waiting: Store, tmp_path: Path, bad, says):
    good = records.to_line(Completion.make("p1", "good", "sft"))
    (tmp_path / "in.jsonl").write_text(f"{good}\n{json.dumps(bad)}\n")
    with pytest.raises(ValueError, match=r"in\.jsonl") as caught:
        waiting.receive(tmp_path / "in.jsonl")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert waiting.counts()["completions"] == 0


def test_an_empty_file_and_a_missing_one_are_refused(waiting: Store, tmp_path: Path):
    (tmp_path / "in.jsonl").write_text("\n")
    with pytest.raises(StoreError, match="holds no records; nothing was taken"):
        waiting.receive(tmp_path / "in.jsonl")
    with pytest.raises(ValueError, match=r"none\.jsonl: cannot be read"):
        waiting.receive(tmp_path / "none.jsonl")
