"""Where a job's temporary files live: beside the database, private, gone when they are used."""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semantic_core.domain.errors import StorageError, StorageFullError, TransitionError


class Workspace:
    """The folder of temporary files of one database.

    It holds the user's text, so only its owner can read it. Names come from our own job ids.
    Each use has a folder of its own: a process that slept and lost its job may still have files
    of it open, and must not touch those of its successor.
    """

    def __init__(self, database: Path) -> None:
        self.folder = database.with_name(f"{database.name}-batches")

    @contextmanager
    def file(self, job_id: str, purpose: str) -> Iterator[Path]:
        """Give a path for a temporary file, which is removed at the end, and all beside it.

        What an earlier process left of the job, which may be incomplete, is removed first. A file
        that disappears is a TransitionError: another process took the job over.
        """
        self.forget(job_id)
        folder = self._make_folder(job_id)
        try:
            yield folder / purpose
        except (FileNotFoundError, StorageError) as error:
            if isinstance(error, StorageError) and not isinstance(
                error.__cause__, FileNotFoundError
            ):
                raise
            raise TransitionError(
                f"A temporary file of batch job {job_id} is gone: another process took the job "
                "over. Nothing was changed here; sync_status() shows its state.",
                batch_id=job_id,
            ) from error
        finally:
            self._remove(folder)

    def jobs(self) -> list[str]:
        return sorted({folder.name.partition(".")[0] for folder in self._listed()})

    def forget(self, job_id: str) -> None:
        """Remove what a process that was killed left of this job."""
        for folder in self._listed():
            if folder.name.startswith(f"{job_id}."):
                self._remove(folder)

    def _listed(self) -> list[Path]:
        try:
            return list(self.folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _make_folder(self, job_id: str) -> Path:
        while True:
            try:
                with contextlib.suppress(FileExistsError):
                    self.folder.mkdir(mode=0o700)
                self._check_private()
                return Path(tempfile.mkdtemp(prefix=f"{job_id}.", dir=self.folder))
            except OSError as error:
                if isinstance(error, FileNotFoundError) and self.folder.parent.is_dir():
                    # Another process found the common folder empty and removed it just now.
                    continue
                kind = StorageFullError if error.errno == errno.ENOSPC else StorageError
                raise kind(
                    f"No folder for temporary files could be made in {self.folder} "
                    f"({error.strerror}). Check the disk and its permissions, and call again."
                ) from error

    def _check_private(self) -> None:
        """Check that nobody else can put something in the place of our files, or look at them."""
        status = self.folder.lstat()
        is_folder = stat.S_ISDIR(status.st_mode)
        if not is_folder or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise StorageError(
                f"{self.folder} is no folder that only this user may write into, so no text was "
                "put there. Remove it, and call again."
            )

    def _remove(self, folder: Path) -> None:
        # What cannot be removed now is tried again with the next use of the job.
        shutil.rmtree(folder, ignore_errors=True)
        # Files of another job may still be there.
        with contextlib.suppress(OSError):
            self.folder.rmdir()
