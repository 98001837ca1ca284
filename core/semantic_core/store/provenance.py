"""Which provider endpoint a database's vectors come from."""

from semantic_core.database.port import Connection
from semantic_core.database.queries import first_value
from semantic_core.database.schema import read_meta
from semantic_core.domain.errors import ProvenanceError
from semantic_core.providers.facts import way_back_to

_IS_BOUND = (
    "SELECT EXISTS (SELECT 1 FROM embeddings WHERE origin <> 'given') OR EXISTS "
    "(SELECT 1 FROM batch_jobs WHERE google_job_id IS NOT NULL OR step = 'creating')"
)


def check_provenance(connection: Connection, provenance: str, name: str) -> None:
    """Check that the database may be used with an endpoint, or raise `ProvenanceError`.

    It is bound once it has a vector of another one, or may have sent it a text: a try without a
    key or a connection binds nothing.
    """
    known = read_meta(connection, "provenance")
    if known in (None, provenance) or not first_value(connection, _IS_BOUND):
        return
    raise ProvenanceError(
        f"{name} was used with {known}, and this would use {provenance}. To go on with {known}, "
        f"{way_back_to(known)}; for {provenance}, use a new database, so that test vectors never mix "
        "with paid ones. Nothing was sent."
    )
