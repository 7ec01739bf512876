"""Text of models and people on a page: Markdown, code and formulas, and nothing that runs."""

import re
import time
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biddable.label.mathematics import mathml
from biddable.label.text import ATTRIBUTES, LARGEST, TAGS, markdown


def drawn(tex: str) -> str:
    """What a formula says, without its marks: (a b) for a group of two."""
    grouped = (mathml(tex) or "").replace("<mrow>", "(").replace("</mrow>", ")")
    return unescape(re.sub(r"<[^>]*>", "", grouped))


@pytest.mark.parametrize(
    ("tex", "made"),
    [
        ("x^2", "<msup><mi>x</mi><mn>2</mn></msup>"),
        ("x_i^{10}", "<msubsup><mi>x</mi><mi>i</mi><mn>10</mn></msubsup>"),
        (r"\frac12", "<mfrac><mn>1</mn><mn>2</mn></mfrac>"),
        (r"\frac{a}{b}", "<mfrac><mi>a</mi><mi>b</mi></mfrac>"),
        (r"\sqrt[3]{x}", "<mroot><mi>x</mi><mn>3</mn></mroot>"),
        (r"\lambda", "<mi>λ</mi>"),
        (r"\text{if so}", "<mtext>if so</mtext>"),
        (r"\mathbb{R}", "<mi>ℝ</mi>"),
        ("f'", '<msup><mi>f</mi><mo stretchy="false">′</mo></msup>'),
        ("a<b", '<mrow><mi>a</mi><mo stretchy="false">&lt;</mo><mi>b</mi></mrow>'),
    ],
)
def test_simple_tex_is_drawn(tex, made):
    assert mathml(tex) == f'<math display="inline">{made}</math>'


def test_larger_formulas_are_drawn():
    assert drawn(r"\sum_{i=1}^n i = \frac{n(n+1)}{2}") == "(∑(i=1)ni=(n(n+1))2)"
    assert drawn(r"\left( \begin{matrix} 1 & 2 \\ 3 & 4 \end{matrix} \right]") == "(((1234)])"
    assert drawn(r"f(x) = \begin{cases} 1 & x > 0 \\ 0 & \text{else} \end{cases}") == "(f(x)=({1(x>0)0else))"


@pytest.mark.parametrize(
    "tex", [r"\def\x{1}", r"\href{javascript:alert(1)}{x}", "{", "}", "x^", "a_b_c", r"\left(", r"\begin{x}\end{x}",
            r"\begin{matrix}", "", " ", "#", "x" * 2001, "{" * 2000, r"\hat" * 400]
)  # fmt: skip
def test_what_is_not_known_is_not_drawn(tex):
    assert mathml(tex) is None


def test_a_formula_in_a_text():
    assert "<math" in markdown("So $x^2 + y_1$ it is")
    assert "<em>" not in markdown(r"\(a*b*c\)")  # Markdown keeps out of it
    assert 'display="block"' in markdown("$$\n\\frac{1}{2}\n$$")
    assert 'display="block"' in markdown(r"\[ x \]")
    assert markdown(r"$\unheardof{x}$") == "<p><code>$\\unheardof{x}$</code></p>\n"
    assert markdown("It costs $5 or $6, not $ 7$.") == "<p>It costs $5 or $6, not $ 7$.</p>\n"
    assert markdown("`$x$`") == "<p><code>$x$</code></p>\n"
    assert markdown(r"\* \$x\$") == "<p>* $x$</p>\n"


PIECES = [
    *"ab1{}^_'&[]()<>$\\ \n\"=", r"\frac", r"\left", r"\right", r"\text", r"\begin", "{matrix}", r"\end", r"\\",
    r"\hat", r"\big", "<script>", "<math>", "<mtext>", "<style>", "</math>", "[x](javascript:y)", "&lt;",
]  # fmt: skip


@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_a_page_gets_nothing_but_the_tags_it_knows(text):
    html = str(markdown(text))
    for name, rest in re.findall(r"</?([a-zA-Z][^\s/>]*)([^>]*)>", html):
        assert name in TAGS
        given = set(re.findall(r'([a-z-]+)="', rest))
        assert given <= ATTRIBUTES.get(name, set()) | ({"rel"} if name == "a" else set())


@pytest.mark.parametrize("piece", ["$", "$a", r"\(", "$$x", r"\[", "\\left(", "[", "*a ", "`", "> "])
def test_no_text_takes_long(piece):
    text = piece * (LARGEST // len(piece))
    begun = time.process_time()
    markdown(text)
    assert time.process_time() - begun < 5
