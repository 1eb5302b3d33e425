"""The tests themselves: none asserts under a condition alone, and no module is long."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from pathlib import Path

MOST_LINES = 450


def asserts(node: ast.AST, checks: Collection[str] = ()) -> bool:
    """Whether anything below a node is an assertion, calls one of `checks`, or expects an error."""
    return any(
        isinstance(part, ast.Assert)
        or (isinstance(part, ast.Name) and part.id in checks)
        or (
            isinstance(part, ast.Attribute)
            and (part.attr in ("raises", "warns") or part.attr.startswith("assert_"))
        )
        for part in ast.walk(node)
    )


def always(body: Iterable[ast.stmt], checks: Collection[str] = ()) -> bool:
    """Whether an assertion is reached without an `if` that may be false, or an `except`."""
    for statement in body:
        if isinstance(statement, ast.If):
            if always(statement.body, checks) and always(statement.orelse, checks):
                return True
        elif isinstance(statement, ast.With):
            if any(asserts(item) for item in statement.items) or always(statement.body, checks):
                return True
        elif isinstance(statement, ast.For | ast.While | ast.Try):
            if always(statement.body, checks):
                return True
        elif not isinstance(statement, ast.FunctionDef | ast.ClassDef) and asserts(
            statement, checks
        ):
            return True
    return False


def conditional(text: str) -> list[str]:
    """Names of the tests whose every assertion stands under a condition."""
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    tests = [function for function in functions if function.name.startswith("test_")]
    checks = {one.name for one in functions if one not in tests and always(one.body)}
    return [t.name for t in tests if asserts(t, checks) and not always(t.body, checks)]


def test_no_test_asserts_only_under_a_condition(root: Path) -> None:
    files = sorted((root / "tests").rglob("test_*.py"))
    assert len(files) > 100
    found = {
        str(file.relative_to(root)): names
        for file in files
        if (names := conditional(file.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_no_module_of_tests_is_long(root: Path) -> None:
    long = {
        str(file.relative_to(root)): lines
        for file in (root / "tests").rglob("*.py")
        if (lines := file.read_text(encoding="utf-8").count("\n")) > MOST_LINES
    }
    assert long == {}


def test_a_condition_is_found() -> None:
    text = """
def test_hidden(x):
    if x:
        assert x > 0

def test_caught(x):
    try:
        x()
    except ValueError as error:
        assert "x" in str(error)

def test_arrays(x):
    if x:
        np.testing.assert_array_equal(x, x)

def close(x, y):
    assert abs(x - y) < 1

def test_close(x):
    if x:
        close(x, 1)

def test_near(x):
    close(x, 1)

def test_either(x):
    if x:
        assert x > 0
    else:
        assert x == 0

def test_open(x):
    for y in x:
        assert y
"""
    assert conditional(text) == ["test_hidden", "test_caught", "test_arrays", "test_close"]
