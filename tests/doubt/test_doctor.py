"""Each failure is brought about in a small real run, and the doctor names it; a sound run it leaves in peace.

The faults are those that happen: a setting too large, a judge that pays for the wrong thing, a sampler whose
log-probabilities are of another distribution. Most of these runs are sick in several ways; what is asked is that
the one brought about is named.
"""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import tiny
from biddable import runs
from biddable.cli import app
from biddable.doubt import doctor
from biddable.learn import episodes, ppo, sft
from biddable.learn import reward as reward_stage
from biddable.learn.ppo import PpoConfig
from biddable.learn.reward import RewardConfig
from biddable.learn.sft import SftConfig
from biddable.losses.sft import nll
from biddable.model import causal, reward
from biddable.model.reward import RewardModel
from biddable.sample import local

TEXTS = ["say red", "name a cow", "say blue", "yes", "the big dog say", "one two three"]
COLOURS = ["red", "blue", "green"]
SOUND = {
    "episodes": 384, "batch": 32, "minibatch": 8, "answer_tokens": 8, "gamma_ptx": 0, "learning_rate": 5e-3,
    "value_learning_rate": 5e-3, "missing_end_penalty": 0.5, "warmup_iterations": 0, "ema": 0, "clip_norm": 5.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A start model whose answers end now and then, a small judge, and prompts."""
    place = tmp_path_factory.mktemp("doctor")
    return {
        "start": writer(place / "start", end=3.0),
        "reward_model": judge(place / "rm"),
        "prompts": tiny.prompts(place / "prompts.jsonl", TEXTS),
    }


def writer(folder: Path, end: float, spread: float = 0.5) -> Path:
    """A model whose end token has a logit of about `end`, where the others' are about 0."""
    tok = tiny.tokenizer()
    lm = tiny.llama(tok, layers=1, spread=spread)
    with torch.no_grad():
        ids = torch.tensor([tok("say the red dog")["input_ids"]])
        mean_D = lm.model(input_ids=ids).last_hidden_state[0].mean(0)
        lm.get_input_embeddings().weight[tok.eos_token_id] = end * mean_D / mean_D.square().sum()
    return causal.save(lm, tok, folder)


def judge(
    folder: Path, bias: float = 0.0, width: int = 32, size: float = 0.1, known: tuple[float, float] = (-1.0, 3.0)
) -> Path:
    tok = tiny.tokenizer()
    net = RewardModel(tiny.llama(tok, seed=1, width=width, layers=1), torch.Generator().manual_seed(0))
    with torch.no_grad():
        net.head.weight.mul_(size)
        net.head.bias.add_(bias)
    net.known = known
    return reward.save(net, tok, folder)


def names(folder: Path) -> set[str]:
    return {finding.name for finding in doctor.examine(folder)}


def run_ppo(folder: Path, inputs: dict[str, Path], seed: int = 0, **settings) -> set[str]:
    config = PpoConfig(**SOUND | settings)
    with runs.start(folder, "ppo", config, inputs, seed) as run:
        ppo.train(run, config, **inputs)
    return names(folder)


def paid(monkeypatch, worth) -> None:
    """A judge that pays by what anyone can count: what a reward model may come to do."""

    def each(net, turns, _tokens):
        pairs = zip(turns.prompts, turns.answers, strict=True)
        said = [worth(net, prompt, answer) for prompt, answer in pairs]
        return torch.tensor([list(map(float, one if isinstance(one, tuple) else (one,))) for one in said])

    monkeypatch.setattr(reward, "each", each)


LIKED = tiny.tokenizer().convert_tokens_to_ids(["red", "blue", "green", "dog", "cat", "cow", "say", "name"])


def liked(answer: list[int]) -> int:
    return sum(token in LIKED for token in answer)


def sensible(_net, prompt: list[int], answer: list[int]) -> float:
    """Some prompts are easier than others, which a value network can learn, and some words are better."""
    return 2 * liked(answer) / len(answer) + (1.0 if LIKED[-2] in prompt else -1.0)


def drawn_as(monkeypatch, draw) -> None:
    monkeypatch.setattr(local, "draw", draw(local.draw))


def test_a_sound_run_is_left_in_peace(tmp_path, folders, monkeypatch):
    paid(monkeypatch, sensible)
    assert run_ppo(tmp_path / "ppo", folders) == set()
    columns = doctor.read(tmp_path / "ppo").columns
    assert columns["score"][-1] > columns["score"][0] + 0.1  # and it did learn
    assert set(columns["beyond"]) == {0.0}
    assert min(columns["distinct"]) > 0.5


def test_answers_of_another_policy_make_the_kl_negative(tmp_path, folders, monkeypatch):
    """The start model goes on answering, as an engine does whose weights are never brought up to date."""
    stale, _ = causal.load(folders["start"])

    def respond(model, *given, temperature, **more):
        rollout = local.respond(stale, *given, temperature=temperature, **more)
        logp_BT = causal.in_pieces(
            lambda piece: piece.spread(causal.answer_logp(model, piece, temperature)), rollout.turns, 4096
        )
        return replace(rollout, logp_BT=logp_BT)

    monkeypatch.setattr(episodes, "respond", respond)
    paid(monkeypatch, sensible)
    assert "KL is negative" in run_ppo(tmp_path / "ppo", folders, learning_rate=1e-2)


def test_a_sampler_with_other_log_probabilities_is_seen_in_the_first_ratio(tmp_path, folders, monkeypatch):
    """It forgets that logits are divided by the temperature before log p is taken."""

    def forgetful(draw):
        def other(logit_bV, temperature, luck_b):
            chosen_b, _ = draw(logit_bV, temperature, luck_b)
            return chosen_b, causal.logp_of(logit_bV, chosen_b)

        return other

    assert "the first ratio is not 1" not in run_ppo(tmp_path / "a", folders, episodes=64, temperature=0.7)
    drawn_as(monkeypatch, forgetful)
    assert "the first ratio is not 1" in run_ppo(tmp_path / "b", folders, episodes=64, temperature=0.7)


def test_a_judge_that_was_never_centred_is_off_scale(tmp_path, folders):
    off = folders | {"reward_model": judge(tmp_path / "rm", bias=12.0)}
    assert "the score is off scale" in run_ppo(tmp_path / "ppo", off, episodes=64)


def test_judges_that_part_where_the_policy_goes(tmp_path, folders, monkeypatch):
    """One of two overpays a word that the other does not know; with pessimism the policy stays where they agree."""

    def worth(_net, _prompt, answer):
        share = liked(answer) / len(answer)
        return 4 * share, 0.1 * share

    paid(monkeypatch, worth)
    assert "the ensemble's judges part" in run_ppo(tmp_path / "a", folders, learning_rate=1e-2, beta=0)
    assert "the ensemble's judges part" not in run_ppo(tmp_path / "b", folders, learning_rate=1e-2, pessimism=1.0)


def test_judges_who_differ_and_stay_together_are_left_in_peace(tmp_path, folders, monkeypatch):
    """The one is a little kinder, and more so to some prompts: a spread that does not grow with what is learnt."""

    def worth(net, prompt, answer):
        common = sensible(net, prompt, answer)
        return common, common + 0.3 + 0.2 * (len(prompt) % 3)

    paid(monkeypatch, worth)
    assert run_ppo(tmp_path / "ppo", folders) == set()
    columns = doctor.read(tmp_path / "ppo").columns
    assert min(columns["spread"]) > 0.1
    assert columns["score"][-1] > columns["score"][0] + 0.1  # and it did learn


def test_a_value_network_that_never_learns_explains_nothing(tmp_path, folders, monkeypatch):
    paid(monkeypatch, sensible)
    loud = folders | {"reward_model": judge(tmp_path / "rm", size=1.0)}
    assert "the value network explains nothing" in run_ppo(tmp_path / "ppo", loud, value_learning_rate=1e-9)


def test_a_model_that_never_learnt_to_stop(tmp_path, folders):
    endless = folders | {"start": writer(tmp_path / "start", end=-6.0, spread=2.0)}
    assert "answers never end" in run_ppo(tmp_path / "ppo", endless, episodes=64)


def test_a_judge_that_likes_empty_answers(tmp_path, folders, monkeypatch):
    paid(monkeypatch, lambda _net, _prompt, answer: -len(answer))
    assert "answers end at once" in run_ppo(tmp_path / "ppo", folders, learning_rate=1e-2, beta=0)


def test_steps_far_too_long_are_clipped(tmp_path, folders, monkeypatch):
    paid(monkeypatch, sensible)
    found = run_ppo(tmp_path / "ppo", folders, learning_rate=3e-2, inner_epochs=8, episodes=192)
    assert "the clip stops most tokens" in found


def test_without_a_leash_the_policy_says_one_thing_only(tmp_path, folders, monkeypatch):
    paid(monkeypatch, lambda _net, _prompt, answer: 8 * liked(answer) / len(answer))
    found = run_ppo(tmp_path / "ppo", folders, learning_rate=2e-2, beta=0, episodes=640, missing_end_penalty=0)
    assert "the policy says one thing only" in found
    assert "answers grow alike" in found


def test_scores_where_nobody_ranked(tmp_path, folders, monkeypatch):
    """What the judge learnt from scored 1 at most; it goes on paying beyond that."""
    paid(monkeypatch, lambda _net, _prompt, answer: liked(answer))
    few = folders | {"reward_model": judge(tmp_path / "rm", known=(0.0, 1.0))}
    found = run_ppo(tmp_path / "a", few, learning_rate=1e-2, beta=0)
    assert "scores are beyond what the reward model knows" in found
    many = folders | {"reward_model": judge(tmp_path / "rm2", known=(0.0, 8.0))}
    assert "scores are beyond what the reward model knows" not in run_ppo(tmp_path / "b", many, learning_rate=1e-2)


def test_a_judge_that_pays_for_length(tmp_path, folders, monkeypatch):
    paid(monkeypatch, lambda _net, _prompt, answer: len(answer) / 4)
    short = folders | {"start": writer(tmp_path / "start", end=6.0)}
    found = run_ppo(tmp_path / "ppo", short, learning_rate=1e-2, answer_tokens=32, missing_end_penalty=0)
    assert "length grows with the reward" in found


def test_answers_that_nobody_asked_to_be_so_long(tmp_path, folders, monkeypatch):
    """From a start that says little; the judge pays for not ending, which it cannot have learnt from such answers."""
    paid(monkeypatch, lambda _net, _prompt, answer: float(len(answer) > 12))
    short = folders | {"start": writer(tmp_path / "start", end=9.0)}
    found = run_ppo(tmp_path / "ppo", short, learning_rate=1e-2, answer_tokens=48, missing_end_penalty=0, beta=0)
    assert "answers are far longer than at the start" in found


def test_the_proxy_rises_while_the_held_out_judge_falls(tmp_path, folders, monkeypatch):
    """Both like one such word in an answer; the proxy likes any number of them."""
    held_out = judge(tmp_path / "held_out", width=16)

    def worth(net, _prompt, answer):
        if net.head.weight.shape[1] == 16:
            return min(liked(answer), 1) - max(liked(answer) - 1, 0)
        return liked(answer)

    paid(monkeypatch, worth)
    more = {"valid": folders["prompts"], "held_out": held_out}
    assert "over-optimised" in run_ppo(tmp_path / "ppo", folders | more, learning_rate=1e-2, beta=0, valid_every=1)


def test_a_held_out_judge_that_goes_along_is_left_in_peace(tmp_path, folders, monkeypatch):
    paid(monkeypatch, sensible)
    more = {"valid": folders["prompts"], "held_out": judge(tmp_path / "held_out", width=16)}
    assert run_ppo(tmp_path / "ppo", folders | more, valid_every=1) == set()
    columns = doctor.read(tmp_path / "ppo").columns
    assert len(columns["kl_at_look"]) == len(columns["held_out_score"]) == 12
    assert columns["held_out_score"][-1] >= columns["held_out_score"][0]


def looked(kl: list[float], held_out: list[float]) -> doctor.Log:
    lines = [{"step": i, "kl": x, "held_out_score": y} for i, (x, y) in enumerate(zip(kl, held_out, strict=True))]
    return doctor.Log("ppo", {}, doctor.columns(lines), len(lines))


def test_where_the_kl_was_best():
    """d(1 − ½ log d) is highest at e, 7.4 nats, where it is ½ e = 1.36; at d = 6 it is 0.62."""
    d = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0]
    gold = [2 + x * (1 - 0.5 * math.log(x)) for x in d]
    log = looked([x * x for x in d], gold)
    assert "the KL is past the best" in {finding.name for finding in doctor.diagnose(log)}
    told = doctor.past_the_peak(log)
    assert told == (
        "the held-out score is highest at a KL of about 7.4 nats; the run is at 30, where it is lower by 0.73"
    )
    assert doctor.past_the_peak(looked([x * x for x in d[:6]], gold[:6])) is not None
    assert doctor.past_the_peak(looked([x * x for x in d[:5]], gold[:5])) is None  # too few looks
    assert doctor.past_the_peak(looked([x * x for x in d], [x**0.9 for x in d])) is None  # it only rises
    scattered = [y + (0.5 if i % 2 else -0.5) for i, y in enumerate(gold)]
    assert doctor.past_the_peak(looked([x * x for x in d], scattered)) is None  # the fall is within the scatter


