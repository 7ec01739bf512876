"""What goes in comes out, once; what names the unknown or contradicts what is there stays out."""

import pytest
from village import COMPLETIONS, LABELERS, PROMPTS, SCORES, demonstration, everything, judgement, ranking, verdict

from biddable.records import Completion, Labeler, Page, Prompt
from biddable.store import Store, StoreError

KINDS = (
    "prompts",
    "labelers",
    "completions",
    "demonstrations",
    "rankings",
    "judgements",
    "continuations",
    "verdicts",
    "scores",
    "skips",
)


@pytest.fixture
def peopled(store: Store) -> Store:
    """A store that knows prompts, labelers and completions."""
    store.add_prompts(PROMPTS)
    store.add_labelers(LABELERS)
    store.add_completions(COMPLETIONS)
    return store


def test_an_empty_store_counts_nothing(store: Store):
    assert store.counts() == dict.fromkeys(KINDS, 0)
    assert [*store.prompts(), *store.rankings(), *store.skips()] == []


def test_what_goes_in_comes_out(store: Store):
    # By hand: 3 prompts × 5 labelers say 15 of each; a model and truth add 2 verdicts.
    assert store.add_many(everything()) == {
        "labeler": 5, "prompt": 3, "completion": 9, "demonstration": 15, "ranking": 15, "judgement": 15, "verdict": 17,
        "score": 9,
    }  # fmt: skip
    out = [*store.prompts(), *store.labelers(), *store.completions(), *store.demonstrations(), *store.rankings()]
    out += [*store.judgements(), *store.verdicts(), *store.scores()]
    assert sorted(map(repr, out)) == sorted(map(repr, everything()))


def test_the_same_again_counts_once(store: Store):
    store.add_many(everything())
    before = store.counts()
    assert set(store.add_many(everything() * 2).values()) == {0}
    assert store.counts() == before


def test_each_call_says_whether_it_was_new(peopled: Store):
    for add, record in (
        (peopled.add_demonstration, demonstration()),
        (peopled.add_ranking, ranking()),
        (peopled.add_judgement, judgement()),
        (peopled.add_verdict, verdict()),
    ):
        assert add(record) is True
        assert add(record) is False
    assert peopled.add_scores(SCORES) == 9
    assert peopled.add_scores(SCORES) == 0
    assert peopled.add_prompts([*PROMPTS, Prompt(id="p4", text="new")]) == 1


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        (ranking(order="a b"), ranking(order="b a"), "order"),
        (demonstration(text="one"), demonstration(text="two"), "text"),
        (judgement(overall=3), judgement(overall=4), "overall"),
        (verdict(better="a"), verdict(better="tie"), "better"),
        (PROMPTS[0], PROMPTS[0].model_copy(update={"split": "test"}), "split"),
        (Labeler(id="new", group="training"), Labeler(id="new", group="held_out"), "group"),
        (COMPLETIONS[0], COMPLETIONS[0].model_copy(update={"logp": -1.5}), "logp"),
    ],
)
def test_another_record_under_the_same_key_is_refused(peopled: Store, first, second, key):
    peopled.add_many([first])
    before = peopled.counts()
    with pytest.raises(StoreError, match=rf"already there with another {key}; what is stored stays"):
        peopled.add_many([Prompt(id="innocent", text="comes with it"), second])
    assert peopled.counts() == before


def test_two_records_of_one_key_in_one_call_are_refused_too(peopled: Store):
    with pytest.raises(StoreError, match="another order"):
        peopled.add_many([ranking(order="a b"), ranking(order="b a")])
    assert peopled.counts()["rankings"] == 0


def test_a_labeler_ranks_a_prompt_once_and_two_labelers_may(peopled: Store):
    assert peopled.add_ranking(ranking(labeler="ann", order="a b c"))
    assert peopled.add_ranking(ranking(labeler="ben", order="c b a"))
    with pytest.raises(StoreError, match="ranking"):
        peopled.add_ranking(ranking(labeler="ann", order="c b a"))
    assert [r.labeler for r in peopled.rankings()] == ["ann", "ben"]


