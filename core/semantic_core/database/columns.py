"""What several tables have alike: checks, and columns that count."""

from enum import StrEnum

from peewee import SQL, BigIntegerField, Check, Node


def one_of(column: str, states: type[StrEnum]) -> Node:
    return Check(f"{column} IN ({', '.join(repr(state.value) for state in states)})")


def yes_or_no(column: str) -> Node:
    return Check(f"{column} IN (FALSE, TRUE)")


def digest(column: str) -> Node:
    return Check(f"length({column}) = 32")


def count() -> BigIntegerField:
    return BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])
