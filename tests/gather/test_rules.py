"""The rules together: what goes, what stays and where, and what the report says."""

import tracemalloc
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biddable.config import ConfigError, load
from biddable.gather import Again, GatherConfig, gather, sift
from biddable.records import Prompt, Turn

PLAIN = GatherConfig(valid=0.2, test=0.2)


def prompts(count: int, **who) -> list[Prompt]:
    return [Prompt.make(f"{n}: a question of its own", **who) for n in range(count)]


def customers(count: int, each: int = 2) -> list[Prompt]:
    return [
        Prompt.make(f"{u}.{n}: a question", user=f"u{u}", organization=f"o{u % 60}" if u % 3 else None)
        for u in range(count)
        for n in range(each)
    ]


def test_the_counts_by_hand():
    came = [
        Prompt.make("who has a goat?", user="a"),
        Prompt.make("Who has a goat?", user="b"),  # duplicate
        Prompt.make("please write a long story about the goat of anna", user="a"),
        Prompt.make("please write a long story about the goat of anna, and a fox", user="b"),  # near
        Prompt.make("one more of a", user="a"),  # over a cap of 2
        Prompt.make("mail me at anna@example.com", user="c"),  # personal
        Prompt.make("nobody's"),
    ]
    kept, report, _ = gather(came, GatherConfig(cap=2, valid=0, test=0))
    assert [p.text for p in kept] == [came[0].text, came[2].text, came[6].text]
    assert {p.split for p in kept} == {"train"}
    assert report == {
        "read": 7,
        "dropped": {"duplicate": 1, "near_duplicate": 1, "over_cap": 1, "two_splits": 0, "personal": 1},
        "kept": 3,
        "splits": {"train": 3, "valid": 0, "test": 0},
        "owners": 2,
        "personal": [
            {"prompt": came[5].id, "split": "train", "removed": True, "kind": "email", "start": 11, "end": 27},
        ],
    }


@pytest.mark.parametrize(
    ("who", "key", "kept"),
    [
        ({"user": "u"}, "organization_or_user", 200),
        ({"user": "u", "organization": "o"}, "organization_or_user", 200),
        ({"user": "u"}, "user", 200),
        ({"user": "u"}, "organization", 250),  # of no organization: each prompt is its own
        ({}, "organization_or_user", 250),
    ],
)
def test_the_cap(who, key, kept):
    came = prompts(250, **who)
    got = gather(came, GatherConfig(key=key))
    assert len(got.prompts) == kept
    assert [p.id for p in got.prompts] == [p.id for p in came[:kept]]
    assert got.report["dropped"]["over_cap"] == 250 - kept


def test_an_organization_shares_one_cap_and_users_may_each_have_theirs():
    came = [Prompt.make(f"{u}{n} asks", user=u, organization="o") for u in "abc" for n in range(5)]
    assert len(gather(came, GatherConfig(cap=6)).prompts) == 6
    assert len(gather(came, GatherConfig(cap=4, key="user")).prompts) == 12


def splits_of(got: list[Prompt]) -> dict[str, set[str | None]]:
    found = defaultdict(set)
    for prompt in got:
        for name in (f"user {prompt.user}", f"organization {prompt.organization}"):
            if "None" not in name:
                found[name].add(prompt.split)
    return found


def test_nobody_is_in_two_splits():
    got = gather(customers(300), PLAIN).prompts
    assert len(got) == 600
    assert all(len(splits) == 1 for splits in splits_of(got).values())
    # 60 + 100 owners, 20 % each: the counts of a binomial, four standard deviations wide.
    shares = Counter({p.organization or p.user: p.split for p in got}.values())
    assert 12 <= shares["valid"] <= 52
    assert 12 <= shares["test"] <= 52


NAME = st.one_of(st.none(), st.sampled_from("abcdef"))


