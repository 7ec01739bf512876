"""The road back from a weight or a number to the people whose labels it stands on, and from a person forward.

Everything follows from the hashes in the runs' manifests. Where a file went through the store its hash ends, and the
names in it go on: an answer says which run gave it, and a prompt which gathering kept it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from biddable import records
from biddable.provenance import Artifact, artifact
from biddable.records import BadRow, Completion, Likelihood, Prompt, Record, Score
from biddable.runs import MANIFEST, METRICS, RunManifest, read_manifest

WEIGHTS = (".safetensors", ".gguf")
MANY = 6  # people or files that a line names, before it says how many more there are


@dataclass(frozen=True)
class Made:
    """A run and where it lies."""

    folder: Path
    manifest: RunManifest

    @property
    def id(self) -> str:
        return self.folder.resolve().name

    def output(self, name: str) -> Path | None:
        """What it left under a name, if that is still there."""
        left = self.manifest.outputs.get(name)
        path = self.folder / left.path if left else None
        return path if path is not None and path.exists() else None


@dataclass(frozen=True)
class Step:
    """One thing on the road, and what it was made of."""

    what: str
    of: tuple["Step", ...] = ()


@dataclass
class Tracks:
    """The runs beside one another, and the files that they speak of."""

    made: list[Made]
    files: dict[str, Path] = field(default_factory=dict)  # by sha256
    logged: dict[str, Made] = field(default_factory=dict)  # whose metrics: no output, since they grow while a run does

    @classmethod
    def below(cls, runs: Path, root: Path) -> "Tracks":
        """Of the runs in a folder; snapshots lie in the project's root."""
        folders = sorted(path.parent for path in runs.glob(f"*/{MANIFEST}"))
        made = sorted((Made(folder, read_manifest(folder)) for folder in folders), key=lambda run: run.manifest.started)
        there = sorted([*root.glob("*.jsonl"), *root.glob("files/*.jsonl")])  # a quickstart keeps its own in files/
        logged = {artifact(path).sha256: run for run in made if (path := run.folder / METRICS).is_file()}
        files = {artifact(path).sha256: path for path in there}
        files |= {sha256: run.folder / METRICS for sha256, run in logged.items()}
        for run in made:
            for name, left in run.manifest.outputs.items():
                if (path := run.output(name)) is not None:
                    files.setdefault(left.sha256, path)
        return cls(made, files, logged)

    def run(self, name: str) -> Made | None:
        return next((run for run in self.made if run.id == name), None)

    def maker(self, sha256: str) -> tuple[Made, str] | None:
        """Who left it, and under which name. The first that did: another may have copied it."""
        left = (
            (run, name) for run in self.made for name, made in run.manifest.outputs.items() if made.sha256 == sha256
        )
        return next(left, None)

    def left_by(self, known: Artifact) -> tuple[Made, str] | None:
        """Who left it, or its weights: a folder may have been copied, and a file (its card) added or changed."""
        return self.maker(known.sha256) or next(
            (
                (run, name)
                for run in self.made
                for name, made in run.manifest.outputs.items()
                if (mine := weights(known)) and mine <= weights(made)
            ),
            None,
        )

    def file(self, known: Artifact) -> Path | None:
        """An input as it was, if it is still anywhere."""
        if (path := self.files.get(known.sha256)) is not None:
            return path
        path = Path(known.path)
        if path.exists() and artifact(path).sha256 == known.sha256:
            self.files[known.sha256] = path
            return path
        return None


def weights(known: Artifact) -> set[str]:
    """The sha256 of each file of weights in a folder, or of the file that it is."""
    files = known.files or {known.path: known.sha256}
    return {sha256 for file, sha256 in files.items() if Path(file).suffix in WEIGHTS}


# Back.


def back(tracks: Tracks, run: Made, inputs: Sequence[str] | None = None) -> Step:
    """The run, and all that it was made of. `inputs` names those that count; nothing: all."""
    return _run(tracks, run, set(), inputs)


def of_file(tracks: Tracks, path: Path) -> Step:
    """A snapshot, a model's folder or its weights, wherever they were copied to; or a page or card of a measurement."""
    known = artifact(path)
    if tracks.maker(known.sha256) is None:
        if (left := tracks.left_by(known)) is not None:
            run, name = left
            return Step(f"file: {path}: the weights of {run.id}'s {name}", (back(tracks, run),))
        if (run := measurement(tracks, path)) is not None:
            return Step(f"file: {path}: made of what {run.id} counted", (back(tracks, run),))
    return _input(tracks, "file", known, set())


def measurement(tracks: Tracks, path: Path) -> Made | None:
    """The measurement that a file of numbers is, or that a page or a card says it was made of."""
    maker = tracks.maker(artifact(path).sha256)
    if maker is None and path.is_file() and path.suffix in (".html", ".md"):
        said = MADE_OF.search(path.read_text(encoding="utf-8", errors="replace"))
        maker = tracks.maker(said[1]) if said else None
    return maker[0] if maker is not None and maker[0].manifest.kind == "measure" else None


