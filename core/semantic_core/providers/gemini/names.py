"""Names of files and jobs at the provider. No other text ever becomes part of a URL."""

import re

from semantic_core.domain.errors import InvalidInputError

_NAME = re.compile(r"(?:files|batches)/[A-Za-z0-9_-]+", re.ASCII)


def is_remote_name(name: object, *, kind: str) -> bool:
    """Return whether this is a name of that kind, ``files`` or ``batches``."""
    return isinstance(name, str) and bool(_NAME.fullmatch(name)) and name.startswith(f"{kind}/")


def check_remote_name(name: str, *, kind: str) -> str:
    """Return the name if it is one of that kind, or raise `InvalidInputError`."""
    if not is_remote_name(name, kind=kind):
        raise InvalidInputError(
            f"{name!r:.80} is not a remote name. Pass one of the form {kind}/..., as the provider "
            "gave it."
        )
    return name
