"""Where records are kept: SQLite beside the project, or PostgreSQL by URL.

with open_store("store.db") as store:
    store.add_prompts(prompts)
    store.snapshot("rankings", Path("rankings.jsonl"), split="train")
"""

from biddable.store.engine import StoreError
from biddable.store.keeper import Store, open_store
from biddable.store.rows import Skip, Task
from biddable.store.snapshot import Query, SnapshotManifest, What, manifest_path

__all__ = ["Query", "Skip", "SnapshotManifest", "Store", "StoreError", "Task", "What", "manifest_path", "open_store"]
