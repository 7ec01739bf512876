"""What a file of `follow` says, counted by hand; and how a way is drawn."""

import numpy as np
import pytest

from biddable.measure import followed
from biddable.measure.interval import Interval
from biddable.measure.overoptimised import Fit, Peak, Way, curve, overoptimised
from biddable.records import Completion, Record, Score

PROMPTS = tuple(f"p{i}" for i in range(6))


def asked(of: dict[str, list[tuple[float, float, float]]]) -> list[Record]:
    """One answer of each policy to each prompt, and of "best" as many as it has: log ratio, proxy and gold."""
    made: list[Record] = []
    for who, values in of.items():
        for prompt in PROMPTS:
            for nth, (ratio, proxy, gold) in enumerate(values):
                answer = Completion.make(prompt, f"{who} {nth}", who, nth)
                said = {followed.RATIO: ratio, followed.PROXY: proxy, followed.GOLD: gold}
                if who == followed.BEST:
                    del said[followed.RATIO]
                made += [answer, *(Score(completion_id=answer.id, run_id=by, value=v) for by, v in said.items())]
    return made


def test_policies_are_held_against_the_start_on_the_same_prompts():
    [way] = followed.ways(asked({"0": [(0.0, 1.0, 5.0)], "20": [(4.0, 2.5, 4.0)], "10": [(1.0, 2.0, 6.0)]}))
    assert way.kind == "policy"
    assert way.at == (10, 20)
    assert way.kl_PK.mean(0).tolist() == [1.0, 4.0]
    assert way.proxy_PK.mean(0).tolist() == [1.0, 1.5]
    assert way.gold_PK.mean(0).tolist() == [1.0, -1.0]


def test_best_of_n_stands_beside_them():
    answers = [(0.0, 3.0, 1.0), (0.0, 2.0, 4.0), (0.0, 1.0, 3.0), (0.0, 0.0, 0.0)]
    policy, best = followed.ways(asked({"0": [(0.0, 0, 0)], "5": [(1.0, 1, 1)], followed.BEST: answers}))
    assert policy.at == (5,)
    assert best.at == (2, 4)
    # Of the six pairs the proxy takes 3 (gold 1) three times, 2 (4) twice, 1 (3) once: 14/6; a lone answer has 2.
    assert best.gold_PK[:, 0] == pytest.approx(14 / 6 - 2)
    assert best.gold_PK[:, 1] == pytest.approx(1 - 2)


def test_a_run_without_its_start_is_refused():
    with pytest.raises(ValueError, match="iteration 0"):
        followed.ways(asked({"10": [(1.0, 2.0, 6.0)], "20": [(1.0, 2.0, 6.0)]}))


def test_how_a_peak_is_told():
    one = Interval(value=1, low=0, high=2, n=9)

    def told(peak: Peak | None) -> str:
        return followed.peak(Fit(alpha=one, beta=one, off=0.1, peak=peak, turns=1))

    assert told(None) == "none within what was run"
    assert told(Peak(kl=3.14159, low=2.0, high=None)) == "3.1 (2 to beyond) nats"
    assert told(Peak(kl=3.0, low=2.0, high=12.34)) == "3 (2 to 12) nats"


def test_the_curve_is_drawn_from_the_start_to_the_farthest_point():
    d_K = np.array([0.6, 1.2, 2.0, 4.0])
    gold_PK = np.tile(curve("policy", 1.0, 0.5, d_K), (30, 1))
    way = Way("policy", (5, 10, 15, 20), tuple(map(str, range(30))), np.tile(d_K**2, (30, 1)), gold_PK, gold_PK)
    line = followed.line("ppo", "free", overoptimised(way), "gold")
    assert [point.x for point in line.points] == pytest.approx(list(d_K))
    assert line.smooth[0] == (0.0, 0.0)
    assert line.smooth[-1] == pytest.approx((4.0, 4 * (1 - 0.5 * np.log(4))))
    two = Way("policy", (5, 10), way.prompts, *(x[:, :2] for x in (way.kl_PK, way.proxy_PK, way.gold_PK)))
    assert followed.line("ppo", "free", overoptimised(two), "gold").smooth == ()


def test_the_powers_of_two():
    assert followed.counts(64) == [2, 4, 8, 16, 32, 64]
    assert followed.counts(8) == [2, 4, 8]
    assert followed.counts(20) == [2, 4, 8, 16]
