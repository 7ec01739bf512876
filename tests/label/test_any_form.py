"""Whatever a form or an address holds, the answer is one that we meant: no server error, on any page of ours."""

import pytest
from team import hire, rank_job, ranked, stock, true_worth, work_on

from biddable.label.access import ACCESS

NASTY = ["", "a\x00b", "-1", "99999999999999999999999", "nan", "é\ud7ff💥", "<script>alert(1)</script>"]
OURS = ("/manage", "/screening", "/surveys", "/consent", "/mine", "/guidelines")


@pytest.fixture
def owner(person, app, url):
    client, _ = person("olga", "owner", "researcher")
    store = app.state.desk.store
    stock(store, 3)
    job = rank_job(store)
    ann = hire(store, "ann")
    work_on(store, ann, lambda held: ranked(held, true_worth), store.clock(), job)
    client.names = {"job": job.id, "labeler": ann.labeler, "what": "rankings", "answer": "1"}
    client.names |= {"version": "g-x", "task": "t-x"}
    return client


def fields(app) -> dict[tuple[str, str], list[str]]:
    """The names of the fields of each form, and of each query, out of the OpenAPI."""
    said = app.openapi()
    found = {}
    for path, methods in said["paths"].items():
        for method, one in methods.items():
            names = [parameter["name"] for parameter in one.get("parameters", ()) if parameter["in"] == "query"]
            for content in one.get("requestBody", {}).get("content", {}).values():
                schema = content["schema"]
                schema = (
                    said["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
                )
                names += schema.get("properties", {})
            found[method.upper(), path] = names
    return found


def test_nothing_that_is_sent_is_a_server_error(owner, app):
    forms, faults, asked = fields(app), [], 0
    for method, path in ACCESS:
        if not path.startswith(OURS):
            continue
        names = forms.get((method, path), [])
        for place in (owner.names, dict.fromkeys(owner.names, "99999999999999999999")):
            address = path.format(**place)
            for nasty in NASTY:
                sent = dict.fromkeys(names, nasty)
                asked += 1
                answer = (
                    owner.get(address, params=sent) if method == "GET" else owner.request(method, address, data=sent)
                )
                if answer.status_code >= 500:
                    faults.append((method, address, nasty[:20], answer.status_code))
                if "<script>alert" in answer.text and "html" in answer.headers["content-type"]:
                    faults.append((method, address, "script in the page"))
    assert asked > 400
    assert faults == []


def test_a_null_character_is_refused_and_named(owner):
    answer = owner.post("/manage/people", data={"name": "a\x00b"})
    assert answer.status_code == 422
    assert "name: " in answer.text
    assert "U+0000" in answer.text
