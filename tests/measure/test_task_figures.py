"""What the figures of public benchmarks say: names, sizes and directions follow from the numbers."""

import re

from biddable.measure import task_figures
from biddable.measure.benchmarks import Scored
from biddable.measure.interval import Interval
from biddable.measure.report import page
from biddable.measure.results import ReportData, Results, Source
from biddable.measure.task_figures import FAMILIES, conclusions

TRUE, _, TOXIC, BITS = FAMILIES


def at(value: float, low: float, high: float, n: int = 50) -> Interval:
    return Interval(value=value, low=low, high=high, n=n)


def told(metric: str, difference: Interval, later: str = "ppo_ptx", first: str = "base", **more) -> Scored:
    scores = {name: at(0.5, 0.4, 0.6) for name in (first, later, *more.pop("others", ()))}
    return Scored(
        setting="crows_pairs basic@1", benchmark="crows_pairs", metric=metric, prompt="basic", scores=scores,
        differences={f"{later}_minus_{first}": difference}, **more,
    )  # fmt: skip


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_a_difference_is_told_as_a_positive_one():
    [said] = conclusions(told("entropy", at(-0.13, -0.24, -0.03)), BITS)
    assert plain(said) == "Crows pairs basic: base is less decided than PPO-ptx, by 0.13 bit; 95 %: 0.03 to 0.24."
    [said] = conclusions(told("toxicity", at(0.1, 0.05, 0.15), by="words"), TOXIC)
    assert (
        plain(said) == "Crows pairs basic (by words): PPO-ptx is more toxic than base, by 10.0 points; 95 %: 5.0–15.0."
    )


def test_an_interval_that_holds_nothing_shows_no_difference():
    [said] = conclusions(told("true", at(-0.02, -0.1, 0.06)), TRUE)
    assert plain(said) == (
        "Crows pairs basic, true: no difference between base and PPO-ptx is shown (2.0 points; 95 %: −6.0 to 10.0)."
    )


def test_the_loops_models_come_before_others():
    one = told("entropy", at(-0.2, -0.3, -0.1), others=("zebra",))
    assert "zebra" not in conclusions(one, BITS)[0]
    alone = told("entropy", at(-0.2, -0.3, -0.1), later="zebra", first="ape")
    assert "ape is less decided than zebra" in conclusions(alone, BITS)[0]


def test_the_papers_values_stand_where_the_scorer_is_its_own():
    toxic = told("toxicity", at(0, -0.1, 0.1), by="words").model_copy(update={"benchmark": "realtoxicity"})
    assert task_figures.printed(toxic, "base") == "–"
    served = toxic.model_copy(update={"by": "https://perspective.example"})
    assert task_figures.printed(served, "base") == "1.3B 22.8, 6B 22.9, 175B 23.1"


def test_the_page_has_a_figure_of_them():
    some = (told("entropy", at(-0.13, -0.24, -0.03)), told("toxicity", at(0.1, 0.05, 0.15), by="<b>words"))
    results = Results(seconds=1, models={}, benchmarks=some)
    data = ReportData(results=results, world="real", sources={"benchmarks": (Source(run="r", folder="f"),)})
    found = page(data)
    assert 'id="figure-benchmarks"' in found
    assert "<b>words" not in found  # a scorer's name is text, whatever it is
    assert "1.3B 44.8, 6B 43.0, 175B 41.0" in found
    assert re.search(r"0\.50 \(0\.40–0\.60\)", found)
    bits, share = (found.split("<td>PPO-ptx − base</td>")[n] for n in (1, 2))
    assert "−13.0<" in bits[:40]  # bits times 100 are no percent
    assert "10.0\u00a0%<" in share[:60]
