"""An empty list where a vector is to come, which raises when somebody computes with it."""

from __future__ import annotations

from typing import Any, NoReturn

from llama_index.core.schema import BaseNode

from llamaindex_semcore.errors import DeferredVectorError


class NoVector(list[float]):
    """An empty list that no one computes with by mistake: neither Python nor numpy.

    It is empty, false, and equal to ``[]``, and pydantic writes it as ``[]``. Whoever goes through
    it computes, or sends it somewhere: a mean or a cosine of empty lists would be NaN, in silence.

    Attributes:
        problem: why there is no vector, or None: it comes later.
    """

    problem: str | None = None

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        if self.problem is None:
            raise DeferredVectorError.of_text()
        raise DeferredVectorError.of_query(self.problem)

    __array__ = _refuse
    __iter__ = _refuse
    __reversed__ = _refuse
    __getitem__ = _refuse
    __add__ = _refuse
    __mul__ = _refuse
    __rmul__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        # Else a copy would iterate.
        return type(self), (), self.__dict__


def restore(node: BaseNode) -> None:
    """Put the placeholder where pydantic or JSON has left a plain empty list."""
    if node.embedding is not None and not node.embedding:
        # Beside pydantic, which makes a new list of whatever is assigned.
        node.__dict__["embedding"] = NoVector()
