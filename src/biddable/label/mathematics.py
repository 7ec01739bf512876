"""Formulas of a text as a page may show them: simple TeX as MathML, which browsers draw by themselves.

Only what is known here is drawn. The rest of TeX is a programming language, so a formula that says more stays code.
"""

import re
from collections.abc import Callable
from html import escape

LONGEST = 2000  # characters of one formula
DEEPEST = 25  # braces within braces

TOKENS = re.compile(r"\\[A-Za-z]+\*?|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


GREEK = _pairs("""
    alpha α  beta β  gamma γ  delta δ  epsilon ϵ  varepsilon ε  zeta ζ  eta η  theta θ  vartheta ϑ  iota ι
    kappa κ  lambda λ  mu μ  nu ν  xi ξ  pi π  rho ρ  sigma σ  tau τ  upsilon υ  phi ϕ  varphi φ  chi χ  psi ψ
    omega ω  Gamma Γ  Delta Δ  Theta Θ  Lambda Λ  Xi Ξ  Pi Π  Sigma Σ  Upsilon Υ  Phi Φ  Psi Ψ  Omega Ω  infty ∞
    partial ∂  nabla ∇  ell ℓ  hbar ℏ  emptyset ∅  Re ℜ  Im ℑ  aleph ℵ
""")
SIGNS = _pairs("""
    times ×  cdot ⋅  div ÷  pm ±  mp ∓  ast ∗  star ⋆  circ ∘  bullet ∙  oplus ⊕  otimes ⊗  le ≤  leq ≤  ge ≥
    geq ≥  ne ≠  neq ≠  approx ≈  equiv ≡  sim ∼  simeq ≃  cong ≅  propto ∝  ll ≪  gg ≫  prec ≺  succ ≻  mid ∣
    nmid ∤  parallel ∥  perp ⊥  to →  rightarrow →  leftarrow ←  Rightarrow ⇒  Leftarrow ⇐  leftrightarrow ↔
    Leftrightarrow ⇔  iff ⇔  implies ⇒  mapsto ↦  longrightarrow ⟶  uparrow ↑  downarrow ↓  forall ∀  exists ∃
    neg ¬  lnot ¬  land ∧  wedge ∧  lor ∨  vee ∨  cap ∩  cup ∪  setminus ∖  subset ⊂  subseteq ⊆  supset ⊃
    supseteq ⊇  notin ∉  ni ∋  langle ⟨  rangle ⟩  lfloor ⌊  rfloor ⌋  lceil ⌈  rceil ⌉  lvert |  rvert |  vert
    |  lVert ‖  rVert ‖  Vert ‖  ldots …  dots …  cdots ⋯  vdots ⋮  ddots ⋱  colon :  prime ′  angle ∠  triangle
    △  therefore ∴  because ∵  int ∫  iint ∬  oint ∮  in ∈
""")
LARGE = _pairs("""
    sum ∑  prod ∏  coprod ∐  bigcup ⋃  bigcap ⋂  bigoplus ⨁  bigwedge ⋀  bigvee ⋁
""")
NAMES = {
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    "log", "ln", "lg", "exp", "det", "dim", "ker", "deg", "gcd", "Pr", "arg",
}  # fmt: skip
LIMITS = {"lim", "max", "min", "sup", "inf", "limsup", "liminf", "argmax", "argmin"}
SPACES = {",": ".17em", ":": ".22em", ";": ".28em", " ": ".25em", "!": "0", "quad": "1em", "qquad": "2em"}
ACCENTS = _pairs("hat ^  widehat ^  bar ¯  overline ¯  vec →  tilde ~  widetilde ~  dot ˙  ddot ¨")
FENCES = {"matrix": ("", ""), "pmatrix": ("(", ")"), "bmatrix": ("[", "]"), "vmatrix": ("|", "|"), "cases": ("{", ""),
          "aligned": ("", ""), "align": ("", ""), "align*": ("", ""), "smallmatrix": ("", "")}  # fmt: skip
WORDS = {"text", "mathrm", "textrm", "operatorname", "mbox", "textbf", "textit", "mathit", "mathsf", "mathtt"}
DOUBLE = dict(zip("CHNPQRZ", "ℂℍℕℙℚℝℤ", strict=True))
SIZES = {"big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr"}
NOTHING = {"displaystyle", "textstyle", "limits", "nolimits"}
ENDS = ("}", "&", r"\\", r"\right", r"\end")


class Unknown(Exception):
    """The formula says something that is not drawn here."""


def mathml(tex: str, display: bool = False) -> str | None:
    """The formula as MathML; nothing when it is too long or says something unknown."""
    if len(tex) > LONGEST or not tex.strip():
        return None
    try:
        inside = _Reader(tex).whole()
    except Unknown:
        return None
    return f'<math display="{"block" if display else "inline"}">{inside}</math>'


def _row(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"<mrow>{''.join(parts)}</mrow>"


def _sign(text: str, stretch: bool = False) -> str:
    return f'<mo stretchy="{"true" if stretch else "false"}">{escape(text)}</mo>'


class _Reader:
    """Reads tokens from the left, once."""

    def __init__(self, tex: str) -> None:
        self.tokens, self.at, self.depth = TOKENS.findall(tex), 0, 0

    def look(self) -> str | None:
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, wanted: str | None = None) -> str:
        token = self.look()
        if token is None or (wanted is not None and token != wanted):
            raise Unknown
        self.at += 1
        return token

    def whole(self) -> str:
        parts = self.parts(())
        if self.look() is not None:
            raise Unknown
        return _row(parts)

    def parts(self, ends: tuple[str, ...]) -> list[str]:
        made = []
        while (
            (token := self.look()) is not None
            and token not in ends
            and token not in ("}", "&", r"\\", r"\right", r"\end")
        ):
            made.append(self.scripted())
        return made

    def deeper(self, read: Callable[[], str]) -> str:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unknown
        made = read()
        self.depth -= 1
        return made

    def scripted(self) -> str:
        first = self.look() or ""
        base = "<mrow></mrow>" if first in "^_" else self.deeper(self.atom)
        under = over = None
        while (token := self.look()) in ("^", "_", "'"):
            self.take()
            if token == "'":
                over = (over or "") + _sign("′")
            elif token == "^" and (over is None or over.startswith("<mo")):
                over = _row([part for part in (over, self.argument()) if part])
            elif token == "_" and under is None:
                under = self.argument()
            else:
                raise Unknown
        name = first[1:]
        tags = ("munder", "mover", "munderover") if name in LARGE or name in LIMITS else ("msub", "msup", "msubsup")
        match under, over:
            case None, None:
                return base
            case _, None:
                return f"<{tags[0]}>{base}{under}</{tags[0]}>"
            case None, _:
                return f"<{tags[1]}>{base}{over}</{tags[1]}>"
        return f"<{tags[2]}>{base}{under}{over}</{tags[2]}>"

    def argument(self) -> str:
        """What a command or a script is about: of a bare number its first digit, as in TeX."""
        token = self.look() or ""
        if len(token) > 1 and token[0].isdigit():
            self.tokens[self.at] = token[1:]
            return f"<mn>{token[0]}</mn>"
        return self.deeper(self.atom)

    def atom(self) -> str:
        token = self.take()
        if token == "{":
            parts = self.parts(())
            self.take("}")
            return _row(parts)
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token[0] == "\\":
            return self.command(token[1:])
        if token.isalpha():
            return f"<mi>{token}</mi>"
        if token in "^_}#%~$&":
            raise Unknown
        return _sign({"-": "−", "*": "∗"}.get(token, token))

    def command(self, name: str) -> str:
        if name in SPACES:
            return f'<mspace width="{SPACES[name]}"></mspace>'
        if letter := GREEK.get(name):
            return f"<mi>{letter}</mi>"
        if sign := SIGNS.get(name) or LARGE.get(name):
            return _sign(sign)
        if name in NAMES | LIMITS:
            return f"<mi>{name}</mi>"
        if name in tuple("{}%$#&_|"):
            return _sign("‖" if name == "|" else name)
        if name in SIZES:
            return self.deeper(self.atom)
        if name in NOTHING:
            return "<mrow></mrow>"
        if name in ACCENTS:
            return f'<mover accent="true">{self.argument()}{_sign(ACCENTS[name], name[:4] in ("wide", "over"))}</mover>'
        return self.built(name)

    def built(self, name: str) -> str:
        """What takes arguments."""
        match name:
            case "frac" | "dfrac" | "tfrac" | "cfrac":
                return f"<mfrac>{self.argument()}{self.argument()}</mfrac>"
            case "binom":
                pair = f'<mfrac linethickness="0">{self.argument()}{self.argument()}</mfrac>'
                return f"<mrow>{_sign('(', True)}{pair}{_sign(')', True)}</mrow>"
            case "sqrt":
                if self.look() != "[":
                    return f"<msqrt>{self.argument()}</msqrt>"
                self.take()
                index = _row(self.parts(("]",)))
                self.take("]")
                return f"<mroot>{self.argument()}{index}</mroot>"
            case "left":
                left = self.fence()
                inside = self.deeper(lambda: _row(self.parts(())))
                self.take(r"\right")
                return f"<mrow>{_sign(left, True)}{inside}{_sign(self.fence(), True)}</mrow>"
            case "begin":
                return self.deeper(self.table)
            case "mathbb":
                letter = self.words()
                if letter not in DOUBLE:
                    raise Unknown
                return f"<mi>{DOUBLE[letter]}</mi>"
            case "mathbf" | "boldsymbol" | "mathcal":
                return self.deeper(self.atom)
        if name in WORDS:
            return f"<mtext>{escape(self.words())}</mtext>"
        raise Unknown

    def fence(self) -> str:
        token = self.take()
        name = token.lstrip("\\")
        if token == ".":
            return ""
        if token in tuple("()[]|/") or token in (r"\{", r"\}"):
            return name
        if token == r"\|":
            return "‖"
        if name in ("langle", "rangle", "lfloor", "rfloor", "lceil", "rceil", "lvert", "rvert", "vert", "Vert"):
            return SIGNS[name]
        raise Unknown

    def words(self) -> str:
        """What stands in braces, as it stands there."""
        self.take("{")
        found = []
        while self.at < len(self.tokens) and (token := self.tokens[self.at]) != "}":
            if token in ("{", "$") or token.startswith("\\"):
                raise Unknown
            found.append(token)
            self.at += 1
        self.take("}")
        return "".join(found)

    def table(self) -> str:
        name = self.words()
        if name not in FENCES:
            raise Unknown
        rows, cells = [], []
        while True:
            cells.append(f"<mtd>{_row(self.parts(()))}</mtd>")
            token = self.take()
            if token == "&":
                continue
            rows.append(f"<mtr>{''.join(cells)}</mtr>")
            cells = []
            if token == r"\end":
                break
            if token != r"\\":
                raise Unknown
        if self.words() != name:
            raise Unknown
        left, right = FENCES[name]
        return f"<mrow>{_sign(left, True)}<mtable>{''.join(rows)}</mtable>{_sign(right, True)}</mrow>"
