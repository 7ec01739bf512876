"""What the page colours is what the trainers learn from: its numbers add up to theirs, and words stay words."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import tiny
from biddable.cli import app
from biddable.config import ConfigError
from biddable.doubt import masks, masks_page
from biddable.doubt.masks import Masks, Row
from biddable.learn import dpo, group, ppo, sft
from biddable.learn.dpo import DpoConfig
from biddable.learn.group import GrpoConfig, ReinforceConfig, RlooConfig
from biddable.learn.ppo import PpoConfig
from biddable.learn.raft import RaftConfig
from biddable.learn.reward import RewardConfig
from biddable.learn.sft import SftConfig
from biddable.learn.start import StartConfig
from biddable.model import causal, reward
from biddable.model.forest import Turns
from biddable.model.reward import RewardModel
from biddable.text import snapshots

PAIRS = [("say red", "red"), ("name a cow", "the big cow"), ("yes", "no no"), ("one two", "three")]
PLAIN = PpoConfig(batch=4, minibatch=4, answer_tokens=6, gamma_ptx=2.0, ptx_tokens=32, beta=0.5)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("masks")
    tok = tiny.tokenizer()
    net = RewardModel(tiny.llama(tok, seed=1, layers=1), torch.Generator().manual_seed(0))
    return {
        "model": tiny.saved(place / "base", layers=1),
        "start": tiny.saved(place / "base", layers=1),
        "moved": tiny.saved(place / "moved", seed=2, layers=1),
        "reward_model": reward.save(net, tok, place / "rm"),
        "demos": tiny.demonstrations(place / "demos.jsonl", PAIRS),
        "rankings": tiny.rankings(
            place / "rankings.jsonl",
            [("say red", [["red"], ["blue", "green"]]), ("yes", [["no"], ["yes yes", "one"], ["two"]])],
        ),
        "prompts": tiny.prompts(place / "prompts.jsonl", [asked for asked, _ in PAIRS]),
        "pages": tiny.pages(place / "pages.jsonl", ["the cow say no", "the dog say yes yes"]),
    }


def carried(rows: tuple[Row, ...], lens: str) -> list[list[tuple[str, float]]]:
    """By row, the tokens that carry, with their numbers."""
    return [[(t.text, t.carries[lens]) for s in row.strips for t in s.tokens if lens in t.carries] for row in rows]


def words(rows: tuple[Row, ...], lens: str) -> list[list[str]]:
    return [[text for text, _ in row] for row in carried(rows, lens)]


def shown(config, files, stage: str, rows: int = 4, policy: Path | None = None) -> Masks:
    return masks.masks(stage, config, files, 0, rows, policy)


def test_demonstrations_carry_loss_on_the_answer_and_its_end(files):
    made = shown(SftConfig(), files, "sft")
    assert words(made.rows, "loss") == [[*answer.split(), "<|end|>"] for _, answer in PAIRS]
    # and the numbers are those whose mean the trainer takes the gradient of
    lm, tok = causal.load(files["model"])
    turns = sft.turns_of(SftConfig(), snapshots.demonstrations(files["demos"], tok))
    numbers = [x for row in carried(made.rows, "loss") for _, x in row]
    assert sum(numbers) / len(numbers) == pytest.approx(sft.gradient(lm, turns, 4096), rel=1e-5)  # float32


def test_where_all_is_learnt_only_the_first_token_carries_nothing(files):
    [row] = shown(SftConfig(loss_on="all"), files, "sft", rows=1).rows
    assert [t.text for s in row.strips for t in s.tokens if not t.carries] == ["<|begin|>"]
    assert words((row,), "loss") == [["say", "red", "\n", "red", "<|end|>"]]


def test_the_start_model_learns_from_pages_too(files):
    made = shown(StartConfig(), files, "start", rows=2)
    assert [row.title for row in made.rows] == ["Demonstration 1", "Demonstration 2", "Pretraining text 1"]
    assert words(made.rows, "loss")[-1] == ["the", "cow", "say", "no", "<|end|>"]


def test_rankings_are_one_tree_and_each_answer_is_scored_at_its_end(files):
    made = shown(RewardConfig(), files, "reward")
    assert carried(made.rows, "score") == [[("<|end|>", n) for n in (1, 2, 2)], [("<|end|>", n) for n in (1, 2, 2, 3)]]
    assert [strip.title for strip in made.rows[0].strips] == ["Prompt", *(f"Answer, place {n}" for n in (1, 2, 2))]
    assert [t.text for t in made.rows[0].strips[0].tokens] == ["<|begin|>", "say", "red", "\n"]
    # positions go on from the prompt in each answer
    assert [strip.tokens[0].position for strip in made.rows[0].strips] == [0, 4, 4, 4]


def test_what_ppo_pays_adds_up_to_what_it_logs(files, monkeypatch):
    told = {}
    judge = ppo.judge
    monkeypatch.setattr(ppo, "judge", lambda *given: told.setdefault("x", judge(*given)))
    made = shown(PLAIN, files, "ppo", policy=files["moved"])
    credit, seen = told["x"]
    answers = [row for row in made.rows if row.title.startswith("Prompt and answer")]
    lengths = [len(answer) for answer in credit.turns.answers]
    for lens in ("loss", "kl", "reward", "reference", "value"):
        assert [len(row) for row in carried(tuple(answers), lens)] == lengths
    sums = {lens: [sum(x for _, x in row) for row in carried(tuple(answers), lens)] for lens in ("kl", "reward")}
    assert sum(sums["kl"]) / 4 == pytest.approx(seen["kl"], rel=1e-4)  # float32
    assert sum(sums["reward"]) / 4 == pytest.approx(seen["reward"], rel=1e-4)
    assert abs(seen["kl"]) > 0.1
    values = [x for row in carried(tuple(answers), "value") for _, x in row]
    assert sum(values) / len(values) == pytest.approx(seen["value"], rel=1e-4)
    assert [" ".join(page) for page in words(made.rows, "ptx")[-2:]] == [
        "the cow say no <|end|>",
        "the dog say yes yes <|end|>",
    ]


def test_only_the_last_token_is_paid_a_score_where_the_policy_is_its_reference(files):
    made = shown(PLAIN.model_copy(update={"gamma_ptx": 0.0}), files, "ppo")
    assert "ptx" not in made.lenses
    for row in carried(made.rows, "reward"):
        assert [round(x, 4) for _, x in row[:-1]] == [0] * (len(row) - 1)
        assert row[-1][1] != 0
    assert any("KL is 0" in said for said in made.says)


EPISODES = {"batch": 16, "minibatch": 8, "answer_tokens": 6, "gamma_ptx": 2.0, "ptx_tokens": 32, "beta": 0.5}
SIBLINGS = [
    RlooConfig(**EPISODES, samples=4),
    GrpoConfig(**EPISODES, samples=4),
    ReinforceConfig(**EPISODES, samples=4),
    ReinforceConfig(**EPISODES, samples=4, baseline=True),
]


def by_answer(rows: tuple[Row, ...], lens: str) -> list[list[float]]:
    return [[t.carries[lens] for t in s.tokens if lens in t.carries] for row in rows for s in row.strips[1:]]


@pytest.mark.parametrize("config", SIBLINGS, ids=["rloo", "grpo", "reinforce", "reinforce with baseline"])
def test_siblings_carry_what_their_step_makes_of_them(files, monkeypatch, config):
    told = []
    judge = group.judge
    monkeypatch.setattr(group, "judge", lambda *given: told.append(judge(*given)) or told[-1])
    made = shown(config, files, config.stage, rows=2, policy=files["moved"])
    [(credit, seen)] = told
    rows = made.rows[:2]
    assert [[strip.title for strip in row.strips] for row in rows] == [
        ["Prompt", *(f"Answer {n}" for n in some)] for some in ((1, 2, 3, 4), (5, 6, 7, 8))
    ]
    lengths = [len(answer) for answer in credit.turns.answers]
    for lens in ("loss", "kl", "reward", "reference"):
        assert [len(numbers) for numbers in by_answer(rows, lens)] == lengths
    advantages = [row[:n] for row, n in zip(credit.advantage_BT.tolist(), lengths, strict=True)]
    assert by_answer(rows, "loss") == [pytest.approx(row) for row in advantages]
    # where the KL is in the reward its sum is what is logged; else the score alone is paid, at the end
    paid = [sum(numbers) for numbers in by_answer(rows, "reward")]
    if config.stage == "rloo" or (config.stage == "reinforce" and not config.baseline):
        assert sum(paid) / 8 == pytest.approx(seen["reward"], rel=1e-4)  # float32
    else:
        kl = sum(sum(numbers) for numbers in by_answer(rows, "kl")) / 8
        assert sum(paid) / 8 == pytest.approx(seen["reward"] + 0.5 * kl, rel=1e-4)
        assert not any(x for numbers in by_answer(rows, "reward") for x in numbers[:-1])
        assert "in the loss" in made.lenses["kl"]
    assert words(made.rows, "ptx")[-1] == ["the", "cow", "say", "no", "<|end|>"]


def test_raft_learns_the_best_of_each_prompt_and_nothing_of_the_others(files):
    """Its numbers are those whose mean the step takes the gradient of."""
    config = RaftConfig(batch=4, k=3, answer_tokens=6, beta=0.5)
    made = shown(config, files, "raft", rows=4, policy=files["moved"])
    paid = [sum(numbers) for numbers in by_answer(made.rows, "reward")]
    best = [max(range(at, at + 3), key=paid.__getitem__) for at in range(0, 12, 3)]
    learnt = by_answer(made.rows, "loss")
    assert [bool(numbers) for numbers in learnt] == [i in best for i in range(12)]
    strips = [strip for row in made.rows for strip in row.strips[1:]]
    prompts = [[t.id for t in row.strips[0].tokens] for row in made.rows]
    answers = [[t.id for t in strips[i].tokens] for i in best]
    numbers = [x for some in learnt for x in some]
    wanted = sft.gradient(causal.load(files["moved"])[0], Turns(prompts, answers), 4096)
    assert sum(numbers) / len(numbers) == pytest.approx(wanted, rel=1e-5)  # float32


def test_what_dpo_pushes_by_hand(files):
    """Two rankings, of a best and two equal others, and of 1, 2 and 1 answers. Each loss is the mean over its pairs of
    −log σ(β·difference), whose slope is β/2 where policy and reference are one; the whole is the mean of the two."""
    made = shown(DpoConfig(beta=0.2), files, "dpo", rows=2)
    first = [0.1 * share / 2 for share in (1, -1 / 2, -1 / 2)]  # two pairs
    second = [0.1 * share / 2 for share in (3 / 5, 0, 0, -3 / 5)]  # five: the two in the middle win once and lose once
    pushed = by_answer(made.rows, "loss")
    assert [strip.title for strip in made.rows[1].strips[1:]] == [f"Answer, place {n}" for n in (1, 2, 2, 3)]
    assert [sorted({round(x, 6) for x in numbers}) for numbers in pushed] == [
        [pytest.approx(x)] if x else [] for x in (*first, *second)
    ]
    assert words(made.rows, "loss")[0] == ["red", "<|end|>", "blue", "<|end|>", "green", "<|end|>"]
    assert not any(x for numbers in by_answer(made.rows, "kl") for x in numbers)
    assert any("every KL is 0" in said for said in made.says)
    lm, tok = causal.load(files["model"])
    reference = dpo.reference(lm, DpoConfig(), snapshots.rankings(files["rankings"], tok)).tolist()
    assert [sum(numbers) for numbers in by_answer(made.rows, "reference")] == [pytest.approx(x) for x in reference]


@pytest.mark.parametrize("method", ["dpo", "ipo", "hinge", "kto", "orpo", "simpo"])
def test_every_method_pushes_the_best_up_and_the_worst_down(files, method):
    made = shown(DpoConfig(method=method), files, "dpo", rows=2, policy=files["moved"])
    pushed = by_answer(made.rows[:2], "loss")
    assert all(x > 0 for numbers in (pushed[0], pushed[3]) for x in numbers)
    assert all(x < 0 for x in pushed[6])
    assert pushed[0]
    assert pushed[6]
    assert ("reference" in made.lenses) == (method not in ("orpo", "simpo"))
    beside = [row for row in made.rows if row.title.startswith("For the reference point")]
    assert len(beside) == (2 if method == "kto" else 0)
    assert not any("loss" in t.carries for row in beside for s in row.strips for t in s.tokens)
    if "kl" in made.lenses:
        assert max(abs(x) for numbers in by_answer(made.rows[:2], "kl") for x in numbers) > 0.1


def test_judged_answers_are_pushed_by_what_was_said_of_them(files, tmp_path):
    ranked = tiny.rankings(tmp_path / "ranked.jsonl", [(asked, [["red", "cow"]]) for asked, _ in PAIRS[:2]])
    thumbs = tiny.judged(tmp_path / "thumbs.jsonl", ranked)
    made = shown(DpoConfig(method="kto"), files | {"rankings": thumbs}, "dpo", rows=1)
    _, *answers = made.rows[0].strips
    pushed = by_answer(made.rows[:1], "loss")
    for strip, numbers in zip(answers, pushed, strict=True):
        assert numbers
        assert all(x > 0 for x in numbers) == (strip.title == "Answer, desirable")
        assert all(x < 0 for x in numbers) == (strip.title == "Answer, undesirable")
    assert {strip.title for strip in answers} == {"Answer, desirable", "Answer, undesirable"}


def test_no_policy_where_there_is_none(files):
    with pytest.raises(ConfigError, match="--policy: is for what has a reference; sft has none"):
        shown(SftConfig(), files, "sft", policy=files["moved"])


class Page(HTMLParser):
    """The tags, and each token's classes and text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.chips, self.inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        classes = (dict(attrs).get("class") or "").split()
        self.inside = tag == "span" and "t" in classes
        if self.inside:
            self.chips.append([classes, ""])

    def handle_data(self, data):
        if self.inside:
            self.chips[-1][1] += data

    def handle_endtag(self, _tag):
        self.inside = False


