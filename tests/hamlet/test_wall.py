"""The wall between the truth and training: nothing passes it but what people write down."""

import ast
import json
import random
from pathlib import Path

import pytest

import biddable
from biddable.gather import GatherConfig
from biddable.hamlet import people as simulated
from biddable.hamlet import screening
from biddable.hamlet.answers import write
from biddable.quickstart import people
from biddable.records import Completion
from biddable.store import open_store

SOURCE = Path(biddable.__file__).parent
MACHINES = ("learn", "model", "sample", "losses", "text")
BESIDE = {"labeler": {"kind", "id", "group"}}
KEYS = BESIDE | {  # all that a machine may read of a record; "seconds" and "at" are a labeler's clock
    "prompt": {"kind", "id", "text", "source", "user", "organization", "use_case", "split"},
    "completion": {"kind", "id", "prompt_id", "text", "run_id", "temperature", "finished", "logp"},
    "demonstration": {"kind", "prompt_id", "text", "labeler", "seconds", "at"},
    "ranking": {"kind", "prompt_id", "labeler", "order", "seconds", "at"},
}


def imported(place: Path) -> set[str]:
    """Every module that a file imports, in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(place.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = place.relative_to(SOURCE.parent).parts[: -node.level] if node.level else ()
            source = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{source}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", MACHINES)
def test_no_machine_imports_the_practice_world(room):
    places = sorted((SOURCE / room).rglob("*.py"))
    assert places
    for place in places:
        seen = {name for name in imported(place) if name.startswith(("biddable.hamlet", "biddable.quickstart"))}
        assert not seen, place
        assert "importlib" not in imported(place), place


def test_this_test_sees_imports_inside_functions(tmp_path):
    place = tmp_path / "sly.py"
    place.write_text("def f():\n    from biddable.hamlet import truth\n    import biddable.hamlet.people\n")
    assert imported(place) == {"biddable.hamlet.truth", "biddable.hamlet.people"}


def test_only_people_and_measures_ask_for_the_truth():
    """Who imports hamlet.truth at all: those who play people, and those who measure."""
    asking = {
        place.relative_to(SOURCE).as_posix()
        for place in SOURCE.rglob("*.py")
        if "biddable.hamlet.truth" in imported(place)
    }
    people, measures = {"people.py", "screening.py"}, {"counting.py", "followed.py", "figures/tables.py"}
    allowed = {"quickstart/gates.py", "quickstart/reckoning.py"}
    allowed |= {f"hamlet/{name}" for name in people} | {f"paper/{name}" for name in measures}
    assert asking <= allowed
    assert {"hamlet/people.py", "quickstart/reckoning.py"} <= asking


@pytest.fixture(scope="module")
def given(tmp_path_factory, hired) -> dict[str, Path]:
    """The people's part of the walk on a small scale, with gold verdicts and judgements lying in the same store."""
    folder = tmp_path_factory.mktemp("wall")
    rng = random.Random("wall")
    with open_store(folder / "store.db") as store:
        team = people.Team(hired.team, hired.outside, 16)
        store.add_labelers(person.labeler for person in team.all)
        own, asked = people.collect(store, 0, 120, 240, GatherConfig(prefix_share=1.0, prefix_chars=20))
        people.write(store, team, [p for p in own.prompts if p.split in ("train", "valid")], 0)
        prompts = [p for p in asked.prompts if p.split in ("train", "valid")]
        answers = [
            Completion.make(p.id, write(simulated.understood(p), rng, screening.MIXED), "writer", n)
            for p in prompts
            for n in range(5)
        ]
        people.rank(store, team, prompts, answers, 0)
        store.add_many(answers)
        store.add_many([*(simulated.gold(prompts[n], *answers[5 * n : 5 * n + 2]) for n in range(len(prompts)))])
        store.add_many([simulated.judge(team.hired[0], p, answers[5 * n]) for n, p in enumerate(prompts)])
        assert store.counts()["verdicts"] > 100
        return people.snapshot(store, folder, "demos") | people.snapshot(store, folder, "rankings")


def rows(place: Path) -> list[dict]:
    return [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("demos", {"labeler", "prompt", "demonstration"}),
        ("demos-valid", {"labeler", "prompt", "demonstration"}),
        ("rankings", {"labeler", "prompt", "completion", "ranking"}),
        ("rankings-valid", {"labeler", "prompt", "completion", "ranking"}),
        ("prompts", {"prompt"}),
    ],
)
def test_what_the_machines_get_is_labels_and_nothing_else(given, name, kinds):
    found = rows(given[name])
    assert {row["kind"] for row in found} == kinds
    for row in found:
        assert row.keys() <= KEYS[row["kind"]]


def test_training_never_sees_held_out_people_or_splits(given):
    for name in ("demos", "rankings"):
        found = rows(given[name])
        assert {row["group"] for row in found if row["kind"] == "labeler"} == {"training"}
        assert {row["split"] for row in found if row["kind"] == "prompt"} == {"train"}
        told = {row["labeler"] for row in found if "labeler" in row}
        assert not any(name.startswith(("outside", "researcher")) for name in told)
    assert {row["split"] for row in rows(given["prompts"])} == {"train"}


def test_held_out_people_measure(given):
    groups = {row["group"] for row in rows(given["rankings-valid"]) if row["kind"] == "labeler"}
    assert groups == {"training", "held_out"}
