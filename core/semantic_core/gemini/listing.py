"""Listing what is stored at the provider, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from semantic_core.errors import ProviderProtocolError
from semantic_core.gemini.names import is_remote_name
from semantic_core.gemini.remote import RemoteFile

# The largest page: https://ai.google.dev/api/files, read 2026-11.
_PAGE_SIZE = "100"

_MOST_PAGES = 1000


def read_files(read: Callable[[dict[str, str]], dict[str, Any]]) -> Iterator[RemoteFile]:
    """Yield every file of a listing; what has no usable name is left out.

    Args:
        read: gives the page for a query.

    Raises:
        ProviderError: a page could not be read, or there is no last one.
    """
    query = {"pageSize": _PAGE_SIZE}
    for _ in range(_MOST_PAGES):
        page = read(query)
        files = page.get("files", [])
        for file in files if isinstance(files, list) else []:
            found = _read_file(file)
            if found is not None:
                yield found
        token = page.get("nextPageToken")
        if not isinstance(token, str) or not token:
            return
        query = {**query, "pageToken": token}
    raise ProviderProtocolError("The file listing does not end.")


def _read_file(file: object) -> RemoteFile | None:
    if not isinstance(file, dict):
        return None
    name, display_name = file.get("name"), file.get("displayName")
    if not isinstance(name, str) or not is_remote_name(name, kind="files"):
        return None
    return RemoteFile(
        name=name, display_name=display_name if isinstance(display_name, str) else None
    )