@given(st.lists(st.tuples(NAME, NAME), max_size=25), st.integers(0, 5))
def test_nobody_is_in_two_splits_whoever_works_for_whom(who, seed):
    """Users of several organizations, and users seen with and without one."""
    came = [Prompt.make(f"{n}?", user=u, organization=o) for n, (u, o) in enumerate(who)]
    got = gather(came, GatherConfig(valid=0.3, test=0.3, seed=seed)).prompts
    assert len(got) == len(came)
    assert all(len(splits) == 1 for splits in splits_of(got).values())
    # The order in which they came changes nothing.
    again = gather(came[::-1], GatherConfig(valid=0.3, test=0.3, seed=seed)).prompts
    assert {p.id: p.split for p in got} == {p.id: p.split for p in again}


def test_those_already_there_stay_where_they_are_when_more_come():
    few, many = gather(customers(100), PLAIN).prompts, gather(customers(300), PLAIN).prompts
    before = {p.id: p.split for p in few}
    assert {p.id: p.split for p in many if p.id in before} == before


def test_another_seed_splits_otherwise_and_the_same_seed_does_not():
    one, same, other = (gather(customers(100), GatherConfig(valid=0.3, test=0.3, seed=s)).prompts for s in (1, 1, 2))
    assert one == same
    assert one != other


def test_personal_data_goes_from_the_train_split_alone():
    came = [Prompt.make(f"mail u{n}@example.com", user=f"u{n}") for n in range(60)]
    for pii, gone in (("train", {"train"}), ("all", {"train", "valid", "test"}), ("off", set())):
        kept, report, _ = gather(came, GatherConfig(valid=0.3, test=0.3, pii=pii))
        assert {p.split for p in kept} == {"train", "valid", "test"} - gone
        assert len(kept) + report["dropped"]["personal"] == 60
        assert len(report["personal"]) == (0 if pii == "off" else 60)
        assert sum(span["removed"] for span in report["personal"]) == report["dropped"]["personal"]
        assert "example.com" not in repr(report)  # the report never holds the data itself


def test_what_was_dropped_is_there_to_be_looked_at():
    came = [Prompt.make(text, user=text[-1]) for text in ("say red", "say red", "write to ada@example.com")]
    got = gather(came, GatherConfig(valid=0, test=0))
    dropped = {rule: [prompt.text for prompt in those] for rule, those in got.dropped.items() if those}
    assert dropped == {"duplicate": ["say red"], "personal": ["write to ada@example.com"]}
    assert got.report["dropped"] == {rule: len(those) for rule, those in got.dropped.items()}


def test_what_was_gathered_before_counts():
    known = gather(customers(40, each=3), PLAIN).prompts
    assert gather(known, PLAIN, known=known).report["dropped"]["duplicate"] == len(known)
    owner = known[0]
    more = [Prompt.make(f"new {n}", user=owner.user, organization=owner.organization) for n in range(300)]
    kept, report, _ = gather(more, PLAIN, known=known)
    shared = sum(p.organization == owner.organization and p.user == owner.user for p in known)
    assert len(kept) <= 200 - shared
    assert {p.split for p in kept} == {owner.split}
    assert report["dropped"]["over_cap"] == 300 - len(kept)


def test_a_settled_split_outlives_the_seed_and_who_joins_two_is_dropped():
    known = [
        Prompt(id="1", text="one", user="a", organization="o", split="train"),
        Prompt(id="2", text="two", user="b", organization="q", split="test"),
    ]
    for seed in range(20):
        kept, _, _ = gather([Prompt.make("more", user="a")], GatherConfig(seed=seed, valid=0.4, test=0.4), known=known)
        assert [p.split for p in kept] == ["train"]
    kept, report, _ = gather([Prompt.make("joins", user="a", organization="q")], PLAIN, known=known)
    assert kept == []
    assert report["dropped"]["two_splits"] == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["prefix_share=1.5"], "prefix_share: "),
        (["cap=0"], "cap: "),
        (["valid=0.6", "test=0.5"], "are more than all"),
        (["key=team"], "key: "),
        (["region=usa"], "region: "),
    ],
)
def test_settings_that_cannot_be(words, says):
    with pytest.raises(ConfigError, match=says):
        load(GatherConfig, words)