def test_the_page_loads_nothing_and_words_are_never_markup(files, tmp_path):
    wicked = '<script>alert("x")</script> \u202e </p> <img src=x onerror=alert(1)>'
    one = masks.Token(wicked, 7, 0, {"loss": -2.0})
    made = Masks("sft", {"loss": "it"}, (Row(wicked, (masks.Strip(wicked, (one,)),)),), (wicked,))
    text = masks_page.write(made, tmp_path / "a" / "masks.html", {"demos": wicked}).read_text(encoding="utf-8")
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "img", "iframe", "link", "object", "base", "form"}
    assert not [key for _, attrs in page.tags for key in attrs if key.startswith("on") or key in ("src", "href")]
    assert "\u202e" not in text
    assert "http" not in text.replace("http-equiv", "")
    [[classes, told]] = page.chips
    assert classes == ["t", "loss", "loss-below"]
    assert "alert" in told


def test_each_lens_has_its_button_and_the_first_is_pressed(files):
    page = Page(masks_page.page(shown(PLAIN, files, "ppo"), {}))
    buttons = [attrs for tag, attrs in page.tags if tag == "input"]
    assert [one["value"] for one in buttons] == ["loss", "kl", "reward", "reference", "value", "ptx"]
    assert ["checked" in one for one in buttons] == [True, False, False, False, False, False]


def test_the_verb_takes_the_words_of_the_stage(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [f"model={files['model']}", f"data={files['demos']}", "loss_on=all"]
    told = CliRunner().invoke(app, ["masks", "sft", *given, "--rows", "2"])
    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[-1] == "masks-sft.html: made"
    chips = Page((tmp_path / "masks-sft.html").read_text(encoding="utf-8")).chips
    assert [text for classes, text in chips if "loss" in classes][:5] == ["say", "red", "↵\n", "red", "<|end|>"]
    assert not (tmp_path / "runs").exists()  # it was looked at and not done
    wrong = CliRunner().invoke(app, ["masks", "sft", *given, "epoch=2"])
    assert wrong.exit_code == 2
    assert "epoch: no such key; did you mean epochs?" in wrong.stderr
