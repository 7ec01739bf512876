"""TRL's own trainers as a second opinion: one model, one batch, their `compute_loss` beside our equations.

A trainer is built as its user builds it and makes its own batch; of that batch our side takes the tokens and labels and
nothing else. Compared are the loss and its gradient in every weight. Where TRL means something else by a name, the test
says so and converts. TRL 1.16 has no PPO any more, so GAE and the value's loss are not here; the policy's clip is, in
RLOO and GRPO.

TRL and `datasets` are imported where a trainer is built, so that no other test pays for them.
"""

import importlib
import random
import socket

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM, LlamaForSequenceClassification

from biddable.losses.dpo import dpo_loss, kto_loss, kto_reference, orpo_loss, simpo_loss
from biddable.losses.group import group_advantage, grpo_loss, leave_one_out
from biddable.losses.kl import k1, k3
from biddable.losses.masked import masked_mean
from biddable.losses.ppo import clip_fraction, policy_loss
from biddable.losses.reward import ranking_loss
from biddable.losses.sft import nll, token_logp
from tiny import llama, saved, tokenizer

# ORPO and SimPO live there; and TRL calls what transformers 5 has renamed.
pytestmark = [
    pytest.mark.filterwarnings("ignore:You are importing from .trl.experimental"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # float64; the sums of two implementations in two orders
# Most of TRL's heads make log-probabilities in float32, whatever the model is in,
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}
SUMS32 = {"rtol": 1e-4, "atol": 1e-5}  # and of a whole answer, some 90 below 0, float32 keeps 4e-6

PAIRS = [
    {"prompt": "say the name", "chosen": " red dog", "rejected": " blue cow yes no"},
    {"prompt": "name a big dog", "chosen": " yes yes the red one", "rejected": " no"},
    {"prompt": "one two", "chosen": " three", "rejected": " two two"},
    {"prompt": "say a", "chosen": " green cat", "rejected": " big big big"},
]
ANSWERS = [
    {"prompt": pair["prompt"], "completion": pair[side], "label": side == "chosen"}
    for pair, side in zip(PAIRS, ["chosen", "chosen", "rejected", "chosen"], strict=True)
]


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No network, no telemetry, and the global generators as they were."""
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    python, numbers = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    random.setstate(python)
    np.random.set_state(numbers)
    assert not asked


@pytest.fixture
def train(tmp_path):
    """A trainer of TRL's by its name, and the one batch that it makes of its rows."""

    def build(name, rows, *, model=None, place="trl", setup=None, **settings):
        from datasets import Dataset

        module = importlib.import_module(place)
        config = getattr(module, f"{name}Config")(
            output_dir=str(tmp_path), use_cpu=True, bf16=False, activation_checkpointing=False, report_to="none",
            disable_tqdm=True, dataloader_pin_memory=False, per_device_train_batch_size=len(rows), **settings,
        )  # fmt: skip
        trainer = getattr(module, f"{name}Trainer")(
            model=model or policy(), args=config, train_dataset=Dataset.from_list(rows), processing_class=words(),
            **(setup or {}),
        )  # fmt: skip
        trainer.model.eval()
        return trainer

    return build


def policy(seed=0):
    return llama(words(), seed).double()


def words():
    tok = tokenizer()
    tok.padding_side = "right"
    return tok


def one_batch(trainer):
    return next(iter(trainer.get_train_dataloader()))


def logps(model, token_BS, counts_BS, attends_BS):
    """log p of each place's token, 0 where it does not count, by our own product with the head."""
    hidden_BSD = model.model(token_BS, attention_mask=attends_BS).last_hidden_state
    counts_BS = counts_BS[:, 1:].bool()
    found_n, entropy_n = token_logp(hidden_BSD[:, :-1][counts_BS], model.lm_head.weight, token_BS[:, 1:][counts_BS])
    nothing_BS = hidden_BSD.new_zeros(counts_BS.shape)
    return nothing_BS.masked_scatter(counts_BS, found_n), nothing_BS.masked_scatter(counts_BS, entropy_n), counts_BS


def halves(model, batch, prefix=""):
    """Whole answers: log-probabilities and lengths."""
    logp_BS, _, counts_BS = logps(
        model, batch[f"{prefix}input_ids"], batch[f"{prefix}completion_mask"], batch[f"{prefix}attention_mask"]
    )
    return logp_BS.sum(1), counts_BS.sum(1)


def same(model, theirs, ours, close=FLOAT32):
    """The same loss, and the same gradient in every weight."""
    torch.testing.assert_close(ours.double(), theirs.double(), **close)
    weights = list(model.parameters())
    gradients = [torch.autograd.grad(loss, weights) for loss in (ours, theirs)]
    assert any(gradient.any() for gradient in gradients[0])
    for our, their in zip(*gradients, strict=True):
        torch.testing.assert_close(our, their, **close)


# likelihood


@pytest.mark.parametrize("chunk", [1, 3, 128])
def test_nll_is_that_of_sft(train, chunk):
    rows = [{"prompt": pair["prompt"], "completion": pair["chosen"]} for pair in PAIRS]
    trainer = train("SFT", rows)
    batch, model = one_batch(trainer), trainer.model
    hidden_BSD = model.model(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state[:, :-1]
    label_BS = batch["labels"][:, 1:]
    counts_BS = label_BS != -100
    assert 0 < counts_BS.sum() < batch["attention_mask"].sum()  # the answers alone
    ours = nll(hidden_BSD[counts_BS], model.lm_head.weight, label_BS[counts_BS], chunk)
    same(model, trainer.compute_loss(model, dict(batch)), ours)
    _, entropy_n = token_logp(hidden_BSD[counts_BS], model.lm_head.weight, label_BS[counts_BS], chunk)
    assert trainer._metrics["eval"]["entropy"][-1] == pytest.approx(entropy_n.mean().item(), rel=1e-6)


# rankings


@pytest.mark.parametrize("margin", [False, True])
def test_the_ranking_loss_of_two_is_that_of_the_reward_trainer(train, margin):
    """TRL's margin is the pair's; ours is by how much the better one's grade is ahead."""
    margins = [0.5, 0.0, 2.0, 1.25]
    rows = [pair | ({"margin": m} if margin else {}) for pair, m in zip(PAIRS, margins, strict=True)]
    config = policy().config
    config.num_labels = 1
    judge = LlamaForSequenceClassification(config).double()
    trainer = train("Reward", rows, model=judge, disable_dropout=True)
    batch = one_batch(trainer)
    score_N = judge(batch["input_ids"], attention_mask=batch["attention_mask"]).logits.squeeze(1)
    rank_N, group_N = torch.tensor([1] * 4 + [2] * 4), torch.arange(4).repeat(2)
    grade_N = torch.cat((batch["margin"].double(), torch.zeros(4))) if margin else None
    same(judge, trainer.compute_loss(judge, dict(batch)), ranking_loss(score_N, rank_N, group_N, grade=grade_N), EXACT)


# preferences


@pytest.mark.parametrize("kind", ["sigmoid", "ipo", "hinge"])
def test_dpo(train, kind):
    """TRL's IPO divides each answer's log-probability by its length; ours takes sums, as the paper prints it."""
    trainer = train("DPO", PAIRS, setup={"ref_model": policy(1)}, loss_type=[kind], beta=0.3)
    batch, model = one_batch(trainer), trainer.model
    (logp_N, length_N), (ref_N, _) = halves(model, batch), halves(trainer.ref_model, batch)
    if kind == "ipo":
        logp_N, ref_N = logp_N / length_N, ref_N / length_N
    ours = dpo_loss(*logp_N.chunk(2), *ref_N.detach().chunk(2), beta=0.3, kind=kind)
    same(model, trainer.compute_loss(model, dict(batch)), ours)


def test_kto(train):
    """Its reference point too: rows that ask each prompt about its neighbour's answer."""
    trainer = train(
        "KTO", ANSWERS, model=policy(1), setup={"ref_model": policy()}, beta=0.3, desirable_weight=1.2,
        undesirable_weight=0.7,
    )  # fmt: skip
    batch, model = one_batch(trainer), trainer.model
    (logp_N, _), (ref_N, _) = halves(model, batch), halves(trainer.ref_model, batch)
    stray, ref_stray = (halves(asked, batch, "KL_")[0] for asked in (model, trainer.ref_model))
    kl = kto_reference(stray, ref_stray)
    assert kl > 0
    ours = kto_loss(logp_N, ref_N.detach(), batch["label"].bool(), kl, 0.3, 1.2, 0.7)
    same(model, trainer.compute_loss(model, dict(batch)), ours)
    assert trainer._metrics["eval"]["kl"][-1] == pytest.approx(kl.item(), abs=1e-5)


def reference_free(model, batch):
    """What both trainers of `trl.experimental` hand over: chosen and rejected, each padded by itself."""
    sides = []
    for side in ("chosen", "rejected"):
        counts_BS = batch[f"{side}_labels"] != -100
        logp_BS, _, counts_BS = logps(model, batch[f"{side}_input_ids"], counts_BS, batch[f"{side}_attention_mask"])
        sides.append((logp_BS.sum(1), counts_BS.sum(1)))
    (chosen_B, chosen_length_B), (rejected_B, rejected_length_B) = sides
    return chosen_B, rejected_B, chosen_length_B, rejected_length_B


def test_simpo(train):
    trainer = train(
        "CPO", PAIRS, place="trl.experimental.cpo", loss_type="simpo", beta=2.0, simpo_gamma=0.7, cpo_alpha=0.0
    )
    batch, model = one_batch(trainer), trainer.model
    ours = simpo_loss(*reference_free(model, batch), beta=2.0, gamma=0.7)
    same(model, trainer.compute_loss(model, batch), ours, EXACT)


def test_label_smoothing(train):
    """CPO is DPO beside a reference that gives every answer the same probability."""
    trainer = train(
        "CPO", PAIRS, place="trl.experimental.cpo", loss_type="sigmoid", beta=0.3, label_smoothing=0.2, cpo_alpha=0.0
    )
    batch, model = one_batch(trainer), trainer.model
    chosen_B, rejected_B, *_ = reference_free(model, batch)
    nothing_B = torch.zeros_like(chosen_B)
    ours = dpo_loss(chosen_B, rejected_B, nothing_B, nothing_B, beta=0.3, label_smoothing=0.2)
    same(model, trainer.compute_loss(model, batch), ours, EXACT)


def test_orpo(train):
    """The whole objective: TRL's likelihood is of prompt and answer together, and its odds are made in float32."""
    trainer = train("ORPO", PAIRS, place="trl.experimental.orpo", beta=0.4)
    batch, model = one_batch(trainer), trainer.model
    read_BS = batch["chosen_attention_mask"]
    logp_BS, _, counts_BS = logps(model, batch["chosen_input_ids"], read_BS, read_BS)
    ours = -masked_mean(logp_BS, counts_BS) + 0.4 * orpo_loss(*reference_free(model, batch))
    same(model, trainer.compute_loss(model, batch), ours)


# policy gradients

LONGEST = 20


def rewarded(completion_ids, **_):
    """A number for each answer, none like another's."""
    return [float(sum((nth + 1) * token for nth, token in enumerate(ids)) % 97) / 50 for ids in completion_ids]


def rollout(train, folder, name, **settings):
    """Two prompts and four answers each, sampled, judged and credited by TRL."""
    rows = [{"prompt": pair["prompt"]} for pair in PAIRS[:2] for _ in range(4)]
    # The reference is made of the folder that the policy came from, which has moved since.
    learner = LlamaForCausalLM.from_pretrained(saved(folder, seed=1), dtype=torch.float64)
    with torch.no_grad():
        for weight, other in zip(learner.parameters(), policy().parameters(), strict=True):
            weight.lerp_(other, 0.05)
    trainer = train(
        name, rows, model=learner, setup={"reward_funcs": rewarded}, num_generations=4, seed=3,
        max_completion_length=LONGEST, temperature=1.0, gradient_accumulation_steps=1, **settings,
    )  # fmt: skip
    trainer.model.train()
    sampled = trainer._generate_and_score_completions(rows)
    trainer.model.eval()
    score_PS = torch.tensor(trainer._logs["rewards"]["rewarded"], dtype=torch.float64).view(2, 4)
    assert (score_PS.std(1) > 0).all()  # there is something to compare,
    assert not sampled["completion_mask"].all()  # and something to hide
    return trainer, sampled, score_PS


def answers(model, sampled):
    """log p, its entropy, and the mask, of the sampled tokens alone."""
    token_BS = torch.cat((sampled["prompt_ids"], sampled["completion_ids"]), 1)
    attends_BS = torch.cat((sampled["prompt_mask"], sampled["completion_mask"]), 1)
    counts_BS = torch.cat((torch.zeros_like(sampled["prompt_mask"]), sampled["completion_mask"]), 1)
    places = sampled["completion_ids"].shape[1]
    return [x[:, -places:] for x in logps(model, token_BS, counts_BS, attends_BS)]


def moved(trainer):
    """Another policy than the one that sampled, so that ratios are not 1."""
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight.mul_(1.03)
    return trainer.model


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_rloo(train, tmp_path, beta):
    """Its KL is a part of the score, once for a whole answer; its clip is PPO's, of a whole answer as one action."""
    trainer, sampled, score_PS = rollout(train, tmp_path / "model", "RLOO", beta=beta)
    old_BT = answers(trainer.model, sampled)[0].detach()
    if beta:
        ref_BT, *_ = answers(trainer.ref_model, sampled)
        score_PS = score_PS - beta * k1(old_BT, ref_BT).detach().sum(1).view(2, 4)
    advantage_PS = leave_one_out(score_PS)
    torch.testing.assert_close(advantage_PS.flatten(), sampled["advantages"].double(), **FLOAT32)
    model = moved(trainer)
    logp_B1 = answers(model, sampled)[0].sum(1, keepdim=True)
    old_B1, all_B1 = old_BT.sum(1, keepdim=True), torch.ones_like(logp_B1, dtype=torch.bool)
    given = logp_B1, old_B1, sampled["advantages"].double()[:, None], all_B1, 0.2
    same(model, trainer.compute_loss(model, sampled), policy_loss(*given), SUMS32)
    assert trainer._metrics["eval"]["clip_ratio/region_mean"][-1] == pytest.approx(clip_fraction(*given).item())


@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["grpo", "dr_grpo"])
def test_grpo(train, tmp_path, kind, beta):
    """TRL divides by the unbiased deviation + 1e-4, ours by the biased one with 1e-8 inside the root.

    By default TRL also multiplies the KL by the ratio (DeepSeek-V3.2); ours is GRPO's own, and TRL's when told so.
    """
    scales = kind == "grpo"
    trainer, sampled, score_PS = rollout(
        train, tmp_path / "model", "GRPO", beta=beta, loss_type=kind, scale_rewards="group" if scales else "none",
        num_iterations=2, use_bias_correction_kl=False,
    )  # fmt: skip
    advantage_PS = group_advantage(score_PS, scale=scales)
    if scales:
        ours_P1 = (score_PS.var(1, correction=0, keepdim=True) + 1e-8).sqrt()
        advantage_PS = advantage_PS * ours_P1 / (score_PS.std(1, correction=1, keepdim=True) + 1e-4)
    torch.testing.assert_close(advantage_PS.flatten(), sampled["advantages"].double(), **FLOAT32)
    old_BT, _, mask_BT = (x.detach() for x in answers(trainer.model, sampled))
    model = moved(trainer)
    logp_BT, entropy_BT, _ = answers(model, sampled)
    ref_BT = answers(trainer.ref_model, sampled)[0].detach() if beta else old_BT
    advantage_BT = sampled["advantages"].double()[:, None].expand_as(logp_BT)
    given = logp_BT, old_BT, advantage_BT, mask_BT, 0.2
    ours = grpo_loss(*given[:2], ref_BT, *given[2:], beta, 0 if scales else LONGEST)
    same(model, trainer.compute_loss(model, sampled), ours, SUMS32)
    seen = {name: values[-1] for name, values in trainer._metrics["eval"].items()}
    assert seen["entropy"] == pytest.approx(masked_mean(entropy_BT, mask_BT).item(), rel=1e-6)
    assert seen["clip_ratio/region_mean"] == pytest.approx(clip_fraction(*given).item())
    if beta:
        assert seen["kl"] == pytest.approx(masked_mean(k3(logp_BT, ref_BT), mask_BT).item(), rel=1e-6)
