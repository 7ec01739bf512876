"""completions, score and likelihood: models in, records out."""

import pytest
import torch

import tiny
from biddable.config import ConfigError
from biddable.model import causal, reward
from biddable.model.forest import Turns, plant
from biddable.model.reward import RewardModel
from biddable.records import Item
from biddable.sample.completions import SampleConfig, check_rankable, check_room, completions, from_sources
from biddable.sample.likelihood import likelihoods
from biddable.sample.score import score
from biddable.text.tokenizer import answer_ids, prompt_ids

ASKED = [tiny.prompt(text) for text in ("say red", "name a big cow", "yes")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.saved(tmp_path_factory.mktemp("models") / "lm")


def test_k_answers_of_each_of_several_models(folder, tmp_path):
    other = tiny.saved(tmp_path / "other", seed=1)
    config = SampleConfig(k=4, answer_tokens=8, at_once=5)
    made = list(from_sources({"sft": folder, "ppo": other}, ASKED, config, seed=0))
    assert [(c.prompt_id, c.run_id) for c in made] == [
        (p.id, run) for run in ("sft", "ppo") for p in ASKED for _ in range(4)
    ]
    assert len({c.id for c in made}) == len(made)
    assert len({c.text for c in made[:4]}) > 1  # other luck for each


def test_a_completions_logp_is_that_of_its_own_tokens(folder):
    [made] = completions(folder, ASKED[:1], SampleConfig(answer_tokens=30), run_id="r", seed=3)
    lm, tok = causal.load(folder)
    ids = answer_ids(tok, [made.text])[0]
    ids = ids if made.finished else ids[:-1]
    if tok.decode(ids[:-1]) == made.text:  # random weights may write what reads back as other tokens
        logp = causal.answer_logp(lm, plant(Turns(prompt_ids(tok, [ASKED[0].text]), [ids]))).sum().item()
        assert made.logp == pytest.approx(logp, abs=1e-3)  # float32, some 30 tokens
    assert made.logp < 0


def test_the_same_seed_writes_the_same_records(folder):
    config = SampleConfig(k=2, answer_tokens=8)
    one, same, other = (completions(folder, ASKED, config, run_id="r", seed=s) for s in (1, 1, 2))
    assert one == same
    assert [c.text for c in one] != [c.text for c in other]


def test_one_answer_cannot_be_ranked():
    with pytest.raises(ConfigError, match="k: 1 answer to a prompt cannot be ranked"):
        check_rankable(1)
    check_rankable(4)
    check_rankable(1, models=2)


def test_a_prompt_without_room_is_named(folder):
    config = SampleConfig(answer_tokens=125)
    for refuse in (
        lambda: completions(folder, ASKED[:1], config, run_id="r", seed=0),
        lambda: check_room([folder], ASKED[:1], config),
    ):
        with pytest.raises(
            ConfigError,
            match=rf"prompt {ASKED[0].id}: its 4 tokens and answer_tokens=125 exceed the 128 of .* answer_tokens=124 ",
        ):
            refuse()
    check_room([folder], ASKED[:1], SampleConfig(answer_tokens=124))
    long = tiny.prompt("say red " * 100)
    with pytest.raises(ConfigError, match=rf"prompt {long.id}: its \d+ tokens leave no room"):
        check_room([folder], [*ASKED, long], config)
    check_room([folder], [*ASKED, long], SampleConfig(answer_tokens=8, limit=3))  # the long one is not asked


def test_a_limit_takes_the_first_prompts(folder):
    config = SampleConfig(k=2, limit=2, answer_tokens=4)
    made = list(from_sources({"a": folder, "b": folder}, ASKED, config, seed=0))
    assert [c.prompt_id for c in made] == [p.id for _ in range(2) for p in ASKED[:2] for _ in range(2)]


def test_scores_are_the_reward_models(tmp_path):
    tok = tiny.tokenizer()
    net = RewardModel(tiny.llama(tok), torch.Generator().manual_seed(0)).eval()
    folder = reward.save(net, tok, tmp_path / "rm")
    made = completions(folder, ASKED, SampleConfig(k=2, answer_tokens=6), run_id="r", seed=0)
    found = score(folder, {p.id: p for p in ASKED}, made, run_id="rm")
    assert [s.completion_id for s in found] == [c.id for c in made]
    for completion, got in zip(made, found, strict=True):
        text = next(p.text for p in ASKED if p.id == completion.prompt_id)
        [ids] = answer_ids(tok, [completion.text])
        ids = ids if completion.finished else ids[:-1]  # a cut answer has no end to be read at
        with torch.no_grad():
            alone = net(plant(Turns(prompt_ids(tok, [text]), [ids]))).item()
        assert got.value == pytest.approx(alone, abs=1e-4)  # float32


def test_a_likelihood_is_the_sum_over_the_choices_tokens(folder):
    lm, tok = causal.load(folder)
    item = Item(task="t", id="1", context="the cow", choices=(" say red", " no"), answer=0)
    first, second = likelihoods(folder, [item], run_id="r")
    words = tok.convert_tokens_to_ids(["<|begin|>", "the", "cow", "say", "red"])
    logp = lm(input_ids=torch.tensor([words])).logits[0].log_softmax(-1)  # the definition
    assert first.logp == pytest.approx((logp[2, words[3]] + logp[3, words[4]]).item(), abs=1e-4)  # float32
    assert (first.tokens, second.tokens, second.choice) == (2, 1, 1)


def test_a_choice_may_change_how_the_context_is_cut(folder):
    """ "re" + "d" is the one token "red": what differs from the context alone is the choice's."""
    item = Item(task="t", id="1", context="say re", choices=("d",), answer=0)
    [one] = likelihoods(folder, [item], run_id="r")
    assert one.tokens == 1


def test_likelihood_as_a_prompt_uses_the_template(folder):
    lm, tok = causal.load(folder)
    item = Item(task="t", id="1", context="say red", choices=("red",), answer=0)
    [one] = likelihoods(folder, [item], run_id="r", as_="prompt")
    words = tok.convert_tokens_to_ids(["<|begin|>", "say", "red", "\n"])
    logp = lm(input_ids=torch.tensor([words])).logits[0, -1].log_softmax(-1)
    assert one.logp == pytest.approx(logp[tok.convert_tokens_to_ids("red")].item(), abs=1e-4)  # float32


def test_a_choice_without_tokens_is_named(folder):
    item = Item(task="t", id="7", context="say red", choices=("", "no"), answer=0)
    with pytest.raises(ValueError, match="item t/7: a choice has no tokens"):
        likelihoods(folder, [item], run_id="r")
