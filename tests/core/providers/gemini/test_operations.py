"""What the provider says of a job, and what it leaves out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_core.domain.errors import ProviderProtocolError
from semantic_core.providers.gemini.operations import read_operation
from semantic_core.providers.types import RemoteJob, RemoteState

NAME = "batches/mhx3lg2ai0mdohzj9nucbrqtumoppaeajt8u"
RESULT = "files/batch-mhx3lg2ai0mdohzj9nucbrqtumoppaeajt8u"


def operation(state: str | None = "BATCH_STATE_RUNNING", **more: Any) -> dict[str, Any]:
    return {"name": NAME, "metadata": {"state": state} if state else {}, **more}


def test_a_finished_job_is_read_whole() -> None:
    job = read_operation(
        {
            "name": NAME,
            "metadata": {
                "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.EmbedContentBatch",
                "model": "models/gemini-embedding-001",
                "displayName": "run-42",
                "inputConfig": {"fileName": "files/t5snrshrqff1"},
                "createTime": "2025-09-10T13:37:39.328452123Z",
                "endTime": "2025-09-10T13:38:00Z",
                "batchStats": {
                    "requestCount": "3",
                    "successfulRequestCount": "2",
                    "failedRequestCount": "1",
                },
                "state": "BATCH_STATE_SUCCEEDED",
                "name": NAME,
                "output": {"responsesFile": RESULT},
            },
            "done": True,
            "response": {"responsesFile": RESULT},
        }
    )
    assert job == RemoteJob(
        name=NAME,
        state=RemoteState.SUCCEEDED,
        raw_state="BATCH_STATE_SUCCEEDED",
        display_name="run-42",
        model="gemini-embedding-001",
        input_file="files/t5snrshrqff1",
        result_file=RESULT,
        request_count=3,
        successful_count=2,
        failed_count=1,
        created_at=1757511459.328452,
        ended_at=1757511480.0,
        is_done=True,
    )


def test_everything_but_the_name_may_be_missing() -> None:
    job = read_operation({"name": NAME})
    assert job.state is RemoteState.UNKNOWN
    assert job.result_file is None
    assert job.request_count == 0


@pytest.mark.parametrize("prefix", ["BATCH_STATE_", "JOB_STATE_", ""])
@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", RemoteState.QUEUED),
        ("RUNNING", RemoteState.RUNNING),
        ("SUCCEEDED", RemoteState.SUCCEEDED),
        ("PARTIALLY_SUCCEEDED", RemoteState.SUCCEEDED),
        ("FAILED", RemoteState.FAILED),
        ("CANCELLED", RemoteState.CANCELLED),
        ("EXPIRED", RemoteState.EXPIRED),
    ],
)
def test_every_known_word_has_its_state(prefix: str, word: str, state: RemoteState) -> None:
    job = read_operation(operation(prefix + word))
    assert (job.state, job.raw_state) == (state, prefix + word)


@pytest.mark.parametrize("word", ["BATCH_STATE_CANCELLING", "BATCH_STATE_UNSPECIFIED", "whatever"])
def test_a_state_from_the_future_is_no_end(word: str) -> None:
    """Its own word is kept, so that a person can make something of it."""
    job = read_operation(operation(word, done=True))
    assert job.state is RemoteState.UNKNOWN
    assert job.raw_state == word


def test_without_a_state_an_end_is_still_seen() -> None:
    failed = read_operation(operation(None, done=True, error={"code": 13, "message": "broken"}))
    assert failed.state is RemoteState.FAILED
    succeeded = read_operation(operation(None, done=True, response={"responsesFile": RESULT}))
    assert (succeeded.state, succeeded.result_file) == (RemoteState.SUCCEEDED, RESULT)


def test_the_reason_of_a_failure_is_kept_and_clipped() -> None:
    job = read_operation(
        operation("BATCH_STATE_FAILED", error={"code": 3, "message": "bad line " + "x" * 10_000})
    )
    assert job.error_message is not None
    assert job.error_message.startswith("bad line xxx")
    assert len(job.error_message) == 500


def test_an_error_without_words_is_still_an_error() -> None:
    assert read_operation(operation(error={"code": 13})).error_message == "no reason given"


@pytest.mark.parametrize(
    "name", [None, "", 3, "batches/", "batches/../files/x", "batches/a?b", "files/x", "batches/é"]
)
def test_a_job_without_a_usable_name_is_refused(name: object) -> None:
    with pytest.raises(ProviderProtocolError):
        read_operation({"name": name, "metadata": {"state": "BATCH_STATE_PENDING"}})


@pytest.mark.parametrize("thing", [None, [], "batches/x", 3])
def test_what_is_no_object_is_refused(thing: object) -> None:
    with pytest.raises(ProviderProtocolError):
        read_operation(thing)


@pytest.mark.parametrize(
    "name", ["files/../../x", "files/", "../secret", 3, ["files/x"], "files/a b"]
)
def test_a_result_file_that_no_url_may_hold_is_refused(name: object) -> None:
    with pytest.raises(ProviderProtocolError, match="files/"):
        read_operation(
            {"name": NAME, "metadata": {"state": "X", "output": {"responsesFile": name}}}
        )


def test_an_input_file_that_no_url_may_hold_is_forgotten() -> None:
    job = read_operation({"name": NAME, "metadata": {"inputConfig": {"fileName": "files/../x"}}})
    assert job.input_file is None


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    metadata=ANY_JSON
    | st.dictionaries(
        st.sampled_from(
            [
                "state",
                "model",
                "displayName",
                "inputConfig",
                "createTime",
                "endTime",
                "batchStats",
                "output",
            ]
        ),
        ANY_JSON,
    ),
    rest=st.dictionaries(st.sampled_from(["done", "error", "response"]), ANY_JSON),
)
def test_no_arrangement_raises_anything_but_a_protocol_error(
    metadata: Any, rest: dict[str, Any]
) -> None:
    try:
        job = read_operation({"name": NAME, "metadata": metadata, **rest})
    except ProviderProtocolError:
        return
    assert job.name == NAME
