"""Best of n: of several answers to a prompt the one that a reward model likes most (Stiennon et al. 2020)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from biddable.records import Completion, Prompt
from biddable.sample.score import score


def best_of(n: int, judge: Path, prompts: Mapping[str, Prompt], made: Sequence[Completion]) -> list[Completion]:
    """Of each n answers in a row, which are to one prompt, the one with the highest score; of equals the first."""
    assert len(made) % n == 0, f"{len(made)} answers are no whole number of {n}"
    value = {said.completion_id: said.value for said in score(judge, prompts, made, run_id="best")}
    return [max(made[at : at + n], key=lambda answer: value[answer.id]) for at in range(0, len(made), n)]
