import hashlib
import itertools
import json
import re
import xml.etree.ElementTree as ET

import pytest
from report_demo import about, agreed, made, results, some_folds, some_way

from biddable.lineage import MADE_OF
from biddable.measure import captions, in_short
from biddable.measure.charts import ticks
from biddable.measure.interval import Interval
from biddable.measure.markup import Safe, el, escape, prose
from biddable.measure.overoptimised import Followed
from biddable.measure.preference import Preference
from biddable.measure.report import page, write_report
from biddable.measure.results import Gate, ReportData, Results, Source, pair, write_results
from biddable.measure.reward import Bin, Calibration, Doubt


def tree(text: str) -> ET.Element:
    return ET.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


def said(element: ET.Element | None) -> str:
    assert element is not None
    return " ".join("".join(element.itertext()).split())


# The page


def test_the_page_is_well_formed_and_its_ids_are_unique():
    ids = [e.get("id") for e in tree(page(made())).iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    for link in tree(page(made())).iter("a"):
        assert link.get("href", "").removeprefix("#") in ids


def test_the_page_needs_no_network_and_no_script():
    parsed = tree(page(made()))
    names = {e.tag for e in parsed.iter()}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "foreignObject"}
    for element in parsed.iter():
        for key, value in element.attrib.items():
            assert not key.startswith("on")
            assert "://" not in value
            assert not value.startswith("//")
    style = said(parsed.find("head/style"))
    assert "url(" not in style
    assert "@import" not in style
    assert any((e.get("content") or "").startswith("default-src 'none'") for e in parsed.iter("meta"))


def test_what_a_model_says_is_text():
    text = page(made())
    assert "<script" not in text
    assert "<img" not in text
    answers = [said(e) for e in tree(text).iter("p") if (e.get("class") or "").startswith("said")]
    assert any(answer.startswith("<script>fetch(") for answer in answers)
    assert "(nothing)" in answers


def test_labels_that_come_from_outside_are_text_too():
    evil = "<script>x</script>"
    gate = Gate(question=evil, needed=evil, found=evil, passed=True)
    road = {name: (Source(run=evil, folder=evil, inputs={evil: evil}),) for name in made().sources}
    rates = {evil: {evil: about(0.2), "base": about(0.5)}}
    assert "<script" not in page(made(title=evil, made=evil, gates=(gate,), sources=road, rates=rates))


def test_every_figure_has_a_conclusion_a_picture_a_table_and_a_run():
    figures = list(tree(page(made())).iter("figure"))
    assert len(figures) == 7
    for figure in figures:
        assert said(figure.find("figcaption"))
        assert figure.find(".//details//table/caption") is not None
        assert "run ppo-0 in runs/ppo" in said(figure.find("p[@class='road']"))
        for chart in figure.iter("svg"):
            if chart.get("aria-hidden") == "true":
                continue
            assert chart.get("role") == "img"
            assert [said(chart.find(tag)) for tag in ("title", "desc")] != ["", ""]
            ids = {e.get("id") for e in chart if e.tag in ("title", "desc")}
            assert set((chart.get("aria-labelledby") or "").split()) == ids


def test_every_number_drawn_is_in_the_table():
    data = made()
    figure = next(f for f in tree(page(data)).iter("figure") if f.get("id") == "figure-preference")
    rows = [[said(cell) for cell in row] for row in figure.iter("tr")]
    assert ["SFT over base", "truth", "91.0 %", "88.0–94.0", "600"] in rows
    assert len(rows) == 1 + len(data.results.gold_win_rate) + len(data.results.human_win_rate)


