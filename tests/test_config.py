"""A recipe and words become settings; whatever is wrong is named by key, with a guess."""

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from biddable import config
from biddable.config import ConfigError, Settings


class Probe(Settings):
    learning_rate: float = Field(1e-5, gt=0)
    epochs: int = Field(16, ge=1)
    value_clip: float | None = 0.2
    select: Literal["reward", "loss"] = "reward"
    out: Path = Path("runs/probe")
    name: str = "probe"
    stops: tuple[int, ...] = ()
    shuffle: bool = True


class Needy(Settings):
    model: Path


class Lawful(Settings):
    low: int = 0
    high: int = 1

    @model_validator(mode="after")
    def _ordered(self):
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text('seed = 7\n[sft]\nepochs = 2\nname = "from the recipe"\n[reward]\nepochs = 1\n', encoding="utf-8")
    return path


def test_defaults_then_the_recipe_then_the_words(recipe):
    assert config.load(Probe) == Probe()
    loaded = config.load(Probe, ["epochs=3"], recipe=recipe, section="sft")
    assert loaded == Probe(epochs=3, name="from the recipe")


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("learning_rate=9.65e-6", "learning_rate", 9.65e-6),
        ("learning_rate=.5", "learning_rate", 0.5),  # not TOML, and yet a number
        ("epochs=007", "epochs", 7),
        ("value_clip=none", "value_clip", None),
        ("select=loss", "select", "loss"),
        ('select="loss"', "select", "loss"),
        ("name=two words = three", "name", "two words = three"),
        ("name=none", "name", "none"),
        ("name=42", "name", "42"),  # a name that looks like a number stays a name
        ("name=", "name", ""),
        ("name=a\nepochs=9", "name", "a\nepochs=9"),  # a word sets one key, whatever it holds
        ("name=1\nepochs=9", "name", "1\nepochs=9"),
        ("out=2024-01-01", "out", Path("2024-01-01")),  # TOML would make a date of it
        ("out=runs/a b", "out", Path("runs/a b")),
        ("stops=[3, 5]", "stops", (3, 5)),
        ("shuffle=false", "shuffle", False),
    ],
)
def test_a_word_sets_one_key(word, key, value):
    assert config.load(Probe, [word]) == Probe(**{key: value})


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_reaches_a_text_setting_or_is_read_as_toml(text):
    quoted = text.strip()[:1] in ('"', "'")
    name = config.load(Probe, [f"name={text}"]).name
    assert name == text or quoted


@given(st.floats(1e-300, 1e300), st.integers(1, 10**12))
def test_numbers_survive_the_command_line(rate, epochs):
    loaded = config.load(Probe, [f"learning_rate={rate!r}", f"epochs={epochs}"])
    assert (loaded.learning_rate, loaded.epochs) == (rate, epochs)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["learning_rat=1"], "learning_rat: no such key; did you mean learning_rate?"),
        (["valuee_clip=1"], "valuee_clip: no such key; did you mean value_clip?"),
        (["zzz=1"], "zzz: no such key"),
        (["epochs"], "epochs: settings are words like key=value"),
        (["=3"], "=3: settings are words like key=value"),
        (["epochs=3", "epochs=4"], "epochs: given twice; say it once"),
        (["epochs=0"], "epochs: Input should be greater than or equal to 1 (got '0')"),
        (["epochs=1.5"], "epochs: Input should be a valid integer"),
        (["learning_rate=nan"], "learning_rate: Input should be "),
        (["value_clip=inf"], "value_clip: Input should be a finite number"),
        (["select=best"], "select: Input should be 'reward' or 'loss' (got 'best')"),
        (["stops=[3]\nepochs=9"], "stops: Input should be "),
        (["stops=[1, 'a']"], "stops: Input should be "),
    ],
)
def test_a_bad_word_is_one_line_with_its_key(words, fault):
    with pytest.raises(ConfigError) as caught:
        config.load(Probe, words)
    assert str(caught.value).startswith(fault)
    assert "\n" not in str(caught.value)
    assert str(caught.value) == fault or fault.endswith((" ", "integer", "')", "number"))


def test_a_bad_key_of_a_recipe_names_file_and_section(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("[sft]\nlearning_rat = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        config.load(Probe, recipe=path, section="sft")
    assert str(caught.value) == f"{path}: [sft] learning_rat: no such key; did you mean learning_rate?"


def test_a_bad_value_of_a_recipe_names_file_and_section_unless_a_word_mends_it(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text('[sft]\nepochs = "many"\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        config.load(Probe, recipe=path, section="sft")
    assert str(caught.value).startswith(f"{path}: [sft] epochs: Input should be a valid integer")
    assert config.load(Probe, ["epochs=4"], recipe=path, section="sft").epochs == 4
    with pytest.raises(ConfigError, match=r"^epochs: "):  # now the word is at fault, not the file
        config.load(Probe, ["epochs=0"], recipe=path, section="sft")


def test_a_section_that_is_not_there_is_guessed(recipe):
    with pytest.raises(ConfigError) as caught:
        config.load(Probe, recipe=recipe, section="rewards")
    assert str(caught.value) == f"{recipe}: has no section [rewards]; did you mean reward? (sections: [sft], [reward])"


def test_no_section_means_the_keys_outside_any(recipe):
    assert config.read_section(recipe, "") == {"seed": 7}


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"[sft\n", "is not TOML: "), (b"name = '\xff'\n", "is not TOML: "), (None, "cannot be read: No such file")],
)
def test_a_recipe_that_cannot_be_read_is_named(tmp_path, content, fault):
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config.load(Probe, recipe=path, section="sft")
    assert str(caught.value).startswith(f"{path}: {fault}")


def test_a_needed_key_says_what_to_say():
    with pytest.raises(ConfigError, match="model: is needed and has no default; say model=…"):
        config.load(Needy)


def test_a_law_over_several_keys_speaks_for_itself():
    with pytest.raises(ConfigError) as caught:
        config.load(Lawful, ["low=2"])
    assert str(caught.value) == "low 2 is above high 1"


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Probe().epochs = 3  # pyrefly: ignore


def test_differences_by_hand():
    assert config.differences({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 5, "d": 4}) == [
        ("b", 2, 5),
        ("c", 3, None),
        ("d", None, 4),
    ]
