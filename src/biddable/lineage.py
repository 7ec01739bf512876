"""The road back from a weight or a number to the people whose labels it stands on, and from a person forward.

Everything follows from the hashes in the runs' manifests. Where a file went through the store its hash ends, and the
names in it go on: an answer says which run gave it, and a prompt which gathering kept it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from biddable.contents import Contents, contents
from biddable.provenance import Artifact, artifact
from biddable.runs import MANIFEST, METRICS, RunManifest, read_manifest

WEIGHTS = (".safetensors", ".gguf")
SHIPPED = ("biddable", "hamlet", "base")  # where the package keeps Hamlet's base


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
    again: bool = False  # what it was made of was told before


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
                # An export hands on what it was given.
                if not any(mine <= weights(given) for given in run.manifest.inputs.values())
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
        return Step(f"run {run.id}", again=True)
    what = f"run {run.id}: {there.kind}, {there.status}, {there.started:%Y-%m-%d %H:%M}"
    code = there.code.version + (f" at {there.code.revision[:8]}" if there.code.revision else "")
    how = f"seed {there.seed}, biddable {code}"
    if how not in told:  # one walk's runs have it in common
        what += f", {how}"
    told |= {run.id, how}
    chosen = {name: made for name, made in there.inputs.items() if inputs is None or name in inputs}
    return Step(what, _below([_input(tracks, name, made, told) for name, made in sorted(chosen.items())]))


def _below(steps: Sequence[Step]) -> tuple[Step, ...]:
    """What is new, each on its own; what was told before in one line."""
    before = [step.what for step in steps if step.again]
    last = Step(f"as above: {', '.join(dict.fromkeys(before))}", again=True)
    return (*(step for step in steps if not step.again), *([last] if before else []))


def _input(tracks: Tracks, name: str, known: Artifact, told: set[str]) -> Step:
    there = tracks.files.get(known.sha256) or Path(known.path)
    maker = tracks.left_by(known)
    if (run := maker[0] if maker else tracks.logged.get(known.sha256)) is not None:
        made = _run(tracks, run, told)
        if made.again:
            return made
        # Its path says no more than the run does, unless it was copied.
        copied = "" if there.resolve().is_relative_to(run.folder.resolve()) else f"{there}, of "
        return Step(f"{name}: {copied}{made.what}", made.of)
    if known.sha256 in told:
        return Step(there.name, again=True)
    told.add(known.sha256)
    shown = f"{name}: {there} ({known.sha256[:8]})"
    if Path(known.path).parts[-3:] == SHIPPED:
        return Step(f"{shown}: Hamlet's base, shipped with biddable: was not made here")
    path = tracks.file(known)
    if path is None:
        return Step(f"{shown}: is not there any more, so who is in it cannot be told")
    if path.is_dir() or path.suffix != ".jsonl":
        return Step(f"{shown}: was not made here")
    found = contents(path)
    if found is None:
        return Step(f"{shown}: was not made here, and is not in the form of our records")
    return Step(f"{shown}: {found}", _below([_run(tracks, run, told) for run in _through_store(tracks, found)]))


def _through_store(tracks: Tracks, found: "Contents | None") -> list[Made]:
    """Who gave the answers that a file names, and which gathering kept its prompts."""
    if found is None:
        return []
    gave = [run for run in tracks.made if _gave(run, found)]
    kept = [run for run in tracks.made if run.manifest.kind == "gather" and _prompts(run) & found.prompts]
    return [*gave, *kept]


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
        if path.suffix == ".jsonl" and (found := contents(path)) is not None and (theirs := found.of(person)):
            files[path] = theirs
            hashes.add(sha256)
    for sha256, made in known.items():
        if sha256 in tracks.files or tracks.left_by(made) is not None:
            continue
        path = tracks.file(made)
        if path is None:
            gone.append(made.path)
        elif path.suffix == ".jsonl" and (found := contents(path)) is not None and (theirs := found.of(person)):
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


def lines(step: Step, depth: int = 0) -> Iterator[str]:
    """As a person reads it: what a thing was made of stands below it, further in."""
    yield "  " * depth + step.what
    for one in step.of:
        yield from lines(one, depth + 1)


def as_tree(step: Step) -> dict:
    return {"what": step.what, "of": [as_tree(one) for one in step.of]}


def among(runs: Iterable[Made], kinds: Sequence[str]) -> list[Made]:
    return [run for run in runs if run.manifest.kind in kinds]
