import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

R = TypeVar("R")


def twin(method: Callable[..., R]) -> Callable[..., Coroutine[Any, Any, R]]:
    """Return the async twin of a method: it runs in a thread, with the same arguments."""

    @wraps(method)
    async def run(store: object, /, *args: Any, **kwargs: Any) -> R:
        # By name: a subclass may have its own.
        own: Callable[..., R] = getattr(store, method.__name__)
        return await asyncio.to_thread(own, *args, **kwargs)

    return run
