"""Manners towards an endpoint: what is asked again, what never, and where the key goes."""

import time

import pytest
from fastapi.responses import JSONResponse, Response
from planted import failed, serving

from biddable.config import ConfigError
from biddable.judge.endpoint import Endpoint, Pace, Unreached, address, pause_of, seconds, without_secrets
from biddable.judge.wording import load
from biddable.records import Prompt

KEY = "sk-secret-4711"
QUESTION = load("pair").messages(Prompt.make("say"), "good", "bad")


@pytest.fixture
def served():
    with serving() as server:
        yield server


def endpoint(served, model="truthful", **changes) -> Endpoint:
    return Endpoint(served.url, model, KEY, **{"first_pause": 0.01, "tries": 4, **changes})


def test_a_question_as_the_endpoint_sees_it(served):
    said = endpoint(served).ask(QUESTION, 77)
    assert (said.text, said.tokens_in, said.tokens_out, said.refused) == ("FIRST", 100, 3, "")
    (sent,) = served.asked
    assert sent == {"model": "truthful", "messages": QUESTION, "temperature": 0.0, "max_tokens": 77}
    assert served.headers[0]["authorization"] == f"Bearer {KEY}"


def unsupported(message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": f"Unsupported: {message}", "type": "invalid_request_error"}}, 400)


def test_a_model_that_wants_the_newer_word_for_the_longest_answer(served):
    wanted = unsupported("'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
    served.trouble = lambda nth: wanted if "max_tokens" in served.asked[nth] else None
    one = endpoint(served)
    assert one.ask(QUESTION, 77).text == "FIRST"
    assert one.ask(QUESTION, 78).text == "FIRST"
    first, *others = served.asked
    assert first["max_tokens"] == 77
    assert [sent["max_completion_tokens"] for sent in others] == [77, 78]  # and is not asked in the old word again
    assert not any("max_tokens" in sent for sent in others)


def test_a_model_that_takes_one_temperature_alone(served):
    served.trouble = lambda _nth: unsupported("'temperature' does not support 0 with this model.")
    with pytest.raises(ConfigError, match="say temperature=1"):
        endpoint(served).ask(QUESTION, 10)
    assert len(served.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 408])
def test_what_may_pass_is_asked_again(served, status):
    served.trouble = lambda nth: failed(status) if nth < 2 else None
    assert endpoint(served).ask(QUESTION, 10).text == "FIRST"
    assert len(served.asked) == 3


def test_pauses_double(served):
    served.trouble = lambda nth: failed(500) if nth < 3 else None
    endpoint(served, first_pause=0.1).ask(QUESTION, 10)
    gaps = [b - a for a, b in zip(served.at, served.at[1:], strict=False)]
    assert gaps[0] >= 0.1
    assert gaps[1] >= 0.2
    assert gaps[2] >= 0.4


def test_retry_after_is_kept_by_all_who_ask(served):
    served.trouble = lambda nth: failed(429, Retry_After="0.6") if nth == 0 else None
    one = endpoint(served)
    other = endpoint(served, pace=one.pace)
    one.ask(QUESTION, 10)
    assert served.at[1] - served.at[0] >= 0.6
    one.pace.hold(0.3)
    began = time.monotonic()
    other.ask(QUESTION, 10)
    assert time.monotonic() - began >= 0.3


def test_nothing_left_is_minded_before_it_is_refused(served):
    left = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "500ms"}
    body = {"choices": [{"message": {"content": "TIE"}}]}
    served.trouble = lambda nth: JSONResponse(body, 200, left) if nth == 0 else None
    asker = endpoint(served)
    assert asker.ask(QUESTION, 10).text == "TIE"
    asker.ask(QUESTION, 10)
    assert served.at[1] - served.at[0] >= 0.5


def test_too_slow_is_asked_again(served):
    served.trouble = lambda nth: 1.0 if nth == 0 else None
    assert endpoint(served, timeout=0.3).ask(QUESTION, 10).text == "FIRST"


@pytest.mark.parametrize("body", ["<html>hello</html>", "{}", '{"choices": []}', "[]", '{"choices": [{"message": 3}]}'])
def test_what_is_no_chat_completion_is_asked_again(served, body):
    served.trouble = lambda nth: Response(body, media_type="application/json") if nth == 0 else None
    assert endpoint(served).ask(QUESTION, 10).text == "FIRST"


def test_never_an_answer_is_told_in_one_line(served):
    served.trouble = lambda _nth: failed(503)
    with pytest.raises(
        Unreached, match="asked 4 times without an answer, at last status 503; what was answered is kept"
    ):
        endpoint(served).ask(QUESTION, 10)
    with pytest.raises(Unreached, match="onnection refused"):
        Endpoint("http://127.0.0.1:9/v1", "m", KEY, tries=2, first_pause=0.01).ask(QUESTION, 10)


@pytest.mark.parametrize(
    ("status", "cure"), [(401, "is BIDDABLE_JUDGE_KEY set and right?"), (403, "may the key"), (404, "--model names")]
)
def test_what_no_question_will_mend_stops_at_once_and_hides_the_key(served, status, cure):
    served.trouble = lambda _nth: failed(status, f"key {KEY} is bad")
    with pytest.raises(ConfigError, match=f"status {status}: key … is bad") as told:
        endpoint(served).ask(QUESTION, 10)
    assert cure in str(told.value)
    assert KEY not in str(told.value)
    assert len(served.asked) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_question_that_is_not_taken_is_refused_and_no_more(served, status):
    served.trouble = lambda _nth: failed(status)
    assert endpoint(served).ask(QUESTION, 10).refused == f"status {status}"
    assert len(served.asked) == 1


def test_a_refusal_in_words_is_a_refusal(served):
    assert endpoint(served, "refuses").ask(QUESTION, 10).refused == "I will not compare these."


def test_the_key_follows_no_redirect(served):
    away = Endpoint(served.url.replace("/v1", "/elsewhere"), "truthful", KEY)
    with pytest.raises(ConfigError, match="status 302; it sends elsewhere"):
        away.ask(QUESTION, 10)
    assert served.headers == []


def test_the_key_is_in_no_picture_of_the_endpoint(served):
    assert KEY not in repr(endpoint(served))


def test_addresses():
    assert address("http://h:1/v1") == address("http://h:1/v1/") == "http://h:1/v1/chat/completions"
    assert address("https://h/v1/chat/completions?api-version=2") == "https://h/v1/chat/completions?api-version=2"
    assert without_secrets("https://ann:pw@h:8/v1?key=4711#x") == "https://h:8/v1"
    for wrong in ("h:1/v1", "ftp://h/v1", "", "http://"):
        with pytest.raises(ConfigError, match="is no address"):
            address(wrong)
    with pytest.raises(ConfigError, match="has a name or password in it") as told:
        address("https://ann:pw@h/v1")
    assert "pw" not in str(told.value).replace("password", "")


def test_spans_of_time():
    assert [seconds(said) for said in ("2", "1.5", "20ms", "1s", "6m0s", "1h2m3s")] == [2, 1.5, 0.02, 1, 360, 3723]
    assert [seconds(said) for said in ("", "soon", "5x", "-1")] == [None] * 4
    assert pause_of({"retry-after-ms": "250", "Retry-After": "9"}) == 0.25
    assert pause_of({}) is None
    assert pause_of({"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0
    assert pause_of({"Retry-After": "later"}) is None


def test_a_pace_without_a_hold_waits_for_nothing():
    began = time.monotonic()
    Pace().wait()
    assert time.monotonic() - began < 0.1
