"""Words that are looked up many at a time have the numbers that each alone has."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from semantic_core.database.postgres.lexemes import PADDING, Lexemes
from semantic_core.keywords import stem

# Some of so many words share a place in the table of those that were seen.
_WORDS = [f"{'running' * (n % 5)}{n:x}é"[: 5 + n % 23].encode() for n in range(2_000)]
_WORDS += [f"word{n}s".encode() for n in range(2_000)]
_WORDS += [f"beginsas{n}é".encode() for n in range(20_000)]


def _numbers(lexemes: Lexemes, words: list[bytes]) -> list[int]:
    joined = b" ".join([*words, PADDING])
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    starts = np.append([0], ends[:-1] + 1)
    return lexemes.numbers(joined, starts, ends).tolist()


def test_many_words_have_the_numbers_that_each_has() -> None:
    lexemes = Lexemes()
    for words in (_WORDS[:1], _WORDS[1_000:3_000] * 3, _WORDS, _WORDS):
        found = _numbers(lexemes, words)
        assert found == [lexemes[word] for word in words]
        assert [lexemes.forms[number] for number in found] == [_form(word) for word in words]


def test_threads_that_look_words_up_side_by_side_get_the_same_numbers() -> None:
    lexemes = Lexemes()
    halves = [_WORDS[::2], _WORDS[1::2], _WORDS[::-1], _WORDS]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for words, found in zip(
                halves, pool.map(lambda words: _numbers(lexemes, words), halves), strict=True
            ):
                assert [lexemes.forms[number] for number in found] == [
                    _form(word) for word in words
                ]


def _form(word: bytes) -> bytes:
    return (stem("porter", word.decode()).encode() if word.isascii() else word) + b"\0"
