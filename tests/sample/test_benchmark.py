"""A real tiny model answers benchmark questions: what is written is what the model does, asked one at a time."""

import os

import pytest
import torch

import tiny
from biddable.benchmarks.nouns import Question, Reply
from biddable.model import causal
from biddable.records import Likelihood, to_line
from biddable.sample import benchmark
from biddable.sample.benchmark import BLOCK, Job, answers

LONG = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """With a byte tokenizer, so that it has line breaks to say."""
    tok = tiny.byte_tokenizer()
    return causal.save(tiny.llama(tok, spread=2.0), tok, tmp_path_factory.mktemp("model") / "model")


def written(count: int, task: str = "t") -> list[Question]:
    return [Question(task=task, id=f"q{n:02}", context="the red dog " * (n % 5) + f"say {n}") for n in range(count)]


def weighed(count: int, task: str = "w") -> list[Question]:
    return [
        Question(task=task, id=f"q{n:02}", context=f"the {n}", choices=(" red dog", " cat", " no"), right=(n % 3,))
        for n in range(count)
    ]


def test_a_reply_is_the_likeliest_tokens_up_to_the_first_line_break(model, tmp_path):
    questions = written(20)
    made = answers(model, [Job(questions, LONG, "page")], tmp_path / "kept", run_id="m")
    lm, tok = causal.load(model)
    broken = 0
    for question, reply in zip(questions, made, strict=True):
        ids = tok(question.context, add_special_tokens=True)["input_ids"]
        ids = ids if ids[0] == tok.bos_token_id else [tok.bos_token_id, *ids]
        told, finished = "", False
        said: list[int] = []
        while len(said) < LONG and not finished:  # the slow definition: one token at a time, all read anew
            with torch.no_grad():
                said.append(int(lm(torch.tensor([ids + said])).logits[0, -1].argmax()))
            told = tok.decode(said, skip_special_tokens=True)
            finished = "\n" in told or said[-1] == tok.eos_token_id
        assert isinstance(reply, Reply)
        assert (reply.text, reply.finished) == (told.partition("\n")[0].strip(), finished)
        broken += "\n" in told
    assert broken  # some do say a line break


def test_a_line_break_may_be_inside_a_token():
    tok = tiny.byte_tokenizer()
    [newline] = tok("\n", add_special_tokens=False)["input_ids"]
    assert newline in benchmark.breaks(tok)
    assert all("\n" in tok.decode([i]) for i in benchmark.breaks(tok))
    dog, cat = (tok(word, add_special_tokens=False)["input_ids"] for word in (" dog", " cat"))
    assert benchmark.first_line(tok, [*dog, newline, *cat]) == "dog"
    assert benchmark.first_line(tok, [newline, *cat]) == ""


def test_choices_are_weighed_as_the_model_weighs_them(model, tmp_path):
    questions = weighed(5)
    made = answers(model, [Job(questions, 0, "page")], tmp_path / "kept", run_id="m")
    lm, tok = causal.load(model)
    found = {(one.item, one.choice): one for one in made if isinstance(one, Likelihood)}
    assert len(found) == len(made) == 15
    for question in questions:
        for nth, choice in enumerate(question.choices):
            given = tok(question.context)["input_ids"]
            whole = tok(question.context + choice)["input_ids"]
            begin = [] if given[0] == tok.bos_token_id else [tok.bos_token_id]
            with torch.no_grad():
                logp = lm(torch.tensor([begin + whole])).logits[0].log_softmax(-1)
            places = range(len(begin) + len(given), len(begin) + len(whole))
            told = sum(float(logp[at - 1, (begin + whole)[at]]) for at in places)
            assert found[question.id, nth].logp == pytest.approx(told, abs=1e-4)  # float32
            assert found[question.id, nth].tokens == len(places)


def test_what_a_kill_left_is_gone_on_with_and_ends_as_it_would_have(model, tmp_path, monkeypatch):
    jobs = [Job(written(2 * BLOCK + 3), 4, "page"), Job(weighed(BLOCK + 1), 0, "page")]
    whole = [to_line(one) for one in answers(model, jobs, tmp_path / "whole", run_id="m")]
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    loads = []
    real = causal.load
    monkeypatch.setattr(benchmark.causal, "load", lambda *a, **k: (loads.append(1), real(*a, **k))[1])
    for cut, torn in (
        (0, b""),
        (1, b""),
        (BLOCK, b'{"kind":"re'),
        (BLOCK + 5, b"{"),
        (len(lines) - 1, b""),
        (len(lines), b""),
    ):
        kept = tmp_path / f"kept-{cut}"
        kept.write_bytes(b"".join(lines[:cut]) + torn)
        told: list[int] = []
        made = answers(model, jobs, kept, run_id="m", advance=told.append)
        assert [to_line(one) for one in made] == whole
        assert sum(told) == 2 * BLOCK + 3 + BLOCK + 1
        before = kept.stat().st_mtime_ns, os.path.getsize(kept)
        assert [to_line(one) for one in answers(model, jobs, kept, run_id="m")] == whole  # and nothing is done twice
        assert before == (kept.stat().st_mtime_ns, os.path.getsize(kept))
    assert len(loads) == 5  # the last was done already


def test_what_does_not_fit_is_known_before_a_model_is_loaded(model, monkeypatch):
    monkeypatch.setattr(benchmark.causal, "load", lambda *_: pytest.fail("weights were loaded"))
    most = causal.context_of(model)
    tok = tiny.byte_tokenizer()
    fits = Question(task="t", id="fits", context="the")
    size = benchmark.lengths(tok, Job([fits], 10, "page"))[0]
    assert size == len(tok("the")["input_ids"]) + 1 + 10  # with the begin token
    assert benchmark.too_long([model], Job([fits], most - size + 10, "page")) == set()
    assert benchmark.too_long([model], Job([fits], most - size + 11, "page")) == {"fits"}
    wide = Question(task="t", id="wide", context="a", choices=("b", " cat" * most), right=(0,))
    assert benchmark.too_long([model], Job([wide], 0, "page")) == {"wide"}


def test_told_as_a_prompt_the_template_stands_around_it(model, tmp_path):
    tok = tiny.byte_tokenizer()
    job = Job(written(2), 3, "prompt")
    told = benchmark.prompts_of(tok, job)
    assert [tok.decode(ids) for ids in told] == [
        f"<s>user\n{question.context}<|end|>\n<s>assistant\n" for question in job.questions
    ]
    assert benchmark.prompts_of(tok, job._replace(told_as="page")) != told
    assert answers(model, [job], tmp_path / "a", run_id="m") != answers(
        model, [job._replace(told_as="page")], tmp_path / "b", run_id="m"
    )
