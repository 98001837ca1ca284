"""Every error semcore raises, as one tree, by what went wrong: a part of this file each.

A class's docstring is its default message: what happened and what to do next.
"""

# Under other names: what has a name without an underscore here is for users.
import inspect as _inspect
from typing import Self as _Self

from semantic_core.domain.reports import IngestReport


class SemanticCoreError(Exception):
    """Something in semcore failed. Catch this to catch every error semcore raises."""

    def __init__(self, message: str | None = None) -> None:
        text = _inspect.cleandoc(type(self).__doc__ or type(self).__name__)
        default = " ".join(text.partition("\n\nAttributes:")[0].split())
        super().__init__(message or default)


# --- configuration ---------------------------------------------------------------------


class ConfigurationError(SemanticCoreError):
    """Semcore is set up in a way that cannot work."""


class MissingDefaultKeyError(ConfigurationError):
    """No default key: live embedding of queries and of mode="sync" documents needs one.

    Pass GoogleKeyring(default_key=...) or set GEMINI_API_KEY; saving, batching and keyword
    search keep working without it. Nothing was sent.
    """


class MissingBatchKeyError(ConfigurationError):
    """No batch key: batching is billed separately.

    Pass GoogleKeyring(batch_key=...) or set GEMINI_BATCH_API_KEY; live search keeps working
    without it. Nothing was sent; what is saved waits, and is found by keyword.
    """


class InvalidKeyError(ConfigurationError):
    """An API key is blank or holds white space. Copy it again from Google AI Studio."""


class KeyringNotSerializableError(ConfigurationError, TypeError):
    """A GoogleKeyring cannot be pickled or copied, so that no key ends up in a file.

    Build the keyring where it is used, for example with GoogleKeyring.from_env().
    """


class InvalidEndpointError(ConfigurationError):
    """The base_url cannot be used. Use https://host, or http:// for a loopback address only."""


class SpecMismatchError(ConfigurationError):
    """The collection was created with another EmbeddingSpec. Nothing was changed.

    Open it without a spec, or create a new collection for the new one: vectors of two specs
    cannot be compared.
    """


class NotBatchableError(ConfigurationError):
    """This collection belongs to a foreign embedder, so the Batch API cannot make its vectors.

    Save its chunks with their vectors, or use a collection with a Gemini spec.
    """


class ProvenanceError(ConfigurationError):
    """This database holds vectors of another provider endpoint.

    Use a new database file for this endpoint, so that test vectors never mix with paid ones.
    """


class MissingExtraError(ConfigurationError, ImportError):
    """An optional part of semcore is not installed. Install it as the message says."""


# --- input -----------------------------------------------------------------------------


class InvalidInputError(SemanticCoreError, ValueError):
    """What was handed in cannot be used. Nothing was written or sent."""


class BlankTextError(InvalidInputError):
    """The text has no letter or digit, so there is nothing to embed. Skip it before saving."""


class TextTooLongError(InvalidInputError):
    """The text is surely over the model's token limit. Split it before saving."""


class InvalidTextError(InvalidInputError):
    """The text holds a lone surrogate or a NUL. Clean it, e.g. with errors="replace"."""

    @classmethod
    def unstorable(cls, error: UnicodeEncodeError) -> _Self:
        """Return the error for a text that has no UTF-8 form."""
        return cls(
            f"A text has a lone surrogate at character {error.start}, which no database holds. "
            "Nothing was changed."
        )


class InvalidMetadataError(InvalidInputError):
    """The metadata is not plain JSON, or too large. Keep strings, numbers, bools, lists, dicts."""


class InvalidVectorError(InvalidInputError):
    """The vector has the wrong size, is not finite, or is all zero. Embed the text again."""


class DuplicateIdError(InvalidInputError):
    """The same id appears twice in one call. Give each chunk its own id, or call twice."""


class InvalidFilterError(InvalidInputError):
    """The metadata filter has an unknown operator or an unfit value. See semantic_core.filters."""


class UnknownCollectionError(InvalidInputError):
    """There is no such collection. Create it with store.collection(name)."""


class UnreadableFileError(InvalidInputError):
    """The file cannot be read as text. Check permissions and size, or convert it to UTF-8."""


class IngestError(SemanticCoreError):
    """Some documents were refused; everything else is saved.

    Correct those that ``report.rejected`` names, with their reasons, and ingest them again.
    """

    def __init__(self, message: str | None = None, *, report: IngestReport | None = None) -> None:
        super().__init__(message)
        self.report = report


# --- storage ---------------------------------------------------------------------------


class StorageError(SemanticCoreError):
    """The database could not do what was asked."""

    @classmethod
    def closed(cls, name: object) -> _Self:
        """Return the error for the use of a database after its end."""
        return cls(f"The store on {name} is closed. Open it again.")

    @classmethod
    def within_transaction(cls, name: object) -> _Self:
        """Return the error for a write within a transaction that is open already."""
        return cls(
            f"A transaction on {name} is open in this thread. Call semcore outside of it: what "
            "semcore writes must be on disk before it goes on."
        )


class UnsupportedDatabaseError(StorageError):
    """This database cannot be used. Pass the path of a SQLite file."""


class NotASemcoreDatabaseError(StorageError):
    """The file is not a semcore database. Choose another path; nothing was changed in it."""


class SchemaTooNewError(StorageError):
    """The database was written by a newer semcore. Upgrade: pip install -U semcore."""


