from importlib import import_module
from typing import Any

from semantic_core.domain.errors import MissingExtraError
from semantic_core.domain.uninterrupted import uninterrupted


def load_extra(module: str, *, extra: str, task: str) -> Any:
    """Import a module of an extra, or raise `MissingExtraError`, which says what to install.

    ``task``, what it is needed for, begins the message.
    """
    try:
        return uninterrupted(lambda: import_module(module))
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{task} needs {error.name}, which is not installed. Nothing of it was saved or sent. "
            f'Install it and try again: pip install "semcore[{extra}]"'
        ) from error
