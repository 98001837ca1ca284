"""Everything that talks to Google's Gemini API."""

from semantic_core.providers.gemini.client import GeminiBatchClient
from semantic_core.providers.gemini.embedder import GROUP_SIZE, LONGEST_WAIT, GeminiEmbedder
from semantic_core.providers.gemini.endpoint import Endpoint
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.providers.gemini.requests import request_encoder
from semantic_core.providers.gemini.results import (
    find_conflicting_keys,
    read_results,
    trusted_results,
)

__all__ = [
    "GROUP_SIZE",
    "LONGEST_WAIT",
    "Endpoint",
    "GeminiBatchClient",
    "GeminiEmbedder",
    "GoogleKeyring",
    "find_conflicting_keys",
    "read_results",
    "request_encoder",
    "trusted_results",
]
