"""Scorers of toxicity: the list, the linear model, another's classifier, and a real local server."""

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

import tiny
from biddable.benchmarks.nouns import Mark, Question, Reply, Setting
from biddable.config import ConfigError
from biddable.measure.auc import auc
from biddable.sample import marks, toxicity


def test_the_list_looks_for_whole_words(tmp_path):
    found = toxicity.scorer("words")
    assert found.by == "words"
    assert found.score(["You IDIOT!", "an idiotical class", "Shut up.", "what a fine shut-up box", ""]) == [
        1,
        0,
        1,
        0,
        0,
    ]
    (tmp_path / "mine.txt").write_text("goat\nred cow\n", encoding="utf-8")
    mine = toxicity.scorer(f"words:{tmp_path}/mine.txt")
    assert mine.by.startswith("words mine.txt ")
    assert mine.score(["the goat", "a Red Cow", "a red dog", "you idiot"]) == [1, 1, 0, 0]


def judged(count: int, seed: int = 0) -> tuple[list[str], list[float]]:
    """Texts that are toxic where they say `scoundrel`, but for a tenth."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for n in range(count):
        bad = n % 2 == 1
        texts.append(f"the {rng.choice(['goat', 'cow', 'dog'])} {n} is a {'scoundrel' if bad else 'friend'} of mine")
        labels.append(float(bad if rng.random() > 0.1 else not bad))
    return texts, labels


def test_the_linear_model_is_at_the_bottom_of_its_loss():
    texts, labels = judged(60)
    weight, bias = toxicity.fit(texts, labels)
    x_NF = toxicity.features(texts).toarray()
    w = torch.tensor(weight, requires_grad=True)
    b = torch.tensor(bias, dtype=torch.float64, requires_grad=True)
    logit = torch.tensor(x_NF) @ w + b
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, torch.tensor(labels).double(), reduction="sum")
    (loss + toxicity.DECAY / 2 * w.square().sum()).backward()
    assert w.grad is not None
    assert b.grad is not None
    assert max(float(w.grad.abs().max()), float(b.grad.abs())) < 1e-3  # of gradients that are about 10 at the start


def test_the_linear_model_learns_what_people_said_and_is_kept(tmp_path):
    texts, labels = judged(200)
    told = toxicity.across(texts, labels, 5, seed=0)
    assert auc(told, [y >= 0.5 for y in labels]).low > 0.75  # a tenth of the labels is wrong
    path = tmp_path / "toxicity.safetensors"
    toxicity.save(*toxicity.fit(texts, labels), path)
    found = toxicity.scorer(str(path))
    assert found.by.startswith("linear ")
    good, bad = found.score(["the hen is a friend", "the hen is a scoundrel"])
    assert good < 0.3 < 0.7 < bad
    shuffled = list(np.random.default_rng(1).permutation(labels))
    guessed = auc(toxicity.across(texts, shuffled, 5, seed=0), [y >= 0.5 for y in shuffled])
    assert guessed.low < 0.6  # labels that mean nothing teach nothing


def test_auc_by_its_slow_definition():
    # by hand: yes .9 and .4, no .5 and .4 → .9 beats both (2), .4 loses (0), .4 equals (½): 2.5 of 4
    assert auc([0.9, 0.4, 0.5, 0.4], [True, True, False, False]).value == 2.5 / 4
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 6, 60) / 5, rng.random(60) < 0.4
    yes, no = scores[labels], scores[~labels]
    slow = np.mean([[(a > b) + (a == b) / 2 for b in no] for a in yes])
    found = auc(scores.tolist(), labels.tolist())
    assert found.value == pytest.approx(slow)
    assert auc((-scores).tolist(), labels.tolist()).value == pytest.approx(1 - slow)
    assert auc(np.exp(scores).tolist(), labels.tolist()).value == pytest.approx(slow)  # any increasing scale
    with pytest.raises(ValueError, match="both kinds"):
        auc([1.0], [True])


def test_an_auc_of_one_is_no_certainty():
    found = auc([0.9] * 10 + [0.1] * 20, [True] * 10 + [False] * 20)
    assert (found.value, found.low, found.high) == (1, pytest.approx(0.025 ** (1 / 10)), 1)


@pytest.mark.parametrize("apart", [1, 2.5])
def test_the_interval_of_an_auc_holds_the_truth(apart):
    """Two normals so many standard deviations apart: AUC Φ(d/√2), 0.7602 and 0.9615. 95 % of 400 worlds, within 3σ; of
    0.9615 plain ± holds it in 91."""
    rng, held = np.random.default_rng(0), 0
    truth = 0.5 * (1 + math.erf(apart / 2))
    for _ in range(400):
        scores = [*rng.normal(apart, 1, 60), *rng.normal(0, 1, 90)]
        found = auc(scores, [True] * 60 + [False] * 90)
        held += found.low <= truth <= found.high
    assert abs(held / 400 - 0.95) < 3 * (0.95 * 0.05 / 400) ** 0.5


@pytest.fixture
def bert(tmp_path):
    """A classifier of two labels by random weights, as detoxify's is one of six by trained ones."""
    tok = tiny.tokenizer()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tok), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        id2label={0: "insult", 1: "toxic"}, label2id={"insult": 0, "toxic": 1},
        problem_type="multi_label_classification",
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path / "bert")
    tok.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def test_anothers_classifier(bert):
    found = toxicity.scorer(str(bert))
    texts = ["the red dog", "say no", "a big blue cow"]
    told = found.score(texts)
    model, tok = BertForSequenceClassification.from_pretrained(bert), PreTrainedTokenizerFast.from_pretrained(bert)
    for text, value in zip(texts, told, strict=True):
        with torch.no_grad():
            logit = model.eval()(**tok(text, return_tensors="pt")).logits[0, 1]
        assert value == pytest.approx(1 / (1 + math.exp(-float(logit))), abs=1e-5)  # float32
    settings = json.loads((bert / "config.json").read_text())
    settings |= {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}
    (bert / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match="has no label toxic; it has a, b"):
        toxicity.scorer(str(bert))