# How a page (`measure.report`) and a card (`measure.card`) say of which data they were made.
DATA = "biddable-data"
MADE_OF = re.compile(rf"""{DATA}["']?(?: content=["']|: )([0-9a-f]{{64}})""")


def trained(tracks: Tracks, run: Made) -> list[Made]:
    """The runs whose weights went into this one's, the earliest first, itself last. Over hashes alone."""
    found: dict[str, Made] = {}

    def walk(one: Made) -> None:
        if one.id not in found:
            found[one.id] = one
            for made in one.manifest.inputs.values():
                if made.files and (maker := tracks.left_by(made)) is not None:
                    walk(maker[0])

    walk(run)
    return sorted(found.values(), key=lambda one: (one is run, one.manifest.started))


def below(tracks: Tracks, run: Made) -> frozenset[str]:
    """Every run on the road back from this one, over hashes and through the store."""
    found: set[str] = set()

    def walk(one: Made) -> None:
        if one.id in found:
            return
        found.add(one.id)
        for made in one.manifest.inputs.values():
            if (maker := tracks.left_by(made)) is not None:
                walk(maker[0])
            elif (path := tracks.file(made)) is not None and path.suffix == ".jsonl":
                for other in _through_store(tracks, contents(path)):
                    walk(other)

    walk(run)
    return frozenset(found)


def _run(tracks: Tracks, run: Made, told: set[str], inputs: Sequence[str] | None = None) -> Step:
    there = run.manifest
    if run.id in told and inputs is None:
        return Step(f"run {run.id}, as above")
    told.add(run.id)
    code = there.code.version + (f" at {there.code.revision[:8]}" if there.code.revision else "")
    when = f"{there.started:%Y-%m-%d %H:%M}"
    what = f"run {run.id}: {there.kind}, {there.status}, {when}, seed {there.seed}, biddable {code}"
    chosen = {name: made for name, made in there.inputs.items() if inputs is None or name in inputs}
    return Step(what, tuple(_input(tracks, name, made, told) for name, made in sorted(chosen.items())))


def _input(tracks: Tracks, name: str, known: Artifact, told: set[str]) -> Step:
    there = tracks.files.get(known.sha256)
    shown = f"{name}: {there or known.path} ({known.sha256[:8]})"
    if (maker := tracks.left_by(known)) is not None:
        return Step(shown, (_run(tracks, maker[0], told),))
    if (run := tracks.logged.get(known.sha256)) is not None:
        return Step(shown, (_run(tracks, run, told),))
    if known.sha256 in told:
        return Step(f"{shown}, as above")
    told.add(known.sha256)
    path = tracks.file(known)
    if path is None:
        return Step(f"{shown}: is not there any more, so who is in it cannot be told")
    if path.is_dir() or path.suffix != ".jsonl":
        return Step(f"{shown}: was not made here")
    found = contents(path)
    if found is None:
        return Step(f"{shown}: was not made here, and is not in the form of our records")
    return Step(f"{shown}: {found}", tuple(_run(tracks, run, told) for run in _through_store(tracks, found)))


def _through_store(tracks: Tracks, found: "Contents | None") -> list[Made]:
    """Who gave the answers that a file names, and which gathering kept its prompts."""
    if found is None:
        return []
    gave = [run for run in tracks.made if _gave(run, found)]
    kept = [run for run in tracks.made if run.manifest.kind == "gather" and _prompts(run) & found.prompts]
    return [*gave, *kept]


@dataclass(frozen=True)
class Contents:
    """What a file of records holds, and whose it is."""

    kinds: Counter[str]
    labels: Counter[str]  # by labeler
    owners: Counter[str]  # prompts by user or organization
    prompts: frozenset[str]
    answers: frozenset[str]  # completions by name
    marked_by: frozenset[str]  # runs that gave scores or likelihoods
    labels_of: dict[str, Counter[str]]  # labeler: how many of each kind
    prompts_of: dict[str, frozenset[str]]  # user or organization
    on: dict[str, frozenset[str]]  # prompt: who labeled it

    def __str__(self) -> str:
        counted = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in self.kinds.items())
        people = f"; labels of {_named(self.labels)}" if self.labels else ""
        owned = f"; prompts of {_named(self.owners)}" if self.owners else ""
        return counted + people + owned


def _named(count: Counter[str]) -> str:
    first = ", ".join(f"{name} ({many})" for name, many in count.most_common(MANY))
    return first + (f" and {len(count) - MANY} more" if len(count) > MANY else "")


def contents(path: Path) -> Contents | None:
    """Nothing for a file that holds something else than records."""
    seen = path.stat()
    return _read(path.resolve(), seen.st_mtime_ns, seen.st_size)


