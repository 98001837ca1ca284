"""Collections: named sets of chunks, each owning its EmbeddingSpec."""

import difflib
import logging
from dataclasses import fields, replace
from functools import lru_cache

from semantic_core.database.port import Connection
from semantic_core.database.strategies import Collection
from semantic_core.domain.errors import InvalidInputError, SpecMismatchError, UnknownCollectionError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.validation import check_id
from semantic_core.keywords import DEFAULT_LANGUAGES, read_languages

_log = logging.getLogger(__name__)

DEFAULT_COLLECTION = "default"

# Zero stands for all collections where what waits is counted.
_OF_NO_ROW = -1

_MOST_SHOWN = 20

_TARGETS = "SELECT 1 FROM targets t WHERE t.collection_id = c.id"
_OF_TARGETS = ("has_targets", "drops_text", "drops_vectors")


def check_name(name: str) -> None:
    """Check that a collection can have this name, or raise `InvalidInputError`."""
    check_id(name, what="A collection's name")
    if not name.strip():
        raise InvalidInputError("A collection's name is blank. Give it a name.")


def find_collection(connection: Connection, name: str) -> Collection | None:
    """Return a collection, or None if there is none; an InvalidInputError for no possible name."""
    check_name(name)
    row = connection.execute(
        "SELECT c.id, c.spec, c.space_id, s.dimensions, c.languages, c.former_languages, "
        f"EXISTS ({_TARGETS}), EXISTS ({_TARGETS} AND NOT t.keeps_text), "
        f"EXISTS ({_TARGETS} AND NOT t.keeps_vectors) "
        "FROM collections c JOIN spaces s ON s.id = c.space_id WHERE c.name = ?",
        (name,),
    ).fetchone()
    if row is None:
        return None
    return Collection(
        id=row[0],
        name=name,
        spec=_read_spec(row[1], row[3]),
        space_id=row[2],
        languages=read_languages(str(row[4])),
        former_languages=None if row[5] is None else read_languages(str(row[5])),
        **dict(zip(_OF_TARGETS, map(bool, row[6:]), strict=True)),
    )


# Each search asks for its collection.
@lru_cache
def _read_spec(text: str, dimensions: int | None) -> EmbeddingSpec:
    return replace(EmbeddingSpec.from_json(text), dimensions=dimensions)


def get_collection(connection: Connection, name: str) -> Collection:
    """Return a collection, or raise `UnknownCollectionError`."""
    collection = find_collection(connection, name)
    if collection is None:
        raise UnknownCollectionError(
            f"{describe_missing(connection, name)}. Saving into one creates it, and so does "
            "store.collection(name)."
        )
    return collection


def read_collections(connection: Connection) -> list[Collection]:
    names = connection.execute("SELECT name FROM collections ORDER BY name").fetchall()
    return [get_collection(connection, name) for (name,) in names]


def collection_id(connection: Connection, name: str) -> int:
    """Return the id of a collection, for what is asked about it, or raise `UnknownCollectionError`.

    The default one of a database that nothing was saved into yet has an id that no row has: it is
    empty, and no typing error.
    """
    if name == DEFAULT_COLLECTION and find_collection(connection, name) is None:
        return _OF_NO_ROW
    return get_collection(connection, name).id


def describe_missing(connection: Connection, name: str) -> str:
    """Return that there is no such collection, which one may be meant, and which there are."""
    names = [row[0] for row in connection.execute("SELECT name FROM collections ORDER BY name")]
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    shown = ", ".join(map(repr, names[:_MOST_SHOWN])) or "none yet"
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return f"There is no collection {name!r} ({meant}there is: {shown}{more})"


