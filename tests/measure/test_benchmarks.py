"""What `measure` makes of a benchmark's lines: scores, paired differences, and the tax over any tasks."""

import math

import numpy as np
import pytest

from biddable import records
from biddable.benchmarks import nouns
from biddable.benchmarks.nouns import Mark, Question, Reply, Setting
from biddable.measure import forgotten, replies, table14, tax
from biddable.measure.benchmarks import counted, difference, read, score, scored
from biddable.measure.interval import Bootstrap
from biddable.records import BadRow, Item, Likelihood

FAST = Bootstrap(draws=400)


def setting(benchmark: str, metric: nouns.Metric, **more) -> Setting:
    fields = {"prompt": "plain", "shots": 0, "seed": 0, "form": "f", "file": "0", "asked": 2} | more
    return Setting(benchmark=benchmark, metric=metric, **fields)


def written(benchmark: str, metric: nouns.Metric, texts: dict[str, list[str]], right: list[str], group=None) -> list:
    """Replies of each model to questions that have one right answer."""
    told = setting(benchmark, metric, asked=len(right))
    lines = [told]
    for n, answer in enumerate(right):
        where = group[n] if group else None
        lines.append(Question(task=told.id, id=f"q{n}", context="c", references=((answer,),), group=where))
    for model, said in texts.items():
        lines += [Reply(task=told.id, item=f"q{n}", run_id=model, text=t, finished=True) for n, t in enumerate(said)]
    return lines


def chosen(
    benchmark: str, metric: nouns.Metric, right: tuple[int, ...], logps: dict[str, list[tuple[float, int]]]
) -> list:
    """One question, and each model's log p and tokens of its choices."""
    told = setting(benchmark, metric, asked=1)
    choices = tuple("abcd"[: len(next(iter(logps.values())))])
    lines = [told, Question(task=told.id, id="q", context="c", choices=choices, right=right)]
    for model, seen in logps.items():
        lines += [
            Likelihood(task=told.id, item="q", choice=n, run_id=model, logp=logp, tokens=tokens)
            for n, (logp, tokens) in enumerate(seen)
        ]
    return lines


def test_a_choice_is_by_the_average_token():
    [found] = counted(chosen("rte", "accuracy", (0,), {"m": [(-8.0, 4), (-3.0, 1)]}))  # −2 a token against −3
    assert found.sums["m"]["q"] == [1.0, 1.0]


def test_truth_by_likelihood():
    # total log p: right −2 and −3, wrong −2.5. MC1: the best right one is likeliest. MC2: (e⁻²+e⁻³)/(e⁻²+e⁻³+e⁻²·⁵)
    lines = chosen("truthfulqa_mc", "multiple_choice", (0, 1), {"m": [(-2.0, 9), (-3.0, 1), (-2.5, 1)]})
    found = {one.metric: one.sums["m"]["q"][0] for one in counted(lines)}
    whole = math.exp(-2) + math.exp(-3)
    assert found == {"mc1": 1.0, "mc2": pytest.approx(whole / (whole + math.exp(-2.5)))}
    lines = chosen("truthfulqa_mc", "multiple_choice", (0, 1), {"m": [(-2.6, 1), (-1.0, 1), (-2.5, 1)]})
    assert {one.metric: one.sums["m"]["q"][0] for one in counted(lines)}["mc1"] == 0.0  # the other right one is no help
    lines = chosen("truthfulqa_mc", "multiple_choice", (0, 1), {"m": [(-2.0, 1), (-1.0, 1), (-2.5, 1)]})
    assert {one.metric: one.sums["m"]["q"][0] for one in counted(lines)}["mc1"] == 1.0  # and no rival


def test_entropy_is_of_whole_sentences():
    lines = chosen("crows_pairs", "entropy", (0,), {"m": [(math.log(0.3), 2), (math.log(0.1), 7)]})
    [found] = counted(lines)
    assert found.sums["m"]["q"][0] == pytest.approx(0.8113, abs=5e-5)


def test_what_others_marked_counts_for_whom_marked():
    lines = written("truthfulqa", "truthful", {"m": ["a", "b"]}, ["a", "b"])
    told = lines[0].id
    lines += [
        Mark(task=told, item=f"q{n}", run_id="m", what=what, value=value, by="judge")
        for n, both in enumerate(((1.0, 0.0), (1.0, 1.0)))
        for what, value in zip(("true", "informative"), both, strict=True)
    ]
    found = {(one.metric, one.by): score(one, "m", FAST).value for one in counted(lines)}
    assert found == {("true", "judge"): 1.0, ("informative", "judge"): 0.5, ("true_and_informative", "judge"): 0.5}


