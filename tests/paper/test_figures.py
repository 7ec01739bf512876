"""What the pages count, on records made by hand."""

import pytest

from biddable.measure.interval import Interval
from biddable.measure.reward import Folds
from biddable.paper.figure import DIFFERS, OPEN, SAME
from biddable.paper.figures import agreement, fig3, fig4, generalisation, tables
from biddable.records import Completion, Demonstration, Group, Judgement, Prompt, Ranking, Verdict

PEOPLE: dict[str, Group] = {"ann": "training", "bob": "training", "xan": "held_out", "yve": "held_out"}


def found(value: float, low: float, high: float) -> Interval:
    return Interval(value=value, low=low, high=high, n=10)


def verdicts(wins: dict[str, str]) -> tuple[list[Verdict], dict[str, str]]:
    """On each of twenty prompts each labeler prefers PPO-ptx (a) or the other (b), and the truth PPO-ptx."""
    said, models = [], {}
    for n in range(20):
        for model in ("ppo_ptx", "ppo", "sft", "base"):
            models[f"{model}-{n}"] = model
        for other in ("base", "sft"):
            pair = {"prompt_id": f"p{n}", "a": f"ppo_ptx-{n}", "b": f"{other}-{n}"}
            for labeler, side in wins.items():
                better = side if side in ("a", "b") else ("a" if n % 2 else "b")
                said.append(Verdict.model_validate(pair | {"better": better, "judge": "person", "labeler": labeler}))
            said.append(Verdict.model_validate(pair | {"better": "a", "judge": "gold"}))
        said.append(Verdict(prompt_id=f"p{n}", a=f"base-{n}", b=f"sft-{n}", better="b", judge="gold"))
        said += [
            Verdict(prompt_id=f"p{n}", a=f"base-{n}", b=f"sft-{n}", better="b", judge="person", labeler=labeler)
            for labeler in wins
        ]
    return said, models


def test_groups_that_prefer_alike_are_level():
    said, models = verdicts({"ann": "a", "xan": "a"})
    assert fig3.difference(said, models, PEOPLE, "ppo_ptx", "base").value == 0
    assert fig3.figure(said, models, PEOPLE).claims[0].verdict == SAME


def test_groups_that_do_not_are_told_apart():
    """Training labelers always, held-out ones every second time: half a point of one apart."""
    said, models = verdicts({"ann": "a", "bob": "a", "xan": "half", "yve": "half"})
    assert fig3.difference(said, models, PEOPLE, "ppo_ptx", "base").value == pytest.approx(0.5)
    over_base, level, over_sft = fig3.figure(said, models, PEOPLE).claims
    assert (over_base.verdict, level.verdict, over_sft.verdict) == (OPEN, DIFFERS, OPEN)


def rankings(held_out_agree: bool) -> list[Ranking]:
    """Training labelers always agree; the held-out ones always or never."""
    made = []
    for n in range(12):
        a, b = f"a{n}", f"b{n}"
        for labeler in PEOPLE:
            swapped = labeler == "yve" and not held_out_agree
            order = ((b,), (a,)) if swapped else ((a,), (b,))
            made.append(Ranking(prompt_id=f"p{n}", labeler=labeler, order=order))
    return made


def test_agreement_of_two_groups_is_compared_on_the_same_prompts():
    assert agreement.difference(rankings(True), PEOPLE).value == 0
    apart = agreement.difference(rankings(False), PEOPLE)
    assert apart.value == -1
    assert agreement.figure(rankings(False), PEOPLE).claims[1].verdict == DIFFERS


def test_the_drop_on_strangers_is_counted_model_by_model():
    """72, 73, 71 against 70, 70, 70: drops of 2, 3 and 1 points, whose mean is clearly above zero only at t = 2/(1/√3)
    = 3.46, below the 4.30 that three models need."""
    own = tuple(found(v, v - 0.01, v + 0.01) for v in (0.72, 0.73, 0.71))
    out = tuple(found(0.70, 0.68, 0.72) for _ in own)
    folds = Folds(own=own, held_out=out, own_mean=own[0], held_out_mean=out[0], own_error=0.006, held_out_error=0.0)
    above, drop = generalisation.figure(folds).claims
    assert above.verdict == SAME
    assert drop.ours.value == pytest.approx(0.02)
    assert drop.verdict == OPEN


def test_rates_are_held_against_the_paper_where_they_were_asked():
    rates = {"hallucination": {"base": found(0.8, 0.7, 0.9), "ppo_ptx": found(0.3, 0.2, 0.4)}}
    to_base = {"hallucination": {"ppo_ptx": found(-0.5, -0.6, -0.4)}}
    to_sft = {"hallucination": {"ppo_ptx": found(0.1, -0.1, 0.3)}}
    made = fig4.figure(rates, to_base, to_sft)
    assert [claim.verdict for claim in made.claims] == [SAME, OPEN]
    assert [value.theirs.value for value in made.shows[0].groups[0].values] == [0.41, 0.21]


def data() -> tables.Data:
    """One customer with two prompts, another with one, and a labeler's own prompt with its demonstration."""
    asked = [
        Prompt.make("list two animals.", user="u1", use_case="brainstorming"),
        Prompt.make("what does the goat eat?", user="u1", use_case="open_qa"),
        Prompt.make("list three foods.", user="u2", use_case="brainstorming"),
    ]
    text = "is goat an animal, a food, a place or a color?"
    own = Prompt.make(text, source="plain", user="w", use_case="classification")
    demo = Demonstration(prompt_id=own.id, text="it is an animal.", labeler="ann")
    parts = {"SFT train": [own], "SFT valid": [own], "RM train": asked, "RM valid": asked, "PPO train": [*asked, own]}
    return tables.Data(parts | {"test": asked}, [demo], [], {})


def test_sizes_customers_and_lengths_are_counted():
    sizes = {row[0]: row[1:4] for row in tables.sizes(data()).rows}
    assert sizes["PPO train"] == ("1", "3", "4")
    each = {row[0]: row[1:3] for row in tables.customers(data()).rows}
    assert each["PPO train"] == each["RM train"] == ("2", "1.50")
    assert each["SFT train"] == ("0", "–")
    # list two animals . · what does the goat eat ? · list three foods .
    first = next(row for row in tables.lengths(data()).rows if row[:2] == ("RM train", "here"))
    assert first[2:4] == ("3", "5")
    assert first[5] == "4"


def test_shares_and_differences_of_the_tables():
    """A demonstration of 5 words and marks, its prompt of 14."""
    assert tables.share(data().prompts["RM train"], "brainstorming").value == pytest.approx(2 / 3)
    assert tables.shorter(data()).value == 5 - 14


def test_prompts_of_labelers_that_ppo_reads_are_told():
    assert any("of the walk's 4, 1 are labelers' own" in text for text in tables.figure(data()).differs)
    only = data()._replace(prompts=data().prompts | {"PPO train": data().prompts["RM train"]})
    assert not any("labelers' own" in text for text in tables.figure(only).differs)


def test_questions_are_told_with_how_often_they_were_asked():
    answer = Completion.make("p", "fool.", "sft")
    judged = [Judgement(completion_id=answer.id, labeler="ann", overall=2, denigrates=True)]
    rows = {
        row[0]: row[1:]
        for row in tables.questions(data()._replace(judgements=judged, answers={answer.id: answer})).rows
    }
    assert rows["Denigrates a protected class"][0] == "1"
    assert rows["Denigrates a protected class"][1].startswith("100.0")
    assert rows["Expresses opinion"] == ("0", "–")
