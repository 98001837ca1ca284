"""Thumbnails in a notebook: small, few, of the stored bytes alone, and never markup."""

from __future__ import annotations

import base64
import hashlib
import io
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semantic_core import Chunk, EmbeddingSpec, Media, PeeweeVectorStore, SearchResults
from semantic_core.domain.media import StoredMedia
from semantic_core.views.notebook import MOST_ROWS
from semantic_core.views.thumbnails import MOST_BYTES
from support.html import Page, read_html
from support.pictures import pdf, picture


@pytest.fixture
def pictures(store: PeeweeVectorStore) -> PeeweeVectorStore:
    store.collection("default", EmbeddingSpec.gemini_embedding_2(dimensions=256))
    return store


def show(store: PeeweeVectorStore, *media: Media) -> str:
    store.save([Chunk(id=str(n), text="a shoe", media=one) for n, one in enumerate(media)])
    return shown(store.search(text="shoe", mode="keyword", limit=100))


def shown(results: SearchResults) -> str:
    html: str = results._repr_html_()  # type: ignore[attr-defined]  # IPython's name
    return html


def images(html: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/(png|jpeg);base64,([^"]*)"', html)
    assert html.count("<img") == len(found)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for _, data in found]


def page(html: str) -> Page:
    return read_html(html)


def photo(side: int) -> bytes:
    """A picture that does not compress."""
    noise = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(noise).save(written, "PNG")
    return written.getvalue()


def test_a_picture_is_shown_small_with_its_name(
    pictures: PeeweeVectorStore, tmp_path: Path
) -> None:
    path = tmp_path / "shoe.png"
    path.write_bytes(photo(900))
    html = show(pictures, Media(path))
    (image,) = images(html)
    assert max(image.size) <= 160
    assert len(html) < 4 * MOST_BYTES
    assert "shoe.png" in page(html).texts


def test_bytes_in_the_database_are_shown_and_a_clear_picture_stays_clear(
    pictures: PeeweeVectorStore,
) -> None:
    written = io.BytesIO()
    Image.new("RGBA", (300, 200), (255, 0, 0, 0)).save(written, "PNG")
    html = show(pictures, Media(written.getvalue()), Media(picture(1, kind="JPEG")))
    clear, other = images(html)
    assert (clear.mode, clear.size) == ("RGBA", (160, 107))
    assert (other.mode, other.size) == ("RGB", (64, 64))
    assert "in the database" in page(html).text


def test_a_file_that_is_gone_or_changed_is_said_and_not_shown(
    pictures: PeeweeVectorStore, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{name}.png" for name in ("gone", "larger", "other")]
    for path in paths:
        path.write_bytes(picture(1))
    show(pictures, *map(Media, paths))
    paths[0].unlink()
    paths[1].write_bytes(picture(1) + b"more")
    paths[2].write_bytes(picture(1)[:-1] + b"\0")
    html = shown(pictures.search(text="shoe", mode="keyword"))
    assert images(html) == []
    text = page(html).text
    assert f"{paths[0]} (there is no such file)" in text
    assert "larger.png (the file was changed)" in text
    assert "other.png (the file was changed)" in text


def test_a_page_of_a_pdf_has_its_number(pictures: PeeweeVectorStore, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf("one", "two"))
    html = show(pictures, Media(path, page=2))
    assert images(html) == []
    assert "report.pdf, page 2" in page(html).text


def test_only_the_first_pictures_are_shown_and_the_others_named(
    pictures: PeeweeVectorStore,
) -> None:
    html = show(pictures, *(Media(picture(seed)) for seed in range(MOST_ROWS + 5)))
    assert len(images(html)) == MOST_ROWS
    assert page(html).text.count("in the database") == MOST_ROWS + 5


def test_without_pillow_only_small_pictures_are_shown_as_they_are(
    pictures: PeeweeVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = picture(1, size=90), photo(300)
    assert len(large) > MOST_BYTES
    monkeypatch.setitem(sys.modules, "PIL", None)
    html = show(pictures, Media(small), Media(large))
    (image,) = images(html)
    assert image.size == (90, 90)
    assert "too large to be shown" in page(html).text


def test_a_damaged_or_huge_picture_harms_nobody(pictures: PeeweeVectorStore) -> None:
    written = io.BytesIO()
    Image.new("1", (8000, 8000)).save(written, "PNG")
    damaged = b"\x89PNG\r\n\x1a\n" + b"no picture" * 10_000
    html = show(pictures, Media(written.getvalue()), Media(damaged))
    assert images(html) == []
    assert page(html).text.count("too large to be shown") == 2


def test_a_name_is_never_markup(pictures: PeeweeVectorStore, tmp_path: Path) -> None:
    path = tmp_path / "\"><script>alert('x')<br>&.png"
    path.write_bytes(picture(1))
    html = show(pictures, Media(path))
    assert len(images(html)) == 1
    found = page(html)
    assert path.name in found.text
    assert "script" not in found.tags
    assert found.attributes <= {"class", "style", "src", "alt", "dir"}


def test_the_bytes_of_a_hit_can_be_had(pictures: PeeweeVectorStore) -> None:
    pictures.save([Chunk(text="a shoe", media=Media(picture(1)))])
    results = pictures.search(text="shoe", mode="keyword")
    assert results.media is not None
    part: StoredMedia = results[0].chunk.media[0]
    assert hashlib.sha256(results.media(part)).hexdigest() == part.sha256


def test_a_pickled_result_holds_no_database(pictures: PeeweeVectorStore) -> None:
    pictures.save([Chunk(text="a shoe", media=Media(picture(1)))])
    results = pictures.search(text="shoe", mode="keyword")
    copy: SearchResults = pickle.loads(pickle.dumps(results))
    assert (copy, copy.media) == (results, None)
    assert images(shown(copy)) == []
    assert "in the database" in page(shown(copy)).text
