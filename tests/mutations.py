"""Break one guard at a time, in a copy, and see a test notice: ``python tests/mutations.py``.

Prints which test failed for which guard, and exits with 1 if one was broken unnoticed. Run by
``make stress``; with ``--write`` its table replaces the one in docs/reliability.md.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from support.guard_code import place_of, source_without
from support.guards import CORE, GUARDS, Guard

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "reliability.md"

COPIED = ("core", "tests", "cassettes", "llamaindex_semcore", "langchain_semcore")

# Where to look for a test that notices, by the package of the guard; each in turn.
PLACES = {
    "batches": ("tests/core/batches",),
    "database": ("tests/core/database",),
    "delivery": ("tests/core/delivery",),
    "documents": ("tests/core/documents",),
    "domain": ("tests/core/domain",),
    "providers": ("tests/core/providers",),
    "queue": ("tests/core/queue", "tests/core/store", "tests/core/batches"),
    "store": ("tests/core/store",),
}

# A broken guard may make a test wait for ever; that counts as noticed.
LONGEST = 900

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?)(?: - .*)?$", re.MULTILINE)

BEGIN, END = "<!-- mutations -->\n", "<!-- /mutations -->\n"


@dataclass(frozen=True)
class Verdict:
    """What noticed that a guard was broken: a test, or nothing."""

    guard: Guard
    test: str | None


class Copy:
    """A copy of the project in which one file at a time is changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(ROOT / "pyproject.toml", folder)

    def sure_failure(self, place: str) -> str | None:
        """Run tests until one fails, twice in a row; return its name.

        A busy machine may fail a test once, and a guard would seem to be tested that is not.
        """
        chance: list[str] = []
        while True:
            failed = self.first_failure([place, *(f"--deselect={name}" for name in chance)])
            if failed is None or "::" not in failed or self.first_failure([failed]) is not None:
                return failed
            chance.append(failed)

    def first_failure(self, places: Sequence[str], *, is_second_try: bool = False) -> str | None:
        """Run tests until one fails; return its name."""
        paths = (str(self.folder / "core"), str(self.folder))
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            # A changed file of the same size and second would be taken for the compiled one.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=no", "--no-header"]
        try:
            done = subprocess.run(
                [*command, "-p", "no:cacheprovider", *places],
                cwd=self.folder,
                env=environ,
                capture_output=True,
                text=True,
                timeout=LONGEST,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{places[0]} (never ends)"
        if done.returncode == 0:
            return None
        found = _FAILED.search(done.stdout)
        if found is not None:
            return found[1]
        if is_second_try:
            raise RuntimeError(f"pytest failed by itself:\n{done.stdout}{done.stderr}")
        # What is left to the garbage collector may be found at the very end, by no test.
        return self.first_failure(places, is_second_try=True)

    @contextmanager
    def without(self, guard: Guard) -> Iterator[None]:
        """Break a guard for as long as the block runs."""
        name, changed = source_without(guard, self.folder / CORE)
        path = self.folder / CORE / name
        source = path.read_text()
        path.write_text(changed)
        try:
            yield
        finally:
            path.write_text(source)


def places_of(guard: Guard, root: Path) -> list[str]:
    """Return where to look for a test that notices, the likeliest first."""
    folder, _, module = place_of(guard.function, root / CORE).path.rpartition("/")
    own = f"tests/core/{folder}/test_{module}"
    likely = [*guard.tests, *([own] if (root / own).exists() else [])]
    return list(dict.fromkeys([*likely, *PLACES[folder.partition("/")[0]]]))


def judge(copy: Copy, guard: Guard) -> Verdict:
    """Break a guard and look for a test that notices."""
    with copy.without(guard):
        for place in places_of(guard, copy.folder):
            failed = copy.sure_failure(place)
            if failed is not None:
                return Verdict(guard, failed)
    return Verdict(guard, None)


def judge_all(guards: Sequence[Guard], *, jobs: int) -> Iterator[Verdict]:
    """Yield a verdict for each guard, in order."""
    with tempfile.TemporaryDirectory(prefix="semcore-mutations-") as folder:
        idle: SimpleQueue[Copy] = SimpleQueue()
        for number in range(jobs):
            idle.put(Copy(Path(folder) / str(number)))

        def work(guard: Guard) -> Verdict:
            copy = idle.get()
            try:
                return judge(copy, guard)
            finally:
                idle.put(copy)

        copy = idle.get()
        places = {place for guard in guards for place in places_of(guard, copy.folder)}
        sound = copy.first_failure(sorted(places))
        idle.put(copy)
        if sound is not None:
            raise RuntimeError(f"{sound} fails with every guard in place: mend that first.")
        with ThreadPoolExecutor(jobs) as workers:
            yield from workers.map(work, guards)


def row(verdict: Verdict) -> str:
    """Return the line of the table for a verdict."""
    test = verdict.test or "**none**"
    name = test.removeprefix("tests/core/").replace("|", r"\|")
    return f"{row_start(verdict.guard)} | `{name}` |"


def row_start(guard: Guard) -> str:
    """Return how the line of a guard begins."""
    return f"| `{guard.function}` | {guard.keeps}"


def write_table(rows: Sequence[str]) -> None:
    """Put lines in the place of those of the same guards, between the table's marks."""
    text = TABLE.read_text()
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    lines = {line.rpartition(" | ")[0]: line for line in [*table.splitlines(), *rows]}
    kept = [lines[start] for guard in GUARDS if (start := row_start(guard)) in lines]
    head = "| function | guard | first test that fails without it |\n|---|---|---|\n"
    TABLE.write_text(before + BEGIN + head + "".join(f"{line}\n" for line in kept) + END + after)


def main() -> int:
    """Judge guards; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "only", nargs="*", help="only guards whose function or name holds one of these"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help=f"write the table into {TABLE.name}")
    options = parser.parse_args()
    guards = [
        one
        for one in GUARDS
        if not options.only or any(word in f"{one.function} {one.keeps}" for word in options.only)
    ]
    rows, missed = [], 0
    for verdict in judge_all(guards, jobs=max(1, min(options.jobs, len(guards)))):
        rows.append(row(verdict))
        missed += verdict.test is None
        print(rows[-1], flush=True)
    print(f"{len(guards)} guards, {missed} broken unnoticed.")
    if options.write:
        write_table(rows)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
