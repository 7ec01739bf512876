from collections import Counter

from biddable.gather import GatherConfig, gather, personal_data
from biddable.hamlet import world

COUNT = 1200
CONFIG = GatherConfig(prefix_share=1.0, prefix_chars=20)


def asked(seed: int = 0, count: int = COUNT):
    return list(world.prompts(seed, count))


def test_as_many_different_prompts_as_asked_for():
    prompts = asked()
    assert len(prompts) == len({prompt.text for prompt in prompts}) == COUNT
    assert len({prompt.id for prompt in prompts}) == COUNT


def test_the_same_seed_asks_the_same_and_another_something_else():
    assert asked(1, 100) == asked(1, 100)
    assert {p.text for p in asked(1, 100)} != {p.text for p in asked(2, 100)}


def test_users_are_many_and_one_is_busy():
    prompts = asked()
    by_user = Counter(prompt.user for prompt in prompts)
    assert len(by_user) > 50
    assert by_user.most_common(1)[0][0] == "user-busy"
    assert all(prompt.organization for prompt in prompts if prompt.user != "user-busy")
    organization = {prompt.user: prompt.organization for prompt in prompts}
    assert all(organization[prompt.user] == prompt.organization for prompt in prompts)


def test_gather_finds_what_was_planted():
    prompts = asked()
    report = gather(prompts, CONFIG).report
    planted = {prompt.id for prompt in prompts if "@" in prompt.text or "+1 212" in prompt.text}
    assert len(planted) > 0.015 * COUNT
    # A prompt that was left out before (a duplicate, over the cap) is not looked at for personal data.
    found = {span["prompt"] for span in report["personal"]}
    assert found <= planted
    assert len(found) > 0.8 * len(planted)
    assert report["dropped"]["near_duplicate"] + report["dropped"]["duplicate"] > 0.03 * COUNT


def test_no_personal_data_in_the_train_split():
    kept = gather(asked(), CONFIG).prompts
    assert not [p for p in kept if p.split == "train" and personal_data(p.text, CONFIG.region)]


def test_the_busy_user_is_capped():
    config = GatherConfig(prefix_share=1.0, prefix_chars=20, cap=25)
    kept = gather(asked(), config)
    assert Counter(prompt.user for prompt in kept.prompts)["user-busy"] <= 25
    assert kept.report["dropped"]["over_cap"] > 0


def test_nobody_is_in_two_splits():
    where: dict[str | None, set] = {}
    for prompt in gather(asked(), CONFIG).prompts:
        where.setdefault(prompt.organization or prompt.user, set()).add(prompt.split)
    assert all(len(splits) == 1 for splits in where.values())


def test_labelers_write_plain_and_user_based_prompts():
    prompts = list(world.written(0, 200))
    sources = Counter(prompt.source for prompt in prompts)
    assert sources == {"plain": 150, "user_based": 50}
    assert all(prompt.user and prompt.user.startswith("writer-") for prompt in prompts)
