from base64 import b64encode
from collections.abc import Callable

import orjson

from semantic_core.domain.errors import InvalidTextError, NotBatchableError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.validation import check_not_blank
from semantic_core.providers.types import EmbeddingRequest

# Line ends to some, though not to JSON (which escapes all others by itself): a reader that
# splits like str.splitlines() would tear the line there.
_LINE_ENDS = {
    "\u0085".encode(): rb"\u0085",
    "\u2028".encode(): rb"\u2028",
    "\u2029".encode(): rb"\u2029",
}


def request_encoder(spec: EmbeddingSpec) -> Callable[[EmbeddingRequest], bytes]:
    r"""Return a function from a request to its line of an input file, ``\n`` included.

    It raises BlankTextError where there is nothing to embed, and InvalidTextError for a text
    without a UTF-8 form. A spec of a foreign embedder raises NotBatchableError.
    """
    if spec.is_external:
        raise NotBatchableError
    settings: dict[str, object] = {"outputDimensionality": spec.dimensions}
    if spec.document_task is not None:
        settings["taskType"] = spec.document_task
    # The settings' own opening brace would open a second object.
    end = b"]}," + orjson.dumps(settings)[1:] + b"}\n"

    def encode(request: EmbeddingRequest) -> bytes:
        if not request.media:
            check_not_blank(request.text, what=f"The text of request {request.key}")
        try:
            key, text = orjson.dumps(request.key), orjson.dumps(request.text)
        except TypeError as error:
            raise InvalidTextError(
                f"The text of request {request.key!r} has a lone surrogate, so it has no UTF-8 "
                "form. Clean it before sending."
            ) from error
        if not (key.isascii() and text.isascii()):
            for character, escape in _LINE_ENDS.items():
                key, text = key.replace(character, escape), text.replace(character, escape)
        parts = [] if request.media and not request.text else [b'{"text":%b}' % text]
        parts += [
            b'{"inlineData":{"mimeType":"%b","data":"%b"}}'
            % (part.mime_type.encode(), b64encode(part.data))
            for part in request.media
        ]
        return b'{"key":%b,"request":{"content":{"parts":[%b%b' % (key, b",".join(parts), end)

    return encode