def test_replies_that_nobody_marked_have_no_score():
    assert counted(written("truthfulqa", "truthful", {"m": ["a"]}, ["a"])) == []


def test_differences_are_over_what_both_were_asked():
    lines = written("squad_v2", "squad_f1", {"base": ["x", "b", "c"], "sft": ["a", "b"]}, ["a", "b", "c"])
    [found] = counted(lines)
    assert score(found, "base", FAST).value == pytest.approx(2 / 3)
    gap = difference(found, "sft", "base", FAST)
    assert gap is not None
    assert (gap.value, gap.n) == (0.5, 2)  # q0: 1 − 0, q1: 1 − 1; q2 was asked of base alone
    [told] = scored([found], how=FAST)
    assert told.differences.keys() == {"sft_minus_base"}
    lonely = written("squad_v2", "squad_f1", {"base": ["a"]}, ["a"])
    assert scored(counted(lonely), how=FAST)[0].differences == {}


def test_two_models_that_never_differ_are_not_known_to_be_the_same():
    [found] = counted(written("squad_v2", "squad_f1", {"a": ["x"] * 9, "b": ["x"] * 9}, ["x"] * 9))
    gap = difference(found, "b", "a", FAST)
    # 1 − 0.025^(1/9) = 0.336: with so few items a share of 34 % of others may have been missed
    assert (gap.value, gap.low, gap.high) == (0, pytest.approx(-0.3363, abs=1e-4), pytest.approx(0.3363, abs=1e-4))
    both, articles = {"a": ["x"] * 90, "b": ["x"] * 90}, [f"g{n // 10}" for n in range(90)]
    [found] = counted(written("squad_v2", "squad_f1", both, ["x"] * 90, articles))
    assert difference(found, "b", "a", FAST).high == pytest.approx(0.3363, abs=1e-4)  # nine articles, not 90 questions


def test_a_group_is_drawn_as_one():
    """Ten questions of each of four articles that a model gets right or wrong as one: 4 witnesses and not 40."""
    right, said = ["x"] * 40, ["x"] * 20 + ["y"] * 20
    [apart] = counted(written("squad_v2", "squad_f1", {"m": said}, right))
    [together] = counted(written("squad_v2", "squad_f1", {"m": said}, right, [f"g{n // 10}" for n in range(40)]))
    alone, grouped = (score(one, "m", FAST) for one in (apart, together))
    assert alone.value == grouped.value == 0.5
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_bleu_is_of_the_corpus():
    from sacrebleu.metrics import BLEU

    right = [
        "the red goat runs over the hill today",
        "it rains and the cow is in the house",
        "a dog says yes to the cat",
    ]
    said = {
        "a": ["the red goat runs over a hill", "it rains and a cow is in the house", "a dog says yes to a cat"],
        "b": ["the goat runs over the hill now", "it rains , the cow is in the house", "the dog says yes to the cat"],
    }
    [found] = counted(written("wmt15_fr_en", "bleu", said, right))
    for model in said:
        theirs = BLEU().corpus_score(said[model], [right]).score / 100
        assert score(found, model, FAST).value == pytest.approx(theirs)
    gap = difference(found, "b", "a", FAST)
    assert gap.value == pytest.approx(score(found, "b", FAST).value - score(found, "a", FAST).value)
    assert gap.low <= gap.value <= gap.high


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Grouped F1-like scores of mean ½: 95 % intervals hold it in 93–97 % of many worlds; here of 300, so within 3σ."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        easy = rng.random(30)  # each article's own ease; the truth is their mean, ½
        values = (rng.random((30, 3)) < easy[:, None]).astype(float).ravel()
        said, groups = ["x" if v else "y" for v in values], [f"g{n // 3:02}" for n in range(90)]
        [found] = counted(written("squad_v2", "squad_f1", {"m": said}, ["x"] * 90, groups))
        interval = score(found, "m", Bootstrap(draws=300))
        held += interval.low <= 0.5 <= interval.high
    assert 0.95 - 3 * (0.95 * 0.05 / 300) ** 0.5 < held / 300 <= 0.99


# The tax over any tasks


