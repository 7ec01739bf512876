"""How often two labelers say the same of a pair of answers (paper, section 3.4)."""

import numpy as np

from biddable.measure.agreement import Agreement, agreement, credit, meetings
from biddable.measure.interval import Interval
from biddable.paper import counting
from biddable.paper.figure import Claim, Dots, Figure, Group, Theirs, Value
from biddable.paper.plan import Job, Plan
from biddable.quickstart.gates import of
from biddable.records import Group as People
from biddable.records import Labeler, Ranking

PAPER = {"training": (0.726, 0.015), "held_out": (0.773, 0.013)}  # section 3.4
NAMES: dict[People, str] = {"training": "training labelers", "held_out": "held-out labelers"}


def stages(_plan: Plan) -> list[Job]:
    """The walk has done them."""
    return []


def count(plan: Plan) -> Figure:
    place = plan.file("rankings-valid")
    groups = {person.id: person.group for person in of(Labeler, place)}
    walk = [plan.walk / "runs" / name for name in ("answers-sft", "answers-start", "answers-base")]
    return figure(of(Ranking, place), groups).model_copy(update={"sources": plan.sources(*walk)})


def figure(ranked: list[Ranking], groups: dict[str, People]) -> Figure:
    found = {who: agreement(ranked, groups=groups, between=(who, who)) for who in NAMES}
    across = agreement(ranked, groups=groups, between=("training", "held_out"))
    claims = (
        Claim(
            text="Labelers agree far more often than by chance, but not nearly always.",
            theirs="72.6 ± 1.5 % among training labelers (section 3.4)",
            measure="agreement of training labelers, within 5 points of theirs",
            ours=_plain(found["training"]), expected="level", even=0.726, margin=0.05,
        ),
        Claim(
            text="Held-out labelers, who took no test, agree with one another at least as well.",
            theirs="77.3 ± 1.3 % among held-out labelers (section 3.4)",
            measure="held-out labelers less training labelers",
            ours=difference(ranked, groups), expected="above", even=0.0, unit="points",
        ),
    )  # fmt: skip
    rows = [_row(NAMES[who], found[who], _theirs(who)) for who in NAMES]
    rows.append(_row("one of each", across, None))
    return Figure(
        name="agreement",
        title="Section 3.4. Do labelers agree with one another?",
        paper=(
            "Training labelers agreed with one another on 72.6 ± 1.5 % of pairs, held-out labelers on 77.3 ± 1.3 %. "
            "Researchers who wrote summaries agreed on 73 ± 4 % (section 3.4, and Stiennon et al. 2020). How ties "
            "count is not said.",
        ),
        tunnel=(
            "The walk has held-out prompts ranked by two labelers of each group. A pair on which both say the same "
            "counts 1, opposite choices 0, a tie against a choice half; guessing with as many ties would reach "
            f"{100 * found['training'].chance:.0f} %.",
        ),
        claims=claims,
        shows=(
            Dots(title="Agreement on pairs of answers", unit="share", groups=tuple(rows),
                 reference=(found["training"].chance, "guessing")),
        ),
        differs=(
            "The carelessness of Hamlet's people was set so that two of them agree about as often as the paper's, so "
            "the first line is by construction. Theirs were tested before they were hired, ours too; both held-out "
            "groups were not.",
        ),
        hypothesis=(
            "In Hamlet the test picks the more careful people, so those who never took it agree less. That the "
            "paper's held-out labelers agreed more must come from something that is not simulated: other items, or "
            "other instructions."
        ),
    )  # fmt: skip


def difference(ranked: list[Ranking], groups: dict[str, People]) -> Interval:
    """Held-out labelers' agreement less training labelers', on the same prompts."""
    met = {who: meetings(ranked, groups, (who, who)) for who in NAMES}
    both = [*met["held_out"], *met["training"]]
    same_N = credit(np.array([m.one for m in both]), np.array([m.other for m in both]), "half")
    return counting.gap(same_N, np.arange(len(both)) < len(met["held_out"]), [m.prompt_id for m in both])


def _plain(found: Agreement) -> Interval:
    return Interval(value=found.value, low=found.low, high=found.high, n=found.n)


def _theirs(who: People) -> Theirs:
    value, error = PAPER[who]
    return Theirs(text=f"{100 * value:.1f} ± {100 * error:.1f}", source="section 3.4", value=value, error=error)


def _row(label: str, found: Agreement, theirs: Theirs | None) -> Group:
    return Group(label=label, values=(Value(style="ours", name="agreement", found=_plain(found), theirs=theirs),))
