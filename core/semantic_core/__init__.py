"""Ingest at once, embed at half price through Google's Gemini Batch API, search the whole time."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semantic_core.api import *  # noqa: F403  # all that it names
    from semantic_core.api import __version__ as __version__
else:

    def __getattr__(name: str) -> object:
        """Import all that users may when one of it is asked for, not for ``semcore --version``."""
        if name.startswith("__") and name not in {"__all__", "__version__"}:
            raise AttributeError(name)  # asked for by importlib and inspect, of any module
        # Not `from semantic_core`, which would come here again.
        api = vars(import_module("semantic_core.api"))
        found = {one: api[one] for one in api if not one.startswith("_")}
        globals().update(found, __version__=api["__version__"], __all__=[*found, "__version__"])
        return globals()[name]
