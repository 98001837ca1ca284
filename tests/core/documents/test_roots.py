"""Ids of files: by root and path there, whatever is moved, renamed, linked or named alike."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from batch_emulator import Emulator
from semantic_core.batches import BatchManager
from semantic_core.documents.file_metadata import printable
from semantic_core.documents.roots import spelled
from semantic_core.documents.walk import read_documents
from semantic_core.domain.errors import ConfigurationError, IngestError
from semantic_core.domain.reports import IngestReport
from semantic_core.domain.types import Document
from semantic_core.facade import SemanticCore
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.writing.copy_store import copy_store
from support.keys import canary


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "home" / "docs", "a.md", "sub/b.txt", "sub/c.txt")


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"The text of {name}, which is in {printable(folder.name)}.")
    return folder


def ingest(
    store: PeeweeVectorStore, *paths: Path, prune: bool = False, **options: Any
) -> IngestReport:
    with SemanticCore(store) as core:
        return core.ingest(read_documents(paths, **options), prune=prune)


def ids(store: PeeweeVectorStore) -> list[str]:
    return sorted({chunk.document_id or "" for chunk in store.chunks()})


DOCS = ["docs/a.md", "docs/sub/b.txt", "docs/sub/c.txt"]


# --- the name ------------------------------------------------------------------------------


def test_a_file_is_named_by_its_root_and_its_path_there(
    store: PeeweeVectorStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(store, folder)
    assert ids(store) == DOCS
    monkeypatch.chdir(folder)
    report = ingest(store, Path("sub/b.txt"), Path(), Path("../docs"))
    assert (report.documents, report.chunks.unchanged) == (3, 3)
    assert ids(store) == DOCS
    [chunk] = store.chunks(document_ids=["docs/a.md"])
    assert chunk.metadata["file_path"] == "docs/a.md"


def test_a_second_folder_of_the_name_gets_another(
    store: PeeweeVectorStore, folder: Path, tmp_path: Path
) -> None:
    other = fill(tmp_path / "work" / "docs", "a.md")
    third = fill(tmp_path / "third" / "docs", "a.md")
    ingest(store, folder, other)
    ingest(store, third)
    ingest(store, other, folder, third)
    assert ids(store) == ["docs-2/a.md", "docs-3/a.md", *DOCS]


def test_a_name_that_is_given_is_kept(store: PeeweeVectorStore, folder: Path) -> None:
    ingest(store, folder, name="handbook")
    ingest(store, folder)
    ingest(store, folder / "sub")
    assert ids(store) == ["handbook/a.md", "handbook/sub/b.txt", "handbook/sub/c.txt"]


def test_a_root_that_gets_another_name_doubles_nothing(
    store: PeeweeVectorStore, folder: Path
) -> None:
    ingest(store, folder)
    (folder / "sub" / "c.txt").unlink()
    report = ingest(store, folder, name="handbook")
    assert ids(store) == ["docs/sub/c.txt", "handbook/a.md", "handbook/sub/b.txt"]
    assert report.gone == 1
    assert ingest(store, folder, prune=True).pruned == 1
    assert ids(store) == ["handbook/a.md", "handbook/sub/b.txt"]


def test_a_root_that_gets_another_name_keeps_what_was_left_out(
    store: PeeweeVectorStore, folder: Path
) -> None:
    ingest(store, folder)
    ingest(store, folder, name="handbook", exclude=["sub"], prune=True)
    assert ids(store) == ["docs/sub/b.txt", "docs/sub/c.txt", "handbook/a.md"]


def test_a_name_of_another_root_is_refused(
    store: PeeweeVectorStore, folder: Path, tmp_path: Path
) -> None:
    other = fill(tmp_path / "other", "x.md")
    ingest(store, folder, other)
    with pytest.raises(ConfigurationError, match=r"is the root 'other', and 'docs' is another"):
        ingest(store, other, name="docs")
    with pytest.raises(ConfigurationError, match=r"as a part of 'docs', as docs/sub/"):
        ingest(store, folder / "sub", name="sub")
    assert ids(store) == [*DOCS, "other/x.md"]


# --- moved ---------------------------------------------------------------------------------


def test_a_folder_that_is_moved_is_the_same(
    store: PeeweeVectorStore, folder: Path, tmp_path: Path
) -> None:
    ingest(store, folder)
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "docs")
    report = ingest(store, moved)
    assert (report.chunks.unchanged, report.gone) == (3, 0)
    assert ids(store) == DOCS


def test_a_second_folder_of_the_name_may_move_as_well(
    store: PeeweeVectorStore, folder: Path, tmp_path: Path
) -> None:
    other = fill(tmp_path / "work" / "docs", "x.md")
    ingest(store, folder, other)
    (tmp_path / "elsewhere").mkdir()
    assert ingest(store, other.rename(tmp_path / "elsewhere" / "docs")).chunks.unchanged == 1
    assert ids(store) == ["docs-2/x.md", *DOCS]


def test_another_folder_of_the_name_of_one_that_is_gone_is_another(
    store: PeeweeVectorStore, folder: Path, tmp_path: Path
) -> None:
    ingest(store, folder)
    folder.parent.rename(tmp_path / "unplugged")
    ingest(store, fill(tmp_path / "work" / "docs", "x.md"), prune=True)
    assert ids(store) == ["docs-2/x.md", *DOCS]


def test_a_folder_that_got_another_name_is_asked_about(
    store: PeeweeVectorStore, folder: Path, tmp_path: Path
) -> None:
    ingest(store, folder)
    moved = folder.rename(tmp_path / "handbook")
    with pytest.raises(ConfigurationError, match="3 of 3 files of the root 'docs' are in"):
        ingest(store, moved)
    assert ids(store) == DOCS
    assert ingest(store, moved, name="docs").chunks.unchanged == 3
    assert ingest(store, moved).chunks.unchanged == 3
    assert ids(store) == DOCS


def test_a_copy_of_a_folder_is_another_root_unless_it_is_named(
    store: PeeweeVectorStore, folder: Path, tmp_path: Path
) -> None:
    ingest(store, folder)
    other = fill(tmp_path / "copy" / "docs", "a.md")
    ingest(store, other, name="docs")
    assert ids(store) == DOCS
    ingest(store, folder)
    assert ids(store) == ["docs-2/a.md", "docs-2/sub/b.txt", "docs-2/sub/c.txt", *DOCS]


@pytest.mark.sqlite_only("it copies the file")
def test_a_database_that_is_restored_elsewhere_goes_on(
    store: PeeweeVectorStore, folder: Path, tmp_path: Path
) -> None:
    ingest(store, folder)
    store.backup(tmp_path / "backup.db")
    (tmp_path / "server").mkdir()
    moved = folder.rename(tmp_path / "server" / "docs")
    with PeeweeVectorStore(tmp_path / "backup.db") as restored:
        assert ingest(restored, moved, prune=True).chunks.unchanged == 3
        assert ids(restored) == DOCS


def test_a_database_that_is_copied_goes_on(
    database_target: Path | str, folder: Path, tmp_path: Path
) -> None:
    with (
        PeeweeVectorStore(database_target) as old,
        PeeweeVectorStore(tmp_path / "copy.db") as copied,
    ):
        ingest(old, folder, name="handbook")
        copy_store(old, copied)
        assert ingest(copied, folder, prune=True).chunks.unchanged == 3
        assert ids(copied) == ["handbook/a.md", "handbook/sub/b.txt", "handbook/sub/c.txt"]


def test_two_that_ingest_a_new_folder_at_once_make_one_root(
    store: PeeweeVectorStore, folder: Path
) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ingest(store, folder), range(4)))
    assert ids(store) == DOCS


def test_a_link_that_leads_elsewhere_each_time_is_one_root(
    store: PeeweeVectorStore, tmp_path: Path
) -> None:
    for release in ("one", "two"):
        fill(tmp_path / release, "a.md")
    link = tmp_path / "current"
    link.symlink_to("one")
    ingest(store, link)
    ingest(store, tmp_path / "one")
    link.unlink()
    link.symlink_to("two")
    ingest(store, link)
    assert ids(store) == ["current/a.md"]


# --- roots in roots ------------------------------------------------------------------------


def test_a_folder_in_a_root_belongs_to_it(store: PeeweeVectorStore, folder: Path) -> None:
    ingest(store, folder)
    ingest(store, folder / "sub")
    ingest(store, folder / "sub" / "b.txt")
    assert ids(store) == DOCS


def test_a_root_in_a_folder_keeps_its_name(store: PeeweeVectorStore, folder: Path) -> None:
    ingest(store, folder / "sub")
    ingest(store, folder)
    expected = ["docs/a.md", "sub/b.txt", "sub/c.txt"]
    assert ids(store) == expected
    (folder / "sub" / "b.txt").unlink()
    assert ingest(store, folder, prune=True).pruned == 1
    assert ids(store) == ["docs/a.md", "sub/c.txt"]


def test_a_file_makes_no_root_of_what_lies_beside_it(
    store: PeeweeVectorStore, folder: Path
) -> None:
    fill(folder.parent, "note.txt")
    ingest(store, folder.parent / "note.txt")
    ingest(store, folder)
    assert ids(store) == [*DOCS, "home/note.txt"]
    ingest(store, folder.parent)
    assert ids(store) == [*DOCS, "home/note.txt"]


# --- gone ----------------------------------------------------------------------------------


def test_what_is_gone_is_counted_and_removed_when_that_is_asked_for(
    store: PeeweeVectorStore, folder: Path
) -> None:
    with SemanticCore(store) as core:
        core.ingest(Document(id="docs/note", content="No file, but an id that begins alike."))
    ingest(store, folder)
    (folder / "a.md").unlink()
    report = ingest(store, folder)
    assert (report.gone, report.pruned) == (1, 0)
    assert ingest(store, folder / "sub").gone == 0
    report = ingest(store, folder, prune=True)
    assert (report.gone, report.pruned, report.removed) == (0, 1, 1)
    assert ids(store) == ["docs/note", "docs/sub/b.txt", "docs/sub/c.txt"]


def test_what_is_passed_over_now_is_not_gone(store: PeeweeVectorStore, folder: Path) -> None:
    ingest(store, folder)
    (folder / "a.md").unlink()
    (folder / "a.md").symlink_to("sub/b.txt")
    report = ingest(store, folder, prune=True, glob=["b.txt"])
    assert (report.gone, report.pruned) == (0, 0)
    assert ids(store) == DOCS


def test_a_file_that_nobody_can_look_for_is_not_gone(
    store: PeeweeVectorStore, folder: Path
) -> None:
    """A folder without rights is one, too; a loop of links stops a superuser as well."""
    ingest(store, folder)
    (folder / "sub").rename(folder.parent / "elsewhere")
    (folder / "sub").symlink_to("sub")
    assert ingest(store, folder, prune=True).pruned == 0
    assert ids(store) == DOCS


def test_a_folder_with_nothing_left_in_it_loses_nothing(
    store: PeeweeVectorStore, folder: Path
) -> None:
    """Its disk may not be mounted."""
    ingest(store, folder)
    folder.rename(folder.parent / "mounted")
    folder.mkdir()
    report = ingest(store, folder, prune=True)
    assert (report.gone, report.pruned) == (3, 0)
    assert ids(store) == DOCS


def test_each_collection_is_pruned_by_itself(store: PeeweeVectorStore, folder: Path) -> None:
    store.collection("second")
    ingest(store, folder)
    with SemanticCore(store, collection="second") as core:
        core.ingest(read_documents([folder]))
        (folder / "a.md").unlink()
        core.ingest(read_documents([folder]), prune=True)
    assert ids(store) == DOCS
    assert len(store.chunks(collection="second")) == 2


def test_a_file_that_is_emptied_is_skipped_and_its_text_goes(
    store: PeeweeVectorStore, folder: Path
) -> None:
    ingest(store, folder)
    (folder / "a.md").write_text("---\ntitle: nothing\n---\n")
    (folder / "sub" / "b.txt").write_text("")
    report = ingest(store, folder)
    assert (report.documents, report.skipped_count, report.removed) == (1, 2, 2)
    assert ids(store) == ["docs/sub/c.txt"]


def test_a_file_that_cannot_be_read_keeps_what_it_held(
    store: PeeweeVectorStore, folder: Path
) -> None:
    ingest(store, folder)
    (folder / "a.md").write_bytes(bytes(range(256)))
    with pytest.raises(IngestError, match=r"a\.md"):
        ingest(store, folder, prune=True)
    assert ids(store) == DOCS


def test_a_renamed_file_keeps_its_vector(
    store: PeeweeVectorStore, folder: Path, emulator: Emulator, tmp_path: Path
) -> None:
    keyring = GoogleKeyring(batch_key=canary("batch"))
    endpoint = Endpoint(base_url=emulator.url)
    ingest(store, folder)
    with (
        GeminiBatchClient.from_keyring(keyring, endpoint=endpoint) as client,
        BatchManager(keyring, store, client=client) as manager,
    ):
        manager.flush_queue()
        manager.wait()
        (folder / "a.md").rename(folder / "z.md")
        (tmp_path / "elsewhere").mkdir()
        moved = folder.rename(tmp_path / "elsewhere" / "docs")
        report = ingest(store, moved, prune=True)
        assert (report.chunks.ready, report.chunks.pending, report.pruned) == (3, 0, 1)
        assert manager.flush_queue() is None
    assert set(emulator.ledger.billed(live=False).values()) == {1}
    assert len(emulator.ledger.billed(live=False)) == 3


# --- names that nobody expects ---------------------------------------------------------------


@pytest.mark.parametrize("name", [b"caf\xe9.txt", b"caf\\xe9.txt", "näh\n\x1b[2J.txt".encode()])
def test_any_name_is_one_document_that_can_go(
    store: PeeweeVectorStore, tmp_path: Path, name: bytes
) -> None:
    folder = fill(tmp_path / "docs", "other.txt")
    path = os.path.join(os.fsencode(folder), name)  # noqa: PTH118  # pathlib takes no bytes
    Path(os.fsdecode(path)).write_text("A text.")
    ingest(store, folder)
    ingest(store, folder, prune=True)
    assert len(ids(store)) == 2
    Path(os.fsdecode(path)).unlink()
    assert ingest(store, folder, prune=True).pruned == 1
    assert ids(store) == ["docs/other.txt"]


def test_a_folder_whose_name_is_no_text_is_one_root(
    store: PeeweeVectorStore, tmp_path: Path
) -> None:
    folder = fill(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9")), "a.md")
    ingest(store, folder)
    ingest(store, folder, prune=True)
    assert ids(store) == ["\\xe9/a.md"]


def test_a_path_too_long_for_an_id_is_refused_by_name(
    store: PeeweeVectorStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "docs", "short.txt")
    monkeypatch.chdir(tmp_path / "docs")
    for _ in range(14):  # no path of one piece could be as long
        Path("d" * 200).mkdir()
        os.chdir("d" * 200)
    Path("deep.txt").write_text("A text.")
    with pytest.raises(IngestError) as refused:
        ingest(store, tmp_path / "docs")
    assert refused.value.report is not None
    assert "more than 2,500 bytes" in refused.value.report.rejected[0].reason
    assert ids(store) == ["docs/short.txt"]


@pytest.mark.parametrize(
    ("path", "as_listed"),
    [
        ("Guide.md", "guide.md"),
        ("GUIDES/Cafe\u0301.md", "guides/Caf\u00e9.md"),
        ("Both.md", "Both.md"),
        ("away.md", "away.md"),
        ("Away/guide.md", "Away/guide.md"),
    ],
)
def test_a_path_is_known_as_the_disk_lists_it(path: str, as_listed: str) -> None:
    """Where case tells no files apart, a file renamed in it alone is still there by its old path."""
    disk = {
        "/docs": frozenset({"guide.md", "both.md", "Both.md", "guides"}),
        "/docs/guides": frozenset({"Caf\u00e9.md"}),
    }
    assert spelled("/docs", path, lambda folder: disk.get(folder, frozenset())) == as_listed


def test_names_that_differ_in_case_alone_are_two(store: PeeweeVectorStore, tmp_path: Path) -> None:
    folder = fill(tmp_path / "docs", "Readme.md", "README.md")
    ingest(store, folder)
    assert ids(store) == sorted(f"docs/{path.name}" for path in folder.iterdir())
