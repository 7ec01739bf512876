"""Who is held out judges a model that learned nothing of them, and never was anything else at work."""

import pytest
from team import hire, rank_job, ranked, stock, true_worth, work_on

from biddable.store import StoreError, accounts, open_store, team


@pytest.fixture
def store(where):
    with open_store(where) as opened:
        yield opened


def hold_out(store, who) -> None:
    with store.writing() as connection:
        accounts.change(connection, who.labeler, store.clock(), None, group="held_out")


@pytest.mark.parametrize("purpose", ["training", "screening"])
def test_who_has_made_training_data_or_taken_the_test_cannot_become_held_out(store, purpose):
    stock(store, 2)
    rank_job(store, purpose=purpose, split="train")
    ann = hire(store, "ann", "candidate" if purpose == "screening" else "training")
    assert work_on(store, ann, lambda held: ranked(held, true_worth), store.clock(), most=1) == 1
    with pytest.raises(StoreError, match="has made training data or taken the test"):
        hold_out(store, ann)


def test_nor_who_was_screened(store):
    pat, owner = hire(store, "pat", "candidate"), hire(store, "olga", "researcher", "owner")
    with store.writing() as connection:
        team.decide(connection, pat.labeler, False, {}, "", store.clock(), owner.labeler)
    with pytest.raises(StoreError, match="taken the test"):
        hold_out(store, pat)


def test_who_has_only_evaluated_can_and_the_page_says_why_another_cannot(store, where, app, person):
    stock(store, 2, split="test")
    rank_job(store, purpose="evaluation")
    owner, _ = person("olga", "owner", "researcher")
    bea, cyd = hire(store, "bea"), hire(store, "cyd")
    assert work_on(store, bea, lambda held: ranked(held, true_worth), store.clock(), most=1) == 1
    assert owner.patch(f"/api/people/{bea.labeler}", json={"group": "held_out"}).status_code == 200
    stock(store, 1, start=9)
    rank_job(store)
    work_on(store, cyd, lambda held: ranked(held, true_worth), store.clock())
    said = {"role": "labeler", "group": "held_out", "state": "active"}
    refused = owner.post(f"/manage/people/{cyd.labeler}", data=said, headers={"accept": "text/html"})
    assert (refused.status_code, "has made training data" in refused.text) == (400, True)
