"""A name is one, however it is written: maria signs in as Maria, and nobody else can be MARIA."""

import html
import re
import sqlite3

import pytest
from served import client_of

from biddable.label.signin import hash_password
from biddable.store import StoreError, accounts, engine, migrate, open_store

WORDS = "a few words in a row"


def sign_in(url: str, name: str) -> int:
    with client_of(url, timeout=30) as client:
        return client.post("/sign-in", data={"name": name, "password": WORDS}, follow_redirects=False).status_code


def test_maria_signs_in_as_maria_however_she_writes_it(url, store, person, app):
    _, maria = person("María Straße")
    with store.writing() as connection:
        accounts.change(connection, maria.labeler, store.clock(), password=hash_password(WORDS))
    for name in ("María Straße", "maría strasse", "MARÍA  STRASSE", " Ｍaría straße "):
        assert sign_in(url, name) == 303, name
    assert sign_in(url, "Maria Strasse") == 401, "another letter is another name"


def test_nobody_else_gets_the_name_in_other_letters(store, person):
    owner, _ = person("olga", "owner", "researcher")
    person("Maria")
    said = owner.post("/api/people", json={"name": "MARIA"})
    assert (said.status_code, said.json()["detail"]) == (400, "name: MARIA is taken, by Maria")
    assert [one["name"] for one in owner.get("/api/people").json()["people"]] == ["olga", "Maria"]


def test_tries_are_counted_by_the_name_however_it_is_written(url, person, app):
    person("maria")
    said = [sign_in(url, name) for name in ("maria", "Maria", "MARIA", "mARIA", "maRIA", "marIA")]
    assert said == [401] * 5 + [429]


def test_another_name_leaves_its_person_at_work(store, person):
    owner, _ = person("olga", "owner", "researcher")
    ann, account = person("ann@example.org")
    assert owner.patch(f"/api/people/{account.labeler}", json={"name": "Ann Lee"}).status_code == 200
    assert ann.get("/api/me").json()["name"] == "Ann Lee"
    assert owner.patch(f"/api/people/{account.labeler}", json={"name": "ann lee"}).status_code == 200, "her own"
    person("ben")
    assert owner.patch(f"/api/people/{account.labeler}", json={"name": "BEN"}).status_code == 400
    _, other = person("ann@example.org")  # the old one is free
    assert other.labeler != account.labeler
    with store.reading() as connection:
        assert accounts.named(connection, "ANN LEE").labeler == account.labeler


def listed(page: str) -> list[str]:
    return re.findall(r'aria-label="Name of ([^"]+)"', page)


def test_a_thousand_people_are_shown_by_the_hundred_and_found_by_a_word(store, person):
    owner, _ = person("olga", "owner", "researcher")
    with store.writing() as connection:
        made = [accounts.make(connection, f"w{n:03}", "labeler", "training", store.clock(), None) for n in range(99)]
    assert len(listed(owner.get("/manage/people").text)) == 99
    assert 'role="search"' not in owner.get("/manage/people").text, "a hundred are seen at a look"
    with store.writing() as connection:
        for n in range(99, 150):
            group = "held_out" if n % 2 else "training"
            made.append(accounts.make(connection, f"w{n:03}", "labeler", group, store.clock(), None))
        accounts.give_skills(connection, made[120].labeler, ("welsh",), store.clock(), None)
    first = owner.get("/manage/people").text
    assert "1 to 100 of 151." in first
    [more] = re.findall(r'href="([^"]+)">More', first)
    rest = owner.get(f"/manage/people{html.unescape(more)}").text
    assert "101 to 151 of 151." in rest
    assert listed(first) + listed(rest) == [one.name for one in made]  # the owner's own row has no such field
    assert ">More" not in rest
    for said, names in (("W12", [f"w12{n}" for n in range(10)]), ("WELSH", ["w120"]), (made[7].labeler, ["w007"])):
        assert listed(owner.get("/manage/people", params={"q": said}).text) == names
    assert len(listed(owner.get("/manage/people", params={"q": "held out"}).text)) == 26
    assert "None of 151 is like that." in owner.get("/manage/people", params={"q": "nobody"}).text
    changed = owner.post(f"/manage/people/{made[140].labeler}", data={"skills": "law"}, follow_redirects=True).text
    assert "Changed." in changed
    assert listed(changed) == ["w140"]


