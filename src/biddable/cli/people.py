"""The verbs of the people's wing, and the doorway: files of records out of the store and back into it."""

import json
import shutil
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

import biddable
from biddable import config, records, runs
from biddable.cli import project
from biddable.cli.project import NAME, Project, say, warn
from biddable.config import ConfigError
from biddable.records import Prompt, Source

if TYPE_CHECKING:
    from biddable.gather import GatherConfig, Held, Span

What = Literal["prompts", "completions", "demos", "rankings", "judgements", "continuations", "verdicts"]
Split = Literal["train", "valid", "test", "all"]
Group = Literal["training", "held_out", "candidate", "researcher", "all"]
# The others are for evaluation, and take everyone's by default.
TRAINING_DATA = ("prompts", "completions", "demos", "rankings")

EXAMPLES = 3  # of what each rule drops

TOML = """# A biddable project. Verbs find it from any folder below.

# Where people's records are kept: a SQLite file beside this one, or postgresql://user@host/name. The environment
# variable BIDDABLE_STORE wins, so that a password need not stand here.
store = "store.db"
"""


def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder to be made, or an empty one.")]) -> None:
    """Make a project: a folder with biddable.toml, store.db, recipes/ and runs/.

    Example: `biddable init my-project`
    """
    from biddable import store

    if (folder / NAME).exists():
        raise ConfigError(f"{folder}: is a project already")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: is not an empty folder; name one that is to be made")
    there = folder.exists()
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Made aside and renamed: a disk that fills leaves no half project. In a folder that is there, and may be the one in
    # which one stands, the file that makes it a project comes last.
    with tempfile.TemporaryDirectory(dir=folder if there else folder.parent, prefix=".made-") as aside:
        made = Path(aside) / "project"
        (made / "runs").mkdir(parents=True)
        store.open_store(made / "store.db").close()
        shutil.copytree(_recipes(), made / "recipes")
        (made / NAME).write_text(TOML, encoding="utf-8")
        if there:
            for one in sorted(made.iterdir(), key=lambda one: one.name == NAME):
                one.rename(folder / one.name)
        else:
            made.rename(folder)
    say(
        f"{folder}: {NAME}, store.db, recipes/ and runs/ are there; next: biddable gather FILE, or biddable label to "
        "begin in the browser"
    )


def gather(
    file: Annotated[Path, typer.Argument(help="Prompts: a .csv or .jsonl with a column text (or prompt).")],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE] [KEY=VALUE]...", help="What should differ from the paper's rules."),
    ] = None,
    source: Annotated[Source, typer.Option(help="Whose prompts, where no column says it.")] = "customer",
    columns: Annotated[list[str] | None, typer.Option("--map", metavar="KEY=COLUMN", help="A key's column.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Show what each rule would drop, with examples; keep nothing.")] = False,
) -> None:
    """Import prompts: drop near-duplicates, cap each user, split by user, keep personal data out of training.

    Example: `biddable gather prompts.csv --map text=question cap=100`
    """
    from biddable import gather as room

    here = project.find()
    recipe, rest = project.recipe_and_words(words)
    settings = config.load(room.GatherConfig, rest, recipe=recipe, section="gather" if recipe else "")
    if not file.is_file():
        raise ConfigError(f"{file}: no such file")
    mapping = dict(config.parse_word(word) for word in columns or [])
    came = room.Again(lambda: room.read_prompts(file, source=source, mapping=mapping))
    if dry_run:
        _rehearse(here, list(came), settings)
        return
    # A file gathered with other rules is another run, so the name follows from both.
    rules = (settings.model_dump_json(), source, repr(sorted(mapping.items())))
    folder = here.runs / f"gather-{records.digest(runs.artifact(file).sha256, *rules)[:8]}"
    kept, report = folder / "prompts.jsonl", folder / "report.json"
    if runs.finished(folder, "gather", settings, {"prompts": file}, settings.seed):
        say(f"{folder}: is done already, with this very file and these very rules; nothing was added. It had:")
    else:
        with (
            runs.start(folder, "gather", settings, {"prompts": file}, settings.seed) as run,
            project.open_store(here) as store,
        ):
            # Stopped after its prompts were stored, it would now find them all to be duplicates of themselves.
            if not (kept.exists() and report.exists()):
                counted: dict[str, Any] = {}
                records.write(kept, room.sift(came, settings, room.Again(store.prompts), counted))
                runs.write_aside(report, json.dumps(counted, indent=2, ensure_ascii=False) + "\n")
            if kept.stat().st_size:  # people may be at work: a large file goes in by parts
                store.add_file(kept, ("prompt",))
            run.output("prompts", kept)
            run.output("report", report)
    counts = json.loads(report.read_text(encoding="utf-8"))
    _tell(counts)
    say(f"personal data: {len(counts['personal'])} spans, listed in {report}")
    if held := room.still_personal(counts):
        warn(f"{len(held)} prompts for evaluation hold personal data: they are kept; look at them")
    _warn_of_empty_splits(here, settings, "gather more users' prompts, or begin a new project with {}another seed=")


