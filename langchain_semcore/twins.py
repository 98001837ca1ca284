from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from langchain_core.runnables.config import run_in_executor

P = ParamSpec("P")
R = TypeVar("R")


def twin(method: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Return the async twin of a method: it runs in a thread, with the same arguments."""

    @wraps(method)
    async def run(*args: P.args, **kwargs: P.kwargs) -> R:
        # By name: a subclass may have its own.
        own: Callable[..., R] = getattr(args[0], method.__name__)
        return await run_in_executor(None, own, *args[1:], **kwargs)

    return run