def test_folds_stand_beside_the_papers_and_take_its_values_from_the_rest():
    """The paper's 72.4 ± 0.4 and 69.6 ± 0.9 are of five folds: where there are folds, that is what they are beside."""
    folded = results().model_copy(update={"folds": some_folds()})
    figure = next(f for f in tree(page(made(results=folded))).iter("figure") if f.get("id") == "figure-labels")
    rows = [[said(cell) for cell in row] for row in figure.iter("tr")]
    assert ["5 folds, labelers it knows", "72.4 %", "71.8–73.0", "600", "72.4 ± 0.4 %"] in rows
    assert ["5 folds, labelers it does not", "68.4 %", "67.6–69.2", "600", "69.6 ± 0.9 %"] in rows
    assert next(row for row in rows if row[0] == "Reward model, training labelers")[-1] == "–"
    assert ["mean ± error", "72.4 ± 0.0 %", "71.8–73.0", "600", "68.4 ± 0.6 %", "67.6–69.2", "600"] in rows
    assert ["1", "72.4 %", "71.2–73.6", "4,000", "66.0 %", "64.6–67.4", "4,000"] in rows
    told = said(figure.find("figcaption"))
    assert "72.4 % (71.8–73.0) on those that a model learnt from, 68.4 % (67.6–69.2) on the others: 4.0 points" in told
    bare = next(f for f in tree(page(made())).iter("figure") if f.get("id") == "figure-labels")
    alone = [[said(cell) for cell in row] for row in bare.iter("tr")]
    assert next(row for row in alone if row[0] == "Reward model, training labelers")[-1] == "72.4 ± 0.4 %"


def test_a_page_says_of_which_data_it_was_made():
    data = made()
    meta = next(e for e in tree(page(data)).iter("meta") if e.get("name") == "biddable-data")
    assert meta.get("content") == hashlib.sha256((data.model_dump_json(indent=2) + "\n").encode()).hexdigest()
    assert MADE_OF.search(page(data))[1] == meta.get("content")


def test_a_practice_world_says_so_and_a_real_one_does_not():
    assert "Hamlet" in page(made())
    assert "simulated people" in page(made())
    assert "Hamlet" not in page(made("real"))
    assert "simulated" not in page(made("real"))


def test_what_was_not_measured_is_left_out():
    road = {"labels": (Source(run="r", folder="runs/r"),)}
    bare = Results(seconds=60, models={}, agreement=agreed(0.7))
    text = page(ReportData(results=bare, world="real", sources=road))
    assert len(list(tree(text).iter("figure"))) == 1
    shown = said(tree(text).find("body"))
    for word in ("tax, task", "Proxy against", "Prompt 1", "Gates", "is preferred"):
        assert word not in shown
    cards = [said(card) for card in tree(text).iter("li") if card.find("span[@class='number']") is not None]
    assert [card.count("not measured") for card in cards] == [1, 0, 1, 1]
    assert "PPO" not in shown  # nobody trained one


def test_where_no_two_people_ranked_the_same_prompt_it_says_so():
    none = "not measured: no prompt was ranked by two people"
    road = {"labels": (Source(run="r", folder="runs/r"),)}
    bare = page(ReportData(results=Results(seconds=60, models={}), world="real"))
    assert not list(tree(bare).iter("figure"))
    assert f"Whether labelers agree is {none}." in said(tree(bare).find("body"))
    judged = Results(seconds=60, models={}, reward_accuracy={"train_labelers": about(0.7)})
    text = page(ReportData(results=judged, world="real", sources=road))
    assert len(list(tree(text).iter("figure"))) == 1
    shown = said(tree(text).find("body"))
    assert f"Whether labelers agree is {none}. The reward model foresees training labelers on" in shown
    assert "no better than chance" not in shown
    coin = judged.model_copy(update={"reward_accuracy": {"train_labelers": about(0.5)}})
    shown = said(tree(page(ReportData(results=coin, world="real", sources=road))).find("body"))
    assert "no better than a coin" in shown


def test_a_figure_without_a_source_is_refused():
    with pytest.raises(ValueError, match="figure preference has none"):
        made(sources={})


def test_the_same_data_is_the_same_page(tmp_path):
    out = write_report(made(), tmp_path / "report.html")
    assert out.read_text(encoding="utf-8") == page(made())
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


# What the sentences claim


def test_labelers_at_chance_are_announced_before_any_number():
    data = made(results=results(agreed(0.512, word="at chance")))
    text = said(tree(page(data)).find(".//header"))
    assert "agree no better than chance" in text
    assert "so no reward model can learn from them" in " ".join(captions.labels(data))
    assert in_short.alerts(made()) == []


