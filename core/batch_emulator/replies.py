"""What goes back over the wire: errors in Google's form, times, file and job descriptions."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

STATUS_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

_TYPES = "type.googleapis.com/google.ai.generativelanguage.v1main"


class ApiError(Exception):
    """A refusal that is sent to the client.

    Attributes:
        code: HTTP status.
        message: Google's words.
        status: Google's word for the code.
        details: the ``details`` list of the body.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        status: str | None = None,
        details: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or STATUS_WORDS.get(code, "UNKNOWN")
        self.details = details or []

    def body(self) -> dict[str, Any]:
        """Return the JSON body."""
        error: dict[str, Any] = {"code": self.code, "message": self.message, "status": self.status}
        if self.details:
            error["details"] = self.details
        return {"error": error}


def invalid_key() -> ApiError:
    """Return what Google answers to a key it does not know: a 400, not a 401."""
    message = "API key not valid. Please pass a valid API key."
    return ApiError(
        400,
        message,
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            },
            {
                "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
                "locale": "en-US",
                "message": message,
            },
        ],
    )


def timestamp(seconds: float) -> str:
    """Return epoch seconds as RFC 3339 with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """Drop what protobuf's JSON leaves out: None, empty text, empty objects, zero counts."""
    return {key: value for key, value in values.items() if value not in (None, "", "0", {}, [])}


def file_body(row: Any, *, base_url: str) -> dict[str, Any]:
    """Return the description of a file."""
    uri = f"{base_url}/v1beta/{row['name']}"
    is_generated = row["source"] == "GENERATED"
    return without_empty(
        {
            "name": row["name"],
            "displayName": row["display_name"],
            "mimeType": row["mime_type"],
            "sizeBytes": str(row["size"]),
            "createTime": timestamp(row["created_at"]),
            "updateTime": timestamp(row["created_at"]),
            "expirationTime": timestamp(row["expires_at"]),
            # Google encodes the hexadecimal digest, not the digest.
            "sha256Hash": base64.b64encode(row["sha256"].encode()).decode(),
            "uri": uri,
            "downloadUri": f"{uri}:download?alt=media" if is_generated else None,
            "state": "ACTIVE",
            "source": row["source"],
        }
    )


def job_body(row: Any, *, done_share: float = 1.0) -> dict[str, Any]:
    """Return the Operation that describes a job.

    Args:
        row: its row.
        done_share: how much of a running job counts as done.
    """
    total = row["request_count"]
    if row["ended_at"] is None:
        succeeded, failed = int(total * done_share), 0
        pending = total - succeeded
    else:
        succeeded, failed = row["succeeded"], row["failed"]
        pending = 0
    output = {"responsesFile": row["result_file"]} if row["result_file"] else None
    ended = row["ended_at"]
    metadata = without_empty(
        {
            "@type": f"{_TYPES}.EmbedContentBatch",
            "model": f"models/{row['spelling']}",
            "displayName": row["label"],
            "inputConfig": {"fileName": row["input_file"]} if row["input_file"] else None,
            "createTime": timestamp(row["created_at"]),
            "updateTime": timestamp(row["updated_at"]),
            "endTime": timestamp(ended) if ended is not None else None,
            "batchStats": without_empty(
                {
                    "requestCount": str(total),
                    "successfulRequestCount": str(succeeded),
                    "failedRequestCount": str(failed),
                    "pendingRequestCount": str(pending),
                }
            ),
            "state": row["state"],
            "name": row["name"],
            "output": output,
        }
    )
    body: dict[str, Any] = {"name": row["name"], "metadata": metadata}
    if ended is not None:
        body["done"] = True
        if row["error_code"] is not None:
            body["error"] = {"code": row["error_code"], "message": row["error_message"]}
        elif output is not None:
            body["response"] = {"@type": f"{_TYPES}.EmbedContentBatchOutput", **output}
    return body
