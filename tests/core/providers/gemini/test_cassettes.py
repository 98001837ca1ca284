"""Recorded conversations with the Batch API; see cassettes/README.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semantic_core.domain.errors import AuthError, ProviderError, RemoteNotFoundError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.providers.gemini.results import read_results
from semantic_core.providers.types import EmbeddingRequest, RemoteJob, RemoteState
from support.cassettes import (
    FOLDER,
    NEUTRAL,
    REPLAYED,
    Provider,
    cassette_settings,
    note_source,
    recording,
)
from support.clock import ManualClock
from support.keys import canary, keys_of_environment
from support.wire import jobs_named

# Used only to record.
REAL_KEYS = keys_of_environment()

SPECS = [
    pytest.param(EmbeddingSpec(dimensions=128), id="001"),
    pytest.param(EmbeddingSpec.gemini_embedding_2(dimensions=128), id="2"),
]
TEXTS = ["The cat sat on the mat.", "Une phrase en français.", "日本語の文。"]
REQUESTS = [EmbeddingRequest(key=f"{number:064x}", text=text) for number, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def vcr_cassette_dir() -> str:
    return str(FOLDER / "test_cassettes")


@pytest.fixture
def provider(record_mode: str, tmp_path: Path) -> Iterator[Provider]:
    if record_mode == "none":
        yield Provider(Endpoint(base_url=NEUTRAL), REPLAYED, ManualClock())
        return
    with recording(REAL_KEYS, tmp_path) as recorded:
        note_source(recorded)
        yield recorded


@pytest.fixture
def vcr_config(provider: Provider) -> dict[str, Any]:
    return cassette_settings(provider)


def wait_for(client: GeminiBatchClient, job: RemoteJob, provider: Provider) -> RemoteJob:
    while job.state in (RemoteState.QUEUED, RemoteState.RUNNING):
        provider.clock.sleep(20)
        job = client.get_job_status(job)
    return job


@pytest.mark.vcr
@pytest.mark.parametrize("spec", SPECS)
def test_a_job_from_its_upload_to_its_removal(
    provider: Provider, tmp_path: Path, spec: EmbeddingSpec
) -> None:
    name = f"semcore-cassette-{spec.model}"
    with provider.client() as client:
        job = client.create_embedding_job(
            [EmbeddingRequest(key=one.key, text=spec.document_text(one.text)) for one in REQUESTS],
            spec=spec,
            display_name=name,
            spool=tmp_path / "spool",
        )
        assert job.name in [found.name for found in jobs_named(client, name)]
        job = wait_for(client, job, provider)
        assert job.state is RemoteState.SUCCEEDED
        assert (job.display_name, job.model) == (name, spec.model)
        client.retrieve_results(job, tmp_path / "results")
        lines = {line.key: line for line in read_results(tmp_path / "results", spec=spec)}
        assert set(lines) == {request.key for request in REQUESTS}
        for line in lines.values():
            assert line.vector is not None
            assert np.linalg.norm(line.vector) == pytest.approx(1, abs=1e-6)
        assert client.remove(job=job)


@pytest.mark.vcr
def test_a_cancelled_job_ends(provider: Provider, tmp_path: Path) -> None:
    with provider.client() as client:
        job = client.create_embedding_job(
            REQUESTS,
            spec=EmbeddingSpec(dimensions=128),
            display_name="semcore-cassette-cancelled",
            spool=tmp_path / "spool",
        )
        client.cancel(job)
        job = wait_for(client, job, provider)
        # It may have been done before it heard.
        assert job.state in (RemoteState.CANCELLED, RemoteState.SUCCEEDED)
        assert client.remove(job=job)


@pytest.mark.vcr
def test_a_job_that_never_was_is_not_found(provider: Provider) -> None:
    with provider.client() as client, pytest.raises(RemoteNotFoundError):
        client.get_job_status("batches/" + "0" * 36)


@pytest.mark.vcr
def test_an_unknown_model_is_a_definite_refusal(provider: Provider, tmp_path: Path) -> None:
    with provider.client() as client, pytest.raises(ProviderError) as caught:
        client.create_embedding_job(
            REQUESTS,
            spec=EmbeddingSpec(model="gemini-embedding-of-the-future"),
            display_name="semcore-cassette-refused",
            spool=tmp_path / "spool",
        )
    assert caught.value.is_definite


@pytest.mark.vcr
def test_a_key_that_is_none_is_refused(provider: Provider) -> None:
    nonsense = GoogleKeyring(batch_key=canary("not-a"))
    with provider.client(keyring=nonsense) as client, pytest.raises(AuthError):
        client.jobs()


@pytest.mark.vcr
@pytest.mark.parametrize("spec", SPECS)
def test_a_query_finds_its_own_language(provider: Provider, spec: EmbeddingSpec) -> None:
    with provider.embedder() as embedder:
        documents = embedder.embed_documents(TEXTS, spec=spec)
        query = embedder.embed_query("A cat sat on a mat", spec=spec)
    assert documents.shape == (3, 128)
    assert int(np.argmax(documents @ query)) == 0
