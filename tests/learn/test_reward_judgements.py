"""Rankings beside other things that people say: judgements, margins, ties, whole orders."""

import math
from pathlib import Path

import pytest
import torch

import tiny
from biddable import records, runs
from biddable.config import ConfigError
from biddable.learn import reward as stage
from biddable.learn.reward import RewardConfig
from biddable.losses.reward import plackett_luce_loss, ranking_loss
from biddable.model import causal, reward
from biddable.model.reward import RewardModel
from biddable.records import Completion, Judgement
from biddable.text import snapshots

SETS = [
    ("say red", [["red"], ["red red", "blue"], ["no"]]),
    ("name a cow", [["the big cow"], ["cow"], ["dog"], ["no no no"]]),
    ("yes", [["yes"], ["no"]]),
]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture
def base(tmp_path):
    return tiny.saved(tmp_path / "base", spread=0.3)


@pytest.fixture
def rankings(tmp_path):
    return tiny.rankings(tmp_path / "r.jsonl", SETS)


def judged(path: Path, rankings: Path, **said) -> Path:
    """Every answer of the rankings, judged by what a function of its text says."""
    rows: list[records.Record] = []
    for record in records.read(rankings):
        if isinstance(record, Completion):
            fields = {name: how(record.text) for name, how in said.items()}
            rows.append(Judgement(completion_id=record.id, labeler="anna", **fields))
    records.write(path, rows)
    return path


def net_of(base: Path, **more):
    lm, tok = causal.load(base)
    return RewardModel(lm, torch.Generator().manual_seed(0), **more).double().eval(), tok


def test_what_several_people_say_of_an_answer_is_their_mean(tmp_path, rankings, base):
    _, tok = net_of(base)
    first = next(r for r in records.read(rankings) if isinstance(r, Completion))
    some = [Judgement(completion_id=first.id, labeler=who, overall=n) for who, n in (("anna", 7), ("olga", 4))]
    some.append(Judgement(completion_id=first.id, labeler="fritz", hallucination=True))
    records.write(tmp_path / "j.jsonl", some)
    sets = snapshots.rankings(rankings, tok, tmp_path / "j.jsonl")
    assert sets[0].aspects[0] == {"overall": pytest.approx((1 + 0.5) / 2), "truthful": 0.0}
    assert all(not said for s in sets for said in s.aspects[1 if s is sets[0] else 0 :])


@pytest.mark.parametrize("micro_tokens", [10_000, 1])
def test_aspects_are_learnt_beside_the_rankings(tmp_path, base, rankings, micro_tokens):
    """The loss by its slow definition; and however the batch is cut, the mean is over all that was judged."""
    said = judged(tmp_path / "j.jsonl", rankings, hallucination=lambda t: True if "cow" in t else None,
                  overall=lambda t: 1 + len(t) % 7)  # fmt: skip
    net, tok = net_of(base, worth={"overall": 0.0, "truthful": 1.0})
    sets = snapshots.rankings(rankings, tok, said)
    config = RewardConfig(aspects={"overall": 0.0, "truthful": 1.0}, micro_tokens=micro_tokens, aspect_loss=0.5)
    seen = stage.gradient(net, config, sets)
    heard = stage.judge(net, sets)
    terms = []
    for (overall, truthful), told in zip(heard.logit_NJ.tolist(), heard.said, strict=True):
        s = told["overall"]
        terms.append(-s * math.log(1 / (1 + math.exp(-overall))) - (1 - s) * math.log(1 / (1 + math.exp(overall))))
        if "truthful" in told:  # always untruthful
            terms.append(math.log1p(math.exp(truthful)))
    assert len(terms) == 12
    assert seen["aspect_loss"] == pytest.approx(sum(terms) / 12, abs=1e-6)  # float64 but for transformers' RMSNorm
    grad = net.aspects["truthful"].bias.grad.item()
    parts = [
        1 / (1 + math.exp(-z))
        for (_, z), told in zip(heard.logit_NJ.tolist(), heard.said, strict=True)
        if "truthful" in told
    ]
    assert grad == pytest.approx(0.5 * sum(parts) / 12, abs=1e-6)


def test_an_aspect_is_learnt_and_moves_the_score_by_its_worth(tmp_path, base, rankings):
    said = judged(tmp_path / "j.jsonl", rankings, fails_task=lambda t: "no" in t.split())
    scores = {}
    for worth in (0.0, 3.0):
        config = RewardConfig(epochs=40, learning_rate=5e-3, center="answers", aspects={"helpful": worth})
        with runs.start(tmp_path / f"rm{worth}", "reward", config, {}, 0) as run:
            folder = stage.train(run, config, model=base, rankings=rankings, judgements=said)
        net, tok = reward.load(folder)
        sets = snapshots.rankings(rankings, tok, said)
        scores[worth] = reward.scores(net, stage.answers_of(sets), 4096)
        heard = stage.judge(net, sets)
        truth_N = torch.tensor([one["helpful"] for one in heard.said])
        share_N = heard.logit_NJ[:, 0].sigmoid()
        assert ((share_N > 0.5) == (truth_N > 0.5)).all()
    moved_N = (3 * (share_N - share_N.mean())).detach()
    assert torch.allclose(scores[3.0] - scores[0.0], moved_N, atol=1e-4)  # float32; the worth teaches nothing
    assert scores[3.0].mean().abs() < 1e-5