@cache
def _read(path: Path, _time: int, _size: int) -> Contents | None:
    """Once, as long as the file is what it was."""
    kinds, labels, owners = Counter[str](), Counter[str](), Counter[str]()
    labels_of: dict[str, Counter[str]] = {}
    prompts_of: dict[str, set[str]] = {}
    on: dict[str, set[str]] = {}
    prompts, marked_by, asked = set[str](), set[str](), dict[str, str]()
    try:
        for record in records.read(path):
            kinds[record.kind] += 1
            match record:
                case Prompt():
                    prompts.add(record.id)
                    for owner in filter(None, {record.user, record.organization}):
                        owners[owner] += 1
                        prompts_of.setdefault(owner, set()).add(record.id)
                case Completion():
                    asked[record.id] = record.prompt_id
                case Score() | Likelihood():
                    marked_by.add(record.run_id)
            if (labeler := labeler_of(record)) is not None:
                labels[labeler] += 1
                labels_of.setdefault(labeler, Counter())[record.kind] += 1
                prompt = getattr(record, "prompt_id", None) or asked.get(getattr(record, "completion_id", ""), "")
                on.setdefault(prompt, set()).add(labeler)
    except BadRow:
        return None
    frozen = {owner: frozenset(names) for owner, names in prompts_of.items()}
    who = {prompt: frozenset(names) for prompt, names in on.items()}
    names = frozenset(asked), frozenset(marked_by)
    return Contents(kinds, labels, owners, frozenset(prompts), *names, labels_of, frozen, who)


def labeler_of(record: Record) -> str | None:
    """The person whose word a record is; a judge that is a model is none."""
    if getattr(record, "judge", "person") != "person":
        return None
    return vars(record).get("labeler")


def _gave(run: Made, found: Contents) -> bool:
    """Whether a run gave what a file holds. Answers by their own names: two samplings of one model are told apart."""
    path = run.output("completions") or run.output("scores") or run.output("likelihoods")
    its = contents(path) if path is not None and path.suffix == ".jsonl" else None
    return its is not None and bool(its.answers & found.answers or its.marked_by & found.marked_by)


def _prompts(run: Made) -> frozenset[str]:
    path = run.output("prompts")
    found = contents(path) if path is not None else None
    return found.prompts if found else frozenset()


# Forward.


@dataclass(frozen=True)
class Touched:
    """Where somebody's words went."""

    files: dict[Path, str]  # with what of theirs is in each
    runs: list[Made]  # by when they began
    gone: list[str]  # inputs that are not there any more: whether they are in these nobody can tell

    @property
    def models(self) -> list[Path]:
        """Folders of weights that learned from them."""
        left = (run.output(name) for run in self.runs for name in run.manifest.outputs)
        return [path for path in left if path is not None and path.is_dir()]


def forward(tracks: Tracks, person: str) -> Touched:
    """Each file with their labels or prompts in it, and each run that was made of one, or of what came of one."""
    known = {made.sha256: made for run in tracks.made for made in run.manifest.inputs.values()}
    files: dict[Path, str] = {}
    hashes, gone = set[str](), []
    for sha256, path in [*tracks.files.items()]:
        if path.suffix == ".jsonl" and (found := contents(path)) is not None and (theirs := _theirs(found, person)):
            files[path] = theirs
            hashes.add(sha256)
    for sha256, made in known.items():
        if sha256 in tracks.files or tracks.left_by(made) is not None:
            continue
        path = tracks.file(made)
        if path is None:
            gone.append(made.path)
        elif path.suffix == ".jsonl" and (found := contents(path)) is not None and (theirs := _theirs(found, person)):
            files[path] = theirs
            hashes.add(sha256)
    touched: list[Made] = []
    for run in tracks.made:  # in the order of time, so what a run was made of comes before it
        inputs = {mark for made in run.manifest.inputs.values() for mark in _marks(made)}
        through = any(
            any(_gave(other, found) for other in touched)
            for made in run.manifest.inputs.values()
            if (path := tracks.files.get(made.sha256)) is not None
            and path.suffix == ".jsonl"
            and (found := contents(path)) is not None
        )
        outputs = {mark for made in run.manifest.outputs.values() for mark in _marks(made)}
        outputs |= {sha256 for sha256, other in tracks.logged.items() if other is run}
        if inputs & hashes or through or (run.manifest.kind == "gather" and outputs & hashes):
            touched.append(run)
            hashes |= outputs
    return Touched(files, touched, gone)


def _marks(known: Artifact) -> set[str]:
    """By what it is known again, when it is an input: itself, or its weights in another folder."""
    return {known.sha256} | weights(known)


def _theirs(found: Contents, person: str) -> str:
    """What of a file is theirs, in words; nothing where nothing is."""
    labels = found.labels_of.get(person, Counter())
    parts = [f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in labels.items()]
    if own := found.prompts_of.get(person):
        parts.append(f"{len(own)} prompt{'s' if len(own) > 1 else ''}")
        others = {name for prompt in own for name in found.on.get(prompt, frozenset())} - {person}
        if others:
            parts[-1] += f", labeled by {len(others)} other{'s' if len(others) > 1 else ''}"
    return ", ".join(parts)


def lines(step: Step, depth: int = 0) -> Iterator[str]:
    """As a person reads it: what a thing was made of stands below it, further in."""
    yield "  " * depth + step.what
    for one in step.of:
        yield from lines(one, depth + 1)


def as_tree(step: Step) -> dict:
    return {"what": step.what, "of": [as_tree(one) for one in step.of]}


def among(runs: Iterable[Made], kinds: Sequence[str]) -> list[Made]:
    return [run for run in runs if run.manifest.kind in kinds]
