"""Pairs are asked in both orders, kept as they come, and become verdicts; the verb, end to end, with a real server."""

import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from planted import failed, serving
from typer.testing import CliRunner

import warm
from biddable import records, runs
from biddable.cli import app
from biddable.hamlet import answers as answer_of
from biddable.hamlet import people
from biddable.hamlet import world as world_of_hamlet
from biddable.judge import JudgeConfig, load, pairs_to_ask
from biddable.judge.asking import ORDERS, answered, questions
from biddable.measure.results import Results
from biddable.records import Completion, Group, Labeler, Prompt, Verdict
from biddable.store import open_store

KEY = "sk-secret-4711"
N = 12


@pytest.fixture
def served():
    with serving() as server:
        yield server


def world(asked: bool = True) -> tuple[list[Prompt], list[Completion], list[Verdict]]:
    """ppo answers well on even prompts and sft on odd ones; sft's answers are longer. People say what is so, mostly."""
    prompts = [Prompt.make(f"Question {n} of many", split="test") for n in range(N)]
    answers, said = [], []
    for n, prompt in enumerate(prompts):
        texts = {"ppo": "good" if n % 3 else "poor", "sft": "poor and long" if n % 3 else "good and long"}
        two = {m: Completion.make(prompt.id, text, f"{m}@1a2b3c4d") for m, text in texts.items()}
        answers += two.values()
        better = "a" if n % 3 else "b"
        for who in ("ann", "eve", "joe"):
            side = better if (n, who) != (1, "joe") else "tie"
            said.append(
                Verdict(prompt_id=prompt.id, a=two["ppo"].id, b=two["sft"].id, better=side, judge="person", labeler=who)
            )
    return prompts, answers, said if asked else []


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIDDABLE_QUIET", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("BIDDABLE_JUDGE_KEY", KEY)
    monkeypatch.delenv("BIDDABLE_STORE", raising=False)
    assert CliRunner().invoke(app, ["init", "p"]).exit_code == 0
    monkeypatch.chdir(tmp_path / "p")
    fill(tmp_path / "p", *world())
    return tmp_path / "p"


def fill(folder: Path, prompts, answers, said) -> None:
    groups: dict[str, Group] = {"ann": "training", "eve": "training", "joe": "held_out"}
    team = [Labeler(id=who, group=group) for who, group in groups.items()]
    with open_store(str(folder / "store.db")) as store:
        store.add_many([*prompts, *answers, *team, *said])