def run_sft(folder: Path, inputs: dict[str, Path], **settings) -> set[str]:
    config = SftConfig(**{"batch": 4, "epochs": 4, "learning_rate": 1e-3} | settings)
    with runs.start(folder, "sft", config, inputs, 0) as run:
        sft.train(run, config, **inputs)
    return names(folder)


@pytest.fixture(scope="module")
def lessons(tmp_path_factory) -> dict[str, Path]:
    """Demonstrations that all say what they were asked to say."""
    place = tmp_path_factory.mktemp("lessons")
    asked = [f"say {colour} {number}" for colour in COLOURS for number in ("one", "two", "three", "big", "the", "a")]
    pairs = [(text, text.removeprefix("say ")) for text in asked]
    return {
        "model": tiny.saved(place / "base"),
        "demos": tiny.demonstrations(place / "demos.jsonl", pairs[::2]),
        "valid": tiny.demonstrations(place / "valid.jsonl", pairs[1::2]),
    }


def test_sound_fine_tuning_is_left_in_peace(tmp_path, lessons):
    assert run_sft(tmp_path / "sft", lessons) == set()


def test_demonstrations_learnt_by_heart_raise_the_valid_loss(tmp_path, lessons):
    few = tiny.demonstrations(tmp_path / "few.jsonl", [("say red one", "green dog"), ("say blue big", "no cat")])
    assert "valid loss rises" in run_sft(tmp_path / "sft", lessons | {"demos": few}, epochs=30, learning_rate=1e-2)


