"""Checks on user input; each error names the value, the reason and the next step."""

from __future__ import annotations

import math
import operator
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from reprlib import repr as short
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from semantic_core.domain.errors import (
    BlankTextError,
    InvalidInputError,
    InvalidTextError,
    InvalidVectorError,
)

if TYPE_CHECKING:
    from semantic_core.domain.types import VectorLike

T = TypeVar("T")

_MOST = 2**31 - 1

# PostgreSQL indexes up to 2,704 bytes; a file must hold nothing that cannot be moved to a server.
MOST_NAME_BYTES = 2_500

# Characters of a name that an error shows.
_LONGEST_NAMED = 200

# A surrogate outside a pair has no UTF-8 form; PostgreSQL cannot hold a NUL.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def whole_number(value: object, *, what: str = "limit") -> int:
    """Return a number of things, of whatever type that counts (int, numpy's, an enum's).

    An InvalidInputError says that it is none, is too small, or more than 64 bits hold.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]  # what has none raises
    except TypeError:
        number = None
    if number is None or not 0 <= number < 2**63:
        raise InvalidInputError(f"{what}={_shown(value)}: use a whole number, 0 or more.")
    # No number of things is larger, and sums of it still fit 64 bits.
    return min(number, _MOST)


def fraction(value: object, *, what: str) -> float:
    """Return a weight from 0 to 1, of whatever type that measures, or raise `InvalidInputError`."""
    number = _real(value)
    if not 0.0 <= number <= 1.0:
        raise InvalidInputError(f"{what}={_shown(value)}: use a weight from 0 to 1.")
    return number


def seconds(value: object, *, what: str) -> float:
    """Return a finite number of seconds, or raise `InvalidInputError`."""
    number = _real(value)
    if not math.isfinite(number):
        raise InvalidInputError(f"{what}={_shown(value)}: use a number of seconds.")
    return number


def listed(values: Iterable[T], *, what: str, of: type[T] | None = None) -> list[T]:
    """Return several things as a list, each of the type ``of``; an InvalidInputError for one."""
    is_one = isinstance(values, str | bytes | bytearray | Mapping) or not isinstance(
        values, Iterable
    )
    if is_one:
        raise InvalidInputError(f"{what} is {_article(values)}. Pass a list.")
    found = list(values)
    for position, value in enumerate(found):
        if of is not None and not isinstance(value, of):
            raise InvalidInputError(
                f"{what} holds {_article(value)} at {position}. Pass {of.__name__} objects."
            )
    return found


def _real(value: object) -> float:
    if isinstance(value, bool | str | bytes):
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]  # what is not a number raises
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _shown(value: object) -> str:
    return short(value) if isinstance(value, int | float | str | None) else type(value).__name__


def _article(value: object) -> str:
    return "None" if value is None else f"one {type(value).__name__}"


def check_text(text: str, *, what: str, kind: type[InvalidInputError] = InvalidTextError) -> None:
    """Check that a text can be stored and sent, or raise an error of a kind.

    It cannot if it is not a string, or holds a lone surrogate or a NUL.
    """
    if not isinstance(text, str):
        raise kind(f"{what} is a {type(text).__name__}, not a string.")
    if not is_storable(text) and (found := _UNSTORABLE.search(text)) is not None:
        name = "NUL" if found.group() == "\0" else "lone surrogate"
        raise kind(
            f"{what} has a {name} at character {found.start()}. Clean it, e.g. with "
            'text.encode("utf-8", "replace").decode().replace("\\0", ""). Nothing was saved.'
        )


def check_id(text: str, *, what: str) -> None:
    """Check that a text can be an id, a source or the name of a collection."""
    check_text(text, what=what)
    if len(text) > MOST_NAME_BYTES // 4 and len(text.encode()) > MOST_NAME_BYTES:
        named = what if len(what) <= _LONGEST_NAMED else f"{what[:_LONGEST_NAMED]}…"
        raise InvalidInputError(
            f"{named} takes more than {MOST_NAME_BYTES:,} bytes, which no server can index. Shorten "
            "it, or use a hash of it. Nothing was saved."
        )


def is_storable(text: str) -> bool:
    # Python knows of each text whether it is ASCII, and looks for one character very fast: a
    # pattern takes ten times as long.
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
    return "\0" not in text


def check_not_blank(text: str, *, what: str) -> None:
    """Check that there is something to embed, or raise `BlankTextError`."""
    if not text or text.isspace():
        raise BlankTextError(f"{what} is blank: there is nothing to embed. Skip it before saving.")


def has_words(text: str) -> bool:
    """Return whether a text has a letter or a digit, without which nothing is paid for."""
    return any(map(str.isalnum, text))


def check_has_words(text: str, *, what: str) -> None:
    """Check that a text is worth a vector, or raise `BlankTextError`.

    A rule or a row of dots has no letter and no digit.
    """
    if not has_words(text):
        raise BlankTextError(
            f"{what} is blank: without a letter or a digit there is nothing to embed. Skip it "
            "before saving."
        )


def check_vector(vector: VectorLike, *, dimensions: int | None, what: str) -> bytes:
    """Return numbers of shape (dimensions,) as float32 little-endian bytes.

    An InvalidVectorError for another size, what is not a finite float32, or all zero.
    """
    values = _as_array(vector, what)
    if values.ndim != 1 or not len(values):
        raise InvalidVectorError(f"The vector of {what} has shape {values.shape}, not (n,).")
    if dimensions is not None and len(values) != dimensions:
        raise InvalidVectorError(
            f"The vector of {what} has {len(values)} dimensions, not {dimensions}. Embed it with "
            "the model and size of its collection. Another model's vectors go into a collection of "
            "their own, with EmbeddingSpec.external(name)."
        )
    # A number beyond float32 becomes infinite here, and is refused below.
    with np.errstate(over="ignore", invalid="ignore"):
        floats = values.astype("<f4", copy=False)
        squares = floats.dot(floats)
    # One number tells that all is well; only where it does not, each is looked at.
    if not 0.0 < squares < math.inf:
        if not np.isfinite(floats).all():
            raise InvalidVectorError(f"The vector of {what} holds NaN or infinity. Embed it again.")
        if not floats.any():
            raise InvalidVectorError(f"The vector of {what} is all zero. Embed it again.")
    return floats.tobytes()


def _as_array(vector: VectorLike, what: str) -> npt.NDArray[Any]:
    if not isinstance(vector, np.ndarray):
        if not isinstance(vector, Sequence) or isinstance(vector, str | bytes | bytearray):
            raise InvalidVectorError(
                f"The vector of {what} is a {type(vector).__name__}. Pass a list or an array of "
                "numbers."
            )
        floats = floats_at_once([vector], len(vector))
        if floats is not None:
            return floats.ravel()
        # numpy would take "1" and True for numbers.
        if not all(
            kind is not bool and issubclass(kind, _NUMBERS) for kind in set(map(type, vector))
        ):
            raise InvalidVectorError(f"The vector of {what} holds something that is not a number.")
        try:
            vector = np.asarray(vector, dtype=np.float64)
        except OverflowError as error:
            raise InvalidVectorError(
                f"The vector of {what} holds a number too large for a float. Embed it again."
            ) from error
    if vector.dtype.kind not in "fiu":
        raise InvalidVectorError(f"The vector of {what} is of {vector.dtype}, not of numbers.")
    return vector


def floats_at_once(vectors: Iterable[Sequence[float]], size: int) -> npt.NDArray[Any] | None:
    """Return vectors of plain floats as float32 rows in a fraction of the time.

    None: look at each more closely. A bool among floats would pass for 0.0 or 1.0, which are rare
    in an embedding.
    """
    try:
        pack = struct.Struct(f"{size}f").pack
        packed = b"".join([pack(*vector) for vector in vectors])
        values = np.frombuffer(packed, dtype=np.float32).reshape(-1, size)
    except (struct.error, TypeError, ValueError, OverflowError):
        return None
    return None if ((values == 0) | (values == 1) | ~np.isfinite(values)).any() else values


_NUMBERS = (float, int, np.floating, np.integer)
