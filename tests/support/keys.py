"""Every key that tests use, recognisable wherever it may turn up; and the real ones, on request.

`support.canary` looks for them in all that a test leaves behind, so no test makes up its own.
"""

from __future__ import annotations

import warnings

from semantic_core.domain.errors import InvalidKeyError
from semantic_core.providers.gemini.keyring import GoogleKeyring

# In two pieces, so that a copy of this file is no find.
CANARY = "canary-" + "5eC2e7"


def canary(name: str) -> str:
    """Return the test key of this name."""
    return f"{CANARY}-{name}"


BATCH_KEY = canary("batch")
ROTATED_KEY = canary("batch-rotated")
OTHER_KEY = canary("of-another-project")
DEFAULT_KEY = canary("default")

# For the one test that puts a key where none belongs: into a URL, which is logged.
SHOWN_KEY = "shown-on-purpose"


def keys_of_environment() -> GoogleKeyring:
    """Read the keys, for tests that ask Google only on request.

    Call it while a module is imported: before each test the environment is cleaned. Nothing in
    it may make the other tests fail.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one project for both keys is fine here
            return GoogleKeyring.from_env()
    except InvalidKeyError:
        return GoogleKeyring()
