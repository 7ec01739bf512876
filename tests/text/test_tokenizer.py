import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import tiny
from biddable.records import Prompt, Turn
from biddable.text import tokenizer as tokenizers


def bare(**special: str) -> PreTrainedTokenizerFast:
    vocabulary = {token: index for index, token in enumerate(["</s>", "<u>", "<p>", "red", "dog"])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<u>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special)


def test_an_answer_is_its_tokens_and_the_end_token():
    tok = bare(eos_token="</s>", unk_token="<u>", pad_token="<p>")
    assert tokenizers.answer_ids(tok, ["red dog", ""]) == [[3, 4, 0], [0]]  # ids by the vocabulary above


def test_an_answer_with_the_end_token_inside_is_refused():
    tok = bare(eos_token="</s>", unk_token="<u>", pad_token="<p>")
    with pytest.raises(ValueError, match="has the end token '</s>' inside"):
        tokenizers.answer_ids(tok, ["red </s> dog"])


def test_a_prompt_without_a_template_is_followed_by_a_line_break():
    assert tokenizers.render(bare(eos_token="</s>"), "red dog") == "red dog\n"


def test_a_prompt_is_rendered_by_the_template():
    tok = tiny.tokenizer()
    assert tokenizers.render(tok, "say red") == "<|begin|>say red\n"
    [ids] = tokenizers.prompt_ids(tok, ["say red"])
    assert tok.convert_ids_to_tokens(ids) == ["<|begin|>", "say", "red", "\n"]  # one begin token, not two


def test_pad_that_is_end_is_refused():
    with pytest.raises(ValueError, match="the pad token must not be the end token"):
        tokenizers.check(bare(eos_token="</s>", pad_token="</s>"), "m")


def test_pad_that_is_end_is_repaired_with_a_spare_token():
    tok = tokenizers.repair(bare(eos_token="</s>", pad_token="</s>", unk_token="<u>"))
    assert tok.pad_token == "<u>"
    assert tokenizers.check(tok, "m") is tok


def test_no_pad_and_nothing_to_spare_is_refused():
    with pytest.raises(ValueError, match="pad token"):
        tokenizers.check(tokenizers.repair(bare(eos_token="</s>")), "m")


def test_no_end_token_is_refused():
    with pytest.raises(ValueError, match="m: the tokenizer has no end token"):
        tokenizers.check(bare(pad_token="<p>"), "m")


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{% for m in messages %}{{ m['content'] }}\n{% endfor %}", "does not end an answer with the end token"),
        ("{{ messages[0]['nothing']['here'] }}", "the chat template fails"),
        ("{{ eos_token }}", "leaves out the message"),
        ("{% if %}", "the chat template fails"),
    ],
)
def test_a_bad_template_is_refused(template, complaint):
    tok = tiny.tokenizer()
    tok.chat_template = template
    with pytest.raises(ValueError, match=complaint):
        tokenizers.check(tok, "m")


def test_a_page_has_a_begin_and_an_end_and_a_long_one_is_cut():
    tok = tiny.tokenizer()
    [whole] = tokenizers.page_ids(tok, ["red dog"], longest=100)
    assert tok.convert_ids_to_tokens(whole) == ["<|begin|>", "red", "dog", "<|end|>"]
    cut = tokenizers.page_ids(tok, ["red dog red dog"], longest=3)
    assert [tok.convert_ids_to_tokens(piece) for piece in cut] == [
        ["<|begin|>", "red", "dog"],
        ["red", "dog", "<|end|>"],
    ]


def test_words_stop_at_the_end():
    tok = tiny.tokenizer()
    [ids] = tokenizers.answer_ids(tok, ["red dog"])
    assert tokenizers.words(tok, [*ids, ids[0]]) == "red dog"


def test_words_hold_nothing_that_a_store_refuses():
    tok = tiny.byte_tokenizer()
    [ids] = tokenizers.answer_ids(tok, ["a\0b"])
    assert tokenizers.words(tok, ids) == "a\ufffdb"


def test_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(ValueError, match="no tokenizer"):
        tokenizers.load(tmp_path)


TALK = Prompt.make(
    "say blue", before=(Turn(role="user", text="say red"), Turn(role="assistant", text="red dog")), user="u"
)


def test_a_conversation_is_the_templates_words_with_the_answers_as_they_were_given():
    tok = tiny.byte_tokenizer()
    [(ids, [place])] = tokenizers.conversations(tok, [TALK])
    assert tok.decode(ids) == tokenizers.render(tok, TALK)
    assert tokenizers.render(tok, TALK) == (
        "<s>user\nsay red<|end|>\n<s>assistant\nred dog<|end|>\n<s>user\nsay blue<|end|>\n<s>assistant\n"
    )
    # Its earlier answer has the very tokens that it has as an answer, after the very tokens of its own prompt.
    [answer] = tokenizers.answer_ids(tok, ["red dog"])
    assert ids[place.start : place.stop] == answer
    assert [ids[: place.start]] == tokenizers.prompt_ids(tok, ["say red"])
    assert tokenizers.prompt_ids(tok, ["say red", TALK]) == [ids[: place.start], ids]


def test_without_a_template_each_answer_has_its_end_token():
    tok = bare(eos_token="</s>", unk_token="<u>", pad_token="<p>")
    assert tokenizers.render(tok, TALK) == "say red\nred dog</s>\nsay blue\n"
    [(ids, [place])] = tokenizers.conversations(tok, [TALK])
    assert ids == [1, 3, 3, 4, 0, 1, 1]  # say red | red dog </s> | say blue; by the vocabulary above
    assert place == range(2, 5)


def test_where_a_template_tells_earlier_turns_otherwise_no_places_are_known():
    tok = tiny.byte_tokenizer()
    tok.chat_template = tok.chat_template.replace("m['content']", "m['content'] | replace('red dog', 'cow')")
    [(ids, places)] = tokenizers.conversations(tok, [TALK])
    assert places == []
    assert "assistant\ncow<|end|>" in tok.decode(ids)
