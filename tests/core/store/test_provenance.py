"""A database belongs to one provider endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from semantic_core.errors import ProvenanceError
from semantic_core.store import PeeweeVectorStore


def test_first_endpoint_binds_the_database(store: PeeweeVectorStore, database_path: Path) -> None:
    store.check_provenance("endpoint:localhost")
    assert store.meta("provenance") is None
    store.fix_provenance("google")
    store.fix_provenance("google")
    store.check_provenance("google")
    assert store.meta("provenance") == "google"
    for check in (store.fix_provenance, store.check_provenance):
        with pytest.raises(ProvenanceError, match=r"from google.*endpoint:localhost") as raised:
            check("endpoint:localhost")
        assert str(database_path) in str(raised.value)
    assert store.meta("provenance") == "google"
