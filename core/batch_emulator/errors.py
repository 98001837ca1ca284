"""What the emulator refuses of those who run it. Its clients get HTTP answers instead."""

from __future__ import annotations


class EmulatorError(Exception):
    """The emulator cannot be run like this. The message says why, and what to do."""


class InvalidRuleError(EmulatorError, ValueError):
    """A fault rule that does not exist, or cannot happen where it is asked for."""


class MissingServerError(EmulatorError, ImportError):
    """The web server that the emulator runs on is not installed."""


class MissingModelError(EmulatorError, ImportError):
    """The small model that embeds texts by meaning is not installed, or is another one."""
