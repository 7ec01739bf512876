"""What `make` installs goes with the oldest Python that pyproject.toml says, and not with ours alone."""

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]


def test_every_pinned_package_takes_the_oldest_python():
    """Debian 12 has 3.11.2; a version that asks for 3.11.5 ends its installation with a puzzle."""
    said = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = said.removeprefix(">=") + ".0"
    assert re.fullmatch(r"3\.\d+\.0", oldest)
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {tuple(line.split("==")) for line in lines if "==" in line}
    there = {(one.metadata["Name"], one.version): one.metadata["Requires-Python"] for one in distributions()}
    asks = {pin: needs for pin in pinned if (needs := there.get(pin)) is not None}
    assert len(asks) > 50
    assert [pin for pin, needs in asks.items() if not SpecifierSet(needs).contains(oldest)] == []
