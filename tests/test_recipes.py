"""Every section of every recipe is what its stage takes, and the paper's recipe says the paper's numbers."""

from pathlib import Path

import pytest

from biddable import config
from biddable.cli import jobs, machines, sampling
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
from biddable.sample.completions import SampleConfig

RECIPES = Path(__file__).parents[1] / "recipes"
STAGES: dict[str, tuple[type[jobs.Places] | None, type[Settings]]] = {
    "gather": (None, GatherConfig),
    "sft": (machines.SftPlaces, SftConfig),
    "start": (machines.StartPlaces, StartConfig),
    "sample": (sampling.SamplePlaces, SampleConfig),
    "reward": (machines.RewardPlaces, RewardConfig),
    "ppo": (machines.PpoPlaces, PpoConfig),
    "dpo": (machines.DpoPlaces, DpoConfig),
    "raft": (machines.RaftPlaces, RaftConfig),
    "rloo": (machines.PpoPlaces, RlooConfig),
    "grpo": (machines.PpoPlaces, GrpoConfig),
    "reinforce": (machines.PpoPlaces, ReinforceConfig),
    "walk": (None, WalkConfig),
    "paper": (None, PaperConfig),
    "pretrain": (None, PretrainConfig),
}
SECTIONS = [(path.name, name) for path in sorted(RECIPES.glob("*.toml")) for name in config.read_recipe(path)]
# The quickstart asks these of a stage on its way; and the paper's figures have fewer points under --fast.
GATES = {"gate_fifty": "reward", "gate_best": "sample", "paper_fast": "paper"}
NEEDED = {"sft": ["model=m"], "start": ["model=m", "pages=p"]}


def test_the_recipes_are_found():
    assert {name for name, _ in SECTIONS} >= {"paper.toml", "small.toml", "hamlet.toml"}


@pytest.mark.parametrize(("recipe", "section"), SECTIONS)
def test_a_section_is_what_its_stage_takes(recipe, section):
    stage = GATES.get(section, section)
    places, settings = STAGES[stage]
    table = config.read_section(RECIPES / recipe, section)
    if places is None:
        loaded = config.load(settings, recipe=RECIPES / recipe, section=section)
        assert config.differences(table, loaded.model_dump(mode="json", include=set(table))) == []
    else:
        missing = [word for word in NEEDED.get(stage, []) if word.split("=")[0] not in table]
        job, loaded = jobs.load(places, settings, [str(RECIPES / recipe), *missing], section, False)
        values = job.model_dump(mode="json") | loaded.model_dump(mode="json")
        assert all(values[key] == value for key, value in table.items())


@pytest.mark.parametrize(("places", "settings"), [pair for pair in STAGES.values() if pair[0] is not None])
def test_a_verbs_files_and_its_settings_have_no_key_in_common(places, settings):
    assert not places.model_fields.keys() & settings.model_fields.keys()


@pytest.mark.parametrize("settings", [settings for _, settings in STAGES.values()])
def test_every_key_says_what_it_means(settings):
    assert all(field.description for field in settings.model_fields.values())


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [  # paper, App. C and Tables; typed here from the paper and not from the recipe
        ("sft", "epochs", 16),
        ("sft", "learning_rate", 9.65e-6),
        ("start", "epochs", 2),
        ("start", "mix", 0.1),
        ("reward", "batch", 64),
        ("reward", "epochs", 1),
        ("reward", "learning_rate", 9e-6),
        ("ppo", "episodes", 256_000),
        ("ppo", "batch", 512),
        ("ppo", "minibatch", 64),
        ("ppo", "beta", 0.02),
        ("ppo", "gamma_ptx", 27.8),
        ("ppo", "ptx_ratio", 8),
        ("ppo", "clip", 0.2),
        ("ppo", "ema", 0.992),
        ("gather", "cap", 200),
    ],
)
def test_the_papers_recipe_and_the_defaults_are_the_papers(section, key, value):
    assert config.read_section(RECIPES / "paper.toml", section)[key] == value
    assert STAGES[section][1].model_fields[key].default == value


def test_the_papers_recipe_spells_out_the_defaults_and_no_other_numbers():
    """All but `sample`'s k: 9 to rank, as the paper has at most, where the default is one of each model to compare."""
    other = {
        (section, key)
        for section, table in config.read_recipe(RECIPES / "paper.toml").items()
        if isinstance(table, dict)
        for key, value in table.items()
        if STAGES[section][1].model_fields[key].default != value
    }
    assert other == {("sample", "k")}
