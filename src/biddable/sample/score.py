"""A reward model's scores of completions, as records."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from biddable.model import causal, reward
from biddable.model.forest import Turns
from biddable.records import Completion, Prompt, Score
from biddable.text.tokenizer import Ids, answer_ids, prompt_ids

AT_ONCE = 512  # prompts between two words of progress


def score(
    model: Path,
    prompts: Mapping[str, Prompt],
    completions: Sequence[Completion],
    *,
    run_id: str,
    micro_tokens: int = 8192,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Score]:
    """r(x, y) of each completion, and of an ensemble how far its heads stand apart. One that was cut is read at its
    last token, as in PPO, not at an end it never had."""
    net, tokenizer = reward.load(model)
    of_prompt: dict[str, list[int]] = {}
    for place, completion in enumerate(completions):
        of_prompt.setdefault(completion.prompt_id, []).append(place)
    prompt_of = dict(zip(of_prompt, prompt_ids(tokenizer, [prompts[name] for name in of_prompt]), strict=True))
    whole = answer_ids(tokenizer, [completion.text for completion in completions])
    answers = [as_read(completion, ids) for completion, ids in zip(completions, whole, strict=True)]
    for completion, ids in zip(completions, answers, strict=True):
        if len(prompt_of[completion.prompt_id]) + len(ids) > causal.context(net.lm):
            raise ValueError(
                f"completion {completion.id}: longer, with its prompt, than the model's {causal.context(net.lm)} tokens"
            )
    value: dict[int, tuple[float, float]] = {}
    asked = list(of_prompt)
    for names in (asked[at : at + AT_ONCE] for at in range(0, len(asked), AT_ONCE)):
        places = [i for name in names for i in of_prompt[name]]
        turns = Turns([prompt_of[completions[i].prompt_id] for i in places], [answers[i] for i in places])
        read = (some.tolist() for some in reward.scores_and_spread(net, turns, micro_tokens))
        value |= dict(zip(places, zip(*read, strict=True), strict=True))
        advance(len(places))
    alone = len(net.head.bias) == 1
    return [
        Score(completion_id=c.id, run_id=run_id, value=value[i][0], spread=None if alone else value[i][1])
        for i, c in enumerate(completions)
    ]


def as_read(completion: Completion, ids: Ids) -> Ids:
    """Of one that was cut, without the end that it never had."""
    return ids if completion.finished or len(ids) == 1 else ids[:-1]
