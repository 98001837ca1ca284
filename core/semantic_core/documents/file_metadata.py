"""What is known of a file, under the names that LlamaIndex's readers use; and a text's title."""

import mimetypes
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# A title stands at the top.
_LINES = 100


def file_metadata(path: Path, found: os.stat_result) -> dict[str, Any]:
    facts = {
        "file_name": printable(path.name),
        "file_type": mimetypes.guess_type(path.name)[0],
        "file_size": found.st_size,
        "creation_date": _date(getattr(found, "st_birthtime", found.st_ctime)),
        "last_modified_date": _date(found.st_mtime),
    }
    return {name: value for name, value in facts.items() if value is not None}


def title_of(text: str) -> str | None:
    """Return the first heading of the highest level: ``# Title``, or one underlined by ``===``."""
    last, is_code = "", False
    for line in text[:20_000].split("\n", _LINES)[:_LINES]:
        stripped = line.strip()
        if stripped.startswith(("```", "~~~")):
            is_code = not is_code
        elif not is_code and line.startswith("# ") and (title := stripped.strip("# ")):
            return title
        elif last and len(stripped) > 2 and set(stripped) == {"="}:
            return last
        last = "" if is_code else stripped
    return None


def _date(moment: float) -> str | None:
    try:
        return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"
    except (OverflowError, ValueError, OSError):  # a damaged file system's
        return None


def printable(path: str | os.PathLike[str]) -> str:
    """Return the path with the bytes that are no UTF-8 escaped: two names stay two."""
    return os.fsencode(path).decode(errors="backslashreplace")


def path_of(printed: str) -> str:
    """Return the path that `printable` has made this of: the one that exists, if two may be."""
    if "\\x" not in printed or os.path.lexists(printed):  # pathlib has none in 3.11
        return printed
    data = re.sub(
        rb"\\x([0-9a-f]{2})", lambda one: bytes.fromhex(one[1].decode()), os.fsencode(printed)
    )
    return os.fsdecode(data)
