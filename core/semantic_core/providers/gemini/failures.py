"""What can go wrong between us and the provider, as the errors of `semantic_core.domain.errors`.

Every answer goes through `refusal_of`, so that each fault means the same wherever it strikes. A
5xx, and some of the 4xx, may have had effect. Google answers 403 both for a key that is blocked and
for a file or job that this key's project does not have: only what does not speak of the key counts
as the second.
"""

import difflib
import re
from typing import Any

import httpx2
import orjson

from semantic_core.domain.errors import (
    AuthError,
    ProviderError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RateLimitError,
    RemoteNotFoundError,
    RequestRefusedError,
)
from semantic_core.providers.gemini.fields import object_in, text_in
from semantic_core.providers.gemini.line_errors import clip
from semantic_core.providers.gemini.models import MODELS

KEY_HEADER = "x-goog-api-key"

# An error may quote the text that was sent.
_LONGEST_WORDS = 300

_KEY_PAGE = "https://aistudio.google.com/apikey"

_KINDS: dict[int, type[ProviderError]] = {
    401: AuthError,
    404: RemoteNotFoundError,
    # Whether such a request had effect is not sure.
    408: ProviderUnavailableError,
    409: ProviderUnavailableError,
    425: ProviderUnavailableError,
    429: RateLimitError,
    499: ProviderUnavailableError,
}

_MESSAGES: dict[type[ProviderError], str] = {
    AuthError: "The provider refused the {key}. This call cost nothing, and nothing is lost: what "
    f"waits goes on waiting. Check the key at {_KEY_PAGE} and set it again.",
    RemoteNotFoundError: "The provider does not have, or does not show to this key, what was "
    "asked for.",
    RateLimitError: "The provider says enough for now. This call cost nothing, and nothing is "
    "lost: wait and call again. What a project may use is shown in AI Studio.",
    ProviderUnavailableError: "The provider failed; nothing is lost, try again later.",
    RequestRefusedError: "The provider refused the request. This call cost nothing, and nothing "
    "is lost: change what its answer names, and call again.",
    ProviderProtocolError: "The provider answered neither with success nor with an error. A "
    "redirect is not followed, so that the key stays here; check the base_url.",
}

# Reasons of google.rpc.ErrorInfo that are about the key or its project, not about a resource:
# https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto
_KEY_REASON = re.compile(r"API_KEY|CONSUMER|SERVICE_DISABLED|BILLING|CREDENTIAL|ACCESS_TOKEN")

_KEY_WORDS = re.compile(r"api[ _]key|unregistered callers|consumer|suspended", re.IGNORECASE)

_RESOURCE_PATH = re.compile(r"/(?:files|batches)/[^/]+$")

_MODEL_PATH = re.compile(r"/models/([^/:]+):\w+$")

_SECONDS = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s?", re.ASCII)


def refusal_of(response: httpx2.Response, key: str = "key") -> ProviderError | None:
    """Return what is wrong with an answer, or None; the body of one that is not 2xx has been read.

    ``key`` is what the key that was sent is called: there are two, and one may be good.
    """
    if response.is_success:
        # Without this header the SDK would sleep and send the piece again by itself.
        is_upload = response.request.headers.get("x-goog-upload-command", "start") != "start"
        if is_upload and "x-goog-upload-status" not in response.headers:
            return ProviderUnavailableError("The provider did not say whether it took the upload.")
        return None
    error = _find_error(response.content)
    code, status = response.status_code, text_in(error, "status")
    said, listed = error.get("message"), error.get("details")
    words = clip(said if isinstance(said, str) else response.text, _LONGEST_WORDS)
    details = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    kind = _kind_of(response, status, words, details)
    message = _MESSAGES[kind].format(key=key)
    model = _MODEL_PATH.search(response.request.url.path)
    if kind is RemoteNotFoundError and model is not None:
        message = _unknown_model(model[1])
    elif kind is RequestRefusedError and status == "FAILED_PRECONDITION":
        message = (
            "The provider refuses this project. This call cost nothing, and nothing is lost: what "
            "waits goes on waiting. Batch jobs need a project with billing, in a region that "
            f"Gemini serves: see {_KEY_PAGE}."
        )
    label = f"{code} {status}" if status else str(code)
    message += f' It answered {label}: "{words or "no message"}".'
    if kind is RateLimitError:
        retry_after = _find_retry_after(response, details)
        return RateLimitError(message, code=code, status=status, retry_after=retry_after)
    return kind(message, code=code, status=status)


def _kind_of(
    response: httpx2.Response, status: str | None, words: str, details: list[dict[str, Any]]
) -> type[ProviderError]:
    code = response.status_code
    if code in _KINDS:
        return _KINDS[code]
    if code == 400 and words.lower().startswith("api key"):
        return AuthError
    reason = " ".join(str(item.get("reason", "")) for item in details)
    if code in (400, 403) and _KEY_REASON.search(reason):
        return AuthError
    if code == 403:
        path = response.request.url.path.partition(":")[0]
        is_about_resource = status == "PERMISSION_DENIED" and _RESOURCE_PATH.search(path)
        is_clear = is_about_resource and not _KEY_WORDS.search(words)
        return RemoteNotFoundError if is_clear else AuthError
    if code >= 500:
        return ProviderUnavailableError
    return RequestRefusedError if code >= 400 else ProviderProtocolError


def _unknown_model(name: str) -> str:
    served = [facts.name for facts in MODELS.values() if facts.shutdown is None]
    close = difflib.get_close_matches(name, served, n=1)
    known = f"Did you mean {close[0]!r}?" if close else f"It has {', '.join(served)}."
    return (
        f"The provider has no embedding model {name!r}. {known} This call cost nothing. A "
        "collection keeps the spec it was made with: save the texts into a new collection with "
        "the right model."
    )


def _find_error(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    is_one = isinstance(parsed, list) and len(parsed) == 1
    return object_in(parsed[0] if is_one else parsed, "error")


def _find_retry_after(response: httpx2.Response, details: list[dict[str, Any]]) -> float | None:
    candidates = [item.get("retryDelay") for item in details]
    candidates.append(response.headers.get("retry-after"))
    for candidate in candidates:
        found = _SECONDS.fullmatch(candidate) if isinstance(candidate, str) else None
        if found is not None:
            return float(found[1])
    return None
