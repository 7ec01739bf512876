"""Passwords that are guessed first. Length, and no rule of what characters one must hold (NIST SP 800-63B, 3.1.1.2)."""

from biddable.store import StoreError, accounts

SHORTEST = 10  # characters
FEWEST = 5  # characters that differ
OWN = 6  # characters beside a word that is known

# What lists of leaked passwords begin with, once digits and signs around a word are taken off.
LEAKED = """
password passwort passw0rd p@ssw0rd p@ssword pa$$word pass motdepasse contraseña contrasena senha parola
wachtwoord qwerty qwertz azerty qwertyuiop asdfgh asdfghjkl zxcvbn zxcvbnm qazwsx qazwsxedc 1q2w3e4r
1q2w3e4r5t 1qaz2wsx iloveyou ilove iloveu lovely loveme love welcome willkommen hello letmein login admin
administrator root user test guest default changeme change secret geheim dragon monkey football baseball
basketball soccer superman batman spiderman starwars pokemon princess sunshine shadow master michael jordan
jennifer jessica ashley daniel charlie hunter killer freedom whatever trustno computer internet google
facebook summer winter spring autumn biddable labeler labeller label manager owner
"""
WORDS = frozenset(LEAKED.split())
ROWS = (
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
)
AROUND = "0123456789!?.,;:-_+*#$%&/()=@ "


def refuse(password: str, name: str) -> None:
    """Raises where this person's password would be among the first tries."""
    if len(password) < SHORTEST:
        raise StoreError(f"password: has fewer than {SHORTEST} characters; a few words in a row are good")
    folded = accounts.key(password)
    if folded.strip(AROUND) in WORDS or _of_one_piece(folded):
        raise StoreError("password: is among those that are guessed first; a few words in a row are good")
    own = accounts.key(name)
    if any(len(part) > 2 and part in folded and len(folded.replace(part, "")) < OWN for part in {own, *own.split("@")}):
        raise StoreError("password: is little more than your name; a few words in a row are good")


def _of_one_piece(text: str) -> bool:
    """Few characters, one row of keys, or one short thing again and again."""
    runs = [row[::way] for row in ROWS for way in (1, -1)]
    again = any(text == (text[:n] * len(text))[: len(text)] for n in range(1, len(text) // 2 + 1))
    return len(set(text)) < FEWEST or again or any(text in run for run in runs)
