from typing import Any

from semantic_core.database.port import Connection
from semantic_core.database.strategies import Database
from semantic_core.delivery.attached import AttachedTarget
from semantic_core.delivery.target import Target
from semantic_core.delivery.worker import DeliveryRun
from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import ConfigurationError, InvalidInputError
from semantic_core.domain.types import TargetStatus
from semantic_core.domain.validation import check_text
from semantic_core.queue.stats import read_targets
from semantic_core.store.collections import DEFAULT_COLLECTION, open_collection


class Delivery:
    """Delivers the vectors of collections to other vector stores.

    What a target is to be told is noted in the database, in the transaction of each change, for as
    long as the target is known there. A process delivers to those that were attached in it.

    Args:
        database: where targets and outbox are.
        clock: where time comes from.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._attached: dict[str, AttachedTarget] = {}

    def attach(self, target: Target, *, name: str, collection: str = DEFAULT_COLLECTION) -> None:
        """Deliver a collection's vectors to a target, from now on and in this process.

        A new one gets all vectors that there are, with the next `deliver`; nothing is paid for
        again. Attach an empty store, or one that holds none of these chunks. Searches of the
        collection in this process ask it for vectors once it has them all.

        Args:
            target: what talks to the store.
            name: names it for good; another process attaches the same store under the same name.
            collection: created with the default spec if it does not exist.

        Raises:
            ConfigurationError: the name is that of another store, or of another collection.
        """
        check_text(name, what="A target's name")
        if not name.strip():
            raise InvalidInputError("A target's name is blank. Give it a name.")
        kind = target.kind
        with self._database.snapshot() as connection:
            row = _row(connection, name)
        if row is None:
            with self._database.transaction() as connection:
                owner = open_collection(connection, collection, None, now=self._clock.now())
                connection.execute(
                    "INSERT INTO targets (collection_id, name, kind) VALUES (?, ?, ?) "
                    "ON CONFLICT (name) DO NOTHING",
                    (owner.id, name, kind),
                )
                row = _row(connection, name)
        target_id, *known = row
        if known != [kind, collection]:
            raise ConfigurationError(
                f"The target {name!r} is {known[0]}, for the collection {known[1]!r}, and not "
                f"{kind}, for {collection!r}. Nothing was changed. Give the new one another name, or "
                f"let go of the old one first: store.delivery.forget({name!r})."
            )
        self._attached[name] = AttachedTarget(
            id=target_id, name=name, collection=collection, target=target
        )

    @property
    def attached(self) -> tuple[AttachedTarget, ...]:
        """The targets that are attached in this process."""
        return tuple(self._attached.values())

    def deliver(self) -> tuple[TargetStatus, ...]:
        """Tell each attached target what is due; return what all targets lack afterwards.

        It may be interrupted, and done by several processes at once: a page that was not finished
        comes again. What a target does not take is noted with its error and tried again.

        Raises:
            StorageError: the database could not be read or written; nothing is lost.
        """
        for target in self.attached:
            DeliveryRun(self._database, self._clock, target).run()
        return self.targets()

    def targets(self) -> tuple[TargetStatus, ...]:
        """Return every target that the database knows, by name, attached or not."""
        with self._database.snapshot() as connection:
            return read_targets(connection)

    def redeliver(self, name: str) -> None:
        """Deliver everything to a target anew, each chunk deleted there before it is added.

        After the database was restored from a backup, or the store was changed by somebody else.

        Raises:
            InvalidInputError: there is no such target; it names those there are.
        """
        with self._database.transaction() as connection:
            target_id = _target_id(connection, name)
            connection.execute("UPDATE targets SET filled_pk = 0 WHERE id = ?", (target_id,))
            connection.execute(
                "UPDATE outbox SET may_be_there = TRUE WHERE target_id = ?", (target_id,)
            )

    def forget(self, name: str) -> int:
        """Note nothing more for a target; what it holds stays there. Return what it still lacked.

        Raises:
            InvalidInputError: there is no such target; it names those there are.
        """
        with self._database.transaction() as connection:
            target_id = _target_id(connection, name)
            lacked = connection.execute(
                "DELETE FROM outbox WHERE target_id = ?", (target_id,)
            ).rowcount
            connection.execute("DELETE FROM targets WHERE id = ?", (target_id,))
        self._attached.pop(name, None)
        return lacked

    def searched(self, collection: str) -> AttachedTarget | None:
        """Return the attached target that searches of a collection ask: the first."""
        of_it = (one for one in self.attached if one.collection == collection)
        return next(of_it, None)


def _row(connection: Connection, name: str) -> Any:
    return connection.execute(
        "SELECT t.id, t.kind, k.name FROM targets t JOIN collections k ON k.id = t.collection_id "
        "WHERE t.name = ?",
        (name,),
    ).fetchone()


def _target_id(connection: Connection, name: str) -> int:
    row = _row(connection, name)
    if row is None:
        names = ", ".join(repr(one.name) for one in read_targets(connection)) or "none"
        raise InvalidInputError(f"There is no target {name!r} (there is: {names}).")
    return int(row[0])
