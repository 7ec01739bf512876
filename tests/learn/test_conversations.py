"""Conversations of three turns, with a chat template and without: what carries loss, and what every stage reads."""

import itertools
from pathlib import Path

import pytest
import torch

import tiny
from biddable import records
from biddable.doubt import masks
from biddable.learn import dpo, episodes, ppo, sft
from biddable.learn.dpo import DpoConfig
from biddable.learn.ppo import PpoConfig
from biddable.learn.sft import SftConfig
from biddable.learn.start import StartConfig
from biddable.model import causal, reward
from biddable.model.forest import plant
from biddable.model.reward import RewardModel
from biddable.records import Completion, Demonstration, Labeler, Prompt, Ranking, Turn
from biddable.sample.completions import SampleConfig, completions
from biddable.sample.score import score
from biddable.text import snapshots
from biddable.text import tokenizer as tokenizers

SAID = [
    ("system", "be brief"),
    ("user", "say red"), ("assistant", "red dog"),
    ("user", "and blue?"), ("assistant", "blue"),
    ("user", "name a cow"),
]  # fmt: skip
ASKED = Prompt.make(SAID[-1][1], before=tuple(Turn(role=role, text=text) for role, text in SAID[:-1]), split="train")
ANSWERS = ("the big cow", "no")

# By hand: the template of tests/tiny.py; and each thing said and a line break, an end token after each answer.
TEMPLATED = (
    "<s>system\nbe brief<|end|>\n<s>user\nsay red<|end|>\n<s>assistant\nred dog<|end|>\n"
    "<s>user\nand blue?<|end|>\n<s>assistant\nblue<|end|>\n<s>user\nname a cow<|end|>\n<s>assistant\n"
)
PLAIN = "be brief\nsay red\nred dog<|end|>\nand blue?\nblue<|end|>\nname a cow\n"
SHAPES = pytest.mark.parametrize("rendered", [TEMPLATED, PLAIN], ids=["template", "plain"])


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")


@pytest.fixture
def tok(rendered):
    made = tiny.byte_tokenizer()
    if rendered == PLAIN:
        made.chat_template = None
    return made


@pytest.fixture
def base(tmp_path, tok) -> Path:
    return causal.save(tiny.llama(tok, spread=0.1), tok, tmp_path / "base")


@pytest.fixture
def demos(tmp_path) -> Path:
    said = Demonstration(prompt_id=ASKED.id, text=ANSWERS[0], labeler="anna")
    records.write(tmp_path / "d.jsonl", [Labeler(id="anna", group="training"), ASKED, said])
    return tmp_path / "d.jsonl"


@pytest.fixture
def ranked(tmp_path) -> Path:
    best, worst = (Completion.make(ASKED.id, text, "r") for text in ANSWERS)
    ranking = Ranking(prompt_id=ASKED.id, labeler="anna", order=((best.id,), (worst.id,)))
    records.write(tmp_path / "r.jsonl", [Labeler(id="anna", group="training"), ASKED, best, worst, ranking])
    return tmp_path / "r.jsonl"


@pytest.fixture
def judge(tmp_path, tok) -> Path:
    lm = tiny.llama(tok, seed=1)
    return reward.save(RewardModel(lm, torch.Generator().manual_seed(0)), tok, tmp_path / "judge")


def read_alone(tok, text: str) -> torch.Tensor:
    return torch.tensor([tok(text, add_special_tokens=False)["input_ids"]])


@torch.no_grad()
def logp_of(lm, ids: torch.Tensor, first: int) -> float:
    """The definition: the sum of log p over the tokens of one row from `first` on, by transformers."""
    logp = lm(input_ids=ids).logits[0].log_softmax(-1)
    return sum(float(logp[t - 1, ids[0, t]]) for t in range(first, ids.shape[1]))


def marked(tok, forest) -> str:
    """The row's words, with «» around what carries loss."""
    carries = torch.zeros(len(forest.token_N), dtype=torch.bool)
    carries[forest.before_M + 1] = True
    assert torch.equal(forest.token_N[carries], forest.target_M)
    runs_of = itertools.groupby(zip(carries.tolist(), forest.token_N.tolist(), strict=True), key=lambda pair: pair[0])
    words = ((learnt, tok.decode([token for _, token in some])) for learnt, some in runs_of)
    return "".join(f"«{text}»" if learnt else text for learnt, text in words)


