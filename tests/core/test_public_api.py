"""What users import, and what importing costs them."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import FunctionType

import semantic_core
from semantic_core.domain import errors

# A name that goes or changes its meaning breaks users: say so in the CHANGELOG.
PUBLIC = """
And AuthError BaseVectorStore BatchConfig BatchError BatchJob BatchManager BatchNotFoundError
BlankTextError BudgetExceededError BulkReport Chunk Clock Collection Condition ConfigurationError
CHUNK_ID_KEY Cost Coverage DEFAULT_COLLECTION DEFAULT_PRICES Database DatabaseBusyError DatabaseCorruptError DatabaseMovedError
DatabaseReadOnlyError DatabaseUnavailableError Document DuplicateIdError EmbeddingSpec EmbeddingStatus Endpoint Estimate
Explanation FailureReason Filter ForeignEmbedder FoundMetadata GeminiBatchClient GeminiEmbedder GoogleKeyring HoldReason IngestError
IngestReport InvalidEndpointError InvalidFilterError InvalidInputError InvalidKeyError
InvalidMetadataError InvalidTextError InvalidVectorError JobStatus JobStep Keep KeepText
KeyringNotSerializableError Match Media MissingBatchKeyError MissingDefaultKeyError MissingExtraError Not
NotASemcoreDatabaseError NotBatchableError Obstacle Operator Or PassedOver PeeweeVectorStore Price PriceTable
ProvenanceError ProviderError ProviderProtocolError ProviderUnavailableError QueueStats RESULT_KEY
RateLimitError Receipt ReceiptPart RefusedVector Rejected RemoteIds RemoteNotFoundError RequestRefusedError RetryBudget
SaveReport SchemaTooNewError SearchMode SearchResult SearchResults SemanticCore
SemanticCoreError SpecMismatchError Splitter StorageError StorageFullError StoreMovedError StoredChunk StoredMedia
SubmissionUncertainError SystemClock Target TargetError TargetItem TargetStatus TextTooLongError TransitionError UnknownCollectionError
UnreadableFileError UnsupportedDatabaseError Vector VectorLike WaitTimeoutError Watch WatchOptions
WatchRound __version__ copy_store cosines diversify embed_foreign estimate_tokens foreign_filter fraction is_of
maximal_marginal_relevance paid_vectors parse_filter pydoc_topics query_media query_vector read_documents save_embedded store_kind takes_media text_ids whole_number
"""


def test_the_public_api_is_what_is_written_here() -> None:
    assert set(semantic_core.__all__) == set(PUBLIC.split())
    for name in semantic_core.__all__:
        assert hasattr(semantic_core, name), name


def test_every_error_can_be_caught_by_its_name() -> None:
    raised = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.SemanticCoreError)
    }
    assert raised <= set(semantic_core.__all__)


def test_whatever_users_call_says_what_it_does() -> None:
    silent = []
    for name in semantic_core.__all__:
        value = getattr(semantic_core, name)
        members = {name: value}
        if isinstance(value, type):
            public = [one for one in dir(value) if not one.startswith("_")]
            members |= {f"{name}.{one}": inspect.getattr_static(value, one) for one in public}
        for called, member in members.items():
            if isinstance(member, type | FunctionType | property | classmethod):
                said = inspect.getdoc(member)
                if not said or said.startswith(f"{called}("):  # a dataclass says that by itself
                    silent.append(called)
    assert silent == []


def test_importing_the_core_needs_no_framework_and_no_terminal() -> None:
    code = (
        "import sys, semantic_core\n"
        "heavy = {'llama_index', 'langchain_core', 'starlette', 'uvicorn', 'typer', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
