"""The input file of a batch job: one JSON line a text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson

from semantic_core.domain.errors import InvalidInputError, InvalidTextError, NotBatchableError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.validation import check_not_blank
from semantic_core.providers.gemini.remote import EmbeddingRequest, SpooledFile
from semantic_core.providers.wire.private_file import PrivateFile

# Line ends to some, though not to JSON (which escapes all others by itself): a reader that
# splits like str.splitlines() would tear the line there.
_LINE_ENDS = {
    "\u0085".encode(): rb"\u0085",
    "\u2028".encode(): rb"\u2028",
    "\u2029".encode(): rb"\u2029",
}


def request_line(request: EmbeddingRequest, spec: EmbeddingSpec) -> bytes:
    r"""Return one line of an input file, ``\n`` included.

    Raises:
        BlankTextError: there is nothing to embed.
        InvalidTextError: the text has no UTF-8 form.
        NotBatchableError: the spec belongs to a foreign embedder.
    """
    return request_encoder(spec)(request)


def request_encoder(spec: EmbeddingSpec) -> Callable[[EmbeddingRequest], bytes]:
    """Return `request_line` for one spec, with everything prepared that its lines share.

    Raises:
        NotBatchableError: the spec belongs to a foreign embedder.
    """
    if spec.is_external:
        raise NotBatchableError
    settings: dict[str, object] = {"outputDimensionality": spec.dimensions}
    if spec.document_task is not None:
        settings["taskType"] = spec.document_task
    # The settings' own opening brace would open a second object.
    end = b"}]}," + orjson.dumps(settings)[1:] + b"}\n"

    def encode(request: EmbeddingRequest) -> bytes:
        check_not_blank(request.text, what=f"The text of request {request.key}")
        try:
            key, text = orjson.dumps(request.key), orjson.dumps(request.text)
        except TypeError as error:
            raise InvalidTextError(
                f"The text of request {request.key!r} has a lone surrogate, so it has no UTF-8 "
                "form. Clean it before sending."
            ) from error
        line = b'{"key":%b,"request":{"content":{"parts":[{"text":%b%b' % (key, text, end)
        if not line.isascii():
            for character, escape in _LINE_ENDS.items():
                line = line.replace(character, escape)
        return line

    return encode


def write_requests(
    requests: Iterable[EmbeddingRequest], destination: Path, spec: EmbeddingSpec
) -> SpooledFile:
    """Write an input file in one streaming pass.

    The file is new, of mode 0600, and removed again if anything goes wrong.

    Args:
        requests: read once; may be of any length.
        destination: path of the file, which must not exist.
        spec: what the vectors are to be.

    Raises:
        InvalidInputError: there are no requests, or one has a text that cannot be sent.
        NotBatchableError: the spec belongs to a foreign embedder.
        StorageFullError: the disk is full.
        StorageError: the file exists or cannot be written.
    """
    encode = request_encoder(spec)
    digest = hashlib.sha256()
    request_count = byte_count = 0
    with PrivateFile(destination, what="The input file of a batch job") as file:
        for request in requests:
            line = encode(request)
            file.write(line)
            digest.update(line)
            request_count += 1
            byte_count += len(line)
        if not request_count:
            raise InvalidInputError("There are no requests to write: a batch job needs one.")
    return SpooledFile(
        path=destination,
        request_count=request_count,
        byte_count=byte_count,
        sha256=digest.hexdigest(),
    )
