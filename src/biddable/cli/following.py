"""`biddable follow`: how far a policy went along its run, and what two reward models say of that."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from biddable import records, runs
from biddable.cli.jobs import Places, Show, Words, carry_out, load
from biddable.cli.project import found_run, model_folder, say
from biddable.cli.sampling import prompts_file, prompts_now, run_name
from biddable.config import ConfigError
from biddable.records import digest
from biddable.runs import Run


class FollowPlaces(Places):
    data: Path | None = Field(None, description="snapshot of prompts; the test prompts of the store when not said")
    gold: str = Field(description="a reward model that the run was not trained against: a run's name or a folder")


def follow(
    run: Annotated[str, typer.Argument(help="A run that kept policies along its way (keep_every).")],
    words: Words = None,
    show: Show = False,
) -> None:
    """See how far a reward model may be followed: policies along a run's way answer test prompts, and the reward model
    that they were trained against and another one score that. `measure` counts it and `report` draws it.

    Example: `biddable follow ppo gold=reward-2 best_of=16` after `biddable ppo … keep_every=10`
    """
    from biddable.measure.followed import GOLD, PROXY
    from biddable.sample import along
    from biddable.sample.completions import check_room
    from biddable.text import snapshots

    places, settings = load(FollowPlaces, along.FollowConfig, words, "follow", show)
    trained = found_run(run)
    kept, there = runs.kept(trained), runs.read_manifest(trained)
    if 0 not in kept or len(kept) < 2 or "reward_model" not in there.inputs:
        raise ConfigError(f"{trained}: kept no policies along its way; train it with keep_every=10, say")
    followed = there.inputs["reward_model"]
    judges = {PROXY: model_folder(followed.path, "reward_model"), GOLD: model_folder(places.gold, "gold")}
    if runs.artifact(judges[GOLD]).sha256 == followed.sha256:
        raise ConfigError(f"gold: {places.gold} is what {run} was trained against; name another reward model")
    if not settings.answer_tokens:
        settings = settings.model_copy(update={"answer_tokens": there.config["answer_tokens"]})
    waiting = prompts_now(places.data, "test")
    check_room(kept.values(), waiting, settings.sampling(1))
    inputs = {
        "prompts": prompts_file(places.data, "test"),
        "reward_model": judges[PROXY],
        "gold": judges[GOLD],
        **{f"policy {iteration}": place for iteration, place in kept.items()},
    }

    def look(run: Run, settings: along.FollowConfig, **given: Path) -> Path:
        asked = snapshots.prompts(given["prompts"])
        path = run.output("followed", run.folder / "followed.jsonl")
        with run.progress("following", along.steps(kept, judges, asked, settings), "answers") as bar:
            found = along.follow(kept, judges, asked, settings, seed=places.seed, advance=bar.advance)
            records.write(path, found)
        return path

    stamp = digest(settings.model_dump_json(), *(runs.artifact(path).sha256 for path in inputs.values()))[:8]
    carry_out("follow", settings, places, inputs, look, name=f"follow-{run_name(str(trained))}-{stamp}")
    say("next: biddable measure")
