"""What each database does in a way of its own: words, metadata, and how rows are chosen.

A `Database` hands them out. Nothing above them knows how they keep what they know.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import peewee

from semantic_core.database.port import Connection
from semantic_core.domain.clock import Clock
from semantic_core.domain.explanation import Explanation
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Vector
from semantic_core.filters import Filter
from semantic_core.keywords import DEFAULT_LANGUAGES, Question, Said
from semantic_core.vector_index import Hits, Ids

T = TypeVar("T")


class Sql(NamedTuple):
    """A piece of SQL with the values bound in it, in order."""

    sql: str
    values: tuple[object, ...] = ()

    @classmethod
    def joined(cls, word: str, parts: Sequence[Sql]) -> Sql:
        """Return pieces with a word between them."""
        values = tuple(value for part in parts for value in part.values)
        return cls(f" {word} ".join(part.sql for part in parts), values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection as it is stored.

    Attributes:
        spec: how its texts become vectors; an external one has its dimensions here as soon as
            the first vector fixed them.
        space_id: the row of its vector space.
        languages: those of its words in Latin letters, for the keyword index.
        former_languages: those of what `BaseVectorStore.reindex` did not come to yet, or None.
        has_targets: whether it is delivered to another vector store.
        drops_text: whether words of what was delivered leave the keyword index.
        drops_vectors: whether paid vectors of what was delivered are deleted.
    """

    id: int
    name: str
    spec: EmbeddingSpec
    space_id: int
    languages: tuple[str, ...] = DEFAULT_LANGUAGES
    former_languages: tuple[str, ...] | None = None
    has_targets: bool = False
    drops_text: bool = False
    drops_vectors: bool = False

    @property
    def lacks_words(self) -> bool:
        """Whether words of delivered chunks are not in the keyword index, or on their way back."""
        return self.drops_text or self.former_languages == self.languages


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which chunks of a collection are meant: those that meet every condition.

    Attributes:
        collection_id: the row of the collection.
        ids: only chunks with these ids; None for any.
        document_ids: only chunks of these documents; None for any.
        filters: what their metadata match; None for any.
    """

    collection_id: int
    ids: tuple[str, ...] | None = None
    document_ids: tuple[str, ...] | None = None
    filters: Filter | None = None

    @property
    def is_named(self) -> bool:
        return self.ids is not None or self.document_ids is not None

    @property
    def is_all(self) -> bool:
        return not self.is_named and self.filters is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Rows among which words are looked for.

    Attributes:
        total: how many they are.
        keys: theirs, ascending; None for every row of the database.
        condition: asked of those alone that hold a word, in SQL as the `Keywords` of the same
            database take it; None for no more.
    """

    total: int
    keys: Ids | None = None
    condition: Sql | None = None


class KeywordHits(Protocol):
    """What was found for a question, as far as it is asked for.

    ``explanation`` says which words have a part in the ranking, and which have none.
    """

    explanation: Explanation

    def best(self, limit: int) -> list[int]:
        """Return the row keys that match best by BM25, best first, equals oldest first."""

    def rest(self, limit: int) -> Iterator[list[int]]:
        """Yield row keys that come after those: one more word never leaves fewer hits."""


class Keywords(Protocol):
    """Which chunks hold which words. Whoever writes chunks keeps it in step."""

    def remove(self, connection: Connection, pks: Sequence[int]) -> None:
        """Take rows out; must come before their text changes or goes."""

    def add(self, connection: Connection, rows: Sequence[Said]) -> None:
        """Put rows in, after their text was written."""

    def search(
        self, connection: Connection, question: Question, *, counted: Scope, returned: Scope
    ) -> KeywordHits | None:
        """Return what holds words of a question, or None if no row can.

        Words are joined by OR. A word in more than a fifth of the rows has no part in the ranking
        unless no other is left, and of the others at most 128 have one, the rarest. No
        question is a syntax error.

        Args:
            connection: within a transaction.
            question: what is looked for.
            counted: the rows that tell how common a word is.
            returned: the rows that may be returned.
        """

    def check(self, connection: Connection) -> None:
        """Compare it with the texts. Changes nothing, but needs a write transaction.

        Raises:
            DatabaseCorruptError: they differ.
        """

    def rebuild(self, connection: Connection) -> None:
        """Build it anew from the texts."""


