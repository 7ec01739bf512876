"""lm-eval asks a real tiny model a task of a local file, and its scores are kept item by item as it has them."""

import json

import pytest

import tiny
from biddable.benchmarks.nouns import Mark, Question, Setting
from biddable.config import ConfigError
from biddable.measure.benchmarks import counted, score
from biddable.model import causal
from biddable.sample import lm_eval as ours

TASK = """
task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: multiple_choice
doc_to_text: "the {{text}}"
doc_to_choice: ["dog", "big cat"]
doc_to_target: answer
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""


@pytest.mark.filterwarnings("ignore")  # lm-eval's own and its libraries'
def test_a_task_of_lm_eval(tmp_path, monkeypatch):
    import lm_eval
    from lm_eval.tasks import TaskManager

    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": f"red {n}", "answer": n % 2}) + "\n" for n in range(8)))
    (tmp_path / "colours.yaml").write_text(TASK.replace("FILE", str(rows)))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    seen = {}
    real, manager = lm_eval.simple_evaluate, TaskManager(include_path=str(tmp_path), include_defaults=False)

    def kept(**how):
        seen["found"] = real(**how, task_manager=manager)
        return seen["found"]

    monkeypatch.setattr(lm_eval, "simple_evaluate", kept)
    tok = tiny.byte_tokenizer()
    model = causal.save(tiny.llama(tok, spread=1.0), tok, tmp_path / "model")
    lines = ours.lines(model, ["colours"], run_id="m", shots=0, limit=6, seed=0)
    [setting] = [line for line in lines if isinstance(line, Setting)]
    assert (setting.benchmark, setting.asked) == ("lm-eval colours", 6)
    questions = [line for line in lines if isinstance(line, Question)]
    assert sorted(q.context for q in questions) == sorted(f"the red {n}" for n in range(6))
    marks = [line for line in lines if isinstance(line, Mark)]
    assert {(mark.what, mark.by) for mark in marks} == {("accuracy", f"lm-eval {lm_eval.__version__}")}
    [found] = counted(lines)
    assert score(found, "m").value == pytest.approx(seen["found"]["results"]["colours"]["acc_norm,none"])
    with pytest.raises(ConfigError, match="lm-eval has no task"):
        ours.lines(model, ["colors"], run_id="m", shots=0, limit=1, seed=0)
