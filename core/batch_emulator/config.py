"""How an emulator behaves when nothing goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from batch_emulator.embedding import FloatVector, count_tokens

HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What the emulator knows of an embedding model.

    Attributes:
        token_limit: input tokens it takes for one text.
        largest_dimensions: its biggest, and default, vector size.
        takes_task: whether it accepts ``taskType``.
        takes_media: whether it embeds pictures and PDF pages, too.
        always_normalized: whether vectors below the biggest size have length 1 too.
        truncates: whether it embeds the beginning of a text over the limit, and counts the
            limit, instead of refusing it.
        embed_text: how it embeds a text alone, such as a `SentenceModel`; None for hashed words.
    """

    token_limit: int
    largest_dimensions: int = 3072
    takes_task: bool = True
    takes_media: bool = False
    always_normalized: bool = False
    truncates: bool = False
    embed_text: Callable[[str], FloatVector] | None = None

    def taken(self, text: str) -> str:
        """Return as much of a text as is embedded."""
        if not self.truncates or count_tokens(text) <= self.token_limit:
            return text
        return text[: self.token_limit]

    def tokens(self, text: str) -> int:
        """Return the tokens that are counted for a text."""
        tokens = count_tokens(text)
        return min(tokens, self.token_limit) if self.truncates else tokens


_SECOND = ModelInfo(token_limit=8192, takes_task=False, takes_media=True, always_normalized=True)

# https://ai.google.dev/gemini-api/docs/embeddings, read 2026-11.
MODELS: Mapping[str, ModelInfo] = {
    "gemini-embedding-001": ModelInfo(token_limit=2048),
    "gemini-embedding-2": _SECOND,
    "gemini-embedding-2-preview": _SECOND,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorConfig:
    """Settings of an `Emulator`.

    Attributes:
        pending_seconds: how long a new job waits.
        running_seconds: how long it runs after that. With both 0 the create call answers
            PENDING and the first look at the job finds it SUCCEEDED.
        job_lifetime: seconds after which an unfinished job is EXPIRED. Google: 48 hours.
        file_lifetime: seconds after which a file is gone. Google: 48 hours.
        projects: API key → project name. A key that is not listed is a project of its own.
        refuse_unknown_keys: answer a key that is not in ``projects`` as an invalid one.
        shuffle_results: write result lines in another order than the input, as Google may.
        largest_file: bytes above which an upload is refused. Google: 2 GB.
        largest_page: most entries of one list page. Google: 100.
        most_open_jobs: open jobs of a project and model above which create answers 429. Google
            documents 100; first-tier projects report 10.
        most_enqueued_tokens: tokens in open jobs of a project and model above which create answers
            429; None for any number. First-tier projects report 130,000 to 480,000.
        models: the models there are.
    """

    pending_seconds: float = 0.0
    running_seconds: float = 0.0
    job_lifetime: float = 48 * HOUR
    file_lifetime: float = 48 * HOUR
    projects: Mapping[str, str] = field(default_factory=dict, repr=False)
    refuse_unknown_keys: bool = False
    shuffle_results: bool = True
    largest_file: int = 2 * 1024**3
    largest_page: int = 100
    most_open_jobs: int = 100
    most_enqueued_tokens: int | None = None
    models: Mapping[str, ModelInfo] = field(default_factory=lambda: MODELS)