def test_margins_are_of_tiers_or_of_likert_points(tmp_path, base, rankings):
    likert = {"red": 7, "red red": 6, "blue": 5, "no": 1, "yes": 4, "the big cow": 2, "cow": 3, "dog": 2, "no no no": 1}
    net, tok = net_of(base)
    sets = snapshots.rankings(rankings, tok, judged(tmp_path / "j.jsonl", rankings, overall=likert.get))
    heard = stage.judge(net, sets)
    by_rank = stage.grades(RewardConfig(margin=0.5), heard)
    assert by_rank.tolist() == [-0.5 * rank for s in sets for rank in s.ranks]
    rated = stage.grades(RewardConfig(margin=0.5, margin_from="ratings"), heard)
    texts = [text for _, tiers in SETS for tier in tiers for text in tier]
    assert rated.diff().tolist() == pytest.approx(torch.tensor([0.5 * likert[t] for t in texts]).diff().tolist())
    assert stage.grades(RewardConfig(), heard) is None
    # One answer without a rating, and its ranking has no margins; the others keep theirs.
    some = heard._replace(said=({}, *heard.said[1:]))
    assert stage.grades(RewardConfig(margin=1, margin_from="ratings"), some).tolist()[:5] == [0, 0, 0, 0, 6 * (1 / 6)]
    got = stage.preference_loss(RewardConfig(margin=0.5), heard).item()
    assert got == pytest.approx(
        ranking_loss(heard.each_NM[:, 0], heard.rank_N, heard.group_N, grade=-0.5 * heard.rank_N).item()
    )


def test_the_order_of_a_ranking_can_be_learnt_instead_of_its_pairs(base, rankings):
    net, tok = net_of(base)
    heard = stage.judge(net, snapshots.rankings(rankings, tok))
    got = stage.preference_loss(RewardConfig(loss="plackett_luce"), heard).item()
    slow = plackett_luce_loss(heard.each_NM[:, 0], heard.rank_N, heard.group_N).item()
    assert got == pytest.approx(slow)
    assert got != pytest.approx(stage.preference_loss(RewardConfig(), heard).item(), abs=1e-3)


def test_rankings_of_any_length_stand_in_one_batch(tmp_path, base):
    """K = 2, 3, 7 and 9 side by side give the mean of what each gives alone."""
    words = [w for w in tiny.WORDS if w not in ("the", "a")]
    sets = [(f"say {words[k]}", [[word] for word in words[:k]]) for k in (2, 3, 7, 9)]
    net, tok = net_of(base)
    read = snapshots.rankings(tiny.rankings(tmp_path / "r.jsonl", sets), tok)
    assert [len(s.answers) for s in read] == [2, 3, 7, 9]
    for config in (RewardConfig(), RewardConfig(loss="plackett_luce"), RewardConfig(margin=0.3)):
        together = stage.gradient(net, config, read)["loss"]
        alone = [stage.gradient(net, config, [s])["loss"] for s in read]
        assert together == pytest.approx(sum(alone) / 4, abs=1e-6)  # float64 but for transformers' RMSNorm


def test_the_tie_rate_is_the_rankings_own(base, rankings):
    _, tok = net_of(base)
    sets = snapshots.rankings(rankings, tok)
    # 13 pairs, one of them tied, and one imagined pair of each kind
    assert stage.share_of_ties(sets) == pytest.approx(2 / 15)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            {"loss": "plackett_luce", "ties": "davidson"},
            "ties: davidson is of pairs; with loss=plackett_luce say ties=",
        ),
        ({"loss": "plackett_luce", "margin": 1.0}, "margin: goes with loss=pairs and ties=drop"),
        ({"ties": "rao_kupper", "margin": 1.0}, "margin: goes with loss=pairs and ties=drop"),
        ({"aspects": {"truthful": 1.0}}, "aspects: needs judgements of the ranked answers; give judgements=FILE"),
        ({"margin": 1.0, "margin_from": "ratings"}, "margin_from: needs judgements of the ranked answers"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(tmp_path, words, says):
    with pytest.raises(ConfigError, match=says):
        stage.check(RewardConfig(**words), None, tmp_path, None)


def test_judgements_that_nothing_learns_from_are_refused(tmp_path, base, rankings):
    with pytest.raises(ConfigError, match="judgements: nothing learns from them; give aspects, or margin"):
        stage.check(RewardConfig(), None, tmp_path, tmp_path)
    config = RewardConfig(center="answers", aspects={"truthful": 1.0})
    said = judged(tmp_path / "j.jsonl", rankings, overall=lambda _: 4)
    says = r"j.jsonl: says nothing of truthful about the answers ranked in .*r.jsonl"
    with (
        runs.start(tmp_path / "rm", "reward", config, {}, 0) as run,
        pytest.raises(ValueError, match=says),
    ):
        stage.train(run, config, model=base, rankings=rankings, judgements=said)
