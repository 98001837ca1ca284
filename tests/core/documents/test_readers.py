import os
import shutil
from pathlib import Path

import pytest

from semantic_core.documents.readers import MOST_BYTES, FileDocument, pydoc_topics, read_documents
from semantic_core.domain.errors import InvalidInputError, UnreadableFileError


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


def test_text_files_are_found_in_order_and_hidden_ones_left_out(folder: Path) -> None:
    found = [document.path.relative_to(folder).as_posix() for document in read_documents([folder])]
    assert found == ["a.TXT", "b.md", "deep/c.rst", "deep/deeper/d.html"]


def test_each_kind_has_its_format(folder: Path) -> None:
    formats = {name: document.format for name, document in by_name(folder).items()}
    assert formats == {"a.TXT": "text", "b.md": "markdown", "c.rst": "text", "d.html": "markdown"}


def test_content_is_read_when_it_is_asked_for(folder: Path) -> None:
    document = by_name(folder)["a.TXT"]
    (folder / "a.TXT").write_text("Newer.", encoding="utf-8")
    assert document.content == "Newer."


def test_html_is_read_as_markdown(folder: Path) -> None:
    assert by_name(folder)["d.html"].content == "# T\n\nx"


def test_files_of_the_same_name_have_different_ids(folder: Path, tmp_path: Path) -> None:
    """One would replace the other, and its text would be lost."""
    other = shutil.copytree(folder, tmp_path / "other")
    documents = list(read_documents([folder, other]))
    assert len({document.id for document in documents}) == len(documents)


def test_an_id_does_not_depend_on_where_one_stands(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    [relative] = read_documents(["b.md"])
    [absolute] = read_documents([folder / "b.md"])
    assert relative.id == absolute.id
    assert relative.source == "b.md"


def test_a_missing_path_is_refused_before_anything_is_read(folder: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"There is no .*nowhere"):
        read_documents([folder, folder / "nowhere"])


def test_a_file_of_another_kind_is_refused_when_it_is_named(folder: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"photo\.jpg is none of \.txt"):
        read_documents([folder / "photo.jpg"])


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
    documents = read_documents([folder])
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
    assert document.id.endswith("caf\\xe9.txt")
    assert document.content == "x"


def test_an_encoding_that_nobody_can_tell_is_refused_by_name(folder: Path) -> None:
    (folder / "noise.txt").write_bytes(bytes(range(256)))
    with pytest.raises(UnreadableFileError, match=r"noise\.txt is no text in an encoding"):
        _ = by_name(folder)["noise.txt"].content


def test_html_is_read_as_it_declares(folder: Path) -> None:
    page = '<meta charset="windows-1251"><p>Да</p>'
    (folder / "p.html").write_bytes(page.encode("windows-1251"))
    assert by_name(folder)["p.html"].content == "Да"


# --- links -------------------------------------------------------------------------------


def test_links_that_lead_out_of_a_folder_are_passed_over_and_named(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "g.txt").write_text("secret")
    (tmp_path / "notes-2").mkdir()
    (tmp_path / "notes-2" / "h.txt").write_text("a folder of which the name begins alike")
    (folder / "deep" / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "relative.txt").symlink_to("../notes-2/h.txt")
    (folder / "broken.txt").symlink_to(tmp_path / "nothing.txt")
    (folder / "out").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(folder)
    names = {document.path.name for document in read_documents([folder])}
    assert names == {"a.TXT", "b.md", "c.rst", "d.html"}
    for name in ("out.txt", "relative.txt", "broken.txt", "out", "again"):
        assert any(f"{name}' is skipped" in line for line in caplog.messages), name


def test_a_link_within_a_folder_and_one_that_is_named_are_followed(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "same.md").symlink_to("b.md")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "link.md").symlink_to(folder / "b.md")
    found = {document.path.name: document for document in read_documents([tmp_path / "link"])}
    assert found["same.md"].content == found["b.md"].content
    [named] = read_documents([tmp_path / "link.md"])
    assert named.content == found["b.md"].content


def test_a_link_to_itself_names_itself(folder: Path) -> None:
    (folder / "loop.txt").symlink_to("loop.txt")
    with pytest.raises(UnreadableFileError, match=r"loop\.txt cannot be read"):
        _ = by_name(folder)["loop.txt"].content


def test_a_file_that_is_found_twice_comes_once(folder: Path) -> None:
    found = list(read_documents([folder / "b.md", folder, folder / "deep", folder]))
    assert sorted(document.path.name for document in found) == ["a.TXT", "b.md", "c.rst", "d.html"]


def test_the_language_reference_is_in_every_python() -> None:
    topics = list(pydoc_topics())
    assert len(topics) > 50
    assert len({topic.id for topic in topics}) == len(topics)
    assert sum(len(topic.content) for topic in topics) > 300_000
    assert {topic.format for topic in topics} == {"text"}
