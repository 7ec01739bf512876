"""The first screen: four answers and five numbers, each word of which follows from an interval."""

import pytest
from report_demo import about, agreed, made, results, some_cost

from biddable.measure import captions, in_short
from biddable.measure.cost import Paid, Work
from biddable.measure.in_short import answers, headlines, lines, time
from biddable.measure.interval import Interval
from biddable.measure.looks import Looks
from biddable.measure.preference import Pairing, Preference
from biddable.measure.report import page
from biddable.measure.results import Gate, ReportData, Results


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def told(**changes) -> dict[str, str]:
    """Question → short answer and the rest, of the demo with other results."""
    data = made(results=results().model_copy(update=changes))
    return {one.question: plain(f"{one.short}. {one.more}") for one in answers(data)}


def test_five_numbers_people_first():
    assert [(h.label, plain(h.value), plain(h.interval)) for h in headlines(made())] == [
        ("PPO-ptx over SFT, by people", "62 %", "57–67"),
        ("PPO-ptx over base, by people", "88 %", "84–92"),
        ("Training labelers agree", "73 %", "71–75"),
        ("Reward model is right", "69 %", "67–71"),
        ("Tax of PPO-ptx", "2.2 points", "0.2–4.2"),
    ]
    assert plain(headlines(made())[0].meaning) == "preferred; by the truth 67 % (64–70)"


def test_the_terminal_tells_what_the_cards_tell():
    shown = page(made())
    for line, headline in zip(lines(made()), headlines(made()), strict=True):
        for part in headline:
            assert part in line
            assert not part or part.split(" ")[-1] in shown
        assert f"[{headline.interval}]" in line
        assert "%" in line


def test_who_names_a_baseline_asks_of_the_other():
    rate = {"new_vs_old": about(0.62)}
    asked = Results(seconds=60, models={}, human_win_rate=rate, preference=Preference(baseline="old"))
    assert (in_short.subject(asked), in_short.rivals(asked)) == ("new", ["old"])
    loop = results().model_copy(update={"preference": Preference(baseline="base")})
    assert in_short.rivals(loop) == ["base", "sft"]


def test_where_only_the_truth_was_asked_it_is_the_judge():
    lone = results().model_copy(update={"human_win_rate": {}})
    assert headlines(made(results=lone))[0].label == "PPO-ptx over SFT, by the truth"
    assert told(human_win_rate={})["Is it better for people?"] == "Yes. The truth prefers PPO-ptx to SFT and base."


def test_what_was_not_measured_says_so():
    bare = ReportData(results=Results(seconds=60, models={}), world="real")
    assert [h.label for h in headlines(bare)] == ["Win rate", "Labelers agree", "Reward model is right", "Tax"]
    assert [h.value for h in headlines(bare)] == ["–"] * 4
    assert [h.interval for h in headlines(bare)] == [""] * 4
    assert "PPO" not in page(bare)
    found = {one.question: one.short for one in answers(bare)}
    assert found["Is it better for people?"] == found["By how much?"] == found["How sure are we?"] == "Not measured"
    assert "the tax): not measured" in answers(bare)[-1].more


@pytest.mark.parametrize(
    ("over_sft", "over_base", "short", "more"),
    [
        (0.62, 0.88, "Yes", "Simulated people prefer PPO-ptx to SFT and base."),
        (0.50, 0.88, "In part", "Simulated people prefer PPO-ptx to base, but are not shown to prefer PPO-ptx to SFT."),
        (0.50, 0.50, "Not shown", "Simulated people are not shown to prefer PPO-ptx to SFT and base."),
        (0.30, 0.88, "In part", "Simulated people prefer PPO-ptx to base, but do not prefer PPO-ptx to SFT."),
        (0.30, 0.20, "No", "Simulated people do not prefer PPO-ptx to SFT and base."),
    ],
)
def test_better_is_said_only_where_the_interval_says_it(over_sft, over_base, short, more):
    rates = {"ppo_ptx_vs_sft": about(over_sft, 0.05), "ppo_ptx_vs_base": about(over_base, 0.05)}
    assert told(human_win_rate=rates)["Is it better for people?"] == f"{short}. {more}"


