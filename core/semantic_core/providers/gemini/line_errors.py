"""The provider's errors for one text: what they say, and whether trying again may help."""

import re
from typing import Any

from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import TOO_LONG
from semantic_core.providers.gemini.fields import number_in, object_in
from semantic_core.providers.gemini.models import model_facts
from semantic_core.providers.types import ResultLine

CUT = "only its beginning was embedded"

# How a refusal speaks of a text that is too long, or of a request that is too large for one.
_WORDS = re.compile(
    r"token count|too many tokens|number of tokens|token limit|context length|too long|too large"
    r"|payload size|exceeds the (?:maximum|limit)",
    re.IGNORECASE,
)


def says_too_long(words: str) -> bool:
    return bool(_WORDS.search(words))


def is_full(tokens: int | None, spec: EmbeddingSpec) -> bool:
    """Return whether a text counts all the tokens that its model takes: what came after is lost."""
    limit = model_facts(spec.model).token_limit
    return tokens is not None and limit is not None and tokens >= limit


def too_long(spec: EmbeddingSpec, why: str) -> str:
    """Return the reason that is kept on a chunk; it begins with `TOO_LONG`.

    A vector of only the beginning is not that of the exact text, so it is never stored.
    """
    limit = model_facts(spec.model).token_limit
    takes = "" if limit is None else f", which takes {limit:,} tokens"
    return f"{TOO_LONG} for {spec.model}{takes}: {why}"


# Longer ones are clipped: an error may quote the whole text.
LONGEST_WORDS = 500

# A code may be an HTTP status or a gRPC number (https://grpc.io/docs/guides/status-codes/).
_GRPC_NAMES = """OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS
    PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED
    INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED""".split()  # noqa: SIM905  # 17 lines as a list

_PERMANENT_STATUSES = """INVALID_ARGUMENT NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED
    FAILED_PRECONDITION OUT_OF_RANGE UNIMPLEMENTED UNAUTHENTICATED""".split()  # noqa: SIM905

_TRANSIENT_CLIENT_ERRORS = (408, 409, 425, 429, 499)


def find_error(record: dict[str, Any]) -> ResultLine | None:
    """Return the error of a line, in whichever form it is written, as a line without its key.

    What is not known here is transient: a text has a budget, so a wrong guess costs a few tries
    and no more. A line without an error gives None.
    """
    # In other places the same name is a plain string.
    status = object_in(record, "status")
    inner = object_in(record, "response").get("error")
    for candidate in (record.get("error"), inner, status if "code" in status else None):
        is_ok = isinstance(candidate, dict) and candidate.get("code") in (0, "0", 200)
        if candidate and not is_ok:
            return _refused(candidate)
    return None


def _refused(error: Any) -> ResultLine:
    if not isinstance(error, dict):
        return ResultLine(key=None, error=clip(str(error)), is_transient=True, is_refused=True)
    code = number_in(error, "code")
    status = error.get("status")
    if not isinstance(status, str):
        status = _GRPC_NAMES[code] if code is not None and code < len(_GRPC_NAMES) else None
    label = " ".join(str(part) for part in (code, status) if part is not None)
    message = error.get("message")
    message = message if isinstance(message, str) else "no message"
    is_permanent = status in _PERMANENT_STATUSES
    if code is not None and 400 <= code < 500:
        is_permanent = code not in _TRANSIENT_CLIENT_ERRORS
    words = clip(f"{label}: {message}" if label else message)
    return ResultLine(
        key=None,
        error=f"{TOO_LONG}: {words}" if is_permanent and says_too_long(clip(message)) else words,
        is_transient=not is_permanent,
        is_quota=code == 429 or status == "RESOURCE_EXHAUSTED",
        is_refused=True,
    )


def clip(words: str, longest: int = LONGEST_WORDS) -> str:
    """Return words on one line, storable anywhere, and not longer than that."""
    # Cut first: an error may be of any size.
    line = " ".join(words[: longest * 4].encode("utf-8", "replace").decode().split())
    line = line.replace("\0", "?")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
