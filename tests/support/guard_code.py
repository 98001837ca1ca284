"""Finding a guard in the product's code, and the same code without it.

A guard names a function and a piece of it. The piece is compared as a syntax tree, or as SQL with
its white space collapsed, so that a line may move, be formatted anew, or go to another file of its
package. What comes out has no comments and no layout: it is for running, not for reading.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from support.guards import Guard

# What a tree keeps that two equal pieces of code may differ in.
_LAYOUT = ("ctx", "type_comment", "kind")

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Place:
    """Where a function is: its file, and where in the file's tree."""

    path: str
    name: str


@dataclass(frozen=True)
class _Rest:
    """The rest of a call's arguments."""

    args: list[ast.expr]
    keywords: list[ast.keyword]


class GuardNotFoundError(ValueError):
    """A guard is not there exactly once: its entry in tests/support/guards.py must be changed."""


def source_without(guard: Guard, root: Path) -> tuple[str, str]:
    """Return the path of a guard's file, below `root`, and its source without the guard.

    Raises:
        GuardNotFoundError: the function, or the piece of it, is not there exactly once.
    """
    place = place_of(guard.function, root)
    tree = ast.parse((root / place.path).read_text())
    node = dict(_definitions(tree))[place.name]
    if guard.sql:
        count = _break_sql(node, guard.sql, guard.without)
    else:
        count = _break_code(node, guard.statement, guard.without)
    if count != 1:
        raise GuardNotFoundError(
            f"{guard.function} ({place.path}) has the guard {guard.keeps!r} {count} times: "
            f"{guard.sql or guard.statement!r}. Bring tests/support/guards.py up to date."
        )
    return place.path, ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def place_of(function: str, root: Path) -> Place:
    """Return where a function is: ``queue.claim`` is one of that name anywhere in ``queue/``.

    Raises:
        GuardNotFoundError: none has this name, or more than one.
    """
    package, _, name = function.partition(".")
    found = []
    for path in _files(root, package):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        found.extend(
            Place(str(path.relative_to(root)), own)
            for own in _names(path, path.stat().st_mtime_ns)
            if f"{module}.{own}".endswith(f".{name}")
        )
    if len(found) != 1:
        where = ", ".join(place.path for place in found) or "nowhere"
        raise GuardNotFoundError(
            f"{function} is in {where}. Bring tests/support/guards.py up to date: the name begins "
            "with its package, and may name its module, too."
        )
    return found[0]


def _files(root: Path, package: str) -> list[Path]:
    module = root / f"{package}.py"
    return [module] if module.exists() else sorted((root / package).rglob("*.py"))


@cache
def _names(path: Path, _changed: int) -> tuple[str, ...]:
    return tuple(name for name, _ in _definitions(ast.parse(path.read_text())))


def _definitions(tree: ast.Module) -> Iterator[tuple[str, _Definition]]:
    """Yield functions, methods, classes and constants with their names."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{member.name}", member


# --- SQL ---------------------------------------------------------------------------------


def _break_sql(within: ast.AST, old: str, new: str) -> int:
    """Replace a piece of the strings within a node; return how often it was there."""
    count = 0
    old, new = _collapsed(old), _collapsed(new)

    def changed(node: ast.AST) -> ast.AST | None:
        nonlocal count
        text = string_of(node)
        if text is None or old not in text:
            return None
        count += text.count(old)
        return _string(text.replace(old, new), is_template=isinstance(node, ast.JoinedStr))

    _replace(within, changed)
    return count


def string_of(node: ast.AST) -> str | None:
    """Return the text of a string, with what an f-string fills in within braces."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _collapsed(node.value)
    if isinstance(node, ast.JoinedStr):
        return _collapsed("".join(_template(value) for value in node.values))
    return None


def _template(part: ast.expr) -> str:
    """Return a part of an f-string as it is written."""
    if isinstance(part, ast.Constant):
        return str(part.value).replace("{", "{{").replace("}", "}}")
    return ast.unparse(ast.JoinedStr([part]))[2:-1]


def _string(text: str, *, is_template: bool) -> ast.expr:
    if not is_template:
        return ast.Constant(text)
    end = " " if text.endswith('"') else ""
    return ast.parse(f'f"""{text}{end}"""', mode="eval").body


def _collapsed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


# --- code --------------------------------------------------------------------------------


