"""Text of models and people as a page may show it: Markdown without HTML, then cleaned again by another library."""

import re
from functools import lru_cache
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markupsafe import Markup

from biddable.label.mathematics import mathml

LARGEST = 64_000  # characters that are read as Markdown; the rest is plain, for some inputs take it seconds

TAGS = {
    "p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a",
    "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup",
    "munder", "mover", "munderover", "mtable", "mtr", "mtd",
}  # fmt: skip
ATTRIBUTES = {
    "a": {"href"}, "ol": {"start"}, "math": {"display"}, "mo": {"stretchy"}, "mspace": {"width"},
    "mfrac": {"linethickness"}, "mover": {"accent"},
}  # fmt: skip

# $x$ as pandoc reads it, so that $5 and $6 stay money; and what TeX itself calls formulas.
FORMULA = re.compile(
    r"\$\$(?P<a>.{1,2000}?)\$\$|\\\[(?P<b>.{1,2000}?)\\\]|\\\((?P<c>.{1,2000}?)\\\)"
    r"|\$(?=[^\s$])(?P<d>[^$\n]{0,500}?[^\s$\\])\$(?!\d)",
    re.DOTALL,
)


def _formula(state: StateInline, silent: bool) -> bool:
    """A rule of markdown-it: a formula starts here."""
    if state.src[state.pos] not in "$\\":
        return False
    found = FORMULA.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        token = state.push("formula", "", 0)
        token.content = found[found.lastgroup or 0]
        token.markup = found[0]
        token.meta = {"display": found.lastgroup in ("a", "b")}
    state.pos = found.end()
    return True


def _draw(_self, tokens, at, _options, _env) -> str:
    token = tokens[at]
    return mathml(token.content, token.meta["display"]) or f"<code>{escape(token.markup)}</code>"


_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
_markdown.disable(["image", "html_block", "html_inline"])
_markdown.inline.ruler.before("escape", "formula", _formula)
_markdown.add_render_rule("formula", _draw)


@lru_cache(maxsize=2048)
def markdown(text: str) -> Markup:
    if len(text) > LARGEST:
        return Markup('<p class="plain">{}</p>').format(text)
    html = nh3.clean(
        _markdown.render(text), tags=TAGS, attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"}, link_rel="noopener noreferrer nofollow",
    )  # fmt: skip
    return Markup(html)
