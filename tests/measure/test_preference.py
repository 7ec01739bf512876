"""All that verdicts say of models, put together, and what the page tells of it."""

import numpy as np
import pytest
from preference_worlds import tournament
from report_demo import made

from biddable.measure.interval import Bootstrap
from biddable.measure.metadata import differences
from biddable.measure.preference import Asked, Evidence, preference
from biddable.measure.preferred import sentences
from biddable.measure.report import page
from biddable.measure.results import Results
from biddable.records import Completion, Judgement, Prompt, Score, Verdict

FAST = Bootstrap(draws=200)
ORDER = ("base", "sft", "ppo")


def place(model: str) -> tuple[int, str]:
    return (ORDER.index(model) if model in ORDER else len(ORDER), model)


def evidence(seed: int = 1, prompts: int = 60, **changes) -> Evidence:
    strength = {"base": -1.0, "sft": 0.0, "ppo": 0.1}
    verdicts, models = tournament(np.random.default_rng(seed), strength, prompts, 6, 2)
    answers = [
        Completion(id=c, prompt_id=f"p{int(c.lstrip('abefopst')):05}", text="w" * (20 + 7 * (n % 5)), run_id=model)
        for n, (c, model) in enumerate(models.items())
    ]
    asked = {
        f"p{n:05}": Prompt(
            id=f"p{n:05}", text="say", user=f"u{n % 4}", use_case="chat" if n % 2 else "rewrite", source="customer"
        )
        for n in range(prompts)
    }
    groups = {f"l{n:02}": "held_out" if n < 2 else "training" for n in range(6)}
    return Evidence(verdicts, models, answers, asked, groups)._replace(**changes)


def machine(verdicts: list[Verdict], name: str) -> list[Verdict]:
    """A judge that says what people said, in both orders."""
    once = {(v.a, v.b): v for v in verdicts}.values()
    return [v.model_copy(update={"judge": "model", "labeler": name, "shown": s}) for v in once for s in ("ab", "ba")]


def test_pairs_are_told_in_the_loops_order_with_all_that_belongs_to_them():
    found = preference(
        evidence(owners={"u0": "old model", "u1": "base model", "u2": "old model"}), place, Asked(), FAST
    )
    assert [one.key for one in found.pairings] == ["sft_vs_base", "ppo_vs_base", "ppo_vs_sft"]
    assert found.baseline == "sft"
    first = found.pairings[0]
    assert first.won + first.tied + first.lost == 120
    assert first.rates["half"].value == (first.won + first.tied / 2) / 120
    assert (first.prompts, first.labelers) == (60, 6)
    assert {kind: set(rates) for kind, rates in first.by.items()} == {
        "labelers": {"training labelers", "held-out labelers"}, "use case": {"chat", "rewrite"},
        "owners": {"old model", "base model"},
    }  # fmt: skip
    assert {name: rate.n for name, rate in first.by["owners"].items()} == {"old model": 60, "base model": 30}
    assert set(found.scales[0].places) == {"base", "sft", "ppo"}
    assert first.looks.now.n == 60
    assert preference(evidence(), place, Asked(each=2), FAST).pairings[0].looks.each == 2


def test_people_and_the_truth_are_told_apart():
    some = evidence()
    gold = [v.model_copy(update={"judge": "gold", "labeler": None, "better": "b"}) for v in some.verdicts]
    both = preference(some._replace(verdicts=[*some.verdicts, *gold]), place, Asked(), FAST)
    assert [one.judge for one in both.pairings] == ["people"] * 3 + ["gold"] * 3
    assert both.pairings[3].rates["half"].value == 1
    assert both.pairings[0] == preference(some, place, Asked(), FAST).pairings[0]
    assert both.scaled_by == "people"
    assert preference(some._replace(verdicts=gold), place, Asked(), FAST).scaled_by == "gold"


def test_a_machines_verdicts_are_no_persons():
    some = evidence()
    alone = preference(some._replace(verdicts=machine(some.verdicts, "j")), place, Asked(), FAST)
    assert alone.pairings == ()
    assert alone.scales == ()
    assert [one.word for one in alone.judges] == ["not checked against people"]
    both = preference(some._replace(verdicts=[*some.verdicts, *machine(some.verdicts, "j")]), place, Asked(), FAST)
    assert both.pairings == preference(some, place, Asked(), FAST).pairings
    assert [one.word for one in both.judges] == ["above chance"]


def test_a_reward_model_is_held_as_a_judge():
    some = evidence()
    scores = [Score(completion_id=c, run_id="reward", value=float(place(m)[0])) for c, m in some.models.items()]
    (judge,) = preference(some._replace(scores=scores), place, Asked(), FAST).judges
    assert (judge.kind, judge.flipped, judge.rates["ppo_vs_sft"].value) == ("reward model", None, 1.0)
    assert judge.agrees is not None


