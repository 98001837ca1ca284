"""What docs/reliability.md says is tested is tested, and its guards are where they are said to be."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from mutations import BEGIN, END
from support.guard_code import source_without
from support.guards import CORE, GUARDS, Guard

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PAGE = (ROOT / "docs" / "reliability.md").read_text()

ROWS = [
    f"{letter}{number}"
    for letter, last in (("A", 20), ("B", 19), ("C", 27), ("D", 15), ("E", 40), ("F", 8), ("I", 10))
    for number in range(1, last + 1)
]

# Rows that no test stands behind, whose cell says why.
UNTESTED = {"E12"}

LINES = {
    match[1]: match[2]
    for match in re.finditer(r"^\| ([A-FI]\d+) \| [^|]+ \| (.+) \|$", PAGE, re.MULTILINE)
}


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the top-level functions, classes and names of a test module."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(found)


@cache
def source_of(path: str) -> str:
    """Return a file of the product as the guards' code is written: without layout and comments."""
    return ast.unparse(ast.parse((ROOT / CORE / path).read_text())) + "\n"


def test_every_row_is_there_once() -> None:
    assert list(LINES) == ROWS


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_test_that_exists_or_a_reason(row: str) -> None:
    cell = LINES[row]
    nodes = re.findall(r"`([^`]+)`", cell)
    if row in UNTESTED:
        assert not nodes
        assert re.fullmatch(r"\*Not tested.+\.\*", cell)
        return
    assert nodes
    for node in nodes:
        module, _, name = node.partition("::")
        assert name.startswith(("test_", "Test")), node
        assert name in names_in(TESTS / module), node


def test_a_missing_test_would_be_noticed() -> None:
    assert "test_of_a_name_that_nobody_wrote" not in names_in(TESTS / "docs/test_reliability.py")
    assert "test_a_missing_test_would_be_noticed" in names_in(TESTS / "docs/test_reliability.py")


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.keeps)
def test_a_guard_stands_where_it_is_said_to_and_can_be_broken(guard: Guard) -> None:
    """Else the mutations would prove nothing; bring tests/support/guards.py up to date."""
    path, changed = source_without(guard, ROOT / CORE)
    assert changed != source_of(path)
    compile(changed, path, "exec")


def test_every_guard_is_in_the_table_with_a_test_that_notices() -> None:
    assert len({guard.keeps for guard in GUARDS}) == len(GUARDS)
    table = PAGE.partition(BEGIN)[2].partition(END)[0]
    lines = re.findall(r"^\| `([^`]+)` \| (.+) \| `(.+)` \|$", table, re.MULTILINE)
    assert [(function, keeps) for function, keeps, _ in lines] == [
        (guard.function, guard.keeps) for guard in GUARDS
    ]
    for _, _, node in lines:
        assert "::" in node or node.endswith("(never ends)"), node
        module, _, name = node.partition("::")
        folder = TESTS if module.startswith("tests/") else TESTS / "core"
        path = folder / module.removeprefix("tests/")
        assert not name or name.partition("[")[0] in names_in(path), node
