"""A stage that fails ends the walk, with its own word, whatever runs beside it."""

import subprocess
import sys
from pathlib import Path

import tiny

WALK = """
import sys
from pathlib import Path
from biddable import hamlet
from biddable.quickstart.machines import Stage, together, workers

if __name__ == "__main__":
    place, model, demos = map(Path, sys.argv[1:])
    inputs = {"model": model, "demos": demos}
    long = Stage("sft", place / "long", "sft", ("epochs=1000000",), hamlet.RECIPE, inputs, 0)
    bad = Stage("reward", place / "bad", "reward", (), hamlet.RECIPE, {"model": model, "rankings": demos}, 0)
    with workers() as pool:
        together(pool, long, bad)
"""


def test_a_failing_stage_ends_the_one_beside_it_and_is_named(tmp_path):
    model = tiny.saved(tmp_path / "base")
    demos = tiny.demonstrations(tmp_path / "demos.jsonl", [("say red", "red"), ("say blue", "blue")])
    script = Path(tmp_path / "walk.py")
    script.write_text(WALK, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "runs"), str(model), str(demos)],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "center: no demonstrations are given" in done.stderr.splitlines()[-1]
