import json
import re
from typing import Any

from semantic_core.domain.errors import InvalidMetadataError
from semantic_core.domain.extras import load_extra

# More is data, of which a parser takes long; and aliases may repeat a little YAML without end.
MOST_CHARS = 65_536
MOST_VALUES = 10_000

_BLOCK = re.compile(r"---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_KEY = re.compile(r"(?:\s*#.*\n)*\s*[\w\"'][^\n:]*:(?:\s|$)")
_WORDS = frozenset(("true", "false", "null"))


def take_front_matter(text: str, *, what: str) -> tuple[dict[str, Any], str]:
    """Return the front matter of a Markdown text, and the text without it.

    It is at the very beginning between two lines of ``---`` and is a mapping of YAML;
    anything else there is text. Its values are JSON: dates and what else YAML would make of a
    word stay strings, as they are written.

    Raises:
        InvalidMetadataError: it begins as a mapping does, and cannot be read as one.
    """
    found = _BLOCK.match(text)
    if found is None:
        return {}, text
    block = found[1]
    try:
        values = _read(block)
    except ValueError as error:
        if not _KEY.match(block):
            return {}, text
        raise InvalidMetadataError(
            f"The front matter of {what} cannot be read: {error}. Correct it, or put an empty line "
            "above it if it is text. Nothing of the document was saved."
        ) from error
    return (values, text[found.end() :]) if isinstance(values, dict) else ({}, text)


def _read(block: str) -> Any:
    if len(block) > MOST_CHARS:
        raise ValueError(f"it has more than {MOST_CHARS:,} characters")
    yaml = load_extra("yaml", extra="documents", task="Reading front matter")
    try:
        # Nodes alone: no tag makes anything of them, and no word becomes a date or a bool.
        root = yaml.compose(block, Loader=yaml.BaseLoader)
        return {} if root is None else _Values().of(root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 2}" if mark is not None else ""
        raise ValueError(f"{getattr(error, 'problem', None) or 'no YAML'}{where}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


class _Values:
    """Turns the nodes of YAML into values of JSON."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def of(self, node: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"it has more than {MOST_VALUES:,} values")
        if node.id == "mapping":
            return {
                key.value if key.id == "scalar" else str(self.of(key)): self.of(value)
                for key, value in node.value
            }
        if node.id == "sequence":
            return [self.of(value) for value in node.value]
        return node.value if node.style else _plain(node.value)


def _plain(word: str) -> Any:
    """Return what a word without quotes means: a number, a bool, nothing, or itself."""
    lowered = word.lower()
    if word in ("", "~"):
        return None
    try:
        return json.loads(lowered if lowered in _WORDS else word, parse_constant=str)
    except ValueError:
        return word
