"""Does a reward model foresee people that it did not learn from? (Ouyang et al. 2022, section 4.1)

Labelers are divided into k groups; k reward models are each trained on the rankings of all groups but one, and asked
about that one, and about their own labelers. Both are asked about prompts that were not trained on, or the comparison
would be of remembered prompts with new ones.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import Field

from biddable import records, runs
from biddable.config import ConfigError
from biddable.learn import reward
from biddable.learn.loop import shuffled, stream
from biddable.learn.reward import RewardConfig
from biddable.measure.reward import folded, margins
from biddable.records import AnyRecord, Completion, Prompt, Ranking, Record
from biddable.runs import Run
from biddable.sample.score import score

ASKED = 0.1  # of the prompts, never trained on: there a model is asked about its own labelers


class FoldsConfig(RewardConfig):
    folds: int = Field(5, gt=1, description="groups of labelers, and reward models")


def train(run: Run, config: FoldsConfig, *, rankings: Path, **inputs: Path) -> Path:
    """Train and ask the k models, each in a run of its own, so that what is done is not done again. Returns the place
    of the result."""
    pool = list(records.read(rankings))
    plan = divided(pool, config.folds, run.seed)
    files = [_written(run.folder / f"rankings-{i + 1}.jsonl", pool, learnt) for i, (learnt, _, _) in enumerate(plan)]
    settings = RewardConfig.model_validate(config.model_dump(exclude={"folds"}))
    own, other = [], []
    with run.progress("folds", config.folds, "models") as bar:
        for i, (_, theirs, others) in enumerate(plan):
            given = {"rankings": files[i], **inputs}
            folder = run.folder / f"model-{i + 1}"
            if not runs.finished(folder, "reward", settings, given, run.seed):
                with runs.start(folder, "reward", settings, given, run.seed) as one:
                    reward.train(one, settings, **given)
            scores = _scores(folder / "model", pool, [*theirs, *others])
            own.append(margins(scores, theirs))
            other.append(margins(scores, others))
            bar.advance()
    place = run.output("folds", run.folder / "folds.json")
    runs.write_aside(place, folded(own, other).model_dump_json(indent=2) + "\n")
    return place


Fold = tuple[list[Ranking], list[Ranking], list[Ranking]]


def divided(pool: Sequence[AnyRecord], folds: int, seed: int) -> list[Fold]:
    """Of each fold the rankings that are learnt from, and those that it is asked about: of the labelers that it knows,
    and of those that it does not, all on prompts that it was not trained on."""
    ranked = [record for record in pool if isinstance(record, Ranking)]
    people = sorted({ranking.labeler for ranking in ranked})
    if len(people) < folds:
        raise ConfigError(f"folds: {folds} groups of labelers, and only {len(people)} ranked; take fewer folds")
    names = sorted({ranking.prompt_id for ranking in ranked})
    order = shuffled(len(names), stream(seed, "folds", "prompts"))
    asked = {names[i] for i in order[: max(1, round(ASKED * len(names)))]}
    of = {people[i]: nth % folds for nth, i in enumerate(shuffled(len(people), stream(seed, "folds", "labelers")))}
    found = []
    for fold in range(folds):
        learnt = [r for r in ranked if of[r.labeler] != fold and r.prompt_id not in asked]
        seen = {r.prompt_id for r in learnt}
        new = [r for r in ranked if r.prompt_id not in seen and len(r.order) > 1]
        theirs, others = ([r for r in new if (of[r.labeler] == fold) is out] for out in (False, True))
        if not (learnt and theirs and others):
            raise ConfigError(f"folds: too few rankings for {folds} groups of labelers; take fewer folds, or rank more")
        found.append((learnt, theirs, others))
    return found


def _written(path: Path, pool: Iterable[AnyRecord], learnt: Sequence[Ranking]) -> Path:
    """The rankings that a fold learns from, with what they name, as a file that its run is told apart by."""
    kept = {r.prompt_id for r in learnt} | {c for r in learnt for c in r.ranks}
    named = [r for r in pool if isinstance(r, Prompt | Completion) and r.id in kept]
    people = [r for r in pool if isinstance(r, records.Labeler) and r.id in {one.labeler for one in learnt}]
    rows: list[Record] = [*people, *named, *learnt]
    records.write(path, rows)
    return path


def _scores(model: Path, pool: Iterable[AnyRecord], asked: Sequence[Ranking]) -> list[records.Score]:
    wanted = {c for ranking in asked for c in ranking.ranks}
    prompts = {r.id: r for r in pool if isinstance(r, Prompt)}
    return score(model, prompts, [r for r in pool if isinstance(r, Completion) and r.id in wanted], run_id="fold")
