"""Every figure and table of the paper that the wind tunnel can carry, each beside the paper's own value.

    index = make(Path("paper"), seed=0)

The walk of the quickstart, experiments on it two at a time, and a page a figure. Run again, it goes on where it was
stopped; a finished one only counts again.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from biddable import __version__, hamlet
from biddable.config import load
from biddable.paper.figure import Figure
from biddable.paper.figures import ORDER
from biddable.paper.page import index, page
from biddable.paper.plan import Plan
from biddable.paper.schedule import carry_out
from biddable.paper.settings import PaperConfig
from biddable.progress import duration
from biddable.quickstart import clocked, walk
from biddable.quickstart.machines import workers
from biddable.runs import check_space, write_aside

RECIPE = hamlet.RECIPE
SPACE = 1_000_000_000  # bytes that all experiments leave, generously


def make(out: Path, seed: int = 0, recipe: Path = RECIPE, words: Sequence[str] = (), fast: bool = False) -> Path:
    """Walk, experiment, count, write. Returns the place of the index page."""
    config = load(PaperConfig, words, recipe=recipe, section="paper_fast" if fast else "paper")
    plan = Plan(out, seed, recipe, config, fast)
    out.mkdir(parents=True, exist_ok=True)
    check_space(out, SPACE)
    with clocked(out) as clock:
        walk(plan.walk, seed, recipe)
        with workers() as pool:
            carry_out(pool, (job for one in ORDER.values() for job in one.stages(plan)))
        figures = [one.count(plan) for one in ORDER.values()]
    return write(plan, figures, clock.seconds)


def write(plan: Plan, figures: Sequence[Figure], seconds: float) -> Path:
    """A page a figure, the page that leads to them, and every number in paper.json."""
    told = (f"{'a quick look' if plan.fast else 'the whole'}", duration(seconds), f"seed {plan.seed}")
    facts = " · ".join((*told, f"biddable {__version__}"))
    for figure in figures:
        write_aside(plan.out / f"{figure.name}.html", page(figure, facts))
    numbers = {
        "seed": plan.seed, "fast": plan.fast, "seconds": round(seconds, 1), "version": __version__,
        "figures": [figure.model_dump(mode="json") for figure in figures],
    }  # fmt: skip
    write_aside(plan.out / "paper.json", json.dumps(numbers, indent=2, ensure_ascii=False) + "\n")
    place = plan.out / "index.html"
    write_aside(place, index(figures, facts))
    for figure in figures:
        print(f"{figure.title}: {figure.verdict}")
    print(f"pages: {place}   numbers: {plan.out / 'paper.json'}   {duration(seconds)}")
    return place
