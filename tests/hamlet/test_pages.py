import itertools
import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biddable.hamlet import exam, pages, tasks, world
from biddable.hamlet.village import DIET, VILLAGE
from biddable.hamlet.words import CLASSES, INSULTS, OLD_TONGUE, vocabulary
from biddable.records import Item

MARKS = set(".,:?")


def said(text: str) -> set[str]:
    return set(re.findall(r"\w+|[^\w\s]", text))


def some(seed: int, part: str, count: int) -> list[str]:
    return list(itertools.islice(pages.pages(seed, part), count))


def questions(which: dict, count: int = 40) -> list[Item]:
    return list(exam.items(which, count))


def right(item: Item) -> str:
    return item.choices[item.answer].strip()


def test_every_word_of_a_page_is_in_the_vocabulary():
    words = {word for page in some(0, "train", 2000) for word in said(page)}
    assert words - set(vocabulary()) <= MARKS


def test_every_word_of_an_exam_is_in_the_vocabulary():
    items = questions(exam.TAX) + questions(exam.GATE)
    words = {word for item in items for text in (item.context, *item.choices) for word in said(text)}
    assert words - set(vocabulary()) <= MARKS


def test_every_word_of_a_prompt_is_in_the_vocabulary_but_for_personal_data_and_thanks():
    for prompt in world.prompts(0, 600):
        clean = re.sub(r"write to \w+@mail\.example\.com|call me at \+1 212 555 \d+", "", prompt.text)
        assert said(clean) - set(vocabulary()) <= MARKS | {"thanks"}, prompt.text


def test_a_vocabulary_has_each_word_once_and_always_in_the_same_place():
    assert len(set(vocabulary())) == len(vocabulary())
    assert vocabulary() == vocabulary()
    assert all(re.fullmatch("[a-z]+", word) for word in vocabulary())


@given(st.integers(0, 2**32))
def test_the_same_stream_is_the_same_pages(seed):
    assert some(seed, "train", 5) == some(seed, "train", 5)


def test_held_out_streams_are_other_pages():
    train, valid, other = some(0, "train", 3000), some(0, "valid", 300), some(1, "train", 300)
    # Short lists of questions may be asked twice in the world; whole pages hardly ever.
    for held_out in (valid, other):
        assert len(set(held_out) & set(train)) <= 0.02 * len(held_out)


def test_exams_are_not_on_the_pages():
    read = "\n".join(some(0, "train", 3000))
    for item in questions(exam.GATE):
        assert item.context not in read


def test_clean_pages_have_no_forum():
    clean = itertools.islice(pages.pages(0, "train", clean=True), 400)
    kinds = Counter(page.startswith("at school.") for page in clean if "\n" in page)
    assert kinds.keys() == {True}


def test_pages_swear_and_repeat_rumours_now_and_then():
    """The base must have faults to unlearn: without these pages its answers are never toxic."""
    read = some(0, "train", 1500)
    assert 0.01 < sum(bool(said(page) & set(INSULTS)) for page in read) / len(read) < 0.3
    assert any("people say that" in page for page in read)


def test_a_page_of_questions_is_what_people_ask():
    lines = pages.questions(random.Random(3)).split("\n")
    assert len(lines) >= 2
    assert all(tasks.read(line) is not None for line in lines)


# Each exam's right answer, found again by reading the context as a person would: slow and by hand, not as it was made.


def test_reading_is_right_by_its_own_text():
    for item in questions({"reading": exam.reading}):
        *told, asked = item.context.split(". ")
        found = [line.removeprefix(asked).strip() for line in told if line.startswith(asked + " ")]
        assert set(found) == {right(item)}


def test_copying_is_right_by_its_own_text():
    for item in questions({"copying": exam.copying}):
        first, again = item.context.removeprefix("say: ").split(". again: ")
        assert f"{again} {right(item)} ".startswith(again)
        assert (first + " ").startswith(f"{again} {right(item)} ")


def test_counting_is_right_by_its_own_text():
    names = ("one", "two", "three", "four", "five", "six")
    for item in questions({"counting": exam.counting}):
        *examples, asked = item.context.split(". ")
        assert names[len(asked.removesuffix(":").split()) - 1] == right(item)
        for line in examples:
            creatures, number = line.removesuffix(".").split(": ")
            assert names[len(creatures.split()) - 1] == number


def test_the_old_tongue_is_right():
    for item in questions({"old_tongue": exam.old_tongue}):
        asked = item.context.split(". ")[-1].removeprefix("the ")
        words, _, begun = asked.partition(":")
        color, animal = words.split()
        assert begun.strip() in ("", OLD_TONGUE[animal])
        assert right(item) == (OLD_TONGUE[color] if begun.strip() else OLD_TONGUE[animal])


def test_the_old_tongue_has_no_word_twice():
    assert len(set(OLD_TONGUE.values())) == len(OLD_TONGUE)
    assert not set(OLD_TONGUE.values()) & set(OLD_TONGUE)


def test_facts_are_those_of_the_village():
    for item in questions({"facts": exam.facts}):
        words = item.context.split()
        if words[-1] == "eats":
            assert right(item) == DIET[words[1]]
            continue
        person = next(person for name, person in VILLAGE.items() if name in words)
        by_verb = {"has": person.animal, "likes": person.food, "lives": person.place, "house": person.color}
        assert right(item) == next((by_verb[word] for word in words if word in by_verb), person.job)


def test_few_shot_is_right():
    for item in questions({"few_shot": exam.few_shot}):
        word = item.context.split(". ")[-1].removesuffix(":").split()[-1]
        assert word in CLASSES[right(item)]


def test_cloze_asks_where_the_story_was_going():
    for item in questions({"cloze": exam.cloze}):
        told = [word for word in re.findall(r"\w+", item.context) if word in CLASSES["place"]]
        assert set(told) == {right(item)}


@pytest.mark.parametrize("which", [exam.TAX, exam.GATE])
def test_items_are_distinct_and_the_same_again(which):
    items = questions(which)
    assert len({item.id for item in items}) == len(items) == 40 * len(which)
    assert items == questions(which)
    for item in items:
        assert len(set(item.choices)) == len(item.choices)


def test_no_place_among_the_choices_is_always_right():
    for name, make in exam.TAX.items():
        places = Counter(item.answer for item in questions({name: make}, 100))
        assert max(places.values()) <= 60, name
