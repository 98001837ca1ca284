"""Pictures and pages from saving to search: claimed, read again, sent once, found."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semantic_core import Chunk, Document, EmbeddingSpec, Media, SemanticCore
from semantic_core.batches.job.tally import Tally
from semantic_core.domain.errors import InvalidInputError, UnreadableFileError
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.providers.types import ResultLine
from semantic_core.views.sentences import estimate_sentences, receipt_sentences
from support.invariants import check_invariants
from support.pictures import pdf, picture
from support.world import World

SPEC = EmbeddingSpec.gemini_embedding_2(dimensions=256)
READY, PENDING, FAILED = EmbeddingStatus.READY, EmbeddingStatus.PENDING, EmbeddingStatus.FAILED


@pytest.fixture
def media(world: World) -> World:
    """A world whose default collection takes pictures."""
    world.store.collection("default", SPEC)
    return world


def core_of(world: World) -> SemanticCore:
    return SemanticCore(world.store, world.keyring(), embedder=world.embedder())


@contextmanager
def opened() -> Iterator[list[str]]:
    """Give the names of the files that are opened in the block."""
    files: list[str] = []
    is_on = True

    def note(event: str, args: tuple[object, ...]) -> None:
        if is_on and event == "open":
            files.append(str(args[0]))

    sys.addaudithook(note)  # for good: Python takes none back
    try:
        yield files
    finally:
        is_on = False


def finish(world: World) -> None:
    manager = world.manager()
    while manager.flush_queue() is not None:
        pass
    world.clock.advance(3600)
    manager.sync_status()


def test_pictures_are_found_by_caption_at_once_then_by_text_and_by_picture(
    media: World, tmp_path: Path
) -> None:
    path = tmp_path / "running_shoe.png"
    path.write_bytes(picture(1))
    core = core_of(media)
    core.ingest(
        [
            Document(id="shoe", content="red canvas sneaker", media=Media(path)),
            Document(id="lamp", content="brass desk lamp", media=[Media(picture(2))]),
            Document(id="bare", content="", media=Media(picture(3, kind="JPEG"))),
        ]
    )
    (hit, *_) = core.search("sneaker")
    assert hit.chunk.document_id == "shoe"
    assert core.search("running shoe", mode="keyword")[0].chunk.document_id == "shoe"
    assert {chunk.status for chunk in media.store.chunks()} == {PENDING}

    finish(media)

    assert {chunk.status for chunk in media.store.chunks()} == {READY}
    assert core.search("brass lamp", mode="vector")[0].chunk.document_id == "lamp"
    for seed, name in ((1, "shoe"), (2, "lamp"), (3, "bare")):
        found = core.search(media=Media(picture(seed, size=200)))
        assert found.degraded is None
        assert found[0].chunk.document_id == name
    assert set(media.emulator.ledger.billed(live=False).values()) == {1}
    assert media.emulator.ledger.media_tokens(live=False) == 3 * 258


def test_each_page_of_a_pdf_is_a_chunk_with_its_number(media: World, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf("annual turnover grew", "the weather was mild", "signed in Lisbon"))
    core = core_of(media)
    core.ingest(Document(id="report", content="", media=Media(path)))

    (hit,) = core.search("Lisbon", mode="keyword")
    assert (hit.chunk.id, hit.chunk.metadata) == ("report#2", {"page": 3})
    finish(media)
    assert core.search("mild weather", mode="vector")[0].chunk.metadata == {"page": 2}
    assert media.emulator.ledger.media_tokens() == 3 * 258


@pytest.mark.parametrize("document_id", ["report", None])
def test_a_file_is_read_once_for_all_of_its_pages(
    media: World, tmp_path: Path, document_id: str | None
) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf("one", "two", "three"))
    with opened() as files:
        core_of(media).ingest(Document(id=document_id, content="", media=Media(path)))
    assert files.count(str(path)) == 1
    assert len(media.store.chunks()) == 3


def test_the_same_picture_is_sent_once_and_text_keeps_its_hash(media: World) -> None:
    plain = SPEC.hasher()("a caption")
    media.store.save(
        [
            Chunk(id="a", text="a caption", media=Media(picture(1))),
            Chunk(id="b", text="a caption", media=Media(picture(1))),
            Chunk(id="c", text="a caption", media=Media(picture(2))),
            Chunk(id="d", text="a caption"),
        ]
    )
    hashes = {chunk.id: chunk.content_hash for chunk in media.store.chunks()}
    assert hashes["d"] == plain.hex()
    assert hashes["a"] == hashes["b"]
    assert len(set(hashes.values())) == 3
    finish(media)
    assert len(media.emulator.ledger.billed()) == 3
    vectors = media.store.vectors(["a", "b", "c", "d"])
    assert np.array_equal(vectors["a"], vectors["b"])
    assert not np.allclose(vectors["a"], vectors["d"])


def test_bytes_stay_while_a_chunk_has_them(media: World) -> None:
    media.store.save(
        [
            Chunk(id="a", text="", media=Media(picture(1))),
            Chunk(id="b", text="", media=[Media(picture(1)), Media(picture(2))]),
        ]
    )
    assert media.query("SELECT uses FROM media ORDER BY uses") == [(1,), (2,)]
    media.store.save([Chunk(id="b", text="now a text")])
    assert media.query("SELECT uses FROM media") == [(1,)]
    media.store.delete(ids=["a"])
    assert media.query("SELECT uses FROM media") == []


def test_a_file_that_changed_meanwhile_waits_under_its_new_hash(
    media: World, tmp_path: Path
) -> None:
    path = tmp_path / "shoe.png"
    path.write_bytes(picture(1))
    media.store.save([Chunk(id="a", text="shoe", media=Media(path)), Chunk(id="b", text="other")])
    before = media.chunk("a").content_hash
    path.write_bytes(picture(2))
    manager = media.manager()
    assert manager.flush_queue() is not None
    chunk = media.chunk("a")
    assert (chunk.status, chunk.batch_job_id) == (PENDING, None)
    assert chunk.content_hash != before
    assert chunk.media[0].sha256 != before
    finish(media)
    assert media.chunk("a").status is READY
    found = core_of(media).search(media=Media(picture(2, size=90)))
    assert found[0].chunk.id == "a"
    assert len(media.emulator.ledger.billed(live=False)) == 2


def test_a_file_that_is_gone_fails_with_its_path(media: World, tmp_path: Path) -> None:
    path = tmp_path / "gone.png"
    path.write_bytes(picture(1))
    media.store.save([Chunk(id="a", text="shoe", media=Media(path)), Chunk(id="b", text="other")])
    path.unlink()
    assert media.manager().flush_queue() is not None
    chunk = media.chunk("a")
    assert chunk.status is FAILED
    assert str(path) in str(chunk.error_message)


def test_a_file_that_changed_into_another_of_the_job_is_sent_once(
    media: World, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    one.write_bytes(picture(1))
    two.write_bytes(picture(2))
    media.store.save([Chunk(id=path.stem, text="", media=Media(path)) for path in (one, two)])
    one.write_bytes(picture(2))
    manager = media.manager()
    assert manager.flush_queue() is not None
    assert media.chunk("one").batch_job_id == media.chunk("two").batch_job_id
    check_invariants(media.store)
    assert manager.flush_queue() is None
    finish(media)
    assert {chunk.status for chunk in media.store.chunks()} == {READY}
    assert len(media.emulator.ledger.billed(live=False)) == 1


def test_a_file_that_changed_into_one_that_is_known_is_not_sent(
    media: World, tmp_path: Path
) -> None:
    path = tmp_path / "shoe.png"
    path.write_bytes(picture(1))
    media.store.save([Chunk(id="known", text="", media=Media(picture(2)))])
    finish(media)
    media.store.save([Chunk(id="a", text="", media=Media(path))])
    path.write_bytes(picture(2))
    assert media.manager().flush_queue() is None
    assert media.chunk("a").status is READY
    check_invariants(media.store)
    assert len(media.emulator.ledger.billed()) == 1


def test_of_equal_files_any_will_do(media: World, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        path.write_bytes(picture(1))
    media.store.save([Chunk(id=path.stem, text="", media=Media(path)) for path in paths])
    paths[0].unlink()
    paths[2].write_bytes(picture(2))
    finish(media)
    assert {chunk.status for chunk in media.store.chunks()} == {READY}
    assert len(media.emulator.ledger.billed()) == 1


def test_a_file_that_changed_into_another_kind_fails_by_its_name(
    media: World, tmp_path: Path
) -> None:
    path = tmp_path / "shoe.png"
    path.write_bytes(picture(1))
    media.store.save([Chunk(id="a", text="shoe", media=Media(path))])
    path.write_bytes(b"GIF89a" + b"\0" * 20)
    assert media.manager().flush_queue() is None
    chunk = media.chunk("a")
    assert chunk.status is FAILED
    assert f"the file {path} has image/gif" in str(chunk.error_message)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (Media(b"GIF89a" + b"\0" * 20), "image/gif"),
        (Media(b"ID3" + b"\0" * 20), "audio/mpeg"),
        (Media(b"\0\0\0\x18ftypmp42"), "video/mp4"),
        (Media(b"plain words"), "no picture and no PDF"),
        (Media(picture(1), mime_type="image/jpeg"), "not 'image/jpeg'"),
        (Media(pdf("a")), "page by page"),
        (Media(picture(1), page=1), "only a PDF has pages"),
        ([Media(picture(number)) for number in range(7)], "7 pictures"),
        ("shoe.png", "Pass Media"),
        ([picture(1)], "holds a bytes. Pass Media"),
        (Media(Image.new("RGB", (4, 4))), "holds a Image. Pass Media"),  # type: ignore[arg-type]
    ],
)
def test_what_the_model_does_not_take_is_refused_by_name(
    media: World, given: object, says: str
) -> None:
    with pytest.raises(InvalidInputError, match=says):
        media.store.save([Chunk(text="a", media=given)])  # type: ignore[arg-type]  # wrong on purpose
    assert media.store.chunks() == []


def test_a_text_model_takes_no_pictures(world: World) -> None:
    with pytest.raises(InvalidInputError, match=r"gemini-embedding-001 takes only text"):
        world.store.save([Chunk(text="a", media=Media(picture(1)))])


def test_a_missing_file_is_refused_when_it_is_saved(media: World, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"none\.png"):
        media.store.save([Chunk(text="a", media=Media(tmp_path / "none.png"))])


def test_pictures_are_in_the_estimate_and_in_the_receipt(media: World) -> None:
    media.store.save([Chunk(text="", media=Media(picture(number))) for number in range(10)])
    manager = media.manager()
    cost = manager.estimate()
    assert (cost.pictures, cost.picture_tokens, cost.tokens) == (10, 5810, 5810)
    # 258 tokens at $0.225 a million, for each.
    assert cost.batch_usd == pytest.approx(10 * 258 * 0.225e-6, rel=0.01)
    finish(media)
    (job,) = manager.jobs()
    assert job.cost_usd == pytest.approx(cost.batch_usd)
    receipt = manager.receipt()
    assert (receipt.pictures, receipt.picture_tokens, receipt.estimated_tokens) == (10, 5810, 5810)
    said = "Pictures and pages among them: 10, estimated as 5,810 of these tokens"
    for sentences in (estimate_sentences(cost), receipt_sentences(receipt)):
        assert any(sentence.startswith(said) for sentence in sentences)


def test_a_page_that_is_not_there_fails_by_its_number(media: World, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf("one", "two"))
    media.store.save([Chunk(id="a", text="", media=Media(path, page=3))])
    assert media.manager().flush_queue() is None
    said = str(media.chunk("a").error_message)
    assert f"the file {path}: the PDF has 2 pages, and no page 3" in said


def test_a_pdf_that_cannot_be_read_is_refused_by_its_document(media: World) -> None:
    broken = Document(id="report", content="", media=Media(b"%PDF-1.4 and no more"))
    with pytest.raises(InvalidInputError, match=r"document 'report': the PDF cannot be read"):
        core_of(media).ingest(broken)


def test_pictures_are_saved_by_no_more_bytes_than_fit_into_memory(media: World) -> None:
    large = (Media(picture(number) + bytes(7_000_000)) for number in range(3))
    told: list[int] = []
    core_of(media).ingest(
        (Document(content="", media=one) for one in large),
        progress=lambda report: told.append(report.documents),
    )
    assert told == [2, 3]


def test_what_equal_pictures_saved_is_counted_by_modality(media: World) -> None:
    media.store.save([Chunk(id=name, text="", media=Media(picture(1))) for name in "abc"])
    finish(media)
    receipt = media.manager().receipt()
    assert (receipt.reused_chunks, receipt.reused_tokens) == (2, 2 * 581)


def test_a_count_of_a_picture_is_not_billed_as_text() -> None:
    tally = Tally()
    vector = np.ones(4, dtype=np.float32)
    for key, pictures in ((b"text", 0), (b"picture", 1)):
        line = ResultLine(key=None, vector=vector, token_count=258, error=None)
        tally.add(key, line, estimate=581, pictures=pictures)
    assert (tally.counted, tally.estimated) == ({b"text": 258}, {b"picture": 581})