def _break_code(within: ast.AST, old: str, new: str) -> int:
    """Replace a piece of the code within a node; return how often it was there.

    In `old`, ``...`` stands for any expression, for the rest of a call, or for a whole body. The
    same number of them in `new` stands for what they were.
    """
    pattern = ast.parse(old).body
    if len(pattern) == 1 and isinstance(pattern[0], ast.Expr) and not _is_statement(new):
        return _break_expression(within, pattern[0].value, new)
    return _break_statements(within, pattern, new)


def _is_statement(new: str) -> bool:
    body = ast.parse(new).body
    return len(body) != 1 or not isinstance(body[0], ast.Expr)


def _break_expression(within: ast.AST, pattern: ast.expr, new: str) -> int:
    count = 0

    def changed(node: ast.AST) -> ast.AST | None:
        nonlocal count
        held: list[Any] = []
        if not isinstance(node, ast.expr) or not _matches(pattern, node, held):
            return None
        count += 1
        return _filled(ast.parse(new, mode="eval").body, held)

    _replace(within, changed)
    return count


def _break_statements(within: ast.AST, pattern: Sequence[ast.stmt], new: str) -> int:
    count = 0
    for node in ast.walk(within):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if not isinstance(body, list):
                continue
            for at in range(len(body) - len(pattern) + 1):
                held: list[Any] = []
                if _matches(list(pattern), body[at : at + len(pattern)], held):
                    count += 1
                    put = _filled(ast.parse(new), held).body
                    body[at : at + len(pattern)] = put
                    if not body:
                        body.append(ast.Pass())
                    break
    return count


def _replace(node: ast.AST, changed: Callable[[ast.AST], ast.AST | None]) -> None:
    """Put what `changed` returns in the place of each node within another."""
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            for at, one in enumerate(value):
                if isinstance(one, ast.AST):
                    put = changed(one)
                    if put is None:
                        _replace(one, changed)
                    else:
                        value[at] = put
        elif isinstance(value, ast.AST):
            put = changed(value)
            if put is None:
                _replace(value, changed)
            else:
                setattr(node, name, put)


def _matches(pattern: Any, node: Any, held: list[Any]) -> bool:
    """Return whether a piece of code is the one of a pattern, and what ``...`` stands for."""
    if isinstance(pattern, list):
        return isinstance(node, list) and _list_matches(pattern, node, held)
    if not isinstance(pattern, ast.AST):
        return bool(pattern == node)
    if _is_any(pattern) and isinstance(node, ast.expr):
        held.append(node)
        return True
    text = string_of(pattern)
    if text is not None or type(pattern) is not type(node):
        return text is not None and text == string_of(node)
    if isinstance(pattern, ast.Call) and pattern.args and _is_any(pattern.args[-1]):
        first = pattern.args[:-1]
        is_it = _matches(pattern.func, node.func, held)
        is_it = is_it and _matches(first, node.args[: len(first)], held)
        held.append(_Rest(node.args[len(first) :], node.keywords))
        return is_it
    return all(
        _matches(value, getattr(node, name), held)
        for name, value in ast.iter_fields(pattern)
        if name not in _LAYOUT
    )


def _list_matches(pattern: list[Any], node: list[Any], held: list[Any]) -> bool:
    if len(pattern) == 1 and _is_any(pattern[0]) and node and isinstance(node[0], ast.stmt):
        held.append(node)
        return True
    return len(pattern) == len(node) and all(
        _matches(one, other, held) for one, other in zip(pattern, node, strict=True)
    )


def _is_any(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        node = node.value
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _filled(node: Any, held: list[Any]) -> Any:
    """Put what ``...`` stood for back in its place."""
    rest = list(held)

    def fill(value: Any) -> Any:
        if isinstance(value, list):
            if len(value) == 1 and isinstance(value[0], ast.Expr) and _is_any(value[0]):
                return rest.pop(0)
            return [fill(one) for one in value]
        if not isinstance(value, ast.AST):
            return value
        if _is_any(value):
            return rest.pop(0)
        for name, one in ast.iter_fields(value):
            setattr(value, name, fill(one))
        if isinstance(value, ast.Call) and value.args and isinstance(value.args[-1], _Rest):
            last = value.args.pop()
            value.args.extend(last.args)
            value.keywords.extend(last.keywords)
        return value

    return fill(node)
