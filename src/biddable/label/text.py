"""Text of models and people as a page may show it: Markdown without HTML, then cleaned again by another library."""

from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

LARGEST = 64_000  # characters that are read as Markdown; the rest is plain, for some inputs take it seconds

_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
_markdown.disable(["image", "html_block", "html_inline"])

TAGS = {
    "p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a",
    "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


@lru_cache(maxsize=2048)
def markdown(text: str) -> Markup:
    if len(text) > LARGEST:
        return Markup('<p class="plain">{}</p>').format(text)
    html = nh3.clean(
        _markdown.render(text), tags=TAGS, attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"}, link_rel="noopener noreferrer nofollow",
    )  # fmt: skip
    return Markup(html)
