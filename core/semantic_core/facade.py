import os
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any, Protocol, Self

from semantic_core.documents.foreign import check_external, embed_query
from semantic_core.documents.ingest import Ingestion
from semantic_core.documents.media import query_media
from semantic_core.documents.splitter import Splitter
from semantic_core.domain.errors import (
    IngestError,
    InvalidInputError,
    InvalidTextError,
    NotBatchableError,
)
from semantic_core.domain.media import Media
from semantic_core.domain.reports import IngestReport
from semantic_core.domain.statuses import SearchMode
from semantic_core.domain.types import Document, QueueStats, SearchResults, TargetStatus
from semantic_core.domain.validation import fraction, whole_number
from semantic_core.providers.gemini import GeminiEmbedder, GoogleKeyring
from semantic_core.providers.port import Embedder, ForeignEmbedder, Keyring
from semantic_core.store import DEFAULT_COLLECTION, BaseVectorStore, FilterLike
from semantic_core.store.query_vector import query_vector
from semantic_core.views.progress import IngestProgress, ingest_progress

INGEST_MODES = ("async", "sync")


class HasContent(Protocol):
    """Anything with a text and metadata: it can be ingested."""

    @property
    def content(self) -> str:
        """The text."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Plain JSON values."""


class SemanticCore:
    """Saves documents at once and searches them at once; search improves as vectors arrive.

    Args:
        store: where everything is kept.
        keyring: the default key embeds queries and ``mode="sync"`` documents; without one,
            saving and keyword search still work.
        collection: which collection of the store to use.
        languages: those of words in Latin letters, such as ``("en", "de")``, of a collection that
            ingesting makes; None for English. One that exists keeps its own.
        embedder: how to embed live; None for Google's endpoint, or the one that
            ``GOOGLE_GEMINI_BASE_URL`` names. For a collection of ``EmbeddingSpec.external`` anything
            with ``embed_query(text)`` and ``embed_documents(texts)``, such as LangChain's
            Embeddings; it embeds documents in ``mode="sync"``.
        splitter: how documents become chunks; None for paragraphs and sentences of up to the
            size that suits the collection's model.
    """

    def __init__(
        self,
        store: BaseVectorStore,
        keyring: Keyring | None = None,
        *,
        collection: str = DEFAULT_COLLECTION,
        languages: Sequence[str] | None = None,
        embedder: Embedder | ForeignEmbedder | None = None,
        splitter: Splitter | None = None,
    ) -> None:
        self.store = store
        self.keyring: Keyring = keyring or GoogleKeyring()
        self.collection = collection
        self.languages = languages
        self.embedder: Embedder | ForeignEmbedder = embedder or GeminiEmbedder(self.keyring)
        self.splitter = splitter or Splitter()
        self._owns_embedder = embedder is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SemanticCore({self.store!r}, collection={self.collection!r})"

    def close(self) -> None:
        """Close the connection to the provider, if it was opened here. Idempotent.

        The store stays open: the caller opened it.
        """
        if self._owns_embedder and isinstance(self.embedder, Embedder):
            self.embedder.close()

    def ingest(
        self,
        documents: Document | HasContent | Iterable[Document | HasContent],
        mode: str = "async",
        *,
        replace_sources: bool = False,
        prune: bool = False,
        progress: IngestProgress = None,
    ) -> IngestReport:
        """Split documents and save their chunks; with ``mode="sync"`` embed them at once.

        Documents are read lazily and saved in pages of one transaction each, in bounded memory.
        A document replaces the earlier one of the same id; chunks that did not change keep
        their vectors. Ingesting the same again changes nothing and costs nothing. It may be
        interrupted at any time: whole pages are saved, and ingesting the same again goes on from
        there.

        A document without ``id`` gets one made of its source and content, and of n for the n-th
        of one call that is equal in both. An edited document without ``id`` is therefore another
        document, and the earlier text stays: pass an ``id`` to replace it, or
        ``replace_sources=True``.

        Args:
            documents: one, or any iterable of them.
            mode: ``async`` returns as soon as everything is saved, PENDING where no vector is
                known yet; ``sync`` embeds each page with the default key before saving it. A
                text that a batch job carries waits for that job, and one that another live call
                embeds at this moment for that call, so that it is paid for once; one that is too
                long for the model is FAILED. The report counts them.
            replace_sources: when all is saved, remove what earlier calls saved under the sources
                that this call named, with or without ids; a source of which a document was
                refused keeps it. Vectors stay as cache.
            prune: of the folders that `read_documents` has read, remove what was saved from there
                and has no file any more; without it the report counts that. Where a folder has
                no file left at all, nothing is removed: its disk may be missing.
            progress: True shows a bar of the documents saved, where the ``cli`` extra is
                installed; a callable is given the report so far after each page.

        Returns:
            What was saved; ``documents + rejected_count + skipped_count`` is how many were handed in.

        Raises:
            InvalidInputError: the one document given cannot be saved.
            IngestError: some of several documents were refused, such as one with an id that
                appears twice in this call; its ``report`` names them, and everything else is
                saved.
            ConfigurationError: a folder looks like one that was moved; say which by its name.
            MissingDefaultKeyError: ``mode="sync"`` without a default key; nothing was saved.
            ProviderError: live embedding failed; earlier pages are saved.
            StorageError: the database could not be written; earlier pages are saved.
            MissingExtraError: a Markdown or HTML document, or a file that is not UTF-8, without
                the ``documents`` extra; earlier pages are saved.
        """
        if mode not in INGEST_MODES:
            raise InvalidInputError(f"mode={mode!r}: use one of {', '.join(INGEST_MODES)}.")
        is_one = hasattr(documents, "content")
        if not is_one and (
            isinstance(documents, str | bytes | os.PathLike | Mapping)
            or not isinstance(documents, Iterable)
        ):
            raise InvalidInputError(
                f"A {type(documents).__name__} is no document. Pass Document(content=...), or "
                "read_documents([path]), which reads files."
            )
        if not isinstance(self.embedder, Embedder):
            found = self.store.find(self.collection)
            check_external(self.embedder, found.spec if found else None)
            if mode == "async":
                raise NotBatchableError(
                    f"{type(self.embedder).__name__} makes its vectors itself, so the Batch API "
                    'cannot. Pass mode="sync" to embed with it at once.'
                )
        items = [documents] if is_one else documents
        ingestion = Ingestion(
            self.store,
            collection=self.collection,
            languages=self.languages,
            splitter=self.splitter,
            embedder=self.embedder if mode == "sync" else None,
            raise_at_once=is_one,
            replace_sources=replace_sources,
            prune=prune,
        )
        total = len(items) if isinstance(items, Sized) else None
        with ingest_progress(progress, total=total) as tell:
            report = ingestion.run(items, tell)  # type: ignore[arg-type]  # told apart by hasattr
        if report.rejected_count:
            first = report.rejected[0]
            raise IngestError(
                f"{report.rejected_count} documents were refused, the first is {first.name} "
                f"({first.reason}) {report.documents} others are saved. See error.report.rejected; "
                "fix those documents and ingest them again.",
                report=report,
            )
        return report

    def search(
        self,
        query: str = "",
        limit: int = 10,
        *,
        media: Media | Sequence[Media] = (),
        mode: SearchMode | str = SearchMode.HYBRID,
        filters: FilterLike = None,
        alpha: float = 0.5,
    ) -> SearchResults:
        """Search by meaning and by keyword; works while chunks are still PENDING.

        Args:
            query: what to look for; may be left out beside media.
            limit: how many hits at most.
            media: pictures to look for, alone or with the query. They are sent, and billed, live.
            mode: ``hybrid``, ``vector`` or ``keyword``; only the last makes no live call.
            filters: metadata filter such as ``{"lang": "en", "year": {"$gte": 2020}}``.
            alpha: weight of meaning against keywords in hybrid mode, from 0 to 1.

        Returns:
            Hits, with ``coverage`` and, where the query could not be embedded, ``degraded``.

        Returns nothing, with the reason in ``degraded``, where there is no such collection.

        Raises:
            InvalidInputError: an argument that cannot be used.
        """
        if not isinstance(query, str):
            raise InvalidTextError(f"The query is a {type(query).__name__}, not a string.")
        # Before the query is embedded, which costs money.
        limit, alpha = whole_number(limit), fraction(alpha, what="alpha")
        # Media are checked by the spec; without them it is not read twice.
        found = self.store.find(self.collection) if media else None
        looked = query_media(media, found.spec) if found is not None else ()
        vector, degraded = None, None
        if mode != SearchMode.KEYWORD:
            vector, degraded = query_vector(
                self.store,
                query,
                collection=self.collection,
                embed=lambda text, spec: embed_query(self.embedder, text, spec=spec, media=looked),
                has_media=bool(looked),
                provenance=getattr(self.embedder, "provenance", None),
            )
        results = self.store.search(
            text=query if query or not looked else None,
            vector=vector,
            collection=self.collection,
            limit=limit,
            mode=mode,
            filters=filters,
            alpha=alpha,
        )
        return results.because(degraded)

    def delete(
        self,
        *,
        ids: Sequence[str] | None = None,
        document_ids: Sequence[str] | None = None,
        filters: FilterLike = None,
        purge: bool = False,
    ) -> int:
        """Delete the chunks that meet every condition given; see ``BaseVectorStore.delete``."""
        return self.store.delete(
            ids=ids,
            document_ids=document_ids,
            filters=filters,
            collection=self.collection,
            purge=purge,
        )

    def targets(self) -> tuple[TargetStatus, ...]:
        """Return the vector stores that vectors are delivered to, and what each lacks."""
        return self.store.delivery.targets()

    def stats(self) -> QueueStats:
        """Return what waits, what runs and what failed in this collection. Needs no key.

        Raises:
            UnknownCollectionError: there is no such collection; the message lists the existing ones.
        """
        return self.store.stats(self.collection)