def test_a_clip_far_below_every_gradient(tmp_path, lessons):
    assert "every gradient is shortened" in run_sft(tmp_path / "sft", lessons, clip_norm=1e-3)


def run_reward(folder: Path, inputs: dict[str, Path], **settings) -> set[str]:
    config = RewardConfig(**{"batch": 8, "epochs": 4, "learning_rate": 2e-3, "center": "answers"} | settings)
    with runs.start(folder, "reward", config, inputs, 0) as run:
        reward_stage.train(run, config, **inputs)
    return names(folder)


def rankings(path: Path, seed: int, shuffled: bool, count: int = 48) -> Path:
    """Red before blue before green; or in an order that luck chose anew each time."""
    luck = torch.Generator().manual_seed(seed)
    sets = []
    for nth in range(count):
        order = torch.randperm(3, generator=luck).tolist() if shuffled else range(3)
        noun = ["dog", "cat", "cow", "name"][nth % 4]
        sets.append((f"say a {noun} {nth % 7}", [[f"the {COLOURS[i]} {noun}"] for i in order]))
    return tiny.rankings(path, sets)


def test_a_sound_reward_model_is_left_in_peace(tmp_path, lessons):
    inputs = {"model": lessons["model"], "rankings": rankings(tmp_path / "r.jsonl", 0, shuffled=False)}
    assert run_reward(tmp_path / "rm", inputs | {"valid": rankings(tmp_path / "v.jsonl", 1, shuffled=False)}) == set()


