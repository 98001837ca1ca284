from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from semantic_core.domain.errors import ProviderProtocolError, ProviderUnavailableError
from semantic_core.providers.gemini.connection import Connection, sdk_errors
from semantic_core.providers.gemini.fields import is_remote_name
from semantic_core.providers.types import Staged
from semantic_core.providers.wire.private_file import SpooledFile
from semantic_core.providers.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from google.genai import types

MIME_TYPE = "application/jsonl"

# Uploading costs nothing, and a file that nothing refers to expires after 48 hours.
_UPLOADS = RetryPolicy(attempts=4, first_wait=2.0, longest_wait=60.0)

_READINESS = RetryPolicy(attempts=8, first_wait=1.0, longest_wait=30.0)


class _WatchedFile(io.BufferedReader):
    """A file that tells when a piece of it is about to be sent: the SDK reads 8 MiB at a time."""

    def __init__(self, path: Path, keep: Callable[[], None]) -> None:
        super().__init__(io.FileIO(path))
        self._keep = keep

    def read(self, size: int | None = -1, /) -> bytes:
        self._keep()
        return super().read(size)


def upload(
    connection: Connection, spooled: SpooledFile, *, display_name: str, keep: Callable[[], None]
) -> Staged:
    """Upload an input file, from its start again if it breaks off, and check what arrived.

    ``keep`` is called before each piece; what it raises ends the upload. A `ProviderError` says
    that the provider refused it, or the last try failed. Nothing was billed.
    """
    clock = connection.access.clock
    file = _UPLOADS.run(lambda: _upload_once(connection, spooled, display_name, keep), clock=clock)
    if file.state is None or file.state.value != "ACTIVE":
        _READINESS.run(lambda: _check_ready(connection, str(file.name)), clock=clock)
    return Staged(
        name=str(file.name), request_count=spooled.request_count, byte_count=spooled.byte_count
    )


def _upload_once(
    connection: Connection, spooled: SpooledFile, display_name: str, keep: Callable[[], None]
) -> types.File:
    with _WatchedFile(spooled.path, keep) as stream, sdk_errors("an upload"):
        file = connection.sdk.files.upload(
            file=stream, config={"mime_type": MIME_TYPE, "display_name": display_name}
        )
    if not is_remote_name(file.name, kind="files"):
        raise ProviderProtocolError("The provider took an upload, but gave it no usable name.")
    if file.size_bytes not in (None, spooled.byte_count) or not _is_digest(
        file.sha256_hash, spooled.sha256
    ):
        raise ProviderUnavailableError(
            f"The uploaded file {file.name} is not what was sent. Nothing was billed; try again."
        )
    return file


def _check_ready(connection: Connection, name: str) -> None:
    state = connection.request("GET", name).get("state")
    if state == "PROCESSING":
        raise ProviderUnavailableError(f"The provider still works on {name}; try again later.")
    if state == "FAILED":
        raise ProviderProtocolError(f"The provider could not take in {name}. Nothing was billed.")


def _is_digest(given: str | None, hex_digest: str) -> bool:
    """Return whether the provider's sha256 is ours; it is the Base64 of the hex digits."""
    if given is None:
        return True
    try:
        decoded = base64.b64decode(given, validate=True)
    except binascii.Error:
        return False
    # The raw digest would be the usual form, and may become it.
    return decoded in (hex_digest.encode(), bytes.fromhex(hex_digest))
