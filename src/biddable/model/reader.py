"""How a reward model reads what another model said: the same tokens, or the same words in its own tokens.

The paper's one 6B reward model judged policies of all sizes with one tokenizer. A reward model of another family has
another tokenizer and another chat template; it is given the text anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from biddable.model.forest import Turns
from biddable.records import Prompt
from biddable.text.tokenizer import Ids, Tokenizer, prompt_ids, words


@dataclass(frozen=True)
class Reader:
    """From turns in their tokens to turns in ours.

    A rendered prompt does not tell its text, so all prompts that can come are known beforehand. An answer that ended
    ends in our end token, and one that was cut does not; what would be longer than `longest` with its prompt is cut.
    """

    theirs: Tokenizer
    ours: Tokenizer
    longest: int
    prompt: Mapping[tuple[int, ...], Ids]  # their ids → ours

    def fits(self, prompt: Ids) -> bool:
        """Whether a prompt in their tokens leaves room for an answer in ours."""
        return len(self.prompt[tuple(prompt)]) < self.longest

    def __call__(self, turns: Turns, finished: Sequence[bool]) -> Turns:
        prompts = [self.prompt[tuple(ids)] for ids in turns.prompts]
        for ids, ours in zip(turns.prompts, prompts, strict=True):
            if len(ours) >= self.longest:
                raise ValueError(
                    f"the prompt {words(self.theirs, ids)[:60]!r} is {len(ours)} tokens to the reward model, which "
                    f"reads {self.longest} with the answer; leave it out"
                )
        answers = self._retold(turns.answers, finished)
        return Turns(prompts, [a[: self.longest - len(p)] for p, a in zip(prompts, answers, strict=True)])

    def _retold(self, answers: Sequence[Ids], finished: Sequence[bool]) -> list[Ids]:
        texts = [words(self.theirs, ids) for ids in answers]
        rows = self.ours(texts, add_special_tokens=False, verbose=False)["input_ids"]
        end = self.ours.eos_token_id
        # A policy may write the words of our end token; that is no end.
        rows = [[token for token in ids if token != end] for ids in rows]
        # An answer has at least one token: a cut one that says nothing is read at the end that it never had.
        return [[*ids, end] if done or not ids else ids for ids, done in zip(rows, finished, strict=True)]


def reader(theirs: Tokenizer, ours: Tokenizer, prompts: Iterable[str | Prompt], longest: int) -> Reader | None:
    """Who reads answers to these prompts; None where both have the same tokens, which need no retelling."""
    if reads_alike(theirs, ours):
        return None
    every = list(dict.fromkeys(prompts))
    pairs = zip(prompt_ids(theirs, every), prompt_ids(ours, every), strict=True)
    return Reader(theirs, ours, longest, {tuple(their): our for their, our in pairs})


def reads_alike(theirs: Tokenizer, ours: Tokenizer) -> bool:
    """Whether a text is the same tokens to both, its end and what stands around a prompt included."""
    return (theirs.get_vocab(), theirs.chat_template, theirs.eos_token_id) == (
        ours.get_vocab(), ours.chat_template, ours.eos_token_id,
    )  # fmt: skip