def test_personal_data_anywhere_in_a_conversation_counts_and_so_does_its_beginning():
    told = (Turn(role="user", text="I am ada@example.com"), Turn(role="assistant", text="hello"))
    other = (Turn(role="user", text="I am at home"), Turn(role="assistant", text="hello"))
    prompts = [Prompt.make("and now?", user=f"u{n}", before=before) for n, before in enumerate((told, other))]
    gathered = gather(prompts, GatherConfig(pii="all"))
    assert [p.before for p in gathered.prompts] == [other]  # the last words are the same, the conversations are not
    assert gathered.report["dropped"]["personal"] == 1


def test_questions_after_the_same_long_system_turn_are_compared_without_it():
    told = (Turn(role="system", text="You are the assistant of a shop that sells goats. " * 20),)
    other = (Turn(role="system", text="You are the assistant of a bank."),)
    asked = "which goat is the best one for a small garden?"
    came = [
        Prompt.make(asked, user="a", before=told),
        Prompt.make("how much is the red one?", user="b", before=told),
        Prompt.make(asked + " ok", user="c", before=told),  # near
        Prompt.make(asked, user="d", before=other),
        Prompt.make(asked, user="e"),
    ]
    kept, report, _ = gather(came, PLAIN)
    assert [p.user for p in kept] == ["a", "b", "d", "e"]
    assert report["dropped"]["near_duplicate"] == 1


def test_a_conversation_counts_as_one_prompt_of_its_user():
    turns = (Turn(role="user", text="I have a question"), Turn(role="assistant", text="yes?"))
    came = [Prompt.make(f"{n}: why?", user="u", before=turns) for n in range(30)] + [Prompt.make("more", user="u")]
    kept, report, _ = gather(came, GatherConfig(cap=20, valid=0.4, test=0.4))
    assert (len(kept), report["dropped"]["over_cap"]) == (20, 11)
    assert len({p.split for p in kept}) == 1


def test_a_chat_sent_again_with_another_turn_is_a_near_duplicate():
    said = "please write a long story about the goat of anna"
    told = (Turn(role="user", text=said), Turn(role="assistant", text="Once there was a goat."))
    kept, report, _ = gather([Prompt.make(said, user="a"), Prompt.make("go on", user="a", before=told)], PLAIN)
    assert [p.before for p in kept] == [None]
    assert report["dropped"]["near_duplicate"] == 1


def test_more_prompts_take_no_more_memory():
    """A million prompts are gathered beside people at work: what is held are owners, not prompts."""
    some = Again(lambda: (Prompt.make(f"{n}: " + "say it kindly " * 60, user=f"u{n % 50}") for n in range(3000)))
    report: dict = {}
    tracemalloc.start()
    try:
        count = sum(1 for _ in sift(some, GatherConfig(), [], report))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == report["kept"] == 3000
    assert most < 1_000_000  # their texts alone are 2.5 million characters


def test_what_is_gone_through_again_gives_the_same_as_a_list():
    came = [Prompt.make(f"what is {n % 7} and {n % 5} and all that goes with it?", user=f"u{n % 9}") for n in range(60)]
    whole = gather(came[20:], PLAIN.model_copy(update={"cap": 3}), known=came[:20])
    report: dict = {}
    fell: list[tuple[str, str]] = []
    kept = sift(
        Again(lambda: iter(came[20:])), PLAIN.model_copy(update={"cap": 3}), Again(lambda: iter(came[:20])), report,
        lambda rule, prompt: fell.append((rule, prompt.id)),
    )  # fmt: skip
    assert list(kept) == whole.prompts
    assert report == whole.report
    assert sorted(fell) == sorted((rule, one.id) for rule, those in whole.dropped.items() for one in those)
    assert fell


def test_all_of_it_may_be_for_evaluation_and_no_more_than_all():
    """As `biddable import --test 1` says it."""
    assert {prompt.split for prompt in gather(prompts(50), GatherConfig(valid=0, test=1)).prompts} == {"test"}
    assert {prompt.split for prompt in gather(prompts(50), GatherConfig(valid=1, test=0)).prompts} == {"valid"}
    with pytest.raises(ConfigError, match=r"valid 0\.6 and test 0\.5 are more than all"):
        load(GatherConfig, ["valid=0.6", "test=0.5"])
