"""What a person is told of the gates."""

from biddable.measure.results import Gate
from biddable.quickstart import gates


def gate(passed: bool) -> Gate:
    return Gate(question="It can read.", needed="at least 95 %", found="97 %" if passed else "12 %", passed=passed)


def test_after_a_failed_gate_it_is_said_that_the_walk_goes_on_and_why():
    assert gates.told([gate(True), gate(False)]) == [
        "gate: passed: It can read. 97 %",
        "gate: FAILED: It can read. 12 %",
        "1 of 2 gates failed: a real project would stop here and mend that; the walk goes on, to show in its report "
        "what comes of it (docs/results.md, Gates, has the one that the recipe misses)",
    ]


def test_where_all_gates_are_passed_nothing_more_is_said():
    assert gates.told([gate(True)]) == ["gate: passed: It can read. 97 %"]
