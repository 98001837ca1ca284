import os
import shutil
from pathlib import Path

import pytest

from semantic_core.documents.file_metadata import file_metadata, title_of
from semantic_core.documents.readers import MOST_BYTES, FileDocument, pydoc_topics
from semantic_core.documents.walk import read_documents
from semantic_core.domain.errors import UnreadableFileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "notes"
    (root / "deep" / "deeper").mkdir(parents=True)
    (root / "b.md").write_text("# Title\n\nText.", encoding="utf-8")
    (root / "a.TXT").write_text("Plain.", encoding="utf-8")
    (root / "photo.jpg").write_bytes(b"\xff\xd8")
    (root / "deep" / "c.rst").write_text("Title\n=====\n", encoding="utf-8")
    (root / "deep" / "deeper" / "d.html").write_text("<h1>T</h1><p>x</p>", encoding="utf-8")
    (root / ".git").mkdir()
    (root / ".git" / "e.txt").write_text("hidden", encoding="utf-8")
    (root / ".f.txt").write_text("hidden", encoding="utf-8")
    return root


def by_name(folder: Path) -> dict[str, FileDocument]:
    return {document.path.name: document for document in read_documents([folder])}


def test_each_kind_has_its_format(folder: Path) -> None:
    formats = {name: document.read().format for name, document in by_name(folder).items()}
    assert formats == {"a.TXT": "text", "b.md": "markdown", "c.rst": "text", "d.html": "markdown"}


def test_content_is_read_when_it_is_asked_for(folder: Path) -> None:
    document = by_name(folder)["a.TXT"]
    (folder / "a.TXT").write_text("Newer.", encoding="utf-8")
    assert document.content == "Newer."


def test_html_is_read_as_markdown(folder: Path) -> None:
    assert by_name(folder)["d.html"].content == "# T\n\nx"


def test_a_file_that_is_gone_names_itself_and_loses_no_other(folder: Path) -> None:
    documents = list(read_documents([folder]))
    (folder / "b.md").unlink()
    texts, errors = [], []
    for document in documents:
        try:
            texts.append(document.content)
        except UnreadableFileError as error:
            errors.append(str(error))
    assert len(texts) == len(documents) - 1
    assert len(errors) == 1
    assert "b.md cannot be read: No such file" in errors[0]


def test_a_folder_that_cannot_be_listed_names_itself(folder: Path) -> None:
    documents = iter(read_documents([folder]))
    assert next(documents).path.name == "a.TXT"
    shutil.rmtree(folder / "deep")
    *_, unlisted = documents
    with pytest.raises(UnreadableFileError, match="deep cannot be read: No such file"):
        _ = unlisted.content


def test_a_pipe_is_refused_instead_of_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.txt")
    with pytest.raises(UnreadableFileError, match=r"pipe\.txt is not a regular file"):
        _ = by_name(folder)["pipe.txt"].content


def test_a_file_too_large_to_be_prose_is_refused(folder: Path) -> None:
    with (folder / "dump.txt").open("wb") as file:
        file.truncate(MOST_BYTES + 1)  # takes no room on the disk
    with pytest.raises(UnreadableFileError, match=r"dump\.txt has 50,000,001 bytes"):
        _ = by_name(folder)["dump.txt"].content


def test_a_file_name_that_is_no_utf_8_can_still_be_stored(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))
    try:
        path.write_text("x", encoding="utf-8")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    [document] = read_documents([tmp_path])
    assert document.source.endswith("caf\\xe9.txt")
    assert document.metadata["file_name"] == "caf\\xe9.txt"
    assert document.content == "x"


def test_an_encoding_that_nobody_can_tell_is_refused_by_name(folder: Path) -> None:
    (folder / "noise.txt").write_bytes(bytes(range(256)))
    with pytest.raises(UnreadableFileError, match=r"noise\.txt is no text in an encoding"):
        _ = by_name(folder)["noise.txt"].content


def test_a_link_to_itself_and_a_file_without_rights_name_themselves(folder: Path) -> None:
    (folder / "loop.txt").symlink_to("loop.txt")
    document = FileDocument(path=folder / "loop.txt", top=folder)
    with pytest.raises(UnreadableFileError, match=r"loop\.txt cannot be read"):
        _ = document.content


def test_what_is_known_of_a_file_has_the_names_of_llama_index(folder: Path) -> None:
    os.utime(folder / "b.md", (0, 0))
    known = by_name(folder)["b.md"].metadata
    readers = pytest.importorskip("llama_index.core.readers.file.base")
    theirs = readers.default_file_metadata_func(str(folder / "b.md"))
    assert known["last_modified_date"] == theirs["last_modified_date"] == "1970-01-01"
    for name in ("file_name", "file_type", "file_size"):
        assert known[name] == theirs[name]
    assert set(known) | {"file_path"} == set(theirs) - {"last_accessed_date"}


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# A title #\n\n# Another", "A title"),
        ("Intro\n\n# Later", "Later"),
        ("A title\n=======\n", "A title"),
        ("=======\nA title\n=======\n", "A title"),
        ("```\n# no title\n```\n# A title", "A title"),
        ("## Only a part", None),
        ("#hashtag", None),
        ("a === b\n===", "a === b"),
        ("#  ", None),
        ("", None),
    ],
)
def test_the_title_is_the_first_heading_of_all(text: str, title: str | None) -> None:
    assert title_of(text) == title


def test_a_date_that_no_calendar_has_is_left_out(folder: Path) -> None:
    found = os.stat_result((0o100644, 1, 1, 1, 0, 0, 4, 0, 10**15, -(10**15)))
    assert set(file_metadata(folder / "b.md", found)) == {"file_name", "file_type", "file_size"}


def test_html_is_read_as_it_declares(folder: Path) -> None:
    page = '<meta charset="windows-1251"><p>Да</p>'
    (folder / "p.html").write_bytes(page.encode("windows-1251"))
    assert by_name(folder)["p.html"].content == "Да"


def test_the_language_reference_is_in_every_python() -> None:
    topics = list(pydoc_topics())
    assert len(topics) > 50
    assert len({topic.id for topic in topics}) == len(topics)
    assert sum(len(topic.content) for topic in topics) > 300_000
    assert {topic.format for topic in topics} == {"text"}