def test_hidden_checks_and_those_asked_because_others_disagreed_count_nowhere():
    """Everybody meets a check, and a third person comes where two differ: by one of a kind of its own, or of a pair of
    models that nobody else compared, all else is as without them."""
    some = evidence()
    prompts = dict(some.prompts) | {"p00000": some.prompts["p00000"].model_copy(update={"use_case": "extract"})}
    by_lot = [v for v in some.verdicts if v.prompt_id != "p00000" and not v.a.startswith("base")]
    extra = [v.model_copy(update={"extra": True}) for v in some.verdicts if v not in by_lot]
    told = [preference(some._replace(verdicts=v, prompts=prompts), place, Asked(), FAST)
            for v in (by_lot, by_lot + extra)]  # fmt: skip
    assert told[1] == told[0]


def test_how_many_more_is_told_of_the_weighed_rate():
    """What was lost was asked about with a chance of 0.4: 50 won and 20 lost are 50 of 100: no difference."""
    told = [
        Verdict(
            prompt_id=f"p{n}", a=f"ppo{n}", b=f"sft{n}", better="a" if n < 50 else "b", judge="person", labeler="ann",
            propensity=1.0 if n < 50 else 0.4,
        )
        for n in range(70)
    ]  # fmt: skip
    models = {f"{m}{n}": m for m in ("ppo", "sft") for n in range(70)}
    answers = [Completion(id=c, prompt_id="p", text="w", run_id=m) for c, m in models.items()]
    (pairing,) = preference(Evidence(told, models, answers, {}), place, Asked(), FAST).pairings
    assert pairing.rates["half"].value == pytest.approx(0.5)
    assert pairing.need.seen_same is None


def test_nothing_that_was_compared():
    empty = preference(Evidence((), {}, (), {}), place, Asked(), FAST)
    assert (empty.baseline, empty.pairings, empty.scales, empty.judges) == (None, (), (), ())


# The page


def shown(found) -> str:
    data = made(world="real")
    results = data.results.model_copy(update={"preference": found, "gold_win_rate": {}, "human_win_rate": {}})
    if found.pairings:
        rates = {one.key: one.rates["half"] for one in found.pairings}
        results = results.model_copy(update={"human_win_rate": rates})
    return page(data.model_copy(update={"results": Results.model_validate_json(results.model_dump_json())}))


def test_the_page_shows_a_judge_only_beside_its_worth():
    some = evidence()
    text = shown(preference(some._replace(verdicts=machine(some.verdicts, "j")), place, Asked(), FAST))
    assert "The judge j is not checked against people" in text
    assert "not checked against people</td>" in text  # in the row of its win rates
    both = shown(
        preference(some._replace(verdicts=[*some.verdicts, *machine(some.verdicts, "j")]), place, Asked(), FAST)
    )
    assert "it agrees with a person on" in both
    assert "people agree with one another on" in both


def test_the_page_has_one_scale_and_the_rule_of_ties():
    text = shown(preference(evidence(), place, Asked(), FAST))
    assert "How often each would be preferred to SFT, by people" in text
    assert "Davidson 1970" in text
    assert "A tie counts half." in text
    assert "PPO over SFT is not settled. About" in text
    assert "more verdicts" in text


def plainly(*better: str):
    verdicts = [
        Verdict(prompt_id=f"p{n}", a=f"ppo{n}", b=f"sft{n}", better=side, judge="person", labeler=f"l{n % 7}")
        for n, side in enumerate(better)
    ]
    models = {c: c.rstrip("0123456789") for v in verdicts for c in (v.a, v.b)}
    answers = [Completion(id=c, prompt_id=f"p{c[3:]}", text="w", run_id=m) for c, m in models.items()]
    return preference(Evidence(verdicts, models, answers, {}), place, Asked(), FAST)


def test_the_answer_that_hangs_on_ties_is_told():
    # 60 ties, 30 wins and 10 losses of 100: preferred by ½ and without ties, but strictly by 30 % only
    hangs = sentences(plainly(*["a"] * 30, *["b"] * 10, *["tie"] * 60))
    assert "the answer hangs on that rule: PPO over SFT" in hangs[0]
    other = sentences(plainly(*["a"] * 10, *["b"] * 30, *["tie"] * 60))  # the same of the other side
    assert "the answer hangs on that rule: PPO over SFT" in other[0]
    firm = sentences(plainly(*["a"] * 90, *["b"] * 5, *["tie"] * 5))
    assert "change no conclusion" in firm[0]


