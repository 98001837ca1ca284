from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

# Rows held at once; where each page is a transaction, other writers wait well under a second.
PAGE = 1000


def pages(items: Iterable[T], size: int = PAGE) -> Iterator[list[T]]:
    source = iter(items)
    while page := list(islice(source, size)):
        yield page
