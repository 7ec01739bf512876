"""Personal data: examples from standards and documents, and what looks like it but is not."""

import itertools
import random
import re

import pytest

from biddable.gather import personal, personal_data

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("email", "anna.b+list@mail.example.co.uk"),
        ("email", "jürgen@müller.de"),
        ("phone", "+1 212 555 0123"),
        ("phone", "(212) 555-0123"),
        ("phone", "+49 30 901820"),
        ("card", "4111 1111 1111 1111"),  # the card numbers that everybody tests with
        ("card", "5555-5555-5555-4444"),
        ("card", "378282246310005"),
        ("iban", "DE89370400440532013000"),  # from the registry of IBANs
        ("iban", "GB82 WEST 1234 5698 7654 32"),
        ("iban", "NO93 8601 1117 947"),
        ("ssn", "078-05-1120"),  # a wallet maker printed it on a card in 1938
        ("ipv4", "8.8.8.8"),
        ("ipv6", "2001:4860:4860::8888"),
        ("ipv6", "2a00:1450:4001:81b:0:0:0:200e"),
        ("url", "https://anna:hunter22@example.com/x"),
        ("url", "https://example.com/x?a=1&access_token=abcdef123456"),
        ("url", "https://example.com/cb#id_token=abcdef123456"),
        ("key", "sk-proj-abcdefghijklmnopqrstuvwxyz012345"),
        ("key", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
        ("key", "AKIAIOSFODNN7EXAMPLE"),  # AWS's documents
        ("key", "hf_abcdefghijklmnopqrstuvwxyzabcdefgh"),
        ("key", JWT),
        ("key", "-----BEGIN RSA PRIVATE KEY-----"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "it is {}.", "Ünder: {}, OK?", "one {} AND TWO {}"])
def test_it_is_found_where_it_stands(kind, data, around):
    text = around.format(data, data)
    spans = personal_data(text)
    assert [(span.kind, text[span.start : span.end]) for span in spans] == [(kind, data)] * around.count("{}")


@pytest.mark.parametrize(
    "text",
    [
        "what is 12 plus 30? in 2022 there were 1,234,567 goats.",
        "pi is 3.14159265358979",
        "4111 1111 1111 1112",  # Luhn says no
        "0000 0000 0000 0000",
        "DE89370400440532013001",  # 97 says no
        "XX82 WEST 1234 5698 7654 32",  # no such country
        "000-12-3456 and 666-12-3456 and 912-34-5678 and 123-00-4567",  # never given out
        "127.0.0.1, 192.168.0.1, 10.0.0.1, 999.1.1.1, 1.2.3.4.5",
        "at 12:30:45, std::dec, a::b, fe80::1, ::1, 10:20:30:40",
        "https://example.com/x?page=2&sort=up",
        "anna@home and @anna and a@b",
        "sk-short, the ask-me-anything-about-goats-and-foxes-and-hens",
        "call 911",
    ],
)
def test_what_is_none_is_left_alone(text):
    assert personal_data(text) == []


def test_spans_do_not_overlap_and_come_in_order():
    text = "mail bob@example.com or https://u:pass@example.com/?q=anna@example.com, +1 212 555 0123, from 8.8.4.4"
    spans = personal_data(text)
    assert [span.kind for span in spans] == ["email", "url", "phone", "ipv4"]
    assert all(one.end <= other.start for one, other in itertools.pairwise(spans))


def test_a_number_without_its_country_is_read_in_the_region():
    assert [span.kind for span in personal_data("ring 030 901820 now", region="DE")] == ["phone"]
    assert personal_data("ring 030 901820 now", region="US") == []


@pytest.mark.parametrize("bad", ["a@" * 5000, "1 " * 20000, "1.1." * 5000, "A1 " * 20000, "://" * 5000, "sk-" * 10000])
def test_no_text_takes_long(bad):
    personal_data(bad)  # a pattern that backtracks would stay here until the suite is killed


PIECES = (
    "sk-", "ghp_", "xoxb-", "AKIA", "-----BEGIN PRIVATE KEY-----", "eyJhbGciOi", ".eyJzdWIi", "x" * 36, "A1" * 8,
    "DE89", "3704", "0044 0532 0130 00", "4111 1111", "1111 1111", "078-05-1120", "8.8", ".8", "2001:", "4860::8888",
    "+1 212", "555 0123", "٣٤٥", "anna@", "example.com", "https://", "a:b@", "?token=", " ", " ", "\n", ".", "word",
    "7", "12",
)  # fmt: skip


def test_what_is_counted_first_loses_nothing(monkeypatch: pytest.MonkeyPatch):
    rng = random.Random(0)
    texts = ["".join(rng.choices(PIECES, k=rng.randint(1, 12))) for _ in range(20_000)]
    counted = list(map(personal_data, texts))
    monkeypatch.setattr(personal, "KEY_SIGNS", ("",))
    for name in ("DOT_DIGIT", "PHONE_DIGITS"):
        monkeypatch.setattr(personal, name, re.compile(""))
    monkeypatch.setattr(personal, "RULES", {kind: (0, rule) for kind, (_, rule) in personal.RULES.items()})
    assert list(map(personal_data, texts)) == counted
    assert {span.kind for spans in counted for span in spans} == set(personal.RULES)