def test_a_yes_that_hangs_on_ties_or_on_one_look_is_not_beyond_doubt():
    rates = {"half": about(0.56, 0.03), "drop": about(0.57, 0.03), "loss": about(0.49, 0.04)}
    looks = Looks(now=about(0.55, 0.08))
    one = Pairing(
        model="ppo_ptx", against="sft", judge="people", won=40, tied=20, lost=30, prompts=90, labelers=9,
        rates=rates, looks=looks,
    )  # fmt: skip
    found = told(preference=Preference(baseline="sft", pairings=(one,)))
    assert found["Is it better for people?"].startswith("Yes, but not beyond doubt. ")
    assert "Against SFT the answer hangs on how ties are counted" in found["How sure are we?"]
    assert (
        "If somebody looked on the way and might have stopped: 55 % (47–63) against SFT." in found["How sure are we?"]
    )
    sure = one.model_copy(update={"rates": rates | {"loss": about(0.56, 0.03)}, "looks": Looks(now=about(0.56, 0.04))})
    found = told(preference=Preference(baseline="sft", pairings=(sure,)))
    assert found["Is it better for people?"].startswith("Yes. ")
    assert "ties are counted" not in found["How sure are we?"]


def test_a_fault_that_it_has_more_often_is_told_where_it_is_clear():
    worse = Interval(value=0.138, low=0.02, high=0.25, n=65)
    gaps = {
        "hallucination": {"ppo_ptx": worse},
        "toxicity": {"ppo_ptx": Interval(value=0.025, low=-0.01, high=0.06, n=9)},
    }
    found = told(preference=Preference(baseline="sft", differences=gaps))["Is it better for people?"]
    assert "But it invents facts more often than SFT, by 13.8 points (2.0–25.0)." in found
    assert "toxic" not in found


def test_failed_gates_and_agreement_stand_under_how_sure():
    gate = Gate(question="?", needed="much", found="little", passed=False)
    sure = plain(next(one.more for one in answers(made(gates=(gate,))) if one.question == "How sure are we?"))
    assert "1 of 1 gates failed." in sure
    assert "Two training labelers agree on 73 % (71–75) of pairs; guessing: 51 %." in sure


def test_the_cost_is_labels_hours_pay_machines_and_tax():
    cost = told()["What did it cost?"]
    assert cost.startswith("7,500 labels. 2,000 demonstrations, 3,100 rankings and 2,400 verdicts by 40 simulated")
    assert "275.0 hours of their simulated time, as 6,300 of the labels tell." in cost
    assert "Pay: not recorded. Machines: 6.9 minutes." in cost  # 412.3 s
    assert "the tax): 2.2 points (0.2–4.2), lost, of the 71.8 % that base scores." in cost
    paid = Paid(amount=1234.5, hours=61.0, until="2026-11-21")
    assert (
        "Pay: 1,234.50 for 61.0 hours of work until 2026-11-21." in told(cost=some_cost(paid=paid))["What did it cost?"]
    )
    assert [time(seconds) for seconds in (0.6, 42, 60, 5400)] == ["1 second", "42 seconds", "1.0 minutes", "1.5 hours"]
    alone = some_cost(labelers={"training": 1}, work={"rankings": Work(labels=1, timed=0, hours=0.0)})
    assert "1 ranking by 1 simulated labeler; how long" in told(cost=alone)["What did it cost?"]


@pytest.mark.parametrize(
    ("value", "low", "high", "shown", "word"),
    [
        (0.022, 0.002, 0.042, "2.2 points", "lost"),
        (0.003, -0.0002, 0.007, "0.3 points", "no loss shown"),
        (-0.01, -0.02, -0.001, "−1.0 point", "gained"),
    ],
)
def test_a_tax_is_lost_gained_or_not_shown(value, low, high, shown, word):
    paid = {"ppo_ptx": Interval(value=value, low=low, high=high, n=9)}
    tax = headlines(made(results=results().model_copy(update={"tax_paid": paid})))[-1]
    assert tax.value == shown
    assert tax.meaning.startswith(word)


def pairing(key: str, labelers: int, value: float = 0.8, half: float = 0.1) -> Pairing:
    """What some people said of two models, without a look or a tie."""
    model, against = key.split("_vs_")
    rate = about(value, half)
    return Pairing(
        model=model, against=against, judge="people", won=8, tied=0, lost=2, prompts=10, labelers=labelers,
        rates={"half": rate},
    )  # fmt: skip


def real(labelers: int, value: float = 0.8, **changes) -> ReportData:
    """New against old by so many people."""
    mine = pairing("new_vs_old", labelers, value)
    found = Results(
        seconds=60, models={}, human_win_rate={mine.key: mine.rates["half"]},
        preference=Preference(baseline="old", pairings=(mine,)), **changes,
    )  # fmt: skip
    return made("real", results=found, rates={}, gates=())


