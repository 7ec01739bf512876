import pytest

import tiny
from biddable import records
from biddable.text import snapshots


def test_demonstrations_end_with_the_end_token(tmp_path):
    tok = tiny.tokenizer()
    path = tiny.demonstrations(tmp_path / "d.jsonl", [("say red", "red"), ("name a cow", "cow")])
    first, second = snapshots.demonstrations(path, tok)
    assert tok.decode(first.prompt) == "<|begin|> say red\n"
    assert tok.convert_ids_to_tokens(second.answer) == ["cow", "<|end|>"]


def test_rankings_carry_ranks_and_the_group_of_the_labeler(tmp_path):
    tok = tiny.tokenizer()
    sets = [("say red", [["red"], ["blue", "cow"], ["no"]]), ("say no", [["no"], ["yes"]])]
    one, two = snapshots.rankings(tiny.rankings(tmp_path / "r.jsonl", sets, ("anna", "olga")), tok)
    assert one.ranks == (1, 2, 2, 3)
    assert [tok.decode(a[:-1]) for a in one.answers] == ["red", "blue", "cow", "no"]
    assert (one.group, two.group) == ("training", "held_out")


def test_a_file_without_what_is_asked_for(tmp_path):
    path = tiny.prompts(tmp_path / "p.jsonl", ["say red"])
    for read in (snapshots.demonstrations, snapshots.rankings):
        with pytest.raises(ValueError, match=r"p\.jsonl: no (demonstrations|rankings) in this file"):
            read(path, tiny.tokenizer())


def test_a_reference_to_a_prompt_that_is_not_there(tmp_path):
    path = tmp_path / "d.jsonl"
    records.write(path, [records.Demonstration(prompt_id="p-1", text="red", labeler="anna")])
    with pytest.raises(ValueError, match=r"d\.jsonl: prompt p-1 is referred to but is not in the file"):
        snapshots.demonstrations(path, tiny.tokenizer())
