"""Named moments at which a crash matters. They do nothing unless a test arms them.

Every recovery point of the submit protocol, of applying results, of cleaning up, of migrating
and of writing the index has one, so that tests can enumerate them and stop there.
"""

from collections.abc import Callable
from enum import StrEnum


class FailPoint(StrEnum):
    """The moments, roughly in the order in which a run passes them."""

    MIGRATE_STEP = "migrate.step"
    FOUND_LISTED = "found.listed"
    FOUND_RECORDED = "found.recorded"
    LEFT_LISTED = "left.listed"
    LEASE_TAKEN = "lease.taken"
    CLAIM_SELECTED = "claim.selected"
    CLAIM_COMMITTED = "claim.committed"
    MEDIA_RELEASED = "media.released"
    SPOOL_WRITTEN = "spool.written"
    UPLOAD_DONE = "upload.done"
    UPLOAD_RECORDED = "upload.recorded"
    CREATE_INTENDED = "create.intended"
    CREATE_ANSWERED = "create.answered"
    CREATE_RECORDED = "create.recorded"
    CREATE_REFUSED = "create.refused"
    CREATE_LISTED = "create.listed"
    CREATE_ADOPTED = "create.adopted"
    LATE_REOPENED = "late.reopened"
    CANCEL_INTENDED = "cancel.intended"
    POLL_ANSWERED = "poll.answered"
    DOWNLOAD_WRITTEN = "download.written"
    DOWNLOAD_DONE = "download.done"
    DOWNLOAD_RECORDED = "download.recorded"
    APPLY_PAGE_WRITTEN = "apply.page_written"
    APPLY_PAGE_COMMITTED = "apply.page_committed"
    APPLY_SETTLED = "apply.settled"
    APPLY_RECORDED = "apply.recorded"
    END_SETTLED = "end.settled"
    END_RECORDED = "end.recorded"
    CLEANUP_STARTED = "cleanup.started"
    CLEANUP_REMOVED = "cleanup.removed"
    CLEANUP_DONE = "cleanup.done"
    BACKUP_WRITTEN = "backup.written"
    DELIVERY_FILLED = "delivery.filled"
    DELIVERY_NOTED = "delivery.noted"
    DELIVERY_DELETED = "delivery.deleted"
    DELIVERY_PUT = "delivery.put"
    DELIVERY_FORGOTTEN = "delivery.forgotten"
    INDEX_WRITTEN = "index.written"
    INDEX_SYNCED = "index.synced"
    INDEX_REPLACED = "index.replaced"


_armed: dict[FailPoint, Callable[[], None]] = {}


def reach(point: FailPoint) -> None:
    action = _armed.get(point)
    if action is not None:
        action()


def arm(point: FailPoint, action: Callable[[], None]) -> None:
    """Run ``action`` whenever this process passes the point."""
    _armed[point] = action


def disarm() -> None:
    _armed.clear()
