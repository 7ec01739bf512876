"""Which of two answers does a machine prefer? Any OpenAI-shaped chat endpoint as a judge, over HTTP.

It reads records and writes records: no database, no torch, and no number that is published; `measure` counts what it
said, and holds it against people before it is believed."""

from biddable.judge.asking import JudgeConfig, ask_all, pairs_to_ask
from biddable.judge.endpoint import Endpoint, address, without_secrets
from biddable.judge.wording import Template, load, names

__all__ = [
    "Endpoint",
    "JudgeConfig",
    "Template",
    "address",
    "ask_all",
    "load",
    "names",
    "pairs_to_ask",
    "without_secrets",
]
