"""Input files: exact lines, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_core.domain.errors import (
    BlankTextError,
    InvalidInputError,
    InvalidTextError,
    NotBatchableError,
    StorageError,
    StorageFullError,
)
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini.requests import request_encoder
from semantic_core.providers.types import EmbeddingRequest
from semantic_core.providers.wire.private_file import SpooledFile, write_lines
from support.disk import no_file_larger_than

SPEC = EmbeddingSpec()


def asking(*texts: str) -> list[EmbeddingRequest]:
    return [EmbeddingRequest(key=f"k{number}", text=text) for number, text in enumerate(texts)]


def write_requests(
    requests: Iterable[EmbeddingRequest], path: Path, spec: EmbeddingSpec
) -> SpooledFile:
    return write_lines(map(request_encoder(spec), requests), path)


def test_a_line_asks_for_task_and_size_at_the_top_level() -> None:
    line = request_encoder(SPEC)(EmbeddingRequest(key="ab12", text='say "hi"'))
    assert line == (
        b'{"key":"ab12","request":{"content":{"parts":[{"text":"say \\"hi\\""}]},'
        b'"outputDimensionality":768,"taskType":"RETRIEVAL_DOCUMENT"}}\n'
    )


def test_a_model_without_task_types_is_asked_for_none() -> None:
    line = request_encoder(EmbeddingSpec.gemini_embedding_2())(EmbeddingRequest(key="k", text="t"))
    assert json.loads(line)["request"] == {
        "content": {"parts": [{"text": "t"}]},
        "outputDimensionality": 768,
    }


@given(key=st.text(max_size=20), text=st.text(min_size=1).filter(lambda text: text.strip()))
def test_a_line_is_one_line_to_every_reader_and_holds_the_exact_text(key: str, text: str) -> None:
    """U+2028, U+0085 and the like end a line for some readers, though not for JSON."""
    try:
        line = request_encoder(SPEC)(EmbeddingRequest(key=key, text=text))
    except InvalidTextError:
        with pytest.raises(UnicodeEncodeError):
            (key + text).encode()
        return
    assert line.decode().splitlines(keepends=True) == [line.decode()]
    parsed = json.loads(line)
    assert parsed["key"] == key
    assert parsed["request"]["content"]["parts"] == [{"text": text}]


@pytest.mark.parametrize("character", ["\u0085", "\u2028", "\u2029", "\r", "\v", "\f", "\x1c"])
def test_no_character_ends_a_line_early(character: str) -> None:
    line = request_encoder(SPEC)(EmbeddingRequest(key="k", text=f"a{character}b")).decode()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["request"]["content"]["parts"][0]["text"] == f"a{character}b"


def test_a_text_without_utf8_form_is_named_by_its_key() -> None:
    with pytest.raises(InvalidTextError, match="request 'k7'"):
        request_encoder(SPEC)(EmbeddingRequest(key="k7", text="secret \ud800"))


@pytest.mark.parametrize("text", ["", " ", "\n\t\u00a0"])
def test_a_blank_text_is_not_sent(text: str) -> None:
    with pytest.raises(BlankTextError, match="request k7"):
        request_encoder(SPEC)(EmbeddingRequest(key="k7", text=text))


def test_a_foreign_space_cannot_be_asked_for() -> None:
    with pytest.raises(NotBatchableError):
        request_encoder(EmbeddingSpec.external("theirs"))(EmbeddingRequest(key="k", text="t"))


def test_a_file_tells_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spooled = write_requests(asking("one", "zwei é", "три"), path, SPEC)
    content = path.read_bytes()
    assert spooled == SpooledFile(
        path=path,
        request_count=3,
        byte_count=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    assert content == b"".join(request_encoder(SPEC)(one) for one in asking("one", "zwei é", "три"))


def test_a_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    write_requests(asking("private"), path, SPEC)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_text("somebody's")
    with pytest.raises(StorageError, match="exists"):
        write_requests(asking("one"), path, SPEC)
    assert path.read_text() == "somebody's"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Whoever plants a link must not be given the texts, nor have a file overwritten."""
    target = tmp_path / "target"
    link = tmp_path / "spool"
    link.symlink_to(target)
    with pytest.raises(StorageError):
        write_requests(asking("one"), link, SPEC)
    assert not target.exists()


def test_a_file_without_requests_is_refused_and_removed(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no requests"):
        write_requests([], tmp_path / "spool", SPEC)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent"):
        write_requests(asking("one"), tmp_path / "absent" / "spool", SPEC)


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), OSError(5, "theirs")])
def test_an_error_of_the_source_passes_through_and_leaves_no_file(
    tmp_path: Path, error: BaseException
) -> None:
    def source() -> Iterator[EmbeddingRequest]:
        yield from asking("one")
        raise error

    with pytest.raises(type(error)) as caught:
        write_requests(source(), tmp_path / "spool", SPEC)
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_the_first_error_comes_out_even_if_the_disk_is_full_too(tmp_path: Path) -> None:
    def source() -> Iterator[EmbeddingRequest]:
        yield from asking("one")
        raise KeyboardInterrupt

    with no_file_larger_than(0), pytest.raises(KeyboardInterrupt):
        write_requests(source(), tmp_path / "spool", SPEC)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_text_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidTextError):
        write_requests(asking("one", "two \ud800"), tmp_path / "spool", SPEC)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [0, 1, 100, 250])
def test_a_full_disk_leaves_no_file_and_says_where(tmp_path: Path, limit: int) -> None:
    with no_file_larger_than(limit), pytest.raises(StorageFullError, match="spool"):
        write_requests(asking("one", "two", "three"), tmp_path / "spool", SPEC)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_shows_while_a_long_file_is_written(tmp_path: Path) -> None:
    """Not only when the last piece is flushed: the source is not read to its end."""
    taken = []

    def source() -> Iterator[EmbeddingRequest]:
        for number in range(1000):
            taken.append(number)
            yield EmbeddingRequest(key=str(number), text="x" * 10_000)

    with no_file_larger_than(2_000_000), pytest.raises(StorageFullError):
        write_requests(source(), tmp_path / "spool", SPEC)
    assert len(taken) < 500
    assert list(tmp_path.iterdir()) == []