def ask(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def judge(served, model: str, *more: object):
    found = ask("judge", "ppo", "sft", "--url", served.url, "--model", model, *more)
    assert found.exit_code == 0, found.output
    return found.output


def verdicts(folder: Path) -> list[Verdict]:
    (path,) = folder.glob("runs/judge-*/verdicts.jsonl")
    return [record for record in records.read(path) if isinstance(record, Verdict)]


def measured(folder: Path) -> tuple[Results, str]:
    assert ask("measure").exit_code == 0
    assert ask("report").exit_code == 0
    newest = max(folder.glob("runs/measure-*/results.json"), key=lambda path: path.stat().st_mtime_ns)
    page = re.sub(r"</?span[^>]*>", "", (folder / "report.html").read_text(encoding="utf-8"))
    return Results.model_validate_json(newest.read_bytes()), page.replace("\u00a0", " ")


# Pairs and questions


def test_pairs_that_people_compared_come_first():
    prompts, answers, said = world()
    models = {c.id: c.run_id.partition("@")[0] for c in answers}
    by_id = {p.id: p for p in prompts}
    third = said[3 * 3]  # people compared one pair only, and named sft first
    turned = third.model_copy(update={"a": third.b, "b": third.a})
    pairs = pairs_to_ask(by_id, answers, models, ("ppo", "sft"), [turned])
    assert len(pairs) == N
    assert pairs[0].prompt.id == third.prompt_id
    assert [(models[pair.a.id], models[pair.b.id]) for pair in pairs] == [("ppo", "sft")] * N
    assert len({pair.prompt.id for pair in pairs}) == N
    assert pairs_to_ask(by_id, answers, models, ("ppo", "sft"), [turned], limit=3) == pairs[:3]


def test_each_pair_is_asked_both_ways():
    prompts, answers, _ = world()
    models = {c.id: c.run_id.partition("@")[0] for c in answers}
    pairs = pairs_to_ask({p.id: p for p in prompts}, answers, models, ("ppo", "sft"))
    asked = list(questions(pairs, load("pair"), "j"))
    assert [one.shown for one in asked] == [*ORDERS] * N
    assert len({one.key for one in asked}) == 2 * N
    assert {one.key for one in asked}.isdisjoint(one.key for one in questions(pairs, load("pair"), "another"))
    there, back = asked[0].messages[-1]["content"], asked[1].messages[-1]["content"]
    assert there.index(pairs[0].a.text) < there.index(pairs[0].b.text)
    assert back.index(pairs[0].b.text) < back.index(pairs[0].a.text)


# The verb


def test_a_truthful_judge_end_to_end(project, served):
    told = judge(served, "truthful")
    assert (
        f"{2 * N} of {2 * N} answers are verdicts; 0 could not be read, 0 were refused; 2,400 tokens asked and 72"
        in told
    )
    found = verdicts(project)
    assert len(found) == 2 * N
    (name,) = {verdict.labeler for verdict in found}
    assert name.startswith("truthful@")
    _, _, said = world()
    true = {(v.a, v.b): v.better for v in said if v.labeler == "ann"}
    assert all(verdict.better == true[verdict.a, verdict.b] for verdict in found)  # in both orders
    results, page = measured(project)
    (one,) = results.preference.judges
    assert one.word == "above chance"
    assert one.rates["ppo_vs_sft"].value == pytest.approx(8 / N)
    assert one.agrees.value == pytest.approx((3 * N - 0.5) / (3 * N))  # joe tied once
    assert one.people.value == pytest.approx((3 * N - 1) / (3 * N))  # his two meetings, half each
    assert (one.flipped.value, one.first.value, one.common) == (0, 0.5, N)
    assert one.tally.tokens_in == 2400
    assert "it agrees with a person on" in page
    assert results.human_win_rate.keys() == {"ppo_vs_sft"}  # a machine's verdicts are no person's


def hamlet(n: int) -> tuple[list[Prompt], list[Completion], list[Verdict], list[Verdict]]:
    """Careful answers against careless ones to Hamlet's prompts; what its people say of some, and the truth of all."""
    rng = random.Random(1)
    prompts = [p.model_copy(update={"split": "test"}) for p in world_of_hamlet.prompts(3, n)]
    prompts = list({p.id: p for p in prompts}.values())
    answers, said, gold = [], [], []
    for number, prompt in enumerate(prompts):
        task = people.understood(prompt)
        two = [
            Completion.make(prompt.id, text, f"{model}@1a2b3c4d")
            for model, text in (("ppo", answer_of.write(task, rng, answer_of.Care())), ("sft", "na na the goat"))
        ]
        if number % 5 == 0:
            two[1] = two[1].model_copy(update={"text": two[0].text})  # as good
        answers += two
        gold.append(people.gold(prompt, *two))
        said += [people.compare(person, prompt, *two) for person in people.crowd(1)[number % 20 :: 20] if number % 2]
    return prompts, answers, said, gold


def test_in_hamlet_a_true_judge_finds_the_truth(tmp_path, monkeypatch, served):
    """Its truth is planted: the endpoint knows it, and what comes out at the other end is the truth's own win rate."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIDDABLE_QUIET", "1")
    assert ask("init", "h").exit_code == 0
    monkeypatch.chdir(tmp_path / "h")
    prompts, answers, said, gold = hamlet(60)
    with open_store("store.db") as store:
        team = [Labeler(id=person.name, group=person.group) for person in people.crowd(1)]
        store.add_many([*prompts, *answers, *team, *said])
    judge(served, "true", "--at-once", 8)
    judge(served, "places", "--at-once", 8)
    places, true = measured(tmp_path / "h")[0].preference.judges
    rate = sum({"a": 1.0, "b": 0.0, "tie": 0.5}[v.better] for v in gold) / len(gold)
    assert true.rates["ppo_vs_sft"].value == pytest.approx(rate)
    assert (true.word, true.flipped.value) == ("above chance", 0)
    assert places.rates["ppo_vs_sft"].value == 0.5
    assert places.agrees.high < true.agrees.low


def test_a_judge_that_looks_at_places_is_found_out(project, served):
    judge(served, "places")
    (one,) = measured(project)[0].preference.judges
    assert (one.flipped.value, one.first.value, one.rates["ppo_vs_sft"].value) == (1, 1, 0.5)
    assert one.word == "no better than chance"


def test_a_judge_that_looks_at_length_is_found_out(project, served):
    judge(served, "longer")
    results, page = measured(project)
    (one,) = results.preference.judges
    assert (one.flipped.value, one.longer.value, one.rates["ppo_vs_sft"].value) == (0, 1, 0)
    assert one.longer_people.value == pytest.approx(4 * 3 / 35)  # people: a third of the prompts; one tie left out
    assert one.word == "no better than chance"
    assert "It prefers the longer answer in 100 %" in page


def test_answers_that_cannot_be_read_are_counted_and_never_guessed(project, served):
    told = judge(served, "nonsense")
    assert f"0 of {2 * N} answers are verdicts; {2 * N} could not be read" in told
    assert verdicts(project) == []
    assert ask("measure").exit_code == 0


def test_refusals_and_silence_are_told_apart(project, served):
    assert f"0 could not be read, {2 * N} were refused" in judge(served, "refuses")
    assert f"{2 * N} could not be read, 0 were refused" in judge(served, "mute")


def test_reasons_are_read_by_their_last_line(project, served):
    told = judge(served, "aloud", "--template", "reasons")
    assert f"{2 * N} of {2 * N} answers are verdicts" in told


def test_a_pair_of_which_one_order_was_read_counts_nowhere(project, served):
    served.trouble = lambda nth: failed(400) if nth == 0 else None
    judge(served, "truthful", "--at-once", 1)
    (one,) = measured(project)[0].preference.judges
    assert (one.pairs, one.alone, one.tally.refused) == (N - 1, 1, 1)


def test_without_people_it_is_not_checked(tmp_path, monkeypatch, served):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIDDABLE_QUIET", "1")
    assert ask("init", "q").exit_code == 0
    monkeypatch.chdir(tmp_path / "q")
    fill(Path(), *world(asked=False))
    judge(served, "truthful")
    results, page = measured(tmp_path / "q")
    (one,) = results.preference.judges
    assert (one.word, one.agrees, one.common) == ("not checked against people", None, 0)
    assert "is not checked against people" in page
    assert results.human_win_rate == {}


def test_other_prompts_than_those_asked_for_do_not_count(project, served):
    judge(served, "truthful")
    assert len(measured(project)[0].preference.judges) == 1
    more = Prompt.make("Question of the train split", split="train")
    with open_store("store.db") as store:
        store.add_many([more, *(Completion.make(more.id, "good", f"{m}@1a2b3c4d") for m in ("ppo", "sft"))])
    judge(served, "truthful", "--split", "all")
    assert len(served.asked) == 2 * N + 2
    assert measured(project)[0].preference.judges[0].pairs == N
    assert "nothing to measure" in ask("measure", "--split", "valid").stderr


def test_the_terminal_tells_a_judges_worth_before_its_rates(project, served):
    judge(served, "longer")
    told = ask("measure").output.replace("\u00a0", " ")
    worth, rates = (
        told.index("is not shown to be better than chance: it agrees with a person on"),
        told.index("its win rates:"),
    )
    assert worth < rates
    assert "its win rates: PPO over SFT 0 % (0–" in told


# The manifest and the key


def test_the_manifest_has_the_template_and_no_key(project, served):
    judge(served, "truthful", "--limit", 2)
    (folder,) = project.glob("runs/judge-*")
    manifest = runs.read_manifest(folder)
    assert manifest.config["text"] == load("pair").text
    assert manifest.config["url"] == served.url
    assert (manifest.config["model"], manifest.config["temperature"]) == ("truthful", 0.0)
    assert served.headers[0]["authorization"] == f"Bearer {KEY}"
    for path in [path for path in project.rglob("*") if path.is_file()]:
        assert KEY.encode() not in path.read_bytes(), path


def test_another_template_or_model_is_another_judge():
    made = {"model": "m", "url": "u", "template": "pair", "text": "t", "models": ("a", "b")}
    name = JudgeConfig(**made).name
    assert JudgeConfig(**made | {"limit": 5, "models": ("c", "b")}).name == name
    assert len({JudgeConfig(**made | {key: "other"}).name for key in ("model", "url", "text")} | {name}) == 4


# Stopped and gone on with


def test_a_larger_limit_asks_only_what_is_missing(project, served):
    judge(served, "truthful", "--limit", 4)
    assert len(served.asked) == 8
    judge(served, "truthful")
    assert len(served.asked) == 2 * N
    assert f"runs/{next(project.glob('runs/judge-*')).name}" not in judge(served, "places", "--limit", 1)
    assert len(served.asked) == 2 * N + 2
    results, _ = measured(project)
    assert [(one.judge.partition("@")[0], one.pairs) for one in results.preference.judges] == [
        ("places", 1),
        ("truthful", N),
    ]
    assert "is done already" in judge(served, "truthful")


def test_an_endpoint_that_fails_midway_keeps_what_was_answered(project, served):
    served.trouble = lambda nth: failed(500) if nth >= 7 else None
    stopped = ask("judge", "ppo", "sft", "--url", served.url, "--model", "truthful", "--at-once", 1, "--tries", 1)
    assert stopped.exit_code == 2
    assert "what was answered is kept, and the same command asks only what is missing" in stopped.stderr
    assert len(answered(project / "runs")) == 7
    served.trouble, before = lambda _nth: None, len(served.asked)
    judge(served, "truthful")
    assert len(served.asked) - before == 2 * N - 7
    assert len(verdicts(project)) == 2 * N


def test_killed_at_any_moment_it_asks_only_what_is_missing(project, served):
    """SIGKILL to a real process while answers come in, three times; each answer that came is asked for once."""
    served.trouble = lambda _nth: 0.15
    verb = ["judge", "ppo", "sft", "--url", served.url, "--model", "truthful", "--at-once", "2"]
    for enough in (3, 8, 14):
        quiet = os.environ | {"BIDDABLE_QUIET": "1"}
        process = warm.labeling(verb, stdout=subprocess.DEVNULL, env=quiet)
        while len(served.asked) < enough and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = answered(project / "runs")
    assert 3 <= len(kept) < 2 * N
    (journal,) = project.glob("runs/judge-*/answers.jsonl")
    with journal.open("a") as file:
        file.write('{"key": "torn')  # a line that a kill cut short
    served.trouble, before = lambda _nth: None, len(served.asked)
    judge(served, "truthful")
    assert len(served.asked) - before == 2 * N - len(kept)
    assert len(verdicts(project)) == 2 * N
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_so_many_at_once_and_no_more(project, served):
    served.trouble = lambda _nth: 0.1
    judge(served, "truthful", "--at-once", 3)
    assert served.most_together == 3


# What a user can mend


def test_complaints_are_one_line(project, served):
    at = ("--url", served.url, "--model", "truthful")
    for words, told in (
        (("ppo", "base", *at), "base: no answers of it are stored on these prompts; there are answers of: ppo, sft"),
        (("ppo", "ppo", *at), "ppo: name two different models"),
        (("ppo", "sft", "--url", "localhost:1", "--model", "m"), "is no address"),
        (("ppo", "sft", "--url", "http://ann:pw@h/v1", "--model", "m"), "has a name or password in it"),
        (("ppo", "sft", *at, "--template", "no.txt"), "--template no.txt: No such file"),
    ):
        found = ask("judge", *words)
        assert found.exit_code == 2, words
        assert len(found.stderr.splitlines()) == 1
        assert told in found.stderr
    assert not list(project.glob("runs/judge-*"))
    assert served.asked == []


def test_a_key_that_is_refused_leaves_one_line(project, served):
    served.trouble = lambda _nth: failed(401, "bad key")
    found = ask("judge", "ppo", "sft", "--url", served.url, "--model", "truthful")
    assert found.exit_code == 2
    assert "status 401: bad key; is BIDDABLE_JUDGE_KEY set and right?" in found.stderr
    assert KEY not in found.output + found.stderr
