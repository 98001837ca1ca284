"""Texts that are being embedded live: a short claim of their own, apart from those of jobs.

No job takes a text while it lasts, and no second live call. It ends with the call, or by its
lease: after a crash one request may be billed again, which is why a job's claim is never freed so.
"""

from __future__ import annotations

from collections.abc import Sequence

from semantic_core.database.port import Connection
from semantic_core.domain.errors import TransitionError

# For a query with the parameter :now: whether the text of `c` is embedded live at this moment.
IS_EMBEDDED_LIVE = (
    "EXISTS (SELECT 1 FROM live_claims l WHERE l.content_hash = c.content_hash "
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
    connection.execute("DELETE FROM live_claims WHERE lease_until <= ?", (now,))
    connection.executemany(
        "INSERT INTO live_claims (content_hash, space_id, lease_token, lease_until) "
        "SELECT :hash, :space, :token, :until "
        "WHERE NOT EXISTS (SELECT 1 FROM embeddings WHERE key = :hash) "
        "AND NOT EXISTS (SELECT 1 FROM batch_items WHERE state = 'open' AND content_hash = :hash) "
        "ON CONFLICT (content_hash) DO NOTHING",
        [
            {"hash": content_hash, "space": space_id, "token": token, "until": until}
            for content_hash in content_hashes
        ],
    )
    ours = {
        row[0]
        for row in connection.execute(
            "SELECT content_hash FROM live_claims WHERE lease_token = ?", (token,)
        )
    }
    return [content_hash for content_hash in content_hashes if content_hash in ours]


def keep_live(connection: Connection, *, token: str, count: int, until: float) -> None:
    """Prove that all claims under a token are still ours, and extend them.

    Raises:
        TransitionError: some are not: this process slept past its lease.
    """
    kept = connection.execute(
        "UPDATE live_claims SET lease_until = ? WHERE lease_token = ?", (until, token)
    ).rowcount
    if kept != count:
        raise TransitionError(
            "Texts that were about to be embedded live were taken over by another process, since "
            "this one stood still for too long. Nothing was sent here."
        )


def free_live(connection: Connection, *, token: str) -> None:
    """Let others have what was claimed under a token. Idempotent."""
    connection.execute("DELETE FROM live_claims WHERE lease_token = ?", (token,))
