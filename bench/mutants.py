"""Does a test fail when an equation is wrong? One small change at a time to a copy of losses/, and its tests run on it.
nice python bench/mutants.py [module] [how many]; asserts, messages and the work tree are left as they are."""

import ast as A
import gc
import os
import random
import resource
import shutil
import sys
import tempfile
from pathlib import Path

import beartype  # noqa: F401  (this and the next two once: each mutant runs in a fork)
import pytest
import sympy  # noqa: F401
import torch
from hypothesis import Phase, settings

ROOT = Path(__file__).resolve().parents[1]
COMPARE = {A.Lt: (A.LtE, A.GtE), A.Gt: (A.GtE, A.LtE), A.LtE: (A.Lt,), A.Eq: (A.NotEq,), A.Is: (A.IsNot,)}
OTHER = {A.Add: A.Sub, A.Sub: A.Add, A.Mult: A.Div, A.Div: A.Mult, A.BitAnd: A.BitOr, A.USub: A.UAdd, A.And: A.Or}
SWAPS = "maximum minimum|max min|mean sum|rsqrt sqrt|exp expm1|logsigmoid sigmoid|square abs|detach clone|amax amin"
NAMES = {a: b for pair in SWAPS.split("|") for a, b in (pair.split(), pair.split()[::-1])}


def variants(node: A.AST):
    """The ways to get this one node wrong, each as (attribute, new value)."""
    match node:
        case A.Compare(ops=ops):
            for i, op in enumerate(ops):
                yield from (("ops", [*ops[:i], kind(), *ops[i + 1 :]]) for kind in COMPARE.get(type(op), (A.Is,)))
        case A.BinOp(op=op) | A.AugAssign(op=op) | A.UnaryOp(op=op) | A.BoolOp(op=op) if type(op) in OTHER:
            yield "op", OTHER[type(op)]()
        case A.UnaryOp(op=A.Invert() | A.Not() as op, operand=operand):
            yield "operand", A.UnaryOp(op, operand)  # twice is not at all
        case A.If(test=test) | A.IfExp(test=test) if not isinstance(test, A.UnaryOp | A.Compare):
            yield "test", A.UnaryOp(A.Not(), test)
        case A.Call(func=A.Attribute(attr="where"), args=[test, one, other]):
            yield "args", [test, other, one]
        case A.Constant(value=bool(value)):
            yield "value", not value
        case A.Constant(value=int(value) | float(value)):
            yield from (("value", value + 1), ("value", value * 1.5)) if value else (("value", 1),)
        case A.Attribute(attr=name) | A.Name(id=name) | A.Constant(value=name) if name in NAMES:
            yield node._fields[1 if isinstance(node, A.Attribute) else 0], NAMES[name]


def sites(node: A.AST):
    """All nodes that compute something, in order."""
    yield node
    for inner in A.iter_child_nodes(node):
        if not isinstance(inner, (A.Assert, A.Raise)):
            yield from sites(inner)


def mutants(path: Path):
    for index, node in enumerate(sites(A.parse(text := path.read_text()))):
        for attribute, value in variants(node):
            setattr(wrong := list(sites(changed := A.parse(text)))[index], attribute, value)
            one, other = (A.unparse(x).partition("\n")[0] for x in (node, wrong))
            yield path, f"{path.name}:{node.lineno}  {one}  →  {other}", A.unparse(changed)


def passes(path: Path, source: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(path.parent, package := Path(folder, "biddable", "losses"))
        (package.parent / "__init__.py").write_text(f"__path__.append({str(path.parents[1])!r})")  # the other rooms
        (package / path.name).write_text(source)
        if child := os.fork():
            return os.waitpid(child, 0)[1] == 0
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))  # one that never ends is found out too,
        resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))  # and one that wants all memory harms nobody
        sys.path.insert(0, folder)
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        quick = "-xq -p jaxtyping -p hypothesispytest -p no:cacheprovider --assert=plain --hypothesis-profile=mutants"
        tests = str(ROOT / f"tests/losses/test_{path.stem}.py")
        os._exit(int(pytest.main([*quick.split(), tests], plugins=[sys.modules[__name__]])))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda test: hasattr(test.obj, "hypothesis"))  # most mutants fall to a number, and that costs least


if __name__ == "__main__":
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    torch.set_num_threads(1)
    gc.freeze()  # else each fork walks through all of torch when it tidies up
    module, limit = (*sys.argv[1:], *("[a-z]*", "1000")[len(sys.argv) - 1 :])
    settings.register_profile("mutants", deadline=None, derandomize=True, max_examples=50, phases=(Phase.generate,))
    paths = sorted(ROOT.glob(f"src/biddable/losses/{module}.py"))
    same = {path: A.unparse(A.parse(path.read_text())) for path in paths}
    assert all(passes(*one) for one in same.items()), "tests fail on the unchanged code"
    todo = [mutant for path in paths for mutant in mutants(path)]
    random.Random(killed := 0).shuffle(todo)
    for tried, (path, change, source) in enumerate(todo[: int(limit)], 1):
        killed += not (alive := passes(path, source))
        print(f"{killed}/{tried} killed", f"  alive: {change}" * alive, flush=True)
