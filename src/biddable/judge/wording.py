"""What a judge is asked, and what its answer says. The words are files in templates/; a user's own file does as well.

A template has two parts, divided by a line `--- user ---`: what the judge is told once, and what it is shown. In the
second stand {{conversation}}, {{first}}, {{second}} and, as often as wanted, {{fence}}: a code that follows from the
texts themselves, so that no text can know it and close its own fence.
"""

import re
from importlib import resources
from pathlib import Path
from typing import Literal, NamedTuple

from biddable.config import ConfigError
from biddable.records import Prompt, digest

Choice = Literal["first", "second", "tie"]

DIVIDER = "--- user ---"
ONCE = ("conversation", "first", "second")
HOLE = re.compile(r"\{\{(\w+)\}\}")
# The last line alone, so that a judge that weighs aloud is not read by a word on its way.
VERDICT = re.compile(r"\W*(?:verdict\W+)?(first|second|tie)\W*", re.IGNORECASE)


class Template(NamedTuple):
    name: str
    text: str

    @property
    def stamp(self) -> str:
        return digest(self.text)[:8]

    def messages(self, prompt: Prompt, first: str, second: str) -> list[dict[str, str]]:
        """The chat that is sent. Filled in one pass: what a model wrote is never looked through for holes."""
        fence = fence_of(prompt, first, second, self.text)
        holes = {"conversation": conversation(prompt), "first": first, "second": second, "fence": fence}
        told, _, shown = self.text.partition(f"\n{DIVIDER}\n")
        user = HOLE.sub(lambda hole: holes[hole[1]], shown).strip()
        return [{"role": "system", "content": told.strip()}, {"role": "user", "content": user}]


def fence_of(prompt: Prompt, *texts: str) -> str:
    """A code that is in none of the texts."""
    code = digest(prompt.whole, *texts)
    while any(code in text for text in (prompt.whole, *texts)):
        code = digest(code)
    return code


def conversation(prompt: Prompt) -> str:
    """The request, and of a conversation what was said before, each turn by who said it."""
    if prompt.before is None:
        return prompt.text
    turns = [f"[{turn.role}]\n{turn.text}" for turn in prompt.before]
    return "\n\n".join([*turns, f"[user]\n{prompt.text}"])


def names() -> list[str]:
    folder = resources.files("biddable.judge").joinpath("templates")
    return sorted(file.name.removesuffix(".txt") for file in folder.iterdir() if file.name.endswith(".txt"))


def load(name: str) -> Template:
    """A template of ours by its name, or a file."""
    if name in names():
        ours = resources.files("biddable.judge").joinpath("templates", f"{name}.txt")
        return Template(name, ours.read_text(encoding="utf-8"))
    path = Path(name)
    try:
        found = Template(path.stem, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigError(f"--template {name}: {why}; ours are {', '.join(names())}") from error
    check(found, name)
    return found


def check(template: Template, where: str) -> None:
    told, divider, shown = template.text.partition(f"\n{DIVIDER}\n")
    if not divider:
        raise ConfigError(f"--template {where}: has no line `{DIVIDER}` between what is told and what is shown")
    holes = HOLE.findall(shown)
    wrong = [*HOLE.findall(told), *(hole for hole in holes if hole not in (*ONCE, "fence"))]
    if wrong:
        raise ConfigError(f"--template {where}: {{{{{wrong[0]}}}}} has no meaning there")
    for hole in ONCE:
        if holes.count(hole) != 1:
            raise ConfigError(
                f"--template {where}: needs {{{{{hole}}}}} once after `{DIVIDER}`, not {holes.count(hole)}×"
            )
    if "fence" not in holes:
        raise ConfigError(f"--template {where}: needs {{{{fence}}}} around the texts, or they could speak for the user")


def read(said: str) -> Choice | None:
    """What the last line says; None where it is no verdict. Nothing is guessed."""
    lines = [line for line in said.splitlines() if line.strip()]
    found = VERDICT.fullmatch(lines[-1]) if lines else None
    if found is None:
        return None
    word = found[1].lower()
    return "first" if word == "first" else "second" if word == "second" else "tie"
