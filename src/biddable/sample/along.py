"""What the policies that a run kept along its way answer, how far from its start each has gone, and what reward models
say of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from biddable.config import Settings
from biddable.measure.followed import BEST, RATIO
from biddable.records import Completion, Prompt, Record, Score
from biddable.sample.completions import SampleConfig, chosen, completions, from_sources
from biddable.sample.distance import log_ratios
from biddable.sample.score import score

Advance = Callable[[int], None]


class FollowConfig(Settings):
    k: int = Field(1, ge=1, description="answers of each policy to each prompt")
    best_of: int = Field(0, ge=0, description="answers of the start to each prompt, for best of 2, 4, 8 …; 0: none")
    limit: int = Field(0, ge=0, description="how many prompts are answered, the first of the file; 0 is all")
    answer_tokens: int = Field(0, ge=0, description="an answer without its end by then is cut; 0: as the run had it")
    at_once: int = Field(256, gt=0, description="answers that are made side by side; only speed and memory hang on it")

    def sampling(self, k: int) -> SampleConfig:
        """At temperature 1: the KL is of what the policies themselves would say."""
        return SampleConfig(k=k, limit=self.limit, answer_tokens=self.answer_tokens, at_once=self.at_once)


def along(
    kept: Mapping[int, Path], prompts: Sequence[Prompt], config: SampleConfig, *, seed: int, advance: Advance
) -> tuple[list[Completion], list[Score]]:
    """Answers of each policy, told apart by its iteration, and of each answer its log ratio to the start, iteration 0.
    Advances three times an answer."""
    by_id = {prompt.id: prompt for prompt in prompts}
    sources = {str(iteration): place for iteration, place in kept.items()}
    made = list(from_sources(sources, prompts, config, seed=seed, advance=advance))
    ratios = [
        ratio
        for name, place in sources.items()
        for ratio in log_ratios(
            place, kept[0], by_id, [c for c in made if c.run_id == name], run_id=RATIO, advance=advance
        )
    ]
    return made, ratios


def steps(kept: Mapping[int, Path], judges: Mapping[str, Path], prompts: Sequence[Prompt], config: FollowConfig) -> int:
    """How many times `follow` advances."""
    answers = len(chosen(prompts, config.sampling(config.k)))
    return answers * (config.k * len(kept) * (3 + len(judges)) + config.best_of * (1 + len(judges)))


def follow(
    kept: Mapping[int, Path],
    judges: Mapping[str, Path],
    prompts: Sequence[Prompt],
    config: FollowConfig,
    *,
    seed: int,
    advance: Advance = lambda _: None,
) -> Iterator[Record]:
    """All that `measure.followed` counts: the answers along the way, and of the start for best of n; log ratios; and
    what each judge says."""
    by_id = {prompt.id: prompt for prompt in prompts}
    made, ratios = along(kept, prompts, config.sampling(config.k), seed=seed, advance=advance)
    if config.best_of:
        many = config.sampling(config.best_of)
        made += completions(kept[0], prompts, many, run_id=BEST, seed=seed, advance=advance)
    yield from made
    yield from ratios
    for name, judge in judges.items():
        yield from score(judge, by_id, made, run_id=name, advance=advance)
