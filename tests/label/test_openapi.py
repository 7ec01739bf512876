"""Whatever is sent to the routes of the OpenAPI, as it says or not, on either database: never a server error."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, openapi

CASES = 10  # a route
ENDS_THE_SESSION = "/sign-out"


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request, tmp_path) -> str:
    return str(tmp_path / "store.db") if request.param == "sqlite" else request.getfixturevalue("database")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # schemathesis' own
def test_no_input_makes_a_server_error(filled, app, person, url):
    owner, _ = person("olga", "owner", "researcher")
    app.state.by_address.most = app.state.by_name.most = 10**6
    job = owner.post("/api/jobs", json={"kind": "rank", "title": "Rank"}).json()["job"]
    task = owner.post("/api/claim", json={}).json()["task"]["task"]
    known = {"job": job, "task": task, "labeler": person("ann")[1].labeler, "token": "none"}
    cookies = {"biddable": owner.cookies["biddable"]}
    statuses: dict[str, Counter[int]] = {}
    schema = openapi.from_dict(owner.get("/openapi.json").json())
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path == ENDS_THE_SESSION:
            continue
        seen = statuses[f"{operation.method.upper()} {operation.path}"] = Counter()
        bombard(operation, url, cookies, known, seen)
    assert len(statuses) >= 20
    assert owner.get("/api/me").status_code == 200
    assert any(status < 300 for seen in statuses.values() for status in seen)
    untouched = [route for route, seen in statuses.items() if set(seen) <= {401, 403}]
    assert not untouched, untouched  # each was really reached


def bombard(operation, url: str, cookies: dict[str, str], known: dict[str, str], seen: Counter[int]) -> None:
    """Send what the OpenAPI allows and what it does not; half of the time to an address that is there."""
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

    @settings(max_examples=CASES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(cases, st.booleans())
    def send(case, real: bool) -> None:
        if real and case.path_parameters:
            case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
        answer = case.call(base_url=url, cookies=cookies, headers={"sec-fetch-site": "same-origin"}, timeout=30)
        seen[answer.status_code] += 1
        assert answer.status_code < 500, (case.as_curl_command(), answer.text)

    send()
