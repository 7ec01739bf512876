"""A page a figure and one that leads to them: each self-contained, without script or network."""

from collections.abc import Sequence
from importlib import resources

from biddable import __version__
from biddable.measure.markup import Safe, document, el, join, prose, table
from biddable.measure.plots import shown, spanned
from biddable.measure.report import POLICY
from biddable.paper.drawing import draw
from biddable.paper.figure import DIFFERS, SAME, Claim, Figure, in_one_line

TUNNEL = (
    "Hamlet is a wind tunnel: small models, a tiny language and simulated people whose true preference is known. The "
    "loop that ran is the real one and every number was measured, but they say nothing of what real people prefer."
)
# What the report's style sheet does not have: a verdict has a sign and a word, so that nobody needs its colour.
STYLE = """
.verdict { margin: 1rem 0 1.4rem; padding: .9rem 1.1rem; background: var(--card); border: 1px solid var(--line);
  border-left: 5px solid var(--accent); border-radius: 0 10px 10px 0; }
.verdict .whole-line { font-size: 1.15rem; font-weight: 600; margin: 0 0 .5rem; }
.claims li { display: grid; grid-template-columns: 9.5rem 1fr; gap: 0 1rem; padding: .55rem 0;
  border-top: 1px solid var(--faint); }
.claims .mark-word { font-size: .88rem; }
.same .mark-word { color: var(--good); }
.differs .mark-word { color: var(--bad); } .open .mark-word { color: var(--soft); }
.same .mark-word::before { content: "✓ "; } .differs .mark-word::before { content: "✗ "; }
.open .mark-word::before { content: "? "; }
.claims p { margin: 0; } .claims .numbers { font-size: .9rem; color: var(--soft); }
.pages li { padding: .55rem 0; border-top: 1px solid var(--faint); } .pages p { margin: 0; }
.pages .numbers { font-size: .9rem; color: var(--soft); }
.pages .first { font-size: .84rem; color: var(--soft); padding-left: 1.1rem; }
.pages .numbers::before { content: "? "; } .pages .same .numbers::before { content: "✓ "; color: var(--good); }
.pages .differs .numbers::before { content: "✗ "; color: var(--bad); }
#runs th { white-space: nowrap; }
.back { font-size: .9rem; }
@media (min-width: 74rem) { body { display: block; } main { max-width: 48.5rem; } }
@media screen and (max-width: 34rem) { .claims li { grid-template-columns: 1fr; } }
@media print { .claims li, .verdict { break-inside: avoid; } }
"""


def page(figure: Figure, facts: str) -> str:
    """The HTML of one figure."""
    hypothesis = figure.hypothesis and any(claim.verdict != SAME for claim in figure.claims)
    main = el(
        "main",
        _header(figure.title, facts, join(el("a", "All figures", href="index.html"))),
        el(
            "section",
            el("p", f"Verdict: {figure.verdict}.", class_="whole-line"),
            el("ul", *map(_claim, figure.claims), class_="claims"),
            class_="verdict",
            aria_label="Verdict",
        ),
        _part("paper", "What the paper found", *(el("p", prose(text)) for text in figure.paper)),
        _part("tunnel", "What the wind tunnel shows", *(el("p", prose(text)) for text in figure.tunnel), draw(figure)),
        _part(
            "differs",
            "Where they differ, and why",
            *(el("p", prose(text)) for text in figure.differs),
            el("p", el("strong", "A hypothesis, not a finding. "), prose(figure.hypothesis)) if hypothesis else None,
        ),
        _part("runs", "The runs behind the numbers", _runs(figure)),
        _footer(),
    )
    return _html(f"{figure.title} · the paper in the wind tunnel", main)


def index(figures: Sequence[Figure], facts: str) -> str:
    """The page that leads to the others: every figure and its verdict."""
    verdicts = [claim.verdict for figure in figures for claim in figure.claims]
    rows = [
        el(
            "li",
            el("p", el("a", figure.title, href=f"{figure.name}.html"), class_="mark-link"),
            el("p", figure.verdict, class_="numbers"),
            *(el("p", prose(_measured(claim)), class_="first") for claim in figure.claims[:1]),
            class_=_class(figure),
        )
        for figure in figures
    ]
    main = el(
        "main",
        _header("The paper in the wind tunnel", facts, None),
        el(
            "section",
            el("p", f"All claims: {in_one_line(verdicts)}.", class_="whole-line"),
            el("p", "A verdict follows from the interval alone. One interval in twenty misses by chance."),
            class_="verdict",
            aria_label="Verdict",
        ),
        _part("figures", "The figures", el("ul", *rows, class_="pages")),
        _part(
            "numbers",
            "The numbers",
            el("p", "Each with its interval, the paper's own value and the runs: ", _link("paper.json"), "."),
        ),
        _footer(),
    )
    return _html("The paper in the wind tunnel", main)


def _link(name: str) -> Safe:
    return el("a", name, href=name)


def _class(figure: Figure) -> str:
    verdicts = {claim.verdict for claim in figure.claims}
    return "same" if verdicts <= {SAME} else "differs" if DIFFERS in verdicts else "open"


def _claim(claim: Claim) -> Safe:
    kind = {SAME: "same", DIFFERS: "differs"}.get(claim.verdict, "open")
    return el(
        "li",
        el("strong", claim.verdict.capitalize(), class_="mark-word"),
        el(
            "div",
            el("p", prose(claim.text)),
            el("p", prose(f"{_measured(claim)}. The paper: {claim.theirs}."), class_="numbers"),
        ),
        class_=kind,
    )


def _measured(claim: Claim) -> str:
    told = f"{claim.measure}: {shown(claim.ours.value, claim.unit)} ({spanned(claim.ours, claim.unit)})"
    return told[0].upper() + told[1:]


def _header(title: str, facts: str, back: Safe | None) -> Safe:
    return el(
        "header",
        el("p", "biddable · the paper in the wind tunnel", class_="brand"),
        el("h1", title),
        el("p", facts, class_="facts"),
        el("p", back, class_="back") if back else None,
        el("p", el("strong", "Practice world. "), TUNNEL, class_="banner"),
    )


def _part(key: str, title: str, *inside: Safe | None) -> Safe:
    return el("section", el("h2", title, id=f"{key}-head"), *inside, id=key, aria_labelledby=f"{key}-head")


def _runs(figure: Figure) -> Safe:
    """The road back from every number; long, so it is folded."""
    rows = [
        [source.run, source.folder, name, sha]
        for source in figure.sources
        for name, sha in (sorted(source.inputs.items()) or [("–", "–")])
    ]
    caption = "Run, its folder, and the sha256 of what went in"
    shown = table(caption, ["run", "folder", "input", "sha256"], rows)
    told = f"{len(figure.sources)} run{'' if len(figure.sources) == 1 else 's'}, and what went into them"
    return el("details", el("summary", told), shown)


def _footer() -> Safe:
    return el("footer", el("p", f"Made by biddable {__version__}. This page loads nothing and sends nothing."))


def _html(title: str, main: Safe) -> str:
    style = resources.files("biddable.measure").joinpath("report.css").read_text(encoding="utf-8") + STYLE
    return document(title, style, POLICY, main)
