"""Who is preferred, beyond the win rates: one scale for all models, what ties decide, what would settle it, and what
the judges that are no people are worth. Sentences, a picture and tables."""

from collections.abc import Iterable, Sequence

from biddable.measure.captions import (
    FEW,
    RATE_NAMES,
    between,
    direction,
    few_pairs,
    listed,
    no_better,
    number,
    percent,
    plural,
    ranged,
    span,
    versus,
)
from biddable.measure.charts import Mark, Row, both_widths, dots, share_scale
from biddable.measure.davidson import Scale
from biddable.measure.interval import Interval
from biddable.measure.judges import Judged
from biddable.measure.markup import Safe, el, join, table
from biddable.measure.planning import Need
from biddable.measure.preference import Pairing, Preference
from biddable.measure.results import name_of
from biddable.measure.winrate import TieRule

WHO = {"people": "people", "gold": "the truth"}
NONE = "–"


def named(pairing: Pairing) -> str:
    return f"{name_of(pairing.model)} over {name_of(pairing.against)}"


def sentences(found: Preference) -> list[str]:
    """What to conclude, the rule of ties first."""
    people, settled = _asked(found)
    said = [*_ties(people), *settled, *_islands(found.scales)]
    return [*said, *(text for judge in found.judges for text in judged(judge))]


def caveats(pairings: Sequence[Pairing]) -> list[str]:
    """For the first screen: whether few were asked, whether ties decide, and whether it matters that somebody looked on
    the way."""
    fewest = min((one.labelers for one in pairings), default=FEW)
    who = "one person was" if fewest == 1 else f"{fewest} people were"
    few = [f"Only {who} asked, too few to speak for others."] if 0 < fewest < FEW else []
    hang = [name_of(one.against) for one in pairings if _hangs(one)]
    said = [f"Against {listed(hang)} the answer hangs on how ties are counted."] if hang else []
    early = [
        f"{span(one.looks.now)} against {name_of(one.against)}"
        for one in pairings
        if one.looks is not None and direction(one.rates["half"]) != "open" and direction(one.looks.now) == "open"
    ]
    looked = [f"If somebody looked on the way and might have stopped: {listed(early)}."] if early else []
    return [*few, *said, *looked]


def in_short(found: Preference) -> list[str]:
    """For a terminal: what is not settled, and every judge's worth before its win rates."""
    said = _asked(found)[1]
    for one in found.judges:
        rates = (f"{versus(key)} {span(rate)}" for key, rate in one.rates.items())
        said += [*judged(one), f"  its win rates: {'; '.join(rates) or 'none, no pair was answered in both orders'}"]
    return said


def _asked(found: Preference) -> tuple[list[Pairing], list[str]]:
    """What people compared, of many pairs those with the baseline; and whether it is settled."""
    every = [one for one in found.pairings if one.judge == "people"]
    few = few_pairs([one.key for one in every], found.baseline)
    those = [one for one in every if one.key in few]
    rest = len(every) - len(those)
    more = (
        [f"{plural(rest, 'more pair')}, without {name_of(found.baseline or '')}, are in the report's table."]
        if rest
        else []
    )
    return those, [*_settled(those), *more]


def _ties(pairings: Sequence[Pairing]) -> list[str]:
    if not any(one.tied for one in pairings):
        return []
    hang = [one for one in pairings if _hangs(one)]
    if not hang:
        return ["A tie counts half. Left out, or counted as lost by whoever is preferred, ties change no conclusion."]
    told = (
        f"{named(one)} {listed([f'{span(rate)} ({RULES[rule]})' for rule, rate in one.rates.items()])}" for one in hang
    )
    return [f"A tie counts half. Here the answer hangs on that rule: {'; '.join(told)}."]


def _hangs(one: Pairing) -> bool:
    """Whether ties decide: another word when they are left out, or a preference that strict wins alone do not carry."""
    half = direction(one.rates["half"])
    least: TieRule = "win" if half == "below" else "loss"  # each tie for the side that is not preferred
    strict = half == "open" or least not in one.rates or direction(one.rates[least]) == half
    return not strict or ("drop" in one.rates and direction(one.rates["drop"]) != half)


RULES: dict[TieRule, str] = {
    "half": "a tie half",
    "drop": "ties left out",
    "loss": "a tie as lost",
    "win": "a tie as won",
}


