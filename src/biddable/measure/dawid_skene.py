"""Which of two answers is better, and how well each person tells it, from what they say alone (Dawid and Skene 1979).

Of each pair one answer is the better one; nobody is told which. Person l calls a tie with chance t_l, and where they
decide they are right with chance a_l. It is their model with two classes and three things to say, alike for either
order of naming. A tie is no class of its own: whether two answers are truly equal can hardly be told from whether
people are unsure, and the whole estimate hangs on it.

Shape suffixes as in `said`; K the people who spoke of one prompt.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse
from scipy.special import expit, logit, stdtrit

from biddable.measure.interval import Floats, Interval, Ints
from biddable.measure.said import Said


class Told(NamedTuple):
    voice_IL: scipy.sparse.csr_array  # 1 the first is better, −1 the second; a tie says nothing of which
    truth_I: Floats  # how likely the first is the better one
    right_L: Floats  # a
    tie_L: Floats  # t

    @property
    def skill_L(self) -> Floats:
        """How often each person would be right, a tie half: a(1 − t) + t/2."""
        return self.right_L * (1 - self.tie_L) + self.tie_L / 2


PRIOR = 1.0  # one more right and one more wrong, so that who never erred may yet err (Laplace's rule of succession)


def dawid_skene(said: Said, rounds: int = 5000, prior: float = PRIOR, close: float = 1e-8) -> Told:
    """EM from the shares of voices (their section 3), until no a moves by `close`.

    E: logit T_i = Σ_l s_il logit a_l (eq. 2.5 with both classes as likely). M: a_l = how much of what l decided is
    right, Σ_i [½ + s_il (T_i − ½)], by how much that is (eq. 2.3)."""
    voice_IL = _voices(said)
    decided_L, spoken_L = abs(voice_IL).sum(axis=0), np.bincount(said.labeler_N, minlength=len(said.labelers))
    truth_I = 0.5 + voice_IL.sum(axis=1) / np.maximum(said.people_I, 1) / 2
    right_L = _maximise(voice_IL, truth_I, decided_L, prior)
    for _ in range(rounds):
        truth_I = expit(voice_IL @ logit(right_L))
        before_L, right_L = right_L, _maximise(voice_IL, truth_I, decided_L, prior)
        if np.max(np.abs(right_L - before_L), initial=0.0) < close:
            break
    return Told(voice_IL, truth_I, right_L, 1 - decided_L / np.maximum(spoken_L, 1))


def _voices(said: Said) -> scipy.sparse.csr_array:
    shape = len(said.prompt_I), len(said.labelers)
    voice_IL = scipy.sparse.csr_array((1.0 - said.value_N, (said.item_N, said.labeler_N)), shape=shape)
    voice_IL.eliminate_zeros()
    return voice_IL


def _maximise(voice_IL: scipy.sparse.csr_array, truth_I: Floats, decided_L: Floats, prior: float) -> Floats:
    return (decided_L / 2 + voice_IL.T @ (truth_I - 0.5) + prior) / (decided_L + 2 * prior)


def skills(said: Said, level: float = 0.95) -> dict[str, Interval]:
    """Each person's `skill`, with the jackknife's interval over prompts: V = (P−1)/P Σ_p (θ₍₋ₚ₎ − θ)² on the scale of
    log odds, and t with as many degrees as they have prompts, less one. Where a person always goes with the others
    nothing varies, so V is at least that of answers drawn one by one whose truth is known."""
    told = dawid_skene(said)
    skill_L, decided_L = told.skill_L, abs(told.voice_IL).sum(axis=0)
    least_L = (1 - told.tie_L) ** 2 * told.right_L * (1 - told.right_L) / (decided_L + 2 * PRIOR)
    deviation_L = np.sqrt(np.maximum(_jackknife(said, told), least_L))
    met = np.unique(said.labeler_N * said.prompts + said.prompt_I[said.item_N]) // said.prompts
    prompts_L, count_L = (np.bincount(who, minlength=len(said.labelers)) for who in (met, said.labeler_N))
    found = {}
    for who, name in enumerate(said.labelers):
        skill, low, high = float(skill_L[who]), 0.0, 1.0
        if prompts_L[who] > 1 and deviation_L[who] > 0:
            half = stdtrit(prompts_L[who] - 1, (1 + level) / 2) * deviation_L[who] / (skill * (1 - skill))
            low, high = expit(logit(skill) - half), expit(logit(skill) + half)
        found[name] = Interval(value=skill, low=float(low), high=float(high), n=int(count_L[who]))
    return found


def _jackknife(said: Said, told: Told) -> Floats:
    """Variance of skill from leaving out each prompt in turn, by one step of Newton's from where all prompts lead.

    EM rests where a = M(a). Without prompt p, δ = (1 − J₋ₚ)⁻¹ (M₋ₚ(a) − a) with J = ∂M/∂a. Only the rows of those who
    spoke of p are others than before, so δ comes from (1 − J)⁻¹ and a system of their number (Woodbury's identity)."""
    voice_IL, truth_I, right_L, tie_L = told
    weight_I, slope_L = truth_I * (1 - truth_I), 1 / (right_L * (1 - right_L))
    decided_L, spoken_L = abs(voice_IL).sum(axis=0), np.bincount(said.labeler_N, minlength=len(said.labelers))
    number_L = decided_L + 2 * PRIOR
    curve_LL = (voice_IL.T @ voice_IL.multiply(weight_I[:, None])).toarray() * slope_L
    jacobian_LL = curve_LL / number_L[:, None]
    inverse_LL = np.linalg.inv(np.eye(len(right_L)) - jacobian_LL)
    sum_L = np.zeros(len(right_L))
    for item_I, who_K, spoken_K, voice_IK in _prompts(said):
        less_K = np.abs(voice_IK).sum(axis=0)
        number_K, left_K = number_L[who_K] - less_K, spoken_L[who_K] - spoken_K
        lost_K = less_K / 2 + voice_IK.T @ (truth_I[item_I] - 0.5)
        curve_KL = curve_LL[who_K]
        curve_KL[:, who_K] -= (voice_IK.T * weight_I[item_I]) @ voice_IK * slope_L[who_K]
        more_KL = curve_KL / number_K[:, None] - jacobian_LL[who_K]
        step_K = (right_L[who_K] * number_L[who_K] - lost_K) / number_K - right_L[who_K]
        step_K = np.linalg.solve(np.eye(len(who_K)) - more_KL @ inverse_LL[:, who_K], step_K)
        others_L = tie_L.copy()
        others_L[who_K] = 1 - (decided_L[who_K] - less_K) / np.maximum(left_K, 1)
        again = Told(voice_IL, truth_I, np.clip(right_L + inverse_LL[:, who_K] @ step_K, 0, 1), others_L)
        sum_L += (again.skill_L - told.skill_L) ** 2
    return (said.prompts - 1) / said.prompts * sum_L


def _prompts(said: Said) -> Iterator[tuple[Ints, Ints, Ints, Floats]]:
    """Of each prompt: its items, who spoke of it, how many answers each gave, and their voices."""
    prompt_N = said.prompt_I[said.item_N]
    order_N = np.argsort(prompt_N, kind="stable")
    start_P = np.searchsorted(prompt_N[order_N], np.arange(said.prompts + 1))
    for first, last in itertools.pairwise(start_P):
        here_N = order_N[first:last]
        item_I, row_N = np.unique(said.item_N[here_N], return_inverse=True)
        who_K, column_N = np.unique(said.labeler_N[here_N], return_inverse=True)
        voice_IK = np.zeros((len(item_I), len(who_K)))
        voice_IK[row_N, column_N] = 1 - said.value_N[here_N]
        yield item_I, who_K, np.bincount(column_N), voice_IK
