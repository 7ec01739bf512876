"""Hamlet, the built-in practice world: a tiny language, its village, its people, and what they truly prefer.

A wind tunnel, and it says so wherever it is shown: the people are simulated and their true preference is known,
which no real data set has. Nothing here loads torch, and nothing here is seen by training but what people write
down: pages, prompts, demonstrations and rankings.
"""

from pathlib import Path

BASE = Path(__file__).parent / "base"  # the shipped base model; `biddable hamlet pretrain` makes it again
RECIPE = Path(__file__).parent / "recipe.toml"