def test_failed_gates_are_announced_with_what_was_found():
    gate = Gate(question="Does it copy?", needed="95 %", found="12 %", passed=False)
    text = " ".join(in_short.alerts(made(gates=(gate,))))
    assert "1 of 1 gates failed" in text
    assert "Not met: Does it copy? Needed 95 %, found 12 %." in text


def test_a_model_that_lies_elsewhere_is_named_without_whose_home_it_is_in():
    there = results().models | {"base": "/home/ada/models/small"}
    shown = page(made(results=results().model_copy(update={"models": there})))
    assert "<td>small</td>" in shown
    assert "ada" not in shown
    assert "<td>runs/sft/model</td>" in shown


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.55, 0.65, "PPO is preferred to SFT:"), (0.45, 0.65, "no difference"), (0.3, 0.4, "preferred less than")],
)
def test_a_preference_is_claimed_only_where_the_interval_leaves_one_half_out(low, high, words):
    interval = Interval(value=(low + high) / 2, low=low, high=high, n=100)
    assert words in captions.comparison("ppo_vs_sft", interval, "people")


def test_judges_who_differ_are_told():
    wins = {"ppo_vs_sft": about(0.6)}
    data = made(
        results=results().model_copy(update={"gold_win_rate": wins, "human_win_rate": {"ppo_vs_sft": about(0.4)}})
    )
    assert captions.preference(data) == [
        "On PPO against SFT the judges differ: 60\u00a0% (57–63) by the truth (preferred), "
        "40\u00a0% (37–43) by people (not preferred)."
    ]


def test_the_tax_sentences_follow_the_interval():
    repair = made().repair
    assert repair is not None
    assert "PPO pays a tax: 8.4 points" in captions.tax(made())[0]
    assert "gives back 74\u00a0%" in captions.tax(made())[1]
    unclear = repair.model_copy(update={"lost": Interval(value=0.01, low=-0.02, high=0.04, n=9), "share": None})
    told = " ".join(captions.tax(made(repair=unclear)))
    assert "no clear tax" in told
    assert "gives back" not in told
    useless = repair.model_copy(update={"regained": Interval(value=0.01, low=-0.02, high=0.04, n=9)})
    assert "does not clearly give any of it back" in " ".join(captions.tax(made(repair=useless)))


def test_a_lost_preference_is_not_called_kept():
    lost = results().model_copy(update={"gold_win_rate": {"ppo_ptx_vs_sft": about(0.5)}})
    assert "But PPO-ptx is not shown to be preferred to SFT" in captions.tax(made(results=lost))[-1]
    lost = lost.model_copy(update={"gold_win_rate": {"ppo_ptx_vs_sft": about(0.4)}})
    assert "But PPO-ptx is not preferred to SFT" in captions.tax(made(results=lost))[-1]


def test_rates_that_overlap_are_not_called_alike():
    data = made(rates={"toxicity": {"base": about(0.05), "ppo_ptx": about(0.03)}})
    assert captions.behaviour(data)[0].startswith("It is not clear that PPO-ptx is toxic less often than base: 3.0")
    assert captions.behaviour(data)[0].endswith("; the intervals overlap.")
    data = made(rates={"toxicity": {"base": about(0.5), "ppo_ptx": about(0.03)}})
    assert captions.behaviour(data)[0].startswith("PPO-ptx is toxic less often than base: ")


def test_calibration_is_faulted_only_where_the_interval_leaves_the_prediction():
    level = Interval(value=0.68, low=0.66, high=0.7, n=100)
    within, loud = (Bin(predicted=0.7, observed=about(value, 0.03)) for value in (0.68, 0.6))
    told = " ".join(captions.calibrated(made(calibration=Calibration(bins=(within,), log_loss=level, error=0.02))))
    assert "too sure" not in told
    assert "not clearly different from a coin" in told
    told = " ".join(captions.calibrated(made(calibration=Calibration(bins=(loud,), log_loss=level, error=0.1))))
    assert "In 1 of 1 bands fewer come true than it foresees" in told
    doubt = Doubt(correlation=about(0.1), wrong=about(0.58, 0.02), closeness=about(0.7, 0.02))
    sure = Calibration(bins=(loud,), log_loss=level, error=0.1, error_interval=about(0.1))
    told = " ".join(captions.calibrated(made(calibration=sure, doubt=doubt)))
    assert re.search(r"further apart on a wrong pair than on a right one 58\s?%", told)
    assert "(ECE; " in told


