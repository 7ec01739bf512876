"""From a row, in the shapes in which these sets are published, to what every format needs of it.

Shapes: the authors' own files, the hub's, and a flat one with the keys that a complaint names first.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from biddable.benchmarks.rows import Row
from biddable.records import BadRow

NO_ANSWER = {"squad_v2": "Not in background.", "quac": "I don't know."}  # paper, App. D


@dataclass(frozen=True)
class Case:
    """One question of a row."""

    id: str
    fields: Mapping[str, str] = field(default_factory=dict)  # for the format's template
    prompt: str | None = None  # where a file has the question ready made, in place of them
    answer: str = ""  # what an example shows; one without cannot be an example
    references: tuple[tuple[str, ...], ...] = ()
    choices: tuple[str, ...] = ()
    right: tuple[int, ...] = ()
    holds: bool | None = None
    group: str | None = None


Shape = Callable[[Row], list[Case]]


def _id(row: Row) -> str:
    """The row's own name, or its place."""
    found = row.maybe("id", "query_id", "ind", "idx")
    return str(found) if found is not None else row.where.rpartition(", row ")[2]


def _spans(texts: list[str]) -> tuple[tuple[str, ...], ...]:
    """Texts of which any is right, each once."""
    return tuple((text,) for text in dict.fromkeys(texts))


def squad_v2(row: Row) -> list[Case]:
    """The authors' articles with paragraphs, the hub's rows, or a ready-made prompt with its answers."""
    if paragraphs := row.maybe("paragraphs"):
        asked = [row.inside({**part, **qa}) for part in paragraphs for qa in part["qas"]]
        return [_squad(one, [answer["text"] for answer in one.get("answers")]) for one in asked]
    if row.maybe("prompt"):
        references = _spans(row.texts("answers"))
        return [Case(_id(row), prompt=row.text("prompt"), answer=references[0][0], references=references)]
    return [_squad(row, row.texts("answers.text", "answers"))]


def _squad(row: Row, answers: list[str]) -> Case:
    references = _spans(answers) or ((NO_ANSWER["squad_v2"],),)
    fields = {"title": row.text("title").replace("_", " "), "background": row.text("context")}
    fields["question"] = row.text("question")
    return Case(_id(row), fields, answer=references[0][0], references=references, group=fields["background"])


def drop(row: Row) -> list[Case]:
    """The authors' passages, the hub's rows, or a ready-made prompt with its answers between bars."""
    if pairs := row.maybe("qa_pairs"):
        asked = [row.inside(pair) for pair in pairs]
        return [_drop(one, _drop_answers(one)) for one in asked]
    if row.maybe("prompt"):
        references = _spans([text.strip() for text in row.text("answer").split("|")])
        return [Case(_id(row), prompt=row.text("prompt"), answer=references[0][0], references=references)]
    return [_drop(row, [tuple(row.texts("answers_spans.spans", "answers"))])]


def _drop(row: Row, answers: list[tuple[str, ...]]) -> Case:
    references = tuple(dict.fromkeys(answer for answer in answers if answer))
    if not references:
        raise BadRow(f"{row.where}: answer: is empty")
    fields = {"passage": row.text("passage"), "question": row.text("question")}
    return Case(_id(row), fields, answer=", ".join(references[0]), references=references, group=fields["passage"])


def _drop_answers(row: Row) -> list[tuple[str, ...]]:
    return [_drop_answer(said) for said in (row.get("answer"), *(row.maybe("validated_answers") or []))]


def _drop_answer(said: Mapping) -> tuple[str, ...]:
    """A number, spans, or a date, as DROP's answers are."""
    if said.get("number") not in (None, ""):
        return (str(said["number"]),)
    if said.get("spans"):
        return tuple(said["spans"])
    date = said.get("date") or {}
    words = " ".join(str(date[part]) for part in ("day", "month", "year") if date.get(part))
    return (words,) if words else ()


def quac(row: Row) -> list[Case]:
    """Every question of a dialogue, after those before it with their answers."""
    title = f"{row.text('wikipedia_page_title', 'title')} {row.maybe('section_title') or ''}".strip()
    paragraph = row.text("context", "paragraph").removesuffix("CANNOTANSWER").strip()
    dialogue = str(row.get("dialogue_id", "id"))
    questions, answers = row.texts("questions"), row.get("answers.texts", "answers")
    if len(questions) != len(answers):
        raise BadRow(f"{row.where}: answers: are {len(answers)} for {len(questions)} questions")
    cases, turns = [], ""
    for number, (question, said) in enumerate(zip(questions, answers, strict=True)):
        known = [_known(answer) for answer in ([said] if isinstance(said, str) else said)]
        fields = {"title": title, "paragraph": paragraph, "turns": turns, "question": question}
        references = tuple((answer,) for answer in known)
        cases.append(Case(f"{dialogue}_q#{number}", fields, answer=known[0], references=references, group=dialogue))
        turns += f"Q: {question}\n\nA: {known[0]}\n\n"
    return cases


def _known(answer: str) -> str:
    return NO_ANSWER["quac"] if answer == "CANNOTANSWER" else answer


