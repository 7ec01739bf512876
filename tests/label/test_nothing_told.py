"""Whatever a labeler asks for, no answer holds another's word, a model's name, or what tells a hidden check."""

import json

import pytest
from team import JUDGED, hire, work_on

from biddable.label.access import ACCESS
from biddable.records import Completion, Prompt, Score
from biddable.store import fill, golds, jobs, shared, work
from biddable.store.jobs import JobSettings

RUNS = ("zebra-sft-one", "zebra-ppo-two")  # no word of ours
WORDS = "xylophone"  # of others: notes, demonstrations
TOLD = ("gold", "propensity", "chosen_by", "spread", "retired", "run_id", "temperature", "logp", *RUNS, WORDS)

FORMS = {
    "write": {"text": WORDS},
    "rank": {"judgements": {}, "order": [["B"], ["A"]], "note": WORDS},
    "judge": {"judgements": {"A": JUDGED}, "note": WORDS},
    "compare": {"better": "A", "note": WORDS},
    "toxicity": {
        "input": 0, "outputs": {x: {"toxicity": 0, "relative": 0, "continuity": 4} for x in "AB"},
        "order": [["A"], ["B"]], "note": WORDS,
    },
    "prompt": {"text": WORDS, "source": "plain"},
}  # fmt: skip
PURPOSE = {"compare": "evaluation", "toxicity": "evaluation"}


@pytest.fixture
def planted(app, person):
    """Jobs of every kind, in each of which two others have answered and hidden checks wait; and Ann, signed in."""
    store = app.state.desk.store
    for n in range(12):
        prompt = Prompt(id=f"p{n}", text=f"Say {n}.", use_case="generation", split="train" if n < 6 else "test")
        answers = [Completion.make(prompt.id, f"{n}, {x}", run, temperature=0.7) for x, run in enumerate(RUNS)]
        told = [Score(completion_id=one.id, run_id="zebra", value=1, spread=2) for one in answers]
        store.add_many([prompt, *answers, *told])
    ids, checked = {}, []
    people = [hire(store, "bea"), hire(store, "rita", "researcher")]
    for kind, body in FORMS.items():
        with store.writing() as connection:
            choose = "random" if kind in ("write", "prompt") else "mixed"
            settings = JobSettings(judge=False, doubly=0, fivefold=1, gold=0.5, choose=choose)
            made = jobs.make(connection, kind, kind, PURPOSE.get(kind, "training"), settings, store.clock())
            what = fill.Fill(count=5, fewest=2, runs=RUNS if kind == "compare" else ())
            jobs.add(connection, made, fill.todos(connection, made, what), store.clock())
        for who in people:
            work_on(store, who, lambda _held, body=body: json.dumps(body), store.clock(), made, most=3)
        if kind in golds.KINDS:
            with store.writing() as connection:
                assert jobs.add(connection, made, golds.checks(connection, made, 3), store.clock())
            checked.append(made)
        ids[kind] = made.id
    for n in range(400):  # one in 2⁴ meets a check first in each of four jobs; that none of them does: 6e-12
        client, ann = person(f"ann {n}")
        with store.reading() as connection:
            if all(shared.is_check(connection, job, ann) for job in checked):
                break
    else:
        raise AssertionError("nobody meets checks")
    return store, client, ann, ids, [who.labeler for who in people]


def call(client, method: str, path: str, names: dict[str, str], body: dict | None = None):
    return client.request(method, path.format(**names), json=body, follow_redirects=True)


def test_no_answer_to_a_labeler_tells_what_is_not_theirs(app, planted):
    store, client, ann, ids, others = planted
    secret, asked, checks, kinds = [*TOLD, *others], 0, 0, set()

    def look(answer, where):
        nonlocal asked
        asked += 1
        assert answer.status_code < 500, where
        said = (answer.text + json.dumps(dict(answer.headers))).casefold()
        assert not [word for word in secret if word.casefold() in said], (where, said[:2000])

    for kind, job in ids.items():
        for _ in range(12):
            claimed = client.post("/api/claim", json={"job": job})
            look(claimed, ("claim", kind))
            task = claimed.json()["task"]
            if task is None:
                break
            with store.reading() as connection:
                is_check = work.look(connection, ann, task["task"], store.clock()).gold is not None
            names = {"task": task["task"], "job": job, "labeler": others[0], "version": "g-x", "what": "rankings"}
            names |= {"answer": "1", "token": "none"}
            everywhere = [path for method, path in ACCESS if method == "GET" and path != "/health"]
            for path in everywhere if is_check or kind not in kinds else ("/work", "/work/{task}"):
                look(call(client, "GET", path, names), (kind, path))
            kinds.add(kind)
            checks += is_check
            mine = {key: value for key, value in FORMS[kind].items() if key != "note"}
            body = json.dumps(mine).replace(WORDS, f"mine {task['task']}")
            sent = {"key": f"key-{task['task']}", "body": body}
            for method, path, given in (
                ("PUT", "/api/tasks/{task}/draft", {"version": 1, "body": body}),
                ("POST", "/api/tasks/{task}/beat", {"lease": task["lease"]}),
                ("POST", "/api/tasks/{task}/answer", sent | {"body": "{"}),
                ("POST", "/api/tasks/{task}/answer", sent),
                ("GET", "/api/tasks/{task}", None),
            ):
                look(call(client, method, path, names, given), (kind, method, path))
    assert kinds == set(FORMS)
    assert checks >= 4
    assert asked > 500


def test_whoever_is_refused_is_told_no_more(planted):
    _, client, _, ids, others = planted
    names = {"task": "t-none", "job": ids["rank"], "labeler": others[0], "version": "v", "what": "rankings"}
    names |= {"answer": "1", "token": "none"}
    for method, path in sorted(ACCESS):
        if method == "GET" or path == "/sign-out":
            continue
        said = call(client, method, path, names, {}).text.casefold()
        assert not [word for word in (*TOLD, *others) if word in said], (method, path, said[:500])
