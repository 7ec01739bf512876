"""The pages, in their order. Each is a file with `stages(plan)`, the experiments that it needs, and `count(plan)`,
which reads what they left and returns the figure."""

from collections.abc import Callable
from typing import NamedTuple

from biddable.paper.figure import Figure
from biddable.paper.figures import (
    agreement,
    beta,
    ensemble,
    epochs_reward,
    epochs_sft,
    fig1,
    fig3,
    fig4,
    gamma,
    generalisation,
    length,
    overoptimisation,
    scaling,
    tables,
    tax,
)
from biddable.paper.plan import Job, Plan


class Page(NamedTuple):
    stages: Callable[[Plan], list[Job]]
    count: Callable[[Plan], Figure]


ORDER: dict[str, Page] = {
    "fig1": Page(fig1.stages, fig1.count),
    "fig3": Page(fig3.stages, fig3.count),
    "fig4": Page(fig4.stages, fig4.count),
    "agreement": Page(agreement.stages, agreement.count),
    "generalisation": Page(generalisation.stages, generalisation.count),
    "scaling": Page(scaling.stages, scaling.count),
    "epochs_sft": Page(epochs_sft.stages, epochs_sft.count),
    "epochs_reward": Page(epochs_reward.stages, epochs_reward.count),
    "tax": Page(tax.stages, tax.count),
    "gamma": Page(gamma.stages, gamma.count),
    "beta": Page(beta.stages, beta.count),
    "overoptimisation": Page(overoptimisation.stages, overoptimisation.count),
    "ensemble": Page(ensemble.stages, ensemble.count),
    "length": Page(length.stages, length.count),
    "tables": Page(tables.stages, tables.count),
}