def hellaswag(row: Row) -> list[Case]:
    """The hub's rows, whose context lacks its activity, or a context that has it."""
    label = row.maybe("activity_label")
    context = (f"{label}: " if label else "") + row.text("ctx")
    endings = row.texts("endings")
    right = row.whole("label", below=len(endings))
    tidy = [re.sub(r" +", " ", re.sub(r"\[.*?\]", "", text)).strip() for text in (context, *endings)]  # WikiHow's marks
    choices = tuple(" " + text for text in tidy[1:])
    return [Case(_id(row), {"paragraph": tidy[0]}, answer=tidy[1 + right], choices=choices, right=(right,))]


def _labelled(row: Row, fields: Mapping[str, str], words: tuple[str, ...]) -> list[Case]:
    right = row.whole("label", below=len(words))
    choices = tuple(" " + word for word in words)
    return [Case(_id(row), fields, answer=words[right], choices=choices, right=(right,))]


def rte(row: Row) -> list[Case]:
    fields = {"passage": row.text("sentence1", "premise"), "question": row.text("sentence2", "hypothesis")}
    return _labelled(row, fields, ("Yes", "No"))  # GLUE: 0 is entailment


def sst(row: Row) -> list[Case]:
    return _labelled(row, {"text": row.text("sentence", "text").strip()}, ("negative", "positive"))


def boolq(row: Row) -> list[Case]:
    if row.maybe("query"):
        choices = row.texts("choices")
        right = row.whole("gold", below=len(choices))
        return [Case(_id(row), prompt=row.text("query") + "\nAnswer:", answer=choices[right],
                     choices=tuple(" " + c for c in choices), right=(right,))]  # fmt: skip
    fields = {"passage": row.text("passage"), "question": row.text("question").removesuffix("?") + "?"}
    right = int(bool(row.whole("answer", "label", below=2)))
    return [Case(_id(row), fields, answer=("no", "yes")[right], choices=(" no", " yes"), right=(right,))]


def wsc(row: Row) -> list[Case]:
    """SuperGLUE's rows: whether a mention is what a pronoun means. Only one where it is can be an example."""
    words = row.text("text").split(" ")
    mention = row.text("span1_text", "target.span1_text")
    pronoun = row.text("span2_text", "target.span2_text")
    place = row.whole("span2_index", "target.span2_index", below=len(words))
    marked = words[place].replace(pronoun, f"*{pronoun}*", 1)
    if marked == words[place]:
        raise BadRow(f"{row.where}: span2_index: word {place} is {words[place]!r}, not {pronoun!r}")
    fields = {"passage": " ".join([*words[:place], marked, *words[place + 1 :]]), "pronoun": pronoun}
    holds = bool(row.whole("label", below=2))
    return [Case(_id(row), fields, answer=mention if holds else "", references=((mention,),), holds=holds)]


def french(row: Row) -> list[Case]:
    english = row.text("translation.en", "en")
    return [Case(_id(row), {"french": row.text("translation.fr", "fr")}, answer=english, references=((english,),))]


def cnn_dm(row: Row) -> list[Case]:
    return _summary(row, row.text("article"), row.text("highlights", "summary"))


def tldr(row: Row) -> list[Case]:
    """OpenAI's comparisons and posts, Webis' rows, or a prompt that ends in TL;DR: with its label."""
    post = row.text("content", "post", "info.post", "prompt").strip().removesuffix("TL;DR:").strip()
    return _summary(row, post, row.text("summary", "label"))


def _summary(row: Row, text: str, summary: str) -> list[Case]:
    return [Case(_id(row), {"text": text.strip()}, answer=summary.strip(), references=((summary.strip(),),))]


def toxicity(row: Row) -> list[Case]:
    return [Case(_id(row), {"text": row.text("prompt.text", "prompt").strip()})]


def crows(row: Row) -> list[Case]:
    """The more and the less stereotyping sentence."""
    both = (row.text("sent_more"), row.text("sent_less"))
    return [Case(_id(row), choices=both, right=(0,), group=str(row.maybe("bias_type") or "") or None)]


def winogender(row: Row) -> list[Case]:
    """One of the sentences of a pair: `pairs` puts them together."""
    name, sentence = row.text("id", "sentid"), row.text("sentence")
    stem, _, gender = name.removesuffix(".txt").rpartition(".")
    return [Case(stem, {"gender": gender}, choices=(sentence,), group=stem.partition(".")[0])]


def truthful(row: Row) -> list[Case]:
    question = row.text("question", "Question")
    best = row.text("best_answer", "Best Answer")
    true = list(dict.fromkeys([best, *_listed(row.get("correct_answers", "Correct Answers"))]))
    listed = _listed(row.get("incorrect_answers", "Incorrect Answers"))
    wrong = [text for text in dict.fromkeys(listed) if text not in true]
    choices = tuple(" " + text for text in (*true, *wrong))
    if not wrong:
        raise BadRow(f"{row.where}: incorrect_answers: has none that is not also right")
    right = tuple(range(len(true)))
    return [Case(_id(row), {"question": question}, references=_spans(true), choices=choices, right=right)]


def _listed(texts: list[str] | str) -> list[str]:
    """The authors' table has them in one cell, between semicolons."""
    return [part.strip() for part in texts.split(";") if part.strip()] if isinstance(texts, str) else list(texts)


def lambada(row: Row) -> list[Case]:
    word = row.maybe("continuation")
    text = row.text("context") if word else row.text("text").rpartition(" ")[0]
    word = str(word or row.text("text").rpartition(" ")[2]).strip()
    return [Case(_id(row), {"text": text}, answer=word, references=((word,),))]
