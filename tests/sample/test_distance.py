"""How far a policy has gone: log π − log π₀ of what it said."""

from pathlib import Path

import pytest
import torch

import tiny
from biddable.model import causal
from biddable.records import Completion, Prompt
from biddable.sample.completions import SampleConfig, completions
from biddable.sample.distance import log_ratios
from biddable.text.tokenizer import answer_ids, prompt_ids


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """A start model, and a policy that has moved away from it."""
    place = tmp_path_factory.mktemp("distance")
    tok = tiny.tokenizer()
    lm = tiny.llama(tok, spread=0.7)
    start = causal.save(lm, tok, place / "start")
    with torch.no_grad():
        for parameter in lm.parameters():
            parameter.mul_(1.1)
    return causal.save(lm, tok, place / "policy"), start


PROMPTS = [tiny.prompt(text, f"u{n}") for n, text in enumerate(["say red", "name a cow", "the big dog say", "yes"])]
BY_ID: dict[str, Prompt] = {prompt.id: prompt for prompt in PROMPTS}


def said(policy: Path, k: int = 8) -> list[Completion]:
    return completions(policy, PROMPTS, SampleConfig(k=k, answer_tokens=8), run_id="ppo", seed=0)


def test_it_is_the_difference_of_two_models_word_by_word(folders):
    """Each answer alone, token by token, by transformers."""
    policy, start = folders
    answers = said(policy, k=2)
    found = {one.completion_id: one.value for one in log_ratios(policy, start, BY_ID, answers, run_id="kl")}
    models = [causal.load(folder) for folder in folders]
    for answer in answers:
        sums = []
        for lm, tokenizer in models:
            [asked], [told] = prompt_ids(tokenizer, [BY_ID[answer.prompt_id]]), answer_ids(tokenizer, [answer.text])
            told = told if answer.finished else told[:-1]
            with torch.no_grad():
                logp = lm(input_ids=torch.tensor([asked + told])).logits[0].double().log_softmax(-1)
            sums.append(sum(float(logp[len(asked) + t - 1, token]) for t, token in enumerate(told)))
        assert found[answer.id] == pytest.approx(sums[0] - sums[1], abs=1e-4)  # float32 logits


def test_turned_round_it_is_its_own_opposite(folders):
    policy, start = folders
    answers = said(policy)
    there = {one.completion_id: one.value for one in log_ratios(policy, start, BY_ID, answers, run_id="kl")}
    back = {one.completion_id: one.value for one in log_ratios(start, policy, BY_ID, answers, run_id="kl")}
    assert all(there[name] == pytest.approx(-back[name], abs=1e-9) for name in there)
    assert min(map(abs, there.values())) > 1e-3


def test_a_policy_that_stayed_is_no_way_off(folders):
    _, start = folders
    assert {one.value for one in log_ratios(start, start, BY_ID, said(start), run_id="kl")} == {0.0}


def test_answers_of_another_temperature_have_no_kl(folders):
    policy, start = folders
    cold = completions(policy, PROMPTS, SampleConfig(temperature=0, answer_tokens=8), run_id="ppo", seed=0)
    with pytest.raises(ValueError, match="was sampled at temperature 0; the KL is of 1"):
        log_ratios(policy, start, BY_ID, cold, run_id="kl")