def test_training_and_held_out_labelers_are_compared_by_their_intervals():
    for held_out, told in ((0.5, "better than others"), (0.7, "overlap"), (0.9, "better than its own")):
        both = {"train_labelers": about(0.71), "held_out_labelers": about(held_out)}
        data = made(results=results().model_copy(update={"reward_accuracy": both}))
        assert told in [said for said in captions.labels(data) if "its own" in said or "learned from" in said][-1]


def test_apart_means_that_intervals_do_not_touch():
    for one, other, told in ((0.2, 0.8, True), (0.5, 0.52, False)):
        assert captions.apart(about(one), about(other)) is told
        assert captions.apart(about(other), about(one)) is told


def test_a_reward_model_no_better_than_a_coin_is_called_that():
    coin = results().model_copy(update={"reward_accuracy": {"train_labelers": about(0.51)}})
    assert "no better than a coin" in " ".join(captions.labels(made(results=coin)))


def test_few_pairs_do_not_show_that_a_reward_model_is_a_coin():
    wide = results().model_copy(update={"reward_accuracy": {"train_labelers": about(0.6, 0.3)}})
    told = " ".join(captions.labels(made(results=wide)))
    assert "That it is better than a coin is not shown: do not optimise against it." in told
    assert "no better than a coin" not in told


@pytest.mark.parametrize(
    ("half", "told"),
    [(0.02, "about as well as another labeler"), (0.2, "better or worse than another labeler does is")],
)
def test_it_is_as_good_as_a_labeler_where_intervals_are_near_and_not_where_they_are_wide(half, told):
    like = results().agreement.value
    said = results().model_copy(update={"reward_accuracy": {"train_labelers": about(like, half)}})
    assert told in " ".join(captions.labels(made(results=said)))


def test_without_a_model_no_heading_stands_alone():
    bare = page(ReportData(results=Results(seconds=60, models={}), world="real"))
    assert "The models" not in bare
    assert "The models" in page(made())


def test_what_an_answer_is_worth_is_explained_where_it_stands():
    samples = page(made()).split('id="answers"')[1]
    assert "what it is truly worth in the practice world" in samples
    assert samples.index("truly worth in the practice world") < samples.index("worth 0.20")
    bare = made(samples=tuple(one.model_copy(update={"worth": {}}) for one in made().samples))
    assert "truly worth" not in page(bare)


def test_overoptimisation_is_told_only_when_gold_fell_while_the_other_rose():
    def told(fall: Interval, rise: Interval) -> str:
        way = some_way().model_copy(update={"fall": fall, "rise": rise})
        one = Followed(run="ppo", proxy="reward", gold="reward-2", ways=(way,))
        return captions.followed(made(results=results().model_copy(update={"followed": (one,)})))[0]

    below, open_, above = (Interval(value=v, low=v - 0.1, high=v + 0.1, n=90) for v in (-0.5, 0.0, 0.4))
    assert told(below, above).startswith(
        "PPO: over-optimised: from its best point to iteration 40 reward-2's score falls"
    )
    assert "0.50 (−0.60 to −0.40) while that of reward, which is followed, rises by 0.40" in told(below, above)
    assert "falls by 0.50" in told(below, open_)
    assert "over-optimised" not in told(below, open_)
    assert "no over-optimisation is seen" in told(open_, above)


