import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Self
from urllib.parse import quote

import httpx2
import numpy as np
import numpy.typing as npt

from semantic_core.domain.clock import Clock, SystemClock
from semantic_core.domain.errors import (
    InvalidInputError,
    InvalidVectorError,
    NotBatchableError,
    ProviderProtocolError,
    RequestRefusedError,
    TextTooLongError,
)
from semantic_core.domain.media import MediaBytes
from semantic_core.domain.pages import pages
from semantic_core.domain.pricing import source_tokens
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Vector
from semantic_core.domain.validation import check_not_blank, check_text
from semantic_core.providers.gemini.connection import Connection
from semantic_core.providers.gemini.endpoint import Endpoint
from semantic_core.providers.gemini.fields import number_in, object_in
from semantic_core.providers.gemini.keyring import DEFAULT_KEY_VARIABLES, GoogleKeyring, check_key
from semantic_core.providers.gemini.line_errors import CUT, is_full, says_too_long, too_long
from semantic_core.providers.gemini.models import model_facts
from semantic_core.providers.port import Embedder, Keyring
from semantic_core.providers.wire.retry import RetryPolicy
from semantic_core.providers.wire.vectors import to_vector

# More are refused with 400: "at most 100 requests can be in one batch".
GROUP_SIZE = 100

# Seconds between two tries of one request, at most: a quota per minute is free again within one.
LONGEST_WAIT = 60.0

_DOCUMENTS = RetryPolicy(attempts=5, first_wait=1.0, longest_wait=LONGEST_WAIT)

# Somebody is waiting, and search can answer by keyword instead.
_QUERIES = RetryPolicy(attempts=2, first_wait=0.5, longest_wait=2.0)

_LONGEST_QUERY = 10.0

_PAYLOAD_TOO_LARGE = 413


