"""``python -m semantic_core`` is the ``semcore`` command."""

from semantic_core.cli import main

main()
