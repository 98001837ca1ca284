import os
from pathlib import Path

import pytest

from semantic_core.documents.readers import FileDocument
from semantic_core.documents.walk import FoundFiles, read_documents
from semantic_core.domain.errors import InvalidInputError, UnreadableFileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "notes"
    for name in ("b.md", "a.TXT", "deep/c.rst", "deep/deeper/d.html"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("A text.")
    return root


def names(found: FoundFiles) -> list[str]:
    return [document.path.relative_to(document.top).as_posix() for document in found]


def test_files_come_in_order_and_the_rest_is_counted_by_kind(folder: Path, tmp_path: Path) -> None:
    for name in ("photo.jpg", "photo.JPG", "Makefile", ".env", ".git/x.md", "node_modules/p/x.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("A text.")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "same.md").symlink_to("b.md")
    (folder / "again").symlink_to(folder)
    found = read_documents([folder])
    for _ in range(2):
        assert names(found) == ["a.TXT", "b.md", "deep/c.rst", "deep/deeper/d.html"]
        assert found.passed_over == {
            ".jpg": 2,
            "no suffix": 1,
            "hidden": 1,
            ".git/": 1,
            "node_modules/": 1,
            "link": 3,
        }
    assert found.found == 4


@pytest.mark.parametrize(
    ("glob", "exclude", "expected"),
    [
        (["*.md"], [], ["b.md"]),
        (["**/*.md", "**/*.rst"], [], ["b.md", "deep/c.rst"]),
        (["deep/*"], [], ["deep/c.rst", "deep/deeper/d.html"]),
        ([], ["deep"], ["a.TXT", "b.md"]),
        ([], ["deep/"], ["a.TXT", "b.md"]),
        ([], ["deep/deeper"], ["a.TXT", "b.md", "deep/c.rst"]),
        (["*.md", "*.html"], ["deeper"], ["b.md"]),
        (["*.nothing"], [], []),
    ],
)
def test_patterns_choose_files_and_folders(
    folder: Path, glob: list[str], exclude: list[str], expected: list[str]
) -> None:
    assert names(read_documents([folder], glob=glob, exclude=exclude)) == expected


def test_a_link_that_is_named_is_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "link.md").symlink_to(folder / "b.md")
    assert names(read_documents([tmp_path / "link"]))[1] == "b.md"
    [named] = read_documents([tmp_path / "link.md"])
    assert named.path == folder / "b.md"


def test_a_file_that_is_found_twice_comes_once(folder: Path) -> None:
    found = read_documents([folder / "b.md", folder, folder / "deep", folder])
    assert sorted(document.path.name for document in found) == ["a.TXT", "b.md", "c.rst", "d.html"]


def test_a_missing_path_is_refused_before_anything_is_read(folder: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"There is no .*nowhere"):
        read_documents([folder, folder / "nowhere"])
    with pytest.raises(InvalidInputError, match="There is no xxx"):
        read_documents(["x" * 5000])


def test_a_file_of_another_kind_is_refused_when_it_is_named(folder: Path) -> None:
    (folder / "song.mp3").write_bytes(b"ID3")
    with pytest.raises(InvalidInputError, match=r"song\.mp3 is none of \.txt"):
        read_documents([folder / "song.mp3"])


@pytest.mark.parametrize("name", ["", " ", "a/b"])
def test_a_name_that_no_id_can_begin_with_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="is for one folder"):
        read_documents([folder], name=name)
    with pytest.raises(InvalidInputError, match="is for one folder"):
        read_documents([folder, folder], name="two")


def test_a_folder_that_may_not_be_read_names_itself_and_loses_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rights stop no superuser, so that the system's answer is given here."""
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("deeper"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found: list[FileDocument] = list(read_documents([folder]))
    *others, unlisted = found
    assert [one.path.name for one in others] == ["a.TXT", "b.md", "c.rst"]
    with pytest.raises(UnreadableFileError, match="deeper cannot be read: Permission denied"):
        _ = unlisted.content
