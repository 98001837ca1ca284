"""No secret and no machine gets into a cassette: not into those there are, nor into a new one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import vcr

from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.providers.types import EmbeddingRequest
from support.cassettes import EMULATED, FOLDER, NEUTRAL, Provider, cassette_settings, recording

# What Google's keys and tokens look like, what carries one, and any host but the neutral one.
FORBIDDEN = re.compile(
    r"AIza[\w-]{20,}|AQ\.[\w-]{20,}|ya29\.|x-goog-api-key|authorization|[?&]key="
    r"|127\.0\.0\.1|localhost|//[\w.-]*googleapis\.com",
    re.IGNORECASE,
)

CASSETTES = sorted(FOLDER.glob("*/*.yaml"))


def check_clean(content: str) -> None:
    found = FORBIDDEN.search(content)
    assert found is None, found
    for key in (EMULATED.get_default_key(), EMULATED.get_batch_key()):
        assert key not in content


def test_there_are_cassettes() -> None:
    assert len(CASSETTES) >= 8


@pytest.mark.parametrize("path", CASSETTES, ids=lambda path: path.stem)
def test_no_cassette_holds_a_secret(path: Path) -> None:
    check_clean(path.read_text())


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, Provider]:
    """A conversation recorded just now, with the keys that the emulator accepts."""
    path = tmp_path / "new.yaml"
    with (
        recording(GoogleKeyring(), tmp_path) as provider,
        vcr.VCR().use_cassette(str(path), record_mode="all", **cassette_settings(provider)),
        provider.client() as client,
        provider.embedder() as embedder,
    ):
        job = client.create_embedding_job(
            [EmbeddingRequest(key="k", text="a text")],
            spec=EmbeddingSpec(dimensions=128),
            display_name="run-1",
            spool=tmp_path / "spool",
        )
        client.retrieve_results(client.get_job_status(job), tmp_path / "results")
        embedder.embed_query("a query", spec=EmbeddingSpec(dimensions=128))
    return path, provider


def test_recording_leaves_keys_and_hosts_out(recorded: tuple[Path, Provider]) -> None:
    path, provider = recorded
    content = path.read_text()
    check_clean(content)
    assert provider.endpoint.url not in content
    assert content.count(NEUTRAL) > 5


def test_what_is_looked_for_would_be_found(recorded: tuple[Path, Provider]) -> None:
    """The check itself can fail."""
    path, provider = recorded
    content = path.read_text()
    for leak in (
        "x-goog-api-key: [secret]",
        "https://gemini.invalid/v1beta/files?key=secret",
        "AIza" + "0" * 35,
        "AQ." + "0" * 40,
        EMULATED.get_batch_key(),
        provider.endpoint.url,
        "https://generativelanguage.googleapis.com/v1beta",
    ):
        with pytest.raises(AssertionError):
            check_clean(content + leak)
