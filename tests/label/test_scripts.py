"""Over a thousand texts that try to run a script, through every field, on every page, in a real browser: none runs.

Once as the server sends its pages, and once with its Content-Security-Policy taken off, so that what would run if a
browser had none is seen too. A payload says its own number; whatever asks for another place is an outbound request.
"""

import json
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from payloads import payloads
from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import Connection, select

from biddable.label.access import ACCESS
from biddable.records import Completion, Prompt, Turn
from biddable.store import accounts, fill, jobs, open_store, review, team, work
from biddable.store.jobs import JobSettings
from biddable.store.work_tables import tasks

PER_ANSWER, ANSWERS = 20, 9  # on one board
WATCH = """
window.ran = []; window.broken = [];
window.xss = number => { window.ran.push(number); };
window.alert = window.confirm = window.prompt = word => { window.ran.push(String(word)); };
document.addEventListener('securitypolicyviolation', event => {
    window.broken.push(event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sample);
});
"""
# What no text of a person or a model may become, whether it runs or not.
FOREIGN = """() => {
    const bad = [];
    for (const one of document.querySelectorAll('*')) {
        const name = one.localName;
        if (/^(iframe|object|embed|base|frame|applet|video|audio|marquee|img)$/.test(name)) bad.push(name);
        if (name === 'meta' && one.httpEquiv) bad.push('meta ' + one.httpEquiv);
        if (name === 'script' && !(one.src.startsWith(location.origin + '/static/'))) bad.push('script ' + one.src);
        if (name === 'link' && !one.href.startsWith(location.origin + '/static/')) bad.push('link ' + one.href);
        for (const {name: attribute, value} of one.attributes) {
            if (attribute.startsWith('on') || attribute === 'srcdoc') bad.push(name + ' ' + attribute);
            if (['href', 'action', 'formaction', 'src', 'xlink:href'].includes(attribute)
                && URL.canParse(value, location) && !/^(https?|mailto):$/.test(new URL(value, location).protocol))
                bad.push(name + ' ' + attribute + '=' + value);
        }
    }
    return bad;
}"""


@pytest.fixture(scope="module")
def texts() -> list[str]:
    made = payloads()
    assert len(made) == len(set(made)) >= 1000
    return made


@pytest.fixture
def infested(where: str, plague: tuple[Path, dict[str, int]]) -> dict[str, int]:
    """A store with a payload in every field that a person or a model fills. Returns how many went through each."""
    shutil.copy(plague[0], where)
    return plague[1]