@SHAPES
def test_the_tokens_that_carry_loss_are_the_answers_and_their_end_marks(tok, demos, rendered):
    examples = snapshots.demonstrations(demos, tok)

    def learnt(loss_on: str) -> str:
        return marked(tok, plant(sft.turns_of(SftConfig(loss_on=loss_on), examples)))

    last = "«the big cow<|end|>»"
    every = rendered.replace("red dog<|end|>", "«red dog<|end|>»").replace("blue<|end|>", "«blue<|end|>»")
    assert every.count("«") == 2
    assert learnt("answer") == every + last
    assert learnt("last") == rendered + last
    [first, rest] = learnt("all").split("«")
    assert rest == (rendered + "the big cow<|end|>").removeprefix(first) + "»"
    assert len(tok(first, add_special_tokens=False)["input_ids"]) == 1


@SHAPES
@pytest.mark.parametrize(("stage", "config"), [("sft", SftConfig()), ("start", StartConfig(batch=4, mix=0.25))])
def test_the_page_of_masks_shows_all_answers_too(tmp_path, base, demos, rendered, stage, config):
    pages = tiny.pages(tmp_path / "pages.jsonl", ["two three"])
    shown = masks.masks(stage, config, {"model": base, "demos": demos, "pages": pages}, 0, 1, None)
    tokens = [token for strip in shown.rows[0].strips for token in strip.tokens]
    carry = [token for token in tokens if "loss" in token.carries]
    assert "".join(token.text for token in carry) == "red dog<|end|>blue<|end|>the big cow<|end|>"
    if stage == "sft":
        lm, tok = causal.load(base)
        loss = sft.mean_nll(lm, sft.turns_of(config, snapshots.demonstrations(demos, tok)), 4096)
        assert sum(token.carries["loss"] for token in carry) / len(carry) == pytest.approx(loss, rel=1e-4)


@SHAPES
def test_a_sampled_answer_follows_the_whole_conversation(tok, base, rendered):
    """Its log-probability is the one that transformers gives its own greedy answer to the conversation."""
    lm, _ = causal.load(base)
    greedy = SampleConfig(k=1, temperature=0, answer_tokens=8)
    [made] = completions(base, [ASKED], greedy, run_id="r", seed=0)
    read = read_alone(tok, rendered)
    ids = lm.generate(input_ids=read, attention_mask=torch.ones_like(read), do_sample=False, max_new_tokens=8)
    first = read.shape[1]
    assert made.text == tokenizers.words(tok, ids[0, first:].tolist())
    assert made.logp == pytest.approx(logp_of(lm, ids, first), abs=1e-3)
    [alone] = completions(base, [Prompt.make(ASKED.text)], greedy, run_id="r", seed=0)
    assert abs(alone.logp - made.logp) > 0.02  # and not of the last turn alone


@SHAPES
def test_dpo_and_its_reference_read_the_whole_conversation(tok, base, ranked, rendered):
    lm, _ = causal.load(base)
    sets = snapshots.rankings(ranked, tok)
    first = read_alone(tok, rendered).shape[1]
    expected = [logp_of(lm, read_alone(tok, f"{rendered}{answer}<|end|>"), first) for answer in ANSWERS]
    assert dpo.reference(lm, DpoConfig(), sets).tolist() == pytest.approx(expected, abs=1e-3)


@SHAPES
def test_a_reward_reads_the_whole_conversation_and_the_answers_end(tok, ranked, judge, rendered):
    prompts, answers = snapshots.completions(ranked)
    net, _ = reward.load(judge)
    for one, got in zip(answers, score(judge, prompts, answers, run_id="judge"), strict=True):
        with torch.no_grad():
            hidden = net.lm.model(input_ids=read_alone(tok, rendered + one.text + "<|end|>")).last_hidden_state
            expected = net.head(hidden[0, -1:].float())
        assert got.value == pytest.approx(expected.item(), abs=1e-3)
    [ranking] = snapshots.rankings(ranked, tok)
    assert tok.decode(ranking.prompt) == rendered  # what `reward` learns from


@SHAPES
def test_ppo_and_raft_answer_the_whole_conversation(tmp_path, tok, base, judge, rendered):
    records.write(tmp_path / "p.jsonl", [ASKED])
    config = PpoConfig(answer_tokens=4, prompt_tokens=120, gamma_ptx=0)
    files = episodes.files({"start": base, "reward_model": judge, "prompts": tmp_path / "p.jsonl"})
    actors, pool, _ = episodes.prepared(config, ppo.assemble, files, 0)
    assert [tok.decode(ids) for ids in pool] == [rendered]
    rollout = episodes.sample(actors, config, pool, 0, 0)
    assert [tok.decode(ids) for ids in rollout.turns.prompts] == [rendered]