class GeminiEmbedder(Embedder):
    """Embeds texts at once, on the default key, at the full price.

    The connection is opened, and the key asked for, at the first call. May be used from several
    threads. Errors hold neither the key nor a whole text. A copy in this process is the same
    object; a pickled one, which has no key, reads it from the environment where it is loaded.

    Args:
        keyring: holds the default key; None for that of the environment at the first call.
        endpoint: where Gemini is; Google, or what the environment names, by default.
        clock: waits between tries.
        transport: sends the requests; the network by default.
    """

    group_size = GROUP_SIZE

    def __init__(
        self,
        keyring: Keyring | None = None,
        *,
        endpoint: Endpoint | None = None,
        clock: Clock | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.endpoint = endpoint or Endpoint()
        self.provenance = self.endpoint.provenance
        # One request, with its name looked up and its answer in pieces, and the wait before it.
        self.longest_call = 3 * self.endpoint.timeout + LONGEST_WAIT
        self._keyring = keyring
        self._clock = clock or SystemClock()
        self._transport = transport
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def embed_query(
        self, text: str, *, spec: EmbeddingSpec, media: Sequence[MediaBytes] = ()
    ) -> Vector:
        _check_texts([text], spec, [media], what="The query", now=self._clock.now())
        embed = partial(
            self._embed,
            [_content(spec.query_text(text) if text.strip() else "", media)],
            spec=spec,
            task=spec.query_task,
            timeout=min(self.endpoint.timeout, _LONGEST_QUERY),
        )
        (vector,) = _QUERIES.run(embed, clock=self._clock)
        if isinstance(vector, str):
            raise TextTooLongError(f"The query is {vector}. Ask a shorter one.")
        return vector

    def embed_documents(
        self, texts: Sequence[str], *, spec: EmbeddingSpec
    ) -> npt.NDArray[np.float32]:
        vectors = np.empty((len(texts), spec.dimensions or 0), dtype=np.float32)
        for answered in self.embed_in_parts(texts, spec=spec):
            for position, outcome in answered.items():
                if isinstance(outcome, str):
                    raise TextTooLongError(f"Text {position} is {outcome}. Split it.")
                vectors[position] = outcome
        return vectors

    def embed_in_parts(
        self,
        texts: Sequence[str],
        *,
        spec: EmbeddingSpec,
        media: Sequence[Sequence[MediaBytes]] = (),
        before_each: Callable[[], None] | None = None,
    ) -> Iterator[dict[int, Vector | str]]:
        media = media or [()] * len(texts)
        _check_texts(texts, spec, media, what="Text", now=self._clock.now())
        parts = list(_parts(texts, spec))
        while parts:
            part = parts.pop(0)
            embed = partial(
                self._embed,
                [_content(spec.document_text(texts[at]), media[at]) for at in part],
                spec=spec,
                task=spec.document_task,
                timeout=self.endpoint.timeout,
                before=before_each,
            )
            try:
                outcomes = _DOCUMENTS.run(embed, clock=self._clock)
            except RequestRefusedError as error:
                is_too_long = error.code == _PAYLOAD_TOO_LARGE or says_too_long(str(error))
                if not is_too_long and not any(media[at] for at in part):
                    raise
                if len(part) > 1:
                    middle = len(part) // 2
                    parts[:0] = [part[:middle], part[middle:]]
                    continue
                if not is_too_long:
                    raise InvalidInputError(
                        f"The provider refused pictures or pages of a chunk: {error}"
                    ) from error
                outcomes = [too_long(spec, "the provider refused it")]
            yield dict(zip(part, outcomes, strict=True))

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # the one way to be made

    def _connect(self) -> Connection:
        with self._lock:
            if self._connection is None:
                keyring = self._keyring or GoogleKeyring.from_env()
                self._connection = Connection(
                    self.endpoint.access(
                        check_key(keyring.get_default_key(), what="The API key"),
                        key_name=f"default key ({DEFAULT_KEY_VARIABLES[0]})",
                        clock=self._clock,
                        transport=self._transport,
                    )
                )
            return self._connection

    def _embed(
        self,
        contents: Any,
        *,
        spec: EmbeddingSpec,
        task: str | None,
        timeout: float,
        before: Callable[[], None] | None = None,
    ) -> list[Vector | str]:
        """Send one request; return for each content its vector, or why it is too long."""
        # Not by the SDK: importing it takes most of a second, and somebody waits for a query.
        settings = {"model": f"models/{spec.model}", "outputDimensionality": spec.dimensions}
        if task is not None:
            settings["taskType"] = task
        connection = self._connect()
        if before is not None:
            before()
        answer = connection.post(
            f"models/{quote(spec.model, safe='')}:batchEmbedContents",
            {"requests": [{"content": content, **settings} for content in contents]},
            timeout=timeout,
        )
        found = answer.get("embeddings")
        embeddings = found if isinstance(found, list) else []
        if len(embeddings) != len(contents):
            raise ProviderProtocolError(
                f"The provider sent {len(embeddings)} vectors for {len(contents)} texts, so none can "
                "be told to be anyone's. None was used."
            )
        # The answer counts all of its texts together.
        usage = object_in(answer, "usageMetadata") if len(contents) == 1 else {}
        counted = number_in(usage, "promptTokenCount")
        try:
            return [
                to_vector(_values_of(embedding), spec=spec, what=f"text {position}")
                if (cut := _cut_short(object_in(embedding, "statistics"), counted, spec)) is None
                else cut
                for position, embedding in enumerate(embeddings)
            ]
        except InvalidVectorError as error:
            raise ProviderProtocolError(f"The provider sent an unusable vector. {error}") from error


def _content(text: str, media: Sequence[MediaBytes]) -> dict[str, Any]:
    """Return one content: plain strings would become the parts of one, and so one vector."""
    parts: list[dict[str, Any]] = [{"text": text}] if text or not media else []
    parts += [
        {"inlineData": {"mimeType": one.mime_type, "data": b64encode(one.data).decode()}}
        for one in media
    ]
    return {"parts": parts}


def _check_texts(
    texts: Sequence[str],
    spec: EmbeddingSpec,
    media: Sequence[Sequence[MediaBytes]],
    *,
    what: str,
    now: float,
) -> None:
    if spec.is_external:
        raise NotBatchableError(
            f"The space {spec.model!r} belongs to a foreign embedder, so Gemini cannot make its "
            "vectors. Embed the text with that one and pass the vector."
        )
    model_facts(spec.model).check_served(now)
    for position, text in enumerate(texts):
        name = f"{what} {position}" if len(texts) > 1 else what
        check_text(text, what=name)
        if not media[position]:
            check_not_blank(text, what=name)


def _values_of(embedding: object) -> list[Any]:
    values = embedding.get("values") if isinstance(embedding, dict) else None
    return values if isinstance(values, list) else []


def _cut_short(statistics: dict[str, Any], counted: int | None, spec: EmbeddingSpec) -> str | None:
    """Return that only the beginning of a text was embedded, or None; see `too_long`."""
    if statistics.get("truncated"):
        return too_long(spec, CUT)
    tokens = number_in(statistics, "tokenCount") if counted is None else counted
    return too_long(spec, CUT) if is_full(tokens, spec) else None


def _parts(texts: Sequence[str], spec: EmbeddingSpec) -> Iterator[list[int]]:
    limit = model_facts(spec.model).token_limit
    together: list[int] = []
    for position, tokens in enumerate(source_tokens(texts, spec)):
        if limit is not None and tokens >= limit:
            yield [position]
        else:
            together.append(position)
    yield from pages(together, GROUP_SIZE)