class Rows(Protocol):
    """The chunks that one search may return; each list of them is read at most once."""

    @property
    def chosen(self) -> Ids | None:
        """Their row keys, ascending; None for all of the collection."""

    def scopes(self, total: int, *, by_vector: bool) -> tuple[Scope, Scope]:
        """Return among which rows words are counted, and among which they are looked for.

        They differ where a filter has to go through the rows: what it leaves out there is not
        counted out, so that only rows that hold a word are asked. So it is in every mode, or a
        chunk would have another rank in each.

        Args:
            total: how many chunks the collection has.
            by_vector: whether vectors are compared as well, which reads ``chosen`` anyhow.
        """


class Nearest(Protocol):
    """Finds the nearest of a collection's vectors, as they are in one snapshot."""

    def __call__(
        self, vectors: Sequence[Vector], *, limit: int, rows: Rows, exact: bool
    ) -> list[Hits]:
        """Return the nearest vectors to each of several; equal scores are ordered by row key.

        Args:
            vectors: each of shape (dimensions,).
            limit: how many at most, for each.
            rows: which may be returned.
            exact: compare every vector.
        """


class VectorTables(Protocol):
    """Vectors that the database itself searches, of those collections for which it was asked to."""

    def nearest(self, connection: Connection, collection: Collection) -> Nearest | None:
        """Return what finds the vectors of a collection in a snapshot; None if not the database."""

    def make(self, collection: Collection, progress: Callable[[int], object] | None) -> int:
        """Make the index of a collection; return how many vectors this call has put in."""

    def drop(self, collection: Collection) -> None:
        """Remove the index of a collection, if there is one."""

    def differing(self, connection: Connection, collection: Collection) -> list[int]:
        """Return the row keys of chunks of which the index has another vector than the rows."""


class MetadataIndex(Protocol):
    """Which chunks have which metadata. Whoever writes chunks keeps it in step."""

    def remove(self, connection: Connection, pks: Sequence[int]) -> None:
        """Take rows out; must come before their metadata change or go."""

    def add(self, connection: Connection, pks: Sequence[int]) -> None:
        """Put rows in, after their metadata were written."""

    def condition(self, where: Where) -> Sql:
        """Return the condition on ``chunks AS c`` that chooses these chunks."""

    def rows(self, connection: Connection, where: Where) -> Rows:
        """Return these chunks for one search; nothing is read yet."""

    def check(self, connection: Connection) -> int:
        """Return how many entries differ from the metadata. Changes nothing."""

    def rebuild(self, connection: Connection) -> None:
        """Build it anew from the metadata."""


class Database(Protocol):
    """An open database: SQLite's, or PostgreSQL's.

    Attributes:
        name: what it is called in messages.
        keywords: which chunks hold which words.
        metadata: which chunks have which metadata.
        vectors: the vectors that it searches itself; None if it cannot.
        sessions: how many threads are to search at once, which mostly wait for a server; None if
            they need a core all the time.
    """

    name: str
    keywords: Keywords
    metadata: MetadataIndex
    vectors: VectorTables | None
    sessions: int | None

    @property
    def path(self) -> Path:
        """Files that belong to it on this machine have names that begin with this one."""

    @property
    def peewee(self) -> peewee.Database:
        """What users may read it through."""

    def transaction(self, *, ignores_marks: bool = False) -> AbstractContextManager[Connection]:
        """Open a write transaction; what it wrote is on disk when it ends.

        Nobody else moves states or saves meanwhile.

        Args:
            ignores_marks: write although it was moved or is not whole: for who moves it, or makes
                its tables.
        """

    def number_on(self, connection: Connection) -> None:
        """Give the next rows keys beyond those that are there, after rows came with their keys."""

    def save(self, work: Callable[[Connection, bool], T]) -> T:
        """Do work that only adds chunks, in a write transaction; others may save meanwhile.

        Args:
            work: gets the connection, and whether nobody else saves meanwhile. It may be done
                twice, the second time alone: after a `MustBeAloneError`, or where two savers met.
        """

    def snapshot(self) -> AbstractContextManager[Connection]:
        """Open a read transaction, in which every statement sees the same state."""

    def clock(self) -> Clock:
        """Return the clock that all who work on it share."""

    def look_around(self) -> None:
        """Warn of what is unsafe about it, and remove what killed processes left beside it."""

    def damage(self) -> list[str]:
        """Return what is wrong with its files. Reads all of them."""

    def back_up(self, path: str | os.PathLike[str], *, overwrite: bool) -> None:
        """Copy it as it is at one moment, while others write."""

    def close(self) -> None:
        """Close every connection that it opened."""
