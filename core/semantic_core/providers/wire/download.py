import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import orjson

from semantic_core.domain.errors import ProviderProtocolError, ProviderUnavailableError
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.providers.wire.guarded_http import GuardedHttp
from semantic_core.providers.wire.private_file import PrivateFile

# An input file may have 2 GB at most; vectors in JSON take more room than their text.
LARGEST_RESULT = 8 << 30

# Results live for 48 hours; a download that takes longer than this is stuck.
LONGEST_DOWNLOAD = 6 * 3600.0

_CHUNK = 1 << 20

_WHAT = "The result file of a batch job"


def download(
    http: GuardedHttp,
    url: str,
    destination: Path,
    *,
    what: str,
    size: int | None,
    keep: Callable[[], None],
) -> None:
    """Stream a remote file to disk, over whatever is at the destination.

    It grows under a temporary name beside the destination (``<destination>.<random>.part``),
    is synced, and takes its name in one step; the temporary file is gone however this ends,
    short of a kill. ``size`` is what it must have in bytes, where the provider said so, and
    ``keep`` is called after each piece; what it raises ends the download.

    Raises:
        RemoteNotFoundError: the file is gone.
        ProviderUnavailableError: it broke off or is short.
        ProviderProtocolError: what came is not a result file, or too large.
        StorageError: the disk is full (`StorageFullError`), or refused it.
    """
    part = destination.with_name(f"{destination.name}.{secrets.token_hex(4)}.part")
    byte_count = 0
    last = b""
    with (
        closing(http.send(http.build_request("GET", url), stream=True)) as response,
        PrivateFile(part, what=_WHAT) as file,
    ):
        declared = _declared_size(response)
        http.bound(
            response,
            size=LARGEST_RESULT if size is None else min(size, LARGEST_RESULT),
            seconds=LONGEST_DOWNLOAD,
        )
        for chunk in _checked_chunks(response, may_be_empty=0 in (size, declared)):
            file.write(chunk)
            byte_count += len(chunk)
            last = chunk[-1:]
            keep()
        for expected in (size, declared):
            if expected is not None and byte_count != expected:
                raise ProviderUnavailableError(
                    f"The download of {what} broke off: {byte_count:,} of {expected:,} bytes came. "
                    "Nothing of it was kept; try again later."
                )
        is_length_known = (size, declared) != (None, None) or _is_chunked(response)
        if not is_length_known and last != b"\n":
            raise ProviderUnavailableError(
                f"The download of {what} ends in the middle of a line, and its length is unknown. "
                "Nothing of it was kept; try again later."
            )
        reach(FailPoint.DOWNLOAD_WRITTEN)
        file.move_to(destination)


def _checked_chunks(response: httpx2.Response, *, may_be_empty: bool) -> Iterator[bytes]:
    """Yield the body, unless it is empty or an error page that came as a success."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    chunks = response.iter_raw(_CHUNK)
    first = next(chunks, b"")
    if not first:
        if may_be_empty:
            return
        raise ProviderUnavailableError(f"{_WHAT} came empty. Nothing is lost; try again later.")
    if kind == "text/html" or first.lstrip()[:1] == b"<":
        raise ProviderProtocolError(
            f"{_WHAT} came as a web page: something between here and the provider answered."
        )
    if kind == "application/json" and _is_error(first):
        raise ProviderProtocolError("An error came in place of the result file of a batch job.")
    yield first
    yield from chunks


def _is_error(body: bytes) -> bool:
    """Return whether a whole body is one JSON error, which names no text."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(parsed, dict) and set(parsed) == {"error"}


def _declared_size(response: httpx2.Response) -> int | None:
    declared = response.headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else None


def _is_chunked(response: httpx2.Response) -> bool:
    # Such a body has an end mark, without which reading it fails.
    is_framed = response.http_version not in ("HTTP/1.0", "HTTP/1.1")
    return is_framed or "chunked" in response.headers.get("transfer-encoding", "").lower()
