"""After a form: back to a page that says in one line what was done. The address names a line of ours, never text."""

from starlette.responses import RedirectResponse, Response

NOTICES = {
    "changed": "Changed.",
    "made": "The job is made, and open.",
    "filled": "Tasks are added.",
    "nothing": "There was nothing to add: all that fits is in the job already.",
    "checks": "Hidden checks are added.",
    "guidelines": "This is the version that holds now.",
    "same": "Nothing was different, so no new version was made.",
    "password": "Your password is changed.",
    "kept": "Kept. Thank you.",
    "decided": "Decided, and kept in the history.",
    "consented": "Thank you. You can begin.",
    "gone": "The prompt is taken out, and its tasks with it.",
    "closed": "Nobody is given a task of this prompt any more.",
    "retired": "This check is handed out no more.",
    "out": "The task is taken out: nobody is given it any more.",
    "back": "The task is in the queue again.",
    "seen": "The flag is marked as seen.",
    "imported": "The labels are in the store.",
}


def done(to: str, what: str) -> Response:
    return RedirectResponse(f"{to}{'&' if '?' in to else '?'}did={what}", 303)