def test_rankings_by_lot_leave_accuracy_at_chance(tmp_path, lessons):
    inputs = {"model": lessons["model"], "rankings": rankings(tmp_path / "r.jsonl", 0, shuffled=True)}
    found = run_reward(tmp_path / "rm", inputs | {"valid": rankings(tmp_path / "v.jsonl", 1, shuffled=True)})
    assert "accuracy is at chance" in found


def test_rankings_by_lot_are_learnt_by_heart(tmp_path, lessons):
    inputs = {"model": lessons["model"], "rankings": rankings(tmp_path / "r.jsonl", 0, shuffled=True, count=8)}
    valid = rankings(tmp_path / "v.jsonl", 1, shuffled=True)
    found = run_reward(tmp_path / "rm", inputs | {"valid": valid}, epochs=40, learning_rate=5e-3)
    assert "it learns its rankings by heart" in found


def test_a_run_that_failed_says_what_it_failed_of(tmp_path, lessons, monkeypatch):
    steps = iter([1.0] * 5)  # the sixth is infinite
    monkeypatch.setattr(causal, "nll", lambda *given: nll(*given) * next(steps, float("inf")))
    with pytest.raises(runs.NotFinite):
        run_sft(tmp_path / "sft", {name: path for name, path in lessons.items() if name != "valid"})
    [finding] = doctor.examine(tmp_path / "sft")
    assert finding.name == "it failed"
    assert "step 6: loss is" in finding.seen


