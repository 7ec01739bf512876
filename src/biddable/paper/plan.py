"""Where everything lies, and how a page asks for an experiment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from biddable import hamlet, records
from biddable.measure.results import Source, source
from biddable.paper.settings import PaperConfig
from biddable.quickstart.machines import Stage
from biddable.records import Record


class Job(NamedTuple):
    """A stage and about how many seconds of one core it takes: the scheduler's order and the time left hang on it, and
    no result does. It waits for every job whose product it reads."""

    stage: Stage
    seconds: float

    @property
    def leaves(self) -> Path:
        return self.stage.leaves


@dataclass(frozen=True)
class Plan:
    """The folders of `biddable paper`, the walk's products in them, and the settings."""

    out: Path
    seed: int
    recipe: Path
    config: PaperConfig
    fast: bool = False

    @property
    def walk(self) -> Path:
        return self.out / "walk"

    @property
    def runs(self) -> Path:
        """The experiments': --fast has others."""
        return self.out / ("runs-fast" if self.fast else "runs")

    def file(self, name: str) -> Path:
        """A file of the walk: demos, rankings, rankings-valid, prompts, tested, best, items, pages, verdicts, …"""
        return self.walk / "files" / f"{name}.jsonl"

    def model(self, name: str) -> Path:
        """A model of the walk: base, sft, start, reward, ppo, ppo_ptx."""
        return hamlet.BASE if name == "base" else self.walk / "runs" / name / "model"

    def job(
        self, kind: str, name: str, inputs: Mapping[str, Path], *words: str, seconds: float, section: str = ""
    ) -> Job:
        """An experiment of the recipe's section, which is its kind unless told, with other words over it. The same name
        asked for by two pages is the same experiment, done once."""
        return Job(Stage(kind, self.runs / name, section or kind, words, self.recipe, dict(inputs), self.seed), seconds)

    def write(self, name: str, rows: Iterable[Record]) -> Path:
        """A file that experiments read, made of the walk's."""
        place = self.runs / "files" / f"{name}.jsonl"
        place.parent.mkdir(parents=True, exist_ok=True)
        records.write(place, rows)
        return place

    def sources(self, *folders: Path) -> tuple[Source, ...]:
        return tuple(source(folder, self.out) for folder in folders)
