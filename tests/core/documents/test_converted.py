import io
from pathlib import Path

import pytest
from PIL import Image

from semantic_core.documents.converted import CONVERTED
from semantic_core.documents.readers import FileDocument
from semantic_core.documents.walk import read_documents
from semantic_core.domain.errors import UnreadableFileError
from semantic_core.domain.types import Document
from semantic_core.facade import SemanticCore
from semantic_core.store import PeeweeVectorStore
from support.office import TEXT, docx, files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "papers"
    root.mkdir()
    for suffix, data in files().items():
        (root / f"cats{suffix}").write_bytes(data)
    return root


def read(path: Path, data: bytes) -> Document:
    path.write_bytes(data)
    return FileDocument(path=path, top=path.parent).read()


def test_each_kind_is_read_as_markdown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    found = {document.path.suffix: document.read() for document in read_documents([folder])}
    assert set(found) == set(CONVERTED)
    for suffix, document in found.items():
        assert TEXT in document.content, suffix
        assert document.format == "markdown"
    assert found[".epub"].metadata["title"] == "Cats"
    assert sorted(folder.iterdir()) == before  # no cache is left


def test_a_text_of_another_program_is_found_by_keyword(
    folder: Path, store: PeeweeVectorStore
) -> None:
    with SemanticCore(store) as core:
        report = core.ingest(read_documents([folder]))
        assert (report.documents, report.skipped_count) == (6, 0)
        hits = core.search("where is the mat", mode="keyword")
    assert {hit.chunk.document_id for hit in hits} == {f"papers/cats{one}" for one in CONVERTED}


@pytest.mark.parametrize("suffix", CONVERTED)
def test_a_broken_file_names_itself(tmp_path: Path, suffix: str) -> None:
    data = files()[suffix]
    for broken in (data[: len(data) // 2], b"%PDF-1.7 nothing", b"PK\x03\x04", bytes(range(256))):
        if suffix == ".pdf" and broken == data[: len(data) // 2]:
            continue  # a cut one may be mended
        with pytest.raises(UnreadableFileError, match=f"cats{suffix} cannot be read"):
            read(tmp_path / f"cats{suffix}", broken)


def test_a_file_that_grows_without_measure_is_refused(tmp_path: Path) -> None:
    text = "a" * 200_000_000
    with pytest.raises(UnreadableFileError, match=r"exceeds limit"):
        read(tmp_path / "bomb.docx", docx(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"))


def test_a_scan_and_an_empty_file_have_no_text(tmp_path: Path) -> None:
    scan = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(scan, "PDF")
    assert read(tmp_path / "scan.pdf", scan.getvalue()).content == ""
    assert read(tmp_path / "empty.pdf", b"").content == ""


def test_what_begins_like_front_matter_is_text(tmp_path: Path, store: PeeweeVectorStore) -> None:
    lines = "".join(f"<w:p><w:r><w:t>{line}</w:t></w:r></w:p>" for line in ("---", "a: b", "---"))
    (tmp_path / "a.docx").write_bytes(docx(lines))
    with SemanticCore(store) as core:
        core.ingest(read_documents([tmp_path / "a.docx"]))
    [chunk] = store.chunks()
    assert "a: b" in chunk.text
    assert "a" not in chunk.metadata