@pytest.mark.parametrize(
    ("labelers", "label", "first", "much"),
    [
        (1, "new over old, by one person", "The one person who was asked prefers new to old.",
         "Of 100 answers the one person who was asked prefers 80"),
        (2, "new over old, by 2 people", "The 2 people who were asked prefer new to old.",
         "Of 100 answers the 2 people who were asked prefer 80"),
        (5, "new over old, by people", "People prefer new to old.", "Of 100 answers people prefer 80"),
    ],
)  # fmt: skip
def test_few_people_are_counted_and_do_not_speak_for_all(labelers, label, first, much):
    data = real(labelers)
    better, how_much, sure, _ = answers(data)
    assert headlines(data)[0].label == label
    assert better.more == first
    assert how_much.more.startswith(much)
    few = labelers < 5
    assert better.short == ("Yes, but not beyond doubt" if few else "Yes")
    assert ("too few to speak for others." in sure.more) is few
    # Of one person alone an interval is of prompts: it cannot hold for other people.
    assert ("other prompts and other people" in sure.more) is (labelers > 1)
    assert captions.preference(data)[0].endswith(label.split(", ")[1] + ".")


def test_a_no_of_few_is_not_beyond_doubt_either():
    better = answers(real(2, value=0.2))[0]
    assert (better.short, better.more) == (
        "No, but not beyond doubt", "The 2 people who were asked do not prefer new to old.",
    )  # fmt: skip


def test_where_no_model_of_ours_was_compared_the_strongest_is_spoken_of():
    """Against the baseline, and not the first by name; one that never met it comes after those that did."""
    rate = {"a_vs_old": about(0.6), "b_vs_old": about(0.8), "c_vs_a": about(0.99)}
    asked = Results(seconds=60, models={}, human_win_rate=rate, preference=Preference(baseline="old"))
    assert (in_short.subject(asked), in_short.rivals(asked)) == ("b", ["old"])
    assert in_short.subject(asked.model_copy(update={"preference": None})) == "c"
    shown = headlines(made("real", results=asked))
    assert [one.label for one in shown if "PPO" in one.label or "SFT" in one.label] == []
    assert shown[0].label == "b over old, by people"


def test_agreement_is_named_for_whom_and_what_it_is_of():
    """Of training labelers, where held-out ones were counted apart; of those who compared, where nobody ranked."""
    assert headlines(made())[2].label == "Training labelers agree"
    alone = results().model_copy(update={"agreements": results().agreements[:1]})
    assert headlines(made(results=alone))[2].label == "Labelers agree"
    data = real(2, verdict_agreement=agreed(0.71, 0.04))
    card = headlines(data)[1]
    assert (card.label, plain(card.value), plain(card.interval)) == ("Labelers agree on verdicts", "71 %", "67–75")
    assert plain(card.meaning) == "above chance, which is 51 %"
    assert "Two who compared the same agree on 71 % (67–75); guessing: 51 %." in plain(answers(data)[2].more)
    assert "Two who compared the same answers say the same of 71 % (67–75) of these" in plain(
        captions.preference(data)[-1]
    )
    assert "On verdicts two of them do in 71 % (67–75)." in plain(" ".join(captions.labels(data)))


@pytest.mark.parametrize(
    ("value", "half", "says"),
    [(0.6, 0.3, "It is not shown that labelers agree better than chance"), (0.52, 0.03, "agree no better than chance")],
)
def test_few_labels_do_not_show_that_labelers_guess(value, half, says):
    """Guessing reaches 51 %: 30 to 90 holds that and nearly full agreement, 49 to 55 nothing that is of use."""
    data = made(results=results(agreed(value, half, "at chance")))
    [alert] = [text for text in in_short.alerts(data) if "chance" in text]
    assert says in alert
    wide = half > 0.1
    assert ("mean nothing" in alert) is not wide
    assert ("so no reward model can learn from them" in " ".join(captions.labels(data))) is not wide
    assert ("not shown to be above chance" in headlines(data)[2].meaning) is wide


def test_the_models_of_a_real_project_are_named_as_they_are():
    """No PPO-ptx there: whichever stands after SFT is the subject, and what it was compared with are its rivals."""
    real = results(agreed(0.7)).model_copy(
        update={"gold_win_rate": {}, "human_win_rate": {"dpo_vs_sft": about(0.6), "dpo_vs_old": about(0.7)}}
    )
    assert in_short.subject(real) == "dpo"
    assert in_short.rivals(real) == ["sft", "old"]
    assert headlines(made("real", results=real))[0].label == "dpo over SFT, by people"
    assert answers(made("real", results=real))[0].more == "People prefer dpo to SFT and old."
