import itertools
import math
from pathlib import Path

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaModel

import tiny
from biddable import records, runs
from biddable.config import ConfigError
from biddable.learn import dpo as stage
from biddable.learn.dpo import DpoConfig, Known, Lessons
from biddable.learn.loop import stream
from biddable.model import causal, reward
from biddable.model.forest import Turns, plant
from biddable.model.reward import RewardModel
from biddable.text import snapshots

SETS = [
    ("say red", [["red"], ["red red", "blue"], ["no"]]),
    ("name a cow", [["the big cow"], ["cow"], ["dog"], ["no no no"]]),
    ("yes", [["yes"], ["no"]]),
]
METHODS = ["dpo", "ipo", "hinge", "kto", "orpo", "simpo"]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture
def base(tmp_path):
    return tiny.saved(tmp_path / "base", spread=0.3)


@pytest.fixture
def ranked(tmp_path):
    return tiny.rankings(tmp_path / "r.jsonl", SETS)


def train(folder: Path, config: DpoConfig, seed: int = 0, **inputs) -> Path:
    with runs.start(folder, "dpo", config, inputs, seed) as run:
        return stage.train(run, config, **inputs)


def double_lessons(base, ranked, method: str) -> tuple:
    """A model in float64, and rankings with a made-up reference that is not what the model says."""
    lm, tok = causal.load(base)
    lm = lm.double()
    sets = snapshots.rankings(ranked, tok)
    strays = stage.strays(sets, 100, stream(0, "strays")) if method == "kto" else []
    luck = torch.Generator().manual_seed(0)

    def known(some):
        return [Known(s, -5 * torch.rand(len(s.answers), dtype=torch.float64, generator=luck)) for s in some]

    return lm, Lessons(known(sets), known(strays))


def logp(lm, known: Known, nth: int) -> float:
    return causal.answer_logp(lm, plant(Turns([known.ranked.prompt], [known.ranked.answers[nth]]))).sum().item()


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def slow(lm, lessons: Lessons, method: str) -> float:
    """Each answer through the network alone; a loop over rankings and over their strict pairs."""
    if method == "kto":
        drifts = [logp(lm, stray, 0) - stray.ref_K.item() for stray in lessons.strays]
        z = max(0.0, sum(drifts) / len(drifts))
    rankings, answers, best = [], [], []
    for known in lessons.said:
        ranks, count = known.ranked.ranks, len(known.ranked.ranks)
        lp, ref = [logp(lm, known, n) for n in range(count)], known.ref_K.tolist()
        size = [len(answer) for answer in known.ranked.answers]
        best += [(lp[n], size[n]) for n in range(count) if ranks[n] == 1]
        costs = []
        for w, v in itertools.permutations(range(count), 2):
            if ranks[w] >= ranks[v]:
                continue
            h = (lp[w] - ref[w]) - (lp[v] - ref[v])
            p, q = math.exp(lp[w] / size[w]), math.exp(lp[v] / size[v])
            costs.append(
                {
                    "dpo": -math.log(sigmoid(0.1 * h)),
                    "ipo": (h - 5) ** 2,
                    "hinge": max(0, 1 - 0.1 * h),
                    "simpo": -math.log(sigmoid(2 * (lp[w] / size[w] - lp[v] / size[v]) - 1)),
                    "orpo": -0.1 * math.log(sigmoid(math.log(p / (1 - p)) - math.log(q / (1 - q)))),
                    "kto": 0.0,
                }[method]
            )
        rankings.append(sum(costs) / len(costs))
        for n in range(count):
            margin = sum(rank > ranks[n] for rank in ranks) - sum(rank < ranks[n] for rank in ranks)
            if method == "kto" and margin:
                answers.append(1 - sigmoid(0.1 * math.copysign(1, margin) * (lp[n] - ref[n] - z)))
    if method == "kto":
        return sum(answers) / len(answers)
    sft = -sum(x for x, _ in best) / sum(n for _, n in best) if method == "orpo" else 0.0
    return sum(rankings) / len(rankings) + sft


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_the_loop_over_rankings_and_pairs(base, ranked, method):
    lm, lessons = double_lessons(base, ranked, method)
    got = stage.gradient(lm, DpoConfig(method=method), lessons)
    assert got["loss"] == pytest.approx(slow(lm, lessons, method), abs=1e-5)  # float64 but for transformers' RMSNorm