def _tell(counts: dict[str, Any], examples: Mapping[str, Sequence[str]] = MappingProxyType({})) -> None:
    say(f"read: {counts['read']} prompts")
    for rule, count in counts["dropped"].items():
        say(f"dropped, {rule.replace('_', ' ')}: {count}")
        for example in examples.get(rule, ()):
            say(f"    {example}")
    splits = ", ".join(f"{count} {split}" for split, count in counts["splits"].items())
    say(f"kept: {counts['kept']} prompts of {counts['owners']} users or organizations ({splits})")


def _rehearse(here: Project, came: Sequence[Prompt], settings: "GatherConfig") -> None:
    """What would be dropped, and what it looks like."""
    from biddable import gather as room

    names = {prompt.id for prompt in came}
    with project.open_store(here) as store:
        # Gathered once, a file is not its own duplicate.
        known = [prompt for prompt in store.prompts() if prompt.id not in names]
    gathered = room.gather(came, settings, known)
    examples = {
        rule: [_shown(prompt.whole, room.personal_data(prompt.whole, settings.region)) for prompt in those[:EXAMPLES]]
        for rule, those in gathered.dropped.items()
    }
    _tell(gathered.report, examples)
    say("nothing was kept; without --dry-run it would be")


def _shown(text: str, spans: Sequence["Span"]) -> str:
    found = "".join(f"  [{span.kind}: {text[span.start : span.end]}]" for span in spans)
    return textwrap.shorten(text, 100, placeholder=" …") + found


def _warn_of_empty_splits(here: Project, settings: "GatherConfig", cure: str) -> None:
    shares = {"train": 1 - (settings.valid + settings.test), "valid": settings.valid, "test": settings.test}
    with project.open_store(here) as store:
        wanted = [split for split in get_args(records.Split) if shares[split] > 0]
        empty = [split for split in wanted if not store.holds("prompt", split)]
    for split in empty:
        more = cure.format("" if split == "train" else f"{split}=0.3 or ")
        warn(f"no prompt is in the {split} split, since a user is in one split as a whole and few are here; {more}")


def import_labels(
    files: Annotated[
        list[Path],
        typer.Argument(help="What people said or models answered elsewhere: .jsonl, .json, .csv.", metavar="FILES..."),
    ],
    valid: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of users whose prompts are held out.")
    ] = None,
    test: Annotated[
        float | None, typer.Option(min=0, max=1, help="And of those that are kept for the last test.")
    ] = None,
) -> None:
    """Put into the store what people said and models answered elsewhere. All of a file, or nothing; records of more
    than 20,000 rows are taken in parts, so that people who label meanwhile need not wait for them.

    A row is `{"messages": […]}`, `{"conversations": […]}` or `{"prompt": …, "completion": …}`: a demonstration;
    `{"prompt": …, "chosen": …, "rejected": …}`: a ranking of two; with `"label": true` beside a prompt and a
    completion, a judgement; `{"prompt": …, "answer": …, "model": …}`: what a model answered, for people to judge and
    rank; `{"prompt": …, "answers": […], "models": […], "ranks": […]}`: several answers, ranked where it says so;
    `{"prompt": …, "answer_a": …, "answer_b": …, "model_a": …, "model_b": …, "winner": "a"}`, or as Chatbot Arena and
    Kaggle have it: a vote, of which `biddable measure` counts win rates; or one of our own records. A prompt and an
    answer are texts or messages. In each, `labeler` says who said it, and `user` whose prompt it is.

    New prompts are for training, as far as valid and test say nothing else; those of a file of votes are for the last
    test, where neither is said.

    Example: `biddable import answers.csv`
    """
    from biddable import gather as room

    here = project.find()
    asked = valid is not None or test is not None
    settings = config.load(room.GatherConfig, [f"valid={valid or 0.0}", f"test={test or 0.0}"]) if asked else None
    for file in files:
        with project.open_store(here) as store:
            brought = room.bring(store, file, settings)
        say(f"{file}: {brought.told()}")
        if brought.unnamed:
            warn(f"{file}: {room.UNNAMED}")
        _warn_of_personal_data(file, brought.personal)
    if settings and (valid or test):
        _warn_of_empty_splits(here, settings, "import more users' rows, or say a row's with its own split")


