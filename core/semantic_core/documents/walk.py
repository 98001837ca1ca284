"""Finding the files to read, in folders and by name; and counting what is passed over."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from semantic_core.documents.converted import CONVERTED, can_convert
from semantic_core.documents.file_metadata import printable
from semantic_core.documents.readers import FORMATS, MEDIA_FORMATS, FileDocument
from semantic_core.domain.errors import InvalidInputError

# Beside hidden ones: what programs install or make.
_LEFT_OUT = frozenset(("node_modules", "__pycache__", "site-packages", "venv"))

_KINDS = tuple(dict.fromkeys((*FORMATS, *CONVERTED, *MEDIA_FORMATS)))

_LINK, _HIDDEN, _EXCLUDED = "link", "hidden", "excluded"


class FoundFiles:
    """The files below some paths; they are looked for anew whenever it is iterated over.

    Attributes:
        folders: the folders among the paths.
        name: what the root is to be called, or None.
        found: how many files there were.
        passed_over: how many there were of each kind that is not read: a suffix, ``link``,
            ``hidden``, ``excluded``, or the name of a folder and a ``/``.
        takes_media: whether pictures and PDFs in the folders are read: the model of the collection
            that they are ingested into decides.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        glob: Sequence[str],
        exclude: Sequence[str],
        name: str | None,
    ) -> None:
        self._paths = paths
        self._glob, self._exclude = glob, exclude
        self.folders = [path for path in paths if path.is_dir()]
        self.name = name
        self.found = 0
        self.passed_over: Counter[str] = Counter()
        self.takes_media = False
        self._texts = (*FORMATS, *(CONVERTED if can_convert() else ()))

    @property
    def formats(self) -> tuple[str, ...]:
        return (*self._texts, *(MEDIA_FORMATS if self.takes_media else ()))

    def __iter__(self) -> Iterator[FileDocument]:
        self.found, self.passed_over = 0, Counter()
        seen: set[str] = set()
        for path in self._paths:
            for document in self._below(path):
                # One that is named, and so is its folder, comes once.
                real = os.path.realpath(document.path) if len(self._paths) > 1 else ""
                if real and real in seen:
                    continue
                seen.add(real)
                self.found += document.unlisted is None
                yield document

    def _below(self, top: Path) -> Iterator[FileDocument]:
        if not top.is_dir():
            path = Path(os.path.realpath(top)) if top.is_symlink() else top
            yield self._document(path, path.parent)
            return
        unlisted: list[OSError] = []
        for folder, folders, files in os.walk(top, onerror=unlisted.append):
            yield from self._drain(unlisted, top)
            folders[:] = sorted(name for name in folders if self._is_entered(folder, name, top))
            for name in sorted(files):
                path = Path(folder, name)
                if kind := self._why_not(path, top):
                    self.passed_over[kind] += 1
                else:
                    yield self._document(path, top)
        yield from self._drain(unlisted, top)

    def _document(self, path: Path, top: Path) -> FileDocument:
        suffix = path.suffix.lower()
        is_media = suffix in MEDIA_FORMATS and (self.takes_media or suffix not in CONVERTED)
        return FileDocument(path=path, top=top, root_name=self.name, is_media=is_media)

    def _drain(self, errors: list[OSError], top: Path) -> Iterator[FileDocument]:
        while errors:
            error = errors.pop(0)
            yield FileDocument(path=Path(error.filename), top=top, unlisted=error)

    def _is_entered(self, folder: str, name: str, top: Path) -> bool:
        path = Path(folder, name)
        if path.is_symlink():
            kind = _LINK
        elif name.startswith(".") or name in _LEFT_OUT:
            kind = f"{name}/"
        elif _matches(path.relative_to(top), self._exclude):
            kind = _EXCLUDED
        else:
            return True
        self.passed_over[kind] += 1
        return False

    def _why_not(self, path: Path, top: Path) -> str | None:
        inside = path.relative_to(top)
        if path.name.startswith("."):
            return _HIDDEN
        # What it leads to is found itself, or was not named: it may be any file of this user's.
        if path.is_symlink():
            return _LINK
        if path.suffix.lower() not in self.formats:
            return path.suffix.lower() or "no suffix"
        if _matches(inside, self._exclude) or (self._glob and not _matches(inside, self._glob)):
            return _EXCLUDED
        return None


def read_documents(
    paths: Iterable[str | os.PathLike[str]],
    *,
    name: str | None = None,
    glob: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> FoundFiles:
    """Find the named files, and those in the named folders.

    These are texts; with the extra ``files`` PDF, Office, EPUB and notebooks as text; and, for a
    collection whose model takes them, pictures and the pages of PDFs.

    They come lazily, a folder's in the order of their paths, and each once. A file is named by its
    root and its path there: the root is the folder that was named, or one that lies around it and
    is known already; where it lies is stored apart, so that it may be moved. Left out are hidden
    files and folders, links (one that is named itself is followed), and folders such as
    ``node_modules``. What cannot be read raises when its content is asked for, so that
    ``SemanticCore.ingest`` names it and goes on with the others.

    Args:
        paths: files and folders.
        name: what the root is called; None for the folder's name, made unique in the database.
            A known root of this name is where the folder is from now on.
        glob: only files whose name or path in the folder is like one of these patterns.
        exclude: no files and folders of which that is so.

    Raises:
        InvalidInputError: one of the paths is not there, or a file of another kind.
    """
    named = [Path(path) for path in paths]
    for path in named:
        if not os.path.exists(path):  # noqa: PTH110  # pathlib's raises for a name too long
            raise InvalidInputError(f"There is no {printable(path)}. Name a file or a folder.")
        if not path.is_dir() and path.suffix.lower() not in _KINDS:
            raise InvalidInputError(
                f"{printable(path)} is none of {', '.join(_KINDS)}. Convert it to one of them."
            )
    if name is not None and (len(named) != 1 or not name.strip() or "/" in name):
        raise InvalidInputError(f"The name {name!r} is for one folder, and holds no slash.")
    return FoundFiles(named, glob=glob, exclude=exclude, name=name)


def _matches(inside: Path, patterns: Sequence[str]) -> bool:
    """Return whether a name, or a path in a folder, is like one of these patterns."""
    path = inside.as_posix()
    spelled = (inside.name, path, f"/{path}", f"{path}/")
    return any(fnmatchcase(one, pattern) for one in spelled for pattern in patterns)