@pytest.mark.parametrize("method", METHODS)
def test_pieces_of_whole_rankings_give_the_gradient_of_the_batch(base, ranked, method):
    lm, lessons = double_lessons(base, ranked, method)
    grads, seen = [], []
    for micro_tokens in (10_000, 1):
        config = DpoConfig(method=method, sft_weight=0.3, micro_tokens=micro_tokens)
        seen.append(stage.gradient(lm, config, lessons))
        grads.append([p.grad.clone() for p in lm.parameters()])
        lm.zero_grad()
    assert seen[0] == pytest.approx(seen[1], abs=1e-5)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(*grads, strict=True))


def test_the_weight_of_the_best_answers_adds_their_likelihood(base, ranked):
    lm, lessons = double_lessons(base, ranked, "dpo")
    plain = stage.gradient(lm, DpoConfig(), lessons)
    more = stage.gradient(lm, DpoConfig(sft_weight=0.5), lessons)
    best = [(0, 0), (1, 0), (2, 0)]  # the first answer of each ranking stands alone in its tier
    tokens = sum(len(lessons.said[g].ranked.answers[n]) for g, n in best)
    nll = -sum(logp(lm, lessons.said[g], n) for g, n in best) / tokens
    assert more["loss"] - plain["loss"] == pytest.approx(0.5 * nll, abs=1e-5)
    assert more["nll"] == pytest.approx(nll, abs=1e-5)


def test_each_prompt_and_each_answer_goes_through_the_network_once(base, ranked, monkeypatch):
    lm, lessons = double_lessons(base, ranked, "dpo")
    tokens = 0
    forward = LlamaModel.forward

    def count(self, input_ids, **given):
        nonlocal tokens
        tokens += input_ids.numel()  # nothing is padded
        return forward(self, input_ids, **given)

    monkeypatch.setattr(LlamaModel, "forward", count)
    stage.gradient(lm, DpoConfig(), lessons)
    assert tokens == sum(len(k.ranked.prompt) + sum(map(len, k.ranked.answers)) for k in lessons.said)


def test_what_a_ranking_finds_desirable():
    ranks = torch.tensor([1, 2, 2, 3, 1, 2, 1, 1, 2, 3])
    group = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    # 1 > 2 = 2 > 3: the middle two beat one and are beaten by one; 1 = 1 > 2 > 3: the third is beaten by two.
    assert stage.labels(ranks, group).tolist() == [1, 0, 0, -1, 1, -1, 1, 1, -1, -1]


THUMBS = {"say red": {"red": 1, "blue": 0, "red dog": 1}, "name a cow": {"dog": 0}, "yes": {"yes yes": 1}}


@pytest.fixture
def judged(tmp_path):
    """Thumbs up and down, of several answers to a prompt, or of one that was or was not liked; and a divided one."""
    rows: list[records.Record] = [records.Labeler(id=name, group="training") for name in ("anna", "bert")]
    for asked, some in THUMBS.items():
        rows.append(prompt := tiny.prompt(asked))
        for text, good in [*some.items(), ("no", None)]:
            rows.append(answer := records.Completion.make(prompt.id, text, "r"))
            for name in ("anna", "bert"):
                fails = name == "anna" if good is None else not good
                rows.append(records.Judgement(completion_id=answer.id, labeler=name, fails_task=fails, sexual=False))
    records.write(tmp_path / "j.jsonl", rows)
    return tmp_path / "j.jsonl"