def _settled(pairings: Sequence[Pairing]) -> list[str]:
    """Whether it is decided, and what it would take."""
    firm, once, said = [], [], []
    for one in pairings:
        decided = one.looks is not None and one.looks.decided_at is not None and direction(one.looks.now) != "open"
        if decided and one.looks is not None:
            firm.append(f"{named(one)} (after {one.looks.decided_at:,} of {one.looks.now.n:,} prompts)")
        elif direction(one.rates["half"]) != "open" and one.looks is not None:
            once.append(f"{named(one)}, {span(one.looks.now)}")
        elif one.need is not None and direction(one.rates["half"]) == "open":
            said.append(f"{named(one)} is not settled. {_needs(one.need)}")
    if once:
        said.insert(0, (
            "Shown only if nobody looked at the numbers before an end that was fixed beforehand: whoever looks again "
            "and again, and may stop when they please, is misled by luck more often and needs a wider interval, which "
            f"still holds one half: {'; '.join(once)}."
        ))  # fmt: skip
    if firm:
        said.insert(0, (
            "Shown for the people who were asked, even if somebody looked after every prompt and might have stopped at "
            f"the first clear look: {listed(firm)}."
        ))  # fmt: skip
    return said


def _needs(need: Need) -> str:
    told = []
    if need.seen_same is not None:
        told.append(f"{need.seen_same:,} more verdicts by the same people would likely show a difference such as this")
    elif need.seen_new is not None:
        told.append(
            f"{need.seen_new:,} more would likely show a difference such as this, if more people gave them: these "
            "differ too much among themselves"
        )
    more = need.narrow_same if need.narrow_same is not None else need.narrow_new
    if more:
        by = "" if need.narrow_same is not None else " by more people"
        told.append(f"{more:,} more{by} would bring the interval to ± {100 * need.half:g} points")
    return f"About {'; '.join(told)}." if told else "No number of verdicts like these can be named."


def _islands(scales: Sequence[Scale]) -> list[str]:
    said = []
    if len(scales) > 1:
        groups = [listed([name_of(m) for m in scale.places]) for scale in scales]
        said.append(f"Nobody compared across these groups, so they stand on scales of their own: {'; '.join(groups)}.")
    if any(scale.held for scale in scales):
        said.append(
            "One model was never beaten, or never won, and so has no finite place: half a win each way was added to "
            "every pair, and its interval is a cautious guess."
        )
    return said


def _word(one: Judged) -> str:
    wide = one.agrees is not None and one.chance is not None and not no_better(one.agrees, one.chance)
    return "not shown to be better than chance" if wide and one.word == "no better than chance" else one.word


def judged(one: Judged) -> list[str]:
    """A judge's worth before its verdicts: without the one, the other is not told."""
    told = f"The judge {one.judge} is {_word(one)}"
    if one.agrees is None:
        return [f"{told}: no pair was seen by it and by a person. Its win rates are its own opinion."]
    with_people = f"; people agree with one another on {span(one.people)}" if one.people else ""
    said = [f"{told}: it agrees with a person on {span(one.agrees)} of {one.agrees.n:,} verdicts{with_people}."]
    if one.flipped is not None:
        said.append(f"Turning the order changes what it says of {span(one.flipped)} of pairs.")
    if one.longer is not None and one.longer_people is not None:
        said.append(f"It prefers the longer answer in {span(one.longer)}, people in {span(one.longer_people)}.")
    return [" ".join(said)]


def scale_picture(found: Preference) -> Safe | None:
    """Every model on one scale: how often it would be preferred to the baseline."""
    rows = [
        Row(name_of(model), (_mark(model, place.preferred),))
        for scale in found.scales[:1]
        for model, place in sorted(scale.places.items(), key=lambda item: -item[1].preferred.value)
    ]
    if len(rows) < 3:  # of two models the scale says what the win rate says
        return None
    baseline = name_of(found.scales[0].baseline)
    title = f"How often each would be preferred to {baseline}, by {WHO[found.scaled_by]}"
    told = "; ".join(f"{row.label} {row.marks[0].text}" for row in rows)
    ends = [end for row in rows for m in row.marks for end in (m.low, m.high)]
    scale = share_scale(min(*ends, 0.5), max(*ends, 0.5))
    even = (0.5, f"as often as {baseline}")
    drawn = both_widths(lambda width: dots("scale", title, told, rows, scale, width, even))
    return join(el("h4", title), drawn)


def _mark(style: str, interval: Interval) -> Mark:
    return Mark(style, span(interval), interval.value, interval.low, interval.high)


# The numbers under the picture


def tables(found: Preference) -> Safe:
    made = [_rules(found.pairings), *(_scale(scale, found) for scale in found.scales), _kinds(found.pairings)]
    made += [_more(found.pairings), _lengths(found.pairings), _differences(found), _judges(found.judges)]
    return join(*(one for one in made if one is not None))


def _cell(interval: Interval | None, digits: int = 1) -> str:
    return NONE if interval is None else f"{percent(interval.value, digits)} ({between(interval, digits)})"


def _rules(pairings: Sequence[Pairing]) -> Safe | None:
    rows = [
        [
            named(one), WHO[one.judge], f"{one.won:,} / {one.tied:,} / {one.lost:,}",
            *(_cell(one.rates.get(rule)) for rule in RULES),
        ]
        for one in pairings
    ]  # fmt: skip
    head = ["pair", "judge", "won / tied / lost", *RULES.values()]
    return table("Win rates by each rule of ties", head, rows) if rows else None


