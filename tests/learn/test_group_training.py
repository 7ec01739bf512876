"""RLOO, GRPO and REINFORCE++ on a real Llama: what is compared with what, what is paid, and what is learnt of it."""

from pathlib import Path

import pytest
import torch

import tiny
from biddable import config, runs
from biddable.config import ConfigError
from biddable.learn import episodes, group, loop
from biddable.learn.group import GrpoConfig, ReinforceConfig, RlooConfig
from biddable.losses.group import group_advantage, leave_one_out
from biddable.model import causal, reward
from biddable.model.forest import plant
from biddable.model.reward import RewardModel
from biddable.text import snapshots

ASKED = [[1, 50, 51, 4], [1, 60, 4], [1, 52, 53, 54, 55, 4], [1, 61, 62, 4]]
PROMPTS = [prompt for prompt in ASKED for _ in range(4)]
PAGES = [[1, 55, 56, 57, 2], [1, 60, 61, 2], [1, 70, 71, 72, 73, 74, 2], [1, 62, 2]]
PLAIN = {
    "episodes": 32, "samples": 4, "batch": 16, "minibatch": 8, "answer_tokens": 10, "gamma_ptx": 0,
    "warmup_iterations": 0, "missing_end_penalty": 0, "beta": 0.5, "learning_rate": 1e-3,
}  # fmt: skip
METHODS = [RlooConfig, GrpoConfig, ReinforceConfig]
NAMES = [kind.stage for kind in METHODS]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A start model whose answers end now and then, a reward model, prompts and pages."""
    place = tmp_path_factory.mktemp("group")
    tok = tiny.tokenizer()
    lm = tiny.llama(tok)
    with torch.no_grad():
        lm.get_input_embeddings().weight[tok.eos_token_id] *= 2.5
    net = RewardModel(tiny.llama(tok, seed=1), torch.Generator().manual_seed(0))
    return {
        "start": causal.save(lm, tok, place / "start"),
        "reward_model": reward.save(net, tok, place / "rm"),
        "prompts": tiny.prompts(place / "prompts.jsonl", ["say red", "name a cow", "say blue", "yes"]),
        "pages": tiny.pages(place / "pages.jsonl", ["the cow say no", "the dog say yes yes", "one two three"]),
    }


def actors_of(folders, settings, moved: bool = False) -> episodes.Actors:
    """The actors; `moved`: with a policy that has left its reference."""
    actors = episodes.assemble(
        settings, folders["start"], folders["reward_model"], snapshots.prompts(folders["prompts"])
    )
    if moved:
        with torch.no_grad():
            for parameter in actors.policy.parameters():
                parameter.mul_(1.1)
    return actors


def judged(actors, settings, prompts=PROMPTS):
    rollout = episodes.sample(actors, settings, prompts, seed=0, k=0)
    return rollout, *group.judge(actors, settings, rollout)


def gradient_of(actors, settings, credit, monkeypatch, pages=()) -> list[torch.Tensor]:
    with monkeypatch.context() as patch:
        patch.setattr(loop, "step", lambda *_: 0.0)
        group.update(actors, settings, credit, pages, "test")
    found = [p.grad.clone() for p in actors.policy.parameters()]
    actors.policy.zero_grad()
    return found


def train(folder: Path, settings, folders, seed: int = 0, **more: Path) -> Path:
    inputs = {name: path for name, path in folders.items() if name != "pages" or settings.gamma_ptx > 0} | more
    with runs.start(folder, settings.stage, settings, inputs, seed) as run:
        return group.train(run, settings, **inputs)


def slow_logp(actors, rollout) -> list[torch.Tensor]:
    """log π of each token of each answer, one row at a time, by transformers alone."""
    found = []
    for prompt, answer in zip(rollout.prompts, rollout.answers, strict=True):
        logit_ND = actors.policy(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        found.append(logit_ND.log_softmax(-1)[range(len(answer)), answer])
    return found


@pytest.mark.parametrize("kind", METHODS, ids=NAMES)
def test_the_first_minibatch_has_ratio_1_and_nothing_clipped(folders, kind):
    settings = kind(**PLAIN, temperature=0.7)
    actors = actors_of(folders, settings)
    _, credit, seen = judged(actors, settings)
    look = group.update(actors, settings, credit, [], "test")
    assert look["ratio"] == pytest.approx(1, abs=1e-4)  # float32; RLOO's is a product of ten
    assert look["approx_kl"] == pytest.approx(0, abs=1e-8)
    assert look["clip_fraction"] == 0
    assert seen["kl"] == pytest.approx(0, abs=1e-4)  # the policy is the reference


def test_rloo_pays_the_kl_and_compares_with_siblings(folders):
    settings = RlooConfig(**PLAIN | {"samples": 2})
    actors = actors_of(folders, settings, moved=True)
    rollout, credit, seen = judged(actors, settings)
    kl_B = ((rollout.logp_BT - credit.ref_logp_BT) * rollout.mask_BT).sum(1)
    paid_B = reward.scores(actors.judge, rollout.turns, 4096) - 0.5 * kl_B
    assert kl_B.abs().mean() > 0.1
    assert seen["reward"] == pytest.approx(paid_B.mean().item(), rel=1e-4)
    for i in range(16):
        sibling = i + 1 if i % 2 == 0 else i - 1
        wanted = (paid_B[i] - paid_B[sibling]).item()
        counting = credit.advantage_BT[i][rollout.mask_BT[i]]
        assert torch.allclose(counting, torch.tensor(wanted), atol=1e-4)  # float32
    assert not credit.advantage_BT[~rollout.mask_BT].any()


def test_rloos_gradient_is_reinforces_over_whole_answers(folders, monkeypatch):
    """On policy: ∇ = −mean over answers of A ∇Σₜ log π(yₜ), however the batch is cut."""
    settings = RlooConfig(**PLAIN, micro_tokens=20)
    actors = actors_of(folders, settings)
    rollout, credit, _ = judged(actors, settings)
    found = gradient_of(actors, settings, credit, monkeypatch)
    parts = zip(credit.advantage_BT[:, 0], slow_logp(actors, rollout), strict=True)
    (-torch.stack([a * logp_t.sum() for a, logp_t in parts]).mean()).backward()
    for mine, p in zip(found, actors.policy.parameters(), strict=True):
        assert torch.allclose(mine, p.grad, atol=2e-4)  # float32, sums of ten


@pytest.mark.parametrize("divide_by", ["length", "answer_tokens"])
def test_grpos_gradient_has_the_advantage_and_the_kl(folders, monkeypatch, divide_by):
    """On policy, by the definition: −mean over answers of 1/|o| Σₜ (A − β (1 − ref/π)) ∇log π."""
    settings = GrpoConfig(**PLAIN | {"samples": 2}, micro_tokens=20, divide_by=divide_by)
    actors = actors_of(folders, settings, moved=True)
    rollout, credit, seen = judged(actors, settings)
    assert seen["kl"] > 0.1
    found = gradient_of(actors, settings, credit, monkeypatch)
    score_PS = reward.scores(actors.judge, rollout.turns, 4096).view(8, 2)
    total = []
    for i, logp_t in enumerate(slow_logp(actors, rollout)):
        n = len(logp_t)
        pull_t = 1 - (credit.ref_logp_BT[i, :n] - logp_t.detach()).exp()
        total.append(((group_advantage(score_PS).flatten()[i] - 0.5 * pull_t) * logp_t).sum())
        total[-1] = total[-1] / (n if divide_by == "length" else 10)
    (-torch.stack(total).mean()).backward()
    for mine, p in zip(found, actors.policy.parameters(), strict=True):
        assert torch.allclose(mine, p.grad, atol=1e-4)  # float32


def test_reinforce_compares_what_is_to_come_with_the_whole_batch(folders):
    settings = ReinforceConfig(**PLAIN, gamma=0.9)
    actors = actors_of(folders, settings, moved=True)
    rollout, credit, _ = judged(actors, settings)
    score_B = reward.scores(actors.judge, rollout.turns, 4096)
    slow = []
    for i, answer in enumerate(rollout.answers):
        paid = [-0.5 * (rollout.logp_BT[i, t] - credit.ref_logp_BT[i, t]).item() for t in range(len(answer))]
        paid[-1] += score_B[i].item()
        slow += [sum(0.9 ** (s - t) * paid[s] for s in range(t, len(paid))) for t in range(len(paid))]
    slow_n = torch.tensor(slow)
    wanted_n = (slow_n - slow_n.mean()) / slow_n.std(correction=0)
    assert torch.allclose(credit.advantage_BT[rollout.mask_BT], wanted_n, atol=1e-3)  # float32


def test_reinforce_with_a_baseline_has_the_kl_in_the_loss(folders, monkeypatch):
    settings = ReinforceConfig(**PLAIN, baseline=True, micro_tokens=20)
    actors = actors_of(folders, settings, moved=True)
    rollout, credit, _ = judged(actors, settings)
    score_PS = reward.scores(actors.judge, rollout.turns, 4096).view(4, 4)
    less_B = (score_PS - score_PS.mean(1, keepdim=True)).flatten()
    flat_n = less_B[:, None].expand(rollout.mask_BT.shape)[rollout.mask_BT]
    wanted_n = (flat_n - flat_n.mean()) / flat_n.std(correction=0)
    assert torch.allclose(credit.advantage_BT[rollout.mask_BT], wanted_n, atol=1e-3)  # float32
    found = gradient_of(actors, settings, credit, monkeypatch)
    logp_n = torch.cat(slow_logp(actors, rollout))
    ref_n = credit.ref_logp_BT[rollout.mask_BT]
    (-(wanted_n * logp_n) + 0.5 * (logp_n - ref_n).square() / 2).mean().backward()
    for mine, p in zip(found, actors.policy.parameters(), strict=True):
        assert torch.allclose(mine, p.grad, atol=1e-3)  # float32


@pytest.mark.parametrize("kind", METHODS, ids=NAMES)
def test_equal_scores_teach_nothing_but_for_the_kl(folders, kind, monkeypatch):
    """Where the policy is its reference and all answers score the same, the gradient is 0."""

    def equal(_net, turns, _tokens):
        return torch.full((len(turns),), 0.7), torch.zeros(len(turns))

    monkeypatch.setattr(reward, "scores_and_spread", equal)
    settings = kind(**PLAIN | {"beta": 0.0})
    actors = actors_of(folders, settings)
    _, credit, seen = judged(actors, settings)
    assert seen["group_deviation"] == 0
    # What is left of REINFORCE++ is the rounding of a mean, divided by the least deviation there is
    assert credit.advantage_BT.abs().max() < (1e-2 if kind is ReinforceConfig else 1e-12)
    if kind is not ReinforceConfig:
        assert not any(g.any() for g in gradient_of(actors, settings, credit, monkeypatch))
        settings = settings.model_copy(update={"beta": 0.5})
        moved = actors_of(folders, settings, moved=True)
        _, credit, _ = judged(moved, settings)
        assert any(g.any() for g in gradient_of(moved, settings, credit, monkeypatch))


@pytest.mark.parametrize("kind", METHODS, ids=NAMES)
def test_a_prompts_samples_stay_together_and_are_one_tree(folders, kind, monkeypatch):
    settings = kind(**PLAIN)
    actors = actors_of(folders, settings)
    seen = []
    monkeypatch.setattr(
        group, "update", lambda _a, _c, credit, _p, _w: seen.append(credit.turns) or {"ratio": 1.0, "approx_kl": 0.0}
    )
    for k in (0, 1, 2):
        group.step(actors, settings, PROMPTS, [], seed=0, k=k)
    assert [len(turns) for turns in seen] == [8] * 6
    for turns in seen:
        assert turns.prompts[:4] == [turns.prompts[0]] * 4
        forest = plant(turns)
        assert [len(tree.spans) for tree in forest.trees] == [5, 5]  # the prompt once, then its four answers
        read = sum(len(turns.prompts[i]) for i in (0, 4)) + sum(map(len, turns.answers))
        assert len(forest.token_N) == read
    for one, other in zip(seen[::2], seen[1::2], strict=True):
        assert sorted(one.prompts + other.prompts) == sorted(PROMPTS)
    assert len({tuple(map(tuple, turns.prompts)) for turns in seen}) > 2  # another split each iteration


def test_the_samples_of_a_prompt_are_drawn_apart(folders):
    settings = RlooConfig(**PLAIN)
    rollout, _, _ = judged(actors_of(folders, settings), settings)
    for first in range(0, 16, 4):
        assert len({tuple(answer) for answer in rollout.answers[first : first + 4]}) > 1


@pytest.mark.parametrize("kind", METHODS, ids=NAMES)
def test_pieces_of_any_size_give_the_gradient_of_the_minibatch(folders, kind, monkeypatch):
    found = []
    for tokens in (100_000, 12):
        settings = kind(**PLAIN | {"gamma_ptx": 2.0}, micro_tokens=tokens)
        actors = actors_of(folders, settings, moved=True)
        _, credit, _ = judged(actors, settings)
        found.append(gradient_of(actors, settings, credit, monkeypatch, PAGES))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-4)  # float32


def test_the_pretraining_gradient_is_added_before_the_one_step(folders, monkeypatch):
    settings = GrpoConfig(**PLAIN | {"gamma_ptx": 2.0})
    actors = actors_of(folders, settings)
    _, credit, _ = judged(actors, settings)
    plain = gradient_of(actors, settings, credit, monkeypatch)
    both = gradient_of(actors, settings, credit, monkeypatch, PAGES)
    losses = [  # the slow definition
        -actors.policy(input_ids=torch.tensor([page])).logits[0, :-1].log_softmax(-1)[range(len(page) - 1), page[1:]]
        for page in PAGES
    ]
    torch.cat(losses).mean().backward()
    for with_text, without, p in zip(both, plain, actors.policy.parameters(), strict=True):
        assert torch.allclose(with_text, without + 2.0 * p.grad, atol=1e-4)  # float32
    actors.policy.zero_grad()
    steps = []
    take = actors.policy_optimizer.step
    monkeypatch.setattr(actors.policy_optimizer, "step", lambda: steps.append(1) or take())
    group.step(actors, settings, PROMPTS, PAGES, seed=0, k=0)
    assert len(steps) == 16 // 8  # one a minibatch


@pytest.mark.parametrize("kind", METHODS, ids=NAMES)
def test_it_raises_what_it_is_rewarded_for(tmp_path, folders, kind, monkeypatch):
    """A reward that anyone can count: the share of the word "red" among an answer's tokens."""
    red = tiny.tokenizer().convert_tokens_to_ids("red")

    def share_of_red(_net, turns, _tokens):
        score_A = torch.tensor([4 * answer.count(red) / len(answer) for answer in turns.answers])
        return score_A, torch.zeros_like(score_A)

    monkeypatch.setattr(reward, "scores_and_spread", share_of_red)
    settings = kind(
        episodes=1536, samples=4, batch=64, minibatch=16, answer_tokens=8, gamma_ptx=0, learning_rate=3e-3, ema=0,
        missing_end_penalty=0,
    )  # fmt: skip
    train(tmp_path / kind.stage, settings, folders)
    seen = runs.read_metrics(tmp_path / kind.stage)
    assert seen[0]["score"] < 0.5
    assert seen[-1]["score"] > 2.5
    assert seen[-1]["kl"] > seen[0]["kl"]
    assert all(line["first_ratio"] == pytest.approx(1, abs=1e-3) for line in seen)  # float32
    assert seen[0].keys() == {
        "step", "reward", "score", "spread", "kl", "beta", "length", "end_rate", "group_deviation", "ratio",
        "approx_kl", "clip_fraction", "entropy", "policy_loss", "policy_gradient", "first_ratio", "first_kl", "rate",
        "distinct",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "words", "complaint"),
    [
        (
            RlooConfig,
            ["samples=1"],
            "samples: 1 answer to a prompt has no siblings to be compared with: take at least",
        ),
        (
            GrpoConfig,
            ["samples=1"],
            "samples: 1 answer to a prompt has no siblings to be compared with: take at least",
        ),
        (ReinforceConfig, ["baseline=true"], "at least 2, or say baseline=false"),
        (RlooConfig, ["samples=3"], "samples: 3 answers a prompt do not go into a batch of 512; say batch=513"),
        (RlooConfig, ["samples=8", "minibatch=12"], "samples: 8 answers .* into a minibatch of 12; say minibatch=16"),
        (RlooConfig, ["kl_target=6", "beta=0"], "kl_target: a β of 0 stays 0"),
        (RlooConfig, ["kl_target=6", "kl_horizon=100"], "kl_horizon: 100 is too short for 512 answers an iteration"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(kind, words, complaint):
    with pytest.raises(ConfigError, match=complaint) as caught:
        config.load(kind, words)
    assert "\n" not in str(caught.value)


def test_one_sample_is_enough_for_reinforce():
    assert config.load(ReinforceConfig).samples == 1
    assert leave_one_out(torch.ones(1, 2)).shape == (1, 2)