@pytest.fixture
def old(tmp_path) -> str:
    """A store of before names were one, in which two are."""
    where = str(tmp_path / "old.db")
    bare = engine.connect(engine.locate(where), foreign_keys=False)
    with engine.writing(bare).begin() as connection:
        migrate.go_to(connection, "0003")
    bare.dispose()
    file = sqlite3.connect(where)
    for n, name in enumerate(("maria", "Maria", "Ben")):
        file.execute("INSERT INTO labelers VALUES (?, 'training')", (f"l-{n}",))
        file.execute(
            "INSERT INTO accounts VALUES (?, ?, 'labeler', NULL, 'active', '[]', ?)",
            (f"l-{n}", name, f"2026-01-0{3 - n} 00:00:00.000000"),
        )
    file.commit()
    file.close()
    return where


def test_two_who_were_one_name_before_both_come_in_as_they_wrote_it(old):
    with open_store(old) as store, store.writing() as connection:
        found = {name: accounts.named(connection, name) for name in ("maria", "Maria", "MARIA", "ben", "nobody")}
        assert {name: one and one.labeler for name, one in found.items()} == {
            "maria": "l-0", "Maria": "l-1", "MARIA": "l-1", "ben": "l-2", "nobody": None,
        }  # fmt: skip
        with pytest.raises(StoreError, match="name: mariA is taken, by "):
            accounts.make(connection, "mariA", "labeler", "training", store.clock())
        with pytest.raises(StoreError, match="is taken, by Maria"):
            accounts.change(connection, "l-0", store.clock(), name="maria")
        accounts.change(connection, "l-0", store.clock(), name="Maria B.")
        assert accounts.named(connection, "MARIA B.").labeler == "l-0"


# Inviting and renaming on the page.

PAGE = {"accept": "text/html"}


def test_a_list_with_names_that_are_taken_comes_back_whole_with_all_of_them_named(person, url):
    owner, _ = person("olga", "owner", "researcher")
    person("Ben")
    typed = "ann\nben\ncal\nANN"
    said = owner.post("/manage/people/many", data={"names": typed, "group": "held_out"}, headers=PAGE)
    assert said.status_code == 400
    assert "twice in the list: ANN; taken: ben. Nobody was invited yet" in said.text
    assert f"\n{typed}</textarea>" in said.text
    assert [one["name"] for one in owner.get("/api/people").json()["people"]] == ["olga", "Ben"]


def test_an_account_is_made_with_its_link_or_not_at_all(person, app, monkeypatch):
    owner, _ = person("olga", "owner", "researcher")
    real, good = accounts.open_door, [True, True]

    def breaks_off(*words):
        if not good:
            raise StoreError("the disk is full")
        good.pop()
        return real(*words)

    monkeypatch.setattr(accounts, "open_door", breaks_off)
    assert owner.post("/manage/people/many", data={"names": "ann\nben\ncal\ndee"}).status_code == 400
    assert owner.post("/manage/people", data={"name": "eve"}).status_code == 400
    assert owner.post("/api/people", json={"name": "eve", "skills": ["law"]}).status_code == 400
    assert [one["name"] for one in owner.get("/api/people").json()["people"]] == ["olga"]


def test_a_manager_gives_another_name_on_the_page(person, url):
    owner, me = person("olga", "owner", "researcher")
    ann, account = person("ann@exmaple.org")
    person("ben")
    at = f"/manage/people/{account.labeler}"
    said = owner.post(at, data={"name": "ben"}, headers=PAGE)
    assert (said.status_code, 'role="alert">ben is taken</span>' in said.text) == (400, True)
    said = owner.post(at, data={"name": "ann@example.org", "role": "labeler", "skills": "law"}, follow_redirects=True)
    assert "ann@example.org</th>" in said.text
    assert ann.get("/api/me").json()["name"] == "ann@example.org", "and goes on working"
    owner.post(f"/manage/people/{me.labeler}", data={"name": "Olga L."})
    assert owner.get("/api/me").json()["name"] == "Olga L."
    lines = [line for line in owner.get("/manage/history?what=account+changed").text.splitlines() if "name=" in line]
    assert lines
    assert not [line for line in lines if "name=ann" in line], "the history holds no names"


def test_a_page_that_is_not_there_is_one_s_own(person, url):
    ann, _ = person("ann")
    said = ann.get("/manage/nope", headers=PAGE)
    assert (said.status_code, "There is no such page." in said.text, "Sign out" in said.text) == (404, True, True)
    with client_of(url, timeout=30) as stranger:
        said = stranger.get("/manage/nope", headers=PAGE)
    assert (said.status_code, "There is no such page." in said.text, "Sign out" in said.text) == (404, True, False)
