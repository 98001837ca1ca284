"""Fields of the provider's JSON, whatever an answer holds in their place, and names in it."""

import re
from typing import Any

from semantic_core.domain.errors import InvalidInputError


def object_in(holder: object, name: str) -> dict[str, Any]:
    """Return the object under a name; an empty one where there is none."""
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, dict) else {}


def text_in(holder: dict[str, Any], name: str) -> str | None:
    """Return the text under a name; None where there is none, or an empty one."""
    value = holder.get(name)
    return value if isinstance(value, str) and value else None


def number_in(holder: dict[str, Any], name: str) -> int | None:
    """Return the whole number under a name, or None; a count or a code is never negative."""
    value = holder.get(name)
    # One of 64 bits is a string in the JSON of Google's APIs.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18
    return value if is_number else None


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
