"""One clear line for what a user can mend."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from biddable.records import complaint
from biddable.runs import Corrupt, NotFinite, Preempted

BAD_INPUT = 2
CORRUPT = 65  # EX_DATAERR of sysexits.h: what we wrote is not what we wrote
NOT_FINITE = 70  # EX_SOFTWARE: NaN or Inf
PREEMPTED = 75  # EX_TEMPFAIL: the same command again goes on
STOPPED = 130  # 128 + SIGINT, as shells have it
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ROOM = "; make room and run the same command again to go on"
EXTRAS = {
    "torch": "learn",
    "transformers": "learn",
    "tokenizers": "learn",
    "safetensors": "learn",
    "jaxtyping": "learn",
    "gguf": "gguf",
    "accelerate": "gguf",
    "psycopg": "postgres",
    "sacrebleu": "benchmarks",
    "datasets": "hub",
    "lm_eval": "lm-eval",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "trackio": "trackio",
}


class Loop(TyperGroup):
    """The group of verbs; every complaint passes here."""

    def invoke(self, ctx: Any) -> Any:
        with plainly():
            return super().invoke(ctx)


@contextmanager
def plainly() -> Iterator[None]:
    """Say in one line what stopped the command. BIDDABLE_DEBUG=1 shows where in our code, too."""
    try:
        yield
    except Preempted as error:
        _say(f"{error}; run the same command again to go on", None)
        raise typer.Exit(PREEMPTED) from None
    except KeyboardInterrupt:
        _say("stopped; run the same command again to go on", None)
        raise typer.Exit(STOPPED) from None
    except ValidationError as error:
        _say(f"{error.title}: {complaint(error)}", error)
    except NotFinite as error:
        _say(str(error), error, NOT_FINITE)
    except Corrupt as error:
        _say(str(error), error, CORRUPT)
    except ValueError as error:
        _say(str(error), error)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _say(f"this needs {error.name}, which is not installed: pip install 'biddable[{extra}]'", error)
    except OSError as error:
        if error.errno == errno.EPIPE:  # `| head` has seen enough; typer knows how to go quietly
            raise
        _say(_of_the_disk(error), error)
    except _of_weights() as error:
        full = any(f"(os error {number})" in str(error) for number in FULL)
        _say(f"weights: {error}{ROOM if full else ''}", error)


def _of_weights() -> tuple[type[Exception], ...]:
    """Safetensors has an error of its own for a full disk and a torn file alike. Looked up only when something failed,
    since to import it here would load it for every verb."""
    loaded = sys.modules.get("safetensors")
    return (loaded.SafetensorError,) if loaded else ()


def _of_the_disk(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    what = f"{name}{error.strerror or error}"
    return what + ROOM if error.errno in FULL else what


def _say(what: str, error: Exception | None, status: int = BAD_INPUT) -> None:
    line = " ".join(what.split())
    typer.echo(f"biddable: {line}", err=True)
    if error is None:
        return
    if os.environ.get("BIDDABLE_DEBUG") == "1":
        raise error
    raise typer.Exit(status) from None
