"""Which root a file belongs to, its id there, and what was saved from a root and is gone."""

import os
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from semantic_core.database.port import Connection
from semantic_core.documents.file_metadata import path_of, printable
from semantic_core.documents.readers import FileDocument
from semantic_core.documents.walk import FoundFiles
from semantic_core.domain.errors import ConfigurationError
from semantic_core.store import BaseVectorStore
from semantic_core.store.roots import (
    Root,
    documents_of,
    existing,
    has_documents,
    read_roots,
    some_documents,
    write_root,
)

# Documents of a root that are looked for, to tell whether a folder is the same one elsewhere.
_LOOKED_FOR = 100

# What a folder is, by whatever path, link or spelling it is reached.
_Inode = tuple[int, int]


class Roots:
    """Names files by the roots that they lie in; a new root is noted. For one call."""

    def __init__(self, store: BaseVectorStore) -> None:
        self._store = store
        self._owners: dict[Path, tuple[Root, str]] = {}
        self._known: dict[_Inode, Root] | None = None

    def place(self, file: FileDocument) -> tuple[Root, str]:
        """Return the root of a file, and the file's id.

        Raises:
            ConfigurationError: its folder looks like one that was moved, or cannot have the name.
        """
        root, inside = self._owner(file.path.parent, file)
        return root, f"{root.name}/{inside}{printable(file.path.name)}"

    def _owner(self, folder: Path, file: FileDocument) -> tuple[Root, str]:
        """Return the innermost root around a folder, and the folder's path there."""
        if folder not in self._owners:
            if self._known is None:
                with self._store.database.snapshot() as connection:
                    self._known = _by_inode(read_roots(connection))
            root = self._known.get(_inode(folder) or (0, 0))
            is_top = folder == file.top
            if root is not None and (not is_top or file.root_name in (None, root.name)):
                owner = (root, "")
            elif not is_top:
                root, inside = self._owner(folder.parent, file)
                owner = (root, f"{inside}{printable(folder.name)}/")
            else:
                with self._store.database.transaction() as connection:
                    owner = _open(connection, folder, file.root_name)
                    self._known = _by_inode(read_roots(connection))
            self._owners[folder] = owner
        return self._owners[folder]


def _open(connection: Connection, folder: Path, name: str | None) -> tuple[Root, str]:
    """Return the root of a folder that is none yet, or is to have a name."""
    # Where it is named by a link, that may lead elsewhere tomorrow.
    place = printable(folder.absolute())
    known = read_roots(connection)
    at = _by_inode(known)
    here = at.get(_inode(folder) or (0, 0))
    if here is None and (outer := _around(connection, folder, at)) is not None:
        if name is None:
            return outer
        raise ConfigurationError(
            f"What is in {place} was saved as a part of {outer[0].name!r}, as {outer[0].name}/{outer[1]}. "
            "Leave the name out. Nothing was saved."
        )
    if name is None:
        if here is not None:  # by another process meanwhile
            return here, ""
        base = Path(place).name or "files"
        here = _moved(connection, place, base, known)
        name = here.name if here is not None else _unused(base, known)
    else:
        named = next((root for root in known if root.name == name), None)
        if named is not None and here is not None and named != here:
            raise ConfigurationError(
                f"{place} is the root {here.name!r}, and {name!r} is another one, {named.place}. Choose "
                "another name. Nothing was saved."
            )
        here = named or here
    return write_root(connection, name, place, known=here), ""


def _around(
    connection: Connection, folder: Path, at: dict[_Inode, Root]
) -> tuple[Root, str] | None:
    """Return a root around a folder of which documents in that folder were saved."""
    real = Path(os.path.realpath(folder))
    for outer in real.parents:
        root = at.get(_inode(outer) or (0, 0))
        if root is not None:
            inside = f"{printable(real.relative_to(outer))}/"
            if has_documents(connection, root, f"{root.name}/{inside}"):
                return root, inside
    return None


def _moved(connection: Connection, place: str, base: str, known: list[Root]) -> Root | None:
    """Return the root that a folder is, moved: its own place is gone, and its files are here.

    Raises:
        ConfigurationError: that may be so, but the folder has another name.
    """
    for root in known:
        if os.path.isdir(path_of(root.place)):  # noqa: PTH112  # pathlib's raises for a name too long
            continue
        paths = [
            document_id.partition("/")[2]
            for document_id in some_documents(connection, root, most=_LOOKED_FOR)
        ]
        here = sum(not _is_gone(place, path) for path in paths)
        is_alike = here * 2 >= len(paths)
        if is_alike and base in (root.name, Path(root.place).name):
            return root
        if is_alike and paths:
            raise ConfigurationError(
                f"{here} of {len(paths)} files of the root {root.name!r} are in {place}, "
                f"and its folder {root.place} is gone. If it was moved here, say so with the name "
                f"{root.name!r} (--name {root.name}); if not, choose another name. Nothing was saved."
            )
    return None


