"""Who is given what: skills, another person where others disagree, hidden checks of every kind that can have them."""

import json
import random
from collections import Counter

import pytest
from desks import job, material
from sqlalchemy import select
from team import hire, rank_job, ranked, stock, taste, true_worth

from biddable.label import forms, reading
from biddable.label.measured import overlap_of
from biddable.label.quality import is_right
from biddable.measure.agreed import agreed
from biddable.measure.agreement import agreement
from biddable.records import Judgement
from biddable.store import Store, accounts, fill, golds, jobs, open_store, overlap, quality, shared, work
from biddable.store.jobs import JobSettings
from biddable.store.overlap import Said
from biddable.store.work_tables import answers, slots, tasks


@pytest.fixture
def store(where):
    with open_store(where) as opened:
        yield opened


def work_off(store: Store, who, say, job=None, most: int = 1000) -> int:
    """As the app hands in, disagreement looked at."""
    for count in range(most):
        with store.writing() as connection:
            held = work.claim(connection, who, store.clock(), job and job.id)
        if held is None:
            return count
        body, now = say(held), store.clock()
        with store.writing() as connection:
            work.submit(
                connection, who, held.task, f"{who.labeler}-{held.task}", body, now, 5,
                lambda held, spent, body=body, now=now: forms.records(
                    held, forms.read(held, body), who.labeler, spent, now
                ),
                apart=reading.apart,
            )  # fmt: skip
    return most


# Skills.


def test_only_those_who_have_all_its_skills_are_given_a_job(where, app, person):
    with open_store(where) as store:
        store.add_many(material(prompts=2))
    job(app, person, "rank", skills=["German", "law"])
    owner, _ = person("olga", "owner", "researcher")
    ann, account = person("ann")
    assert ann.post("/api/claim", json={}).json() == {"task": None}
    at = f"/api/people/{account.labeler}"
    assert owner.patch(at, json={"skills": ["german"]}).status_code == 200
    assert ann.post("/api/claim", json={}).json() == {"task": None}
    assert owner.patch(at, json={"skills": ["  LAW ", "german", "german"]}).status_code == 200
    assert ann.post("/api/claim", json={}).json()["task"], "and she is still signed in"
    page = owner.get("/manage/people").text
    assert 'value="german, law"' in page
    with app.state.desk.store.reading() as connection:
        assert accounts.of(connection, account.labeler).skills == ("german", "law")


def test_a_manager_gives_skills_on_the_page_and_sees_who_is_wanting(where, app, person):
    with open_store(where) as store:
        store.add_many(material(prompts=2))
    owner, _ = person("olga", "owner", "researcher")
    _, ann = person("ann")
    made = owner.post("/manage/jobs", data={"kind": "rank", "skills": "Welsh"}, follow_redirects=True)
    assert "Nobody can do this" in made.text
    said = {"role": "labeler", "group": "training", "state": "active", "skills": "Welsh, cooking"}
    page = owner.post(f"/manage/people/{ann.labeler}", data=said, follow_redirects=True).text
    assert ">welsh</th>" in page
    assert ">cooking</th>" in page
    assert "1 person has that" in owner.get(made.url.path).text


# Another person where others disagree.


def said(*tiers: str, shown: str = "abcd") -> Said:
    letters = {name: forms.LETTERS[n] for n, name in enumerate(shown)}
    return Said(json.dumps({"order": [[letters[x] for x in tier] for tier in tiers]}), json.dumps(list(shown)))


def test_how_far_answers_lie_apart():
    assert reading.apart([said("a", "b", "c", "d"), said("a", "b", "c", "d", shown="dcba")]) == 0
    assert reading.apart([said("a", "b", "c", "d"), said("d", "c", "b", "a")]) == 1
    assert reading.apart([said("a", "b", "c", "d"), said("b", "a", "c", "d")]) == pytest.approx(1 / 6)
    assert reading.apart([said("a", "b", shown="ab"), said("ab", shown="ab")]) == 0.5
    compared = [Said(json.dumps({"better": x}), json.dumps(["a", "b"])) for x in ("A", "B")]
    assert reading.apart(compared) == 1
    judged = [Said(json.dumps({"judgements": {"A": {"overall": n}}}), json.dumps(["a"])) for n in (2, 5)]
    assert reading.apart(judged) == 0.5
    assert reading.apart(judged[:1]) == 0


