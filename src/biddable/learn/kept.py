"""Policies that a stage keeps along its way (`keep_every`), so that they can be asked and measured like its result.

Each is what the stage would leave were it to end there: its averaged weights where the result is made of these, and
with adapters an ordinary model, which they are merged into. The start is iteration 0.
"""

import copy
from collections.abc import Mapping, Sequence

from torch import Tensor
from transformers import PreTrainedModel

from biddable.learn import loop
from biddable.model import causal, checkpoint, lora
from biddable.provenance import artifact
from biddable.runs import KEPT, Corrupt, Run
from biddable.text.tokenizer import Tokenizer

Hashes = dict[str, str]  # iteration → sha256


def keep(run: Run, policy: PreTrainedModel, weights: Sequence[Tensor], tokenizer: Tokenizer, iteration: int) -> Hashes:
    """Write the policy with these weights as a model folder, on disk before a checkpoint stands on it."""
    lm = copy.deepcopy(policy)  # merged adapters could not be taken out again to the last bit
    loop.put(lm, weights)
    lora.merge(lm)
    place = run.folder / KEPT / str(iteration)
    place.parent.mkdir(exist_ok=True)
    checkpoint.sync(causal.save(lm, tokenizer, place))
    return {str(iteration): artifact(run.output(f"kept-{iteration}", place)).sha256}


def named_again(run: Run, kept: Mapping[str, str]) -> Hashes:
    """After a stop: name what was kept before the checkpoint, and refuse what is no longer what it was."""
    for iteration, sha256 in kept.items():
        place = run.output(f"kept-{iteration}", run.folder / KEPT / iteration)
        if not place.is_dir() or artifact(place).sha256 != sha256:
            raise Corrupt(f"{place}: is not what was kept there; delete {run.folder} to begin afresh")
    return dict(kept)
