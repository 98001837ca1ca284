"""The errors of a request that got no complete answer."""

from __future__ import annotations

import httpx2

from semantic_core.domain.errors import ProviderUnavailableError

_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


def unreachable(error: httpx2.HTTPError) -> ProviderUnavailableError:
    """Return the error for a request that got no complete answer."""
    kind = type(error).__name__
    if isinstance(error, _NEVER_SENT):
        return ProviderUnavailableError(
            f"The provider{_place(error)} cannot be reached ({kind}). Nothing was sent, so this "
            "cost nothing, and nothing is lost; check the network and try again.",
            was_sent=False,
        )
    return ProviderUnavailableError(
        f"The connection to the provider{_place(error)} failed ({kind}). Nothing is lost; try "
        "again later."
    )


def _place(error: httpx2.HTTPError) -> str:
    """Return where the request went; a base_url that leads nowhere should show."""
    try:
        url = error.request.url
    except RuntimeError:
        # It broke before there was a request.
        return ""
    return f" at {url.host}:{url.port}" if url.port else f" at {url.host}"
