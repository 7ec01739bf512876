"""Personal data that has a shape: addresses, numbers, keys. The paper does not say how it found them (Sec. 3.2).

Names and street addresses have no shape, and are not found: a person should still read what leaves the house.
Where a number carries a checksum, it must be right; otherwise every long number would be somebody's card.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import phonenumbers


class Span(NamedTuple):
    """Characters start … end−1 of a prompt's text are personal data of a kind."""

    kind: str
    start: int
    end: int


Found = Iterator[tuple[int, int]]
Rule = Callable[[str, str], Found]  # of a text and a telephone region

# Lengths of IBANs by country (SWIFT registry): without them one would swallow the words after it.
IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
IBAN_LENGTHS = {country: length for length, countries in IBAN_COUNTRIES.items() for country in countries.split()}

EMAIL = re.compile(r"(?<![\w.+-])[\w.+%'-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}\b")
CARD = re.compile(r"(?<![\d.-])[2-6]\d{3}(?:[ -]?\d){8,15}(?![\d]|[.-]\d)")
# But for its first letter it is looked for ahead, since words in capitals before and after look like its parts.
IBAN = re.compile(r"[A-Z](?<![A-Za-z0-9].)(?=([A-Z]\d{2}(?: ?[A-Z0-9]){11,30}))")
SSN = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}(?![\d-])")
IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
# Of IPv6 only 2000::/3 is given to anybody yet, and `a::b` is more often a line of C++.
IPV6 = re.compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s<>\"']*[^\s<>\"'.,;:!?)\]}]", re.IGNORECASE)
URL_SECRET = re.compile(
    r"://[^/?#@\s:]+:[^/?#@\s]+@"
    r"|[?&#;](?:[\w-]*(?:token|secret|password|passwd|api[_-]?key|apikey|signature|credential)|key|auth|sig|pwd|session(?:id)?)"
    r"=[^&#;\s]{6,}",
    re.IGNORECASE,
)
KEYS = {  # how it begins: how it goes on
    "sk-": r"(?:[A-Za-z]+-)*[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic and who imitates them
    "sk_": r"(?:live|test)_[A-Za-z0-9]{16,}",  # Stripe, as the next two
    "rk_": r"(?:live|test)_[A-Za-z0-9]{16,}",
    "pk_": r"(?:live|test)_[A-Za-z0-9]{16,}",
    **{f"gh{letter}_": r"[A-Za-z0-9]{30,}" for letter in "opsur"},  # GitHub
    "github_pat_": r"[A-Za-z0-9_]{22,}",
    "glpat-": r"[A-Za-z0-9_-]{20,}",
    "AKIA": r"[A-Z0-9]{16}(?![A-Z0-9])",  # AWS
    "ASIA": r"[A-Z0-9]{16}(?![A-Z0-9])",
    "AIza": r"[A-Za-z0-9_-]{35}",  # Google
    "ya29.": r"[A-Za-z0-9_-]{20,}",
    "xox": r"[abeoprs]-[A-Za-z0-9-]{10,}",  # Slack
    "hf_": r"[A-Za-z0-9]{30,}",
    "npm_": r"[A-Za-z0-9]{36}",
    "pypi-": r"[A-Za-z0-9_-]{50,}",
    "SG.": r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    "eyJ": r"[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",  # a JSON web token
}
KEY = re.compile(
    rf"(?<![A-Za-z0-9])(?:{'|'.join(re.escape(begins) + rest for begins, rest in KEYS.items())})"
    r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"
)
KEY_SIGNS = (*KEYS, "-----BEGIN ")
# German numbers as Germans write them: a mobile's, or an area code that a sign or brackets part from the rest. The rest
# never begins with 0, and stands in one piece (with an extension or without) or in groups. What stands among more
# figures is no number of its own.
_PART = r"(?: ?[/\u2013-] ?| )"
_CODE = r"(?:0|0049 ?)"
_REST = r"(?:[1-9]\d{4,8}(?:-\d{1,4})?|[1-9]\d{1,3}(?: \d{2,4}){1,3}|[1-9]\d{2,5}-\d{2,4})"
GERMAN = re.compile(
    rf"(?<![\w.,:+/#-])(?<!\d )(?:{_CODE}1[567]\d(?:{_PART})?(?:\d{{7,8}}|\d{{2,4}}(?:[ -]\d{{1,5}}){{1,3}})"
    rf"|(?:\(0[2-9]\d{{1,4}}\) ?|{_CODE}[2-9]\d{{1,4}}{_PART}){_REST})(?!\w|[ .,:/-]\d)"
)
DIGIT = re.compile(r"\d")
PHONE_DIGITS = re.compile(r"(?:\d\D{0,4}){7}")
DOT_DIGIT = re.compile(r"\.\d")