def _unused(base: str, known: list[Root]) -> str:
    taken = {root.name for root in known}
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def _by_inode(roots: list[Root]) -> dict[_Inode, Root]:
    found = ((_inode(Path(path_of(root.place))), root) for root in roots)
    return {inode: root for inode, root in found if inode is not None}


def _inode(folder: Path) -> _Inode | None:
    try:
        found = folder.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def ids_at(store: BaseVectorStore, path: str) -> list[str]:
    """Return the ids that a file at this path has, or had; that of the innermost root first."""
    with store.database.snapshot() as connection:
        roots = read_roots(connection)
    real = printable(os.path.realpath(path))
    found = [(root, inside) for root in roots if (inside := _inside(real, root)) is not None]
    found.sort(key=lambda one: len(one[1]))
    return [f"{root.name}/{inside}" for root, inside in found]


def find_gone(
    store: BaseVectorStore, found: FoundFiles, *, collection: str, has: Callable[[str], bool]
) -> tuple[list[str], list[str]]:
    """Return which documents from these folders have no file any more, and which another id.

    Args:
        store: where they are.
        found: the folders, and what was found there.
        collection: which collection.
        has: tells of an id whether its file was just read.
    """
    gone: list[str] = []
    renamed: list[str] = []
    listed = cache(_listed)
    target = store.find(collection)
    if target is None:
        return gone, renamed
    with store.database.snapshot() as connection:
        roots = read_roots(connection)
    for root in roots:
        parts = tuple(part for folder in found.folders if (part := _part(folder, root)) is not None)
        for page in _pages(store, root, target.id) if parts else ():
            old = {
                document_id: path
                for document_id in page
                if not has(document_id)
                and (path := document_id.partition("/")[2]).startswith(parts)
            }
            named = {one: f"{root.name}/{path}" for one, path in old.items()}
            with store.database.snapshot() as connection:
                others = [new for one, new in named.items() if new != one]
                there = existing(connection, others, collection_id=target.id)
            for document_id, path in old.items():
                if named[document_id] in there:
                    renamed.append(document_id)
                elif _is_gone(root.place, path):
                    gone.append(document_id)
                elif has(f"{root.name}/{spelled(root.place, path, listed)}"):
                    renamed.append(document_id)
    return gone, renamed


def _pages(store: BaseVectorStore, root: Root, collection_id: int) -> Iterator[list[str]]:
    after: int | None = 0
    while after is not None:
        with store.database.snapshot() as connection:
            page = documents_of(connection, root, collection_id=collection_id, after=after)
        yield list(page.values())
        after = max(page, default=None)


def _inside(path: str, root: Root) -> str | None:
    """Return a path as it is in a root, or None if it is not there."""
    base = printable(os.path.realpath(path_of(root.place)))
    if path == base:
        return ""
    base = base.rstrip("/") + "/"
    return path.removeprefix(base) if path.startswith(base) else None


def _part(folder: Path, root: Root) -> str | None:
    """Return how the paths in a root begin of what lies in a folder, or None if nothing does."""
    real = printable(os.path.realpath(folder))
    inside = _inside(real, root)
    if inside is not None:
        return f"{inside}/" if inside else ""
    is_around = printable(root.place).startswith(real.rstrip("/") + "/")
    return "" if is_around else None


def spelled(place: str, path: str, listed: Callable[[str], frozenset[str]]) -> str:
    """Return a path as the disk lists it; where case tells no files apart, others lead there, too."""
    found = place
    for name in path.split("/"):
        names = listed(found)
        alike = (one for one in names if name not in names and _folded(one) == _folded(name))
        found = f"{found}/{next(alike, name)}"
    return found.removeprefix(f"{place}/")


def _listed(folder: str) -> frozenset[str]:
    try:
        return frozenset(printable(one.name) for one in Path(path_of(folder)).iterdir())
    except OSError:
        return frozenset()


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _is_gone(place: str, path: str) -> bool:
    try:
        os.lstat(path_of(f"{place}/{path}"))
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # it may be there, and nobody may look
        return False
    return False
