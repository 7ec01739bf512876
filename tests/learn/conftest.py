"""The stages of tests/torture.py, small enough for many runs, and what each leaves that nothing happened to."""

import functools
from collections.abc import Callable

import pytest

import torture


@pytest.fixture(scope="module")
def jobs(tmp_path_factory) -> dict[str, torture.Job]:
    return torture.jobs(tmp_path_factory.mktemp("jobs"))


@pytest.fixture(scope="module")
def whole(jobs, tmp_path_factory) -> Callable[[str], dict[str, str]]:
    """What a stage leaves that nothing happened to."""

    @functools.cache
    def prints(stage: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("whole") / stage
        torture.carry_out(jobs[stage], folder)
        return torture.prints(folder)

    return prints
