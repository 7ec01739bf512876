"""A reward model reads what a policy with another tokenizer said."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import tiny
from biddable.model import reward
from biddable.model.forest import Turns
from biddable.model.reader import reader, reads_alike
from biddable.model.reward import RewardModel
from biddable.records import Completion
from biddable.sample.score import score
from biddable.text.tokenizer import answer_ids, prompt_ids

TEXTS = ["say red", "name the big cow", "yes"]
SAID = ["red", "the big cow", ""]
TEMPLATE = (
    "{% for m in messages %}{{ '<' + m['role'] + '> ' + m['content'] + ('</s>' if m['role'] == 'assistant' else '') }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<assistant> ' }}{% endif %}"
)


@pytest.fixture(scope="module")
def theirs():
    return tiny.tokenizer()


@pytest.fixture(scope="module")
def ours():
    """Every letter is a token, the end is another number, and prompts stand in a chat template."""
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz <>/\n"))
    inner = Tokenizer(models.WordLevel({c: i for i, c in enumerate(["</s>", "<pad>", "<unk>", *letters])}, "<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.decoder = decoders.Fuse()
    tok = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
    tok.chat_template = TEMPLATE
    return tok


def turns_of(tok, finished=(True, True, True)) -> Turns:
    answers = [ids if done else ids[:-1] or ids for ids, done in zip(answer_ids(tok, SAID), finished, strict=True)]
    return Turns(prompt_ids(tok, TEXTS), answers)


def test_the_same_tokenizer_reads_the_same_tokens(theirs):
    assert reads_alike(theirs, tiny.tokenizer())
    assert reader(theirs, tiny.tokenizer(), TEXTS, 100) is None


def test_text_is_told_anew_with_its_prompts_template_and_its_end(theirs, ours):
    assert not reads_alike(theirs, ours)
    finished = [True, False, True]
    read = reader(theirs, ours, TEXTS, 100)(turns_of(theirs, finished), finished)
    assert read.prompts == prompt_ids(ours, TEXTS)
    assert ours.decode(read.prompts[0]) == "<user> say red<assistant> "
    whole = answer_ids(ours, SAID)
    assert read.answers == [whole[0], whole[1][:-1], whole[2]]
    assert read.answers[2] == [ours.eos_token_id]


def test_another_template_alone_is_another_reading(theirs):
    other = tiny.tokenizer()
    other.chat_template = TEMPLATE
    assert not reads_alike(theirs, other)


def test_words_of_our_end_token_are_no_end(theirs, ours, monkeypatch):
    monkeypatch.setattr("biddable.model.reader.words", lambda *_: "a</s>b")
    read = reader(theirs, ours, TEXTS, 100)(turns_of(theirs), [True, False, False])
    a, b = ours.convert_tokens_to_ids(["a", "b"])
    assert read.answers == [[a, b, ours.eos_token_id], [a, b], [a, b]]


def test_what_does_not_fit_is_cut_and_a_prompt_without_room_is_named(theirs, ours):
    longest = 1 + max(len(ids) for ids in prompt_ids(ours, TEXTS))
    read = reader(theirs, ours, TEXTS, longest)(turns_of(theirs), [True] * 3)
    assert read.answers[1] == answer_ids(ours, SAID)[1][:1]
    tight = reader(theirs, ours, TEXTS, longest - 1)
    assert [tight.fits(ids) for ids in turns_of(theirs).prompts] == [True, False, True]
    with pytest.raises(ValueError, match=f"the prompt 'name the big cow' is {longest - 1} tokens to the reward model"):
        tight(turns_of(theirs), [True] * 3)


def test_a_rollout_scores_as_its_texts_do(tmp_path, theirs, ours):
    """The slow way round: the answers' texts as records, scored from a file."""
    net = RewardModel(tiny.llama(ours, seed=5), torch.Generator().manual_seed(3)).eval()
    folder = reward.save(net, ours, tmp_path / "rm")
    asked = [tiny.prompt(text) for text in TEXTS]
    finished = [True, False, True]
    made = [
        Completion.make(p.id, text, "r", finished=done) for p, text, done in zip(asked, SAID, finished, strict=True)
    ]
    by_text = [s.value for s in score(folder, {p.id: p for p in asked}, made, run_id="r")]
    read = reader(theirs, ours, TEXTS, 128)(turns_of(theirs, finished), finished)
    assert reward.scores(net, read, 4096).tolist() == pytest.approx(by_text, abs=1e-4)  # float32
