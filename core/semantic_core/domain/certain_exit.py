"""Context managers whose exit runs even if an interrupt comes.

Python checks for signals between two steps of Python code, and also where a Python function begins.
A Ctrl-C at the very end of a block is therefore raised when ``__exit__`` has begun and has done
nothing yet. `contextlib.contextmanager` then leaves its generator suspended, with the transaction
open, until the traceback is freed. Jupyter keeps the last traceback, so every other thread and
process would wait.
"""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def certain_exit(
    function: Callable[P, Generator[T, None, None]],
) -> Callable[P, AbstractContextManager[T, None]]:
    """Make a context manager of a generator function, as `contextlib.contextmanager` does.

    A generator that has come to its ``yield`` is always resumed there, or gets the interrupt: its
    ``except`` and ``finally`` run before the exception leaves the block. It cannot suppress an
    exception, and `contextlib.ExitStack` cannot enter it.
    """

    @wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> AbstractContextManager[T, None]:
        return _Block(_steps(function(*args, **kwargs)))

    return make


class _Block(AbstractContextManager[T, None], Generic[T]):
    """Enters and exits a generator, the latter without a Python function in between."""

    if TYPE_CHECKING:

        def __exit__(self, *error: object) -> None: ...

    else:
        __slots__ = ("__exit__", "_steps")

    def __init__(self, steps: Generator[Any, Any, None]) -> None:
        self._steps = steps
        # `max` is written in C. It hands this None and the three arguments of an exit to the
        # generator, one after the other, and returns the None, for which the answer is greatest.
        self.__exit__ = partial(max, None, key=steps.send)  # type: ignore[method-assign]

    def __enter__(self) -> T:
        try:
            entered: T = next(self._steps)
            return entered  # noqa: TRY300  # an interrupt before this line must not pass the except
        except BaseException:
            self._steps.close()
            raise


def _steps(block: Generator[T, None, None]) -> Generator[T | int, Any, None]:
    error: BaseException | None = None
    try:
        yield next(block)
        yield 1  # answers the None; what is sent next is the exception's type
        error = yield 0
        trace = yield 0
        if error is None:
            next(block, None)
        else:
            block.throw(error)
    except BaseException as raised:
        is_handed_on = isinstance(error, StopIteration) and raised.__cause__ is error
        if error is None or (raised is not error and not is_handed_on):
            # An interrupt that came first is new to the block; of its own errors it has ended.
            block.throw(raised)
            raise
        error.__traceback__ = trace
    yield 0
