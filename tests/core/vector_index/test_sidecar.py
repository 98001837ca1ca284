"""The saved index: it may be anything but believed when it is wrong."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from semantic_core.domain.failpoints import FailPoint
from semantic_core.vector_index import Identity, Moment, Sidecar, VectorIndex
from support.disk import binding_permissions, no_file_larger_than
from support.nearest import clustered, listed

IDENTITY = Identity(database=UUID(int=7), collection=3, space="some space", dimensions=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.db-vectors-3"


@pytest.fixture
def sidecar(path: Path) -> Sidecar:
    return Sidecar(path, IDENTITY)


def index_of(count: int, *, seed: int = 1, dimensions: int = 5) -> VectorIndex:
    index = VectorIndex(dimensions)
    index.put(np.arange(count)[::-1] * 3, clustered(count, dimensions, seed=seed))
    return index


def answers(index: VectorIndex) -> list[Any]:
    queries = clustered(7, index.dimensions, seed=1)
    return [listed(hits) for hits in index.search_many(queries, 10)]


def opened(sidecar: Sidecar) -> VectorIndex:
    found = sidecar.open(oldest=0, newest=10**6)
    assert found is not None
    return found[0]


# --- writing and reading ---------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 3, 2000])
def test_what_is_saved_is_opened(sidecar: Sidecar, count: int) -> None:
    index = index_of(count)
    assert sidecar.save(index, Moment(42))
    found = sidecar.open(oldest=0, newest=42)
    assert found is not None
    assert found[1] == Moment(42)
    assert len(found[0]) == count
    assert answers(found[0]) == answers(index)


def test_codes_and_depth_are_saved_too(path: Path) -> None:
    """Opening must not cost what making the index costs."""
    sidecar = Sidecar(path, replace(IDENTITY, dimensions=70))
    index = index_of(21_000, dimensions=70)
    index.remove(np.arange(0, 6000, 3))
    assert sidecar.save(index, Moment(1))
    again = opened(sidecar)
    made, read = index.first_pass(), again._derived.first_pass
    assert made is not None
    assert read is not None
    assert read.depth == made.depth
    assert read.codes.mean.tolist() == made.codes.mean.tolist()
    query = again.matrix.gather(np.array([5]))[0]
    live = index.matrix.live_rows()
    assert (
        read.codes.distances(query, read.codes.count)
        == made.codes.distances(query, made.codes.count)[live]
    ).all()
    assert answers(again) == answers(index)


def test_a_mapped_index_grows_and_shrinks_without_its_file(sidecar: Sidecar, path: Path) -> None:
    sidecar.save(index_of(500), Moment(1))
    before = path.read_bytes()
    mapped, plain = opened(sidecar), index_of(500)
    for step in range(12):
        for index in (mapped, plain):
            index.remove(np.arange(step * 90, step * 90 + 60))
            index.put(np.arange(step * 31, step * 31 + 40), clustered(40, 5, seed=step))
        assert answers(mapped) == answers(plain)
    assert path.read_bytes() == before
    assert sidecar.save(mapped, Moment(2))
    assert answers(opened(sidecar)) == answers(plain)


def test_only_its_owner_can_read_it(sidecar: Sidecar, path: Path) -> None:
    """Vectors tell about texts."""
    mask = os.umask(0)
    try:
        sidecar.save(index_of(3), Moment(1))
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- what cannot be used ---------------------------------------------------------------------


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "semantic_core.vector_index")
    return caplog


def refused(sidecar: Sidecar, said: pytest.LogCaptureFixture, reason: str) -> None:
    """The file is not used, which is said once, however often it is tried."""
    for _ in range(3):
        assert sidecar.open(oldest=0, newest=100) is None
    assert len(said.records) == 1
    assert reason in said.text
    assert "Search answers from the rows" in said.text
    said.clear()


def test_a_file_that_is_not_there_is_nothing_to_report(
    sidecar: Sidecar, said: pytest.LogCaptureFixture
) -> None:
    assert sidecar.open(oldest=0, newest=100) is None
    assert not said.records


def test_any_flipped_byte_is_noticed(sidecar: Sidecar, path: Path) -> None:
    sidecar.save(index_of(3), Moment(1))
    believed = []
    with path.open("r+b", buffering=0) as file:
        for place, byte in enumerate(path.read_bytes()):
            os.pwrite(file.fileno(), bytes([byte ^ 1 << place % 8]), place)
            if sidecar.open(oldest=0, newest=100) is not None:
                believed.append(place)
            os.pwrite(file.fileno(), bytes([byte]), place)
    assert believed == []
    assert sidecar.open(oldest=0, newest=100) is not None


def test_damage_in_a_large_file_is_noticed(path: Path, said: pytest.LogCaptureFixture) -> None:
    """Also where two pages changed places: every byte is there, but not where it belongs."""
    sidecar = Sidecar(path, replace(IDENTITY, dimensions=70))
    sidecar.save(index_of(21_000, dimensions=70), Moment(1))
    whole = path.read_bytes()
    size = len(whole)
    for place in (5000, size // 3, size // 2, size - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        refused(Sidecar(path, sidecar.identity), said, "is damaged")
    start, block = 4096, 2**20
    one, two = whole[start : start + block], whole[start + block : start + 2 * block]
    path.write_bytes(whole[:start] + two + one + whole[start + 2 * block :])
    refused(sidecar, said, "is damaged")


@pytest.mark.parametrize("dimensions", [1, 8, 70, 768])
def test_two_parts_that_changed_places_are_noticed(path: Path, dimensions: int) -> None:
    """Words, vectors and pages, near one another and far apart: all bytes are there."""
    sidecar = Sidecar(path, replace(IDENTITY, dimensions=dimensions))
    sidecar.save(index_of(2_000_000 // dimensions // 8, dimensions=dimensions), Moment(1))
    whole = path.read_bytes()
    row = 4 * dimensions
    places = np.random.default_rng(1)
    believed = []
    with path.open("r+b", buffering=0) as file:
        for size in (4, 8, row, 4096, 16_384):
            # Of those far apart the second is anywhere; of those near, the next, or the one after.
            count = (len(whole) - 4096) // size
            for turn in range(20):
                first = int(places.integers(0, count - 2))
                second = first + 1 + turn % 2 if turn < 10 else int(places.integers(0, count))
                one, two = 4096 + first * size, 4096 + second * size
                parts = whole[one : one + size], whole[two : two + size]
                if parts[0] == parts[1]:
                    continue
                os.pwrite(file.fileno(), parts[1], one)
                os.pwrite(file.fileno(), parts[0], two)
                if sidecar.open(oldest=0, newest=100) is not None:
                    believed.append((size, one, two))
                os.pwrite(file.fileno(), parts[0], one)
                os.pwrite(file.fileno(), parts[1], two)
    assert believed == []
    assert sidecar.open(oldest=0, newest=100) is not None


@pytest.mark.parametrize("kept", [0, 1, 100, 4095, 4096, 4097, 5000, -64, -1])
def test_a_file_cut_off_is_never_mapped(
    sidecar: Sidecar, path: Path, said: pytest.LogCaptureFixture, kept: int
) -> None:
    """Touching a page beyond the end of a mapped file kills the process."""
    sidecar.save(index_of(2000), Moment(1))
    path.write_bytes(path.read_bytes()[:kept])
    refused(sidecar, said, "is cut off" if 0 <= kept < 4096 else "bytes, not")


def test_a_longer_file_is_refused(
    sidecar: Sidecar, path: Path, said: pytest.LogCaptureFixture
) -> None:
    sidecar.save(index_of(3), Moment(1))
    path.write_bytes(path.read_bytes() + b"\0" * 64)
    refused(sidecar, said, "bytes, not")


@pytest.mark.parametrize(
    "other",
    [{"database": UUID(int=8)}, {"collection": 4}, {"space": "another space"}, {"dimensions": 6}],
)
def test_a_file_of_other_vectors_is_refused_and_replaced(
    path: Path, said: pytest.LogCaptureFixture, other: dict[str, Any]
) -> None:
    theirs = replace(IDENTITY, **other)
    index = VectorIndex(theirs.dimensions)
    Sidecar(path, theirs).save(index, Moment(1))
    sidecar = Sidecar(path, IDENTITY)
    refused(sidecar, said, "another")
    assert sidecar.save(index_of(4), Moment(1))
    assert len(opened(sidecar)) == 4


def test_a_file_from_another_past_is_refused(
    sidecar: Sidecar, said: pytest.LogCaptureFixture
) -> None:
    """A backup was restored: the database has not got as far as this file."""
    sidecar.save(index_of(3), Moment(101))
    refused(sidecar, said, "is newer than the database")


def test_a_file_older_than_the_known_changes_is_left_alone(
    sidecar: Sidecar, said: pytest.LogCaptureFixture
) -> None:
    sidecar.save(index_of(3), Moment(5))
    assert sidecar.open(oldest=6, newest=100) is None
    assert sidecar.open(oldest=5, newest=100) is not None
    assert not said.records


def test_no_planted_file_is_ever_unpickled(
    sidecar: Sidecar, path: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    marker = tmp_path / "touched"
    planted = pickle.dumps(_Touching(marker), protocol=2)
    pickle.loads(planted)
    assert marker.exists()
    marker.unlink()
    path.write_bytes(planted.ljust(10_000, b"\0"))
    refused(sidecar, said, "is no index of semcore's")
    np.save(path.with_suffix(".npy"), np.array([_Touching(marker)], dtype=object))
    path.with_suffix(".npy").rename(path)
    sidecar.open(oldest=0, newest=100)
    assert not marker.exists()


class _Touching:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_only_a_regular_file_is_read(
    sidecar: Sidecar, path: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    """A link could lead anywhere, and a pipe would be waited for."""
    target = tmp_path / "elsewhere"
    Sidecar(target, IDENTITY).save(index_of(3), Moment(1))
    path.symlink_to(target)
    refused(Sidecar(path, IDENTITY), said, "symbolic link")
    path.unlink()
    os.mkfifo(path)
    refused(Sidecar(path, IDENTITY), said, "no regular file")
    path.unlink()
    path.mkdir()
    refused(sidecar, said, "no regular file")
    assert not sidecar.save(index_of(3), Moment(1))
    assert "directory" in said.text
    assert sorted(tmp_path.iterdir()) == [target, path]


# --- what cannot be written ------------------------------------------------------------------


def test_a_full_disk_leaves_the_old_file(
    sidecar: Sidecar, path: Path, said: pytest.LogCaptureFixture
) -> None:
    sidecar.save(index_of(50), Moment(1))
    for size in (100, 5000, 20_000):
        with no_file_larger_than(size):
            assert not sidecar.save(index_of(2000), Moment(2))
        assert list(path.parent.iterdir()) == [path]
    assert len(said.records) == 1
    assert "File too large" in said.text
    assert len(opened(sidecar)) == 50
    assert sidecar.save(index_of(2000), Moment(2))


def test_a_folder_that_is_not_there_is_no_cache(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    sidecar = Sidecar(tmp_path / "missing" / "vectors", IDENTITY)
    assert sidecar.open(oldest=0, newest=100) is None
    assert not sidecar.save(index_of(3), Moment(1))
    assert not sidecar.save(index_of(3), Moment(1))
    assert len(said.records) == 1


def test_no_permission_is_said_once_and_search_goes_on(
    sidecar: Sidecar, path: Path, said: pytest.LogCaptureFixture
) -> None:
    sidecar.save(index_of(3), Moment(1))
    path.chmod(0)
    path.parent.chmod(0o555)
    with binding_permissions():
        for _ in range(3):
            assert sidecar.open(oldest=0, newest=100) is None
            assert not sidecar.save(index_of(3), Moment(1))
    path.parent.chmod(0o755)
    assert len(said.records) == 1
    assert "No saved vector index" in said.text
    assert "Permission denied" in said.text


# --- several processes, and their deaths -----------------------------------------------------

CHILD = f"""
import logging, os, resource, signal, sys
from dataclasses import replace
from pathlib import Path
from uuid import UUID
import numpy as np
from semantic_core.domain.failpoints import FailPoint, arm
from semantic_core.vector_index import Identity, Moment, Sidecar, VectorIndex

