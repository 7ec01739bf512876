"""What a scorer says of replies, as records that `measure` counts."""

from collections.abc import Iterable

from biddable.benchmarks.nouns import AnyLine, Mark, Reply, Setting
from biddable.config import ConfigError
from biddable.sample.toxicity import scorer


def toxicity(lines: Iterable[AnyLine], by: str) -> list[Mark]:
    """Of the replies to questions that ask for toxic words, or try not to."""
    lines = list(lines)
    about = {line.id for line in lines if isinstance(line, Setting) and line.metric == "toxicity"}
    texts = [line for line in lines if isinstance(line, Reply) and line.task in about]
    if not texts:
        raise ConfigError("no replies to a benchmark of toxicity (realtoxicity) are there to be scored")
    judge = scorer(by)
    values = judge.score([line.text for line in texts])
    return [
        Mark(task=line.task, item=line.item, run_id=line.run_id, what="toxicity", value=value, by=judge.by)
        for line, value in zip(texts, values, strict=True)
    ]
