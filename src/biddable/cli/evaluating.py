"""`biddable evaluate`: public benchmarks, asked as the paper asks them. `biddable measure` counts what comes back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import Field

from biddable import records, runs
from biddable.cli.jobs import Places, Show, carry_out, load
from biddable.cli.project import model_folder, readable, say, warn
from biddable.cli.sampling import run_name
from biddable.config import ConfigError, Settings
from biddable.runs import Run

if TYPE_CHECKING:
    from biddable.benchmarks.asking import Asked
    from biddable.benchmarks.nouns import AnyLine
    from biddable.benchmarks.tasks import Task


class EvaluateConfig(Settings):
    tasks: tuple[str, ...] = Field((), description="benchmarks by name; --task")
    lm_eval: tuple[str, ...] = Field((), description="tasks of lm-eval, asked by it; --lm-eval")
    prompts: tuple[str, ...] = Field((), description="which prompts of a benchmark that has several; --prompt")
    shots: int = Field(0, ge=0, description="examples before each question; --shots")
    limit: int = Field(0, ge=0, description="questions of each benchmark; 0 is all; --limit")
    fit: bool = Field(False, description="leave out what does not fit into every model; --fit")
    toxicity: str = Field("words", description="who scores toxicity at once, as by= of `mark`; others may, later")
    told_as: Literal["page", "prompt"] = Field("page", description="plain text, or by the chat template (ours)")


def evaluate(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL... [KEY=VALUE]...", help="Runs, folders or files.", callback=readable)
    ],
    task: Annotated[list[str] | None, typer.Option("--task", help="A benchmark; several, or all of DATA.")] = None,
    data: Annotated[Path | None, typer.Option(help="Its rows; or a folder of files with the tasks' names.")] = None,
    hub: Annotated[bool, typer.Option("--hub", help="Fetch the rows from the Hugging Face hub.")] = False,
    lm_eval: Annotated[list[str] | None, typer.Option(help="A task of lm-eval, asked in its own way.")] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="basic, respectful, biased; qa, instruction, both; or all.")
    ] = None,
    shots: Annotated[int, typer.Option(help="Examples before each question.")] = 0,
    limit: Annotated[int, typer.Option(help="Ask only so many questions of each.")] = 0,
    fit: Annotated[bool, typer.Option("--fit", help="Leave out questions too long for a model, for all.")] = False,
    show: Show = False,
) -> None:
    """Ask models the questions of public benchmarks, in the paper's way; then `biddable measure` counts.

    Example: `biddable evaluate base sft ppo --task squad_v2 --task hellaswag --data evals --limit 200`
    """
    words = [word for word in models if "=" in word]
    folders = {run_name(name): model_folder(name) for name in models if "=" not in name}
    if len(folders) + len(words) < len(models) or not folders:
        raise ConfigError(f"{' '.join(models) or 'no model'}: name one model or several, each once")
    places, told = load(Places, EvaluateConfig, words, "evaluate", show)
    files = _files(task or [], data, hub) if task or not lm_eval else {}
    chosen = {"tasks": tuple(files), "lm_eval": tuple(lm_eval or ()), "prompts": tuple(prompt or ())}
    settings = told.model_copy(update=chosen | {"shots": shots, "limit": limit, "fit": fit})
    asked = _fitting(_asked(files, settings, places.seed), folders, settings) if files else []
    questions = sum(len(one.questions) for one in asked)
    names = [*(one.setting.id for one in asked), *(f"lm-eval {name}" for name in settings.lm_eval)]
    say(f"questions: {questions} (settings: {', '.join(names)}), models: {len(folders)}")
    inputs = {**{f"rows {name}": path for name, path in files.items()}, **{f"model {n}": f for n, f in folders.items()}}

    def ask(run: Run, settings: EvaluateConfig, **_given: Path) -> Path:
        from biddable.sample.benchmark import answers
        from biddable.sample.marks import toxicity

        jobs = [_job(one, settings.told_as) for one in asked]
        found: list[AnyLine] = [line for one in asked for line in (one.setting, *one.questions)]
        with run.progress("asking", questions * len(folders), "questions") as bar:
            for nth, (name, folder) in enumerate(folders.items()):
                kept = run.folder / f"kept-{nth}.jsonl"
                found += answers(folder, jobs, kept, run_id=name, advance=bar.advance)
        _warn_of_silence(asked, found)
        if any(one.setting.metric == "toxicity" for one in asked):
            found += toxicity(found, settings.toxicity)
        if settings.lm_eval:
            found += _by_lm_eval(settings, folders, places.seed)
        path = run.output("benchmarks", run.folder / "benchmarks.jsonl")
        records.write(path, found)
        for kept in run.folder.glob("kept-*.jsonl"):
            kept.unlink()
        return path

    asked_of = (settings.model_dump_json(), str(places.seed), *(runs.artifact(path).sha256 for path in inputs.values()))
    stamp = records.digest(*asked_of)[:8]
    carry_out("evaluate", settings, places, inputs, ask, name=f"evaluate-{'-'.join(folders)}-{stamp}")


def _files(names: Sequence[str], data: Path | None, hub: bool) -> dict[str, Path]:
    """Where the rows of each benchmark are. Nothing is fetched that was not asked for."""
    from biddable.benchmarks import rows, tasks

    if not names:
        raise ConfigError(f"--task: say which benchmark: {', '.join(tasks.TASKS)}; or all")
    if hub:
        return {name: _fetched(tasks.task(name)) for name in names}
    if data is None:
        raise ConfigError("--data: say where the rows are: a file, or a folder of files; or fetch them: --hub")
    if "all" in names:
        found = {name: _there(data, task) for name, task in tasks.TASKS.items()}
        if not any(found.values()):
            raise ConfigError(f"{data}: holds no file with the name of a benchmark: {', '.join(tasks.TASKS)}")
        return {name: path for name, path in found.items() if path}
    if data.is_file() and len(names) > 1:
        raise ConfigError(f"{data}: is one file, and {len(names)} benchmarks are asked for; name a folder")
    return {name: rows.find(data, (name, *tasks.task(name).files)) for name in names}


def _there(data: Path, task: "Task") -> Path | None:
    from biddable.benchmarks import rows

    try:
        return rows.find(data, (task.name, *task.files))
    except records.BadRow:
        if not data.is_dir():
            raise
        return None


def _fetched(task: "Task") -> Path:
    """A file beside the runs, so that it is fetched once and hashed like any other."""
    from biddable.benchmarks import rows

    if task.hub is None:
        raise ConfigError(f"--hub: {task.name} is not there in a shape that we know; give its file: --data")
    place, name, split = task.hub
    path = Path("benchmarks") / f"{task.name}.jsonl"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        say(f"fetching {place} ({name or 'its only configuration'}, {split}) into {path}")
        rows.from_hub(place, name, split, path)
    return path


def _asked(files: Mapping[str, Path], settings: EvaluateConfig, seed: int) -> "list[Asked]":
    from biddable.benchmarks import asking, tasks

    wanted = list(settings.prompts)
    known = {prompt for name in files for prompt in tasks.task(name).instructions} | {"all"}
    if stray := next((prompt for prompt in wanted if prompt not in known), None):
        raise ConfigError(f"--prompt {stray}: none of these benchmarks has it; they have {', '.join(sorted(known))}")
    found = []
    for name, file in files.items():
        task = tasks.task(name)
        chosen = [p for p in task.instructions if p in wanted or "all" in wanted] or [next(iter(task.instructions))]
        shots = settings.shots if asking.takes_examples(task) or len(files) == 1 else 0
        found += [
            asking.asked(task, file, prompt=p, shots=shots, seed=seed, limit=settings.limit, told_as=settings.told_as)
            for p in chosen
        ]
    return found


def _fitting(asked: "list[Asked]", folders: Mapping[str, Path], settings: EvaluateConfig) -> "list[Asked]":
    """All models are asked the same: what one of them has no room for, none is asked."""
    from biddable.sample.benchmark import too_long

    found = []
    for one in asked:
        long = too_long(folders.values(), _job(one, settings.told_as))
        if long and not settings.fit:
            fewer = "fewer --shots, or " if one.setting.shots else ""
            raise ConfigError(
                f"{one.setting.id}: {len(long)} of {len(one.questions)} questions are too long for a model, "
                f"{min(long)} among them; say {fewer}--fit to leave them out"
            )
        rest = [question for question in one.questions if question.id not in long]
        if not rest:
            warn(f"{one.setting.id}: no question fits into every model; left out")
            continue
        if long:
            warn(
                f"{one.setting.id}: {len(long)} of {len(one.questions)} questions do not fit into every model; left out"
            )
        found.append(one.of(rest))
    if not found:
        raise ConfigError(f"no question fits into every model{'; say fewer --shots' if settings.shots else ''}")
    return found


def _job(one: "Asked", told_as: Literal["page", "prompt"]):
    from biddable.benchmarks import tasks
    from biddable.sample.benchmark import Job

    return Job(one.questions, tasks.task(one.setting.benchmark).tokens, told_as)


def _warn_of_silence(asked: "Sequence[Asked]", found: "Sequence[AnyLine]") -> None:
    """An answer that begins with a line break is empty by the paper's rule: many of them say more of the form than of
    what the model knows."""
    from biddable.benchmarks.nouns import Reply

    replies = [line for line in found if isinstance(line, Reply)]
    for name in dict.fromkeys(one.run_id for one in replies):
        for setting in (one.setting.id for one in asked):
            mine = [one for one in replies if (one.run_id, one.task) == (name, setting)]
            empty = sum(not one.text for one in mine)
            if 2 * empty > len(mine):
                warn(f"{name}, {setting}: {empty} of {len(mine)} answers begin with a line break, so they are empty")


def _by_lm_eval(settings: EvaluateConfig, folders: Mapping[str, Path], seed: int) -> "list[AnyLine]":
    from biddable.sample.lm_eval import lines

    how = {"shots": settings.shots, "limit": settings.limit, "seed": seed}
    made = [line for name, folder in folders.items() for line in lines(folder, settings.lm_eval, run_id=name, **how)]
    return list(dict.fromkeys(made))  # what is asked is the same for all
