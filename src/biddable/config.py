"""Settings: a TOML file's section, then `key=value` words, become one frozen object; an error names the key.

Every stage's settings derive from `Settings`, with the paper's number as the default and a description a field.
There is no command-line flag a setting: `biddable sft recipes/small.toml epochs=2` changes one number of the recipe.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError


class ConfigError(ValueError):
    """Settings that cannot be: which file, section and key, and what to do."""


class Settings(BaseModel):
    # NaN passes every `ge=0`-like bound that pydantic checks, and then trains for a day.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


S = TypeVar("S", bound=Settings)


def load(kind: type[S], words: Sequence[str] = (), *, recipe: Path | None = None, section: str = "") -> S:
    """Settings from the recipe's [section] (the keys outside any, when it is empty), then the words."""
    where = f"{recipe}: [{section}] " if section else f"{recipe}: "
    table = read_section(recipe, section) if recipe else {}
    fields = kind.model_fields
    for key in table:
        if key not in fields:
            raise ConfigError(f"{where}{key}: no such key{guess(key, fields)}")
    texts = dict(parse_word(word) for word in words)
    if len(texts) < len(words):
        raise ConfigError(f"{_twice(words)}: given twice; say it once")
    for key in texts:
        if key not in fields:
            raise ConfigError(f"{key}: no such key{guess(key, fields)}")
    values = table | {key: _value(kind, key, text) for key, text in texts.items()}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "missing":
            raise ConfigError(f"{key}: is needed and has no default; say {key}=…") from error
        place = where if key.split(".")[0] in table and key.split(".")[0] not in texts else ""
        what = fault["msg"].removeprefix("Value error, ")
        # A law over several keys has no key of its own; showing all settings would hide the sentence.
        shown = f" (got {fault['input']!r})" if key else ""
        raise ConfigError(f"{place}{key}{': ' if key else ''}{what}{shown}") from error


def read_recipe(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error


def read_section(path: Path, section: str) -> dict[str, object]:
    """The recipe's [section]; the keys outside any section when `section` is empty."""
    recipe = read_recipe(path)
    if not section:
        return {key: value for key, value in recipe.items() if not isinstance(value, dict)}
    sections = [key for key, value in recipe.items() if isinstance(value, dict)]
    table = recipe.get(section)
    if isinstance(table, dict):
        return table
    has = ", ".join(f"[{name}]" for name in sections) or "none"
    raise ConfigError(f"{path}: has no section [{section}]{guess(section, sections)} (sections: {has})")


def parse_word(word: str) -> tuple[str, str]:
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise ConfigError(f"{word}: settings are words like key=value")
    return key, text


def guess(key: str, keys: Iterable[str]) -> str:
    """`; did you mean value_clip?` or nothing, when nothing is near."""
    near = difflib.get_close_matches(key, list(keys), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def differences(mine: Mapping[str, object], other: Mapping[str, object]) -> list[tuple[str, object, object]]:
    """The keys whose values differ, with both values; an absent key is None."""
    keys = sorted(mine.keys() | other.keys())
    return [(key, mine.get(key), other.get(key)) for key in keys if mine.get(key) != other.get(key)]


def _value(kind: type[Settings], key: str, text: str) -> object:
    """A word's value: TOML where the field takes it as such, else the bare text (`out=2024-01-01` is a path)."""
    if text == "none" and NoneType in get_args(kind.model_fields[key].annotation):
        return None  # TOML has no null
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    if table.keys() != {"value"}:  # a newline in the word
        return text
    value = table["value"]
    # The field itself says whether it takes what TOML made of the word: only the faults at this key matter here.
    try:
        kind.model_validate({key: value})
    except ValidationError as error:
        if any(fault["loc"][:1] == (key,) for fault in error.errors()):
            return text
    return value


def _twice(words: Sequence[str]) -> str:
    keys = [parse_word(word)[0] for word in words]
    return next(key for key in keys if keys.count(key) > 1)
