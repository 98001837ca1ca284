from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from semantic_core.database import among
from semantic_core.database.port import Connection
from semantic_core.database.queries import first_column
from semantic_core.database.strategies import Collection, Database, Sql
from semantic_core.delivery.attached import AttachedTarget
from semantic_core.delivery.target import Target
from semantic_core.delivery.worker import DeliveryRun
from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import ConfigurationError, InvalidInputError
from semantic_core.domain.types import TargetStatus
from semantic_core.domain.validation import check_text
from semantic_core.queue.stats import read_targets
from semantic_core.store.collections import DEFAULT_COLLECTION, get_collection, open_collection
from semantic_core.store.kept import KEEPS_TEXT, KeepText, check_all_here, let_go, take_back
from semantic_core.store.writing.reindex import begin, finish


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

    def attach(
        self,
        target: Target,
        *,
        name: str,
        collection: str = DEFAULT_COLLECTION,
        keep_text: KeepText | None = None,
        keep_vectors: bool | None = None,
    ) -> None:
        """Deliver a collection's vectors to a target, from now on and in this process.

        A new one gets all vectors that there are, with the next `deliver`; nothing is paid for
        again. Attach an empty store, or one that holds none of these chunks. Searches of the
        collection in this process ask it for vectors once it has them all.

        Args:
            target: what talks to the store.
            name: names it for good; another process attaches the same store under the same name.
            collection: created with the default spec if it does not exist.
            keep_text: "until delivered" takes the words of what every target of the collection
                has out of the keyword index, "always" puts them back; None leaves it as it was.
            keep_vectors: False deletes the paid vectors of what every target of the collection
                has. A re-ingest of the same text pays again: under another id, with changed
                metadata, or with an edit taken back. True lets the next jobs bring, and bill, once
                more what was deleted; None leaves it as it was.

        Raises:
            ConfigurationError: the name is that of another store, or of another collection; or
                vectors that a new target needs are not here any more. It says what they cost.
        """
        keeps_text = None if keep_text is None else KEEPS_TEXT.get(keep_text)
        if keep_text is not None and keeps_text is None:
            raise InvalidInputError(f"keep_text={keep_text!r}: use one of {', '.join(KEEPS_TEXT)}.")
        check_text(name, what="A target's name")
        if not name.strip():
            raise InvalidInputError("A target's name is blank. Give it a name.")
        kind = target.kind
        with self._database.snapshot() as connection:
            row = _row(connection, name)
        if row is None:
            with self._database.transaction() as connection:
                owner = open_collection(connection, collection, None, now=self._clock.now())
                check_all_here(connection, owner, f"{name!r} cannot get what was there before it")
                connection.execute(
                    "INSERT INTO targets (collection_id, name, kind, keeps_text, keeps_vectors) "
                    "VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
                    (owner.id, name, kind, keeps_text is not False, keep_vectors is not False),
                )
                row = _row(connection, name)
        target_id, *known = row
        if known != [kind, collection]:
            raise ConfigurationError(
                f"The target {name!r} is {known[0]}, for the collection {known[1]!r}, and not "
                f"{kind}, for {collection!r}. Nothing was changed. Give the new one another name, or "
                f"let go of the old one first: store.delivery.forget({name!r})."
            )
        for what, keeps in (("text", keeps_text), ("vectors", keep_vectors)):
            if keeps is not None:
                self._keep(target_id, collection, what, keeps=keeps)
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
        self._index_rest()
        for target in self.attached:
            DeliveryRun(
                self._database,
                self._clock,
                target,
                let_go=partial(self._settle, let_go, target.collection),
                take_back=partial(self._settle, take_back, target.collection),
            ).run()
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
            ConfigurationError: vectors that it needs are not here; it says what they cost.
        """
        with self._database.transaction() as connection:
            target_id, collection = _found(connection, name)
            check_all_here(connection, collection, f"{name!r} cannot get everything anew")
            connection.execute("UPDATE targets SET filled_pk = 0 WHERE id = ?", (target_id,))
            connection.execute(
                "UPDATE outbox SET may_be_there = TRUE WHERE target_id = ?", (target_id,)
            )

    def forget(self, name: str) -> int:
        """Note nothing more for a target; what it holds stays there. Return what it still lacked.

        Raises:
            InvalidInputError: there is no such target; it names those there are.
            ConfigurationError: there are vectors that only it has; it says what they cost.
        """
        with self._database.transaction() as connection:
            target_id, collection = _found(connection, name)
            check_all_here(connection, collection, f"{name!r} cannot be let go of")
            if collection.drops_text:
                begin(connection, collection, collection.languages)
            lacked = connection.execute(
                "DELETE FROM outbox WHERE target_id = ?", (target_id,)
            ).rowcount
            connection.execute("DELETE FROM targets WHERE id = ?", (target_id,))
        self._attached.pop(name, None)
        self._index_rest()
        return lacked

    def _keep(self, target_id: int, collection: str, what: str, *, keeps: bool) -> None:
        """Note whether text or vectors stay here; if they do, bring back what went."""
        with self._database.transaction() as connection:
            is_changed = connection.execute(
                f"UPDATE targets SET keeps_{what} = ? WHERE id = ? AND keeps_{what} <> ?",
                (keeps, target_id, keeps),
            ).rowcount
            found, everything = get_collection(connection, collection), Sql("TRUE")
            if is_changed and what == "vectors" and keeps:
                take_back(self._database, connection, found, everything, now=self._clock.now())
            if is_changed:
                begin(connection, found, found.languages)
        self._index_rest()

    def _index_rest(self) -> None:
        """Bring to its end what was begun to be indexed anew, by whomever."""
        with self._database.snapshot() as connection:
            begun = "SELECT name FROM collections WHERE former_languages IS NOT NULL"
            names = first_column(connection, begun)
        for name in names:
            finish(self._database, name)

    def _settle(
        self, settle: Callable[..., None], name: str, connection: Connection, ids: Sequence[str]
    ) -> None:
        collection, chosen = get_collection(connection, name), among("c.chunk_id", ids)
        settle(self._database, connection, collection, chosen, now=self._clock.now())

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


def _found(connection: Connection, name: str) -> tuple[int, Collection]:
    row = _row(connection, name)
    if row is None:
        names = ", ".join(repr(one.name) for one in read_targets(connection)) or "none"
        raise InvalidInputError(f"There is no target {name!r} (there is: {names}).")
    return int(row[0]), get_collection(connection, row[2])
