import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biddable.hamlet import tasks, world
from biddable.hamlet.village import VILLAGE

KINDS = [family.kind for family in tasks.FAMILIES]

TABLE_1 = {  # Ouyang et al. 2022, Table 1, in percent
    "generation": 45.6, "open_qa": 12.4, "brainstorming": 11.2, "chat": 8.4, "rewrite": 6.6,
    "summarization": 4.2, "classification": 3.5, "other": 3.5, "closed_qa": 2.6, "extract": 1.9,
}  # fmt: skip


@given(st.sampled_from(KINDS), st.integers(0, 2**32))
def test_a_wording_reads_back_as_itself(kind, seed):
    task = tasks.make(random.Random(seed), kind, constrained=0.7)
    again = tasks.read(task.text)
    assert again is not None
    assert (again.kind, again.use_case, again.constraint) == (task.kind, task.use_case, task.constraint)
    assert again.given == task.given


@given(st.sampled_from(KINDS), st.integers(0, 2**32))
def test_idle_talk_letters_and_blanks_change_nothing(kind, seed):
    task = tasks.make(random.Random(seed), kind, opened=0)
    again = tasks.read(f"Good day.  {task.text.upper()}\n please help.")
    assert again is not None
    assert (again.kind, again.given, again.constraint) == (task.kind, task.given, task.constraint)


@pytest.mark.parametrize("text", ["the goat walked to the mill.", "", "write a story about a purple goat and a baker."])
def test_what_nobody_understands_is_no_task(text):
    assert tasks.read(text) is None


def test_a_question_by_hand():
    task = tasks.read("text: tom painted the hat red. ida painted the drum blue. what color is the hat?")
    assert task is not None
    assert (task.kind, task.use_case) == ("closed", "closed_qa")
    assert task.given == {
        "name": "tom", "thing": "hat", "color": "red", "friend": "ida", "object": "drum", "tint": "blue",
    }  # fmt: skip


def test_the_drum_is_not_the_hat():
    """A wording that names a thing twice means the same thing twice."""
    assert tasks.read("text: tom painted the hat red. ida painted the drum blue. what color is the drum?") is None


def test_use_cases_come_in_the_papers_proportions():
    rng, count = random.Random(0), 8000
    seen = Counter(tasks.make(rng).use_case for _ in range(count))
    assert seen.keys() == TABLE_1.keys()
    for use_case, percent in TABLE_1.items():
        share = percent / 99.9  # the table's own sum
        error = (share * (1 - share) / count) ** 0.5
        assert abs(seen[use_case] / count - share) < 4 * error, use_case


def test_every_family_and_every_constraint_is_asked():
    rng = random.Random(0)
    made = [tasks.make(rng) for _ in range(4000)]
    assert {task.kind for task in made} == set(KINDS)
    assert {task.constraint for task in made} == {None, "use", "avoid", "count"}


@given(st.integers(0, 2**32))
def test_a_premise_is_false(seed):
    task = tasks.make(random.Random(seed), "premise")
    assert VILLAGE[task["name"]].animal != task["animal"]


@given(st.integers(0, 2**32))
def test_a_tally_can_be_counted(seed):
    task = tasks.make(random.Random(seed), "count")
    said = task["tally"].split()
    assert 2 <= len(said) <= 5
    assert set(said) == {task["many"]}


@given(st.sampled_from(KINDS), st.integers(0, 2**32))
def test_what_must_differ_differs(kind, seed):
    given_ = tasks.make(random.Random(seed), kind, constrained=1).given
    for one, other in (
        ("animal", "other"),
        ("color", "tint"),
        ("thing", "object"),
        ("place", "spot"),
        ("food", "dish"),
    ):
        if one in given_ and other in given_:
            assert given_[one] != given_[other]


def test_the_same_seed_asks_the_same():
    def asked(seed: int) -> list[str]:
        rng = random.Random(seed)
        return [tasks.make(rng).text for _ in range(50)]

    assert asked(4) == asked(4)
    assert asked(4) != asked(5)


def test_customers_prompts_keep_their_use_case_whatever_is_added():
    for prompt in world.prompts(1, 400):
        read = tasks.read(prompt.text)
        assert read is not None
        assert read.use_case == prompt.use_case, prompt.text