def test_kto_learns_from_judgements_one_by_one(base, judged):
    lm, tok = causal.load(base)
    lm = lm.double()
    sets = stage.rankings_of(DpoConfig(method="kto"), tok, judged)
    assert [s.liked for s in sets] == [(True, False, True), (False,), (True,)]  # of "no" one half said so
    strays = stage.strays(sets, 100, stream(0, "strays"))
    luck = torch.Generator().manual_seed(0)
    said, beside = (
        [Known(s, -5 * torch.rand(len(s.answers), dtype=torch.float64, generator=luck)) for s in some]
        for some in (sets, strays)
    )
    z = max(0.0, sum(logp(lm, k, 0) - k.ref_K.item() for k in beside) / len(beside))
    worth = {True: [], False: []}
    for known in said:
        for n, good in enumerate(known.ranked.liked):
            worth[good].append(logp(lm, known, n) - known.ref_K[n].item())
    costs = [1 - sigmoid(0.1 * (w - z)) for w in worth[True]] + [2 * (1 - sigmoid(0.1 * (z - w))) for w in worth[False]]
    for micro_tokens in (10_000, 1):
        config = DpoConfig(method="kto", undesirable_weight=2, micro_tokens=micro_tokens)
        got = stage.gradient(lm, config, Lessons(said, beside))
        assert got["loss"] == pytest.approx(sum(costs) / 5, abs=1e-5)  # float64 but for transformers' RMSNorm
        assert got["chosen"] == pytest.approx(sum(worth[True]) / 3, abs=1e-5)
        assert got["rejected"] == pytest.approx(sum(worth[False]) / 2, abs=1e-5)
        assert got["accuracy"] == sum(w > worth[False][0] for w in (worth[True][0], worth[True][1])) / 2
        liked = [(0, 0), (0, 2), (2, 0)]
        tokens = sum(len(sets[g].answers[n]) for g, n in liked)
        assert got["nll"] == pytest.approx(-sum(logp(lm, said[g], n) for g, n in liked) / tokens, abs=1e-5)


def test_kto_makes_what_was_liked_likelier(tmp_path, base, judged):
    config = DpoConfig(method="kto", epochs=30, batch=2, learning_rate=3e-3)
    train(tmp_path / "run", config, model=base, rankings=judged, valid=judged)
    first, *_, last = runs.read_metrics(tmp_path / "run")
    assert first["loss"] == pytest.approx(0.5, abs=1e-5)
    assert last["valid_chosen"] > 1 > -1 > last["valid_rejected"]


def test_only_kto_learns_from_judgements_and_of_what_they_say(base, judged):
    _, tok = causal.load(base)
    harmless = stage.rankings_of(DpoConfig(method="kto", desirable_by="harmless"), tok, judged)
    assert [s.liked for s in harmless] == [(True,) * 4, (True,) * 2, (True,) * 2]
    with pytest.raises(
        ValueError, match=r"j\.jsonl: no judgement says whether an answer is truthful; say desirable_by"
    ):
        stage.rankings_of(DpoConfig(method="kto", desirable_by="truthful"), tok, judged)
    with pytest.raises(ValueError, match=r"j\.jsonl: no rankings in this file"):
        stage.rankings_of(DpoConfig(method="dpo"), tok, judged)


def test_strays_are_answers_to_other_prompts_that_fit(base, ranked):
    _, tok = causal.load(base)
    sets = snapshots.rankings(ranked, tok)
    own = {tuple(s.prompt): s.answers for s in sets}
    seen = set()
    for seed in range(10):
        found = stage.strays(sets, 100, stream(seed, "strays"))
        assert [stray.prompt for stray in found] == [s.prompt for s in sets]
        for stray in found:
            [answer] = stray.answers
            others = [a for prompt, answers in own.items() if prompt != tuple(stray.prompt) for a in answers]
            assert answer in others
            seen.add(tuple(answer))
    assert len(seen) > 5  # not always the best one
    with pytest.raises(ConfigError, match="needs rankings of two prompts"):
        stage.strays([sets[0], sets[0]], 100, stream(0, "strays"))
    with pytest.raises(ConfigError, match="needs rankings of two prompts"):
        stage.strays(sets, 4, stream(0, "strays"))


@pytest.mark.parametrize(("method", "loss"), [("dpo", math.log(2)), ("ipo", 25.0), ("hinge", 1.0), ("kto", 0.5)])
def test_the_first_step_is_taken_where_the_start_model_is_its_own_reference(tmp_path, base, ranked, method, loss):
    train(tmp_path / "run", DpoConfig(method=method, epochs=2), model=base, rankings=ranked)
    first, second = runs.read_metrics(tmp_path / "run")
    assert first["loss"] == pytest.approx(loss, abs=1e-5)  # float32
    assert first["chosen"] == pytest.approx(0, abs=1e-5)
    assert first["rejected"] == pytest.approx(0, abs=1e-5)
    assert second["loss"] < first["loss"]
    assert (first.get("kl") == pytest.approx(0, abs=1e-5)) if method == "kto" else ("kl" not in first)


@pytest.mark.parametrize("method", METHODS)
def test_it_learns_what_is_better(tmp_path, base, ranked, method):
    config = DpoConfig(method=method, epochs=30, learning_rate=3e-3)
    train(tmp_path / "run", config, model=base, rankings=ranked, valid=ranked)
    last = runs.read_metrics(tmp_path / "run")[-1]
    assert last["valid_accuracy"] > 0.9  # of twelve pairs one may be wrong
    assert last["valid_chosen"] > last["valid_rejected"]