def _scale(scale: Scale, found: Preference) -> Safe:
    baseline = name_of(scale.baseline)
    rows = [
        [name_of(model), ranged(place.score), _cell(place.preferred), f"{place.score.n:,}"]
        for model, place in sorted(scale.places.items(), key=lambda item: -item[1].score.value)
    ]
    caption = (
        f"All on one scale by {WHO[found.scaled_by]} (Davidson 1970): score in log odds above {baseline}, and how "
        f"often it would be preferred to {baseline}; two equals tie in {percent(scale.tie / (2 + scale.tie))}"
    )
    return table(caption, ["model", "score", f"over {baseline}", "verdicts"], rows)


def _kinds(pairings: Iterable[Pairing]) -> Safe | None:
    rows = [
        [f"{named(one)}, {name.replace('_', ' ')}", kind, _cell(rate), f"{rate.n:,}"]
        for one in pairings
        if one.judge == "people"
        for kind, rates in one.by.items()
        for name, rate in rates.items()
    ]
    many = "People's win rates by kind; of twenty such intervals one misses by chance"
    return table(many, ["pair", "by", "a tie half", "n"], rows) if rows else None


def _more(pairings: Iterable[Pairing]) -> Safe | None:
    rows = []
    for one in pairings:
        if one.need is None or one.judge != "people":
            continue
        need, looks = one.need, one.looks
        counts = [need.narrow_same, need.narrow_new, need.seen_same, need.seen_new]
        rows.append([
            named(one), *(NONE if count is None else f"{count:,}" for count in counts), number(need.design),
            _cell(looks.now) if looks else NONE,
            NONE if looks is None or looks.decided_at is None else f"{looks.decided_at:,}",
        ])  # fmt: skip
    if not rows:
        return None
    half = next(one.need.half for one in pairings if one.need is not None)
    head = [
        "pair", f"± {100 * half:g}, same people", f"± {100 * half:g}, more people", "shown, same people",
        "shown, more people", "verdicts that tell as much as one", "interval for many looks", "shown after prompts",
    ]  # fmt: skip
    caption = (
        f"How many more verdicts it would take to know the win rate within ± {100 * half:g} points, or to show a "
        "difference as large as was seen, by the same people or by more; 0: it is there. Verdicts on one prompt or by "
        "one person are alike: so many of them tell as much as one that shares neither (the design effect)"
    )
    return table(caption, head, rows)


def _lengths(pairings: Iterable[Pairing]) -> Safe | None:
    rows = [
        [
            named(one), WHO[one.judge], _cell(one.rates["half"]), _cell(one.lengths.equal), _cell(one.lengths.longer),
            NONE if one.lengths.ratio is None else number(one.lengths.ratio),
        ]
        for one in pairings
        if one.lengths is not None and one.lengths.longer is not None
    ]  # fmt: skip
    head = ["pair", "judge", "as it is", "at equal length", "the longer preferred", "times as long"]
    return table("Win rates and length", head, rows) if rows else None


def _differences(found: Preference) -> Safe | None:
    rows = []
    for rate, by_model in found.differences.items():
        for model, gap in by_model.items():
            shown = ranged(gap) if rate == "overall" else _points(gap)
            label = RATE_NAMES[rate][0] if rate in RATE_NAMES else rate.replace("_", " ").capitalize()
            rows.append([f"{label}, {name_of(model)}", shown, f"{gap.n:,}"])
    if not rows or found.baseline is None:
        return None
    caption = f"More than {name_of(found.baseline)}, on the same prompts; rates in points, overall from 1 to 7"
    return table(caption, ["rate, model", "difference", "judgements of both"], rows)


def _points(gap: Interval) -> str:
    value, low, high = (f"{100 * x:.1f}".replace("-", "−") for x in (gap.value, gap.low, gap.high))
    return f"{value} ({low} to {high})"


def _judges(judges: Sequence[Judged]) -> Safe | None:
    """Worth and win rates in one row: neither stands alone."""
    rows = []
    for one in judges:
        worth = [
            _word(one),
            _cell(one.agrees),
            _cell(one.people),
            _cell(one.flipped),
            _cell(one.first),
            _cell(one.longer),
        ]
        for key, rate in one.rates.items():
            label = versus(key)
            equal = one.controlled[key].equal if key in one.controlled else None
            rows.append(
                [one.judge, *worth, label, _cell(rate), _cell(equal), _cell(one.helped.get(key)), f"{one.pairs:,}"]
            )
    head = [
        "judge", "checked", "agrees with a person", "people with one another", "changed by the order",
        "first shown preferred", "longer preferred", "pair", "its win rate, both orders", "at equal length",
        "what people would say, with its help", "pairs",
    ]  # fmt: skip
    return table("Judges that are no people, and what they are worth", head, rows) if rows else None
