"""Masks as one page: each token in the colour of what it carries, one lens at a time; no script, nothing loaded."""

from importlib import resources
from pathlib import Path

from biddable.doubt.masks import Masks, Row, Strip, Token
from biddable.measure.markup import Safe, document, el, join
from biddable.runs import write_aside

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
NAMES = {
    "loss": "Loss",
    "score": "Score",
    "kl": "KL",
    "reward": "Reward",
    "value": "Value",
    "reference": "Reference",
    "ptx": "Pretraining",
}
KEY = (
    "A token in grey is read and carries nothing. What carries is coloured, the stronger the larger its number; a "
    "dashed edge is a number below 0."
)
FAINTEST, STRONGEST = 0.12, 0.55  # of the colour: what carries a 0 is seen to carry, and no word is drowned
VISIBLE = {"\n": "↵\n", "\t": "⇥", " ": "·"}


def write(masks: Masks, path: Path, facts: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_aside(path, page(masks, facts))
    return path


def page(masks: Masks, facts: dict[str, str]) -> str:
    title = f"What each token carries: {masks.stage}"
    scales = {lens: scale(masks, lens) for lens in masks.lenses}
    main = el(
        "main",
        el("p", "biddable masks", class_="brand"),
        el("h1", title),
        *(el("p", said) for said in masks.says),
        el("p", KEY),
        el("div", lenses(masks), *(shown(row, scales) for row in masks.rows), class_="rows"),
        el("footer", el("p", join(*(f"{key}: {value}. " for key, value in facts.items())))),
    )
    return document(f"{title} · biddable", style(masks), POLICY, main)


def style(masks: Masks) -> str:
    """The report's look, ours, and a rule a lens: which of a token's colours is shown hangs on the button pressed."""
    sheets = [
        resources.files(f"biddable.{room}").joinpath(name).read_text(encoding="utf-8")
        for room, name in (("measure", "report.css"), ("doubt", "masks.css"))
    ]
    rules = (
        f".rows:has(#lens-{lens}:checked) .{lens} {{ background: color-mix(in srgb, var(--{lens}) var(--{lens}-much), "
        f"var(--card)); color: var(--ink); border-color: var(--{lens}); }}\n"
        f".rows:has(#lens-{lens}:checked) .{lens}-below {{ border-style: dashed; }}\n"
        f".rows:has(#lens-{lens}:checked) .means-{lens} {{ display: block; }}\n"
        for lens in masks.lenses
    )
    return "\n".join([*sheets, *rules])


def lenses(masks: Masks) -> Safe:
    buttons = [
        el(
            "label",
            el(
                "input", type="radio", name="lens", id=f"lens-{lens}", value=lens,
                checked="" if nth == 0 else None,
            ),
            el("span", NAMES[lens], class_="swatch", style=f"--of: var(--{lens})"),
        )
        for nth, lens in enumerate(masks.lenses)
    ]  # fmt: skip
    means = [el("p", f"{NAMES[lens]}: {what}.", class_=f"means means-{lens}") for lens, what in masks.lenses.items()]
    return el("fieldset", el("legend", "Show what carries"), el("div", *buttons, class_="buttons"), *means)


def scale(masks: Masks, lens: str) -> float:
    """The largest number of a lens, or 1."""
    found = [abs(token.carries[lens]) for row in masks.rows for strip in row.strips for token in strip.tokens
             if lens in token.carries]  # fmt: skip
    return max(found, default=0.0) or 1.0


def shown(row: Row, scales: dict[str, float]) -> Safe:
    return el(
        "article",
        el("h2", row.title),
        *(strip_of(strip, scales) for strip in row.strips),
        el("details", el("summary", "Every token in numbers"), *(numbers(strip, used(row)) for strip in row.strips)),
    )


def used(row: Row) -> list[str]:
    """The lenses through which something is seen in a row."""
    return [lens for lens in NAMES if any(lens in token.carries for strip in row.strips for token in strip.tokens)]


def strip_of(strip: Strip, scales: dict[str, float]) -> Safe:
    head = el("h3", strip.title) if strip.title else None
    return join(head, el("p", *(chip(token, scales) for token in strip.tokens), class_="strip", dir="ltr"))


def chip(token: Token, scales: dict[str, float]) -> Safe:
    """A token. What it carries is its classes, and how much of it a share of the lens's colour."""
    below = [f"{lens}-below" for lens, x in token.carries.items() if x < 0]
    much = {lens: FAINTEST + (STRONGEST - FAINTEST) * abs(x) / scales[lens] for lens, x in token.carries.items()}
    told = "; ".join(f"{NAMES[lens]} {x:.3g}" for lens, x in token.carries.items()) or "carries nothing"
    return join(
        el(
            "span",
            visible(token.text),
            class_=" ".join(["t", *token.carries, *below]),
            style="; ".join(f"--{lens}-much: {share:.0%}" for lens, share in much.items()) or None,
            title=told,
        ),
        "\n" if token.text == "\n" else None,
    )


def visible(text: str) -> str:
    """A blank or a line break that is a token must be seen to be one."""
    return "".join(VISIBLE.get(letter, letter) for letter in text)


def numbers(strip: Strip, lenses: list[str]) -> Safe:
    rows = [
        el(
            "tr",
            el("th", visible(token.text), scope="row", class_="token"),
            el("td", str(token.id)),
            el("td", str(token.position)),
            *(el("td", f"{token.carries[lens]:.4g}" if lens in token.carries else "") for lens in lenses),
        )
        for token in strip.tokens
    ]
    head = ("token", "id", "position", *(NAMES[lens] for lens in lenses))
    caption = strip.title or "Prompt and answer"
    table = el(
        "table",
        el("caption", caption),
        el("thead", el("tr", *(el("th", word, scope="col") for word in head))),
        el("tbody", *rows),
    )
    return el("div", table, class_="scroll", role="region", tabindex="0", aria_label=caption)
