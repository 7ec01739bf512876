"""What people said of the same things, as arrays: the form in which agreement, bias and competence are counted.

Shape suffixes: N what one person said of one item, I items, P prompts, L labelers, V values.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from biddable.measure.interval import Floats, Ints
from biddable.records import Ranking


class Said(NamedTuple):
    """`value_N` is 0…V−1. An item lies in one prompt; prompts are the witnesses that intervals draw again."""

    item_N: Ints
    labeler_N: Ints
    value_N: Ints
    prompt_I: Ints
    prompts: int
    labelers: tuple[str, ...]
    values: int

    @property
    def people_I(self) -> Ints:
        """How many spoke of each item."""
        return np.bincount(self.item_N, minlength=len(self.prompt_I))

    @property
    def count_IV(self) -> Floats:
        """How many said each value of each item."""
        cells = np.bincount(self.item_N * self.values + self.value_N, minlength=len(self.prompt_I) * self.values)
        return cells.reshape(-1, self.values).astype(float)


PAIR = 3  # values of a pair: 0 the first is better, 1 a tie, 2 the second


def pairs(rankings: Iterable[Ranking]) -> Said:
    """Every pair of answers that anybody ranked, named in the order of their ids; a person's last word holds."""
    by_prompt: dict[str, dict[str, Ranking]] = defaultdict(dict)
    for ranking in rankings:
        by_prompt[ranking.prompt_id][ranking.labeler] = ranking
    labelers = sorted({labeler for some in by_prompt.values() for labeler in some})
    place = {name: n for n, name in enumerate(labelers)}
    rows: list[tuple[int, int, int]] = []
    prompt_of: list[int] = []
    for prompt, name in enumerate(sorted(by_prompt)):
        items: dict[tuple[str, str], int] = {}
        for labeler, ranking in by_prompt[name].items():
            who, ranks = place[labeler], ranking.ranks
            for a, b in itertools.combinations(sorted(ranks), 2):
                if (a, b) not in items:
                    items[a, b] = len(prompt_of)
                    prompt_of.append(prompt)
                better = ranks[b] - ranks[a]
                rows.append((items[a, b], who, 1 - (better > 0) + (better < 0)))
    item_N, labeler_N, value_N = np.array(rows, dtype=np.intp).reshape(-1, 3).T
    return Said(item_N, labeler_N, value_N, np.array(prompt_of, dtype=np.intp), len(by_prompt), tuple(labelers), PAIR)


def moments(said: Said, rankings: Iterable[Ranking]) -> Floats:
    """When each thing was said, in seconds."""
    kept = list(rankings)
    names = sorted({ranking.prompt_id for ranking in kept})
    at = {(ranking.prompt_id, ranking.labeler): ranking.at.timestamp() for ranking in kept}
    of_prompt = said.prompt_I[said.item_N].tolist()
    pairs = zip(of_prompt, said.labeler_N.tolist(), strict=True)
    return np.array([at[names[prompt], said.labelers[who]] for prompt, who in pairs])


def answers(rows: Sequence[tuple[str, str, str, int]], values: int) -> Said:
    """Of rows (prompt, item, labeler, value): what was said to one question, such as a rating or a yes."""
    prompts, items = sorted({row[0] for row in rows}), sorted({row[1] for row in rows})
    people = sorted({row[2] for row in rows})
    of_prompt, of_item, of_person = ({name: n for n, name in enumerate(some)} for some in (prompts, items, people))
    item_N = np.array([of_item[row[1]] for row in rows], dtype=np.intp)
    prompt_I = np.zeros(len(items), dtype=np.intp)
    prompt_I[item_N] = [of_prompt[row[0]] for row in rows]
    labeler_N = np.array([of_person[row[2]] for row in rows], dtype=np.intp)
    value_N = np.array([row[3] for row in rows], dtype=np.intp)
    return Said(item_N, labeler_N, value_N, prompt_I, len(prompts), tuple(people), values)


def by_prompt(said: Said, part_IC: Floats) -> Floats:
    """Sums over the items of each prompt, a column at a time."""
    columns = [np.bincount(said.prompt_I, weights=column_I, minlength=said.prompts) for column_I in part_IC.T]
    return np.stack(columns, axis=1).astype(float)