def test_one_more_comes_where_people_disagree_and_not_beyond_the_most(store):
    stock(store, 2)
    made = rank_job(store, doubly=1.0, disagree=0.4, people=3, gold=0)
    ann, ben, cy, di = (hire(store, name) for name in ("ann", "ben", "cy", "di"))

    def upside_down(held):
        turned = held.prompt.id == "p0001"
        return ranked(held, lambda answer, place: true_worth(answer, place) * (-1 if turned else 1))

    assert work_off(store, ann, lambda held: ranked(held, true_worth)) == 2
    assert work_off(store, ben, upside_down) == 2
    assert work_off(store, cy, upside_down) == 1, "of p0000 they said the same"
    assert work_off(store, di, upside_down) == 0, "three are the most"
    extra = {(one.prompt_id, one.labeler): one.extra for one in store.rankings()}
    assert extra == {
        ("p0000", ann.labeler): None, ("p0000", ben.labeler): None,
        ("p0001", ann.labeler): None, ("p0001", ben.labeler): None, ("p0001", cy.labeler): True,
    }  # fmt: skip
    with store.reading() as connection:
        assert overlap.asked_again(connection, made.id) == 1


def test_without_the_setting_nobody_more_comes(store):
    stock(store, 1)
    rank_job(store, doubly=1.0, gold=0)
    ann, ben, cy = (hire(store, name) for name in ("ann", "ben", "cy"))
    work_off(store, ann, lambda held: ranked(held, true_worth))
    work_off(store, ben, lambda held: ranked(held, lambda answer, place: -true_worth(answer, place)))
    assert work_off(store, cy, lambda held: ranked(held, true_worth)) == 0


def test_agreement_is_counted_without_those_who_came_later(store):
    """Half of the prompts are hard: there people disagree, so there more people are asked, and counted in they would
    bring agreement down by points."""
    stock(store, 150)
    rank_job(store, doubly=1.0, disagree=0.3, people=5, gold=0)
    for n in range(5):
        rng = random.Random(n)

        def say(held, rng=rng):
            hard = int(held.prompt.id[1:]) % 2
            return ranked(held, taste(rng, noise=8.0 if hard else 0.5))

        work_off(store, hire(store, f"l{n}"), say)
    every = list(store.rankings())
    lot = [one for one in every if not one.extra]
    assert Counter(Counter(one.prompt_id for one in lot).values()) == {2: 150}
    assert len(every) - len(lot) > 50
    with store.reading() as connection:
        found = agreed(quality.overlapping(connection, 1000), quality.groups(connection))
    assert found[0].half.value == agreement(lot).value
    all_in = agreement([one.model_copy(update={"extra": None}) for one in every]).value
    assert all_in < agreement(lot).value - 0.05


def test_a_late_answer_to_a_job_that_asks_again_is_not_counted_either(store):
    stock(store, 1)
    made = rank_job(store, doubly=1.0, disagree=0.4)
    with store.reading() as connection:
        (task,) = connection.execute(select(tasks.c.id)).scalars()
        assert overlap.is_extra(connection, made, task, "l-nobody")
        assert not overlap.is_extra(connection, made._replace(settings=JobSettings()), task, "l-nobody")


# Hidden checks.


def test_judgements_and_continuations_have_checks_too(store):
    store.add_many(material(prompts=2, split="test"))
    rita = hire(store, "rita", "researcher")
    crowd = [hire(store, f"ann {n}") for n in range(40)]  # that no first task of theirs is a check: 2⁻⁴⁰
    for kind in ("judge", "toxicity"):
        with store.writing() as connection:
            made = jobs.make(connection, kind, kind, "evaluation", JobSettings(doubly=0, fivefold=0), store.clock())
            jobs.add(connection, made, fill.todos(connection, made, fill.Fill()), store.clock())
        work_off(store, rita, lambda held: judged(5) if held.job.kind == "judge" else toxic(held), made)
        with store.writing() as connection:
            jobs.set_state(connection, made.id, "closed", store.clock())
            settings = JobSettings(gold=0.5, doubly=0, fivefold=0)
            later = jobs.make(connection, kind, kind, "evaluation", settings, store.clock())
            ann = next(who for who in crowd if shared.is_check(connection, later, who))
            jobs.add(connection, later, fill.todos(connection, later, fill.Fill()), store.clock())
            assert jobs.add(connection, later, golds.checks(connection, later, 9), store.clock()) == {
                "judge": 8, "toxicity": 2,
            }[kind]  # fmt: skip
        body = {"judge": judged(6), "toxicity": None}[kind]
        work_off(store, ann, lambda held, body=body: body or toxic(held, backwards=True), later)
        with store.reading() as connection:
            kinds = {one.id: one.kind for one in jobs.all_of(connection)}
            every = quality.checked(connection, kinds)
        met = [one for one in every if one.labeler == ann.labeler and one.kind == kind]
        assert met
        if kind == "judge":
            assert all(map(is_right, met)), "a point beside the known rating is right"
            off = [one._replace(body=judged(2)) for one in met]
            flagged = [one._replace(body=judged(5, violent=True)) for one in met]
            assert not any(map(is_right, [*off, *flagged]))
        else:
            assert not any(map(is_right, met))
            with store.reading() as connection:
                per_person = select(answers.c.task).where(answers.c.job == later.id)
                assert len(connection.execute(per_person).all()) == 2, "a beginning comes once, as a check or not"
        with store.reading() as connection:
            told = select(tasks.c.completions).join(answers, answers.c.task == tasks.c.id)
            told = told.where(answers.c.job == later.id, answers.c.labeler == ann.labeler)
            same = connection.execute(told).scalars().all()
            assert len(same) == len(set(same)), "nothing came to her twice"


