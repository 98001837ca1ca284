"""Texts that are being embedded live: a short claim of their own, apart from those of jobs.

No job takes a text while it lasts, and no second live call. It ends with the call, or by its
lease: after a crash one request may be billed again, which is why a job's claim is never freed so.
"""

from collections.abc import Sequence

from semantic_core.database import IDS, id_set
from semantic_core.database.conditions import IS_CACHED, IS_CARRIED
from semantic_core.database.port import Connection
from semantic_core.database.queries import run
from semantic_core.database.tables import TABLES
from semantic_core.domain.errors import TransitionError
from semantic_core.queue.contents import note_contents

_Claim = TABLES.LiveClaimModel

# For a query with the parameter :now: whether the text of `c` is embedded live at this moment.
IS_EMBEDDED_LIVE = (
    "EXISTS (SELECT 1 FROM live_claims l WHERE l.content_id = c.content_id "
    "AND l.lease_until > :now)"
)


def claim_live(
    connection: Connection,
    content_hashes: Sequence[bytes],
    *,
    space_id: int,
    token: str,
    now: float,
    until: float,
) -> list[bytes]:
    """Claim texts that have no vector and that nobody else embeds; return those, in order.

    Left out is what is stored, what an open job carries, and what another live call has claimed.
    """
    run(connection, _Claim.delete().where(_Claim.lease_until <= now))
    ids, _ = note_contents(connection, content_hashes)
    connection.execute(
        "INSERT INTO live_claims (content_id, space_id, lease_token, lease_until) "
        f"SELECT given.id, :space, :token, :until FROM {IDS} given WHERE NOT EXISTS "
        f"(SELECT 1 FROM embeddings WHERE content_id = given.id AND {IS_CACHED}) AND NOT EXISTS "
        f"(SELECT 1 FROM batch_items WHERE {IS_CARRIED} AND content_id = given.id) "
        "ON CONFLICT (content_id) DO NOTHING",
        {**id_set(ids.values()), "space": space_id, "token": token, "until": until},
    )
    claimed = _Claim.select(_Claim.content_id).where(_Claim.lease_token == token)
    ours = {row[0] for row in run(connection, claimed)}
    return [content_hash for content_hash in content_hashes if ids[content_hash] in ours]


def keep_live(connection: Connection, *, token: str, count: int, until: float) -> None:
    """Prove that the claims under a token are still ours and extend them, or raise an error."""
    kept = _Claim.update(lease_until=until).where(_Claim.lease_token == token)
    if run(connection, kept).rowcount != count:
        raise TransitionError(
            "Texts that were about to be embedded live were taken over by another process, since "
            "this process was suspended for too long. This call sent nothing."
        )


def free_live(connection: Connection, *, token: str) -> None:
    """Let others have what was claimed under a token. Idempotent."""
    run(connection, _Claim.delete().where(_Claim.lease_token == token))
