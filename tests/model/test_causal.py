import json
import re

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import tiny
from biddable.model import causal
from biddable.model.forest import Turns, plant

PROMPTS = [[1, 50, 51], [1, 60], [1, 52, 53, 54, 55, 4]]
ANSWERS = [[57, 58, 59, 2], [61, 2], [70, 71, 72]]


@pytest.fixture(scope="module")
def tok():
    return tiny.tokenizer()


@pytest.fixture(scope="module")
def lm(tok):
    return tiny.llama(tok)


def slow_logp(lm, prompt, answer, temperature=1.0):
    """The definition: each row alone, all logits, a softmax, the token after each place."""
    logits = lm(input_ids=torch.tensor([[*prompt, *answer]])).logits[0].double() / temperature
    logp = logits.log_softmax(-1)
    return [logp[len(prompt) + t - 1, token].item() for t, token in enumerate(answer)]


def answer_logp(lm, turns, temperature=1.0):
    forest = plant(turns)
    return forest.spread(causal.answer_logp(lm, forest, temperature))


@torch.no_grad()
def test_many_answers_in_one_row_equal_each_alone(lm):
    got = answer_logp(lm, Turns(PROMPTS, ANSWERS))
    for row, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
        assert got[row, : len(answer)].tolist() == pytest.approx(slow_logp(lm, prompt, answer), abs=1e-4)  # float32
        assert got[row, len(answer) :].tolist() == [0.0] * (4 - len(answer))


@torch.no_grad()
def test_logits_are_divided_by_the_temperature(lm):
    got = answer_logp(lm, Turns(PROMPTS[:1], ANSWERS[:1]), temperature=0.5)
    assert got[0].tolist() == pytest.approx(slow_logp(lm, PROMPTS[0], ANSWERS[0], 0.5), abs=1e-4)  # float32


@torch.no_grad()
def test_what_stands_after_an_answer_is_invisible(lm):
    one, other = (answer_logp(lm, Turns(PROMPTS, [ANSWERS[0], answer, ANSWERS[2]])) for answer in ([61, 2], [77, 78]))
    assert torch.equal(one[[0, 2]], other[[0, 2]])
    assert (one[1] - other[1]).abs()[:2].min() > 1e-3


@torch.no_grad()
def test_the_entropy_is_that_of_the_distribution_drawn_from(lm):
    forest = plant(Turns(PROMPTS, ANSWERS))
    _, entropy_M = causal.logp_and_entropy(lm, forest, 0.7)
    logits = lm(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1].double() / 0.7
    slow = torch.distributions.Categorical(logits=logits).entropy()
    assert entropy_M[0].item() == pytest.approx(slow.item(), abs=1e-4)  # float32


def test_pieces_come_back_in_the_order_of_the_turns(lm):
    turns = Turns([*PROMPTS, PROMPTS[0]], [*ANSWERS, [60, 2]])  # the last goes with the first, their prompt being one
    whole, cut = (
        causal.in_pieces(lambda piece: piece.spread(causal.answer_logp(lm, piece)), turns, tokens)
        for tokens in (1000, 9)
    )
    alone = [slow_logp(lm, prompt, answer) for prompt, answer in zip(turns.prompts, turns.answers, strict=True)]
    for found in (whole, cut):
        for row, logp in enumerate(alone):
            assert found[row, : len(logp)].tolist() == pytest.approx(logp, abs=1e-4)  # float32
            assert not found[row, len(logp) :].any()


def test_a_saved_folder_loads_with_transformers_and_generates(tmp_path, tok, lm):
    folder = causal.save(lm, tok, tmp_path / "model")
    other = AutoModelForCausalLM.from_pretrained(folder)
    words = AutoTokenizer.from_pretrained(folder)
    rendered = words.apply_chat_template(
        [{"role": "user", "content": "say red"}], return_tensors="pt", return_dict=True
    )
    out = other.generate(**rendered, max_new_tokens=8, do_sample=False)
    assert out.shape[1] > rendered["input_ids"].shape[1]
    assert other.generation_config.eos_token_id == tok.eos_token_id
    again, _ = causal.load(folder)
    for (name, mine), (_, theirs) in zip(lm.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(mine, theirs), name


def test_saving_replaces_the_folder_and_leaves_nothing_beside_it(tmp_path, tok, lm):
    causal.save(lm, tok, tmp_path / "model")
    (tmp_path / "model" / "old").touch()
    causal.save(lm, tok, tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert not (tmp_path / "model" / "old").exists()


def test_dropout_is_off_after_loading(tmp_path):
    lm, _ = causal.load(tiny.saved(tmp_path / "m"), attention_dropout=0.3)
    assert not lm.training
    assert lm.config.attention_dropout == 0.3
    lm, _ = causal.load(tmp_path / "m")
    assert lm.config.attention_dropout == 0.0  # even if the folder says otherwise


def refusal(folder) -> str:
    with pytest.raises(ValueError, match=re.escape(str(folder))) as caught:
        causal.load(folder)
    [line] = str(caught.value).splitlines()
    return line


def test_a_folder_that_is_not_there(tmp_path):
    assert "no such model folder" in refusal(tmp_path / "nowhere")


def test_a_folder_that_is_no_model(tmp_path):
    assert "no config.json" in refusal(tmp_path)


def test_a_folder_without_weights(tmp_path):
    folder = tiny.saved(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    assert "without weights" in refusal(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt"])
def test_pickled_weights_are_never_loaded(tmp_path, name):
    folder = tiny.saved(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / name)
    assert f"only pickled weights ({name})" in refusal(folder)


def test_weights_with_a_hole(tmp_path):
    folder = tiny.saved(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    assert "the weights lack model.layers.2" in refusal(folder)


def test_a_tokenizer_of_another_model(tmp_path):
    folder = tiny.saved(tmp_path / "m")
    tok = tiny.tokenizer()
    tok.add_tokens(["extra", "words"])
    tok.save_pretrained(folder)
    assert "do not belong together" in refusal(folder)