def test_where_a_fit_is_highest_is_told_only_where_the_score_clearly_fell():
    way = some_way()
    assert way.gold is not None
    assert way.gold.peak is not None
    flat = way.model_copy(update={"fall": Interval(value=-0.1, low=-0.4, high=0.1, n=90)})
    for one, said in ((way, True), (flat, False)):
        run = Followed(run="ppo", proxy="reward", gold="reward-2", ways=(one,))
        shown = " ".join(captions.followed(made(results=results().model_copy(update={"followed": (run,)}))))
        assert ("is highest at a KL of" in shown) is said


def test_the_table_of_the_tax_says_what_was_counted():
    assert "F1, ROUGE-L or BLEU" in page(made())
    shown = page(made(tax_rule="sampled"))
    assert "Chance that an answer sampled at temperature 1 is right" in shown
    assert "F1, ROUGE-L or BLEU" not in shown


def test_a_number_that_rounds_to_nothing_has_no_sign():
    assert [captions.number(value) for value in (-0.004, -0.006, -10.0)] == ["0.00", "−0.01", "−10.00"]


def test_the_ways_are_drawn_with_their_fits_and_who_is_who():
    shown = page(made())
    figure = shown[shown.index('id="figure-followed"') :]
    figure = figure[: figure.index("</figure>")]
    assert "Gain by reward-2, which it is held against" in figure
    assert "Gain by reward, which was followed" in figure
    assert figure.count('class="chart wide"') == 2
    assert "PPO, reward-2" in figure  # a row of the fits
    assert 'id="figure-followed"' not in page(made(results=results().model_copy(update={"followed": ()})))


@pytest.mark.parametrize(
    ("share", "digits", "text"), [(0.5, 0, "50 %"), (-0.004, 0, "0 %"), (-0.023, 1, "−2.3 %"), (1.0, 0, "100 %")]
)
def test_percent(share, digits, text):
    assert captions.percent(share, digits).replace("\u00a0", " ") == text


# Markup and charts


def test_markup_escapes_all_but_its_own():
    assert el("p", "<b>", Safe("<i></i>"), class_="x", aria_label='"') == (
        '<p class="x" aria-label="&quot;">&lt;b&gt;<i></i></p>'
    )
    assert escape("a\x00\u202eb") == "a\ufffdb"
    assert el("line", x1=1.0, x2=2.504) == '<line x1="1" x2="2.5" />'


def test_prose_keeps_a_number_with_its_interval():
    assert prose("so 91\u00a0% (88–94) <") == 'so <span class="whole">91\u00a0% (88–94)</span> &lt;'


def test_ticks_leave_room_for_their_letters():
    for chart in tree(page(made())).iter("svg"):
        feet = [t for t in chart.iter("text") if t.get("class") == "label tick" and re.fullmatch(r"\d+ %", said(t))]
        places = sorted(float(t.get("x", "0")) for t in feet)
        assert all(b - a > 36 for a, b in itertools.pairwise(places)), chart.get("aria-labelledby")  # 5 letters of 7.4


def test_ticks_are_round():
    assert ticks(0.42, 0.97) == (0.5, 0.6, 0.7, 0.8, 0.9)
    assert ticks(-0.3, 0.8) == (-0.2, 0.0, 0.2, 0.4, 0.6, 0.8)
    assert ticks(1, 1) == (1,)


def test_no_label_leaves_the_picture():
    """A letter is at most 8.2 pixels wide; anchors say where a text begins or ends."""
    for chart in tree(page(made())).iter("svg"):
        if chart.get("aria-hidden") == "true":
            continue
        width = float(chart.get("viewBox", "").split()[2])
        for text in chart.iter("text"):
            words, x = said(text), float(text.get("x", "0"))
            long = len(words) * (8.2 if "strong" in (text.get("class") or "") else 7.4)
            start = {"start": x, "middle": x - long / 2, "end": x - long}[text.get("text-anchor", "start")]
            assert start >= -20, words  # the axis' outer letters may reach into the padding
            assert start + long <= width + 20, words


