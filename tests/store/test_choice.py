"""Which tasks are taken: each with the chance that is told of it, so that what is chosen stands for all there is."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "label"))
from team import stock

from biddable.records import Score
from biddable.store import Store, StoreError, fill, jobs, open_store
from biddable.store.choice import choose, draw, propensities
from biddable.store.jobs import JobSettings
from biddable.store.work_tables import tasks

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
SHARES = [0.0, 0.25, 1.0]


def sizes(n: int = 200) -> np.ndarray:
    return np.random.default_rng(5).gamma(0.5, 1, n) + 1e-3  # a few are ten times the middle one


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("count", [1, 7, 60, 199])
def test_propensities_are_chances_and_sum_to_the_number_chosen(share, count):
    found = propensities(sizes(), count, share)
    assert found.sum() == pytest.approx(count, abs=1e-9)
    assert found.max() <= 1 + 1e-12
    assert found.min() >= share * count / 200
    if share == 0:  # the doubt's own order, and below 1 in its own proportion
        free = found < 1 - 1e-9
        ratio = found[free] / sizes()[free]
        assert np.ptp(ratio) < 1e-9 * ratio.mean()
        assert sizes()[~free].min(initial=np.inf) >= sizes()[free].max()


def test_what_has_no_spread_is_chosen_only_when_the_rest_is_used_up():
    size_N = np.array([2.0, 0, 1, 0, 0])
    assert propensities(size_N, 1, 0.0)[[1, 3, 4]].tolist() == [0, 0, 0]
    assert propensities(size_N, 3, 0.0).tolist() == pytest.approx([1, 1 / 3, 1, 1 / 3, 1 / 3])


@pytest.mark.parametrize("share", SHARES)
def test_each_is_drawn_as_often_as_its_propensity_says(share):
    """2000 draws of 60 of 200; 200 frequencies, each within 4.5 standard deviations (a chance of 1 in 700 in all)."""
    found, rng, draws = propensities(sizes(), 60, share), np.random.default_rng(1), 2000
    times = np.zeros(200)
    for _ in range(draws):
        some = draw(found, rng)
        assert len(set(some)) == len(some) == 60
        times[some] += 1
    noise = np.sqrt(np.maximum(found * (1 - found), 1e-12) / draws)
    assert (np.abs(times / draws - found) <= 4.5 * noise + 1e-9).all()


def test_by_lot_every_subset_is_as_likely():
    """Systematic sampling on a fixed order would never take neighbours together; all 6 pairs of 4, in 3000 draws."""
    rng, times = np.random.default_rng(2), {}
    for _ in range(3000):
        pair = tuple(draw(np.full(4, 0.5), rng))
        times[pair] = times.get(pair, 0) + 1
    assert len(times) == 6
    assert all(abs(count - 500) < 4.5 * np.sqrt(3000 * (1 / 6) * (5 / 6)) for count in times.values())


@pytest.mark.parametrize("share", SHARES)
def test_weighed_sums_are_right_on_average_and_plain_means_are_not(share):
    """The world: what is hard has more spread. 500 draws; Σ y/π has the pool's sum as its mean, within a 99.9 %
    interval of the draws, and the plain mean of what was chosen by spread lies far off."""
    size_N = sizes()
    y_N = np.clip(size_N / size_N.max() + np.random.default_rng(3).normal(0, 0.1, 200), 0, 1)
    weighed, plain = [], []
    for seed in range(500):
        chosen = choose(size_N, 40, share, np.random.default_rng([seed, 9]))
        weighed.append(sum(y_N[one.place] / one.propensity for one in chosen) / 200)
        plain.append(np.mean([y_N[one.place] for one in chosen]))
    for draws, right in ((weighed, True), (plain, share == 1)):
        half = 3.29 * np.std(draws) / np.sqrt(500)
        assert (abs(np.mean(draws) - y_N.mean()) < half) == right


def test_the_part_that_is_random_is_even():
    """Each task has the same chance, λn/N = 0.05, to be of the share that was left to chance."""
    times, draws = np.zeros(200), 3000
    for seed in range(draws):
        for one in choose(sizes(), 40, 0.25, np.random.default_rng([seed, 4])):
            times[one.place] += one.at_random
    assert times.sum() / draws == pytest.approx(10, abs=0.3)
    assert (np.abs(times / draws - 0.05) < 4.5 * np.sqrt(0.05 * 0.95 / draws)).all()


# In a store.


def scored(store: Store, prompts: int = 40, run: str = "judge") -> None:
    stock(store, prompts)
    store.add_scores(
        Score(completion_id=one.id, run_id=run, value=0.0, spread=float(int(one.prompt_id[1:]) + 1))
        for one in store.completions()
    )


def filled(store: Store, count: int, job=None, **settings):
    with store.writing() as connection:
        if job is None:
            job = jobs.make(connection, "rank", "Rank", "training", JobSettings(**settings), NOON)
        jobs.add(connection, job, fill.todos(connection, job, fill.Fill(count=count)), NOON)
        rows = connection.execute(tasks.select().where(tasks.c.job == job.id).order_by(tasks.c.id)).all()
    return job, rows


def test_a_job_chooses_keeps_the_chances_and_chooses_the_same_again(store):
    scored(store)
    job, rows = filled(store, 10, choose="spread", seed=3)
    assert len(rows) == 10
    # π = 10 · s/Σs with s = 1 … 40, none of which is above 1: by hand, Σs = 820.
    assert {row.prompt_id: row.propensity for row in rows} == pytest.approx(
        {row.prompt_id: (int(row.prompt_id[1:]) + 1) / 82 for row in rows}
    )
    with store.reading() as connection:
        fresh = job._replace(settings=job.settings)
        again = [jobs.name(job, one) for one in fill.todos(connection, fresh._replace(id="j-x"), fill.Fill(count=10))]
        twice = [jobs.name(job, one) for one in fill.todos(connection, fresh._replace(id="j-x"), fill.Fill(count=10))]
    assert again == twice
    assert {row.chosen_by for row in rows} == {"spread"}
    _, more = filled(store, 10, job)
    assert len(more) == 20, "what is in the job already does not count to what is added"
    _, mixed = filled(store, 20, choose="mixed", at_random=0.5)
    assert {row.chosen_by for row in mixed} == {"random", "spread"}
    assert min(row.propensity for row in mixed) > 0.25
    _, lot = filled(store, 10)
    assert {row.propensity for row in lot} == {0.25}
    _, every = filled(store, 1000, choose="mixed")
    assert {row.propensity for row in every} == {1.0}


def test_without_a_spread_or_with_two_it_is_said_what_to_do(store):
    stock(store, 8)
    with pytest.raises(StoreError, match=r"no reward model's have a spread .*heads=4"):
        filled(store, 4, choose="spread")
    scored(store, 8, "one")
    scored(store, 8, "two")
    with pytest.raises(StoreError, match="one, two have a spread; say whose"):
        filled(store, 4, choose="mixed")
    assert len(filled(store, 4, choose="mixed", scores="two")[1]) == 4
    with pytest.raises(StoreError, match="three: has no spread"):
        filled(store, 4, choose="mixed", scores="three")


def test_prompts_to_be_written_are_asked_for_ten_thousand_at_a_time(tmp_path):
    with open_store(tmp_path / "s.db") as store, store.writing() as connection:
        job = jobs.make(connection, "prompt", "Write prompts", "training", JobSettings(), store.clock())
        assert len(list(fill.todos(connection, job, fill.Fill(count=10_000)))) == 10_000
        with pytest.raises(ValueError, match="count: at most 10,000 prompts are asked for at once"):
            list(fill.todos(connection, job, fill.Fill(count=10_001)))


@pytest.mark.parametrize(
    ("kind", "purpose", "what", "said"),
    [
        (
            "rank",
            "training",
            fill.Fill(),
            "no train prompt that is not ranked yet has 4 answers or more; with fewer,",
        ),
        ("rank", "evaluation", fill.Fill(runs=("a",)), "no test prompt has 4 answers of these runs or more"),
        ("compare", "evaluation", fill.Fill(), "no test prompt has answers of both"),
        ("compare", "evaluation", fill.Fill(split="train"), "no train prompt has answers of both"),
        (
            "write",
            "training",
            fill.Fill(use_cases=("chat",)),
            "no train prompt of these use cases is there that",
        ),
    ],
)
def test_what_an_empty_job_wants_is_said(kind, purpose, what, said):
    job = jobs.new(kind, "", purpose, JobSettings(), NOON)
    assert fill.wanting(job, what).startswith(said)
