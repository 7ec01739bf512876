import pytest

from biddable.config import Settings
from biddable.measure.results import Source, in_order, source
from biddable.runs import ConfigError, artifact, start


def test_a_source_is_what_the_run_says_of_itself(tmp_path):
    (tmp_path / "rankings.jsonl").write_text("{}\n")
    folder = tmp_path / "runs" / "reward"
    with start(folder, "reward", Settings(), {"rankings": tmp_path / "rankings.jsonl"}, seed=1):
        pass
    sha = artifact(tmp_path / "rankings.jsonl").sha256
    found = source(folder, tmp_path)
    assert found == Source(
        run="reward", folder="runs/reward", inputs={"rankings": sha}, files={"rankings": "rankings.jsonl"}
    )
    # Of what lies elsewhere it says the name, and not in whose home.
    assert source(folder, tmp_path / "runs").files == {"rankings": "rankings.jsonl"}
    assert source(folder).folder == folder.resolve().as_posix()


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises((ConfigError, OSError), match="manifest"):
        source(tmp_path)


def test_models_stand_in_the_order_of_the_loop():
    assert in_order(dict.fromkeys(("zeta", "ppo_ptx", "base", "dpo"), "")) == ["base", "ppo_ptx", "dpo", "zeta"]