logging.basicConfig()
sidecar = Sidecar(Path(sys.argv[1]), {IDENTITY!r})

def index_of(count):
    index = VectorIndex(5)
    index.put(np.arange(count), np.random.default_rng(1).standard_normal((count, 5), np.float32))
    return index
"""


def child_command(code: str, path: Path) -> list[str]:
    return [sys.executable, "-c", CHILD + code, str(path)]


def run_child(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        child_command(code, path), capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("point", "seq"),
    [(FailPoint.INDEX_WRITTEN, 1), (FailPoint.INDEX_SYNCED, 1), (FailPoint.INDEX_REPLACED, 2)],
)
def test_a_process_killed_at_a_step_leaves_the_old_file_or_the_new(
    sidecar: Sidecar, path: Path, point: FailPoint, seq: int
) -> None:
    sidecar.save(index_of(50), Moment(1))
    done = run_child(
        f"arm(FailPoint({point.value!r}), lambda: os.kill(os.getpid(), signal.SIGKILL))\n"
        "sidecar.save(index_of(2000), Moment(2))",
        path,
    )
    assert done.returncode == -signal.SIGKILL
    found = sidecar.open(oldest=0, newest=100)
    assert found is not None
    assert (found[1].seq, len(found[0])) == ((1, 50) if seq == 1 else (2, 2000))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("size", [0, 4096, 10_000, 30_000])
def test_a_process_killed_while_it_writes_leaves_the_old_file(
    sidecar: Sidecar, path: Path, size: int
) -> None:
    """The operating system kills it at a byte of our choice."""
    sidecar.save(index_of(50), Moment(1))
    done = run_child(
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        "sidecar.save(index_of(2000), Moment(2))",
        path,
    )
    assert done.returncode == -signal.SIGXFSZ
    assert len(list(path.parent.iterdir())) == 2
    assert len(opened(sidecar)) == 50
    assert list(path.parent.iterdir()) == [path]
    assert sidecar.save(index_of(2000), Moment(2))


def test_two_processes_that_save_do_not_mix(sidecar: Sidecar, path: Path) -> None:
    """While one writes, the other leaves its file alone, and writes none itself."""
    writing = subprocess.Popen(
        child_command(
            "def wait():\n"
            "    print('written', flush=True)\n"
            "    sys.stdin.readline()\n"
            "arm(FailPoint.INDEX_WRITTEN, wait)\n"
            "sys.exit(not sidecar.save(index_of(2000), Moment(2)))",
            path,
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with writing:
        assert writing.stdout is not None
        assert writing.stdout.readline() == "written\n"
        assert sidecar.open(oldest=0, newest=100) is None
        assert not sidecar.save(index_of(50), Moment(1))
        assert writing.communicate("go on\n", timeout=300)[0] == ""
    assert writing.returncode == 0
    assert len(opened(sidecar)) == 2000
    assert list(path.parent.iterdir()) == [path]


def test_a_mapped_file_outlives_its_replacement(sidecar: Sidecar) -> None:
    old_index, new_index = index_of(2000, seed=1), index_of(3000, seed=2)
    sidecar.save(old_index, Moment(1))
    old = opened(sidecar)
    assert sidecar.save(new_index, Moment(2))
    new = opened(sidecar)
    sidecar.path.unlink()
    assert answers(old) == answers(old_index)
    assert answers(new) == answers(new_index)
