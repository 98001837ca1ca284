"""Where a job's temporary files live: beside the database, private, gone when they are used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Workspace:
    """The folder of temporary files of one database.

    It holds the user's text, so only its owner can read it. Names come from our own job ids,
    and a job's lease makes sure that only one process uses them.

    Args:
        database: path of the database file.
    """

    def __init__(self, database: Path) -> None:
        self._folder = database.with_name(f"{database.name}-batches")

    @contextmanager
    def file(self, job_id: str, purpose: str) -> Iterator[Path]:
        """Give a path for a temporary file; whatever is there is removed before and after."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{job_id}.{purpose}"
        # What an earlier process left may be torn: it is never used again.
        path.unlink(missing_ok=True)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
            # Another job's file may still be there.
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def forget(self, job_id: str) -> None:
        """Remove what a process that was killed left of this job."""
        if not self._folder.is_dir():
            return
        for path in self._folder.glob(f"{job_id}.*"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()
