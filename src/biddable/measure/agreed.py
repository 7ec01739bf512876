"""How far people agree, by every measure that the literature asks for, of each two groups that met."""

from collections.abc import Iterable, Mapping, Sequence

from biddable.measure import coefficients
from biddable.measure.agreement import Agreement, agreement, asked_by_lot, meetings
from biddable.measure.alike import Alike, beyond_these, leave_one_out
from biddable.measure.dawid_skene import skills
from biddable.measure.interval import Interval
from biddable.measure.said import Said, pairs
from biddable.records import Group, Ranking, Record

BETWEEN: dict[str, tuple[Group, Group]] = {
    "training labelers": ("training", "training"),
    "held-out labelers": ("held_out", "held_out"),
    "training and held-out labelers": ("training", "held_out"),
    "researchers": ("researcher", "researcher"),
    "training labelers and researchers": ("training", "researcher"),
}
# Ouyang et al. 2022, section 3.4, value ± error; of researchers, what it quotes of Stiennon et al. 2020.
PAPER = {"training labelers": (0.726, 0.015), "held-out labelers": (0.773, 0.013), "researchers": (0.73, 0.04)}


class Agreed(Record):
    """Two groups, or one, of whom people ranked the same answers. Coefficients are of one group alone."""

    who: str
    half: Agreement  # a tie against a choice counts half
    strict: Agreement  # three answers, equal or not
    decided: Agreement | None  # where neither saw a tie
    others: Interval | None = None  # the half-credit share, for other people of this kind
    alpha: Interval | None = None
    fleiss: Interval | None = None
    tau: Interval | None = None
    w: Interval | None = None

    @property
    def paper(self) -> tuple[float, float] | None:
        return PAPER.get(self.who)


class Alone(Record):
    """One person beside the others of their group, without a name: a page is passed on."""

    prompts: int
    agrees: Interval  # leave-one-out, drawn towards the team's
    skill: Interval | None  # Dawid and Skene's


def agreed(rankings: Iterable[Ranking], groups: Mapping[str, Group]) -> list[Agreed]:
    """Of those whose meeting was drawn by lot: who was asked because others disagreed says nothing of how often people
    do."""
    kept, found = asked_by_lot(rankings), []
    for who, between in BETWEEN.items():
        if not (met := meetings(kept, groups, between)):
            continue
        one = Agreed(
            who=who,
            half=agreement(kept, groups, between, "half"),
            strict=agreement(kept, groups, between, "strict"),
            decided=agreement(kept, groups, between, "decided") if any(m.one and m.other for m in met) else None,
        )
        if between[0] == between[1]:
            mine = [ranking for ranking in kept if groups[ranking.labeler] == between[0]]
            told, whole = pairs(mine), coefficients.rank_correlations(mine)
            one = one.model_copy(update={
                "others": beyond_these(told),
                "alpha": coefficients.alpha_of_pairs(told),
                "fleiss": coefficients.fleiss(told),
                "tau": whole.get("tau"),
                "w": whole.get("w"),
            })  # fmt: skip
        found.append(one)
    return found


def each(told: Said) -> list[tuple[Alike, Interval | None]]:
    """Each person's agreement with the others, and their skill where there are enough people to tell one."""
    alike = leave_one_out(told)
    skilled = skills(told) if len(alike) > 2 else {}  # two people cannot tell who of them is right
    return [(one, skilled.get(one.labeler)) for one in alike]


def alone(rankings: Sequence[Ranking], groups: Mapping[str, Group]) -> dict[str, tuple[Alone, ...]]:
    """Of each group the people in it, those who agree least with the others first."""
    found = {}
    for who, (group, other) in BETWEEN.items():
        mine = [ranking for ranking in asked_by_lot(rankings) if groups[ranking.labeler] == group == other]
        people = [
            Alone(prompts=one.prompts, agrees=one.drawn, skill=skill)
            for one, skill in (each(pairs(mine)) if mine else [])
        ]
        if people:
            found[who] = tuple(sorted(people, key=lambda one: one.agrees.value))
    return found
