"""The terminal: the only package that prints."""

from semantic_core.cli.app import app, main

__all__ = ["app", "main"]
