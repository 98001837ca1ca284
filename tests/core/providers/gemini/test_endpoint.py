"""Where the key may be sent, and where not."""

from __future__ import annotations

import pytest

from semantic_core.domain.errors import InvalidEndpointError
from semantic_core.providers.gemini.endpoint import Endpoint


def test_google_is_the_default() -> None:
    endpoint = Endpoint()
    assert endpoint.url == "https://generativelanguage.googleapis.com"
    assert endpoint.provenance == "google"


def test_the_environment_is_read_when_the_endpoint_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9000/")
    endpoint = Endpoint()
    monkeypatch.delenv("GOOGLE_GEMINI_BASE_URL")
    assert endpoint.url == "http://127.0.0.1:9000"
    assert endpoint.provenance == "endpoint:localhost"


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9000/")
    assert Endpoint(base_url="https://proxy.example").url == "https://proxy.example"


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "ftp://example.org")
    with pytest.raises(InvalidEndpointError, match="GOOGLE_GEMINI_BASE_URL"):
        Endpoint()


@pytest.mark.parametrize(
    ("given", "url", "provenance"),
    [
        ("https://gemini.example", "https://gemini.example", "endpoint:gemini.example"),
        ("https://gemini.example/", "https://gemini.example", "endpoint:gemini.example"),
        ("HTTPS://Gemini.Example:443", "https://gemini.example", "endpoint:gemini.example"),
        ("https://gemini.example:8443", "https://gemini.example:8443", "endpoint:gemini.example"),
        ("https://10.0.0.1", "https://10.0.0.1", "endpoint:10.0.0.1"),
        ("http://localhost:1", "http://localhost:1", "endpoint:localhost"),
        ("http://127.1.2.3:80", "http://127.1.2.3", "endpoint:localhost"),
        ("http://[::1]:8080/", "http://[::1]:8080", "endpoint:localhost"),
        (
            "https://generativelanguage.googleapis.com/",
            "https://generativelanguage.googleapis.com",
            "google",
        ),
    ],
)
def test_usable_urls_come_to_one_spelling(given: str, url: str, provenance: str) -> None:
    endpoint = Endpoint(base_url=given)
    assert endpoint.url == url
    assert endpoint.provenance == provenance
    assert Endpoint(base_url=url) == endpoint


def test_an_emulator_keeps_its_provenance_on_another_port() -> None:
    first, second = (Endpoint(base_url=f"http://127.0.0.1:{port}") for port in (1111, 2222))
    assert first.provenance == second.provenance


@pytest.mark.parametrize(
    "url",
    [
        "http://gemini.example",
        "http://10.0.0.1",
        "http://0.0.0.0:80",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://169.254.169.254",
        "file:///etc/passwd",
        "ftp://127.0.0.1",
        "gemini.example",
        "//gemini.example",
        "https://",
        "https:///v1beta",
        "https://:443",
        "https://user@gemini.example",
        "https://user:hunter2@gemini.example",
        "http://gemini.example@127.0.0.1",
        "http://127.0.0.1@gemini.example",
        "https://gemini.example/v1beta",
        "https://gemini.example/a/..",
        "https://gemini.example?key=1",
        "https://gemini.example/#top",
        "https://gemini.example:99999",
        "https://gemini.example:0",
        "https://gemini.example:x",
        "https://gemini .example",
        "https://gemini.example\n",
        "\thttps://gemini.example",
        "https://gemini\\.example",
        "https://gemini_.example/",
        "https://[::1",
        "https://gem\u0456ni.example",
    ],
)
def test_urls_the_key_must_not_go_to_are_refused(url: str) -> None:
    with pytest.raises(InvalidEndpointError, match="base_url") as caught:
        Endpoint(base_url=url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 3601])
def test_a_timeout_is_finite_and_positive(timeout: float) -> None:
    with pytest.raises(InvalidEndpointError, match="timeout"):
        Endpoint(timeout=timeout)