def world(seed: int, rates: dict[str, float], count: int = 250) -> list:
    """A task of accuracy and one of F1; a model with a higher rate knows all that a lower one knows."""
    luck = np.random.default_rng(seed).random((2, count))
    lines: list = []
    for nth, (name, metric) in enumerate((("hellaswag", "exact"), ("squad_v2", "squad_f1"))):
        texts = {m: ["x" if u < rate else "y" for u in luck[nth]] for m, rate in rates.items()}
        lines += written(name, metric, texts, ["x"] * count)
    return lines


def test_the_tax_and_its_repair_by_hand():
    # base knows all of 4, PPO 2, ptx 3, in the one task; 4, 3, 4 in the other: means 1, .625, .875.
    lines = written("drop", "exact", {"base": list("xxxx"), "ppo": list("xxyy"), "ppo_ptx": list("xxxy")}, list("xxxx"))
    lines += written(
        "quac", "exact", {"base": list("xxxx"), "ppo": list("xxxy"), "ppo_ptx": list("xxxx")}, list("xxxx")
    )
    found = counted(lines)
    models = ("base", "ppo", "ppo_ptx")
    means = forgotten.over(found, models).once
    assert means.tolist() == [1.0, 0.625, 0.875]
    paid = forgotten.repair(found, *models, FAST)
    assert (paid.lost.value, paid.regained.value, paid.lost.n) == (0.375, 0.25, 8)
    told = forgotten.tasks(found, models, FAST)
    assert told["ppo"].tasks["drop"].value == 0.5
    assert told["ppo"].mean.value == 0.625


def test_the_repair_of_benchmarks_is_that_of_items():
    """The same answers as items with likelihoods and as benchmark lines: the same numbers, and the same intervals."""
    rng = np.random.default_rng(1)
    items, likely, lines = [], [], []
    rates = {"base": 0.9, "ppo": 0.6, "ppo_ptx": 0.8}
    for task in ("a", "b"):
        told = setting(task, "accuracy", asked=120)
        lines.append(told)
        for n in range(120):
            item = Item(task=task, id=f"{n:03}", context="c", choices=("x", "y"), answer=0)
            items.append(item)
            lines.append(Question(task=told.id, id=item.id, context="c", choices=item.choices, right=(0,)))
            luck = rng.random()
            for model, rate in rates.items():
                pair = (-1.0, -2.0) if luck < rate else (-2.0, -1.0)
                for choice, logp in enumerate(pair):
                    one = Likelihood(task=task, item=item.id, choice=choice, run_id=model, logp=logp, tokens=1)
                    likely.append(one)
                    lines.append(one.model_copy(update={"task": told.id}))
    ours = forgotten.repair(counted(lines), "base", "ppo", "ppo_ptx", FAST)
    theirs = tax.repair(items, likely, "base", "ppo", "ppo_ptx", FAST)
    again = forgotten.repair(counted(forgotten.of_items(items, likely)), "base", "ppo", "ppo_ptx", FAST)
    for mine in (ours, again):
        for part in ("lost", "regained", "share"):
            for end in ("value", "low", "high"):
                assert getattr(getattr(mine, part), end) == pytest.approx(getattr(getattr(theirs, part), end))


def test_a_tax_that_is_there_is_found_and_one_that_is_not_is_not():
    paid = forgotten.repair(
        counted(world(0, {"base": 0.9, "ppo": 0.7, "ppo_ptx": 0.85})), "base", "ppo", "ppo_ptx", FAST
    )
    assert paid.share is not None
    assert paid.lost.low > 0.1
    assert paid.share.low < 0.75 < paid.share.high  # (.85 − .7) / (.9 − .7)
    none = forgotten.repair(
        counted(world(1, {"base": 0.8, "ppo": 0.8, "ppo_ptx": 0.8})), "base", "ppo", "ppo_ptx", FAST
    )
    assert none.share is None


def test_a_task_of_few_common_items_does_not_weigh_as_much_as_another():
    # m lacks 21 of the 22 items of drop, say because they are too long for it: its one would be half of the mean.
    lines = written("hellaswag", "exact", {"m": ["x"] * 20, "n": ["y"] * 20}, ["x"] * 20)
    lines += written("drop", "exact", {"m": ["y"], "n": ["x"] * 22}, ["x"] * 22)
    found = counted(lines)
    assert [one.setting.benchmark for one in forgotten.skills(found, ("m", "n"))] == ["hellaswag"]
    told = forgotten.tasks(found, ("m", "n"), FAST)
    assert (told["m"].mean.value, told["n"].mean.value) == (1.0, 0.0)
    assert told["n"].tasks.keys() == {"hellaswag", "drop"}  # shown all the same
    few = counted(written("drop", "exact", {"m": ["x"], "n": ["y"]}, ["x"]))
    assert len(forgotten.skills(few, ("m", "n"))) == 1  # where there is nothing larger


