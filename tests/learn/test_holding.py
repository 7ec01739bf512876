"""What a run holds does not grow with its steps: no tensor, file or thread more at its end than half-way."""

import gc
import os
from collections.abc import Iterator

import pytest
import torch

import torture
from biddable import runs


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    """What other tests left is neither collected nor looked through: after thousands of them that takes ten seconds."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def held() -> dict[str, int]:
    gc.collect()
    # By type(): to ask a lazy module for its class would load it.
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    return {
        "tensors": len(tensors),
        "numbers": sum(tensor.numel() for tensor in tensors),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
    }


@pytest.mark.parametrize("stage", torture.STAGES)
def test_a_run_holds_no_more_at_its_end_than_half_way(tmp_path, jobs, monkeypatch, stage):
    monkeypatch.setenv("BIDDABLE_QUIET", "1")
    seen, log = [], runs.Run.log

    def weighed(run, step, **numbers):
        log(run, step, **numbers)
        seen.append(held())

    monkeypatch.setattr(runs.Run, "log", weighed)
    torture.carry_out(jobs[stage], tmp_path / stage)
    # Half-way the optimisers have their moments, and the best weights so far are kept.
    midway, *later = seen[len(seen) // 2 :]
    assert later
    assert later == [midway] * len(later)
