"""A model's answers to benchmark questions: likelihoods of choices and sentences, or what it writes at temperature 0.

Questions go in blocks of like length that follow from the questions alone, and a block that is done is on disk: a
killed run goes on with the next one, and its answers are those of a run that was not.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from transformers import PreTrainedModel

from biddable.benchmarks import nouns
from biddable.benchmarks.nouns import Question, Reply
from biddable.model import causal
from biddable.records import Item, Likelihood, to_line
from biddable.sample.likelihood import split, weighed
from biddable.sample.local import respond
from biddable.text import tokenizer as tokenizers
from biddable.text.tokenizer import Ids, Tokenizer, prompt_ids

BLOCK = 16
Told = Literal["page", "prompt"]
Answer = Reply | Likelihood


class Job(NamedTuple):
    """The questions of one setting. `tokens` is the most that an answer may have; 0 where choices are weighed."""

    questions: Sequence[Question]
    tokens: int
    told_as: Told


def prompts_of(tokenizer: Tokenizer, job: Job) -> list[Ids]:
    """What stands before an answer: plain text, as the paper's models were asked, or the template's words around it."""
    contexts = [question.context for question in job.questions]
    return tokenizers.page_starts(tokenizer, contexts) if job.told_as == "page" else prompt_ids(tokenizer, contexts)


def lengths(tokenizer: Tokenizer, job: Job) -> list[int]:
    """How many tokens each question takes with its longest answer."""
    if job.tokens:
        return [len(ids) + job.tokens for ids in prompts_of(tokenizer, job)]
    made = []
    for question in job.questions:
        pairs = split(tokenizer, [(question.context, choice) for choice in question.choices], job.told_as)
        made.append(max(len(given) + len(weighed_) for given, weighed_ in pairs))
    return made


def too_long(models: Iterable[Path], job: Job) -> set[str]:
    """Questions that do not fit into every one of the models. Loads no weights."""
    found: set[str] = set()
    for model in models:
        tokenizer, most = tokenizers.load(model), causal.context_of(model)
        sizes = lengths(tokenizer, job)
        found |= {q.id for q, size in zip(job.questions, sizes, strict=True) if size > most}
    return found


def answers(
    model: Path, jobs: Sequence[Job], kept: Path, *, run_id: str, advance: Callable[[int], None] = lambda _: None
) -> list[Answer]:
    """One model's answers to all, in the order of the questions; `kept` holds what is done so far."""
    done = _done(kept)
    todo = [(job, block) for job in jobs for block in blocks(job) if not all(_whole(done, q) for q in block)]
    advance(sum(len(job.questions) for job in jobs) - sum(len(block) for _, block in todo))
    if todo:
        lm, tokenizer = causal.load(model)
        stops = breaks(tokenizer)
        with kept.open("a", encoding="utf-8") as file:
            for job, block in todo:
                made = list(_answer(lm, tokenizer, job._replace(questions=block), stops, run_id))
                file.write("".join(to_line(one) + "\n" for one in made))
                file.flush()
                os.fsync(file.fileno())
                done |= _by_question(made)
                advance(len(block))
    return [one for job in jobs for question in job.questions for one in done[question.task, question.id].values()]


def blocks(job: Job) -> list[list[Question]]:
    """Questions of like length side by side."""
    order = sorted(job.questions, key=lambda q: (len(q.context) + len("".join(q.choices)), q.id))
    return [order[at : at + BLOCK] for at in range(0, len(order), BLOCK)]


def breaks(tokenizer: Tokenizer) -> list[int]:
    """The tokens that have a line break in them."""
    told = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
    return [i for i, text in enumerate(told) if "\n" in text]


def _answer(lm: PreTrainedModel, tokenizer: Tokenizer, job: Job, stops: Sequence[int], run_id: str) -> Iterator[Answer]:
    if not job.tokens:
        items = [
            Item(task=q.task, id=q.id, context=q.context, choices=q.choices, answer=q.right[0]) for q in job.questions
        ]
        yield from weighed(lm, tokenizer, items, run_id=run_id, as_=job.told_as)
        return
    no_luck = torch.Generator().manual_seed(0)  # nothing is drawn at temperature 0
    prompts = prompts_of(tokenizer, job)
    rollout = respond(lm, tokenizer, prompts, job.tokens, generator=no_luck, temperature=0, stops=stops)
    for question, ids, finished in zip(job.questions, rollout.answers, rollout.finished_B.tolist(), strict=True):
        text = first_line(tokenizer, ids)
        yield Reply(task=question.task, item=question.id, run_id=run_id, text=text, finished=finished)


def first_line(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text up to the first line break (paper, App. D): one that begins the answer leaves nothing of it."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True)).partition("\n")[0].replace("\0", "\ufffd").strip()


Done = dict[tuple[str, str], dict[int, Answer]]  # by task and question, and choice


def _by_question(made: Iterable[Answer]) -> Done:
    found: Done = {}
    for one in made:
        found.setdefault((one.task, one.item), {})[one.choice if isinstance(one, Likelihood) else 0] = one
    return found


def _whole(done: Done, question: Question) -> bool:
    return len(done.get((question.task, question.id), {})) == max(1, len(question.choices))


def _done(kept: Path) -> Done:
    """What an earlier process left; a block that a kill cut short is written anew."""
    if not kept.exists():
        return {}
    whole, newline, torn = kept.read_bytes().rpartition(b"\n")
    if torn:
        os.truncate(kept, len(whole) + len(newline))
    return _by_question(one for one in nouns.read(kept) if isinstance(one, Reply | Likelihood))
