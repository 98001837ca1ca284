"""Result lines: nothing that comes over the wire may raise, mislead, or fill the memory."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini.results import LONGEST_LINE, find_conflicting_keys, read_results
from semantic_core.providers.types import ResultLine

SPEC = EmbeddingSpec(dimensions=3, normalized=False)
KEY = "ab" * 32
VECTOR = [0.25, -0.5, 1.0]

GOOD: dict[str, Any] = {
    "response": {"tokenCount": "7", "embedding": {"values": VECTOR}},
    "key": KEY,
}


def read(content: bytes | str, spec: EmbeddingSpec = SPEC) -> list[ResultLine]:
    if isinstance(content, str):
        content = content.encode()
    return list(read_results(io.BytesIO(content), spec=spec))


def read_one(record: Any, spec: EmbeddingSpec = SPEC) -> ResultLine:
    content = record if isinstance(record, bytes | str) else json.dumps(record)
    (line,) = read(content, spec)
    assert (line.vector is None) != (line.error is None)
    return line


def values(line: ResultLine) -> list[float] | None:
    return None if line.vector is None else line.vector.tolist()


# --- good lines ------------------------------------------------------------------------


def test_the_documented_line_is_read() -> None:
    line = read_one(GOOD)
    assert (line.key, values(line), line.token_count) == (KEY, VECTOR, 7)
    assert line.vector is not None
    assert line.vector.dtype == np.float32


@pytest.mark.parametrize(
    "record",
    [
        {"custom_id": KEY, "response": {"embedding": {"values": VECTOR}}},
        {"request_id": KEY, "response": {"embedding": {"values": VECTOR}}},
        {"metadata": {"key": KEY}, "response": {"embedding": {"values": VECTOR}}},
        {"key": KEY, "embedding": {"values": VECTOR}},
        {"key": KEY, "response": {"embeddings": [{"values": VECTOR}]}},
        {"key": KEY, "status": "OK", "response": {"embedding": {"values": VECTOR}}},
        {"key": KEY, "status": {"code": 0}, "response": {"embedding": {"values": VECTOR}}},
        {"key": KEY, "error": None, "response": {"embedding": {"values": VECTOR}}},
        {"key": KEY, "error": {}, "response": {"embedding": {"values": VECTOR}}},
    ],
)
def test_every_known_spelling_of_a_good_line_is_read(record: dict[str, Any]) -> None:
    line = read_one(record)
    assert (line.key, values(line)) == (KEY, VECTOR)


@pytest.mark.parametrize(
    ("response", "count"),
    [
        ({"tokenCount": 12}, 12),
        ({"tokenCount": "0012"}, 12),
        ({"usageMetadata": {"promptTokenCount": 12}}, 12),
        ({"tokenCount": "many"}, None),
        ({"tokenCount": True}, None),
        ({"tokenCount": -1}, None),
        ({"tokenCount": "9" * 5000}, None),
        ({"tokenCount": 10**30}, None),
        ({"tokenCount": [1]}, None),
        ({"usageMetadata": 3}, None),
        ({}, None),
    ],
)
def test_a_token_count_is_read_where_it_is_one(response: dict[str, Any], count: int | None) -> None:
    line = read_one({"key": KEY, "response": {"embedding": {"values": VECTOR}, **response}})
    assert line.token_count == count
    assert values(line) == VECTOR


def test_whole_numbers_are_numbers() -> None:
    assert values(read_one({"key": KEY, "embedding": {"values": [1, 0, -2]}})) == [1.0, 0.0, -2.0]


def test_a_normalized_spec_gets_vectors_of_length_one() -> None:
    line = read_one(GOOD, EmbeddingSpec(dimensions=3))
    wide = np.array(VECTOR, dtype=np.float64)
    expected = (wide / np.sqrt(wide @ wide)).astype(np.float32)
    assert line.vector is not None
    assert line.vector.tobytes() == expected.tobytes()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_length_one_survives_numbers_whose_square_no_float32_holds(scale: float) -> None:
    record = {"key": KEY, "embedding": {"values": [scale, scale, 0]}}
    line = read_one(record, EmbeddingSpec(dimensions=3))
    assert values(line) == pytest.approx([0.5**0.5, 0.5**0.5, 0])


# --- bad vectors -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "literal",
    [
        "[NaN, 1, 1]",
        "[Infinity, 1, 1]",
        "[1, -Infinity, 1]",
        "[1e39, 1, 1]",
        "[-1e39, 1, 1]",
        "[1e400, 1, 1]",
        f"[1{'0' * 400}, 1, 1]",
        f"[1{'0' * 5000}, 1, 1]",
        "[0, 0, 0]",
        "[0.0, -0.0, 1e-60]",
        '["0.1", 1, 1]',
        "[true, 1, 1]",
        "[null, 1, 1]",
        "[[0.1], [1], [1]]",
        "[{}, 1, 1]",
    ],
)
@pytest.mark.parametrize("normalized", [True, False])
def test_a_vector_of_anything_but_finite_numbers_is_refused(literal: str, normalized: bool) -> None:  # noqa: FBT001
    text = f'{{"key":"{KEY}","response":{{"embedding":{{"values":{literal}}}}}}}'
    line = read_one(text, EmbeddingSpec(dimensions=3, normalized=normalized))
    assert line.error
    assert line.is_transient
    assert not line.is_wrong_size


@pytest.mark.parametrize("literal", ["[NaN,1,1]", "[1e400,1,1]", '["\\ud800",1,1]'])
def test_a_line_that_only_a_lenient_parser_reads_still_names_its_text(literal: str) -> None:
    line = read_one(f'{{"response":{{"embedding":{{"values":{literal}}}}},"key":"{KEY}"}}')
    assert line.key == KEY


@pytest.mark.parametrize("wrong", [[], [1.0], [1.0, 2.0], [1.0] * 4, [1.0] * 3072])
def test_a_vector_of_another_size_is_flagged(wrong: list[float]) -> None:
    line = read_one({"key": KEY, "response": {"embedding": {"values": wrong}}})
    assert line.is_wrong_size
    assert line.is_transient
    assert line.key == KEY


def test_the_largest_vector_with_the_longest_numbers_is_not_too_long() -> None:
    """Asked for 128 numbers, a provider that sends 3,072 has a wrong size, not a long line."""
    long_number = "-1.2345678901234567e-100"
    text = f'{{"key":"{KEY}","embedding":{{"values":[{",".join([long_number] * 3072)}]}}}}'
    line = read_one(text, EmbeddingSpec(dimensions=128))
    assert line.is_wrong_size


def test_several_vectors_for_one_text_are_nobodys() -> None:
    several = [{"values": VECTOR}, {"values": VECTOR}]
    assert read_one({"key": KEY, "response": {"embeddings": several}}).error


# --- errors of the provider ------------------------------------------------------------


@pytest.mark.parametrize("code", [408, 409, 429, 499, 500, 502, 503, 504, 599])
@pytest.mark.parametrize("spelling", [int, str])
def test_busy_codes_are_transient(code: int, spelling: type) -> None:
    line = read_one({"key": KEY, "error": {"code": spelling(code), "message": "busy"}})
    assert line.is_transient
    assert line.is_quota == (code == 429)


@pytest.mark.parametrize("code", [1, 2, 4, 8, 10, 13, 14, 15])
def test_busy_grpc_numbers_are_transient(code: int) -> None:
    line = read_one({"key": KEY, "error": {"code": code, "message": "busy"}})
    assert line.is_transient
    assert line.is_quota == (code == 8)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 413, 3, 5, 6, 7, 9, 11, 12, 16])
def test_refusals_are_permanent(code: int) -> None:
    line = read_one({"key": KEY, "error": {"code": code, "message": "no"}})
    assert not line.is_transient
    assert not line.is_quota


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        ({"status": "INVALID_ARGUMENT", "message": "no"}, False),
        ({"status": "UNAVAILABLE", "message": "busy"}, True),
        ({"message": "never heard of"}, True),
        ({"code": 777, "message": "never heard of"}, True),
        ({"code": "many"}, True),
        ({"code": True}, True),
        ("just words", True),
        ([1, 2], True),
        (True, True),
    ],
)
def test_errors_in_any_form_are_read(error: object, is_transient: bool) -> None:  # noqa: FBT001
    line = read_one({"key": KEY, "error": error})
    assert line.key == KEY
    assert line.is_transient is is_transient


@pytest.mark.parametrize(
    "record",
    [
        {"key": KEY, "error": {"code": 3, "message": "not this"}},
        {"key": KEY, "status": {"code": 3, "message": "not this"}},
        {"key": KEY, "response": {"error": {"code": 3, "message": "not this"}}},
    ],
)
def test_every_known_spelling_of_an_error_keeps_the_provider_s_words(
    record: dict[str, Any],
) -> None:
    assert read_one(record).error == "3 INVALID_ARGUMENT: not this"


@pytest.mark.parametrize(
    "words",
    [
        "The input token count (3000) exceeds the maximum number of tokens allowed (2048).",
        "The text is too long.",
        "Too many tokens in the input.",
    ],
)
def test_a_refusal_for_length_is_called_too_long(words: str) -> None:
    line = read_one({"key": KEY, "error": {"code": 400, "message": words}})
    assert line.error == f"too long: 400: {words}"
    assert not line.is_transient


def test_a_busy_provider_that_speaks_of_tokens_makes_no_text_too_long() -> None:
    line = read_one({"key": KEY, "error": {"code": 429, "message": "too many tokens a minute"}})
    assert line.error == "429: too many tokens a minute"
    assert line.is_quota


@pytest.mark.parametrize(
    "said",
    [
        {"tokenCount": "2048"},
        {"tokenCount": 5000},
        {"truncated": True},
        {"embedding": {"values": [1, 2, 3], "truncated": True}},
        {"embedding": {"values": [1, 2, 3], "statistics": {"truncated": True}}},
        {"usageMetadata": {"promptTokenCount": 2048}},
    ],
)
def test_a_vector_of_only_the_beginning_is_not_that_of_the_text(said: dict[str, Any]) -> None:
    line = read_one({"key": KEY, "response": {"embedding": {"values": [1, 2, 3]}, **said}})
    assert line.vector is None
    assert (line.error or "").startswith("too long for gemini-embedding-001")
    assert not line.is_transient


def test_one_token_below_the_limit_is_the_whole_text() -> None:
    response = {"embedding": {"values": [1, 2, 3]}, "tokenCount": "2047", "truncated": False}
    assert read_one({"key": KEY, "response": response}).vector is not None


def test_a_model_of_unknown_limit_has_no_full_count() -> None:
    spec = EmbeddingSpec(model="another", dimensions=3)
    response = {"embedding": {"values": [1, 2, 3]}, "tokenCount": "99999"}
    assert read_one({"key": KEY, "response": response}, spec).vector is not None


def test_an_error_wins_over_a_vector() -> None:
    line = read_one({**GOOD, "error": {"code": 3, "message": "no"}})
    assert line.vector is None
    assert not line.is_transient


def test_words_are_clipped_and_storable() -> None:
    """An error may quote the whole text, and what a database refuses."""
    message = "quoted\n\0\ud800 " + "x" * 100_000
    line = read_one({"key": KEY, "error": {"code": 3, "message": message}})
    assert line.error is not None
    assert len(line.error) == 500
    assert line.error.startswith("3 INVALID_ARGUMENT: quoted ")
    assert line.error.endswith("…")
    line.error.encode()
    assert "\0" not in line.error


# --- lines that are none ---------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        "{",
        '{"key":"k"',
        "[]",
        "null",
        "3",
        '"key"',
        b"\xff\xfe\x00",
        b'{"key":"\xff"}',
        '{"key":' + "[" * 50_000 + "]" * 50_000 + "}",
        "[" * 100_000,
        '{"a":' * 20_000 + "1" + "}" * 20_000,
    ],
)
def test_what_is_no_json_object_is_one_bad_line(content: bytes | str) -> None:
    line = read_one(content)
    assert line.key is None
    assert line.is_transient


@pytest.mark.parametrize(
    "record",
    [
        {"key": KEY},
        {"key": KEY, "response": {}},
        {"key": KEY, "response": None},
        {"key": KEY, "response": {"embedding": {}}},
        {"key": KEY, "response": {"embedding": {"values": None}}},
        {"key": KEY, "response": {"embedding": {"values": {"0": 1}}}},
        {"key": KEY, "response": {"embedding": {"values": "123"}}},
        {"key": KEY, "response": {"embedding": VECTOR}},
        {"key": KEY, "response": {"embeddings": []}},
        {"key": KEY, "response": []},
    ],
)
def test_neither_vector_nor_error_is_an_error(record: dict[str, Any]) -> None:
    line = read_one(record)
    assert line.key == KEY
    assert line.is_transient


@pytest.mark.parametrize("key", [None, 3, True, [], {}, "a\0b", "\ud800", "a\nb"])
def test_what_cannot_be_a_key_is_none(key: object) -> None:
    assert read_one({**GOOD, "key": key}).key is None


def test_blank_lines_are_skipped_and_the_last_needs_no_end() -> None:
    good = json.dumps(GOOD)
    assert len(read(f"\n{good}\n \t\r\n{good}\r\n\n{good}")) == 3
    assert read("") == []


@pytest.mark.parametrize("character", ["\u2028", "\u0085", "\r", "\v", "\f"])
def test_only_a_line_feed_ends_a_line(character: str) -> None:
    record = {**GOOD, "note": f"a{character}b"}
    content = json.dumps(record, ensure_ascii=False)
    assert values(read_one(content)) == VECTOR


def test_a_bad_line_costs_only_itself() -> None:
    good = json.dumps(GOOD)
    lines = read(f"{good}\n{good[:40]}\n{good}\n")
    assert [line.vector is None for line in lines] == [False, True, False]


class EndlessLine(io.RawIOBase):
    """A stream whose first line has any length, made as it is read."""

    def __init__(self, size: int, rest: bytes) -> None:
        self._left = size
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left:
            count = min(len(buffer), self._left)
            buffer[:count] = b"x" * count
            self._left -= count
            return count
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def test_a_line_of_any_length_is_skipped_in_bounded_memory() -> None:
    good = json.dumps(GOOD).encode()
    stream = io.BufferedReader(EndlessLine(200_000_000, b"\n" + good + b"\n"))
    tracemalloc.start()
    try:
        lines = list(read_results(stream, spec=SPEC))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
    assert [line.key for line in lines] == [None, KEY]
    assert lines[0].error == f"the line has more than {LONGEST_LINE:,} bytes"


def test_a_line_at_the_limit_is_read_and_one_beyond_is_not() -> None:
    good = json.dumps(GOOD)
    fits = good + " " * (LONGEST_LINE - len(good) - 1) + "\n"
    lines = read(f"{fits} {fits}{good}")
    assert [line.vector is None for line in lines] == [False, True, False]


# --- many lines at once ----------------------------------------------------------------

USUAL: dict[str, Any] = {"tokenCount": 7, "embedding": {"values": [0.25, -0.5, 0.75]}}


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"key": 3},
        {"key": 3, "custom_id": "other"},
        {"error": {"code": 3, "message": "no"}},
        {"status": {"code": 3, "message": "no"}},
        {"response": {**USUAL, "error": "no"}},
        {"response": {**USUAL, "truncated": True}},
        {"response": {**USUAL, "statistics": {"truncated": True}}},
        {"response": {**USUAL, "embeddings": [{"truncated": True}]}},
        {"response": {"embedding": {**USUAL["embedding"], "truncated": True}}},
        {"response": {**USUAL, "tokenCount": "2048"}},
        {"response": {**USUAL, "tokenCount": True}},
        {"response": {"embedding": USUAL["embedding"], "truncated": True}},
        {"response": {"tokenCount": 7}},
        *(
            {"response": {**USUAL, "embedding": {"values": values}}}
            for values in (
                [0.25, -0.5, True],
                [0.25, -0.5, False],
                [0.25, -0.5, None],
                [0.25, -0.5, 1],
                [0.25, -0.5, 10**400],
                [0.25, -0.5, 1e39],
                [0.25, -0.5, float("nan")],
                [0.25, 1e30, -0.5],
                [0, 0, 0],
                [1e-60, 1e-60, 1e-60],
                [0.25, -0.5],
                [0.25] * 6,
                "abc",
            )
        ),
    ],
)
@pytest.mark.parametrize("normalized", [True, False])
def test_a_line_among_others_is_read_as_it_is_alone_and_with_care(
    odd: dict[str, Any],
    normalized: bool,  # noqa: FBT001
) -> None:
    spec = EmbeddingSpec(dimensions=3, normalized=normalized)
    records = [{"key": f"{n:064x}", "response": USUAL} for n in range(40)]
    records[5] |= odd
    # Beside a line that is none, each is read with care.
    careful = [read(f"{json.dumps(record)}\n{{", spec)[0] for record in records]
    assert [line.vector is None for line in careful].count(True) <= 1
    quick = read("\n".join(map(json.dumps, records)), spec)
    assert [whole(line) for line in quick] == [whole(line) for line in careful]


def whole(line: ResultLine) -> ResultLine:
    return line._replace(vector=None if line.vector is None else line.vector.tobytes())  # type: ignore[arg-type]  # to be compared


# --- fuzzing ---------------------------------------------------------------------------


@given(st.binary())
def test_no_bytes_raise(content: bytes) -> None:
    for line in read(content):
        assert (line.vector is None) != (line.error is None)


NAMES = st.sampled_from(
    [
        "key",
        "custom_id",
        "metadata",
        "response",
        "error",
        "status",
        "code",
        "message",
        "embedding",
        "embeddings",
        "values",
        "tokenCount",
        "usageMetadata",
        "promptTokenCount",
    ]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, ANY_JSON))
def test_no_arrangement_of_known_names_raises(record: dict[str, Any]) -> None:
    line = read_one(record)
    assert line.key is None or isinstance(line.key, str)


@given(st.data())
def test_no_single_damage_to_a_good_line_raises(data: st.DataObject) -> None:
    """Cut or with one bit flipped, anywhere."""
    content = json.dumps(GOOD).encode()
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        damaged = content[:place]
    else:
        flipped = content[place] ^ (1 << data.draw(st.integers(0, 7)))
        damaged = content[:place] + bytes([flipped]) + content[place + 1 :]
    for line in read(damaged):
        assert (line.vector is None) != (line.error is None)


# --- files -----------------------------------------------------------------------------


def test_a_path_is_read_like_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(GOOD) + "\n")
    (line,) = read_results(path, spec=SPEC)
    assert line.key == KEY


def write(path: Path, *records: Any) -> Path:
    path.write_bytes(
        b"".join(
            (one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in records
        )
    )
    return path


def result(key: str, vector: list[Any], name: str = "key") -> dict[str, Any]:
    return {"response": {"embedding": {"values": vector}}, name: key}


def test_a_key_with_two_vectors_is_conflicting(tmp_path: Path) -> None:
    path = write(
        tmp_path / "results",
        result("a", [1, 2, 3]),
        result("b", [1, 2, 3]),
        result("c", [1, 2, 3]),
        result("a", [1, 2, 4]),
        result("b", [1.0, 2.0, 3.0]),
    )
    assert find_conflicting_keys(path) == {"a"}


def test_a_key_with_a_vector_and_an_error_is_not_conflicting(tmp_path: Path) -> None:
    path = write(
        tmp_path / "results",
        result("a", [1, 2, 3]),
        {"key": "a", "error": {"code": 13, "message": "busy"}},
        {"key": "a"},
        result("a", ["x"]),
        result("a", [10**400]),
    )
    assert find_conflicting_keys(path) == frozenset()


def test_a_conflict_is_found_under_any_spelling_of_the_key(tmp_path: Path) -> None:
    path = write(
        tmp_path / "results",
        result("a", [1, 2, 3]),
        result("a", [1, 2, 4], name="custom_id"),
        result("b", [1, 2, 3]),
        b'{"key":"\\u0062","embedding":{"values":[3,2,1]}}',
        {"other": {"key": "not mine"}, **result("c", [1, 2, 3])},
        {"metadata": {"key": "c"}, "embedding": {"values": [1, 1, 1]}},
        {"custom_id": "e", "embedding": {"values": [1, 2, 3]}, "key": "d"},
        {"custom_id": "f", "embedding": {"values": [3, 2, 1]}, "key": "d"},
    )
    assert find_conflicting_keys(path) == {"a", "b", "c", "d"}


def test_looking_for_conflicts_survives_any_content(tmp_path: Path) -> None:
    path = write(tmp_path / "results", b"\xff", b"{", b"x" * (LONGEST_LINE + 10), b'{"key":3}', b"")
    assert find_conflicting_keys(path) == frozenset()


def test_keys_without_end_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "results"
    key = "k" * (LONGEST_LINE - 100)
    path.write_bytes(b"".join(b'{"key":"%d%s"}\n' % (n % 7, key.encode()) for n in range(300)))
    tracemalloc.start()
    conflicting = find_conflicting_keys(path)
    lines = list(read_results(path, spec=SPEC))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert conflicting == frozenset()
    assert {line.key for line in lines} == {None}
    assert len(lines) == 300
    assert peak < 20 << 20
