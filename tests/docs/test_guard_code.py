"""A guard is found however its code is laid out, and only where it is there once."""

from __future__ import annotations

import ast
from pathlib import Path
from textwrap import dedent

import pytest

from support.guard_code import GuardNotFoundError, source_without
from support.guards import Guard

SOURCE = '''
    WAITS = "state = 'open' AND job IS NULL"

    class Job:
        def take(self, connection, job, *, now):
            """Take the lease."""
            if self.is_held and not job.is_done or now > self.until:
                return None
            elif job:
                connection.execute(
                    f"UPDATE jobs SET token = ? "
                    f"WHERE id = ? AND {WAITS} AND n = {len(job)!r}",
                    (job, now),
                )
            for step in job.steps:
                self.move(step, after=1, error="a long text")
                return step
            return None
'''

LAID_OUT_ANEW = '''
    WAITS = (
        "state = 'open' "
        "AND job IS NULL"
    )

    class Job:
        def take(
            self, connection, job, *, now
        ):
            # Why.
            if (
                (self.is_held and (not job.is_done))
                or now > self.until
            ): return None
            elif job:
                connection.execute(f"""
                    UPDATE jobs
                    SET token = ?
                    WHERE id = ? AND {WAITS} AND n = {len(job)!r}
                """, (job, now))
            for step in job.steps:
                self.move(
                    step, after=1,
                    error="a long "
                    "text",
                )
                return step
            return None
'''


def broken(tmp_path: Path, source: str = SOURCE, **guard: str) -> str:
    for name in guard.pop("files", "jobs.py").split():
        path = tmp_path / "queue" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))
    entry = Guard(**{"keeps": "it", "function": "queue.take", **guard})  # type: ignore[arg-type]
    return source_without(entry, tmp_path)[1]


@pytest.mark.parametrize("source", [SOURCE, LAID_OUT_ANEW], ids=["as written", "laid out anew"])
@pytest.mark.parametrize(
    ("guard", "expected"),
    [
        ({"statement": "now > self.until", "without": "False"}, "or False:"),
        ({"statement": "self.is_held and ...", "without": "..."}, "if not job.is_done or now"),
        ({"statement": "for step in job.steps: ...", "without": "for step in (): ..."}, "in ():"),
        ({"statement": "self.move(step, ...)", "without": ""}, "steps:\n            return step"),
        (
            {"statement": "self.move(step, ...)", "without": "self.move(None, ...)"},
            "self.move(None, after=1, error='a long text')",
        ),
        (
            {"statement": "self.move(step, after=1, error=...)", "without": "print(...)"},
            "print('a long text')",
        ),
        (
            {"sql": "SET token = ? WHERE id = ? AND {WAITS}", "without": "SET token = ? WHERE 1"},
            "WHERE 1 AND n = {len(job)!r}",
        ),
        (
            {"function": "queue.WAITS", "sql": "AND job IS NULL", "without": ""},
            "WAITS = \"state = 'open' \"",
        ),
    ],
)
def test_layout_does_not_count(
    tmp_path: Path, guard: dict[str, str], source: str, expected: str
) -> None:
    changed = broken(tmp_path, source, **guard)
    ast.parse(changed)
    assert expected in changed


@pytest.mark.parametrize(
    "guard",
    [
        {"statement": "return None", "without": ""},
        {"statement": "now >= self.until", "without": "False"},
        {"sql": "token = NULL", "without": ""},
        {"function": "queue.give", "statement": "return None", "without": ""},
        {"function": "batches.take", "statement": "return None", "without": ""},
    ],
)
def test_what_is_not_there_exactly_once_is_an_error(tmp_path: Path, guard: dict[str, str]) -> None:
    with pytest.raises(GuardNotFoundError):
        broken(tmp_path, **guard)


def test_a_name_that_two_modules_have_needs_its_module(tmp_path: Path) -> None:
    guard = {"statement": "now > self.until", "without": "False", "files": "jobs.py others.py"}
    with pytest.raises(GuardNotFoundError, match=r"jobs\.py, queue/others\.py"):
        broken(tmp_path, **guard)
    assert "or False" in broken(tmp_path, **guard, function="queue.others.Job.take")