def _warn_of_personal_data(file: Path, found: Sequence["Held"]) -> None:
    """`gather` leaves such prompts out of training; here all of a file is taken, or nothing."""
    train = [one for one in found if one.split == "train"]
    others = [one for one in found if one.split != "train"]
    for some, what in ((train, "it was taken, and will be learnt from"), (others, "they are kept; look at them")):
        if some:
            of = "" if some is train else " for evaluation"
            row, kind = some[0].row, some[0].kind
            warn(f"{file}: personal data in {len(some)} prompts{of} (row {row}: {kind}); {what}")


def snapshot(
    what: Annotated[What, typer.Argument(help="What to take out of the store.")],
    split: Annotated[Split | None, typer.Option(help="Which prompts; train for training data, else all.")] = None,
    group: Annotated[Group | None, typer.Option(help="Whose labels; training for training data, else all.")] = None,
) -> None:
    """Write records out of the store to a file that a run can be repeated from, with a manifest beside it.

    Example: `biddable snapshot rankings --split valid --group all`
    """
    take(project.find(), what, split, group)


def take(here: Project, what: What, split: Split | None = None, group: Group | None = None) -> Path:
    """A snapshot named after its content: demos-3f9a02bc.jsonl, or demos-valid-….jsonl."""
    from biddable.store import manifest_path

    usual: Split = "train" if what in TRAINING_DATA else "all"
    split = split or usual
    group = group or ("training" if what in TRAINING_DATA else "all")
    stem = what if split == usual else f"{what}-{split}"
    with tempfile.TemporaryDirectory(dir=here.root, prefix=".snapshot-") as aside, project.open_store(here) as store:
        made = Path(aside) / f"{stem}.jsonl"
        manifest = store.snapshot(
            what, made, split=None if split == "all" else split, group=None if group == "all" else group
        )
        path = here.root / f"{stem}-{manifest.sha256[:8]}.jsonl"
        # The manifest first: a snapshot without one could not be traced.
        named = manifest.model_copy(update={"path": path.name})
        runs.write_aside(manifest_path(path), named.model_dump_json(indent=2) + "\n")
        made.replace(path)
    say(f"{path}: " + ", ".join(f"{count} {kind}s" for kind, count in manifest.counts.items()))
    return path


def receive(files: Annotated[list[Path], typer.Argument(help="Files of completions and scores.")]) -> None:
    """Take back into the store what a machine elsewhere sampled or scored: all of a file, or nothing.

    Example: `biddable receive runs/sample-sft-train/completions.jsonl`
    """
    here = project.find()
    for file in files:
        take_back(here, file)


def take_back(here: Project, file: Path) -> None:
    with project.open_store(here) as store:
        counts = store.receive(file)
    say(f"{file}: " + ", ".join(f"{count} new {kind}s" for kind, count in counts.items()) + " in the store")


def _recipes() -> Path:
    """Inside an installed package, beside src/ in a checkout."""
    packaged = Path(str(resources.files(biddable))) / "recipes"
    return packaged if packaged.is_dir() else Path(biddable.__file__).parents[2] / "recipes"
