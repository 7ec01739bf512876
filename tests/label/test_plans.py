"""What people wait for never reads a whole table: a submission takes as long in a large store as in a small one."""

import json
import re

import pytest
from sqlalchemy import event
from test_walk import GOOD

FEW = {"jobs", "guidelines", "consents"}  # that may be read whole
SHARES = (  # all that a person did, or all of a job, row by row
    " USING INDEX ix_activity_labeler_at (labeler=?)",
    " USING INDEX ix_slots_labeler_state_job (labeler=?)",
    " USING INDEX ix_tasks_job_place (job=?)",
)
NEWEST = "SELECT changes.id, changes.hash"  # the last row by its number, which is found at once


@pytest.fixture
def asked(app):
    """Every SELECT of the server, and its parameters."""
    found = []
    engine = app.state.desk.store._engine

    def keep(_connection, _cursor, statement, parameters, _context, _many):
        if statement.startswith("SELECT"):
            found.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", keep)
    yield found
    event.remove(engine, "before_cursor_execute", keep)


def scanned(app, asked) -> set[str]:
    """The tables that SQLite would read whole, and the people's and jobs' shares of one, each with the statement."""
    found = set()
    with app.state.desk.store.reading() as connection:
        for statement, parameters in dict.fromkeys(one for one in asked if not one[0].startswith(NEWEST)):
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
                table = re.match(r"SCAN (\w+)", row.detail)
                whole = table and table.group(1) not in FEW and "CONSTANT" not in row.detail
                if whole or any(row.detail.endswith(share) for share in SHARES):
                    found.add(f"{row.detail}: {statement}")
    return found


def test_no_step_of_the_work_reads_a_whole_table(filled, app, person, asked):
    owner, _ = person("olga", "owner", "researcher")
    ann, _ = person("ann")
    sent = {"kind": "rank", "title": "Rank", "settings": {"doubly": 0, "fivefold": 0, "disagree": 0.3, "gold": 0.5}}
    owner.post("/api/jobs", json=sent)
    asked.clear()  # a manager may wait
    for nth in range(3):
        task = ann.post("/api/claim", json={}).json()["task"]
        draft = {"version": 1, "body": json.dumps({"order": [["B"]]})}
        assert ann.put(f"/api/tasks/{task['task']}/draft", json=draft).status_code == 200
        beat = {"lease": task["lease"], "active": 1.0}
        assert ann.post(f"/api/tasks/{task['task']}/beat", json=beat).status_code == 200
        body = {"judgements": dict.fromkeys("ABCD", GOOD), "order": [["B"], ["A", "D"], ["C"]]}
        answer = {"key": f"key-number-{nth}", "body": json.dumps(body)}
        assert ann.post(f"/api/tasks/{task['task']}/answer", json=answer).status_code == 200
        assert ann.get("/work").status_code == 200
    assert len(asked) > 30
    assert scanned(app, asked) == set()
