"""A tokenizer for a closed language: one token a word, pieces for what it does not know.

An ordinary fast tokenizer of the WordPiece kind, built from a list of words and not trained, so that it is the same
on every machine.
"""

from collections.abc import Iterable
from string import ascii_lowercase, digits

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

BEGIN, END, PAD, UNKNOWN = "<|begin|>", "<|end|>", "<|pad|>", "<|unknown|>"
MARKS = ".,:;?!'\"-()@/&+*%$#=_"

# Plain: the request on a line of its own, then the answer, as on the pages that the base has read.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}{% generation %}"
    "{{ message['content'] }}{{ eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}\n{% endif %}{% endfor %}"
)


def word_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    pieces = [*ascii_lowercase, *digits, *MARKS]
    tokens = [PAD, BEGIN, END, UNKNOWN, "\n", *pieces, *(f"##{piece}" for piece in (*ascii_lowercase, *digits)), *words]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=200))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    # Words, single marks; blanks vanish. A line break is an added token and never comes here.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.Split(Regex(r"[^\w]|_"), "isolated"),
    ])  # fmt: skip
    tokenizer.decoder = decoders.Sequence([
        decoders.WordPiece(prefix="##", cleanup=True),
        decoders.Fuse(),
        decoders.Replace(" \n", "\n"),
        decoders.Replace("\n ", "\n"),
        decoders.Replace(" :", ":"),
    ])  # fmt: skip
    tokenizer.add_tokens([AddedToken("\n", normalized=False, special=False)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, pad_token=PAD, unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False, padding_side="left", model_max_length=256,
    )  # fmt: skip
    fast.chat_template = TEMPLATE
    return fast