def test_a_verdict_turned_round_is_the_same_verdict(peopled: Store):
    one = verdict(better="a", shown="ab")
    turned = one.model_copy(update={"a": one.b, "b": one.a, "better": "b", "shown": "ba"})
    assert peopled.add_verdict(one)
    assert not peopled.add_verdict(turned)
    with pytest.raises(StoreError, match="better"):
        peopled.add_verdict(turned.model_copy(update={"better": "a"}))
    assert peopled.add_verdict(verdict(better="b", shown="ba"))  # shown the other way: how position bias is measured
    assert peopled.counts()["verdicts"] == 2
    unseen = verdict(better="b", shown="unknown")
    assert peopled.add_verdict(unseen)
    assert not peopled.add_verdict(unseen.model_copy(update={"a": one.b, "b": one.a, "better": "a"}))
    assert unseen in [*peopled.verdicts()]


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (ranking(prompt="p9"), "prompt_id: the store knows no prompt p9; add it first"),
        (ranking(labeler="zoe"), "labeler: the store knows no labeler zoe; add it first"),
        (ranking(order="a z"), "order: the store knows no completion p1-z; add it first"),
        (ranking().model_copy(update={"prompt_id": "p2"}), "order: completion p1-b answers prompt p1, not p2"),
        (demonstration(prompt="p9"), "prompt_id: the store knows no prompt p9"),
        (demonstration(labeler="zoe"), "labeler: the store knows no labeler zoe"),
        (judgement("p1-z"), "completion_id: the store knows no completion p1-z"),
        (judgement(labeler="zoe"), "labeler: the store knows no labeler zoe"),
        (verdict(b="p2-b"), "b: completion p2-b answers prompt p2, not p1"),
        (verdict(labeler="zoe"), "labeler: the store knows no labeler zoe"),
        (verdict(labeler=None), "labeler: a person's verdict must say who the person is"),
        (Completion(id="c", prompt_id="p9", text="", run_id="r"), "prompt_id: the store knows no prompt p9"),
        (SCORES[0].model_copy(update={"completion_id": "c9"}), "completion_id: the store knows no completion c9"),
        (Page(id="x", text="once"), "page: the store keeps no such records"),
    ],
)
def test_the_unknown_is_named(peopled: Store, record, says):
    with pytest.raises(StoreError) as caught:
        peopled.add_many([record])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_skip_is_kept_once_with_its_first_reason(peopled: Store):
    assert peopled.skip("p1", "ann", "rank", "unclear")
    assert not peopled.skip("p1", "ann", "rank", "still unclear")
    assert peopled.skip("p1", "ann", "write", "unclear")
    assert [(s.task, s.reason) for s in peopled.skips()] == [("rank", "unclear"), ("write", "unclear")]
    with pytest.raises(StoreError, match="knows no labeler zoe"):
        peopled.skip("p1", "zoe", "rank", "")


def test_reading_chooses(store: Store):
    store.add_many(everything())
    assert [p.id for p in store.prompts(split="train")] == ["p1", "p2"]
    assert [who.id for who in store.labelers(group="training")] == ["ann", "ben"]
    assert [c.id for c in store.completions(["p2", "p2", "p9"])] == ["p2-a", "p2-b", "p2-c"]
    assert [*store.completions([])] == []
    assert [*store.completions(run_id="other")] == []
    assert {(r.prompt_id, r.labeler) for r in store.rankings("test", "training")} == {("p3", "ann"), ("p3", "ben")}
    assert {j.labeler for j in store.judgements("train", "held_out")} == {"cat"}
    assert {v.judge for v in store.verdicts("train")} == {"person", "gold", "model"}


def test_the_order_is_that_of_the_characters_on_both_engines(store: Store):
    # PostgreSQL in English would say a, B, é, z; code points say B < a < z < é < 𝄞.
    names = ["z", "é", "B", "a", "𝄞", "-", "a b", "ab"]
    store.add_prompts(Prompt(id=name, text="x") for name in names)
    assert [p.id for p in store.prompts()] == sorted(names)


def test_many_more_than_one_chunk(store: Store):
    prompts = [Prompt(id=f"p{n}", text=f"{n}", split="train") for n in range(3000)]
    completions = [Completion(id=f"{p.id}-{k}", prompt_id=p.id, text=k, run_id="r") for p in prompts for k in "ab"]
    rankings = [ranking(p.id, order="a b") for p in prompts]
    assert store.add_many([*rankings, *completions, *prompts, *LABELERS])["ranking"] == 3000
    assert store.add_many([*rankings, *prompts]) == {"prompt": 0, "ranking": 0}
    assert len([*store.completions(p.id for p in prompts)]) == 6000


def test_the_splits_that_a_prompt_is_in(store):
    def splits() -> set[str]:
        return {split for split in ("train", "valid", "test") if store.holds("prompt", split)}

    assert splits() == set()
    assert not store.holds("prompt")
    store.add_prompts([Prompt(id="a", text="say a", split="test"), Prompt(id="b", text="say b")])
    assert splits() == {"test"}
    store.add_prompts([Prompt(id="c", text="say c", split="train")])
    assert splits() == {"test", "train"}
    assert store.holds("prompt")