def test_bias_and_truth_are_no_skills():
    lines = chosen("crows_pairs", "entropy", (0,), {"base": [(-1.0, 1), (-1.0, 1)]})
    assert forgotten.tasks(counted(lines), ["base"], FAST) == {}


def test_reckoning_reads_what_was_written(tmp_path):
    lines = world(0, {"base": 0.9, "sft": 0.8, "ppo": 0.6, "ppo_ptx": 0.8}, 30)
    lines = [x.model_copy(update={"left_out": 7}) if isinstance(x, Setting) else x for x in lines]
    settings = [line for line in lines if isinstance(line, Setting)]
    records.write(tmp_path / "one.jsonl", lines)
    # A second file with one more model, and fewer questions: asked at another time, with a limit.
    few = [s.model_copy(update={"asked": 5, "left_out": 0}) for s in settings]
    questions = [line for line in lines if isinstance(line, Question) and int(line.id[1:]) < 5]
    other = [Reply(task=q.task, item=q.id, run_id="other", text="x", finished=True) for q in questions]
    records.write(tmp_path / "two.jsonl", [*few, *questions, *other])
    assert len(read([tmp_path / "one.jsonl", tmp_path / "two.jsonl"])) == len(lines) + len(few) + len(other)
    found = forgotten.reckon([tmp_path / "one.jsonl", tmp_path / "two.jsonl"], how=FAST)
    assert found.repair is not None
    assert {one.label for one in found.scored} == {"hellaswag", "squad_v2"}
    assert all(one.scores["other"].value == 1.0 and one.scores["other"].n == 5 for one in found.scored)
    # The means are over the five items that all were asked; the repair over the thirty of its three models.
    assert found.tasks["base"].mean.n == 10
    assert {one.left_out for one in found.scored} == {7}  # what the longer of the two runs left out
    assert found.repair.lost.n == 60
    assert found.paid.keys() == {"sft", "ppo", "ppo_ptx", "other"}
    lost = found.tasks["base"].mean.value - found.tasks["ppo"].mean.value
    assert found.paid["ppo"].value == pytest.approx(lost)
    assert found.paid["ppo"].n == 10
    assert forgotten.reckon([], how=FAST).paid == {}


def test_lines_that_do_not_belong_together(tmp_path):
    lines = written("drop", "exact", {"m": ["x"]}, ["x"])
    with pytest.raises(ValueError, match="no setting of that name"):
        counted(lines[1:])
    with pytest.raises(ValueError, match="reply of an item q0 that was not asked"):
        counted([lines[0], lines[2]])
    with pytest.raises(ValueError, match="no likelihood for choice 1"):
        counted(chosen("rte", "accuracy", (0,), {"m": [(-1.0, 1), (-2.0, 1)]})[:-1])
    (tmp_path / "bad.jsonl").write_text('{"kind":"reply","task":"t"}\n', encoding="utf-8")
    with pytest.raises(BadRow, match=r"bad\.jsonl, row 1: reply\.item: is missing"):
        read([tmp_path / "bad.jsonl"])


def test_table_14_is_as_printed():
    # Read again from the paper: 175B PPO-ptx on HellaSwag 0-shot .807; 1.3B SFT on SQuADv2 0-shot 36.88.
    assert table14.printed("hellaswag", "plain", 0, "accuracy", "ppo_ptx") == "1.3B 55.2, 6B 69.0, 175B 80.7"
    assert table14.printed("squad_v2", "plain", 0, "squad_f1", "sft") == "1.3B 36.9, 6B 46.5, 175B 57.7"
    assert table14.printed("squad_v2", "plain", 4, "squad_f1", "base") == "1.3B 58.9, 6B 62.3, 175B 69.8"
    assert table14.printed("tldr", "plain", 0, "rouge_l", "base") == "–"  # one of two equal rows is a slip
    assert len(table14.table()) == 24 + 8
    assert set(replies.SCORERS) | {"accuracy", "wsc", "bleu"} == set(forgotten.SKILLS)
