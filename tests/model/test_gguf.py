"""GGUF: what is written is what transformers, which is not ours, reads back."""

import re
from pathlib import Path

import pytest
import torch
from gguf import GGUFReader

import tiny
from biddable.model import causal, gguf, places, reward
from biddable.model.forest import Turns, plant

TEXT = "say the big dog's name in 1973: Ünï  \n\tyes"


@pytest.fixture(scope="module")
def tok():
    return tiny.byte_tokenizer()


@pytest.fixture(scope="module")
def lm(tok):
    return tiny.llama(tok)


def logits(lm, tok) -> torch.Tensor:
    with torch.no_grad():
        return lm(input_ids=torch.tensor([tok(TEXT)["input_ids"]])).logits


@pytest.mark.parametrize(("precision", "within"), [("f32", 1e-5), ("f16", 2e-2)])  # 11 bits of weights of about 1/11
def test_a_written_model_comes_back_the_same(tmp_path, tok, lm, precision, within):
    path = gguf.write(lm, tok, tmp_path / "m.gguf", precision)
    again, words = causal.load(path)
    assert (logits(lm, tok) - logits(again, words)).abs().max() < within
    assert logits(lm, tok).abs().max() > 1  # or the line above says nothing
    assert words(TEXT)["input_ids"] == tok(TEXT)["input_ids"]
    assert words.chat_template == tok.chat_template
    ends = ("eos_token_id", "bos_token_id", "pad_token_id", "unk_token_id")
    assert [getattr(words, end) for end in ends] == [getattr(tok, end) for end in ends]
    assert causal.context(again) == causal.context_of(path) == 128
    assert [p.name for p in tmp_path.iterdir()] == ["m.gguf"]


def test_an_unembedding_of_its_own_is_written_too(tmp_path, tok):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        lm = tiny.llama(tok)
        lm.config.tie_word_embeddings = False
        lm.lm_head.weight = torch.nn.Parameter(torch.randn_like(lm.lm_head.weight))
    again, _ = causal.load(gguf.write(lm, tok, tmp_path / "m.gguf", "f32"))
    assert torch.equal(causal.head(again), causal.head(lm))
    assert not torch.equal(causal.head(again), again.get_input_embeddings().weight)


def test_what_was_read_trains_and_saves_as_a_folder(tmp_path, tok, lm):
    again, words = causal.load(gguf.write(lm, tok, tmp_path / "m.gguf", "f32"))
    causal.nll_of(again, plant(Turns([[1, 50]], [[51, tok.eos_token_id]]))).backward()
    assert all(p.grad is not None for p in again.parameters())
    folder = causal.save(again, words, tmp_path / "model")
    third, _ = causal.load(folder)
    assert torch.equal(logits(third, words), logits(again, words))
    assert "quantization_config" not in (folder / "config.json").read_text()


def test_rows_of_queries_are_interleaved_by_hand():
    # Two heads of four rows: halves (0,1) and (2,3) become pairs 0,2 and 1,3; so the second head.
    assert gguf.interleaved(torch.arange(8.0)[:, None], 2).flatten().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@pytest.mark.parametrize(("cut", "name"), [("ByteLevel", "gpt-2"), ("Digits", "smollm")])
def test_the_file_says_how_text_is_cut(tmp_path, cut, name):
    words = tiny.byte_tokenizer(cut)
    path = gguf.write(tiny.llama(words), words, tmp_path / "m.gguf")
    field = GGUFReader(path).fields["tokenizer.ggml.pre"]
    assert bytes(field.parts[field.data[0]]).decode() == name


def test_what_gguf_cannot_say_is_refused_and_leaves_nothing(tmp_path, tok):
    with pytest.raises(ValueError, match="a WordPiece tokenizer cannot be written"):
        gguf.write(tiny.llama(tiny.tokenizer()), tiny.tokenizer(), tmp_path / "m.gguf")
    other = tiny.byte_tokenizer("Whitespace")
    with pytest.raises(ValueError, match="cuts text by Whitespace"):
        gguf.write(tiny.llama(other), other, tmp_path / "m.gguf")
    with pytest.raises(ValueError, match="attention_bias"):
        gguf.write(tiny.llama(tok, attention_bias=True), tok, tmp_path / "m.gguf")
    assert not list(tmp_path.iterdir())


def test_a_reader_that_cuts_text_elsewhere_is_found_out(tmp_path, tok, lm, monkeypatch):
    monkeypatch.setattr(gguf.tokenizers, "load", lambda _path: tiny.tokenizer())
    with pytest.raises(ValueError, match="does not keep this tokenizer's ways"):
        gguf.write(lm, tok, tmp_path / "m.gguf")
    assert not list(tmp_path.iterdir())


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        causal.load(path)
    return str(caught.value)


def test_a_file_that_is_not_there_or_no_gguf(tmp_path):
    assert "no such GGUF file" in refusal(tmp_path / "m.gguf")
    (tmp_path / "m.gguf").write_bytes(b"PK\x03\x04")
    assert "is not a GGUF file" in refusal(tmp_path / "m.gguf")


@pytest.mark.parametrize("kept", [10, 2_000, 0.9])
def test_a_torn_file_is_named(tmp_path, tok, lm, kept):
    path = gguf.write(lm, tok, tmp_path / "m.gguf")
    data = path.read_bytes()
    path.write_bytes(data[: kept if kept > 1 else int(len(data) * kept)])
    assert "cannot be read as GGUF" in refusal(path)


def test_a_gguf_file_is_no_reward_model(tmp_path, tok, lm):
    path = gguf.write(lm, tok, tmp_path / "m.gguf")
    with pytest.raises(ValueError, match="not a reward model"):
        reward.load(path)


def test_a_name_on_the_hub_without_the_hub_is_one_line():
    line = refusal(Path("owner/no-such-model"))
    assert "no such folder here, and the hub does not give it" in line
    assert "\n" not in line


def test_only_safe_parts_are_asked_of_the_hub(tmp_path, monkeypatch):
    asked = {}
    folder = tiny.saved(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda _name, **how: asked.update(how) or str(folder))
    with pytest.raises(ValueError, match=r"owner/name: only pickled weights \(pytorch_model\.bin\)"):
        places.find("owner/name")
    names = [Path(f"x{kind}") for kind in (".bin", ".pt", ".py")]
    assert not any(name.match(pattern) for name in names for pattern in asked["allow_patterns"])