class DatabaseReadOnlyError(StorageError):
    """The database cannot be written. Check the permissions of the file and of its folder."""


class StoreMovedError(StorageError):
    """The store was copied to another database, and everything goes on there.

    Nothing was changed or sent. Open the other database; this one can still be searched.
    """


class DatabaseBusyError(StorageError):
    """Another process kept the database locked for too long. Nothing was changed; try again."""


class DatabaseUnavailableError(StorageError):
    """The database server cannot be reached, or ended the connection. Try again when it runs.

    Every step can be repeated without harm: what was being committed may or may not be kept.
    """


class DatabaseMovedError(StorageError):
    """The database file was deleted, renamed or replaced while it was open.

    Nothing of this step was accepted. Check what became of it: put it back and go on, or close the
    store and open it again.
    """


class DatabaseCorruptError(StorageError):
    """The database file is damaged. Keep it, restore a backup, and do not write to this one.

    Attributes:
        broken_rule: the constraint of the tables that refused a write, in the database's words,
            or None: rows contradict each other, but the file can be read.
    """

    broken_rule: str | None = None

    @classmethod
    def wrong_words(cls, chunks: int) -> _Self:
        """Return the error for a keyword index that does not fit the texts."""
        return cls(
            f"Of {chunks:,} chunks, other words are indexed than they hold. The texts are whole."
        )

    @classmethod
    def unreadable(cls, what: str, error: Exception) -> _Self:
        """Return the error for something stored that is not as it was written."""
        return cls(
            f"{what} in the database cannot be read ({error}): it is damaged, or another program "
            "changed it. Keep the file, restore a backup, do not write to it."
        )


class StorageFullError(StorageError):
    """The disk is full. Nothing of this step was kept; free some room and call again."""


# --- provider --------------------------------------------------------------------------


class ProviderError(SemanticCoreError):
    """The embedding provider did not do what was asked.

    Attributes:
        code: HTTP status, or None if there was no answer.
        status: the provider's own word, such as "RESOURCE_EXHAUSTED", or None.
        is_definite: whether the request surely had no effect. Where it is False, a job may
            have been created, and sending it again could be paid for twice.
    """

    is_definite = False

    def __init__(
        self, message: str | None = None, *, code: int | None = None, status: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class AuthError(ProviderError):
    """The provider refused the key (400 API_KEY_INVALID, 401 or 403); the call cost nothing.

    Nothing is lost. Check the key in Google AI Studio.
    """

    is_definite = True


class RateLimitError(ProviderError):
    """The provider says enough for now (429); the call cost nothing, and nothing is lost.

    Wait and call again: flush_queue() waits by itself. Of a refused job the message says what is
    tried next, and when.

    Attributes:
        retry_after: seconds the provider asks to wait, or None where it does not say.
    """

    is_definite = True

    def __init__(
        self,
        message: str | None = None,
        *,
        code: int | None = 429,
        status: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code, status=status)
        self.retry_after = retry_after


class RequestRefusedError(ProviderError):
    """The provider refused the request for good (another 4xx); the call cost nothing.

    Change what its message names, and call again.
    """

    is_definite = True


class RemoteNotFoundError(ProviderError):
    """The provider does not have the model, job or file, or does not show it to this key.

    Check the name of the model; for a job or file, use the key of its project.
    """

    is_definite = True


class ProviderUnavailableError(ProviderError):
    """No usable answer: a 5xx, a timeout, or no connection. Nothing is lost; try again later."""

    def __init__(
        self,
        message: str | None = None,
        *,
        code: int | None = None,
        status: str | None = None,
        was_sent: bool = True,
    ) -> None:
        super().__init__(message, code=code, status=status)
        # Only where no connection came about is it sure that nothing arrived.
        self.is_definite = not was_sent


class ProviderProtocolError(ProviderError):
    """The provider's answer does not have the documented form. Nothing of it was used.

    Call again later. If it stays, upgrade semcore, and check proxies between you and the provider.
    """


# --- batches ---------------------------------------------------------------------------


class BatchError(SemanticCoreError):
    """Something about one batch job.

    Attributes:
        batch_id: the local id of the job.
    """

    def __init__(self, message: str | None = None, *, batch_id: str | None = None) -> None:
        super().__init__(message)
        self.batch_id = batch_id


class BatchNotFoundError(BatchError):
    """There is no batch job with this id. See `semcore status`, which lists the jobs."""


class TransitionError(BatchError):
    """The batch job is no longer in the state this step needs, or another process has it.

    Nothing was changed. Call sync_status() and look at the job again.
    """


class SubmissionUncertainError(BatchError):
    """The provider may or may not have accepted the job.

    The claim is kept, so nothing can be billed twice. Call sync_status(), which finds out: it
    adopts the job if the provider lists it, and frees the texts only if it surely never arrived.
    """


class BudgetExceededError(BatchError):
    """The budget does not allow another batch job. Nothing was sent; the texts wait.

    Raise BatchConfig.monthly_budget_usd or max_cost, or wait for the next month.
    """


class WaitTimeoutError(BatchError):
    """The jobs did not finish in the time given. They go on; call wait() or sync_status() later."""


# --- delivery --------------------------------------------------------------------------


class TargetError(SemanticCoreError):
    """A vector store that vectors are delivered to did not do what was asked.

    Nothing is lost: what it was not told stays noted here. Check that it can be reached: the next
    deliver() tries again.
    """
