"""A file that is too large for one transaction goes in in parts, and others who write get their turn between them."""

import threading

import pytest

from biddable import records
from biddable.records import Completion, Prompt
from biddable.store import StoreError, history, keeper, open_store

COUNT, PART = 250, 20


@pytest.fixture
def small(monkeypatch) -> None:
    monkeypatch.setattr(keeper, "WHOLE", 100)
    monkeypatch.setattr(keeper, "PART", PART)


def file_of(tmp_path, *more):
    """Completions before the prompts that they answer, as nobody promised otherwise."""
    path = tmp_path / "many.jsonl"
    prompts = [Prompt(id=f"p{n}", text=f"say {n}") for n in range(COUNT)]
    answers = [Completion(id=f"c{n}", prompt_id=f"p{n}", text="so", run_id="r") for n in range(COUNT)]
    records.write(path, [*answers, *prompts, *more])
    return path


def test_a_large_file_is_taken_whole_and_once(where, tmp_path, small):
    path = file_of(tmp_path)
    with open_store(where) as store:
        assert store.add_file(path) == {"prompt": COUNT, "completion": COUNT}
        assert store.add_file(path) == {"prompt": 0, "completion": 0}
        assert (store.counts()["prompts"], store.counts()["completions"]) == (COUNT, COUNT)
        with store.reading() as connection:
            assert list(history.faults(connection)) == []


def test_others_write_between_its_parts(where, tmp_path, small):
    """A writer that asks again and again is let in more than once while the file goes in."""
    path, done, turns = file_of(tmp_path), threading.Event(), []
    with open_store(where) as store, open_store(where) as other:

        def write() -> None:
            while not done.is_set():
                other.add_prompts([Prompt(id=f"mine-{len(turns)}", text="mine")])
                turns.append(store.counts()["prompts"])

        beside = threading.Thread(target=write)
        beside.start()
        store.add_file(path)
        done.set()
        beside.join()
        between = [count for n, count in enumerate(turns) if 0 < count - n - 1 < COUNT]
        assert len(between) >= 2
        assert store.counts()["prompts"] == COUNT + len(turns)


def test_what_does_not_fit_is_named_and_what_stood_before_it_stays(where, tmp_path, small):
    path = file_of(tmp_path, Prompt(id="p7", text="another text"))
    with open_store(where) as store:
        with pytest.raises(
            StoreError, match=rf"many.jsonl, row {2 * COUNT + 1}: prompt p7: is already there.*; 240 records before"
        ):
            store.add_file(path)
        assert store.counts()["prompts"] == COUNT - COUNT % PART  # of the part with that row, nothing


def test_a_row_that_is_no_record_refuses_all_of_it(where, tmp_path, small):
    path = file_of(tmp_path)
    with path.open("a") as file:
        file.write('{"kind": "prompt", "id": "x"}\n')
    with open_store(where) as store:
        with pytest.raises(ValueError, match=f"row {2 * COUNT + 1}: prompt.text"):
            store.add_file(path)
        assert store.counts()["prompts"] == 0
