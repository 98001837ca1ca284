"""What several tables have alike: checks, and columns that count."""

from enum import StrEnum

from peewee import SQL, BigIntegerField, Check, Node


def one_of(column: str, states: type[StrEnum]) -> Node:
    """Return the check that a column has one of these states."""
    return Check(f"{column} IN ({', '.join(repr(state.value) for state in states)})")


def yes_or_no(column: str) -> Node:
    """Return the check that a column is true or false."""
    return Check(f"{column} IN (FALSE, TRUE)")


def digest(column: str) -> Node:
    """Return the check that a column is a sha256."""
    return Check(f"length({column}) = 32")


def count() -> BigIntegerField:
    """Return a column that counts from 0."""
    return BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])
