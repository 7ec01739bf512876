"""The labeling app: the paper's protocol in a browser, from one process on the project's store.

    app = create_app("store.db")

`biddable label` serves it.
"""

from biddable.label.app import create_app

__all__ = ["create_app"]
