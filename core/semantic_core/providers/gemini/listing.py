from collections.abc import Callable, Iterator
from typing import Any

from semantic_core.domain.errors import ProviderProtocolError
from semantic_core.providers.gemini.fields import is_remote_name, text_in
from semantic_core.providers.types import RemoteFile

# The largest page: https://ai.google.dev/api/batch-api and .../files, read 2026-11.
_PAGE_SIZE = "100"

# A listing of more than 100,000 entries is a listing that runs in circles.
_MOST_PAGES = 1000

ReadPage = Callable[[dict[str, str]], dict[str, Any]]


def read_operations(read: ReadPage) -> Iterator[dict[str, Any]]:
    """Yield every operation of the job listing, whose pages ``read`` gives for a query.

    A page that may hide jobs, so that none can be said to be absent, is a ProviderProtocolError.
    """
    for page in _pages(read):
        operations = page.get("operations", [])
        # Without the field, jobs could be listed under another name: missing one would mean
        # paying for it again.
        is_odd = "operations" not in page and set(page) - {"nextPageToken"}
        if is_odd or page.get("unreachable") or not isinstance(operations, list):
            raise ProviderProtocolError(
                "A page of the job listing does not have the documented form, so it may be "
                "incomplete."
            )
        for operation in operations:
            if not isinstance(operation, dict):
                raise ProviderProtocolError(
                    "The job listing holds something that is not a JSON object."
                )
            yield operation


def read_files(read: ReadPage) -> Iterator[RemoteFile]:
    """Yield every file of a listing; what has no usable name is left out."""
    for page in _pages(read):
        files = page.get("files", [])
        for file in files if isinstance(files, list) else []:
            if isinstance(file, dict) and is_remote_name(file.get("name"), kind="files"):
                yield RemoteFile(name=file["name"], display_name=text_in(file, "displayName"))


def _pages(read: ReadPage) -> Iterator[dict[str, Any]]:
    """Yield the pages of a listing, the last one included, or raise."""
    query = {"pageSize": _PAGE_SIZE}
    seen = set()
    for _ in range(_MOST_PAGES):
        page = read(query)
        yield page
        token = page.get("nextPageToken")
        if not token:
            return
        if not isinstance(token, str) or token in seen:
            raise ProviderProtocolError("A listing of the provider leads in circles.")
        seen.add(token)
        query = {**query, "pageToken": token}
    raise ProviderProtocolError("A listing of the provider does not end.")