def test_colours_of_every_series_are_defined_for_light_dark_and_print():
    style = said(tree(page(made())).find("head/style"))
    used = set(re.findall(r"var\((--[\w-]+)\)", style))
    light, dark, printed = (
        set(re.findall(r"(--[\w-]+):", style.split(start, 1)[1].split("}", 1)[0]))
        for start in (":root {", "(prefers-color-scheme: dark) {", "@media print {")
    )
    assert used - {"--under"} <= light
    assert light - {"--accent", "--banner-edge", "--alert-edge"} >= dark - light
    assert dark <= light
    assert printed <= light
    assert {"--base", "--sft", "--ppo", "--ppo-ptx", "--gold", "--people"} <= dark & printed


# results.json


def test_results_have_the_promised_shape(tmp_path):
    text = write_results(results(), tmp_path / "results.json").read_text()
    found = json.loads(text)
    assert list(found) == [
        "seconds", "models", "gold_win_rate", "human_win_rate", "agreement", "reward_accuracy", "tax",
        "hallucination", "toxicity", "preference", "benchmarks", "repair", "tax_paid", "folds",
        "agreements", "alone", "verdict_agreement", "followed", "cost",
    ]  # fmt: skip
    for key in ("sft_vs_base", "ppo_ptx_vs_sft", "ppo_ptx_vs_base"):
        assert set(found["gold_win_rate"][key]) == set(found["human_win_rate"][key]) == {"value", "low", "high", "n"}
    assert {"value", "low", "high", "n", "chance", "word"} <= set(found["agreement"])
    assert set(found["reward_accuracy"]) == {"train_labelers", "held_out_labelers"}
    assert set(found["tax"]) == set(found["hallucination"]) == set(found["toxicity"])
    assert Results.model_validate(found) == results()


def test_a_pair_needs_two_names():
    assert pair("ppo_ptx_vs_sft") == ("ppo_ptx", "sft")
    with pytest.raises(ValueError, match="named like sft_vs_base"):
        Results(seconds=1, models={}, agreement=agreed(0.7), gold_win_rate={"sft": about(0.5)})


def test_the_story_is_of_what_happened_here():
    whole = made(machine={"sample": 3.0, "sft": 5.0, "reward": 5.0, "ppo": 9.0})
    assert "A reward model learned what people prefer from 3,100 rankings" in captions.story(whole)
    assert "PPO-ptx is the same" in captions.story(whole)
    assert "<svg" in loop_of(whole)
    other = captions.story(made(machine={"sft": 5.0, "dpo": 2.0, "raft": 2.0}))
    assert "by DPO and RAFT." in other
    assert "reward model" not in other
    none = made(machine={"sample": 3.0})
    assert captions.story(none) == "No model was trained in this project: what is told is what people said of answers."
    assert "<svg" not in loop_of(none)


def loop_of(data: ReportData) -> str:
    return page(data).partition('id="loop"')[2].partition("</section>")[0]


def test_behaviour_is_held_against_the_baseline_on_the_same_prompts():
    """Intervals that overlap may belong to a difference that is clear on the same prompts, and the other way about."""
    rate = {"base": about(0.5), "sft": about(0.2, half=0.1), "ppo_ptx": about(0.3, half=0.1)}
    paired = Preference(baseline="sft", differences={"hallucination": {"ppo_ptx": about(0.1, half=0.04)}})
    data = made(rates={"hallucination": rate}, results=results().model_copy(update={"preference": paired}))
    [said] = captions.behaviour(data)
    assert said.startswith("PPO-ptx invents facts more often than SFT: 30")
    assert "a difference of 10.0 points (6.0–14.0) on the same prompts" in said.replace("\u00a0", " ")
    wide = paired.model_copy(
        update={"differences": {"hallucination": {"ppo_ptx": Interval(value=-0.1, low=-0.2, high=0.01, n=9)}}}
    )
    [said] = captions.behaviour(
        made(rates={"hallucination": rate}, results=results().model_copy(update={"preference": wide}))
    )
    assert said.startswith("It is not clear that PPO-ptx invents facts less often than SFT: ")
    [said] = captions.behaviour(
        made(rates={"hallucination": rate}, results=results().model_copy(update={"preference": None}))
    )
    assert said.startswith("PPO-ptx invents facts less often than base: ")
