"""What is true, and how well each person tells it, from their answers alone (Dawid and Skene 1979).

Shape suffixes as in `said`; C classes, which are the values.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
import scipy.special

from biddable.measure.interval import Bootstrap, Floats, Interval, resamples
from biddable.measure.said import Said


class Told(NamedTuple):
    """`truth_IC`: how likely each class of each item. `says_LCV`: what each person says of an item of each class."""

    share_C: Floats
    truth_IC: Floats
    says_LCV: Floats

    @property
    def skill_L(self) -> Floats:
        """How often each person would be right over all items."""
        return np.einsum("c,lcc->l", self.share_C, self.says_LCV)


SMOOTH = 0.01  # of an answer, added to each cell, so that who never erred may yet err


def dawid_skene(
    said: Said, symmetric: bool = False, rounds: int = 200, smooth: float = SMOOTH, close: float = 1e-7
) -> Told:  # fmt: skip
    """EM from the shares of voices (their section 3), until no truth moves by `close`.

    E: T_ic ∝ p_c Π_l Π_v π_lcv^n_lvi (eq. 2.5). M: p_c = Σ_i T_ic/I (2.4), π_lcv = Σ_i T_ic n_lvi / Σ_v … (2.3).
    `symmetric` is for pairs: which answer is called first means nothing, so p_c = p_−c and π_lcv = π_l,−c,−v."""
    voices = _voices(said)
    truth_IC = said.count_IV / np.maximum(said.people_I, 1)[:, None]
    weight_I = np.ones(len(truth_IC))
    for _ in range(rounds):
        share_C, says_LCV = _maximise(voices, truth_IC, weight_I, len(said.labelers), symmetric, smooth)
        before_IC, truth_IC = truth_IC, _expect(voices, share_C, says_LCV)
        if np.max(np.abs(truth_IC - before_IC), initial=0.0) < close:
            break
    share_C, says_LCV = _maximise(voices, truth_IC, weight_I, len(said.labelers), symmetric, smooth)
    return Told(share_C, truth_IC, says_LCV)


def _voices(said: Said) -> scipy.sparse.csr_array:
    """n_lvi: a row an item, a column a person and value."""
    shape = (len(said.prompt_I), len(said.labelers) * said.values)
    cells = (said.item_N, said.labeler_N * said.values + said.value_N)
    return scipy.sparse.csr_array((np.ones(len(said.item_N)), cells), shape=shape)


def _expect(voices: scipy.sparse.csr_array, share_C: Floats, says_LCV: Floats) -> Floats:
    values = says_LCV.shape[2]
    log_XC = np.log(says_LCV.transpose(0, 2, 1).reshape(-1, values))
    return scipy.special.softmax(voices @ log_XC + np.log(share_C), axis=1)


def _maximise(
    voices: scipy.sparse.csr_array, truth_IC: Floats, weight_I: Floats, people: int, symmetric: bool, smooth: float
) -> tuple[Floats, Floats]:  # fmt: skip
    weighed_IC = truth_IC * weight_I[:, None]
    classes = truth_IC.shape[1]
    count_LCV = (voices.T @ weighed_IC).reshape(people, classes, classes).transpose(0, 2, 1) + smooth
    share_C = weighed_IC.sum(axis=0) + smooth
    if symmetric:
        count_LCV, share_C = count_LCV + count_LCV[:, ::-1, ::-1], share_C + share_C[::-1]
    return share_C / share_C.sum(), count_LCV / count_LCV.sum(axis=2, keepdims=True)


AGAIN = Bootstrap(draws=100)


def skills(said: Said, symmetric: bool, how: Bootstrap = AGAIN, rounds: int = 8) -> dict[str, Interval]:
    """Each person's `skill`, with an interval from prompts drawn again and the model fitted again, `rounds` steps on
    from where all prompts lead."""
    voices, told = _voices(said), dawid_skene(said, symmetric)
    draws, rng = [], how.generator()
    for times_P in resamples(said.prompts, how.draws, rng):
        weight_I, again = times_P[said.prompt_I], told
        for _ in range(rounds):
            share_C, says_LCV = _maximise(voices, again.truth_IC, weight_I, len(said.labelers), symmetric, SMOOTH)
            again = Told(share_C, _expect(voices, share_C, says_LCV), says_LCV)
        draws.append(again.skill_L)
    low_L, high_L = np.quantile(draws, [(1 - how.level) / 2, (1 + how.level) / 2], axis=0)
    count_L = np.bincount(said.labeler_N, minlength=len(said.labelers))
    return {
        name: Interval(value=skill, low=min(skill, low), high=max(skill, high), n=int(count))
        for name, skill, low, high, count in zip(
            said.labelers, told.skill_L.tolist(), low_L.tolist(), high_L.tolist(), count_L, strict=True
        )
    }
