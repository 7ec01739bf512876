"""The shipped base model, and gate 0: before it copies, matches and counts, no later stage is worth its time."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from biddable import hamlet, records
from biddable.hamlet import exam
from biddable.hamlet.words import vocabulary
from biddable.measure import tax
from biddable.quickstart import gates
from biddable.sample.likelihood import likelihoods


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    items = list(exam.items(exam.GATE, 100))
    records.write(folder / "items.jsonl", items)
    records.write(folder / "likelihoods.jsonl", likelihoods(hamlet.BASE, items, run_id="base"))
    return folder / "items.jsonl", folder / "likelihoods.jsonl"


def test_the_base_copies_matches_and_counts(gate):
    items, likely = (list(records.read(place)) for place in gate)
    found = tax.scores(items, likely, {"base": "base"})["base"].tasks
    assert found.keys() == {"copying", "matching", "counting", "old_tongue"}
    for task, share in found.items():
        assert share.value >= 0.95, task


def test_the_gate_says_so(gate):
    verdict = gates.base(*gate)
    assert verdict.passed, verdict.found


def test_the_gate_closes_for_a_base_that_guesses(gate, tmp_path):
    """Every choice as likely as its name is long: a model that knows nothing."""
    blind = [line.model_copy(update={"logp": -float(line.tokens)}) for line in records.read(gate[1])]
    records.write(tmp_path / "blind.jsonl", blind)
    assert not gates.base(gate[0], tmp_path / "blind.jsonl").passed


def test_it_is_an_ordinary_model_folder():
    model, tokenizer = AutoModelForCausalLM.from_pretrained(hamlet.BASE), AutoTokenizer.from_pretrained(hamlet.BASE)
    given = tokenizer("say: goat hen fox. again: goat hen", return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        made = model.generate(**given, max_new_tokens=2, do_sample=False)
    assert tokenizer.decode(made[0, given["input_ids"].shape[1] :]).strip() == "fox."


def test_it_is_small_and_knows_every_word():
    tokenizer = AutoTokenizer.from_pretrained(hamlet.BASE)
    assert sum(place.stat().st_size for place in hamlet.BASE.iterdir()) < 10_000_000
    known = tokenizer.get_vocab()
    assert [word for word in vocabulary() if word not in known] == []
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert {place.suffix for place in hamlet.BASE.iterdir()} <= {".json", ".safetensors", ".jinja"}
