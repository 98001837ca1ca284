"""The provider's JSON for a batch job, read into a `RemoteJob`.

Read here and not by the SDK, which drops the job's error and its counts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from semantic_core.domain.errors import ProviderProtocolError
from semantic_core.providers.gemini.fields import is_remote_name, number_in, object_in, text_in
from semantic_core.providers.gemini.line_errors import clip
from semantic_core.providers.types import RemoteJob, RemoteState

if TYPE_CHECKING:
    from google.genai import types

# A word that is not here says at least that the job is there; it is never taken for an end.
_STATES = {
    "PENDING": RemoteState.QUEUED,
    "RUNNING": RemoteState.RUNNING,
    "SUCCEEDED": RemoteState.SUCCEEDED,
    "PARTIALLY_SUCCEEDED": RemoteState.SUCCEEDED,
    "FAILED": RemoteState.FAILED,
    "CANCELLED": RemoteState.CANCELLED,
    "EXPIRED": RemoteState.EXPIRED,
}

_PREFIXES = ("BATCH_STATE_", "JOB_STATE_")


def read_operation(operation: object) -> RemoteJob:
    """Read one Operation of the Batch API; whatever may be missing in it may be missing.

    A ProviderProtocolError is raised for what is no object, or names what no URL may hold.
    """
    if not isinstance(operation, dict):
        raise ProviderProtocolError(
            "The provider described a batch job as something that is not a JSON object."
        )
    name = operation.get("name")
    if not isinstance(name, str) or not is_remote_name(name, kind="batches"):
        raise ProviderProtocolError(
            f"The provider named a batch job {name!r:.80}, which is not a batches/... name."
        )
    metadata = object_in(operation, "metadata")
    raw_state = text_in(metadata, "state") or _state_without_word(operation)
    error = object_in(operation, "error")
    stats = object_in(metadata, "batchStats")
    model = text_in(metadata, "model")
    input_file = text_in(object_in(metadata, "inputConfig"), "fileName")
    return RemoteJob(
        name=name,
        state=_read_state(raw_state),
        raw_state=raw_state,
        display_name=text_in(metadata, "displayName"),
        model=None if model is None else model.removeprefix("models/"),
        input_file=input_file if is_remote_name(input_file, kind="files") else None,
        result_file=_find_result_file(operation, metadata),
        error_message=clip(text_in(error, "message") or "no reason given") if error else None,
        request_count=number_in(stats, "requestCount") or 0,
        successful_count=number_in(stats, "successfulRequestCount") or 0,
        failed_count=number_in(stats, "failedRequestCount") or 0,
        created_at=_time(metadata, "createTime"),
        ended_at=_time(metadata, "endTime"),
        is_done=operation.get("done") is True or _time(metadata, "endTime") is not None,
    )


def _read_state(raw_state: str) -> RemoteState:
    word = raw_state
    for prefix in _PREFIXES:
        word = word.removeprefix(prefix)
    return _STATES.get(word, RemoteState.UNKNOWN)


def _state_without_word(operation: dict[str, Any]) -> str:
    """Return a state for an operation that names none; zero values are left out on the wire."""
    if not operation.get("done"):
        return "BATCH_STATE_UNSPECIFIED"
    return "BATCH_STATE_FAILED" if operation.get("error") else "BATCH_STATE_SUCCEEDED"


def _find_result_file(operation: dict[str, Any], metadata: dict[str, Any]) -> str | None:
    for holder in (object_in(metadata, "output"), object_in(operation, "response")):
        name = holder.get("responsesFile")
        if name is None:
            continue
        if not is_remote_name(name, kind="files"):
            raise ProviderProtocolError(
                f"The provider named the results of {operation['name']} {name!r:.80}, which is no "
                "files/... name."
            )
        return str(name)
    return None


def _time(holder: dict[str, Any], name: str) -> float | None:
    value = text_in(holder, name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def display_name_of(operation: dict[str, Any]) -> str:
    return text_in(object_in(operation, "metadata"), "displayName") or ""


def input_file_of(operation: dict[str, Any]) -> str:
    return text_in(object_in(object_in(operation, "metadata"), "inputConfig"), "fileName") or ""


def as_operation(created: types.BatchJob) -> dict[str, Any]:
    """Return the SDK's view of a new job in the form that all other answers have."""
    return {
        "name": created.name,
        "metadata": {
            "state": None if created.state is None else created.state.value,
            "displayName": created.display_name,
            "model": created.model,
            "createTime": None if created.create_time is None else created.create_time.isoformat(),
        },
    }
