"""The pages, in their order. Each is a file with `stages(plan)`, the experiments that it needs, and `count(plan)`,
which reads what they left and returns the figure."""

from collections.abc import Callable
from typing import NamedTuple

from biddable.paper.figure import Figure
from biddable.paper.figures import gamma, tax
from biddable.paper.plan import Job, Plan


class Page(NamedTuple):
    stages: Callable[[Plan], list[Job]]
    count: Callable[[Plan], Figure]


ORDER: dict[str, Page] = {
    "tax": Page(tax.stages, tax.count),
    "gamma": Page(gamma.stages, gamma.count),
}
