"""`biddable judge`: which of two models' answers does a chat endpoint prefer?"""

import os
from pathlib import Path
from typing import Annotated

import typer

from biddable import records, runs
from biddable.cli import project
from biddable.cli.people import Split, take
from biddable.cli.project import Project, say, warn
from biddable.cli.sampling import AT
from biddable.config import ConfigError
from biddable.records import Completion, Prompt, Verdict

NEXT = "next: biddable measure, which holds it against people"


def judge(
    model_a: Annotated[str, typer.Argument(metavar="MODEL_A", help="Whose answers; the name of a run, such as ppo.")],
    model_b: Annotated[str, typer.Argument(metavar="MODEL_B", help="Against whose.")],
    url: Annotated[str, typer.Option(help="An OpenAI-shaped endpoint, such as http://localhost:8000/v1.")],
    model: Annotated[str, typer.Option(help="What the endpoint calls the judge.")],
    template: Annotated[str, typer.Option(help="What the judge is asked: pair, reasons, or a file.")] = "pair",
    limit: Annotated[int, typer.Option(min=0, help="Only so many pairs; 0 is all.")] = 0,
    split: Annotated[Split, typer.Option(help="On whose prompts.")] = "test",
    at_once: Annotated[int, typer.Option(min=1, max=256, help="Questions under way at a time.")] = 4,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that an answer may take.")] = 120.0,
    tries: Annotated[int, typer.Option(min=1, help="Times that a question is asked of an endpoint that fails.")] = 8,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Longest answer of the judge.")] = 512,
) -> None:
    """Ask a chat endpoint which of two models' stored answers is better, each pair in both orders, at temperature 0.

    A key, if it needs one, is the environment variable BIDDABLE_JUDGE_KEY, which is written nowhere. Stopped, the same
    command asks only what is missing. `biddable measure` tells how far it agrees with people, and so may be believed.

    Example: `biddable judge ppo sft --url http://localhost:8000/v1 --model judge-7b --limit 200`
    """
    from biddable import judge as room
    from biddable.judge.endpoint import KEY

    here = project.find()
    words = room.load(template)
    key = os.environ.get(KEY) or None
    endpoint = room.Endpoint(url, model, key, timeout, tries)
    _warn_of_plain(room.address(url), key)
    config = room.JudgeConfig(
        model=model, url=room.without_secrets(url), template=words.name, text=words.text, answer_tokens=answer_tokens,
        models=(model_a, model_b), limit=limit,
    )  # fmt: skip
    inputs = _inputs(here, split)
    pairs = _pairs(inputs, (model_a, model_b), limit)
    stamp = records.digest(config.model_dump_json(), *(runs.artifact(path).sha256 for path in inputs.values()))[:8]
    folder = here.runs / f"judge-{_plain(model)}-{stamp}"
    if runs.finished(folder, "judge", config, inputs, 0):
        say(f"{folder}: is done already, with these very answers; {NEXT}")
        return
    say(f"{len(pairs)} pairs, each in both orders: {2 * len(pairs)} questions to {config.name}")
    with runs.start(folder, "judge", config, inputs, 0) as run:
        room.ask_all(run, config, endpoint, words, pairs, at_once)
    _tell(folder)


def _inputs(here: Project, split: Split) -> dict[str, Path]:
    with project.open_store(here) as store:
        compared = store.holds("verdict", None if split == "all" else split)
    inputs = {"completions": take(here, "completions", split, "all")}
    return inputs | ({"verdicts": take(here, "verdicts", split, "all")} if compared else {})


def _pairs(inputs: dict[str, Path], two: tuple[str, str], limit: int) -> list:
    from biddable.judge import pairs_to_ask

    found = [record for path in inputs.values() for record in records.read(path)]
    prompts = {record.id: record for record in found if isinstance(record, Prompt)}
    answers = {record.id: record for record in found if isinstance(record, Completion)}
    models = {c.id: c.run_id.partition(AT)[0] for c in answers.values()}
    for name in two:
        if name not in models.values():
            there = ", ".join(sorted(set(models.values()))) or "none"
            raise ConfigError(f"{name}: no answers of it are stored on these prompts; there are answers of: {there}")
    if two[0] == two[1]:
        raise ConfigError(f"{two[0]}: name two different models")
    verdicts = [record for record in found if isinstance(record, Verdict)]
    pairs = pairs_to_ask(prompts, answers.values(), models, two, verdicts, limit)
    if not pairs:
        raise ConfigError(f"{two[0]} and {two[1]}: no prompt has an answer of both")
    return pairs


def _warn_of_plain(address: str, key: str | None) -> None:
    from urllib.parse import urlsplit

    at = urlsplit(address)
    if key and at.scheme == "http" and at.hostname not in ("localhost", "127.0.0.1", "::1"):
        warn(f"the key goes to {at.hostname} unencrypted; https:// would hide it")


def _plain(name: str) -> str:
    """A name that a folder can bear."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:60].strip("-.") or "endpoint"


def _tell(folder: Path) -> None:
    from biddable.measure.judges import Tally

    tally = Tally.model_validate_json((folder / "tally.json").read_bytes())
    read = tally.asked - tally.unread - tally.refused
    say(f"{folder}: {read} of {tally.asked} answers are verdicts; {tally.unread} could not be read, {tally.refused} "
        f"were refused; {tally.tokens_in:,} tokens asked and {tally.tokens_out:,} answered; {NEXT}")  # fmt: skip