def personal_data(text: str, region: str = "US") -> list[Span]:
    """The personal data of a text, from left to right, no two spans overlapping."""
    taken: list[Span] = []
    # Most texts hold nothing of the kind, and to count is many times faster than to look for it.
    digits = sum(map(text.count, "0123456789")) if text.isascii() else len(DIGIT.findall(text))
    for kind, (least, find) in RULES.items():
        for start, end in find(text, region) if digits >= least else ():
            if all(end <= span.start or span.end <= start for span in taken):
                taken.append(Span(kind, start, end))
    return sorted(taken, key=lambda span: span.start)


def _all(pattern: re.Pattern[str], right: Callable[[str], bool] = bool) -> Rule:
    return lambda text, _: (match.span() for match in pattern.finditer(text) if right(match.group()))


def _only_with(sign: str, often: int, rule: Rule) -> Rule:
    """The rule, for texts that have a sign so often."""
    return lambda text, region: rule(text, region) if text.count(sign) >= often else iter(())


def _keys(text: str, _: str) -> Found:
    return (match.span() for match in KEY.finditer(text)) if any(map(text.__contains__, KEY_SIGNS)) else iter(())


def _ipv4s(text: str, _: str) -> Found:
    if DOT_DIGIT.search(text):
        yield from (match.span() for match in IPV4.finditer(text) if _is_address(match.group()))


def _ibans(text: str, _: str) -> Found:
    for match in IBAN.finditer(text):
        end = _iban_end(match.group() + match.group(1))
        if end:
            yield match.start(), match.start() + end


def _iban_end(candidate: str) -> int:
    """Where the IBAN ends that a candidate begins with; 0 if it is none. ISO 7064: the number is 1 modulo 97."""
    length = IBAN_LENGTHS.get(candidate[:2], 0)
    places = [place for place, letter in enumerate(candidate) if letter != " "][:length]
    if not length or len(places) < length:
        return 0
    if candidate[places[-1] + 1 : places[-1] + 2].strip():
        return 0  # it goes on
    letters = "".join(candidate[place] for place in places)
    number = int("".join(str(int(letter, 36)) for letter in letters[4:] + letters[:4]))
    return places[-1] + 1 if number % 97 == 1 else 0


def _luhn(candidate: str) -> bool:
    """ISO/IEC 7812: every second digit from the right doubled, digits summed, the sum divisible by 10."""
    digits = [int(letter) for letter in reversed(candidate) if letter.isdecimal()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def _is_address(candidate: str) -> bool:
    """Of somebody: not of a loopback, a private network or a document's example."""
    try:
        return ipaddress.ip_address(candidate).is_global
    except ValueError:
        return False


def _phones(text: str, region: str) -> Found:
    if not PHONE_DIGITS.search(text):
        return
    for match in phonenumbers.PhoneNumberMatcher(text, region, max_tries=1000):
        yield match.start, match.end
    if region != "DE":
        for match in GERMAN.finditer(text):
            if _is_german(match.group()):
                yield match.span()


def _is_german(candidate: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(candidate, "DE"))
    except phonenumbers.NumberParseException:  # longer than any number
        return False


# Of two that overlap the first rule has it: an address within a link with a password is part of the link. An
# address on the network is above the telephone numbers, and a card above both.
RULES: dict[str, tuple[int, Rule]] = {  # with the digits that it has at least
    "key": (0, _keys),
    "url": (0, _only_with("://", 1, _all(URL, lambda url: URL_SECRET.search(url) is not None))),
    "email": (0, _only_with("@", 1, _all(EMAIL))),
    "iban": (2, _ibans),
    "card": (12, _all(CARD, _luhn)),
    "ssn": (9, _all(SSN)),
    "ipv4": (4, _only_with(".", 3, _ipv4s)),
    "ipv6": (1, _only_with(":", 2, _all(IPV6, _is_address))),
    "phone": (7, _phones),
}
