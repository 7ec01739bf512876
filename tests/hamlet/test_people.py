import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest

from biddable.hamlet import people, screening, tasks, truth
from biddable.hamlet.answers import Care
from biddable.measure.agreement import agreement
from biddable.records import Completion, Labeler, Prompt, Ranking

STORY = Prompt.make("write a story about a red goat and a baker.", user="u")
GOOD = "once there was a red goat. the goat ran to the mill. the goat met a baker. they were happy."


def completion(text: str, nth: int = 0, **fields) -> Completion:
    return Completion.make(STORY.id, text, "r", nth, **fields)


def somebody(**changes) -> people.Person:
    """Average taste, no noise, no ties: what they say is the truth."""
    person = people.crowd(0)[10]
    return replace(person, **{"taste": truth.WEIGHTS, "noise": 0.0, "tie": 0.0, "skips": 0.0} | changes)


def ranked(team, sheets, seed: int = 0, each: int = 2):
    rng = random.Random(seed)
    return [people.rank(p, prompt, answers) for prompt, answers in sheets for p in rng.sample(team, each)]


def test_a_person_says_the_same_twice(hired, sheets):
    prompt, answers = sheets[0]
    for person in hired.team[:5]:
        assert people.rank(person, prompt, answers) == people.rank(person, prompt, answers[::-1])
        assert people.demonstrate(person, prompt) == people.demonstrate(person, prompt)
        assert people.judge(person, prompt, answers[0]) == people.judge(person, prompt, answers[0])
        assert people.compare(person, prompt, *answers[:2]) == people.compare(person, prompt, *answers[:2])


def test_whoever_compares_agrees_with_themselves_when_the_order_is_turned(hired, sheets):
    turned = {"a": "b", "b": "a", "tie": "tie"}
    for (prompt, answers), person in zip(sheets, itertools.cycle(hired.team), strict=False):
        one, other = answers[:2]
        assert (
            people.compare(person, prompt, one, other).better
            == turned[people.compare(person, prompt, other, one).better]
        )


def test_people_differ(hired, sheets):
    prompt, answers = sheets[0]
    assert len({people.rank(person, prompt, answers).order for person in hired.team}) > 1


def test_the_same_seed_is_the_same_crowd():
    assert people.crowd(3) == people.crowd(3)
    assert people.crowd(3) != people.crowd(4)


def test_a_crowd_has_a_name_once_and_the_groups_of_the_paper():
    crowd = people.crowd(0)
    assert len({person.name for person in crowd}) == len(crowd)
    assert {person.group for person in crowd} == {"researcher", "candidate", "held_out"}
    assert 35 <= sum(person.group != "researcher" for person in crowd) <= 60  # about 40 contractors (paper, 3.4)


def test_ranks_follow_the_truth_where_nobody_strays():
    """By hand: the insult costs 2 or more, the missing red goat 0.6, the missing end 0.5."""
    best, cut, gray, rude = (
        completion(GOOD), completion(GOOD, 1, finished=False), completion(GOOD.replace("red ", ""), 2),
        completion(GOOD + " you are a fool.", 3),
    )  # fmt: skip
    ranking = people.rank(somebody(), STORY, [gray, rude, best, cut])
    assert ranking.order == ((best.id,), (cut.id,), (gray.id,), (rude.id,))


def test_a_tie_is_what_is_about_as_good():
    """The missing end is worth 0.5: a tie to whoever does not care for 0.6, and a choice to whoever cares for 0.4."""
    one, other = completion(GOOD), completion(GOOD, 1, finished=False)
    assert people.rank(somebody(tie=0.6), STORY, [one, other]).order in (((one.id, other.id),), ((other.id, one.id),))
    assert people.compare(somebody(tie=0.6), STORY, one, other).better == "tie"
    assert people.rank(somebody(tie=0.4), STORY, [one, other]).order == ((one.id,), (other.id,))
    assert people.compare(somebody(tie=0.4), STORY, one, other).better == "a"
    assert people.compare(somebody(tie=0.4), STORY, other, one).better == "b"


def test_some_rankings_have_ties_and_most_are_decided(hired, sheets):
    said = ranked(hired.team, sheets)
    tied = sum(len(tier) > 1 for ranking in said for tier in ranking.order)
    assert tied > 0
    assert sum(1 for ranking in said if len(ranking.order) > 1) > 0.9 * len(said)


def test_now_and_then_a_prompt_is_skipped():
    prompts = [Prompt.make(STORY.text, user=f"u{n}") for n in range(2000)]
    hasty, patient = somebody(skips=0.05), somebody(skips=0.0)
    skipped = sum(people.unclear(hasty, prompt) for prompt in prompts)
    assert 60 < skipped < 140  # 100 expected, four standard deviations of √(2000·0.05·0.95)
    assert not any(people.unclear(patient, prompt) for prompt in prompts[:50])


def test_what_nobody_understands_is_skipped_by_all():
    nonsense = Prompt.make("quantum chromodynamics?", user="u")
    assert people.unclear(somebody(), nonsense)
    with pytest.raises(ValueError, match="nobody in Hamlet understands"):
        people.demonstrate(somebody(), nonsense)


def test_gold_says_what_the_truth_says():
    good, rude = completion(GOOD), completion(GOOD + " you are a fool.", 1)
    verdict = people.gold(STORY, rude, good)
    assert (verdict.better, verdict.judge, verdict.labeler) == ("b", "gold", None)
    assert people.gold(STORY, good, completion(GOOD, 2)).better == "tie"


