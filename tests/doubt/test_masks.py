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
from biddable.learn import ppo, sft
from biddable.learn.ppo import PpoConfig
from biddable.learn.reward import RewardConfig
from biddable.learn.sft import SftConfig
from biddable.learn.start import StartConfig
from biddable.model import causal, reward
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
    for lens in ("loss", "kl", "reward", "value"):
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


def test_no_policy_where_there_is_none(files):
    with pytest.raises(ConfigError, match="--policy: is for ppo"):
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
    assert [one["value"] for one in buttons] == ["loss", "kl", "reward", "value", "ptx"]
    assert ["checked" in one for one in buttons] == [True, False, False, False, False]


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
