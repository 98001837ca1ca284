"""Temporary files: private, apart from those of a process that lost its job, and gone in the end."""

from __future__ import annotations

import stat
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from semantic_core.batches.job.workspace import Workspace
from semantic_core.domain.errors import StorageError, TransitionError
from semantic_core.providers.wire.private_file import PrivateFile

JOB, OTHER_JOB = "0b9d7d0e-job", "7f3c2a11-job"


@pytest.fixture
def workspace(database_path: Path) -> Workspace:
    return Workspace(database_path)


def test_nothing_is_left_however_the_use_ends(workspace: Workspace, tmp_path: Path) -> None:
    with workspace.file(JOB, "requests") as path:
        path.write_text("a user's text")

    def fail(path: Path) -> None:
        path.with_name("results.part").write_text("half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), workspace.file(JOB, "results") as path:
        fail(path)
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_may_look(workspace: Workspace) -> None:
    with workspace.file(JOB, "requests") as path:
        modes = [stat.S_IMODE(folder.stat().st_mode) for folder in list(path.parents)[:2]]
    assert modes == [0o700, 0o700]


def test_what_a_killed_process_left_is_removed_by_the_next_use(
    workspace: Workspace, tmp_path: Path
) -> None:
    left = tmp_path / "notes.db-batches" / f"{JOB}.abandoned" / "results.part"
    left.parent.mkdir(parents=True)
    left.write_text("torn")
    with workspace.file(OTHER_JOB, "results") as others:
        others.write_text("in use")
        with workspace.file(JOB, "results") as path:
            assert not path.exists()
            assert not left.exists()
        assert others.read_text() == "in use"
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_lost_its_job_leaves_its_successors_files_alone(
    workspace: Workspace, tmp_path: Path
) -> None:
    """A4: both have the same job; the first one only slept."""
    zombie = ExitStack()
    old = zombie.enter_context(workspace.file(JOB, "results"))
    old.write_text("old")
    with workspace.file(JOB, "results") as new:
        new.write_text("new")
        assert not old.exists()
        zombie.close()
        assert new.read_text() == "new"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_gone_tells_of_the_process_that_took_over(workspace: Workspace) -> None:
    with pytest.raises(TransitionError, match=JOB), workspace.file(JOB, "results") as path:
        path.read_text()


def test_writing_for_a_job_that_was_taken_over_is_no_fault_of_the_disk(
    workspace: Workspace, tmp_path: Path
) -> None:
    """A4: whoever took it over removed the folder, as it removes that of a killed process."""

    def be_late() -> None:
        with (
            workspace.file(JOB, "results") as path,
            PrivateFile(path.with_suffix(".part"), what="A test") as file,
        ):
            file.write(b"late")
            workspace.forget(JOB)
            file.move_to(path)

    with pytest.raises(TransitionError, match=JOB):
        be_late()
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_disk_stays_one(workspace: Workspace) -> None:
    def write() -> None:
        with workspace.file(JOB, "results") as path:
            path.touch()
            PrivateFile(path, what="A test")

    with pytest.raises(StorageError, match="exists"):
        write()


def test_many_that_come_and_go_do_not_take_the_folder_from_each_other(
    workspace: Workspace, tmp_path: Path
) -> None:
    """The last one out removes the common folder, just when another one comes in."""
    failures: list[BaseException] = []

    def work(job_id: str) -> None:
        try:
            for _ in range(200):
                with workspace.file(job_id, "requests") as path:
                    path.write_text("text")
        except BaseException as error:  # noqa: BLE001  # told to the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"job{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.db-batches").write_text("a file of somebody")
    with (
        pytest.raises(StorageError, match=r"notes\.db-batches"),
        Workspace(tmp_path / "notes.db").file(JOB, "requests"),
    ):
        pass
    assert (tmp_path / "notes.db-batches").read_text() == "a file of somebody"
    with (
        pytest.raises(StorageError, match="nowhere"),
        Workspace(tmp_path / "nowhere" / "notes.db").file(JOB, "requests"),
    ):
        pass


@pytest.mark.parametrize("planted", ["link", "open to all", "file"])
def test_a_folder_that_is_not_ours_alone_is_not_used(
    workspace: Workspace, tmp_path: Path, planted: str
) -> None:
    """E20: who can write into it could put a link in the place of our file."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if planted == "link":
        workspace.folder.symlink_to(elsewhere)
    elif planted == "file":
        workspace.folder.write_text("mine")
    else:
        workspace.folder.mkdir()
        workspace.folder.chmod(0o777)
    with pytest.raises(StorageError, match="Remove it"), workspace.file(JOB, "requests"):
        pass
    assert list(elsewhere.iterdir()) == []
    assert workspace.folder.is_symlink() or workspace.folder.exists()
