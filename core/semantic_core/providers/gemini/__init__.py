"""Everything that talks to Google's Gemini API."""

from semantic_core.providers.gemini.client import GeminiBatchClient
from semantic_core.providers.gemini.embedder import GeminiEmbedder
from semantic_core.providers.gemini.endpoint import Endpoint
from semantic_core.providers.gemini.keyring import GoogleKeyring

__all__ = ["Endpoint", "GeminiBatchClient", "GeminiEmbedder", "GoogleKeyring"]
