"""Everything that talks to Google's Gemini API."""

from semantic_core.providers.gemini.client import GeminiBatchClient
from semantic_core.providers.gemini.embedder import GROUP_SIZE, LONGEST_WAIT, GeminiEmbedder
from semantic_core.providers.gemini.endpoint import Endpoint
from semantic_core.providers.gemini.remote import (
    EmbeddingRequest,
    InputFile,
    JobListing,
    RemoteFile,
    RemoteJob,
    RemoteState,
    RemoteStatus,
    ResultLine,
    RetrievedResults,
    SpooledFile,
)
from semantic_core.providers.gemini.requests import request_encoder, request_line, write_requests
from semantic_core.providers.gemini.results import find_conflicting_keys, read_results
from semantic_core.providers.gemini.vectors import normalize

__all__ = [
    "GROUP_SIZE",
    "LONGEST_WAIT",
    "EmbeddingRequest",
    "Endpoint",
    "GeminiBatchClient",
    "GeminiEmbedder",
    "InputFile",
    "JobListing",
    "RemoteFile",
    "RemoteJob",
    "RemoteState",
    "RemoteStatus",
    "ResultLine",
    "RetrievedResults",
    "SpooledFile",
    "find_conflicting_keys",
    "normalize",
    "read_results",
    "request_encoder",
    "request_line",
    "write_requests",
]
