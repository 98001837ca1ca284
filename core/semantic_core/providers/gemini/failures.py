"""What can go wrong between us and the provider, as the errors of `semantic_core.domain.errors`.

Everything goes through `refusal_of` and `wire.failures.unreachable`, so that each fault means the
same wherever it strikes:

================================  =========================================================
what came back                    error
================================  =========================================================
no connection                     ProviderUnavailableError, definite: nothing was sent
timeout, cut connection           ProviderUnavailableError
400 about the key, 401            AuthError
403 about the key, or unclear     AuthError
403 about one file or job         RemoteNotFoundError: it is not there, or another project's
404                               RemoteNotFoundError
429                               RateLimitError
408, 409, 425, 499, 5xx           ProviderUnavailableError: the request may have had effect
other 4xx                         RequestRefusedError
redirect, or anything else        ProviderProtocolError
================================  =========================================================

Google answers 403 both for a key that is blocked and for a file or job that this key's project
does not have. Only what does not speak of the key counts as the second.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any, Self

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """An error answer, as far as it says anything."""

    code: int
    status: str | None
    words: str
    reason: str
    is_about_resource: bool
    model: str | None
    retry_after: float | None

    @classmethod
    def read(cls, response: httpx2.Response) -> Self:
        error = _find_error(response.content)
        status = error.get("status")
        message = error.get("message")
        details = [item for item in _list(error.get("details")) if isinstance(item, dict)]
        words = message if isinstance(message, str) else response.text
        path = response.request.url.path
        model = _MODEL_PATH.search(path)
        return cls(
            code=response.status_code,
            status=status if isinstance(status, str) else None,
            words=clip(words, _LONGEST_WORDS) or "no message",
            reason=" ".join(str(item.get("reason", "")) for item in details),
            is_about_resource=status == "PERMISSION_DENIED"
            and bool(_RESOURCE_PATH.search(path.partition(":")[0])),
            model=model[1] if model else None,
            retry_after=_find_retry_after(response, details),
        )

    @property
    def label(self) -> str:
        return f"{self.code} {self.status}" if self.status else str(self.code)

    @property
    def kind(self) -> type[ProviderError]:
        if self.code in _KINDS:
            return _KINDS[self.code]
        if self.code == 400 and self.words.lower().startswith("api key"):
            return AuthError
        if self.code in (400, 403) and _KEY_REASON.search(self.reason):
            return AuthError
        if self.code == 403:
            is_clear = self.is_about_resource and not _KEY_WORDS.search(self.words)
            return RemoteNotFoundError if is_clear else AuthError
        if self.code >= 500:
            return ProviderUnavailableError
        return RequestRefusedError if self.code >= 400 else ProviderProtocolError


def refusal_of(response: httpx2.Response, key: str = "key") -> ProviderError | None:
    """Return what is wrong with an answer, or None.

    Args:
        response: the answer; the body of one that is not 2xx has been read.
        key: what the key that was sent is called: there are two, and one may be good.
    """
    if response.is_success:
        # Without this header the SDK would sleep and send the piece again by itself.
        is_upload = response.request.headers.get("x-goog-upload-command", "start") != "start"
        if is_upload and "x-goog-upload-status" not in response.headers:
            return ProviderUnavailableError("The provider did not say whether it took the upload.")
        return None
    answer = _Answer.read(response)
    kind = answer.kind
    message = _MESSAGES[kind].format(key=key)
    if kind is RemoteNotFoundError and answer.model is not None:
        message = _unknown_model(answer.model)
    elif kind is RequestRefusedError and answer.status == "FAILED_PRECONDITION":
        message = (
            "The provider refuses this project. This call cost nothing, and nothing is lost: what "
            "waits goes on waiting. Batch jobs need a project with billing, in a region that "
            f"Gemini serves: see {_KEY_PAGE}."
        )
    message += f' It answered {answer.label}: "{answer.words}".'
    if kind is RateLimitError:
        return RateLimitError(
            message, code=answer.code, status=answer.status, retry_after=answer.retry_after
        )
    return kind(message, code=answer.code, status=answer.status)


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
    if isinstance(parsed, list) and len(parsed) == 1:
        parsed = parsed[0]
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) else {}


def _find_retry_after(response: httpx2.Response, details: list[dict[str, Any]]) -> float | None:
    candidates = [item.get("retryDelay") for item in details]
    candidates.append(response.headers.get("retry-after"))
    for candidate in candidates:
        found = _SECONDS.fullmatch(candidate) if isinstance(candidate, str) else None
        if found is not None:
            return float(found[1])
    return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
