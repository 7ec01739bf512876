import pytest
import torch

import tiny
from biddable.model import causal
from biddable.model.forest import plant
from biddable.sample import local
from biddable.sample.local import draw, respond

PROMPTS = [[1, 50, 51], [1, 60], [1, 52, 53, 54, 55, 4], [1, 61, 62], [1, 63], [1, 64, 65, 66]]


@pytest.fixture(scope="module")
def tok():
    return tiny.tokenizer()


@pytest.fixture(scope="module")
def lm(tok):
    lm = tiny.llama(tok)
    with torch.no_grad():  # the end token's row made likely, so that answers end at different lengths
        lm.get_input_embeddings().weight[tok.eos_token_id] *= 2.5
    return lm


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def test_the_samplers_logp_is_that_of_a_fresh_forward_pass(lm, tok):
    for temperature in (1.0, 0.7):
        rollout = respond(lm, tok, PROMPTS * 4, 12, generator=seeded(), temperature=temperature)
        with torch.no_grad():
            forest = plant(rollout.turns)
            fresh = forest.spread(causal.answer_logp(lm, forest, temperature))
        assert rollout.mask_BT.sum(1).unique().numel() > 2  # rows did leave at different times
        assert torch.allclose(rollout.logp_BT, fresh, atol=1e-4)  # float32


def test_who_is_asked_beside_it_changes_nothing(lm, tok):
    """A batch of prompts of several lengths answers as each prompt alone; greedy, so that luck plays no part."""
    together = respond(lm, tok, PROMPTS, 12, generator=seeded(), temperature=0)
    for row, prompt in enumerate(PROMPTS):
        alone = respond(lm, tok, [prompt], 12, generator=seeded(), temperature=0)
        assert alone.answers[0] == together.answers[row]
        width = alone.logp_BT.shape[1]
        assert torch.allclose(alone.logp_BT[0], together.logp_BT[row, :width], atol=1e-4)  # float32


def test_samples_of_a_prompt_answer_as_if_each_had_read_it(lm, tok):
    several = [prompt for prompt in PROMPTS for _ in range(4)]
    rollout = respond(lm, tok, several, 12, generator=seeded())
    assert len(set(map(tuple, rollout.answers[:4]))) > 1
    with torch.no_grad():
        fresh = plant(rollout.turns)
        assert torch.allclose(rollout.logp_BT, fresh.spread(causal.answer_logp(lm, fresh)), atol=1e-4)  # float32


def test_greedy_is_what_transformers_generates(lm, tok):
    together = respond(lm, tok, PROMPTS, 12, generator=seeded(), temperature=0)
    for prompt, answer in zip(PROMPTS, together.answers, strict=True):
        ids = torch.tensor([prompt])
        out = lm.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
        assert out[0, len(prompt) :].tolist() == answer


def test_an_answer_stops_at_its_first_end_and_the_rest_is_padding(lm, tok):
    rollout = respond(lm, tok, PROMPTS * 8, 12, generator=seeded())
    assert 0 < rollout.finished_B.float().mean() < 1
    for row, finished in enumerate(rollout.finished_B.tolist()):
        answer = rollout.answers[row]
        assert answer.count(tok.eos_token_id) == int(finished)
        assert (answer[-1] == tok.eos_token_id) == finished
        assert finished or len(answer) == 12
        assert set(rollout.token_BT[row, len(answer) :].tolist()) <= {tok.pad_token_id}
        assert not rollout.mask_BT[row, len(answer) :].any()
        assert not rollout.logp_BT[row, len(answer) :].any()


def test_who_leaves_the_batch_does_not_change_who_stays(lm, tok, monkeypatch):
    monkeypatch.setattr(local, "WORTH_LEAVING", 0.0)  # nobody ever leaves
    stayed = respond(lm, tok, PROMPTS * 8, 12, generator=seeded())
    monkeypatch.setattr(local, "WORTH_LEAVING", 1.0)  # each leaves at once
    left = respond(lm, tok, PROMPTS * 8, 12, generator=seeded())
    assert stayed.answers == left.answers
    assert torch.allclose(stayed.logp_BT, left.logp_BT, atol=1e-4)  # float32


def test_the_same_luck_gives_the_same_answers_and_other_luck_others(lm, tok):
    one, same, other = (respond(lm, tok, PROMPTS, 12, generator=seeded(n)).answers for n in (1, 1, 2))
    assert one == same
    assert one != other


def test_rows_at_once_only_cut_the_work(lm, tok):
    rollout = respond(lm, tok, PROMPTS, 12, generator=seeded(), temperature=0, at_once=4)
    assert rollout.answers == respond(lm, tok, PROMPTS, 12, generator=seeded(), temperature=0).answers
    assert list(rollout.prompts) == PROMPTS


def test_no_room_for_the_answer(lm, tok):
    with pytest.raises(ValueError, match="prompt and 126 new tokens are 132 tokens; the model takes 128"):
        respond(lm, tok, PROMPTS, 126, generator=seeded())


def test_draw_takes_the_token_where_the_sum_passes_the_luck():
    logit = torch.tensor([[0.2, 0.0, 0.5, 0.3]]).log().expand(6, 4)
    # sums by hand: .2 .2 .7 1; a token of probability 0 has no luck of its own, not even at its border
    luck = torch.tensor([0.0, 0.199, 0.201, 0.699, 0.701, 0.9999999], dtype=torch.float64)
    chosen, logp = draw(logit, 1.0, luck)
    assert chosen.tolist() == [0, 0, 2, 2, 3, 3]
    assert logp.exp().tolist() == pytest.approx([0.2, 0.2, 0.5, 0.5, 0.3, 0.3], rel=1e-5)  # float32


def test_no_luck_draws_a_token_of_probability_0():
    logit = torch.tensor([[0.0, 0.25, 0.75]]).log()
    chosen, logp = draw(logit, 1.0, torch.zeros(1, dtype=torch.float64))  # the least luck there is
    assert chosen.tolist() == [1]
    assert logp.isfinite().all()


def test_draw_divides_logits_by_the_temperature():
    # p ∝ q^(1/T): at T = 1/2, .2 .8 → .04 .64, so .04/.68 = .0588
    logit = torch.tensor([[0.2, 0.8]]).log().expand(2, 2)
    chosen, logp = draw(logit, 0.5, torch.tensor([0.058, 0.060], dtype=torch.float64))
    assert chosen.tolist() == [0, 1]
    assert logp.exp().tolist() == pytest.approx([0.04 / 0.68, 0.64 / 0.68], rel=1e-5)  # float32
