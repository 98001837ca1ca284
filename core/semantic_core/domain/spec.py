"""EmbeddingSpec: everything that decides what a vector means, and the names derived from it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

from semantic_core.domain.errors import ConfigurationError, DatabaseCorruptError, InvalidInputError
from semantic_core.domain.media import StoredMedia

PLACEHOLDER = "{text}"

# The most dimensions: https://ai.google.dev/gemini-api/docs/embeddings, read 2026-11.
_MOST_DIMENSIONS = {"gemini-embedding-001": 3072, "gemini-embedding-2": 3072}


class Hasher(Protocol):
    """Names contents: see `EmbeddingSpec.hasher`."""

    def __call__(self, vector_source: str, media: Sequence[StoredMedia] = ..., /) -> bytes:
        """Return the content hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSpec:
    """How texts and queries become vectors. Two different specs are two vector spaces.

    Attributes:
        model: model id such as ``gemini-embedding-001``; ``models/`` before it is left out.
        dimensions: length of a vector; None only for an external space that has none yet.
        document_task: task type sent with documents, or None where the model takes none.
        query_task: task type sent with queries, or None.
        document_template: text around a document, holding ``{text}`` once.
        query_template: text around a query, holding ``{text}`` once.
        normalized: whether vectors are stored with length 1.
        is_external: the vectors come from a foreign embedder, never from the Batch API.
    """

    model: str = "gemini-embedding-001"
    dimensions: int | None = 768
    document_task: str | None = "RETRIEVAL_DOCUMENT"
    query_task: str | None = "RETRIEVAL_QUERY"
    document_template: str = PLACEHOLDER
    query_template: str = PLACEHOLDER
    normalized: bool = True
    is_external: bool = False

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ConfigurationError("EmbeddingSpec.model is blank. Name a model.")
        if not self.is_external:
            # Google has two spellings for one model: both are one space, one cache and one price.
            object.__setattr__(self, "model", self.model.removeprefix("models/"))
        if self.dimensions is None and not self.is_external:
            raise ConfigurationError("EmbeddingSpec.dimensions is missing. Give the vector size.")
        most = 65_536 if self.is_external else _MOST_DIMENSIONS.get(self.model, 65_536)
        if self.dimensions is not None and not (
            isinstance(self.dimensions, int) and 1 <= self.dimensions <= most
        ):
            raise ConfigurationError(
                f"EmbeddingSpec.dimensions is {self.dimensions!r}. Give {self.model!r} a whole "
                f"number from 1 to {most:,}."
            )
        for name in ("document_template", "query_template"):
            if getattr(self, name).count(PLACEHOLDER) != 1:
                raise ConfigurationError(f"EmbeddingSpec.{name} must hold {PLACEHOLDER} once.")

    @classmethod
    def gemini_embedding_001(cls, *, dimensions: int = 768) -> Self:
        """Return the default spec: ``gemini-embedding-001`` with retrieval task types."""
        return cls(dimensions=dimensions)

    @classmethod
    def gemini_embedding_2(cls, *, dimensions: int = 768) -> Self:
        """Return a spec for ``gemini-embedding-2``, which takes its task in the text.

        Source of the prefixes: Google's guide "Task types with Gemini Embedding 2".
        """
        return cls(
            model="gemini-embedding-2",
            dimensions=dimensions,
            document_task=None,
            query_task=None,
            document_template="title: none | text: {text}",
            query_template="task: search result | query: {text}",
        )

    @classmethod
    def external(cls, name: str, dimensions: int | None = None) -> Self:
        """Return the space of a foreign embedder; the first vector fixes the dimensions.

        Vectors of such a space are stored exactly as they are given.
        """
        return cls(
            model=name,
            dimensions=dimensions,
            document_task=None,
            query_task=None,
            normalized=False,
            is_external=True,
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote, or raise `DatabaseCorruptError`."""
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise DatabaseCorruptError.unreadable("A spec", error) from error

    def to_json(self) -> str:
        """Return the spec as canonical JSON: equal specs give equal text."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def space_digest(self) -> str:
        """Hex sha256 of the document side: what makes two document vectors comparable."""
        side: dict[str, Any] = {"model": self.model, "external": self.is_external}
        if not self.is_external:
            side |= {
                "dimensions": self.dimensions,
                "document_task": self.document_task,
                "document_template": self.document_template,
                "normalized": self.normalized,
            }
        return hashlib.sha256(json.dumps(side, sort_keys=True).encode()).hexdigest()

    def document_text(self, text: str) -> str:
        """Return what is sent to embed this document text; nothing for a blank one, beside media."""
        if not text.strip():
            return ""
        return self.document_template.replace(PLACEHOLDER, text)

    def query_text(self, text: str) -> str:
        """Return what is sent to embed this query."""
        return self.query_template.replace(PLACEHOLDER, text)

    def hasher(self) -> Hasher:
        """Return a function from a vector source, and media if there are any, to its content hash.

        32 bytes, for this spec. It raises InvalidInputError for a text with a lone surrogate,
        which has no UTF-8 form.
        """
        # The digest has a fixed length, so spec and text cannot run into each other.
        prefix = hashlib.sha256(f"semcore:1:{self.space_digest}:".encode())

        def content_hash(vector_source: str, media: Sequence[StoredMedia] = ()) -> bytes:
            if media:
                # Of fixed length each, so that text and media cannot run into each other.
                identities = "\0".join(part.identity for part in media)
                return hashlib.sha256(
                    f"semcore:2:{self.space_digest}:{content_hash(vector_source).hex()}:{identities}".encode()
                ).digest()
            digest = prefix.copy()
            try:
                digest.update(vector_source.encode())
            except UnicodeEncodeError as error:
                raise InvalidInputError(
                    f"The text has a lone surrogate at character {error.start}, so it has no UTF-8 "
                    "form. Clean it before hashing."
                ) from error
            return digest.digest()

        return content_hash


def absent_vector_key(collection_id: int) -> bytes:
    """Return the key that stands for the vectors of a collection which only its targets have."""
    return hashlib.sha256(b"semcore:delivered:1:%d" % collection_id).digest()
