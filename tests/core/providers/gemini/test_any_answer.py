"""Whatever comes back over the wire, each call gives a checked value or a typed error."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from semantic_core.domain.errors import InvalidEndpointError, ProviderError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient, GeminiEmbedder
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.providers.types import RemoteJob, RemoteState
from semantic_core.providers.wire.access import origin_of
from support.clock import ManualClock
from support.keys import canary
from support.wire import Chunks

ENDPOINT = Endpoint(base_url="https://fuzzed.invalid")
SPEC = EmbeddingSpec(dimensions=3)

# Names and words that answers are made of, among anything else.
NAMES = [
    *("name", "metadata", "state", "operations", "nextPageToken", "error", "code", "message"),
    *("done", "response", "output", "responsesFile", "files", "displayName", "embeddings"),
    *("values", "sizeBytes", "batchStats", "details", "status", "retryDelay", "unreachable"),
]
WORDS = ["batches/a", "files/a", "files/../x", "BATCH_STATE_SUCCEEDED", "1s", "9" * 400, ""]

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=12,
)
bodies = json_values.map(orjson.dumps) | st.binary(max_size=60)
headers = st.dictionaries(
    st.sampled_from(["content-type", "retry-after", "location", "x-goog-upload-status"]),
    st.sampled_from(["text/html", "application/json", "7", "https://elsewhere.invalid", "final"]),
    max_size=2,
)
codes = st.sampled_from([200, 200, 200, 204, 302, 400, 401, 403, 404, 429, 500, 503])


class Always(httpx2.BaseTransport):
    """Gives the same answer to everything."""

    def __init__(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self._answer = (code, body, headers)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        code, body, headers = self._answer
        return httpx2.Response(code, stream=Chunks(body), headers=headers)


def ask(call: Callable[[GeminiBatchClient], object], transport: httpx2.BaseTransport) -> object:
    with GeminiBatchClient(
        canary("fuzz"), endpoint=ENDPOINT, clock=ManualClock(), transport=transport
    ) as client:
        try:
            return call(client)
        except ProviderError:
            return None


FINISHED = RemoteJob(
    name="batches/a",
    state=RemoteState.SUCCEEDED,
    raw_state="BATCH_STATE_SUCCEEDED",
    result_file="files/a",
)


@settings(max_examples=150, deadline=None)
@given(codes, bodies, headers)
def test_a_job_is_read_or_refused(code: int, body: bytes, headers: dict[str, str]) -> None:
    job = ask(lambda client: client.get_job_status("batches/a"), Always(code, body, headers))
    assert job is None or isinstance(job, RemoteJob)


@settings(max_examples=150, deadline=None)
@given(codes, bodies, headers)
@example(200, b'{"operations": [{"metadata": {"displayName": "x"}}]}', {})
def test_a_listing_is_whole_or_refused(code: int, body: bytes, headers: dict[str, str]) -> None:
    found = ask(lambda client: client.jobs("x").jobs, Always(code, body, headers))
    assert found is None or isinstance(found, tuple)


@settings(max_examples=100, deadline=None)
@given(codes, bodies, headers)
def test_a_creation_is_known_or_refused_and_never_sent_twice(
    code: int, body: bytes, headers: dict[str, str]
) -> None:
    """B13"""
    sent = []

    class Counting(Always):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            sent.append(request)
            return super().handle_request(request)

    job = ask(
        lambda client: client.create("files/a", spec=SPEC, name="run"),
        Counting(code, body, headers),
    )
    assert len(sent) == 1
    assert job is None or isinstance(job, RemoteJob)


@settings(max_examples=100, deadline=None)
@given(codes, bodies, headers)
def test_results_are_whole_or_refused(code: int, body: bytes, headers: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results"
        got = ask(
            lambda client: client.retrieve_results(FINISHED, path) is None,
            Always(code, body, headers),
        )
        assert (got is not None) == path.exists()
        assert {left.name for left in Path(folder).iterdir()} <= {"results"}


@settings(max_examples=60, deadline=None)
@given(codes, bodies, headers)
def test_removing_and_listing_files_never_fail_a_caller(
    code: int, body: bytes, headers: dict[str, str]
) -> None:
    transport = Always(code, body, headers)
    assert isinstance(ask(lambda client: client.remove(job="batches/a"), transport), bool)
    files = ask(lambda client: client.staged_files(), transport)
    assert files is None or all(file.name.startswith("files/") for file in files)  # type: ignore[attr-defined]


@settings(max_examples=150, deadline=None)
@given(codes, bodies, headers)
def test_a_live_vector_is_checked_or_refused(
    code: int, body: bytes, headers: dict[str, str]
) -> None:
    keyring = GoogleKeyring(default_key=canary("fuzz"))
    with GeminiEmbedder(
        keyring, endpoint=ENDPOINT, clock=ManualClock(), transport=Always(code, body, headers)
    ) as embedder:
        try:
            vector = embedder.embed_query("a query", spec=SPEC)
        except ProviderError:
            return
    assert vector.shape == (3,)


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=40)
    | st.builds(
        "{}://{}{}{}".format,
        st.sampled_from(["https", "http", "HTTPS", "file", "ftp", ""]),
        st.sampled_from(["localhost", "127.0.0.1", "[::1]", "x.invalid", "user@x.invalid", ""]),
        st.sampled_from(["", ":80", ":0", ":99999", ":x"]),
        st.sampled_from(["", "/", "/v1", "?key=x", "#x", "\n", " ", "\\"]),
    )
)
@pytest.mark.filterwarnings("ignore")
def test_a_base_url_leads_the_key_nowhere_in_the_open(url: str) -> None:
    """E24"""
    try:
        endpoint = Endpoint(base_url=url)
    except InvalidEndpointError:
        return
    scheme, host, port = origin_of(httpx2.URL(endpoint.url))
    assert scheme == "https" or host in ("localhost", "127.0.0.1", "::1")
    assert 0 < (port or 0) < 65_536
    assert "@" not in endpoint.url
    # What the key is sent to is what was looked at.
    assert urlsplit(endpoint.url).hostname == host