def test_it_goes_on_where_it_was_stopped_without_asking_the_start_model_again(tmp_path, base, ranked, monkeypatch):
    config = DpoConfig(method="kto", epochs=6, batch=2, checkpoint_every=3, learning_rate=1e-3)
    given = {"model": base, "rankings": ranked, "valid": ranked}
    whole = train(tmp_path / "whole" / "dpo", config, **given)
    gradient, calls = stage.gradient, itertools.count()

    def stop(*given):
        if next(calls) == 7:
            raise KeyboardInterrupt
        return gradient(*given)

    with monkeypatch.context() as patch:
        patch.setattr(stage, "gradient", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut" / "dpo", config, **given)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "reference", None)
        again = train(tmp_path / "cut" / "dpo", config, **given)
    assert (again / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert runs.read_metrics(again.parent) == runs.read_metrics(whole.parent)


def test_the_epoch_of_the_lowest_valid_loss_or_the_highest_score_can_be_kept(tmp_path, base, ranked):
    turned = tiny.rankings(tmp_path / "v.jsonl", [(q, tiers[::-1]) for q, tiers in SETS])  # learning can only harm
    lm, tok = causal.load(base)
    judge = reward.save(RewardModel(lm, torch.Generator().manual_seed(1)), tok, tmp_path / "judge")
    given = {"model": base, "rankings": ranked, "valid": turned, "reward_model": judge}
    made = {}
    for select in ("last", "valid_loss", "valid_score"):
        config = DpoConfig(epochs=4, learning_rate=1e-2, select=select, answer_tokens=8)
        folder = train(tmp_path / select, config, **given)
        made[select] = (folder / "model.safetensors").read_bytes()
    lines = runs.read_metrics(tmp_path / "last")
    losses, scores = [line["valid_loss"] for line in lines], [line["valid_score"] for line in lines]
    assert losses.index(min(losses)) == 0
    assert scores.index(max(scores)) < 3, "or the next line says nothing"
    assert made["last"] not in (made["valid_loss"], made["valid_score"])
    one = DpoConfig(epochs=4, learning_rate=1e-2, select="valid_loss", answer_tokens=8)
    lm, tok = causal.load(tmp_path / "valid_loss" / "model")
    checks = [Known(s, torch.zeros(len(s.answers))) for s in snapshots.rankings(turned, tok)]
    start, _ = causal.load(base)
    checks = [Known(k.ranked, stage.see(start, [k]).logp_N.detach()) for k in checks]
    with torch.no_grad():
        assert stage.gradient(lm, one, Lessons(checks, []))["loss"] == pytest.approx(min(losses), abs=1e-5)  # float32


def test_pretraining_text_joins_the_same_step(tmp_path, base, ranked):
    pages = tiny.pages(tmp_path / "pages.jsonl", ["the cow say no", "the dog say yes yes"])
    config = DpoConfig(epochs=20, learning_rate=3e-3, gamma_ptx=1.0)
    train(tmp_path / "with", config, model=base, rankings=ranked, pages=pages)
    with_ptx = [line["ptx_loss"] for line in runs.read_metrics(tmp_path / "with")]
    assert with_ptx[-1] < 0.7 * with_ptx[0]
    assert len(with_ptx) == 20  # one update each, not one more for the text


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"select": "valid_loss"}, "select: valid_loss needs valid rankings"),
        ({"gamma_ptx": 1.0}, "gamma_ptx: is 1.0, but no pretraining text is given; give pages"),
        ({"method": "kto", "label_smoothing": 0.1}, "label_smoothing: kto has none"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, base, ranked, settings, complaint):
    with pytest.raises(ConfigError, match=complaint):
        train(tmp_path / "run", DpoConfig(**settings), model=base, rankings=ranked)


def test_a_score_needs_a_judge_and_prompts(tmp_path, base, ranked):
    with pytest.raises(ConfigError, match="select: valid_score needs a reward_model"):
        train(tmp_path / "run", DpoConfig(select="valid_score"), model=base, rankings=ranked, valid=ranked)
    with pytest.raises(ConfigError, match="reward_model: scores answers to valid prompts"):
        train(tmp_path / "run", DpoConfig(), model=base, rankings=ranked, reward_model=base)
