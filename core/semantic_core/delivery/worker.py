"""Telling one target what it is still to be told: delete, then add, then forget the wishes.

That order is idempotent in every store whose delete works, whatever it does with an id it has
already. So a page that a crash left anywhere simply comes again.
"""

import logging
import uuid
from collections.abc import Callable, Sequence
from typing import TypeVar

from semantic_core.database.port import Connection
from semantic_core.database.strategies import Database
from semantic_core.delivery.attached import AttachedTarget
from semantic_core.delivery.outbox import (
    Wish,
    fill_page,
    forget_wishes,
    note_failure,
    note_handing_over,
    read_wishes,
    wish_again,
)
from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import TargetError
from semantic_core.domain.failpoints import FailPoint, reach

_log = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds that a process which stopped in the middle keeps others from its target.
LEASE = 600.0

# So many chunks that fail alone, with no success in between, are not guilty: their target is.
_MOST_ALONE = 3


class _TakenOverError(Exception):
    """Another process has the target now."""


class DeliveryRun:
    """One run through what a target is to be told, under a lease.

    Every write first proves that the lease is still ours.

    Args:
        database: where the outbox is.
        clock: where time comes from.
        target: who is told.
        let_go: is given ids of chunks, within the transaction that notes that it has them.
        take_back: is given those of chunks that it is to be told once more, likewise.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        target: AttachedTarget,
        *,
        let_go: Callable[[Connection, Sequence[str]], None],
        take_back: Callable[[Connection, Sequence[str]], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._target = target
        self._let_go = let_go
        self._take_back = take_back
        self._token = str(uuid.uuid4())
        self._failed_alone = 0

    def run(self) -> None:
        """Deliver all that is due. What stops it is noted on the target, and the log tells it.

        A target that another process works on is left to it.
        """
        now = self._clock.now()
        with self._database.transaction() as connection:
            is_taken = connection.execute(
                "UPDATE targets SET lease_token = ?, lease_until = ? "
                # One that ends later than any was taken by a wrong clock.
                "WHERE id = ? AND (lease_token IS NULL OR lease_until <= ? OR lease_until > ?)",
                (self._token, now + LEASE, self._target.id, now, now + LEASE),
            ).rowcount
        if not is_taken:
            return
        error = None
        try:
            while not self._write(lambda on: fill_page(on, self._target.id, now=now)):
                reach(FailPoint.DELIVERY_FILLED)
            reach(FailPoint.DELIVERY_FILLED)
            while wishes := self._due():
                self._tell(wishes)
        except TargetError as failure:
            error = str(failure)
            # Without the store's own words, which may quote a text.
            _log.warning(
                "The target %r stopped taking chunks (%s). Nothing is lost; semcore targets says more.",
                self._target.name,
                type(failure.__cause__).__name__,
            )
        except _TakenOverError:
            _log.info("The target %r was taken over by another process.", self._target.name)
        finally:
            with self._database.transaction() as connection:
                connection.execute(
                    "UPDATE targets SET lease_token = NULL, lease_until = NULL, error = ? "
                    "WHERE id = ? AND lease_token = ?",
                    (error, self._target.id, self._token),
                )

    def _due(self) -> list[Wish]:
        with self._database.snapshot() as connection:
            return read_wishes(connection, self._target.id, now=self._clock.now())

    def _tell(self, wishes: Sequence[Wish]) -> None:
        """Tell a page. One that fails is halved, until the guilty chunk stands alone.

        Raises:
            TargetError: no chunk is guilty: the target takes none.
        """
        try:
            self._tell_at_once(wishes)
        except TargetError as error:
            if len(wishes) > 1:
                middle = len(wishes) // 2
                handed = [wish.handed_over() for wish in wishes]
                self._tell(handed[:middle])
                self._tell(handed[middle:])
                return
            self._failed_alone += 1
            why, now = str(error), self._clock.now()
            self._write(lambda on: note_failure(on, wishes[0], why, now=now))
            if self._failed_alone == _MOST_ALONE:
                raise
        else:
            self._failed_alone = 0

    def _tell_at_once(self, wishes: Sequence[Wish]) -> None:
        target_id = self._target.id
        is_first = self._write(lambda on: _note(on, target_id, wishes))
        reach(FailPoint.DELIVERY_NOTED)
        if gone := [wish.chunk_id for wish in wishes if wish.may_be_there]:
            try:
                self._target.delete(gone)
            except TargetError:
                # Some stores have nothing to delete from before the first chunk is there.
                if not is_first:
                    raise
        reach(FailPoint.DELIVERY_DELETED)
        if items := [wish.item for wish in wishes if wish.item is not None]:
            self._target.put(items)
        reach(FailPoint.DELIVERY_PUT)
        now = self._clock.now()
        try:
            self._write(lambda on: self._forget(on, wishes, now=now))
        except _TakenOverError:
            # What was put just now may be older than what the other process put.
            with self._database.transaction() as connection:
                ids = [wish.chunk_id for wish in wishes]
                wish_again(connection, target_id, ids, now=now)
                self._take_back(connection, ids)
            raise
        reach(FailPoint.DELIVERY_FORGOTTEN)

    def _forget(self, connection: Connection, wishes: Sequence[Wish], *, now: float) -> None:
        target_id = self._target.id
        forget_wishes(connection, target_id, wishes)
        connection.execute("UPDATE targets SET delivered_at = ? WHERE id = ?", (now, target_id))
        self._let_go(connection, [wish.chunk_id for wish in wishes])

    def _write(self, work: Callable[[Connection], T]) -> T:
        """Do work in a transaction that first proves, and extends, the lease.

        Raises:
            _TakenOverError: another process has it; nothing was written.
        """
        with self._database.transaction() as connection:
            is_ours = connection.execute(
                "UPDATE targets SET lease_until = ? WHERE id = ? AND lease_token = ?",
                (self._clock.now() + LEASE, self._target.id, self._token),
            ).rowcount
            if not is_ours:
                raise _TakenOverError
            return work(connection)


def _note(connection: Connection, target_id: int, wishes: Sequence[Wish]) -> bool:
    """Note that a page is handed over; return whether no page was committed before."""
    note_handing_over(connection, target_id, wishes)
    (delivered_at,) = connection.execute(
        "SELECT delivered_at FROM targets WHERE id = ?", (target_id,)
    ).fetchone()
    return delivered_at is None
