"""Work for people: a store with prompts and answers, and jobs on it."""

from biddable.records import Completion, Prompt

LONG = (
    "Rivers find the sea without a map. They take what the hills give them, wait behind every stone, and go on when "
    "there is a way. A town that builds beside one learns its moods: when it is low, the children walk across; when "
    "it is high, everybody carries sand. "
)
TEXTS = [
    "Start with the **oldest** loaf.\n\n1. Slice it\n2. Toast it\n\n" + LONG * 7,
    "Start with the *newest* loaf.\n\n```python\nprint('bread')\n```\n\n" + LONG * 8,
    "I would throw it away.\n\n> Waste not\n\n" + LONG * 6,
    "Bread is bread, and $x^2 + 1$ is not.\n\n" + LONG * 7,
    "Ask the baker what to do with it.",
    "Make crumbs of it, and keep them dry.",
    "Feed the ducks, but only a little.",
    "Make a pudding with milk and eggs.",
    "Freeze it in slices.",
]


def material(prompts: int = 3, answers: int = 4, texts=TEXTS, use_case="generation", split="train") -> list:
    made: list = []
    for n in range(prompts):
        prompt = Prompt(
            id=f"p{n}", text=f"What can I do with stale bread, idea {n}? Please answer in under 100 words.",
            use_case=use_case, split=split,
        )  # fmt: skip
        made.append(prompt)
        made += [
            Completion(id=f"p{n}-{i}", prompt_id=f"p{n}", text=texts[i], run_id=f"run-{i % 2}") for i in range(answers)
        ]
    return made


def job(app, person, kind: str, purpose: str = "training", fill: dict | None = None, **settings) -> str:
    """A job of this kind, made by an owner, with one person for each task."""
    owner, _ = person(f"owner of {kind}", "owner", "researcher")
    sent = {
        "kind": kind, "title": {"rank": "Rank answers"}.get(kind, kind.capitalize()), "purpose": purpose,
        "settings": {"doubly": 0, "fivefold": 0} | settings, "what": fill or {},
    }  # fmt: skip
    made = owner.post("/api/jobs", json=sent)
    assert made.status_code == 201, made.text
    return made.json()["job"]


def guidelines(person, purpose: str = "training") -> str:
    owner, _ = person(f"owner of guidelines for {purpose}", "owner", "researcher")
    text = "# What to look for\n\nHelp the person first. Then be **true**, then be kind."
    made = owner.post("/api/guidelines", json={"purpose": purpose, "text": text})
    assert made.status_code == 201, made.text
    return made.json()["id"]
