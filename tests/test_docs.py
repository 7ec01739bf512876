"""The pages say what is: their Python runs, their links lead somewhere, every verb and every setting is in them.

`python tests/test_docs.py` writes docs/settings.md anew from the settings classes.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser
from typer.testing import CliRunner

from biddable.cli import app
from biddable.config import Settings
from biddable.gather import GatherConfig
from biddable.learn.dpo import DpoConfig
from biddable.learn.group import GrpoConfig, ReinforceConfig, RlooConfig
from biddable.learn.ppo import PpoConfig
from biddable.learn.pretrain import PretrainConfig
from biddable.learn.raft import RaftConfig
from biddable.learn.reward import RewardConfig
from biddable.learn.sft import SftConfig
from biddable.learn.start import StartConfig
from biddable.paper.settings import PaperConfig
from biddable.quickstart import WalkConfig
from biddable.sample.along import FollowConfig
from biddable.sample.completions import SampleConfig

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKED = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "LOG.md", ROOT / "CONTRIBUTING.md"]
STAGES: dict[str, type[Settings]] = {
    "gather": GatherConfig,
    "sft": SftConfig,
    "start": StartConfig,
    "sample": SampleConfig,
    "follow": FollowConfig,
    "reward": RewardConfig,
    "ppo": PpoConfig,
    "raft": RaftConfig,
    "dpo": DpoConfig,
    "rloo": RlooConfig,
    "grpo": GrpoConfig,
    "reinforce": ReinforceConfig,
    "pretrain": PretrainConfig,
    "walk": WalkConfig,
    "paper": PaperConfig,
}
OURS = ("walk", "paper")  # how much of everything, in the practice world
IN_THE_PAPER = [(stage, key) for stage, kind in STAGES.items() if stage not in OURS for key in kind.model_fields]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def settings_page() -> str:
    """docs/settings.md."""
    lines = [
        "# Every setting",
        "",
        "Made from the settings classes by `python tests/test_docs.py`. Set a key in a recipe's section or as a word,",
        "`biddable ppo recipes/small.toml beta=0.05`. Where each stands in the paper: [the index](paper_index.md).",
    ]
    for stage, kind in STAGES.items():
        lines += ["", f"## {stage}", "", "| key | default | what |", "|---|---|---|"]
        for key, field in kind.model_fields.items():
            shown = str(field.default).lower() if isinstance(field.default, bool) else field.default
            lines.append(f"| `{key}` | {shown} | {field.description} |")
    return "\n".join(lines) + "\n"


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def verbs() -> list[str]:
    """`gather`, …, `hamlet pages`."""
    group = typer.main.get_command(app)
    inner = {name: getattr(command, "commands", {}) for name, command in group.commands.items()}
    return [*inner, *(f"{name} {one}" for name, some in inner.items() for one in some)]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIDDABLE_QUIET", "1")
    for example in Sybil(parsers=[PythonCodeBlockParser()]).parse(page).examples():
        example.evaluate()


def test_some_python_is_found():
    blocks = [len(list(Sybil(parsers=[PythonCodeBlockParser()]).parse(page).examples())) for page in PAGES]
    written = [page.read_text(encoding="utf-8").count("\n```python\n") for page in PAGES]
    assert blocks == written
    assert sum(written) > 10


@pytest.mark.parametrize("page", LINKED, ids=named)
def test_links_lead_somewhere(page):
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        there = (page.parent / name) if name else page
        assert there.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(there), f"{link}: no such heading"


@pytest.mark.parametrize("verb", verbs())
def test_a_verb_is_documented(verb):
    assert any(re.search(rf"\bbiddable +{verb}\b", page.read_text(encoding="utf-8")) for page in PAGES)


@pytest.mark.parametrize(("stage", "key"), IN_THE_PAPER)
def test_a_setting_is_in_the_papers_index(stage, key):
    text = (ROOT / "docs" / "paper_index.md").read_text(encoding="utf-8")
    # The optimisers' own keys stand once, for all stages.
    part = text.partition("## Settings")[2].partition("## Where the paper contradicts itself")[0]
    sections = dict(re.findall(r"^### (\w+).*?\n(.*?)(?=^### |\Z)", part, flags=re.MULTILINE | re.DOTALL))
    assert f"`{key}`" in sections[stage] + sections["All"]


def typed(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each command of a page's console blocks, and what the page shows after it."""
    for block in re.findall(
        r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    ):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.splitlines()
            yield command, shown


def test_what_the_page_on_own_data_types_prints_what_it_shows(tmp_path, monkeypatch):
    """`cat FILE` shows the user's file, which is written here; … is a time,
    or a name that follows from the bits of weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIDDABLE_QUIET", "1")
    monkeypatch.delenv("BIDDABLE_STORE", raising=False)
    ran = []
    for command, shown in typed(ROOT / "docs" / "own_data.md"):
        verb, *words = command.split()
        if verb == "cat":
            Path(words[0]).write_text("\n".join(shown) + "\n", encoding="utf-8")
        elif verb == "cd":
            monkeypatch.chdir(words[0])
        else:
            assert verb == "biddable"
            result = CliRunner().invoke(app, words)
            told = re.sub(
                "(?<=made in ).*|(?<=sample-dpo-sft-)[0-9a-f]{8}|(?<=runs/measure-)[0-9a-f]{8}", "…", result.output
            )
            assert told.splitlines() == shown, command
            ran.append(words[0])
    assert {
        "init",
        "import",
        "snapshot",
        "sft",
        "reward",
        "ppo",
        "dpo",
        "sample",
        "measure",
        "report",
        "export",
    } <= set(ran)


def test_the_table_of_settings_is_what_the_code_has():
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == settings_page(), "docs/settings.md is old; write it anew: python tests/test_docs.py"


if __name__ == "__main__":
    (ROOT / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
