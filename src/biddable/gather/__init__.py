"""Where prompts come from: importers, near-duplicates, a cap and a split per customer, personal data.

gathered = gather(read_prompts(Path("prompts.csv")), GatherConfig())
"""

from biddable.gather.bringing import UNNAMED, Brought, Held, bring
from biddable.gather.labels import holds_records, read_labels
from biddable.gather.personal import Span, personal_data
from biddable.gather.reading import read_prompts
from biddable.gather.rules import Again, GatherConfig, Gathered, gather, sift, still_personal

__all__ = [
    "UNNAMED",
    "Again",
    "Brought",
    "GatherConfig",
    "Gathered",
    "Held",
    "Span",
    "bring",
    "gather",
    "holds_records",
    "personal_data",
    "read_labels",
    "read_prompts",
    "sift",
    "still_personal",
]