def open_collection(
    connection: Connection,
    name: str,
    spec: EmbeddingSpec | None,
    languages: tuple[str, ...] | None = None,
    *,
    now: float,
) -> Collection:
    """Return a collection, created with the spec (or the default one) if there is none.

    ``spec`` None takes what is there, and another one is a SpecMismatchError; the languages are
    those of a new one.
    """
    found = find_collection(connection, name)
    if found is None:
        _create(connection, name, spec or EmbeddingSpec(), languages or DEFAULT_LANGUAGES, now=now)
        return get_collection(connection, name)
    if spec is not None:
        check_spec(found, spec)
        if found.spec.dimensions is None and spec.dimensions is not None:
            fix_dimensions(connection, found.space_id, spec.dimensions)
            return get_collection(connection, name)
    return found


def check_spec(collection: Collection, spec: EmbeddingSpec) -> None:
    """Check that a collection has this spec, or raise `SpecMismatchError`, which names both."""
    asked = spec
    if spec.is_external and spec.dimensions is None:
        asked = replace(spec, dimensions=collection.spec.dimensions)
    known = collection.spec
    if known.is_external and known.dimensions is None:
        known = replace(known, dimensions=asked.dimensions)
    if asked != known:
        was, wanted = _differences(collection.spec, spec)
        raise SpecMismatchError(
            f"Collection {collection.name!r} was created with {was}, not with {wanted}. Nothing "
            "was changed. Open it without a spec to use it as it is, or choose another collection: "
            "vectors of two specs cannot be compared."
        )


def check_asked(
    collection: Collection, spec: EmbeddingSpec | None, languages: tuple[str, ...] | None
) -> None:
    """Check what a collection is opened with; it keeps its languages whatever is asked for."""
    if spec is not None:
        check_spec(collection, spec)
    if languages not in (None, collection.languages):
        _log.warning(
            "Collection %r keeps its languages, %s; %s were asked for. To change them: "
            "store.reindex(name, languages=...) or semcore reindex.",
            collection.name,
            ", ".join(collection.languages),
            ", ".join(languages or ()),
        )


def fix_dimensions(connection: Connection, space_id: int, dimensions: int) -> None:
    """Fix the size of an external space, unless it is fixed already."""
    connection.execute(
        "UPDATE spaces SET dimensions = ? WHERE id = ? AND dimensions IS NULL",
        (dimensions, space_id),
    )


def _create(
    connection: Connection,
    name: str,
    spec: EmbeddingSpec,
    languages: tuple[str, ...],
    *,
    now: float,
) -> None:
    connection.execute(
        "INSERT INTO spaces (digest, model, dimensions, is_external) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (digest) DO NOTHING",
        (spec.space_digest, spec.model, spec.dimensions, spec.is_external),
    )
    space_id, dimensions = connection.execute(
        "SELECT id, dimensions FROM spaces WHERE digest = ?", (spec.space_digest,)
    ).fetchone()
    if None not in (spec.dimensions, dimensions) and spec.dimensions != dimensions:
        raise SpecMismatchError(
            f"The external space {spec.model!r} has {dimensions} dimensions, not "
            f"{spec.dimensions}. Open it with those, or give the other embedder another name."
        )
    connection.execute(
        "INSERT INTO collections (name, space_id, spec, languages, created_at) "
        "VALUES (?, ?, ?, ?, ?)",
        (name, space_id, spec.to_json(), " ".join(languages), now),
    )
    if spec.dimensions is not None:
        fix_dimensions(connection, space_id, spec.dimensions)


def _differences(known: EmbeddingSpec, asked: EmbeddingSpec) -> tuple[str, str]:
    """Return what two specs do not share, in words for each of them."""
    if known.is_external or asked.is_external:
        return _brief(known), _brief(asked)
    names = [
        field.name
        for field in fields(EmbeddingSpec)
        if getattr(known, field.name) != getattr(asked, field.name)
    ]
    was, wanted = (
        ", ".join(f"{name}={getattr(spec, name)!r}" for name in names) for spec in (known, asked)
    )
    return was, wanted


def _brief(spec: EmbeddingSpec) -> str:
    kind = "external " if spec.is_external else ""
    size = (
        "dimensions not known yet" if spec.dimensions is None else f"{spec.dimensions} dimensions"
    )
    return f"({kind}{spec.model!r}, {size})"