class Perspective(BaseHTTPRequestHandler):
    """Answers as `comments:analyze` does; the first request of a text that says `busy` is refused."""

    seen: ClassVar[list[tuple[str, dict]]] = []

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = asked["comment"]["text"]
        first = all(text != other["comment"]["text"] for _, other in self.seen)
        self.seen.append((self.path, asked))
        if "forbidden" in text or ("busy" in text and first):
            self.send_error(403 if "forbidden" in text else 429)
            return
        said = {"attributeScores": {"TOXICITY": {"summaryScore": {"value": len(text) / 100, "type": "PROBABILITY"}}}}
        body = json.dumps({} if "odd" in text else said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    Perspective.seen.clear()
    monkeypatch.setattr(toxicity, "WAIT", 0.0)
    here = HTTPServer(("127.0.0.1", 0), Perspective)
    thread = threading.Thread(target=here.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{here.server_port}/v1/comments:analyze"
    here.shutdown()
    thread.join()
    here.server_close()


def test_a_server_that_answers_as_perspective_does(server, monkeypatch):
    monkeypatch.setenv("BIDDABLE_PERSPECTIVE_KEY", "secret")
    found = toxicity.scorer(server)
    assert found.by == server  # and no key in what is published
    assert found.score(["four", "so busy", " "]) == [0.04, 0.07, 0.0]
    path, asked = Perspective.seen[0]
    assert path.endswith("?key=secret")
    assert asked["requestedAttributes"] == {"TOXICITY": {}}
    assert len(Perspective.seen) == 3  # busy was asked twice, and nothing was asked of an empty text
    with pytest.raises(ConfigError, match="answered 403"):
        found.score(["forbidden"])
    with pytest.raises(ConfigError, match="does not answer as Perspective does"):
        found.score(["odd"])


def test_a_server_that_is_not_there():
    with pytest.raises(ConfigError, match="cannot be reached"):
        toxicity.scorer("http://127.0.0.1:9/none").score(["x"])


def test_scorers_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        toxicity.scorer(str(tmp_path / "none.safetensors"))
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(ConfigError, match="is no safetensors file"):
        toxicity.scorer(str(tmp_path / "bad.safetensors"))
    with pytest.raises(ConfigError, match="no such file"):
        toxicity.scorer(f"words:{tmp_path}/none.txt")
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds no words"):
        toxicity.scorer(f"words:{tmp_path}/empty.txt")


def test_only_replies_about_toxicity_are_marked():
    fields = {"prompt": "basic", "shots": 0, "seed": 0, "form": "f", "file": "0", "asked": 1}
    toxic, other = (
        Setting(benchmark="realtoxicity", metric="toxicity", **fields),
        Setting(benchmark="drop", metric="drop_f1", **fields),
    )
    lines = [toxic, other]
    for one in (toxic, other):
        lines += [Question(task=one.id, id="q", context="c"),
                  Reply(task=one.id, item="q", run_id="m", text="you idiot", finished=True)]  # fmt: skip
    assert marks.toxicity(lines, "words") == [
        Mark(task=toxic.id, item="q", run_id="m", what="toxicity", value=1.0, by="words")
    ]
    with pytest.raises(ConfigError, match="no replies to a benchmark of toxicity"):
        marks.toxicity(lines[1:2], "words")
