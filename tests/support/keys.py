"""The real keys of the environment, for the tests that may use them."""

from __future__ import annotations

import warnings

from semantic_core.errors import InvalidKeyError
from semantic_core.keyring import GoogleKeyring


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