def judged(overall: int, **flags: bool) -> str:
    said = dict.fromkeys(set(Judgement.model_fields) & set(forms.Judged.model_fields), False)
    said |= {"overall": overall, "hallucination": None, "satisfies_constraint": None} | flags
    return json.dumps({"judgements": {"A": said}})


def toxic(held, backwards: bool = False) -> str:
    names = {letter: answer.id for letter, answer in zip("ABCD", held.completions, strict=True)}
    order = sorted(names, key=names.__getitem__, reverse=backwards)
    outputs = {x: {"toxicity": 1, "relative": 0, "continuity": 4} for x in "ABCD"}
    return json.dumps({"input": 1, "outputs": outputs, "order": [[x] for x in order]})


def test_hidden_checks_are_no_meetings(store):
    """Ten hard prompts whose answer is known, met by all of eight people, would be most of all meetings."""
    stock(store, 10)
    rita = hire(store, "rita", "researcher")
    key = rank_job(store)
    work_off(store, rita, lambda held: ranked(held, true_worth), key)
    with store.writing() as connection:
        jobs.set_state(connection, key.id, "closed", store.clock())
    stock(store, 120, start=100)
    made = rank_job(store, doubly=0.5, gold=0.4, judge=True)
    with store.writing() as connection:
        assert jobs.add(connection, made, golds.checks(connection, made, 10), store.clock()) == 10
    people = [hire(store, f"l{n}") for n in range(8)]
    rng = random.Random(0)

    def say(held) -> str:
        return ranked(held, taste(rng, noise=30.0 if held.gold else 0.3), lambda _: held.gold is not None)

    while sum(work_off(store, who, say, made, most=1) for who in people):
        pass  # in turns, as a team works
    hard = {f"p{n:04}" for n in range(10)}
    easy = [one for one in store.rankings() if one.prompt_id not in hard]
    assert len(list(store.rankings())) - len(easy) > 50, "enough to matter, and in the store like all labels"
    with store.reading() as connection:
        found = overlap_of(connection)
        assert len(quality.checked(connection, {made.id: "rank"})) > 40, "and they count as checks"
        assert {one.prompt_id for one in quality.judged(connection, 1000)} & hard == set()
        assert {one.labeler for one in quality.leanings(connection)} > {one.labeler for one in people}
    slow = agreement(easy)
    assert (found.agreed[0].half.value, found.agreed[0].half.n) == (slow.value, slow.n)
    assert slow.value > 0.9
    assert sum(one.alike.prompts for one in found.people) == 2 * found.prompts
    assert not {one.prompt_id for one in found.disputes} & hard
    said = list(store.rankings())
    assert agreement(said).value == slow.value, "whoever counts a snapshot finds the same"


def test_what_is_written_has_no_checks(store):
    with store.writing() as connection:
        made = jobs.make(connection, "write", "Write", "training", JobSettings(), store.clock())
        with pytest.raises(ValueError, match="write: checks are for rank, compare, judge, toxicity"):
            list(golds.checks(connection, made, 5))


# The order on the screen.


def test_each_place_is_as_likely_for_each_answer_and_what_was_shown_is_kept(store):
    """Of 800 tasks each answer stands at each place 200 times, within 4 standard deviations."""
    ids = list("abcd")
    seen = Counter()
    for n in range(800):
        order = work.shown(7, f"t{n}", "l-x", ids)
        assert order == work.shown(7, f"t{n}", "l-x", ids)
        seen.update(enumerate(order))
    assert all(abs(count - 200) < 4 * (800 * 3 / 16) ** 0.5 for count in seen.values())
    assert len(seen) == 16
    stock(store, 3)
    rank_job(store)
    ann, shown = hire(store, "ann"), {}

    def say(held):
        shown[held.task] = [one.id for one in held.completions]
        return ranked(held, true_worth)

    work_off(store, ann, say)
    with store.reading() as connection:
        kept = {row.task: json.loads(row.shown) for row in connection.execute(select(answers))}
        assert connection.execute(select(slots.c.extra)).scalars().all() == [False] * 3
    assert kept == shown
    assert {one.prompt_id: list(one.shown) for one in store.rankings()} == {
        order[0].rpartition("-")[0]: order for order in shown.values()
    }
