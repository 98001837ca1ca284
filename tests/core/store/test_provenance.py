"""A database belongs to one provider endpoint."""

from __future__ import annotations

import pytest

from semantic_core.domain.errors import ProvenanceError
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed
from support.jobs import claim_job


def test_first_endpoint_binds_the_database(store: PeeweeVectorStore) -> None:
    store.check_provenance("endpoint:localhost")
    assert store.meta("provenance") is None
    store.fix_provenance("google")
    store.fix_provenance("google")
    store.check_provenance("google")
    assert store.meta("provenance") == "google"
    store.collection(spec=SPEC)
    store.save(chunks_of("a"))
    embed(store, "a")
    for check in (store.fix_provenance, store.check_provenance):
        with pytest.raises(
            ProvenanceError, match=r"used with google.*endpoint:localhost"
        ) as raised:
            check("endpoint:localhost")
        assert store.database.name in str(raised.value)
    assert store.meta("provenance") == "google"


def test_an_endpoint_that_got_and_gave_nothing_binds_nothing(store: PeeweeVectorStore) -> None:
    """A try without a key, or without a connection, is no reason to begin a new file."""
    store.fix_provenance("google")
    store.save(chunks_of("a"))
    assert claim_job(store) is not None
    store.check_provenance("endpoint:localhost")
    store.fix_provenance("endpoint:localhost")
    assert store.meta("provenance") == "endpoint:localhost"


def test_an_endpoint_that_may_have_got_a_text_binds(store: PeeweeVectorStore) -> None:
    store.fix_provenance("google")
    store.save(chunks_of("a"))
    job_id = claim_job(store)
    with store.database.transaction() as connection:
        connection.execute("UPDATE batch_jobs SET step = 'creating' WHERE id = ?", (job_id,))
    with pytest.raises(ProvenanceError):
        store.fix_provenance("endpoint:localhost")
