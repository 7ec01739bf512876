"""Personal data: examples from standards and documents, and what looks like it but is not."""

import itertools
import random
import re

import pytest

from biddable.gather import personal, personal_data
from biddable.gather.personal import GERMAN as GERMAN_RULE

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
        "0170 0044 0532 0130 007",  # more figures than any number has
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
    assert [span.kind for span in personal_data("ring 040 7946 0958 now", region="GB")] == ["phone"]
    assert [span.kind for span in personal_data("ring (212) 555-0123 now", region="US")] == ["phone"]
    assert personal_data("ring (212) 555-0123 now", region="GB") == []


GERMAN = [
    "0170 1234567", "0170/1234567", "0170-1234567", "0170 / 123 45 67", "0170 12 34 56 7", "01701234567",
    "015112345678", "030 12345678", "030/12345678", "(030) 12345678", "089/123456-0", "089 / 1234567", "0511 123456",
    "0511 1234-567", "02232 98 76 54", "06221 54321", "030 \u2013 1234567", "0049 170 1234567", "0049 30 12345678",
]  # fmt: skip
ORDINARY = [
    "Order 0815-4711.", "ISBN 0-306-40615-2", "ISBN 978-3-16-148410-0", "on 05.12.2024 at 08:30", "from 08 30 to 12 45",
    "01234 Dresden", "01067 Dresden, 04109 Leipzig and 06108 Halle", "0.170 1234567", "chmod 0755 0644 0600",
    "bits 0110 1001 0110 1001", "0001 0002 0003", "add 0250 and 1200 and 3400", "the series 020 040 060 080 100",
    "population 0350 1234", "0x0170 1234567", "part #0170-1234567 of the list", "#0301 234567", "0123456789",
    "0301234567", "0170123456", "2024-03-17 12:30:45", "12 030 12345678 44", "lat 052.5200, lon 013.4050",
    "v0.30.12345678", "score 030-028-115", "Lotto 02 08 15 23 31 44", "table 020 1 2 3 4 5 6", "phi is 0.618033988",
    "log10(0250) 1234", "case 0421/23", "case 0421/2023", "invoice 0231-2024-00017", "0331 / 17",
    "steps 0300 0400 0500", "width 0200, 345678 of them", "runs 0200 345", "id 0301-2345", "6 times 070 12",
    "1,070 12345678", "4 0511 123456 pieces", "at 0900 1230 we met",
]  # fmt: skip


@pytest.mark.parametrize("around", ["{}", "Ruf mich an: {}, bitte.", "Tel. {}."])
@pytest.mark.parametrize("number", GERMAN)
def test_german_numbers_are_found_as_germans_write_them(number, around):
    text = around.format(number)
    assert [(span.kind, text[span.start : span.end]) for span in personal_data(text)] == [("phone", number)]


def test_ordinary_figures_are_no_german_numbers():
    assert [text for text in ORDINARY if personal_data(text)] == []


def test_ten_digits_in_a_row_are_no_german_number():
    """Eleven are a mobile's when they begin with 015, 016 or 017: three of a thousand."""
    rng = random.Random(0)
    for length, most in ((10, 0), (11, 0.004), (13, 0)):
        texts = ["".join(rng.choices("0123456789", k=length)) for _ in range(20_000)]
        assert sum(GERMAN_RULE.search(f"no. {text}") is not None for text in texts) <= most * len(texts)


@pytest.mark.parametrize(
    "bad",
    [
        "a@" * 5000,
        "1 " * 20000,
        "1.1." * 5000,
        "A1 " * 20000,
        "://" * 5000,
        "sk-" * 10000,
        "0170 12 " * 9000,
        "(030) " * 9000,
    ],
)
def test_no_text_takes_long(bad):
    personal_data(bad)  # a pattern that backtracks would stay here until the suite is killed


PIECES = (
    "sk-", "ghp_", "xoxb-", "AKIA", "-----BEGIN PRIVATE KEY-----", "eyJhbGciOi", ".eyJzdWIi", "x" * 36, "A1" * 8,
    "DE89", "3704", "0044 0532 0130 00", "4111 1111", "1111 1111", "078-05-1120", "8.8", ".8", "2001:", "4860::8888",
    "+1 212", "555 0123", "٣٤٥", "anna@", "example.com", "https://", "a:b@", "?token=", " ", " ", "\n", ".", "word",
    "7", "12", "0170 ", "1234567", "DE89370400440532013000",
)  # fmt: skip


def test_what_is_counted_first_loses_nothing(monkeypatch: pytest.MonkeyPatch):
    rng = random.Random(0)
    texts = ["".join(rng.choices(PIECES, k=rng.randint(1, 12))) for _ in range(5000)]
    counted = list(map(personal_data, texts))
    monkeypatch.setattr(personal, "KEY_SIGNS", ("",))
    for name in ("DOT_DIGIT", "PHONE_DIGITS"):
        monkeypatch.setattr(personal, name, re.compile(""))
    monkeypatch.setattr(personal, "RULES", {kind: (0, rule) for kind, (_, rule) in personal.RULES.items()})
    assert list(map(personal_data, texts)) == counted
    assert {span.kind for spans in counted for span in spans} == set(personal.RULES)
