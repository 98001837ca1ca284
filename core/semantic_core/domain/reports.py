"""What saving, back-filling and ingesting did."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

# Names that a report keeps; beyond them it counts.
MOST_NAMED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveReport:
    """What one save did: inserted + updated + unchanged == ready + pending + failed == len(ids)."""

    ids: tuple[str, ...] = ()
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    ready: int = 0
    pending: int = 0
    failed: int = 0

    def __add__(self, other: SaveReport) -> SaveReport:
        names = [one.name for one in fields(self)]
        return SaveReport(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedVector:
    """A vector that was not stored, and why."""

    content_hash: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkReport:
    """What ``bulk_update_vectors`` did.

    Attributes:
        applied: vectors that are stored now (new or already there).
        chunks_ready: chunks that became READY.
        refused: vectors that were not stored, with reasons.
    """

    applied: int = 0
    chunks_ready: int = 0
    refused: tuple[RefusedVector, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A document that ingest refused."""

    position: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What one ingest did.

    Attributes:
        documents: documents saved.
        chunks: what became of their chunks (``ids`` is empty, to stay small).
        removed: chunks of earlier versions of these documents that are gone, or with
            ``replace_sources`` of earlier documents of their sources.
        rejected: the first refused documents (at most 100 are kept).
        rejected_count: all refused documents.
        skipped: the first empty files (at most 100 are kept).
        skipped_count: all empty files; what was saved of them before is removed.
        gone: documents that came from the folders read now, have no file any more, and are still
            searched.
        pruned: those of them that were removed.
        seconds: how long the caller was blocked.
    """

    documents: int = 0
    chunks: SaveReport = field(default_factory=SaveReport)
    removed: int = 0
    rejected: tuple[Rejected, ...] = ()
    rejected_count: int = 0
    skipped: tuple[str, ...] = ()
    skipped_count: int = 0
    gone: int = 0
    pruned: int = 0
    seconds: float = 0.0

    def with_rejected(self, position: int, name: str, reason: str) -> IngestReport:
        """Return it with one more that was refused; the first are kept, the others counted."""
        rejected, count = self.rejected, self.rejected_count
        if count < MOST_NAMED:
            rejected = (*rejected, Rejected(position=position, name=name, reason=reason))
        return replace(self, rejected=rejected, rejected_count=count + 1)
