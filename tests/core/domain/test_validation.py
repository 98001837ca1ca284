from __future__ import annotations

import array
import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from semantic_core.domain.errors import BlankTextError, InvalidTextError, InvalidVectorError
from semantic_core.domain.validation import check_not_blank, check_text, check_vector

# --- texts -----------------------------------------------------------------------------------


@given(st.text())
def test_a_text_passes_exactly_if_it_can_be_stored_and_sent(text: str) -> None:
    """UTF-8 has a form for it, and PostgreSQL could hold it."""
    try:
        text.encode()
        storable = "\0" not in text
    except UnicodeEncodeError:
        storable = False
    if storable:
        check_text(text, what="the text")
    else:
        with pytest.raises(InvalidTextError):
            check_text(text, what="the text")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ab\0c", "the text has a NUL at character 2"),
        ("ab\ud83d", "the text has a lone surrogate at character 2"),
        (b"ab", "the text is a bytes, not a string"),
        (None, "the text is a NoneType, not a string"),
    ],
)
def test_an_unstorable_text_is_named_with_its_place(text: Any, says: str) -> None:
    with pytest.raises(InvalidTextError, match=says):
        check_text(text, what="the text")


def test_the_advice_cleans_the_text() -> None:
    """What the message tells the user to run gives a text that passes."""
    dirty = "a\0b\ud800c"
    with pytest.raises(InvalidTextError) as caught:
        check_text(dirty, what="the text")
    advice = str(caught.value).partition("e.g. with ")[2].partition(". Nothing")[0]
    clean = eval(advice, {"text": dirty})
    check_text(clean, what="the text")
    assert clean == "ab?c"


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u00a0\u2003"])
def test_a_blank_text_is_refused(text: str) -> None:
    with pytest.raises(BlankTextError, match=r"chunk 'x' is blank.*Skip it"):
        check_not_blank(text, what="chunk 'x'")


def test_a_text_with_anything_in_it_is_not_blank() -> None:
    check_not_blank(" . ", what="the text")


# --- vectors ---------------------------------------------------------------------------------


@given(
    npst.arrays(
        np.float32,
        st.integers(1, 8),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ).filter(np.any)
)
def test_a_vector_keeps_its_exact_bytes(vector: np.ndarray[Any, Any]) -> None:
    """An array, the same as a list, and as another kind of array: float32 little-endian."""
    expected = vector.astype("<f4").tobytes()
    size = len(vector)
    assert check_vector(vector, dimensions=size, what="chunk 'x'") == expected
    assert check_vector(vector.tolist(), dimensions=size, what="chunk 'x'") == expected
    assert check_vector(tuple(vector), dimensions=None, what="chunk 'x'") == expected
    assert check_vector(vector.astype(">f8"), dimensions=size, what="chunk 'x'") == expected


@pytest.mark.parametrize(
    "vector",
    [
        [1, 2.0],
        (1, 2),
        range(1, 3),
        array.array("f", [1, 2]),
        np.array([1, 2]),
        np.array([1, 2], dtype=np.float16),
        np.array([0, 1, 0, 2], dtype=np.float64)[1::2],
        [np.float32(1), np.int64(2)],
    ],
    ids=repr,
)
def test_numbers_of_every_kind_are_taken(vector: Any) -> None:
    expected = np.array([1, 2], dtype="<f4").tobytes()
    assert check_vector(vector, dimensions=2, what="chunk 'x'") == expected


def items() -> Any:
    yield 1.0


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        ([], "has shape"),
        (np.ones((1, 2)), r"has shape \(1, 2\)"),
        (np.float32(1), "is a float32"),
        (np.array(1.0), r"has shape \(\)"),
        ([1.0], "has 1 dimensions, not 2.*Embed it with the model"),
        ([1.0, float("nan")], "NaN or infinity"),
        ([1.0, float("-inf")], "NaN or infinity"),
        ([1.0, 1e39], "NaN or infinity"),
        ([1.0, 10**400], "too large for a float"),
        ([0.0, -0.0], "all zero"),
        ([0.0, 1e-50], "all zero"),
        ([1.0, "2"], "not a number"),
        ([1.0, None], "not a number"),
        ([1.0, True], "not a number"),
        ([1.0, 2j], "not a number"),
        ([1.0, Decimal(2)], "not a number"),
        ([[1.0], [2.0]], "not a number"),
        ([[1.0], 2.0], "not a number"),
        (np.array([True, False]), "is of bool"),
        (np.array([1, 2j]), "is of complex128"),
        (np.array(["1", "2"]), "not of numbers"),
        (np.array([1, None]), "is of object"),
        ("12", "is a str"),
        (b"12", "is a bytes"),
        (bytearray(b"12"), "is a bytearray"),
        (None, "is a NoneType.*list or an array"),
        (5, "is a int"),
        ({1.0, 2.0}, "is a set"),
        ({0: 1.0, 1: 2.0}, "is a dict"),
        (items, "is a generator"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_vector_is_refused(vector: Any, says: str) -> None:
    """Only ever with the typed error, and without a warning on the way."""
    if isinstance(vector, Callable):  # type: ignore[arg-type]  # a made-up generator
        vector = vector()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidVectorError, match=f"The vector of chunk 'x'.*{says}"):
            check_vector(vector, dimensions=2, what="chunk 'x'")
