"""Google's real Batch API on a few texts. Costs a few hundred tokens and takes what it takes.

Run it with ``make e2e`` and both keys in the environment. This is the only place where the real
thing is asked: everything else rests on the emulator.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from semantic_core.domain.clock import SystemClock
from semantic_core.domain.errors import AuthError, RemoteNotFoundError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient, GeminiEmbedder
from semantic_core.providers.gemini.results import find_conflicting_keys, read_results
from semantic_core.providers.types import EmbeddingRequest, RemoteState
from support.keys import canary, keys_of_environment
from support.wire import jobs_named

KEYS = keys_of_environment()
PATIENCE = float(os.environ.get("SEMCORE_E2E_MINUTES", "120")) * 60

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not (KEYS.live_available and KEYS.batch_available),
        reason="asks Google itself: set GEMINI_API_KEY and GEMINI_BATCH_API_KEY",
    ),
]

SPECS = [
    pytest.param(EmbeddingSpec(), id="001"),
    pytest.param(EmbeddingSpec.gemini_embedding_2(), id="2"),
]
TEXTS = [
    "The cat sat on the mat.",
    "Compound interest grows without anybody's doing.",
    "Une phrase en français.",
    "日本語の文。",
    "A line separator \u2028 and a next line \u0085 inside.",
]


@pytest.fixture(autouse=True)
def only_on_request(pytestconfig: pytest.Config) -> None:
    """Keys in somebody's environment alone are no consent to spend money."""
    if not pytestconfig.getoption("--force-enable-socket"):
        pytest.skip("asks Google itself: run it with `make e2e`")


@pytest.fixture
def client() -> Iterator[GeminiBatchClient]:
    with GeminiBatchClient.from_keyring(KEYS, endpoint=Endpoint()) as opened:
        yield opened


@pytest.fixture
def embedder() -> Iterator[GeminiEmbedder]:
    with GeminiEmbedder(KEYS, endpoint=Endpoint()) as opened:
        yield opened


@pytest.mark.parametrize("spec", SPECS)
def test_batch_and_live_agree(
    client: GeminiBatchClient, embedder: GeminiEmbedder, tmp_path: Path, spec: EmbeddingSpec
) -> None:
    """From upload to removal; and a vector from a batch lies where a live one does."""
    clock = SystemClock()
    name = f"semcore-e2e-{uuid.uuid4()}"
    requests = [
        EmbeddingRequest(key=f"{number:064x}", text=spec.document_text(text))
        for number, text in enumerate(TEXTS)
    ]
    job = client.create_embedding_job(
        requests, spec=spec, display_name=name, spool=tmp_path / "spool"
    )
    try:
        assert job.name in {found.name for found in jobs_named(client, name)}
        end = clock.now() + PATIENCE
        while job.state in (RemoteState.QUEUED, RemoteState.RUNNING):
            assert clock.now() < end, f"{job.name} is still {job.raw_state}"
            clock.sleep(30)
            job = client.get_job_status(job)
        assert job.state is RemoteState.SUCCEEDED, job.error_message
        client.retrieve_results(job, results := tmp_path / "results")
        lines = {line.key: line for line in read_results(results, spec=spec)}
        assert set(lines) == {request.key for request in requests}
        assert find_conflicting_keys(results) == frozenset()
        live = embedder.embed_documents(TEXTS, spec=spec)
        for request, vector in zip(requests, live, strict=True):
            line = lines[request.key]
            assert line.vector is not None, line.error
            assert float(np.dot(line.vector, vector)) > 0.99
    finally:
        if job.state in (RemoteState.QUEUED, RemoteState.RUNNING):
            client.cancel(job)
        client.remove(job=job)


@pytest.mark.parametrize("spec", SPECS)
def test_a_query_finds_its_text(embedder: GeminiEmbedder, spec: EmbeddingSpec) -> None:
    documents = embedder.embed_documents(TEXTS, spec=spec)
    query = embedder.embed_query("Where did the cat sit?", spec=spec)
    assert documents.shape == (len(TEXTS), spec.dimensions)
    np.testing.assert_allclose(np.linalg.norm(documents, axis=1), 1, atol=1e-6)
    assert int(np.argmax(documents @ query)) == 0


def test_a_job_that_never_was_is_not_found(client: GeminiBatchClient) -> None:
    with pytest.raises(RemoteNotFoundError):
        client.get_job_status("batches/" + "0" * 36)


def test_a_key_that_is_none_is_refused() -> None:
    with (
        GeminiBatchClient(canary("not-a"), endpoint=Endpoint()) as client,
        pytest.raises(AuthError),
    ):
        client.jobs()