def test_every_sign_is_brought_about_by_a_test():
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{name}" in ' in text for name in doctor.SIGNS)


def test_the_verb_says_it_line_by_line_and_by_its_exit_status(tmp_path, lessons, monkeypatch):
    sound, sick = tmp_path / "runs" / "sound", tmp_path / "runs" / "sick"
    run_sft(sound, lessons)
    run_sft(sick, lessons, clip_norm=1e-3)
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["doctor", "sound"])
    assert (told.exit_code, told.output) == (0, "runs/sound: sft, 12 steps logged; nothing wrong was seen\n")
    told = CliRunner().invoke(app, ["doctor", "sound", str(sick)])
    assert told.exit_code == 1
    first, second, finding, cure = told.output.splitlines()
    assert first.endswith("nothing wrong was seen")
    assert second.endswith("1 thing wrong")
    assert finding.startswith("  every gradient is shortened: gradient ")
    assert cure.startswith("    to do: ")
    told = CliRunner().invoke(app, ["doctor", "elsewhere"])
    assert told.exit_code == 2
    assert "elsewhere: no such run" in told.stderr


def test_too_short_a_run_is_not_judged():
    log = doctor.Log("ppo", {}, {"clip_fraction": [1.0] * 5, "entropy": [1.0, 0, 0, 0, 0]}, 5)
    assert doctor.diagnose(log) == []


def test_an_estimate_of_the_kl_may_be_below_0_by_luck():
    """The last four: mean −0.0488, deviation 0.0725, so an error of 0.036; then with a third of the scatter."""
    seen = [0.0, 0.027, 0.056, 0.015, -0.088, 0.157, -0.047, 0.039, -0.108, -0.015, 0.04, -0.112]
    log = doctor.Log("ppo", {}, {"kl": seen, "score": [0.0] * 12}, 12)
    assert doctor.kl_negative(log) is None
    steady = [*seen[:8], *(-0.04875 + (x + 0.04875) / 3 for x in seen[8:])]
    told = doctor.kl_negative(doctor.Log("ppo", {}, {"kl": steady, "score": [0.0] * 12}, 12))
    assert told == "-0.049 nats an answer on average of late"


def test_rank_correlation():
    """By hand: ranks of y are 0, 2, 1; Σ(a−1)(b−1) = 1·1 + 0 + 1·0 = 1, over √(2·2) = 2. Equals share a place."""
    assert doctor.rank_correlation([1.0, 2.0, 3.0], [10.0, 30.0, 20.0]) == pytest.approx(0.5)
    assert doctor.rank_correlation([1.0, 2.0, 3.0], [1.0, 4.0, 9.0]) == pytest.approx(1)
    assert doctor.rank_correlation([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]) == 0


def test_a_training_verb_says_the_same_when_it_is_done(tmp_path, lessons, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [f"model={lessons['model']}", f"data={lessons['demos']}", "batch=2", "epochs=2"]
    told = CliRunner().invoke(app, ["sft", *words, "clip_norm=1e-3"])
    assert told.exit_code == 0
    assert "biddable: note: every gradient is shortened: gradient " in told.stderr
    told = CliRunner().invoke(app, ["sft", *words, "clip_norm=10", "out=other"])
    assert (told.exit_code, told.stderr) == (0, "")