@pytest.fixture(scope="module")
def plague(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> tuple[Path, dict[str, int]]:
    place = tmp_path_factory.mktemp("plague") / "store.db"
    return place, infest(place, texts)


def infest(where: Path, texts: list[str]) -> dict[str, int]:
    bundles = ["\n\n".join(texts[start : start + PER_ANSWER]) for start in range(0, len(texts), PER_ANSWER)]
    with open_store(where) as store:
        used = {"answer": 0, "prompt": 0, "before": 0, "name": 0, "title": 0, "guidelines": 0, "reason": 0, "note": 0}
        for start in range(0, len(bundles), ANSWERS):
            board = bundles[start : start + ANSWERS]
            prompt = f"p{start:04}"
            before = (Turn(role="user", text=board[0]), Turn(role="assistant", text=board[-1]))
            store.add_prompts([Prompt(id=prompt, text="\n\n".join(board), before=before, split="train")])
            store.add_completions(
                Completion(id=f"{prompt}-{n}", prompt_id=prompt, text=board[n % len(board)], run_id=board[0][:100])
                for n in range(ANSWERS)
            )
            used["answer"] += PER_ANSWER * len(board)
            used["prompt"] += PER_ANSWER * len(board)
            used["before"] += 2 * PER_ANSWER
        with store.writing() as connection:
            now = store.clock()
            for name in packed([text for text in texts if len(text) <= 100 and text.strip()], 100):
                accounts.make(connection, name, "labeler", "training", now)
                used["name"] += name.count("xss(")
            for n, title in enumerate(packed(texts, 200)):
                settings = JobSettings(judge=n % 2 == 0, doubly=1, fivefold=0)
                job = jobs.make(connection, "rank", title, "training", settings, now)
                used["title"] += title.count("xss(")
                if n == 0:
                    jobs.add(connection, job, fill.todos(connection, job, fill.Fill()), now)
            for purpose in ("training", "evaluation"):
                jobs.set_guide(connection, purpose, "\n\n".join(texts), now)
                used["guidelines"] += len(texts)
            leaver = accounts.make(connection, "leaver", "labeler", "training", now)
            for n, text in enumerate(texts[:9]):
                held = work.claim(connection, leaver, now)
                if held is None:
                    break
                some = texts[n::9]
                work.save_draft(connection, leaver, held.task, 1, json.dumps({"note": "\n".join(some)}), now)
                work.leave(connection, leaver, held.task, "flag", text[:200], "\n".join(some)[:4000], now)
                used["reason"] += 1
                used["note"] += len(some)
            used |= of_the_team(connection, texts, now)
    return used


def packed(texts: list[str], most: int) -> Iterator[str]:
    """All texts, as many in one as it may hold: a browser takes 20 seconds for a table of a thousand forms."""
    by_length = sorted(texts, key=len)
    held, *rest = [one for pair in zip(by_length, reversed(by_length), strict=True) for one in pair][: len(texts)]
    for text in rest:
        if len(held) + 1 + len(text) > most:
            yield held
            held = text
        else:
            held += f" {text}"
    yield held


PARTS = 4


def of_the_team(connection: Connection, texts: list[str], now: datetime) -> dict[str, int]:
    """What candidates say of themselves and write in their test, what is said of them and of disagreements, and what
    a survey asks for."""
    judge = accounts.make(connection, "judge", "adjudicator", "researcher", now)
    test = jobs.make(connection, "write", "Test", "screening", JobSettings(gold=0), now)
    jobs.add(connection, test, fill.todos(connection, test, fill.Fill(count=1)), now)
    ranked = connection.execute(select(tasks.c.id, tasks.c.completions).where(tasks.c.job != test.id)).all()
    used = 0
    for n in range(PARTS):
        some = texts[n::PARTS]
        whole = "\n\n".join(some)
        who = accounts.make(connection, f"candidate {n}", "labeler", "candidate", now)
        skills = [text for text in some if len(text) <= 50][:50]  # as many and as long as may be
        accounts.give_skills(connection, who.labeler, skills, now)
        used += len(skills)
        team.say_topics(connection, who.labeler, whole, now)
        held = work.claim(connection, who, now)
        assert held is not None
        work.submit(connection, who, held.task, f"written-{n}", json.dumps({"text": whole}), now, 0, lambda *_: [])
        if n:  # whoever has to wait is not shown their topics
            team.decide(connection, who.labeler, False, {}, whole, now, judge.labeler)
        order = tuple((name,) for name in json.loads(ranked[n].completions))
        review.begin(connection, judge, ranked[n].id, order, now)
        review.decide(connection, judge, ranked[n].id, order, "taste", whole, now)
    short = [text for text in texts if len(text) <= 60]
    for text in short:
        team.answer_survey(connection, "people", {"nationality": text}, now)
    whole = ("topics", "demonstration", "review note")
    noted = len(texts) * (PARTS - 1) // PARTS
    return dict.fromkeys(whole, len(texts)) | {"screening note": noted, "skills": used, "nationality": len(short)}


@pytest.fixture(params=["with its policy", "without a policy"])
def context(request, url: str, browser: Browser) -> Iterator[BrowserContext]:
    """A browser that goes nowhere but to us; `context.outbound` says where it was sent."""
    made = browser.new_context(base_url=url, bypass_csp=request.param == "without a policy")
    made.set_default_timeout(60_000)
    made.add_init_script(WATCH)
    outbound: list[str] = []

    def sent(request) -> None:
        if not request.url.startswith((f"{url}/", "data:")):
            outbound.append(request.url)

    made.on("request", sent)
    made.outbound = outbound
    yield made
    made.close()


def look(page: Page, at: str) -> None:
    """Open a page, give whatever starts by itself the time to start, and see that nothing has."""
    answer = page.goto(at, wait_until="load")
    assert answer is not None
    assert answer.status in (200, 404), (at, answer.status)
    nothing_ran(page, at)


def nothing_ran(page: Page, at: str) -> None:
    page.mouse.move(300, 300)
    page.keyboard.press("Tab")
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") == [], at
    assert page.evaluate("window.broken") == [], at
    assert page.evaluate(FOREIGN) == [], at
    assert page.url.startswith("http://localhost:"), at


NO_PAGES = ("/api/", "/openapi.json", "/health", "/manage/pay.csv", "/manage/data/{what}.jsonl")


def pages_of(**things: str) -> list[str]:
    """Every page that a manager can open, about these things. A page about another sort of thing fails here."""
    pages = [path for method, path in ACCESS if method == "GET" and not path.startswith(NO_PAGES)]
    return sorted(path.format(**things) for path in pages)


def test_no_text_of_anybody_runs_anywhere(infested, app, person, context, texts):
    whole = ("answer", "prompt", "title", "guidelines", "topics", "demonstration", "review note")
    assert min(infested[field] for field in whole) >= 1000
    assert min(infested.values()) > 0
    owner, _ = person("olga <img src=x onerror=xss(-1)>", "owner", "researcher")
    ann, _ = person("ann <img src=x onerror=xss(-1)>")
    desk = app.state.desk
    ranks = [one.id for one in desk.read(jobs.all_of) if one.kind == "rank"]
    job = next(one for one in ranks if any(desk.read(jobs.left, one).values()))
    page = context.new_page()
    context.add_cookies([{"name": "biddable", "value": owner.cookies["biddable"], "url": str(owner.base_url)}])
    those = select(tasks.c.id).where(tasks.c.job == job)
    task = desk.read(lambda connection: connection.execute(those).scalars().first())
    version = desk.read(jobs.guide, "training").id
    for at in pages_of(job=job, task=task, version=version, token="none"):
        look(page, at)
    for text in (texts[0], texts[7]):
        look(page, f"/nowhere/{text}")
        look(page, f"/sign-in?to={text}")
        look(page, f"/work?job={text}")
    context.clear_cookies()
    context.add_cookies([{"name": "biddable", "value": ann.cookies["biddable"], "url": str(ann.base_url)}])
    seen, boards = "", 0
    while (task := ann.post("/api/claim", json={"job": job}).json()["task"]) is not None:
        look(page, f"/work/{task['task']}" if boards % 2 else "/work")  # the same by either address
        seen += page.content()
        boards += 1
        ann.post(
            f"/api/tasks/{task['task']}/leave", json={"what": "skip", "reason": texts[boards], "note": texts[boards]}
        )
    look(page, "/work")  # nothing to do, of each job why
    assert boards * PER_ANSWER * ANSWERS >= len(texts)
    assert sum(f"xss({n})" in seen for n in range(len(texts))) > 0.9 * len(texts)  # they were there to be seen
    assert context.outbound == []


def as_is(context: BrowserContext, app, name: str, url: str) -> str:
    """Sign somebody in by name; who they are."""
    desk = app.state.desk
    account = desk.read(accounts.named, name)
    token = desk.write(accounts.open_door, account.labeler, "session", desk.now())
    context.add_cookies([{"name": "biddable", "value": token, "url": url}])
    return account.labeler


def test_nor_what_candidates_and_those_who_judge_them_say(infested, app, url, context, texts):
    page, seen = context.new_page(), ""
    desk = app.state.desk
    rater = as_is(context, app, "judge", url)
    for _ in range(PARTS):
        look(page, "/manage/screening/rate")
        seen += page.content()
        of = int(page.locator("form[action*='/rate/']").get_attribute("action").rpartition("/")[2])
        desk.write(team.rate, of, rater, 4, desk.now())
    assert sum(f"xss({n})" in seen for n in range(len(texts))) > 0.9 * len(texts)
    for at in ("/manage/screening", "/manage/review"):
        look(page, at)
        there = page.content()
        assert sum(f"xss({n})" in there for n in range(len(texts))) > 0.9 * len(texts), at
    look(page, "/manage/people")
    assert page.content().count("xss(") >= infested["skills"] > 0
    look(page, "/manage/surveys")
    assert page.content().count("xss(") >= infested["nationality"]
    for n in range(PARTS):
        as_is(context, app, f"candidate {n}", url)
        look(page, "/screening")
        assert ("xss(" in page.content()) == (n == 0)
        look(page, "/work")
    assert context.outbound == []


def test_nor_the_name_of_a_file(app, person, context, texts):
    owner, _ = person("olga", "owner", "researcher")
    context.add_cookies([{"name": "biddable", "value": owner.cookies["biddable"], "url": str(owner.base_url)}])
    page, shown = context.new_page(), 0
    page.goto("/manage/prompts")
    for n, text in enumerate(texts[::60]):
        name = text.replace("/", "") + (".jsonl", ".none")[n % 2]
        page.set_input_files(
            "input[type=file]", files=[{"name": name, "mimeType": "text/plain", "buffer": b"no prompt"}]
        )
        with page.expect_navigation():
            page.eval_on_selector("form[action='/manage/prompts/file']", "form => form.submit()")
        nothing_ran(page, text)
        shown += f"xss({60 * n})" in page.content()
    assert shown > len(texts[::60]) / 2
    assert context.outbound == []
