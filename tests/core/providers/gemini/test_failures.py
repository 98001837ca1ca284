"""Each fault has one meaning, wherever it strikes."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from semantic_core.domain.errors import (
    AuthError,
    ProviderError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RateLimitError,
    RemoteNotFoundError,
    RequestRefusedError,
)
from semantic_core.providers.gemini.failures import refusal_of
from semantic_core.providers.wire.guarded_http import unreachable
from support.wire import answer, refusal

BASE = "https://generativelanguage.googleapis.com/v1beta"
JOB = f"{BASE}/batches/abc"
FILE = f"{BASE}/files/batch-abc:download?alt=media"
CREATE = f"{BASE}/models/gemini-embedding-001:asyncBatchEmbedContent"

INVALID_KEY = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
}


def meaning(response: httpx2.Response, url: str = JOB, method: str = "GET") -> ProviderError:
    response.request = httpx2.Request(method, url)
    response.read()
    found = refusal_of(response)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "response",
    [
        refusal(400, "INVALID_ARGUMENT", "API key not valid.", INVALID_KEY),
        refusal(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key."),
        refusal(401, "UNAUTHENTICATED", "Request had invalid credentials."),
        refusal(403, "PERMISSION_DENIED", "Your API key was reported as leaked."),
        refusal(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers."),
        refusal(403, "PERMISSION_DENIED", "Consumer 'api_key:x' has been suspended."),
        refusal(403, "PERMISSION_DENIED", "Blocked.", {"reason": "API_KEY_SERVICE_BLOCKED"}),
        refusal(403, "PERMISSION_DENIED", "Disabled.", {"reason": "SERVICE_DISABLED"}),
        answer(b"<html>Forbidden</html>", code=403),
    ],
)
@pytest.mark.parametrize("url", [JOB, FILE, CREATE])
def test_trouble_with_the_key_is_never_taken_for_a_missing_job(
    response: httpx2.Response, url: str
) -> None:
    """B18: a revoked key says nothing about the jobs that run."""
    error = meaning(response, url)
    assert type(error) is AuthError
    assert error.is_definite
    assert "aistudio.google.com" in str(error)


@pytest.mark.parametrize("url", [JOB, f"{JOB}:cancel", FILE, f"{BASE}/files/x"])
def test_a_403_about_one_thing_means_that_it_is_not_there(url: str) -> None:
    """B17: gone, or another project's; the provider answers alike."""
    words = "You do not have permission to access the File x or it may not exist."
    error = meaning(refusal(403, "PERMISSION_DENIED", words), url)
    assert type(error) is RemoteNotFoundError
    assert (error.code, error.status) == (403, "PERMISSION_DENIED")
    assert words in str(error)


def test_a_403_to_a_listing_or_a_creation_is_about_the_key() -> None:
    for url in (f"{BASE}/batches?pageSize=100", CREATE):
        assert type(meaning(refusal(403, "PERMISSION_DENIED", "No."), url)) is AuthError


@pytest.mark.parametrize(
    ("code", "status", "kind", "is_definite"),
    [
        (400, "INVALID_ARGUMENT", RequestRefusedError, True),
        (404, "NOT_FOUND", RemoteNotFoundError, True),
        (413, "INVALID_ARGUMENT", RequestRefusedError, True),
        (429, "RESOURCE_EXHAUSTED", RateLimitError, True),
        (408, "X", ProviderUnavailableError, False),
        (409, "ABORTED", ProviderUnavailableError, False),
        (499, "CANCELLED", ProviderUnavailableError, False),
        (500, "INTERNAL", ProviderUnavailableError, False),
        (502, "X", ProviderUnavailableError, False),
        (503, "UNAVAILABLE", ProviderUnavailableError, False),
        (504, "DEADLINE_EXCEEDED", ProviderUnavailableError, False),
        (302, "X", ProviderProtocolError, False),
        (304, "X", ProviderProtocolError, False),
    ],
)
def test_each_code_has_one_meaning(
    code: int,
    status: str,
    kind: type[ProviderError],
    is_definite: bool,  # noqa: FBT001
) -> None:
    error = meaning(refusal(code, status, "words"), CREATE, "POST")
    assert type(error) is kind
    assert error.is_definite is is_definite
    assert (error.code, error.status) == (code, status)
    assert f"{code} {status}" in str(error)
    assert '"words"' in str(error)


def test_a_failed_precondition_comes_with_advice() -> None:
    error = meaning(refusal(400, "FAILED_PRECONDITION", "Location is not supported."), CREATE)
    assert type(error) is RequestRefusedError
    assert "billing" in str(error)


@pytest.mark.parametrize(
    ("details", "header", "seconds"),
    [
        ([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "27s"}], None, 27.0),
        ([{"retryDelay": "0.5s"}], None, 0.5),
        ([{"retryDelay": "27s"}], "99", 27.0),
        ([{"links": []}], "99", 99.0),
        ([], "99", 99.0),
        ([], None, None),
        ([], "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ([{"retryDelay": "-3s"}], "nan", None),
        ([{"retryDelay": 27}], None, None),
        ([{"retryDelay": "9" * 400 + "s"}], None, None),
    ],
)
def test_the_wait_that_is_asked_for_is_read(
    details: list[dict[str, Any]], header: str | None, seconds: float | None
) -> None:
    response = refusal(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", *details)
    if header is not None:
        response.headers["Retry-After"] = header
    error = meaning(response)
    assert isinstance(error, RateLimitError)
    assert error.retry_after == seconds


def test_an_error_in_a_list_is_read() -> None:
    response = answer(
        [{"error": {"code": 404, "message": "gone", "status": "NOT_FOUND"}}], code=404
    )
    error = meaning(response)
    assert error.status == "NOT_FOUND"
    assert '"gone"' in str(error)


@pytest.mark.parametrize(
    "body",
    [b"", b"upstream connect error", b"\xff\xfe", b"[]", b"{}", b'{"error":"no"}', b'{"error":[]}',
     b'{"error":{"message":3,"status":[],"details":{"a":1}}}', b'{"error":{"details":[3,null]}}'],
)  # fmt: skip
def test_an_error_body_of_any_form_is_survived(body: bytes) -> None:
    error = meaning(answer(body, code=503))
    assert type(error) is ProviderUnavailableError
    assert error.code == 503


def test_an_error_never_shows_a_whole_text() -> None:
    """The provider may quote what was sent; for keys see test_keys_in_reach.py."""
    error = meaning(refusal(403, "PERMISSION_DENIED", "private text " * 100))
    assert len(str(error)) < 600


@pytest.mark.parametrize(
    ("error", "is_definite"),
    [
        (httpx2.ConnectError("refused"), True),
        (httpx2.ConnectTimeout("slow"), True),
        (httpx2.PoolTimeout("busy"), True),
        (httpx2.ReadTimeout("slow"), False),
        (httpx2.WriteTimeout("slow"), False),
        (httpx2.ReadError("reset"), False),
        (httpx2.WriteError("reset"), False),
        (httpx2.RemoteProtocolError("cut"), False),
        (httpx2.ProxyError("no"), False),
    ],
)
def test_only_without_a_connection_is_it_sure_that_nothing_was_sent(
    error: httpx2.HTTPError,
    is_definite: bool,  # noqa: FBT001
) -> None:
    translated = unreachable(error)
    assert translated.is_definite is is_definite
    assert type(error).__name__ in str(translated)


def test_an_unknown_provider_error_counts_as_uncertain() -> None:
    assert not ProviderError("something").is_definite
