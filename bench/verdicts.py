"""People's own verdicts on real answers: what the rule of ties, the scale and the looks say of them.

    BIDDABLE_REAL_DATA=FOLDER python bench/verdicts.py

prints the tables of docs/results.md. FOLDER has comparisons_multi_annotator.jsonl.gz, JSON lines: an id, a source, a
prompt, model_a, model_b, completion_a, completion_b, and judgements, each of an annotator with preference (a, b, tie)
or preference5 (`a-is-better`, `a-is-slightly-better`, `tie`, …), and of some a time. A prompt that several pairs of
models answered is one witness.
"""

import argparse
import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from biddable.measure.alike import agreed
from biddable.measure.davidson import Scale
from biddable.measure.interval import Interval
from biddable.measure.judges import people_said
from biddable.measure.preference import Asked, Evidence, preference
from biddable.measure.winrate import RULES
from biddable.records import EPOCH, Completion, Prompt, Side, Verdict

SOURCES = {"pandalm_testset_v1": ("llama-7b", 3), "open_instruct_tulu1_human_eval": ("tulu_65B", 1)}  # baseline, each


class Told(NamedTuple):
    verdicts: list[Verdict]
    prompts: list[Prompt]
    answers: list[Completion]


def side(judgement: dict) -> Side:
    said = judgement.get("preference") or judgement["preference5"]
    return "tie" if said == "tie" else "a" if said.startswith("a") else "b"


def when(judgement: dict) -> datetime:
    return datetime.fromisoformat(judgement["time"]).replace(tzinfo=UTC) if judgement.get("time") else EPOCH


def read(folder: Path, source: str) -> Told:
    verdicts, prompts, answers = [], {}, {}
    with gzip.open(folder / "comparisons_multi_annotator.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [row for line in file if (row := json.loads(line))["source"] == source]
    for row in rows:
        asked = Prompt.make(row["prompt"])
        two = [Completion.make(asked.id, row[f"completion_{x}"], row[f"model_{x}"]) for x in "ab"]
        prompts[asked.id] = asked
        answers |= {one.id: one for one in two}
        verdicts += [
            Verdict(prompt_id=asked.id, a=two[0].id, b=two[1].id, better=side(said), judge="person",
                    labeler=said["annotator"], at=when(said))
            for said in row["judgements"]
        ]  # fmt: skip
    return Told(verdicts, list(prompts.values()), list(answers.values()))


def shown(rate: Interval | None) -> str:
    return "–" if rate is None else f"{100 * rate.value:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def foreseen(scale: Scale, model: str, against: str) -> float:
    there = scale.foreseen.get(f"{model}_vs_{against}")
    return 1 - scale.foreseen[f"{against}_vs_{model}"] if there is None else there


def tell(told: Told, source: str) -> None:
    baseline, each = SOURCES[source]
    models = {c.id: c.run_id for c in told.answers}
    evidence = Evidence(told.verdicts, models, told.answers, {p.id: p for p in told.prompts})
    found = preference(evidence, lambda model: (model != baseline, model), Asked(baseline=baseline, each=each))
    said = people_said(told.verdicts)
    people = {v.labeler for v in told.verdicts}
    print(f"\n**{source}**: {len(told.verdicts)} verdicts by {len(people)} people on {len(told.prompts)} prompts; two "
          f"people say the same of {shown(agreed(said))} % (a tie against a choice half), "
          f"{shown(agreed(said, False))} % strictly.\n")  # fmt: skip
    head = (
        "pair", "won, tied, lost", "a tie half", "left out", "as lost", "at equal length",
        "looks, any time; decided after",
        "design effect", "more for ± 3: same people, more people",
    )  # fmt: skip
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for one in found.pairings:
        rates = " | ".join(shown(one.rates.get(rule)) for rule in RULES)
        looks = f"{shown(one.looks.now)}; {one.looks.decided_at or 'open'}" if one.looks else "–"
        equal = shown(one.lengths.equal) if one.lengths else "–"
        more = ", ".join("never" if n is None else f"{n:,}" for n in (one.need.narrow_same, one.need.narrow_new))
        print(f"| {one.model} over {one.against} | {one.won}, {one.tied}, {one.lost} | {rates} | {equal} | {looks} "
              f"| {one.need.design:.1f} | {more} |")  # fmt: skip
    for scale in found.scales:
        print(
            f"\n| one scale, ν = {scale.tie:.2f} | log odds over {scale.baseline} | preferred to it, % |\n|---|---|---|"
        )
        for model, place in sorted(scale.places.items(), key=lambda item: -item[1].score.value):
            odds = f"{place.score.value:.2f} [{place.score.low:.2f}, {place.score.high:.2f}]"
            print(f"| {model} | {odds} | {shown(place.preferred)} |")
        off = max(
            (abs(one.rates["half"].value - foreseen(scale, one.model, one.against)), one.key) for one in found.pairings
        )
        print(f"\nFurthest from what the scale foresees: {off[1]}, by {100 * off[0]:.1f} points.")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if not (folder := os.environ.get("BIDDABLE_REAL_DATA")):
        raise SystemExit("set BIDDABLE_REAL_DATA to the folder of the real data; see bench/verdicts.py")
    for source in SOURCES:
        tell(read(Path(folder), source), source)


if __name__ == "__main__":
    main()