def test_a_judgement_by_hand():
    """Nobody strays: the insult denigrates, the story is told, no constraint was given, it is no closed domain."""
    seen = people.judge(somebody(), STORY, completion(GOOD + " you are a fool."))
    assert (seen.denigrates, seen.fails_task, seen.satisfies_constraint, seen.hallucination) == (
        True,
        False,
        None,
        None,
    )
    assert people.judge(somebody(), STORY, completion(GOOD)).overall == 7
    assert seen.overall is not None
    assert seen.overall < 7


def test_careful_people_write_better(sheets):
    def worth(care: Care) -> float:
        person = somebody(care=care)
        return sum(truth.utility(p.text, people.demonstrate(person, p).text) for p, _ in sheets)

    assert worth(Care()) > worth(people.CAREFUL) > worth(screening.MIXED)


# Screening (paper, 2.3 and App. B.1)


def test_only_candidates_are_tested_and_only_the_best_are_hired(hired):
    crowd = {person.name: person for person in people.crowd(0)}
    assert {crowd[card.name].group for card in hired.cards} == {"candidate"}
    assert len(hired.cards) == people.CANDIDATES
    assert {person.name for person in hired.team} == {card.name for card in hired.cards[: screening.TEAM]}
    assert {person.group for person in hired.team} == {"training"}
    assert not {person.name for person in hired.team} & {person.name for person in hired.outside}


def test_held_out_people_are_never_tested(monkeypatch):
    tested = []
    monkeypatch.setattr(
        screening, "_card", lambda person, *_: tested.append(person.group) or screening.ReportCard(person.name, 1, 1, 7)
    )
    screening.screen(people.crowd(0), 0, rounds=1)
    assert set(tested) == {"candidate"}


def test_cards_are_in_order_of_merit(hired):
    passed = [card.passes for card in hired.cards]
    assert passed == sorted(passed, reverse=True)
    for ok in (True, False):
        standing = [card.standing for card in hired.cards if card.passes is ok]
        assert standing == sorted(standing, reverse=True)


def test_screening_puts_the_careful_before_the_careless():
    crowd = people.crowd(0)
    researchers = [person for person in crowd if person.group == "researcher"]
    one = next(person for person in crowd if person.group == "candidate")
    careful, careless = (
        replace(one, name="ann", noise=0.1, care=Care()),
        replace(one, name="bob", noise=5.0, care=screening.MIXED),
    )
    cards = screening.screen([*researchers, careless, careful], 0, rounds=25)
    assert [card.name for card in cards] == ["ann", "bob"]
    assert cards[0].passes
    assert not cards[1].passes


def test_the_hired_stray_less_than_the_rejected(hired):
    noise = {person.name: person.noise for person in people.crowd(0)}
    names = [card.name for card in hired.cards]
    team, others = names[: screening.TEAM], names[screening.TEAM :]
    assert sum(noise[n] for n in team) / len(team) < sum(noise[n] for n in others) / len(others)


# Agreement (paper, 3.4: 72.6 ± 1.5 % of training labelers, 77.3 ± 1.3 % of held-out ones)


def test_the_hired_agree_about_as_often_as_the_papers(hired, sheets):
    found = agreement(ranked(hired.team, sheets))
    assert found.word == "above chance"
    assert AGREE[0] < found.value < AGREE[1]


AGREE = (0.66, 0.86)  # writers of mixed care differ more plainly than a model's answers, so people agree more on them


def test_labelers_at_random_agree_at_chance(hired, sheets):
    careless = [people.at_random(person) for person in hired.team]
    found = agreement(ranked(careless, sheets))
    assert found.word == "at chance"
    assert found.low <= found.chance <= found.high


def test_labelers_at_random_say_nothing_of_the_truth(hired, sheets):
    careless = [people.at_random(person) for person in hired.team]
    right = of = 0
    for ranking, (prompt, answers) in zip(ranked(careless, sheets, each=1), sheets, strict=True):
        worth = {answer.id: truth.utility(prompt.text, answer.text) for answer in answers}
        for pair in ranking.comparisons():
            right, of = right + (worth[pair.winner] > worth[pair.loser]), of + (worth[pair.winner] != worth[pair.loser])
    assert abs(right / of - 0.5) < 0.08  # 120 prompts: two standard deviations of pairs that hang together


def test_a_ranking_by_lot_keeps_its_tiers_and_nothing_of_its_order():
    """Of four answers in tiers of 1, 2 and 1, each stands first a quarter of the time."""
    said = Ranking(prompt_id="p", labeler="ada", order=(("a",), ("b", "c"), ("d",)))
    rng = random.Random(0)
    dealt = [people.by_lot(said, rng) for _ in range(2000)]
    assert {tuple(map(len, one.order)) for one in dealt} == {(1, 2, 1)}
    assert all(sorted(one.ranks) == ["a", "b", "c", "d"] for one in dealt)
    first = Counter(one.order[0][0] for one in dealt)
    assert all(abs(first[name] - 500) < 80 for name in "abcd")  # four standard deviations of √(2000 · ¼ · ¾)
    assert said.order[0] == ("a",)  # it is left as it was


def test_a_labeler_record_tells_nothing_but_name_and_group(hired):
    person = hired.team[0]
    assert person.labeler == Labeler(id=person.name, group="training")
    assert tasks.read(STORY.text) is not None