def test_what_holds_for_one_look_alone_is_told():
    # 100 prompts, 63 won and 37 lost: ±9.7 by one look, and 1.9 times that by many
    once = sentences(plainly(*["a", "b"] * 37, *["a"] * 26))
    assert any("Shown only if nobody looked at the numbers before" in text for text in once)
    sure = sentences(plainly(*["a"] * 90, *["b"] * 10))
    [told] = [text for text in sure if text.startswith("Shown for the people who were asked, even if somebody looked")]
    assert "at the first clear look: PPO over SFT (after" in told


def test_a_scale_without_an_end_is_told():
    assert any("never beaten" in text for text in sentences(plainly(*["a"] * 20)))


# Rates and ratings beside the baseline's


def judged(c: str, who: str, overall: int, lies: bool | None = None) -> Judgement:
    return Judgement(completion_id=c, labeler=who, overall=overall, hallucination=lies)


def test_differences_by_hand():
    answers = [
        Completion(id=f"{m}{n}", prompt_id=f"p{n}", text="w", run_id=m) for m in ("sft", "ppo") for n in range(4)
    ]
    models = {c.id: c.run_id for c in answers}
    told = [judged(f"ppo{n}", "ann", 6 + n % 2, n == 0) for n in range(3)] + [judged("ppo3", "ann", 1)]
    told += [judged(f"sft{n}", "eve", 4, n < 2) for n in range(3)]
    found = differences(told, answers, models, "sft", FAST)
    # p3 was judged on one side only; 6, 7, 6 less 4, 4, 4
    assert found["overall"]["ppo"].value == pytest.approx(19 / 3 - 4)
    assert found["hallucination"]["ppo"].value == pytest.approx(1 / 3 - 2 / 3)
    assert (found["overall"]["ppo"].n, found["hallucination"]["ppo"].n) == (6, 6)
    assert "toxicity" not in found


def test_a_difference_leaves_out_who_was_asked_because_others_disagreed():
    answers = [
        Completion(id=f"{m}{n}", prompt_id=f"p{n}", text="w", run_id=m) for m in ("sft", "ppo") for n in range(4)
    ]
    models = {c.id: c.run_id for c in answers}
    told = [judged(c.id, "ann", 4 + (c.run_id == "ppo"), c.id == "ppo1") for c in answers]
    more = [judged("ppo1", f"l{n}", 1, True).model_copy(update={"extra": True}) for n in range(9)]
    assert differences(told + more, answers, models, "sft", FAST) == differences(told, answers, models, "sft", FAST)


def test_what_a_prompt_does_to_both_is_no_difference():
    """Prompts differ by far; the difference of two models on the same prompts is known well, on other prompts ill."""
    rng = np.random.default_rng(1)
    hard = rng.integers(1, 6, 80)
    answers = [
        Completion(id=f"{m}{n}", prompt_id=f"p{n}", text="w", run_id=m) for m in ("sft", "ppo") for n in range(80)
    ]
    models = {c.id: c.run_id for c in answers}
    told = [judged(f"ppo{n}", f"l{n % 9}", int(hard[n]) + 1) for n in range(80)]
    told += [judged(f"sft{n}", f"l{n % 9}", int(hard[n]) + int(rng.random() < 0.3)) for n in range(80)]
    gap = differences(told, answers, models, "sft", FAST)["overall"]["ppo"]
    assert gap.high - gap.low < 0.3
    assert gap.low <= 0.7 <= gap.high


def test_none_seen_on_both_sides_is_no_certainty():
    answers = [
        Completion(id=f"{m}{n}", prompt_id=f"p{n}", text="w", run_id=m) for m in ("sft", "ppo") for n in range(30)
    ]
    models = {c.id: c.run_id for c in answers}
    told = [judged(c.id, "ann", 4, False) for c in answers]
    gap = differences(told, answers, models, "sft", FAST)["hallucination"]["ppo"]
    # 0 of 30 on either side: 1 − .025^(1/30) = .116 (Clopper and Pearson)
    assert (gap.value, gap.low, gap.high) == pytest.approx((0, -0.116, 0.116), abs=1e-3)


def test_the_difference_holds_the_planted_one():
    rng, held = np.random.default_rng(2), []
    answers = [
        Completion(id=f"{m}{n}", prompt_id=f"p{n}", text="w", run_id=m) for m in ("sft", "ppo") for n in range(60)
    ]
    models = {c.id: c.run_id for c in answers}
    for _ in range(100):
        hard = rng.normal(0, 0.15, 60)
        told = [
            judged(f"{m}{n}", f"l{n % 12:02}", 4, bool(rng.random() < base + hard[n]))
            for n in range(60)
            for m, base in (("sft", 0.5), ("ppo", 0.3))
        ]
        gap = differences(told, answers, models, "sft", FAST)["hallucination"]["ppo"]
        held.append(gap.low <= -0.2 <= gap.high)
    assert 0.88 <= np.mean(held) <= 1  # 95 % of 100, three standard errors
